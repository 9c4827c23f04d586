import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.cookies import Morsel
from typing import Any

import pytest
from aiohttp import DummyCookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from proxy.console.entrance import COOKIE, SESSION, Entrance

TOKEN = "s3cret-ö"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass
class Scene:
    """A door with something behind it that can be read and changed, and a browser whose jar the test holds."""

    client: TestClient[Any, Any]
    now: datetime = NOON
    jar: str = ""

    async def ask(self, method: str = "GET", path: str = "/api/v1/keys", **headers: str) -> int:
        cookie = {"Cookie": f"{COOKIE}={self.jar}"} if self.jar else {}
        async with self.client.request(method, path, headers=headers | cookie) as answer:
            return answer.status

    async def login(self, token: str = TOKEN, **headers: str) -> "tuple[int, Morsel[str] | None]":
        async with self.client.post("/api/v1/session", json={"token": token}, headers=headers) as answer:
            made = answer.cookies.get(COOKIE)
            self.jar = made.value if made else self.jar
            return answer.status, made

    async def has_session(self) -> bool:
        cookie = {"Cookie": f"{COOKIE}={self.jar}", "Authorization": f"Bearer {TOKEN}"}
        async with self.client.get("/api/v1/session", headers=cookie) as answer:
            told: bool = (await answer.json())["session"]
            return told


def play(act: Callable[[Scene], Awaitable[None]], token: str | None = TOKEN) -> None:
    async def scenario() -> None:
        there: list[Scene] = []
        entrance = Entrance(token, lambda: there[0].now if there else NOON)

        @web.middleware
        async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
            answer: web.StreamResponse = entrance.refusal(request) or await handler(request)
            return answer

        async def yes(_: web.Request) -> web.Response:
            return web.Response(text="yes")

        application = web.Application(middlewares=[guard])
        application.add_routes([*entrance.routes(), web.route("*", "/{rest:.*}", yes)])
        async with TestClient(TestServer(application), cookie_jar=DummyCookieJar()) as client:
            there.append(Scene(client))
            await act(there[0])

    asyncio.run(scenario())


def test_the_token_begins_a_session_that_opens_and_lasts_half_a_day() -> None:
    async def act(on: Scene) -> None:
        assert await on.ask() == 401
        status, made = await on.login()
        assert (status, await on.ask(), await on.has_session()) == (204, 200, True)
        assert made is not None
        assert TOKEN not in made.value
        assert (made["httponly"], made["samesite"], made["path"], made["secure"]) == (True, "Strict", "/", "")
        assert int(made["max-age"]) == SESSION.total_seconds()
        on.now = NOON + SESSION - timedelta(seconds=1)
        assert await on.ask() == 200
        on.now = NOON + SESSION
        assert (await on.ask(), await on.has_session()) == (401, False)

    play(act)


def test_behind_tls_the_cookie_never_leaves_it() -> None:
    async def act(on: Scene) -> None:
        for proto, secure in (("https", True), ("https, http", True), ("http", ""), ("", "")):
            _, made = await on.login(**{"X-Forwarded-Proto": proto})
            assert made is not None
            assert made["secure"] == secure

    play(act)


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN.upper(), "\ud800"])
def test_another_token_begins_none(token: str) -> None:
    async def act(on: Scene) -> None:
        status, made = await on.login(token)
        assert status in {400, 401}  # 400: not UTF-8
        assert made is None

    play(act)


@pytest.mark.parametrize(
    "forge",
    [
        lambda until, signature: f"{until + 1}.{signature}",
        lambda until, signature: f"{until}.{signature[:-1]}",
        lambda until, signature: f"{until}.",
        lambda until, signature: f"{until}",
        lambda until, signature: f"{until}.{'0' * 64}",
        lambda until, signature: f"-{until}.{signature}",
        lambda until, signature: f"{'9' * 5000}.{signature}",
        lambda until, signature: f"soon.{signature}",
        lambda until, signature: "²." + signature,
    ],
)
def test_a_forged_session_opens_nothing(forge: Callable[[int, str], str]) -> None:
    async def act(on: Scene) -> None:
        await on.login()
        until, _, signature = on.jar.partition(".")
        assert await on.ask() == 200
        on.jar = forge(int(until), signature)
        assert await on.ask() == 401

    play(act)


def test_another_admin_token_ends_all_sessions() -> None:
    kept: list[str] = []

    async def begin(on: Scene) -> None:
        await on.login()
        kept.append(on.jar)

    async def come_back(on: Scene) -> None:
        on.jar = kept[0]
        assert await on.ask() == 401

    play(begin)
    play(come_back, token="another")


def test_a_wrong_token_in_a_header_is_wrong_whatever_the_session() -> None:
    async def act(on: Scene) -> None:
        await on.login()
        assert await on.ask(Authorization="Bearer wrong") == 401

    play(act)


def test_a_session_can_be_ended() -> None:
    async def act(on: Scene) -> None:
        await on.login()
        headers = {"Cookie": f"{COOKIE}={on.jar}"}
        async with on.client.delete("/api/v1/session", headers=headers) as answer:
            assert (answer.status, answer.cookies[COOKIE].value, answer.cookies[COOKIE]["max-age"]) == (204, "", "0")

    play(act)


@pytest.mark.parametrize("token", [TOKEN, None])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),  # another port of this host
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://before-a-proxy.example"}, 200),
        ({"Origin": "http://{host}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://{host}.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
    ],
)
def test_a_page_of_another_site_changes_nothing(headers: dict[str, str], status: int, token: str | None) -> None:
    async def act(on: Scene) -> None:
        if token:
            await on.login()
        host = f"{on.client.host}:{on.client.port}"
        told = {name: value.replace("{host}", host) for name, value in headers.items()}
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert await on.ask(method, **told) == status
        assert await on.ask(**told) == 200  # reading: SameSite keeps the cookie away, and no answer may be read

    play(act, token)


def test_only_the_page_s_files_are_for_everybody() -> None:
    async def act(on: Scene) -> None:
        for path, status in (("/web/page.js", 200), ("/webs", 401), ("/web", 401), ("/api/v1/session", 401)):
            assert await on.ask(path=path) == status
        assert await on.ask("POST", "/web/page.js") == 401

    play(act)


def test_without_a_token_there_is_no_session() -> None:
    async def act(on: Scene) -> None:
        assert (await on.login("")) == (401, None)
        assert not await on.has_session()

    play(act, token=None)
