"""PUT and DELETE of what operators define by name, asked over HTTP, with a registry in a real database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from billing.budgets import Budget
from billing.definitions import budget_from, budget_shown
from billing.registry import Change
from billing.scopes import Scope
from billing.store import Store
from proxy.console.budgets import OPENAPI_PATHS as BUDGETS
from proxy.console.defining import Defining
from proxy.console.limits import OPENAPI_PATHS as LIMITS

NOW = datetime(2026, 11, 23, 12, 34, tzinfo=UTC)
JSON = {"Content-Type": "application/json"}


@dataclass
class Scene:
    """A console with some routes, and somebody who asks it."""

    store: Store
    http: aiohttp.ClientSession
    address: str

    async def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] = JSON) -> tuple[int, Any]:
        url = f"{self.address}/api/v1/{path}"
        async with self.http.request(method, url, data=body or None, headers=headers) as answer:
            assert answer.content_type == "application/json", await answer.text()
            return answer.status, await answer.json()

    async def log(self) -> list[Change]:
        return await self.store.registry.changes()


@asynccontextmanager
async def serving(store: Store, routes: Iterable[web.RouteDef]) -> AsyncIterator[Scene]:
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield Scene(store, http, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


def play(folder: Path, act: Callable[[Scene], Awaitable[None]]) -> None:
    async def scenario() -> None:
        store = Store(f"sqlite:///{folder}/farebox.db")
        try:
            await store.create()
            defining = Defining(Budget, "budget", budget_from, budget_shown, store.registry, lambda: NOW)
            async with serving(store, defining.routes()) as on:
                await act(on)
        finally:
            await store.close()

    asyncio.run(scenario())


def test_put_replace_delete(tmp_path: Path) -> None:
    async def act(on: Scene) -> None:
        body = b'{"limit_usd": "50", "window": "week", "scope": {"team": ["search"]}, "mode": "soft", "alert": [50]}'
        shown = {"name": "a", "limit_usd": "50", "window": "week", "scope": {"team": ["search"]}, "mode": "soft",
                 "alert": [50]}  # fmt: skip
        assert await on.ask("PUT", "budgets/a", body) == (200, shown)
        status, replaced = await on.ask("PUT", "budgets/a", b'{"limit_usd": 7}')
        assert (status, replaced["window"], replaced["scope"]) == (200, "month", {})  # as a whole
        assert await on.ask("DELETE", "budgets/a") == (200, {"deleted": "a"})
        assert await on.ask("DELETE", "budgets/a") == (404, {"error": {"message": "there is no budget a"}})
        assert [change.definition for change in await on.log()] == [
            Budget("a", 50 * 10**12, "week", Scope({"team": ("search",)}), False, (50,)),
            Budget("a", 7 * 10**12),
            None,
        ]

    play(tmp_path, act)


@pytest.mark.parametrize(
    ("number", "pico"),
    [(b"0.1", 10**11), (b"50.000000000001", 50 * 10**12 + 1), (b"1234567890.123456789012", 1234567890123456789012)],
)
def test_a_decimal_number_is_taken_as_it_is_written(tmp_path: Path, number: bytes, pico: int) -> None:
    async def act(on: Scene) -> None:
        status, _ = await on.ask("PUT", "budgets/a", b'{"limit_usd": %b}' % number)
        assert status == 200
        assert [change.definition for change in await on.log()] == [Budget("a", pico)]

    play(tmp_path, act)


@pytest.mark.parametrize(("written", "name"), [("gr%C3%B6%C3%9Fe%20%26%20co", "größe & co"), ("a%3Fb", "a?b")])
def test_a_name_is_what_its_address_says(tmp_path: Path, written: str, name: str) -> None:
    async def act(on: Scene) -> None:
        url = f"{on.address}/api/v1/budgets/{written}"
        async with on.http.put(aiohttp.client.URL(url, encoded=True), json={"limit_usd": "1"}) as answer:
            assert (await answer.json())["name"] == name
        async with on.http.delete(aiohttp.client.URL(url, encoded=True)) as answer:
            assert await answer.json() == {"deleted": name}

    play(tmp_path, act)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is not"),
        (b"{", "the body is not"),
        (b"[]", "the body is not"),
        (b'{"limit_usd": NaN}', "the body is not"),
        (b'{"limit_usd": 1e999}', "limit_usd: "),
        (b'{"limit_usd": 1, "scope": {"team": "\xff"}}', ""),
        (b'{"limit_usd": 1, "scope": ' + b"[" * 9999 + b"]" * 9999 + b"}", ""),
        (b'{"limit_usd": 1' + b"0" * 5000 + b"}", ""),
        (b"[" * 50_000, "the body is not"),
        (b'{"limit_usd": "nan"}', "limit_usd: nan is not an amount in US dollars"),
        (b'{"limit_usd": 0.0000000000001}', "limit_usd: "),
        (b'{"limit_usd": true}', "limit_usd: "),
        (b"{}", "limit_usd: a limit is needed"),
        (b'{"limit_usd": 1, "teams": []}', "teams: there is no such field; there are limit_usd, window, scope"),
        (b'{"limit_usd": 1, "scope": {"team": []}}', "scope.team: "),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(tmp_path: Path, body: bytes, words: str) -> None:
    async def act(on: Scene) -> None:
        status, answer = await on.ask("PUT", "budgets/a", body)
        assert status == 400
        assert words in answer["error"]["message"]
        assert await on.log() == []

    play(tmp_path, act)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_form_of_another_site_changes_nothing(tmp_path: Path, content_type: str) -> None:
    async def act(on: Scene) -> None:
        status, answer = await on.ask("PUT", "budgets/a", b'{"limit_usd": 1}', {"Content-Type": content_type})
        assert status == 415
        assert "application/json" in answer["error"]["message"]
        assert await on.log() == []

    play(tmp_path, act)


@pytest.mark.parametrize(("noun", "paths"), [("budget", BUDGETS), ("limit", LIMITS)])
def test_the_description_has_every_operation(noun: str, paths: dict[str, Any]) -> None:
    assert {(path, method) for path, methods in paths.items() for method in methods} == {
        (f"/api/v1/{noun}s", "get"),
        (f"/api/v1/{noun}s/{{name}}", "put"),
        (f"/api/v1/{noun}s/{{name}}", "delete"),
    }
