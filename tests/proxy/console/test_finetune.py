"""Estimates over HTTP: the training file in as it comes, figures and problems out."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from billing.price_sources import price_book
from proxy.console.finetune import LISTED, OPENAPI_PATHS, FinetuneApi

MINI = "gpt-4o-mini-2024-07-18"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CHAT = (
    json.dumps({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}).encode()
    + b"\n"
)

Ask = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def console() -> AsyncIterator[Ask]:
    """A console that only estimates, and somebody who asks it."""
    application = web.Application()
    application.add_routes(FinetuneApi(price_book(), lambda: NOW).routes())
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = "http://{}:{}/api/v1/finetune/estimate".format(*runner.addresses[0][:2])
    async with aiohttp.ClientSession() as session:

        async def ask(body: Any, status: int = 200, **query: str) -> Any:
            async with session.post(address, data=body, params=query) as answer:
                assert answer.status == status, await answer.text()
                return await answer.json()

        yield ask
    await runner.cleanup()


def asked(body: Any, status: int = 200, **query: str) -> Any:
    """What one question is answered."""

    async def scenario() -> Any:
        async with console() as ask:
            return await ask(body, status, **query)

    return asyncio.run(scenario())


def test_an_estimate() -> None:
    found = asked(CHAT * 20, model=MINI, epochs="2")
    assert (found["examples"], found["tokens"], found["billable_tokens"]) == (20, 20 * 13, 2 * 20 * 13)
    assert (found["price_usd_per_mtok"], found["cost_usd"], found["priced_on"]) == ("3", "0.00156", "2026-11-23")
    assert [problem["kind"] for problem in found["problems"]][:2] == ["imbalance", "duplicate"]


def test_a_file_larger_than_the_consoles_own_bound_is_read_as_it_comes() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        file = CHAT * 30_000
        for start in range(0, len(file), 65_521):
            yield file[start : start + 65_521]

    found = asked(pieces(), model=MINI, epochs="1")
    assert (found["examples"], found["billable_tokens"]) == (30_000, 30_000 * 13)


def test_what_is_wrong_with_the_file_is_told_by_line_as_far_as_it_is_listed() -> None:
    found = asked(CHAT * 10 + b"{\n" * (2 * LISTED), model=MINI)
    assert (found["errors"], found["unread_examples"]) == (2 * LISTED, 2 * LISTED)
    assert len(found["problems"]) == LISTED
    assert {"line": 11, "severity": "error", "kind": "json"}.items() <= next(
        problem for problem in found["problems"] if problem["kind"] == "json"
    ).items()


def test_a_model_without_a_price_has_no_cost() -> None:
    found = asked(CHAT * 10, model="gpt-5.4")
    assert found["cost_usd"] is None
    assert "no training price" in found["unpriced"]


def test_reinforcement_costs_by_the_hour() -> None:
    graded = b'{"messages": [{"role": "user", "content": "7?"}], "answer": 7}\n' * 12
    assert asked(graded, model="o4-mini-2025-04-16", hours="2.55")["cost_usd"] == "255"
    assert asked(graded, model="o4-mini-2025-04-16")["cost_usd"] is None


def test_several_at_once() -> None:
    async def scenario() -> list[Any]:
        async with console() as ask:
            return await asyncio.gather(*(ask(CHAT * 10 * (n + 1), model=MINI) for n in range(4)))

    assert [found["examples"] for found in asyncio.run(scenario())] == [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "model: say which"),
        ({"model": MINI, "epoch": "3"}, "epoch: the query may say"),
        ({"model": MINI, "epochs": "0"}, "from 1 to 1000"),
        ({"model": MINI, "epochs": "1001"}, "from 1 to 1000"),
        ({"model": MINI, "epochs": "1３"}, "from 1 to 1000"),
        ({"model": MINI, "hours": "-2"}, "hours: a number"),
        ({"model": MINI, "method": "osmosis"}, "method=osmosis: one of"),
    ],
)
def test_a_wrong_question_is_refused(query: dict[str, str], text: str) -> None:
    assert text in asked(CHAT, 400, **query)["error"]["message"]


def test_the_description_names_what_the_query_may_say() -> None:
    (operation,) = OPENAPI_PATHS["/api/v1/finetune/estimate"].values()
    assert [parameter["name"] for parameter in operation["parameters"]] == ["model", "epochs", "method", "hours"]
