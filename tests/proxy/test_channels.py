import asyncio
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from webhook import webhook

from billing.alert_log import GIVE_UP_AFTER
from billing.alerts import Alert, Kind, Level
from billing.notify import Notifier, Routes, Undelivered
from billing.store import Store
from proxy.channels import AppriseChannel, routes
from proxy.settings import SettingsError, load

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CANARY = "canary5ecret"
ALERT = Alert(
    Kind.BUDGET_THRESHOLD, "search", NOON, NOON + timedelta(days=1), Level.CRITICAL,
    "Budget search: 100 % of $10 spent", "“$10.5” is <spent> & gone",
)  # fmt: skip


@pytest.fixture
def everything_logged() -> Iterator[list[logging.LogRecord]]:
    """What reaches the root of the log, as on a server that logs all. (pytest's own listens at every logger.)"""
    kept: list[logging.LogRecord] = []
    root, ear = logging.getLogger(), logging.Handler()
    ear.emit = kept.append  # type: ignore[method-assign]
    level = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    yield kept
    root.setLevel(level)
    root.removeHandler(ear)


def test_a_webhook_receives_the_alert() -> None:
    async def sent() -> None:
        async with webhook() as hook:
            await AppriseChannel(f"json://127.0.0.1:{hook.port}/hooks/x").send(ALERT)
        ((path, body),) = hook.got
        assert path == "/hooks/x"
        assert (body["title"], body["message"], body["type"]) == (ALERT.title, ALERT.text, "failure")

    asyncio.run(sent())


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_webhook_that_refuses_is_said_to(status: int) -> None:
    async def sent() -> None:
        async with webhook(status) as hook:
            with pytest.raises(Undelivered, match=f"^answered {status}$"):
                await AppriseChannel(f"json://127.0.0.1:{hook.port}/").send(ALERT)

    asyncio.run(sent())


def test_a_webhook_that_is_not_there_cannot_be_reached() -> None:
    async def sent() -> None:
        async with webhook() as hook:
            pass
        with pytest.raises(Undelivered, match=r"^cannot be reached$"):
            await AppriseChannel(f"json://127.0.0.1:{hook.port}/").send(ALERT)

    asyncio.run(sent())


def test_the_loop_goes_on_while_a_webhook_is_silent() -> None:
    async def sent() -> None:
        callers: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _reader, writer: callers.append(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        sending = asyncio.create_task(AppriseChannel(f"json://127.0.0.1:{port}/?rto=0.2").send(ALERT))
        turns = 0
        while not sending.done():
            turns += 1
            await asyncio.sleep(0.001)
        assert turns > 10
        assert isinstance(sending.exception(), Undelivered)
        silent.close()
        for caller in callers:
            caller.close()
            await caller.wait_closed()

    asyncio.run(sent())


def test_a_dead_webhook_is_tried_again_then_failed_and_no_secret_is_anywhere(
    tmp_path: Path, everything_logged: list[logging.LogRecord], capfd: pytest.CaptureFixture[str]
) -> None:
    """Apprise's own log quotes addresses: neither it nor the database may."""
    now = NOON

    async def delivered() -> None:
        nonlocal now
        store = Store(f"sqlite:///{tmp_path}/farebox.db")
        await store.create()
        try:
            async with webhook() as hook:
                pass  # it was there once
            channel = AppriseChannel(f"json://me:{CANARY}@127.0.0.1:{hook.port}/{CANARY}?x={CANARY}")
            paths = Routes([channel])
            await store.alerts.raise_alerts([ALERT], paths.names, now)
            notifier = Notifier(store.alerts, paths, lambda: now)
            while (due := await notifier.deliver(channel.name)) is not None:
                now = due
            ((delivery,),) = [row["deliveries"] for row in await store.alerts.listed()]
            assert (delivery["result"], delivery["error"]) == ("failed", "cannot be reached")
            assert delivery["attempts"] > 20
        finally:
            await store.close()

    asyncio.run(delivered())
    assert now == NOON + GIVE_UP_AFTER
    ours = [it.getMessage() for it in everything_logged if it.name.startswith(("farebox", "apprise"))]
    assert len(ours) == 2  # that it is tried again, and that it was given up
    assert CANARY not in "\n".join(ours)
    assert CANARY not in "".join(capfd.readouterr())
    with closing(sqlite3.connect(tmp_path / "farebox.db")) as database:
        assert CANARY not in "\n".join(database.iterdump())


@pytest.mark.parametrize(
    "url",
    [
        f"json://me:{CANARY}@host/{CANARY}",
        f"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/{CANARY}",
        f"mailto://me:{CANARY}@gmail.com",
        f"JSON://{CANARY}",
    ],
)
def test_a_name_tells_service_and_which_but_no_secret(url: str) -> None:
    name = AppriseChannel(url).name
    assert re.fullmatch(r"[a-z]+:[0-9a-f]{6}", name)
    assert AppriseChannel(url).name == name
    assert CANARY not in name


def test_two_of_a_service_have_two_names() -> None:
    assert AppriseChannel("json://one").name != AppriseChannel("json://two").name


def test_routes_are_those_of_the_settings() -> None:
    environ = {
        "FAREBOX_ALERTS": "json://one,xml://two",
        "FAREBOX_ALERT_TEAMS": '{"search": "json://three", "ads": ["json://one"]}',
        "FAREBOX_ALERTMANAGER": "http://127.0.0.1:9093",
    }
    chosen = routes(load(environ, default_file="/none"), lambda: NOON)
    kinds = [name.partition(":")[0] for name in chosen.names(ALERT)]
    assert kinds == ["json", "xml", "alertmanager"]
    assert {team: len(channels) for team, channels in chosen.teams.items()} == {"search": 1, "ads": 1}
    assert len(chosen.channels) == 4
    assert routes(load({}, default_file="/none"), lambda: NOON).channels == {}


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("FAREBOX_ALERTS", f"nosuch://{CANARY}", "FAREBOX_ALERTS: Apprise cannot send to an address nosuch://…"),
        ("FAREBOX_ALERTS", f"slack://{CANARY}", "FAREBOX_ALERTS: Apprise cannot send to an address slack://…"),
        ("FAREBOX_ALERT_TEAMS", f'{{"a": "nosuch://{CANARY}"}}', "FAREBOX_ALERT_TEAMS: Apprise cannot send"),
    ],
)
def test_an_address_that_apprise_does_not_know_stops_the_start_unquoted(variable: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        routes(load({variable: value}, default_file="/none"), lambda: NOON)
    assert str(raised.value).startswith(says)
    assert CANARY not in str(raised.value)
