"""The comparison over HTTP: assumptions in, figures and all assumptions out."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from aiohttp import web

from billing.assumptions import MEANINGS
from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.price_sources import price_book
from billing.store import Store
from billing.usage import Unit, Usage
from proxy.console.breakeven import OPENAPI_PATHS, BreakevenApi

MINI = "gpt-4o-mini-2024-07-18"
NOW = datetime(2026, 11, 24, tzinfo=UTC)
LEAST = {"calls": 200_000, "model": MINI, "input_tokens": 2000, "output_tokens": 200}


def calls(number: int) -> list[Charge]:
    """Of 1,000 tokens of input and 100 of output, one a day."""
    usage = Usage({Unit.INPUT_TEXT: 1000, Unit.OUTPUT_TEXT: 100})
    moments = [NOW - timedelta(days=day, hours=1) for day in range(number)]
    made = [Call(f"c{at}", at, "chat", "POST", "/v1/x", Attribution(), "one", MINI) for at in moments]
    return [
        Charge(call, Outcome(call.started_at, Basis.REPORTED, 200), MINI, MINI, None, usage, (), Usage(), 1, "test")
        for call in made
    ]


def asked(folder: Path, body: Any, status: int = 200, charges: list[Charge] | None = None) -> Any:
    """What one question is answered."""

    async def scenario() -> Any:
        store = Store(f"sqlite:///{folder}/farebox.db")
        application = web.Application()
        application.add_routes(BreakevenApi(store, price_book(), ZoneInfo("UTC"), lambda: NOW).routes())
        runner = web.AppRunner(application)
        try:
            await store.create()
            await store.post(charges or [])
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            address = "http://{}:{}/api/v1/finetune/breakeven".format(*runner.addresses[0][:2])
            async with aiohttp.ClientSession() as session, session.post(address, json=body) as answer:
                assert answer.status == status, await answer.text()
                return await answer.json()
        finally:
            await runner.cleanup()
            await store.close()

    return asyncio.run(scenario())


def test_figures_given(tmp_path: Path) -> None:
    found = asked(tmp_path, LEAST | {"tuned_setup_usd": "50"})
    assert (found["cheapest"], found["crossings"][0]["calls"]) == ("fine-tuned", 147_223)
    assert found["priced_on"] == "2026-11-24"
    assert found["ways"][0]["monthly_usd"] == "84"


def test_recorded_traffic(tmp_path: Path) -> None:
    body = {"traffic": {"model": MINI, "from": "2026-11-14"}}
    found = asked(tmp_path, body, charges=calls(20))
    assert (found["recorded"]["calls"], found["recorded"]["days"], found["calls"]) == (10, "10", "30.417")
    assert asked(tmp_path, {"traffic": {"model": MINI, "to": "2026-11-20"}})["recorded"]["calls"] == 16


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "calls: calls a month: say it"),
        (LEAST | {"calls": -1}, "$.calls"),
        (LEAST | {"callls": 1}, "callls"),
        (LEAST | {"tuned_setup_usd": 50.5}, "$.tuned_setup_usd"),
        (LEAST | {"cached_tokens": 2001}, "cached_tokens are part of input_tokens"),
        ({"traffic": {"model": "gpt-4.1"}}, "no calls to gpt-4.1"),
        ({"traffic": {"model": MINI, "from": "soon"}}, "'soon' is neither a date"),
        ({"traffic": {"model": ""}}, "$.traffic.model"),
    ],
)
def test_what_is_missing_or_wrong_is_said(tmp_path: Path, body: Any, says: str) -> None:
    assert says in asked(tmp_path, body, 400)["error"]["message"]


def test_the_description_names_every_assumption() -> None:
    schema = OPENAPI_PATHS["/api/v1/finetune/breakeven"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"].keys() == {*MEANINGS, "traffic"}
    assert {name: schema["properties"][name]["description"] for name in MEANINGS} == MEANINGS
