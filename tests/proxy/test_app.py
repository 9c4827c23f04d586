"""A replica's life: start, restart, what it finds from before, what it does without its database, stop."""

import asyncio
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from replica import Replica, until
from scripted_upstream import Seen, answering, scripted

from billing.attribution import Attribution
from billing.budgets import Budget
from billing.charges import Call
from billing.journal import Journal, JournalLocked
from billing.money import PICO_PER_USD
from billing.price_sources import price_book
from proxy.app import App, running, system_clock

USAGE = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
BODY = json.dumps({"id": "x", "model": "gpt-4o-mini", "choices": [], "usage": USAGE}).encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
ASK = b'{"model":"gpt-4o-mini","messages":[]}'
POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(ASK) + ASK
)


async def metrics(farebox: Replica) -> str:
    """The exposition, once the counters stand."""
    async with ClientSession() as session:
        for _ in range(500):
            async with session.get(f"http://{farebox.app.console_listening}/metrics") as answer:
                if answer.status == 200:
                    return await answer.text()
            await asyncio.sleep(0.01)
    raise AssertionError("no metrics")


def sums(exposition: str, name: str) -> float:
    lines = (line for line in exposition.splitlines() if line.startswith(name + "{"))
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_counters_go_on_where_the_ledger_stands(replica: Any) -> None:
    async def scene() -> None:
        async with scripted(answering(OK)) as upstream:
            for life in range(1, 4):
                async with replica(upstream.url) as farebox:
                    await metrics(farebox)
                    await farebox.send(POST)
                    charges = await farebox.charges()
                    shown = await metrics(farebox)
                    assert len(charges) == life
                    total = sum(charge["cost_pico"] for charge in charges)
                    assert sums(shown, "farebox_cost_usd_total") == pytest.approx(total / PICO_PER_USD, rel=1e-12)
                    assert sums(shown, "farebox_tokens_total") == 1010 * life

    asyncio.run(scene())


def test_the_spend_gauge_comes_from_the_ledger(replica: Any) -> None:
    async def scene() -> None:
        async with scripted(answering(OK)) as upstream:
            async with replica(upstream.url) as farebox:
                await farebox.send(POST)
                await farebox.settled()
            async with replica(upstream.url) as farebox:
                shown = await metrics(farebox)
                for window in ("day", "month"):
                    line = f'farebox_spend_usd{{base_model="gpt-4o-mini",team="",window="{window}"}} 0.000156'
                    assert line in shown

    asyncio.run(scene())


def test_calls_that_were_in_flight_when_the_process_died_are_charged_as_unknown(replica: Any, tmp_path: Path) -> None:
    clock = system_clock()
    journal = Journal(tmp_path / "journal" / "test")
    journal.open(Call("fbx_lost", clock.now(), "chat", "POST", "/v1/chat/completions", Attribution(), "test", "gpt-4o"))
    journal.shut()

    async def scene() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url) as farebox:
            (charge,) = await farebox.charges()
            assert (charge["id"], charge["basis"], charge["reason"]) == ("fbx_lost", "unknown", "interrupted")
            assert charge["cost_usd"] is None

    asyncio.run(scene())


def test_two_replicas_cannot_share_a_journal(settings: Any) -> None:
    chosen = settings("http://127.0.0.1:9")
    first = App(chosen)
    with pytest.raises(JournalLocked, match="FAREBOX_REPLICA"):
        App(chosen)
    first.journal.shut()


def test_prices_are_those_of_the_upstream_s_host(settings: Any) -> None:
    regional = App(settings("https://eu.api.openai.com"))
    assert regional.book.version == price_book(None, "eu.api.openai.com").version != price_book().version
    regional.journal.shut()


def test_a_start_that_fails_leaves_nothing_behind(settings: Any) -> None:
    async def scene() -> None:
        taken = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        address = f"127.0.0.1:{taken.sockets[0].getsockname()[1]}"
        chosen = settings("http://127.0.0.1:9", console=address)
        with pytest.raises(OSError, match="address already in use"):
            async with running(chosen):
                raise AssertionError("it serves on a port that is taken")
        taken.close()
        async with running(chosen) as app:
            assert str(app.console_listening) == address

    asyncio.run(scene())


def test_without_its_database_service_goes_on_and_nothing_is_lost(replica: Any, tmp_path: Path) -> None:
    folder = tmp_path / "away"

    async def scene() -> None:
        async with scripted(answering(OK)) as upstream:
            database = f"sqlite:///{folder}/farebox.db"
            async with replica(upstream.url, database=database) as farebox:
                assert (await farebox.send(POST)).startswith(b"HTTP/1.1 200 OK")
                assert farebox.app.journal.pending() == 1
                async with ClientSession() as session:
                    async with session.get(f"http://{farebox.app.console_listening}/readyz") as ready:
                        assert ready.status == 200
                    async with session.get(f"http://{farebox.app.console_listening}/metrics") as shown:
                        assert shown.status == 503
                folder.mkdir()
                (charge,) = await farebox.charges()
                assert charge["cost_usd"] == "0.000156"

    asyncio.run(scene())


def test_stopping_lets_open_calls_finish(replica: Any) -> None:
    go_on = asyncio.Event()

    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(OK)

    async def scene() -> None:
        async with scripted(script) as upstream:
            async with replica(upstream.url, shutdown_seconds="10") as farebox:
                call = asyncio.create_task(farebox.send(POST))
                await until(lambda: bool(upstream.seen))
                asyncio.get_running_loop().call_later(0.1, go_on.set)
            assert (await call).endswith(BODY)

    asyncio.run(scene())


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    new_id = system_clock().new_id
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(ident.startswith("fbx_") and len(ident) == 32 for ident in ids)
    assert ids[0][:16] <= ids[-1][:16]


@pytest.mark.parametrize("jump", [timedelta(hours=1), -timedelta(hours=1), timedelta(days=40), -timedelta(days=40)])
def test_a_clock_that_jumps_in_the_middle_of_a_call_loses_nothing(
    settings: Any, jump: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    """Half an hour from the end of a budget's day, while a call is open, and back again after a restart."""
    there = [datetime(2026, 11, 24, 23 if jump > timedelta() else 0, 30, tzinfo=UTC)]
    clock = replace(system_clock(), now=lambda: there[0])

    async def jumping(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        there[0] += jump
        writer.write(OK)

    async def scene() -> None:
        async with scripted(jumping) as upstream:
            for life in (1, 2):
                async with running(settings(upstream.url), clock) as app:
                    farebox = Replica(app)
                    if life == 1:
                        await farebox.define(Budget("daily", PICO_PER_USD, "day"))
                    for _ in range(3):
                        assert b" 200 OK" in await farebox.send(POST)
                        there[0] -= jump
                    charges = await farebox.charges()
                    assert len(charges) == 3 * life
                    (position,) = app.balances.positions(there[0])
                    assert (position.spent_pico, position.held_pico) == (sum(row["cost_pico"] for row in charges), 0)
                    assert {row["basis"] for row in charges} == {"reported"}
                    there[0] += jump
                    (position,) = app.balances.positions(there[0])
                    assert (position.spent_pico, position.held_pico) == (0, 0), "a call belongs to when it began"
                    there[0] -= jump

    asyncio.run(scene())
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
