import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from billing.keys import Key, Name, digest
from billing.store import Store
from proxy.console.keys import OPENAPI_PATHS, KeysApi

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
JSON = "application/json"
Ask = Callable[..., Awaitable[Any]]


class Api:
    """The API over a registry, at a time that the test sets."""

    def __init__(self, store: Store, client: "TestClient[Any, Any]") -> None:
        self.store = store
        self.client = client

    async def ask(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        """What is answered; `body` is sent by all but GET and DELETE."""
        sent = {} if method in {"GET", "DELETE"} else {"json": body}
        async with self.client.request(method, f"/api/v1/{path}", **sent) as answer:
            assert answer.content_type == JSON, await answer.text()
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def refused(self, method: str, path: str, status: int, **body: Any) -> str:
        return str((await self.ask(method, path, status, **body))["error"]["message"])

    async def keys(self) -> list[Key]:
        return (await self.store.registry.directory()).all(Key)


def play(folder: Path, act: Callable[[Api, list[datetime]], Awaitable[None]]) -> None:
    """Over a fresh registry; the list's last time is now."""

    async def scenario() -> None:
        store = Store(f"sqlite:///{folder}/farebox.db")
        await store.create()
        times, made = [NOW], iter(range(1, 100))
        api = KeysApi(
            store.registry, ZoneInfo("Europe/Paris"), lambda: times[-1], lambda size: bytes([next(made)]) * size
        )
        application = web.Application()
        application.add_routes(api.routes())
        try:
            async with TestClient(TestServer(application)) as client:
                await act(Api(store, client), times)
        finally:
            await store.close()

    asyncio.run(scenario())


def test_a_key_is_made_and_its_secret_is_in_that_answer_only(tmp_path: Path) -> None:
    async def act(api: Api, times: list[datetime]) -> None:
        made = await api.ask(
            "POST", "keys", 201, name="search-prod", team="search", project="web", tags={"Env": "prod"},
            models=["gpt-4o"], endpoints=["chat"], requests_per_minute=5, tokens_per_minute=9, expires="30d",
        )  # fmt: skip
        secret = made["key"]
        assert re.fullmatch(r"fb-[A-Za-z0-9_-]{43}", secret)
        assert made == {
            "id": "key_0101010101010101",
            "key": secret,
            "name": "search-prod",
            "hint": f"fb-…{secret[-4:]}",
            "team": "search",
            "project": "web",
            "tags": {"env": "prod"},
            "models": ["gpt-4o"],
            "endpoints": ["chat"],
            "requests_per_minute": 5,
            "tokens_per_minute": 9,
            "created_at": "2026-11-23T12:00:00Z",
            "expires_at": "2026-12-23T12:00:00Z",
            "revoked_at": None,
            "state": "in force",
        }
        (key,) = await api.keys()
        assert key.digest == digest(secret)
        times.append(NOW + timedelta(days=30))
        listed = await api.ask("GET", "keys")
        assert listed == {"keys": [{name: made[name] for name in made if name != "key"} | {"state": "expired"}]}

    play(tmp_path, act)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "missing required field `name`"),
        ({"name": ""}, "a name: 1 to 100"),
        ({"name": "a", "secret": "mine"}, "secret"),
        ({"name": "a", "tags": {"env": 1}}, "Expected `str`"),
        ({"name": "a", "models": "gpt-4o"}, "Expected `array`"),
        ({"name": "a", "endpoints": ["chats"]}, "chats: endpoints are paths"),
        ({"name": "a", "requests_per_minute": 0}, "from 1 on"),
        ({"name": "a", "expires": "soon"}, "neither a date"),
        ({"name": "sk-1"}, "does not begin like a key"),
    ],
)
def test_terms_that_make_no_key(tmp_path: Path, body: dict[str, Any], says: str) -> None:
    async def act(api: Api, _: list[datetime]) -> None:
        assert says in await api.refused("POST", "keys", 400, **body)
        assert await api.keys() == []

    play(tmp_path, act)


def test_a_name_in_force_is_taken(tmp_path: Path) -> None:
    async def act(api: Api, _: list[datetime]) -> None:
        made = await api.ask("POST", "keys", 201, name="a")
        assert "a key named a is in force" in await api.refused("POST", "keys", 409, name="a")
        await api.ask("DELETE", f"keys/{made['id']}")
        await api.ask("POST", "keys", 201, name="a")

    play(tmp_path, act)


