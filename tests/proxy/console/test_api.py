import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from replica import until

from billing.store import DIMENSIONS
from proxy.app import App, running
from proxy.exchange import Clock
from proxy.settings import Settings
from proxy.simulator.server import Running, start
from proxy.simulator.simulator import Simulator

MakeSettings = Callable[..., Settings]

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
FINE_TUNED = CHAT | {"model": "ft:gpt-4o-mini-2024-07-18:acme:support:Ab12Cd34"}
M = 1_000_000
FIGURES = ("requests", "input_tokens", "cached_tokens", "output_tokens", "cost_usd", "estimated", "unknown")


@dataclass
class Scene:
    """A replica before a simulator, at a time that the test sets, and somebody who asks its console."""

    app: App
    simulator: Running
    http: aiohttp.ClientSession
    now: datetime = datetime(2026, 11, 23, 12, 34, tzinfo=UTC)
    ids: list[str] = field(default_factory=list)

    async def call(
        self, body: dict[str, Any], said: str = "", key: str = "sk-1", path: str = "/v1/chat/completions", **more: str
    ) -> str:
        """One call of an app, read to its end; the answer's `x-farebox-id`."""
        headers = {"Authorization": f"Bearer {key}", "x-simulate": said, **more}
        async with self.http.post(f"http://{self.app.listening}{path}", json=body, headers=headers) as answer:
            await answer.read()
            self.ids.append(answer.headers["x-farebox-id"])
        return self.ids[-1]

    async def posted(self) -> None:
        """Until everything stands in the ledger."""
        await until(lambda: self.app.open_calls == 0 and self.app.journal.pending() == 0)

    async def ask(self, path: str, status: int = 200) -> Any:
        """What the console answers."""
        async with self.http.get(f"http://{self.app.console_listening}{path}") as answer:
            assert answer.content_type == "application/json", await answer.text()
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def metrics(self) -> dict[str, list[Any]]:
        """The samples of every family."""
        async with self.http.get(f"http://{self.app.console_listening}/metrics") as answer:
            assert answer.status == 200
            families = text_string_to_metric_families(await answer.text())
        return {family.name: family.samples for family in families}


@asynccontextmanager
async def scene(settings: MakeSettings, **more: str) -> AsyncIterator[Scene]:
    simulator = await start(Simulator(seed=3))
    numbers = count(1)
    set_up: list[Scene] = []
    clock = Clock(lambda: set_up[0].now if set_up else Scene.now, time.monotonic, lambda: f"fbx_{next(numbers):04d}")
    try:
        async with running(settings(simulator.url, **more), clock) as app, aiohttp.ClientSession() as http:
            set_up.append(Scene(app, simulator, http))
            await until(lambda: app.ledger_ready)
            yield set_up[0]
    finally:
        await simulator.stop()


def play(settings: MakeSettings, act: Callable[[Scene], Awaitable[None]], **more: str) -> None:
    async def scenario() -> None:
        async with scene(settings, **more) as on:
            await act(on)

    asyncio.run(scenario())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# ── sums ────────────────────────────────────────────────────────────────────────


