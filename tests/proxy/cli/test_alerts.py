import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from billing.alert_log import Result
from billing.alerts import Alert, Kind, Level
from billing.store import Store
from proxy.cli.alerts import app

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LEASE = timedelta(minutes=1)


@pytest.fixture
def farebox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`farebox alerts …` beside a ledger of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environ: str) -> Any:
        variables = {f"FAREBOX_{name.upper()}": value for name, value in environ.items()}
        return CliRunner().invoke(app, arguments, env=variables)

    return run


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Any]]]:
    """A webhook that keeps what it is sent."""
    got: list[Any] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_said: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", got
        server.shutdown()
        thread.join()


def raised() -> None:
    async def raising() -> None:
        store = Store("sqlite:///farebox.db")
        await store.create()
        for number, channels in enumerate([(), ("a", "b", "c")]):
            until = NOON + timedelta(days=1)
            alert = Alert(Kind.TEST, str(number), NOON, until, Level.WARNING, f"title {number}", "text", team="ads")
            await store.alerts.raise_alerts([alert], lambda _, to=channels: to, NOON + number * LEASE)
        ends = [("a", Result.DELIVERED, None), ("b", Result.PENDING, "answered 500")]
        for channel, result, error in ends:
            claim = await store.alerts.claim(channel, NOON + LEASE, LEASE)
            assert claim is not None
            await store.alerts.record(claim, result, NOON + LEASE, error, NOON + 2 * LEASE)
        await store.close()

    asyncio.run(raising())


def test_a_list_has_the_newest_first_with_the_state_of_each_delivery(farebox: Callable[..., Any]) -> None:
    raised()
    listed = farebox("list", "--format", "json")
    assert listed.exit_code == 0
    newest, oldest = map(json.loads, listed.stdout.splitlines())
    assert (newest["title"], newest["raised_at"], oldest["title"]) == ("title 1", "2026-11-23T12:01:00Z", "title 0")
    assert newest["delivery"] == "a delivered, b pending after 1 × (answered 500), c pending"
    assert (oldest["delivery"], oldest["deliveries"]) == ("", [])
    assert farebox("list", "--limit", "1", "-f", "csv").stdout.splitlines()[1:] == [
        '2026-11-23T12:01:00Z,warning,test,title 1,ads,"a delivered, b pending after 1 × (answered 500), c pending"'
    ]
    assert "title 1" in farebox("list").stdout


def test_an_empty_list_says_what_to_do(farebox: Callable[..., Any]) -> None:
    listed = farebox("list")
    assert (listed.exit_code, "FAREBOX_ALERTS" in listed.stdout) == (0, True)


def test_a_test_reaches_every_channel(farebox: Callable[..., Any], hook: tuple[str, list[Any]]) -> None:
    address, got = hook
    tried = farebox("test", "-f", "json", alerts=f"json://{address}", alertmanager=f"http://{address}")
    assert tried.exit_code == 0, tried.output
    rows = [json.loads(line) for line in tried.stdout.splitlines()]
    assert [(row["channel"].partition(":")[0], row["result"]) for row in rows] == [
        ("json", "delivered"),
        ("alertmanager", "delivered"),
    ]
    assert {"Farebox: a test alert"} == {
        body["title"] if isinstance(body, dict) else body[0]["annotations"]["summary"] for body in got
    }


def test_a_channel_that_fails_is_seen_and_the_status_says_so(
    farebox: Callable[..., Any], hook: tuple[str, list[Any]]
) -> None:
    address, got = hook
    tried = farebox("test", alerts=f"json://{address},json://me:canary@127.0.0.1:1/canary")
    assert tried.exit_code == 1
    assert "cannot be reached" in tried.stdout
    assert len(got) == 1
    assert "canary" not in tried.output


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "no channel to test: set FAREBOX_ALERTS or FAREBOX_ALERTMANAGER"),
        ({"alerts": "nosuch://canary"}, "FAREBOX_ALERTS: Apprise cannot send to an address nosuch://… like this one"),
        ({"alerts": "canary"}, "FAREBOX_ALERTS=*** (environment): must be Apprise URLs"),
    ],
)
def test_what_cannot_be_tried(farebox: Callable[..., Any], environ: dict[str, str], says: str) -> None:
    tried = farebox("test", **environ)
    assert (tried.exit_code, says in tried.stderr, tried.stdout) == (2, True, "")
    assert "canary" not in tried.output
