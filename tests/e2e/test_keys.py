"""A key's life: what an app, the upstream and the books see of it, and that its secret is nowhere else."""

import asyncio
import dataclasses
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from replica import Replica, until
from scripted_upstream import ScriptedUpstream, Seen, scripted

from proxy.app import App, running
from proxy.settings import Settings

OWN_KEY = "sk-canary-upstream-77be"

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


async def script(_: Seen, writer: asyncio.StreamWriter) -> None:
    """An OpenAI that answers every call."""
    usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    body = json.dumps({"id": "chatcmpl-1", "model": "gpt-4o", "choices": [], "usage": usage}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@dataclass
class Scene:
    """A replica with an upstream key of its own, an operator and an app. `told` is all that either was answered,
    but for the answers that secrets are made in."""

    app: App
    upstream: ScriptedUpstream
    http: ClientSession
    told: bytearray = field(default_factory=bytearray)

    async def change(self, method: str, path: str, **body: Any) -> Any:
        """What an operator does."""
        url = f"http://{self.app.console_listening}/api/v1/{path}"
        async with self.http.request(method, url, json=body) as answer:
            assert answer.status in {200, 201}, await answer.text()
            return await answer.json()

    async def call(
        self, secret: str, path: str = "/v1/chat/completions", model: str = "gpt-4o", **headers: str
    ) -> tuple[int, str | None]:
        """What an app is answered: the status, and the error's code."""
        url, headers = f"http://{self.app.listening}{path}", {"Authorization": f"Bearer {secret}", **headers}
        async with self.http.post(url, json=CHAT | {"model": model}, headers=headers) as answer:
            self.told += await answer.read()
            return answer.status, (await answer.json()).get("error", {}).get("code")

    async def becomes(self, secret: str, status: int) -> None:
        """Until a change of an operator is in force."""
        for _ in range(500):
            if (await self.call(secret))[0] == status:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"never {status}")

    async def read(self, path: str) -> None:
        async with self.http.get(f"http://{self.app.console_listening}{path}") as answer:
            assert answer.status == 200
            self.told += await answer.read()


def play(settings: Callable[..., Settings], act: Callable[[Scene], Awaitable[None]]) -> None:
    async def scenario() -> None:
        async with scripted(script) as upstream, ClientSession() as http:
            chosen = dataclasses.replace(settings(upstream.url), openai_api_key=OWN_KEY)
            async with running(chosen) as app:
                await until(lambda: app.ledger_ready)
                await act(Scene(app, upstream, http))

    asyncio.run(scenario())


def test_a_key_s_life(settings: Callable[..., Settings]) -> None:
    async def act(on: Scene) -> None:
        made = await on.change("POST", "keys", name="search-prod", team="search", models=["gpt-4o"])
        await on.becomes(made["key"], 200)
        before = len(on.upstream.seen)
        assert await on.call(made["key"], model="gpt-4o-mini") == (403, "model_not_allowed")
        assert await on.call(made["key"], "/v1//%6Frganization/costs") == (403, "route_not_allowed")
        assert await on.call(made["key"], **{"api-key": made["key"]}) == (401, "invalid_api_key")
        assert await on.call(made["key"], f"/v1/chat/completions?key={made['key']}") == (401, "invalid_api_key")
        assert len(on.upstream.seen) == before

        rotated = await on.change("POST", f"keys/{made['id']}/rotate", grace="1h")
        await on.becomes(rotated["key"], 200)
        assert (await on.call(made["key"]))[0] == 200  # in its grace
        await on.change("DELETE", f"keys/{made['id']}")
        await on.becomes(rotated["key"], 401)
        assert await on.call(made["key"]) == (401, "invalid_api_key")

        charges = await Replica(on.app).charges()
        assert {(charge["key"], charge["team"]) for charge in charges} == {("search-prod", "search")}
        assert len(charges) == len(on.upstream.seen)
        for seen in on.upstream.seen:
            assert (b"Authorization", f"Bearer {OWN_KEY}".encode()) in seen.headers
            assert b"fb-" not in seen.head + seen.body

    play(settings, act)


def test_a_name_is_in_force_within_a_second(settings: Callable[..., Settings]) -> None:
    async def act(on: Scene) -> None:
        await on.call("sk-1")
        await on.change("PUT", "names/fp_0f2c10bf3d12", name="ci", team="infra")
        for _ in range(500):
            await on.call("sk-1")
            if {charge["key"] for charge in await Replica(on.app).charges()} >= {"ci"}:
                break
        charges = await Replica(on.app).charges()
        assert {(charge["key"], charge["team"]) for charge in charges} == {("fp_0f2c10bf3d12", None), ("ci", "infra")}
        assert all((b"Authorization", b"Bearer sk-1") in seen.headers for seen in on.upstream.seen)

    play(settings, act)


def test_the_secrets_are_nowhere(
    settings: Callable[..., Settings], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets: list[str] = []
    told = bytearray()

    async def act(on: Scene) -> None:
        made = await on.change("POST", "keys", name="search-prod")
        secrets.append(made["key"])
        await on.becomes(secrets[0], 200)
        await on.call("sk-1", f"/{secrets[0]}")
        on.told.clear()  # an address that is not under /v1 is named to whoever sent it
        for place in ("api-key", "X-Farebox-Tag-Key", "OpenAI-Project", "User-Agent"):
            await on.call(secrets[0], **{place: secrets[0]})
            await on.call("sk-1", **{place: secrets[0]})
        for path in (f"/v1/{secrets[0]}", f"/v1/files?key={secrets[0]}"):
            await on.call("sk-1", path)
        secrets.append((await on.change("POST", f"keys/{made['id']}/rotate"))["key"])
        await on.becomes(secrets[1], 200)
        await on.becomes(secrets[0], 401)
        await Replica(on.app).settled()
        for path in ("/metrics", "/api/v1/keys", "/api/v1/charges", "/api/v1/spend?by=key,project"):
            await on.read(path)
        told.extend(on.told)

    play(settings, act)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"farebox.db", "journal.db"} <= {file.name for file in files}
    kept = bytes(told) + caplog.text.encode() + b"".join(file.read_bytes() for file in files)
    assert b"search-prod" in kept
    assert len(secrets) == 2
    canaries = [OWN_KEY, *(secret[3:-4] for secret in secrets)]
    assert [canary for canary in canaries if canary.encode() in kept] == []
