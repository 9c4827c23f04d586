import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from webhook import webhook

from billing.alerts import Alert, Kind, Level
from billing.store import Store
from proxy.alertmanager import Alertmanager
from proxy.console.alerts import OPENAPI_PATHS, AlertsApi

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@asynccontextmanager
async def console(folder: Path, *channels: Alertmanager) -> AsyncIterator[tuple[Store, str, aiohttp.ClientSession]]:
    """The API over an empty ledger: the ledger, its address, and somebody who asks."""
    store = Store(f"sqlite:///{folder}/farebox.db")
    await store.create()
    app = web.Application()
    app.add_routes(AlertsApi(store.alerts, {it.name: it for it in channels}, lambda: NOON).routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession() as http:
            yield store, f"http://127.0.0.1:{runner.addresses[0][1]}/api/v1/alerts", http
    finally:
        await runner.cleanup()
        await store.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def worked() -> None:
        async with asyncio.timeout(20):
            await work()

    asyncio.run(worked())


def alert(number: int) -> Alert:
    return Alert(Kind.KEY_IDLE, f"key_{number}", NOON, NOON + timedelta(days=1), Level.INFO, "title", "text")


def test_alerts_are_listed_with_their_deliveries(tmp_path: Path) -> None:
    async def work() -> None:
        async with console(tmp_path, Alertmanager("http://127.0.0.1:1", lambda: NOON)) as (store, url, http):
            for number in range(3):
                at = NOON + timedelta(seconds=number)
                await store.alerts.raise_alerts([alert(number)], lambda _: ["alertmanager"], at)
            async with http.get(url, params={"limit": "2"}) as answer:
                said = await answer.json()
        assert said["channels"] == ["alertmanager"]
        assert [row["subject"] for row in said["alerts"]] == ["key_2", "key_1"]
        assert said["alerts"][0]["deliveries"][0]["result"] == "pending"

    run(work)


@pytest.mark.parametrize(("limit", "status"), [("1", 200), ("-5", 200), ("99999999999", 200), ("many", 400)])
def test_any_limit(tmp_path: Path, limit: str, status: int) -> None:
    async def work() -> None:
        async with console(tmp_path) as (_, url, http), http.get(url, params={"limit": limit}) as answer:
            assert answer.status == status

    run(work)


def test_the_test_button_tells_how_each_channel_went(tmp_path: Path) -> None:
    async def work() -> None:
        async with webhook() as hook:
            channel = Alertmanager(f"http://127.0.0.1:{hook.port}", lambda: NOON)
            async with console(tmp_path, channel) as (store, url, http):
                for status, result, error in ((200, "delivered", None), (500, "failed", "answered 500")):
                    hook.status = status
                    async with http.post(f"{url}/test") as answer:
                        said = await answer.json()
                    assert said == {"channels": [{"channel": "alertmanager", "result": result, "error": error}]}
                assert await store.alerts.listed() == []  # a test is no alert
        assert len(hook.got) == 2

    run(work)


def test_every_route_is_described(tmp_path: Path) -> None:
    async def work() -> None:
        async with console(tmp_path) as (store, _, _http):
            routes = AlertsApi(store.alerts, {}, lambda: NOON).routes()
        assert {(it.path, it.method.lower()) for it in routes} == {
            (path, method) for path, methods in OPENAPI_PATHS.items() for method in methods
        }

    run(work)
