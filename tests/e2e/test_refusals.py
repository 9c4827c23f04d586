"""Refusals as an app of OpenAI's SDK meets them: the right exception, tried again where that helps and only there."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import openai
import pytest
from replica import Replica, until
from scripted_upstream import ScriptedUpstream, Seen, scripted

from billing.budgets import Budget
from billing.keys import Key, Terms, issue, revoke
from billing.limits import Limit
from billing.money import pico_from_usd
from billing.scopes import Scope
from proxy.app import running
from proxy.settings import Settings

OWN_KEY = "sk-canary-upstream-77be"
MODEL = "gpt-4o"
HOLD = 200 * 10_000_000
"""About what 200 tokens of output hold."""


@dataclass
class Upstream:
    """An OpenAI that answers when it is let."""

    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        await self.free.wait()
        usage = {"prompt_tokens": 8, "completion_tokens": 20, "total_tokens": 28}
        message = {"role": "assistant", "content": "hello"}
        fields = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL, "usage": usage}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = json.dumps({**fields, "choices": choices}).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )


@dataclass
class Scene:
    """A replica, an upstream behind it, and an app with a key that was issued to it."""

    farebox: Replica
    upstream: ScriptedUpstream
    gate: Upstream
    key: Key
    app: openai.AsyncOpenAI

    async def call(self, cap: int = 200, **more: Any) -> Any:
        messages: Any = [{"role": "user", "content": "hello"}]
        fields = {"model": MODEL, "max_completion_tokens": cap, **more}
        return await self.app.chat.completions.create(messages=messages, **fields)

    @property
    def answered(self) -> list[int]:
        """The statuses that the replica has answered with."""
        lines = self.farebox.app.metrics.text().decode().splitlines()
        counted = [line for line in lines if line.startswith("farebox_requests_total{")]
        return sorted(
            int(line.partition('status="')[2][:3]) for line in counted for _ in range(round(float(line.split()[-1])))
        )

    async def until_refused(self) -> None:
        await until(lambda: 429 in self.answered)


@pytest.fixture
def scene(settings: Callable[..., Settings]) -> Callable[..., Any]:
    """`async with scene(Budget(…), hold_wait="0") as on`"""

    @asynccontextmanager
    async def play(*definitions: Any, models: tuple[str, ...] = (), **more: str) -> AsyncIterator[Scene]:
        gate = Upstream()
        terms = Terms("search-prod", team="search", models=models)
        key, secret = issue(terms, (), ident="key_1", entropy=bytes(32), now=datetime.now(UTC))
        async with scripted(gate) as upstream:
            chosen = dataclasses.replace(settings(upstream.url, **more), openai_api_key=OWN_KEY)
            async with running(chosen) as app:
                farebox = Replica(app)
                await farebox.define(key, *definitions)
                async with openai.AsyncOpenAI(api_key=secret, base_url=f"{farebox.url}/v1") as client:
                    yield Scene(farebox, upstream, gate, key, client)

    return play


@pytest.mark.parametrize("stream", [False, True])
def test_when_the_money_is_spent_the_sdk_is_told_so_once(scene: Any, stream: bool) -> None:
    async def act() -> None:
        async with scene(Budget("search", HOLD // 2, scope=Scope({"team": ("search",)}))) as on:
            with pytest.raises(openai.RateLimitError) as refused:
                await on.call(stream=stream)
            assert refused.value.code == "project_spend_limit_exceeded"
            assert refused.value.type == "insufficient_quota"
            assert "'search'" in refused.value.message
            assert on.answered == [429], "the SDK does not try again"
            assert on.upstream.seen == []
            assert await on.farebox.charges() == []

    asyncio.run(act())


def test_when_only_holds_stand_in_the_way_the_sdk_tries_again_and_gets_through(scene: Any) -> None:
    async def act() -> None:
        async with scene(Budget("search", HOLD * 3 // 2), hold_wait="0") as on:
            first = asyncio.create_task(on.call())
            await until(lambda: len(on.upstream.seen) == 1)
            second = asyncio.create_task(on.call())
            await on.until_refused()
            assert len(on.upstream.seen) == 1
            on.gate.free.set()
            await first
            assert (await second).usage.completion_tokens == 20
            assert on.answered == [200, 200, 429]

    asyncio.run(act())


def test_a_rate_limit_is_waited_for(scene: Any) -> None:
    async def act() -> None:
        async with scene(Limit("one at a time", concurrent_requests=1)) as on:
            first = asyncio.create_task(on.call())
            await until(lambda: len(on.upstream.seen) == 1)
            with pytest.raises(openai.RateLimitError) as refused:
                await on.app.with_options(max_retries=0).models.list()
            assert refused.value.code == "rate_limit_exceeded"
            assert int(refused.value.response.headers["retry-after-ms"]) == 1000
            assert len(on.upstream.seen) == 1
            second = asyncio.create_task(on.call())
            await until(lambda: on.answered.count(429) == 2)
            on.gate.free.set()
            await first
            assert (await second).usage.completion_tokens == 20
            assert on.answered == [200, 200, 429, 429]

    asyncio.run(act())


def test_a_key_that_may_not_is_refused_and_one_that_may_never_leaves_the_house(scene: Any) -> None:
    async def act() -> None:
        async with scene(models=(MODEL,)) as on:
            on.gate.free.set()
            await on.call()
            with pytest.raises(openai.PermissionDeniedError) as not_this_model:
                await on.call(model="gpt-4o-mini")
            assert not_this_model.value.code == "model_not_allowed"
            await on.farebox.define(*revoke(on.key, [on.key], datetime.now(UTC)))
            with pytest.raises(openai.AuthenticationError) as revoked:
                await on.call()
            assert revoked.value.code == "invalid_api_key"
            assert on.answered == [200, 401, 403]
            (seen,) = on.upstream.seen
            names = {name.lower(): value for name, value in seen.headers}
            assert names[b"authorization"] == b"Bearer " + OWN_KEY.encode()
            assert b"fb-" not in seen.head + seen.body
            (charge,) = await on.farebox.charges()
            assert (charge["key"], charge["team"]) == ("search-prod", "search")

    asyncio.run(act())


def test_a_budget_that_is_raised_lets_the_next_call_through(scene: Any) -> None:
    async def act() -> None:
        async with scene(Budget("search", HOLD // 2)) as on:
            on.gate.free.set()
            with pytest.raises(openai.RateLimitError):
                await on.call()
            await on.farebox.define(Budget("search", pico_from_usd("1")))
            assert (await on.call()).usage.completion_tokens == 20
            assert on.answered == [200, 429]

    asyncio.run(act())