def test_nothing_yet(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        nothing = dict.fromkeys(FIGURES, 0) | {"cost_usd": "0"}
        assert await on.ask("/api/v1/spend") == {
            "from": "2026-11-23T00:00:00Z",
            "to": "2026-11-24T00:00:00Z",
            "timezone": "UTC",
            "by": ["model"],
            "rows": [],
            "total": nothing,
        }
        assert await on.ask("/api/v1/charges") == {"charges": [], "next": None}

    play(settings, act)


def test_sums_by_dimension_the_dearest_first(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        # $2.50 and $10 a million; fine-tuned $0.30 and $1.20
        await on.call(CHAT, "prompt_tokens=1000; completion_tokens=100", key="sk-1")
        await on.call(CHAT, "prompt_tokens=2000; cached_tokens=1024; completion_tokens=7", key="sk-2")
        await on.call(FINE_TUNED, "prompt_tokens=10; completion_tokens=1", key="sk-2")
        await on.posted()
        by_model = await on.ask("/api/v1/spend?by=base_model")
        assert by_model["rows"] == [
            {"base_model": "gpt-4o", "requests": 2, "input_tokens": 3000, "cached_tokens": 1024, "output_tokens": 107,
             "cost_usd": "0.00729", "estimated": 0, "unknown": 0},
            {"base_model": "gpt-4o-mini", "requests": 1, "input_tokens": 10, "cached_tokens": 0, "output_tokens": 1,
             "cost_usd": "0.0000042", "estimated": 0, "unknown": 0},
        ]  # fmt: skip
        assert by_model["total"]["cost_usd"] == "0.0072942"
        by_both = await on.ask("/api/v1/spend?by=base_model,key")
        assert [(row["base_model"], row["requests"]) for row in by_both["rows"]] == [
            ("gpt-4o", 1), ("gpt-4o", 1), ("gpt-4o-mini", 1),
        ]  # fmt: skip
        assert len({row["key"] for row in by_both["rows"]}) == 2
        whole = await on.ask("/api/v1/spend?by=")
        assert (whole["by"], len(whole["rows"]), whole["rows"][0]) == ([], 1, whole["total"])

    play(settings, act)


@pytest.mark.parametrize(
    ("query", "calls"),
    [
        ("", 1),  # today
        ("window=day", 1),
        ("window=hour", 1),
        ("window=week", 1),  # from Monday
        ("window=month", 2),
        ("window=total", 3),
        ("from=2026-11-22", 2),
        ("from=2026-11-22&to=2026-11-23", 1),
        ("to=2026-11-22", 1),
        ("from=2026-11-22T23:59:59Z&to=2026-11-22T23:59:59.5Z", 1),
        ("from=2026-11-23T01:00:00%2B01:00", 1),
        ("from=2026-11-24", 0),
        ("from=2020-01-01&window=day", 1),  # a window counts before both
    ],
)
def test_only_charges_of_the_period(settings: MakeSettings, query: str, calls: int) -> None:
    async def act(on: Scene) -> None:
        for moment in ("2026-10-31T23:00:00", "2026-11-22T23:59:59.25", "2026-11-23T12:00:00"):
            on.now = at(moment)
            await on.call(CHAT)
        await on.posted()
        on.now = at("2026-11-23T12:59:00")
        assert (await on.ask(f"/api/v1/spend?{query}"))["total"]["requests"] == calls
        if query:
            found = await on.ask(f"/api/v1/charges?{query}")
            assert len(found["charges"]) == calls

    play(settings, act)


def test_days_and_dates_are_those_of_the_configured_zone(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        on.now = at("2026-11-22T15:30:00")  # the 23rd in Tokyo, for half an hour
        await on.call(CHAT)
        await on.posted()
        today = await on.ask("/api/v1/spend?interval=day")
        assert (today["from"], today["to"]) == ("2026-11-22T15:00:00Z", "2026-11-23T15:00:00Z")
        assert today["timezone"] == "Asia/Tokyo"
        assert [row["day"] for row in today["rows"]] == ["2026-11-23"]
        assert (await on.ask("/api/v1/spend?to=2026-11-23"))["total"]["requests"] == 0

    play(settings, act, timezone="Asia/Tokyo")


def test_a_row_for_every_interval(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        for moment in ("2026-11-01T00:10:00", "2026-11-01T00:50:00", "2026-11-01T01:10:00", "2026-12-01T00:00:00"):
            on.now = at(moment)
            await on.call(CHAT)
        await on.posted()
        labels = {}
        for interval in ("hour", "day", "month"):
            found = await on.ask(f"/api/v1/spend?from=2026-01-01&by=&interval={interval}")
            labels[interval] = [(row[interval], row["requests"]) for row in found["rows"]]
        assert labels == {
            "hour": [("2026-11-01T00:00", 2), ("2026-11-01T01:00", 1), ("2026-12-01T00:00", 1)],
            "day": [("2026-11-01", 3), ("2026-12-01", 1)],
            "month": [("2026-11", 3), ("2026-12", 1)],
        }

    play(settings, act)


WRONG = (
    ("spend?by=colour", "by=colour: sums are grouped by team, project, key"),
    ("spend?by=model,colour", "by=colour"),
    ("spend?by=lines", "by=lines"),
    ("spend?interval=week", "interval=week: one of hour, day, month"),
    ("spend?interval=", "interval=: one of hour, day, month"),
    ("spend?window=quarter", "window=quarter: one of hour, day, week, month, total"),
    ("spend?window=", "window=: one of hour, day, week, month, total"),
    ("spend?from=yesterday", "'yesterday' is neither a date (2026-11-23) nor a time"),
    ("spend?to=2026-13-01", "'2026-13-01' is neither a date"),
    ("charges?from=", "'' is neither a date"),
    ("charges?limit=many", "limit: a whole number"),
    ("charges?limit=1.5", "limit: a whole number"),
    ("charges?after=fbx_1", "after: what the page before answered as next"),
    ("charges?window=year", "window=year: one of"),
    ("charges?from=0001-01-01T00:00%2B23:00", "'0001-01-01T00:00+23:00' is neither a date"),
    ("spend?to=9999-12-31T23:59-23:00", "'9999-12-31T23:59-23:00' is neither a date"),
)


def test_a_wrong_parameter_is_named(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        for path, says in WRONG:
            message = (await on.ask(f"/api/v1/{path}", 400))["error"]["message"]
            assert message.startswith(says), path

    play(settings, act)


# ── charges ─────────────────────────────────────────────────────────────────────


def test_charges_newest_first_and_so_many_only(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        for minute in range(5):
            on.now = datetime(2026, 11, 23, 12, minute, tzinfo=UTC)
            await on.call(CHAT if minute % 2 else FINE_TUNED)
        await on.posted()

        async def ids(query: str) -> list[str]:
            return [charge["id"] for charge in (await on.ask(f"/api/v1/charges{query}"))["charges"]]

        newest = on.ids[::-1]
        assert await ids("") == newest
        assert await ids("?limit=2") == newest[:2]
        assert await ids("?limit=0") == await ids("?limit=-7") == newest[:1]
        assert await ids("?limit=999999999999") == newest
        assert await ids("?base_model=gpt-4o") == newest[1::2]
        assert await ids("?base_model=gpt-4o&status=404") == []
        assert await ids("?operation=chat&basis=reported&status=200") == newest

    play(settings, act)


def test_charges_page_by_page(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        for minute in (0, 1, 1, 1, 20):  # three at one moment: their ids tell them apart
            on.now = datetime(2026, 11, 23, 12, minute, tzinfo=UTC)
            await on.call(CHAT)
        await on.posted()
        seen, after = list[str](), ""
        while True:
            page = await on.ask(f"/api/v1/charges?limit=2{after}")
            seen += [charge["id"] for charge in page["charges"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert seen == on.ids[::-1]

    play(settings, act)


def test_what_has_no_value_of_a_dimension_can_be_asked_for(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        await on.call(CHAT | {"user": "ann"})
        await on.call(CHAT)
        await on.posted()
        for question in ("charges?user=", "charges?user=&team="):
            assert [charge["id"] for charge in (await on.ask(f"/api/v1/{question}"))["charges"]] == on.ids[1:]
        for name, requests in (("user", 1), ("team", 2), ("basis", 0)):
            assert (await on.ask(f"/api/v1/spend?{name}="))["total"]["requests"] == requests

    play(settings, act)


def test_charges_and_sums_are_narrowed_by_every_dimension(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        headers = {"OpenAI-Project": "proj_1", "OpenAI-Organization": "org-1"}
        await on.call(CHAT | {"user": "u-1"}, "no_usage", **headers)
        await on.posted()
        charge = (await on.ask("/api/v1/charges"))["charges"][0]
        said = [name for name in DIMENSIONS if charge[name] is not None]
        assert {*DIMENSIONS} - {*said} == {"team"}  # teams come with keys that Farebox issues
        for name in DIMENSIONS:
            for value, found in ((charge[name], 1), ("nothing-like-it", 0)):
                if value is None:
                    continue
                assert len((await on.ask(f"/api/v1/charges?{name}={value}"))["charges"]) == found
                assert (await on.ask(f"/api/v1/spend?{name}={value}"))["total"]["requests"] == found

    play(settings, act)


def test_one_charge_says_everything_but_content(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        body = {**CHAT, "user": "u-1", "service_tier": "flex", "model": "gpt-5.4"}
        headers = {"OpenAI-Project": "proj_1", "X-Farebox-Tag-Job": "nightly"}
        ident = await on.call(body, "prompt_tokens=1000; completion_tokens=100; tier=flex", **headers)
        first = await on.ask(f"/api/v1/charges/{ident}")  # from the journal, or from the ledger already
        await on.posted()
        charge = await on.ask(f"/api/v1/charges/{ident}")
        assert charge == first
        assert charge["lines"] == [
            {"unit": "input_text_tokens", "quantity": 1000, "rate_usd": "1.25", "per": M, "cost_usd": "0.00125"},
            {"unit": "output_text_tokens", "quantity": 100, "rate_usd": "7.5", "per": M, "cost_usd": "0.00075"},
        ]  # fmt: skip
        expected = {
            "id": ident,
            "started_at": "2026-11-23T12:34:00.000000Z",
            "operation": "chat",
            "method": "POST",
            "path": "/v1/chat/completions",
            "requested_model": "gpt-5.4",
            "service_tier": "flex",
            "status": 200,
            "streamed": False,
            "client_gone": False,
            "basis": "reported",
            "usage": {"input_text_tokens": 1000, "output_text_tokens": 100},
            "unpriced": {},
            "cost_usd": "0.002",
            "cost_pico": 2_000_000_000,
            "project": "proj_1",
            "user": "u-1",
            "tags": {"job": "nightly"},
            "replica": "test",
        }
        assert {name: charge[name] for name in expected} == expected
        assert charge["key"].startswith("fp_")
        assert "hello" not in str(charge)
        assert "sk-1" not in str(charge)

    play(settings, act)


def test_a_charge_can_be_asked_for_while_it_waits_for_the_ledger(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        kept = on.app._tasks[0]  # nobody posts
        kept.cancel()
        await asyncio.gather(kept, return_exceptions=True)
        ident = await on.call(CHAT)
        assert on.app.journal.pending() == 1
        assert (await on.ask(f"/api/v1/charges/{ident}"))["id"] == ident
        assert (await on.ask("/api/v1/charges"))["charges"] == []

    play(settings, act)


@pytest.mark.parametrize("ident", ["fbx_none", "1", "a%2Fb", "%27%20OR%201=1", "%00", "%ff"])
def test_a_charge_that_is_not_there(settings: MakeSettings, ident: str) -> None:
    async def act(on: Scene) -> None:
        await on.call(CHAT)
        assert (await on.ask(f"/api/v1/charges/{ident}", 404))["error"]["message"].startswith("there is no charge ")

    play(settings, act)


# ── the same figures everywhere ─────────────────────────────────────────────────


def test_spend_charges_metrics_and_the_simulator_s_bill_agree(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        for number in range(6):
            await on.call(CHAT if number % 2 else FINE_TUNED, key=f"sk-{number % 3}")
        await on.call(CHAT | {"stream": True}, key="sk-1")
        await on.call({"model": "gpt-6.1-sol", "input": "hi", "stream": True}, path="/v1/responses")
        await on.call({"model": "text-embedding-3-small", "input": ["a", "b"]}, path="/v1/embeddings")
        await on.call({"input": "x"}, path="/v1/moderations")
        await on.call(CHAT | {"model": "gpt-9-imaginary"})  # refused: no charge
        await on.posted()

        charges = (await on.ask("/api/v1/charges"))["charges"]
        spend = await on.ask("/api/v1/spend?by=model")
        assert on.ids[-1] not in {charge["id"] for charge in charges}
        assert len(charges) == len(on.ids) - 1 == spend["total"]["requests"]

        pico = sum(charge["cost_pico"] for charge in charges)
        assert Decimal(spend["total"]["cost_usd"]).scaleb(12) == pico
        assert on.simulator.simulator.bill.total_usd.scaleb(12) == pico

        for row in spend["rows"]:
            of_model = [charge for charge in charges if charge["model"] == row["model"]]
            assert row["requests"] == len(of_model)
            assert Decimal(row["cost_usd"]) == sum(Decimal(charge["cost_usd"]) for charge in of_model)
            assert row["input_tokens"] + row["output_tokens"] == sum(
                quantity for charge in of_model for quantity in charge["usage"].values()
            )
            lines = [line for charge in of_model for line in charge["lines"]]
            assert Decimal(row["cost_usd"]) == sum((Decimal(line["cost_usd"]) for line in lines), Decimal(0))

        assert sum(on.app.metrics.cost.values.values()) == pico
        samples = await on.metrics()
        shown: dict[str, float] = {}
        for sample in samples["farebox_cost_usd"]:
            shown[sample.labels["model"]] = shown.get(sample.labels["model"], 0) + sample.value
        assert shown == {row["model"] or "": pytest.approx(float(row["cost_usd"]), rel=1e-12) for row in spend["rows"]}
        tokens = sum(sample.value for sample in samples["farebox_tokens"])
        assert tokens == sum(quantity for charge in charges for quantity in charge["usage"].values())
        for window in ("day", "month"):
            gauge = sum(s.value for s in samples["farebox_spend_usd"] if s.labels["window"] == window)
            assert gauge == pytest.approx(pico / 10**12, rel=1e-12)

    play(settings, act)


def test_what_is_not_known_is_counted_and_not_summed(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        await on.call(CHAT, "prompt_tokens=1000; completion_tokens=100")
        await on.call(CHAT, "no_usage")
        later = {"model": "gpt-6.1-sol", "input": "hi", "background": True}
        await on.call(later, "no_usage", path="/v1/responses")
        on.now += timedelta(days=3)
        await on.app.followups.step()  # nobody can ask, and nobody has waited longer
        on.now -= timedelta(days=3)
        await on.posted()
        spend = await on.ask("/api/v1/spend?by=basis")
        unknown, estimated, reported = (await on.ask("/api/v1/charges"))["charges"]
        assert (unknown["basis"], unknown["reason"], unknown["cost_usd"]) == ("unknown", "never_told", None)
        assert (estimated["basis"], estimated["reason"]) == ("estimated", "no_usage")
        assert {(row["basis"], row["requests"], row["estimated"], row["unknown"]) for row in spend["rows"]} == {
            ("reported", 1, 0, 0),
            ("estimated", 1, 1, 0),
            ("unknown", 1, 0, 1),
        }
        assert Decimal(spend["total"]["cost_usd"]) == Decimal(reported["cost_usd"]) + Decimal(estimated["cost_usd"])

    play(settings, act)


# ── what the API says of itself ─────────────────────────────────────────────────


def test_the_description_names_every_route_and_no_other(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        described = await on.ask("/api/v1/openapi.json")
        console = on.app._runners[1]
        assert isinstance(console, aiohttp.web.AppRunner)
        routes = {
            resource.canonical
            for resource in console.app.router.resources()
            if resource.canonical.startswith("/api/") and not resource.canonical.endswith("/openapi.json")
        }
        assert {*described["paths"]} == routes
        assert described["openapi"].startswith("3.1")

    play(settings, act)


def test_the_description_s_parameters_are_understood(settings: MakeSettings) -> None:
    async def act(on: Scene) -> None:
        described = await on.ask("/api/v1/openapi.json")
        names = {parameter["name"] for parameter in described["paths"]["/api/v1/spend"]["get"]["parameters"]}
        assert names == {"by", "interval", "from", "to", "window", *DIMENSIONS}
        assert "limit" in {
            parameter["name"] for parameter in described["paths"]["/api/v1/charges"]["get"]["parameters"]
        }

    play(settings, act)


def test_what_waits_in_the_journal_is_told(settings: MakeSettings) -> None:
    async def check() -> None:
        async with scene(settings) as farebox:
            nothing = {"replica": "test", "under_way": 0, "waiting": 0, "oldest": None, "aside": 0, "problem": None}
            await farebox.posted()
            assert (await farebox.ask("/api/v1/journal")).items() >= nothing.items()
            slow = asyncio.create_task(farebox.call(CHAT, "delay=1"))
            await until(lambda: farebox.app.journal.open_calls == 1)
            told = await farebox.ask("/api/v1/journal")
            assert told.items() >= {**nothing, "under_way": 1}.items()
            assert told["bytes"] > 0
            await slow

    asyncio.run(check())
