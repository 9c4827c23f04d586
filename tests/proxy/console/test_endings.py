"""The calendar over HTTP: what of your traffic ends, and what ends at all."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
from aiohttp import web

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.money import pico_from_usd
from billing.price_sources import price_book
from billing.store import Store
from billing.usage import Unit, Usage
from proxy.console.endings import EndingsApi

NOW = datetime(2026, 11, 24, tzinfo=UTC)
MINI = "gpt-4o-mini-2024-07-18"


def call(days_ago: int) -> Charge:
    """Of a million tokens of input and as many of output, at $.75."""
    at = NOW - timedelta(days=days_ago)
    usage = Usage({Unit.INPUT_TEXT: 10**6, Unit.OUTPUT_TEXT: 10**6})
    made = Call(f"c{days_ago}", at, "chat", "POST", "/v1/x", Attribution(), "one", MINI)
    outcome, cost = Outcome(at, Basis.REPORTED, 200), pico_from_usd("0.75")
    return Charge(made, outcome, MINI, "gpt-4o-mini", "batch", usage, (), Usage(), cost, "test")


def asked(folder: Path, query: str = "", status: int = 200) -> Any:
    """What one question is answered, of calls of 1, 2 and 40 days ago."""

    async def scenario() -> Any:
        store = Store(f"sqlite:///{folder}/farebox.db")
        application = web.Application()
        application.add_routes(EndingsApi(store, price_book(), ZoneInfo("UTC"), lambda: NOW).routes())
        runner = web.AppRunner(application)
        try:
            await store.create()
            await store.post([call(1), call(2), call(40)])
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            address = "http://{}:{}/api/v1/retirements".format(*runner.addresses[0][:2])
            async with aiohttp.ClientSession() as session, session.get(f"{address}{query}") as answer:
                assert answer.status == status, await answer.text()
                return await answer.json()
        finally:
            await runner.cleanup()
            await store.close()

    return asyncio.run(scenario())


def test_the_traffic_of_30_days_with_its_replacements(tmp_path: Path) -> None:
    """gpt-6-luna by batch: two million at .05 and two at .25."""
    found = asked(tmp_path)
    assert (found["from"], found["to"]) == ("2026-10-25T00:00:00Z", "2026-11-24T00:00:00Z")
    [row] = found["in_use"]
    assert (row["model"], row["ends_on"], row["days_left"]) == (MINI, "2027-01-14", 51)
    assert (row["calls"], row["cost_usd"]) == (2, "1.5")
    assert row["replacements"][0] == {
        "model": "gpt-6-luna", "cost_usd": "0.6", "change_percent": -60, "context_tokens": 1_050_000,
    }  # fmt: skip


def test_the_calendar_has_what_is_past_too(tmp_path: Path) -> None:
    days = {row["on"]: row["days_left"] for row in asked(tmp_path)["calendar"]}
    assert (days["2026-05-07"], days["2027-01-06"]) == (-201, 43)


def test_another_stretch_of_time(tmp_path: Path) -> None:
    assert asked(tmp_path, "?from=2026-10-01")["in_use"][0]["calls"] == 3
    assert asked(tmp_path, "?from=2026-10-01&to=2026-11-01")["in_use"][0]["calls"] == 1
    assert asked(tmp_path, "?to=2026-09-01")["in_use"] == []


def test_no_such_date(tmp_path: Path) -> None:
    assert "neither a date" in asked(tmp_path, "?from=soon", 400)["error"]["message"]