def test_a_key_is_rotated(tmp_path: Path) -> None:
    async def act(api: Api, times: list[datetime]) -> None:
        made = await api.ask("POST", "keys", 201, name="a", team="search")
        rotated = await api.ask("POST", f"keys/{made['id']}/rotate")
        assert (rotated["id"], rotated["name"], rotated["team"]) == (made["id"], "a", "search")
        assert [key.digest for key in await api.keys()] == [digest(rotated["key"])]
        again = await api.ask("POST", f"keys/{made['id']}/rotate", grace="1h")
        assert {key.digest: key.expires_at for key in await api.keys()} == {
            digest(again["key"]): None,
            digest(rotated["key"]): NOW + timedelta(hours=1),
        }
        assert len({made["key"], rotated["key"], again["key"]}) == 3
        assert "no length of time" in await api.refused("POST", f"keys/{made['id']}/rotate", 400, grace="soon")
        times.append(NOW + timedelta(hours=1))
        states = [key["state"] for key in (await api.ask("GET", "keys"))["keys"]]
        assert sorted(states) == ["expired", "in force"]

    play(tmp_path, act)


def test_a_key_is_revoked_for_good(tmp_path: Path) -> None:
    async def act(api: Api, times: list[datetime]) -> None:
        made = await api.ask("POST", "keys", 201, name="a")
        await api.ask("POST", f"keys/{made['id']}/rotate", grace="1h")
        revoked = await api.ask("DELETE", f"keys/{made['id']}")
        assert (revoked["state"], revoked["revoked_at"], "key" in revoked) == ("revoked", "2026-11-23T12:00:00Z", False)
        assert {key.revoked_at for key in await api.keys()} == {NOW}
        times.append(NOW + timedelta(hours=1))
        assert await api.ask("DELETE", f"keys/{made['id']}") == revoked
        assert "is revoked" in await api.refused("POST", f"keys/{made['id']}/rotate", 409)

    play(tmp_path, act)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "keys/key_0"),
        ("DELETE", "keys/a"),
        ("POST", "keys/key_0/rotate"),
        ("GET", "names/proj_1"),
        ("DELETE", "names/proj_1"),
    ],
)
def test_what_is_not_there(tmp_path: Path, method: str, path: str) -> None:
    async def act(api: Api, _: list[datetime]) -> None:
        await api.ask("POST", "keys", 201, name="a")
        await api.refused(method, path, 404)

    play(tmp_path, act)


def test_names_are_given_and_taken_away(tmp_path: Path) -> None:
    async def act(api: Api, _: list[datetime]) -> None:
        ci = {"id": "fp_0123456789ab", "name": "ci", "team": "infra", "project": "builds"}
        web_ = {"id": "proj_1", "name": "web", "team": None, "project": None}
        assert await api.ask("PUT", "names/fp_0123456789ab", name="ci", team="infra", project="builds") == ci
        assert await api.ask("PUT", "names/proj_1", name="shop") == web_ | {"name": "shop"}
        assert await api.ask("PUT", "names/proj_1", name="web") == web_
        assert await api.ask("GET", "names") == {"names": [ci, web_]}
        assert await api.ask("GET", "names/proj_1") == web_
        assert await api.ask("DELETE", "names/fp_0123456789ab") == ci
        assert (await api.store.registry.directory()).all(Name) == [Name("proj_1", "web")]
        assert "fingerprints" in await api.refused("PUT", "names/key_1", 400, name="x")
        assert "a team" in await api.refused("PUT", "names/proj_1", 400, name="x", team="\0")

    play(tmp_path, act)


@pytest.mark.parametrize("path", ["keys", "keys/key_0101010101010101/rotate", "names/proj_1"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_page_of_another_site_changes_nothing(tmp_path: Path, path: str, content_type: str) -> None:
    async def act(api: Api, _: list[datetime]) -> None:
        await api.ask("POST", "keys", 201, name="a")
        before = await api.store.registry.revision()
        method = "PUT" if path.startswith("names") else "POST"
        headers = {"Content-Type": content_type}
        async with api.client.request(method, f"/api/v1/{path}", data=b'{"name":"b"}', headers=headers) as answer:
            assert answer.status == 415
        assert await api.store.registry.revision() == before

    play(tmp_path, act)


def test_the_description_has_every_route(tmp_path: Path) -> None:
    async def act(api: Api, _: list[datetime]) -> None:
        offered = {(path, method.upper()) for path, operations in OPENAPI_PATHS.items() for method in operations}
        routes = KeysApi(api.store.registry, ZoneInfo("UTC"), lambda: NOW).routes()
        assert offered == {(route.path, route.method) for route in routes}

    play(tmp_path, act)
