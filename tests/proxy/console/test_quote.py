"""Quotes over HTTP: the request's own body in, figures and whether there is money for it out."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from aiohttp import web

from billing.balances import Balances, Fold
from billing.budgets import Budget
from billing.expectations import Expectations
from billing.holds import FREE_OPERATIONS, Policy
from billing.keys import Key
from billing.price_sources import price_book
from billing.scopes import Scope
from proxy.asked import BODY_CEILING_BYTES
from proxy.console.quote import Asker, QuoteApi, Quoting, quoted
from proxy.endpoints import TABLE, Billing

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOOK = price_book()
HELLO = {"model": "gpt-4o", "max_completion_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
SEARCH = Key("key_1", "frontend", "0" * 64, "abcd", NOW, team="search", project="web", tags={"env": "prod"})
ASK = 1_100_000_000  # what HELLO is held at: $0.0011

Ask = Callable[..., Awaitable[Any]]


def budgets(limit_pico: int, spent_pico: int = 0, **scope: str) -> Balances:
    """One hard budget, a part of it spent."""
    budget = Budget("the budget", limit_pico, "month", Scope({name: (value,) for name, value in scope.items()}))
    balances = Balances(ZoneInfo("UTC"))
    since, until = budget.window_at(NOW, ZoneInfo("UTC"))
    balances.put([budget], {budget.name: [Fold(since, until, spent_pico)]})
    return balances


@asynccontextmanager
async def console(balances: Balances | None = None, *, strict: bool = False) -> AsyncIterator[Ask]:
    """A console that only quotes, and somebody who asks it."""
    known = balances or Balances(ZoneInfo("UTC"))
    quoting = Quoting(BOOK, Expectations(), Policy(strict=strict))
    api = QuoteApi(quoting, lambda call, held: known.short(call, held.pico), lambda: [SEARCH], lambda: NOW)
    application = web.Application()
    application.add_routes(api.routes())
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = "http://{}:{}/api/v1/quote".format(*runner.addresses[0][:2])
    async with aiohttp.ClientSession() as session:

        async def ask(body: Any, status: int = 200, **query: Any) -> Any:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            async with session.post(address, data=io.BytesIO(data), params=query) as answer:
                assert answer.status == status, await answer.text()
                return await answer.json()

        yield ask
    await runner.cleanup()


def asked(body: Any, balances: Balances | None = None, *, strict: bool = False, status: int = 200, **query: Any) -> Any:
    """What one question is answered."""

    async def scenario() -> Any:
        async with console(balances, strict=strict) as ask:
            return await ask(body, status, **query)

    return asyncio.run(scenario())


def test_a_quote_says_what_it_costs_at_most_and_that_there_is_money() -> None:
    found = asked(HELLO)
    assert {name: found[name] for name in ("operation", "path", "service_tier", "at_most_usd", "not_bounded_by")} == {
        "operation": "chat",
        "path": "/v1/chat/completions",
        "service_tier": None,
        "at_most_usd": "0.0011",
        "not_bounded_by": [],
    }
    assert (found["input_tokens"], found["input_usd"], found["hold_basis"]) == (8, "0.00002", "bound")
    assert (found["admitted"], found["refused_by"]) == (True, None)
    assert found["price_book"] == BOOK.version
    assert [other["model"] for other in found["models"]][-1] == "gpt-6-astra"
    assert all(other["at_most_usd"] for other in found["models"])


@pytest.mark.parametrize(
    ("limit", "spent", "admitted"),
    [(ASK, 0, True), (ASK - 1, 0, False), (10 * ASK, 9 * ASK, True), (10 * ASK, 9 * ASK + 1, False)],
)
def test_it_is_admitted_as_long_as_the_hold_fits(limit: int, spent: int, admitted: bool) -> None:
    found = asked(HELLO, budgets(limit, spent))
    assert found["admitted"] is admitted
    if not admitted:
        refused = found["refused_by"]
        assert (refused["name"], refused["ask_usd"], refused["only_holds"]) == ("the budget", "0.0011", False)
        assert refused["until"] == "2026-12-01T00:00:00Z"


@pytest.mark.parametrize(
    ("scope", "query", "admitted"),
    [
        ({"team": "search"}, {}, True),
        ({"team": "search"}, {"team": "search"}, False),
        ({"team": "search"}, {"key": "frontend"}, False),  # the key's team
        ({"project": "web"}, {"key": "frontend"}, False),
        ({"tag:env": "prod"}, {"key": "frontend"}, False),
        ({"tag:env": "prod"}, {"tag": "env=prod"}, False),
        ({"team": "search"}, {"key": "frontend", "team": "ads"}, True),
        ({"key": "frontend"}, {"key": "other"}, True),
        ({"user": "u-1"}, {"user": "u-1"}, False),
        ({"model": "gpt-4o"}, {}, False),
    ],
)
def test_it_counts_on_the_budgets_of_who_asks(scope: dict[str, str], query: dict[str, str], admitted: bool) -> None:
    assert asked(HELLO, budgets(0, **scope), **query)["admitted"] is admitted


def test_the_bodys_own_user_counts() -> None:
    assert not asked(HELLO | {"user": "u-1"}, budgets(0, user="u-1"))["admitted"]


def test_a_strict_policy_admits_nothing_unbounded_where_there_is_a_budget() -> None:
    body = {"model": "gpt-4o", "input": "hello", "tools": [{"type": "code_interpreter"}]}
    free = asked(body, strict=True)
    assert (free["admitted"], free["hold_usd"], free["at_most_usd"]) == (True, None, None)
    assert free["not_bounded_by"] == ["the tool code_interpreter", "no cap on the output"]
    bound = asked(body, budgets(10**18), strict=True)
    assert (bound["admitted"], bound["refused_by"]["name"], bound["refused_by"]["ask_usd"]) == (
        False,
        "the budget",
        None,
    )


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": []}, "/v1/chat/completions"),
        ({"input": "hello"}, "/v1/responses"),
        ({"prompt": {"id": "pmpt_1"}}, "/v1/responses"),
        ({"prompt": "hello"}, "/v1/completions"),
        ({"model": "text-embedding-3-small", "input": "hello"}, "/v1/embeddings"),
    ],
)
def test_the_body_tells_where_it_goes(body: dict[str, Any], path: str) -> None:
    assert asked(body)["path"] == path


def test_a_path_that_is_named_goes_before_and_one_without_a_meter_is_not_bounded() -> None:
    assert asked({"input": "hello"}, path="/v1/embeddings")["operation"] == "embeddings"
    assert asked({"input": "hello"}, path="/v1/moderations")["at_most_usd"] == "0"
    found = asked({"input": "hello"}, path="/v1/never/heard/of")
    assert found["at_most_usd"] is None
    assert "no meter for this route" in found["not_bounded_by"]


def test_models_to_compare_with() -> None:
    found = asked(HELLO, model="gpt-4o-mini")
    assert [other["model"] for other in found["models"]] == ["gpt-4o-mini"]


@pytest.mark.parametrize(
    ("body", "query", "message"),
    [
        (b"", {}, "not a JSON object"),
        (b"[]", {}, "not a JSON object"),
        (b"\xff", {}, "not a JSON object"),
        ({"model": "gpt-4o"}, {}, "name the path"),
        (HELLO, {"paht": "/v1/x"}, "paht"),
        (b" " * (BODY_CEILING_BYTES + 1), {}, "larger than"),
    ],
    ids=["nothing", "a list", "no text", "no shape", "a wrong query", "too large"],
)
def test_what_is_no_request_is_refused(body: Any, query: dict[str, str], message: str) -> None:
    assert message in asked(body, status=400, **query)["error"]["message"]


def test_a_body_larger_than_the_consoles_own_bound_is_quoted() -> None:
    long = {**HELLO, "messages": [{"role": "user", "content": "hello " * 300_000}]}
    assert asked(long, model="gpt-4o")["input_tokens"] == 300_008


@pytest.mark.parametrize(
    "fields",
    [
        {"n": "x"},
        {"messages": {}},
        {"max_tokens": -1},
        {"service_tier": 7},
        {"tools": 3},
        {"model": ["a"]},
        {"user": []},
    ],
)
def test_hostile_fields_are_quoted_as_open(fields: dict[str, Any]) -> None:
    body = {"model": "gpt-4o", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}], **fields}
    found = quoted(json.dumps(body).encode(), Asker(), Quoting(BOOK, Expectations(), Policy()), NOW)
    answer = found.shown(lambda call, held: None)
    assert (answer["at_most_usd"] is None) == bool(answer["not_bounded_by"])
    assert answer["hold_usd"]


def test_what_the_table_of_routes_calls_free_is_held_at_nothing() -> None:
    assert {row.operation for row in TABLE if row.billing is Billing.FREE} <= FREE_OPERATIONS
    assert not {row.operation for row in TABLE if row.billing is not Billing.FREE} & FREE_OPERATIONS
