"""Calls whose usage comes later are held until it does, and charged once: whoever asks, after a kill, by two."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from replica import Replica, until
from scripted_upstream import ScriptedUpstream, Seen, scripted

from billing.budgets import Budget
from billing.money import pico_from_usd
from billing.scopes import Scope
from billing.store import Narrowing
from proxy.app import App, running
from proxy.exchange import Clock
from proxy.settings import Settings

KEY = "sk-configured"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ENDED = NOON + timedelta(hours=20)
USAGE = {"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 100}
QUEUED = {"id": "resp_1", "object": "response", "status": "queued", "model": "gpt-4o-mini", "usage": None}
DONE = QUEUED | {"status": "completed", "usage": USAGE, "service_tier": "default"}
RESPONSE_COST = 1000 * 150_000 + 100 * 600_000
BATCH = {"id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "status": "validating"}
JOB = {"id": "ftjob-1", "object": "fine_tuning.job", "status": "queued", "model": "gpt-4o-mini-2024-07-18"}
TUNED = "ft:gpt-4o-mini-2024-07-18:acme::x1"
BATCH_DONE = BATCH | {
    "status": "completed", "completed_at": int(ENDED.timestamp()), "output_file_id": "file-2", "model": "gpt-4o-mini",
    "usage": USAGE,
}  # fmt: skip
JOB_DONE = JOB | {
    "status": "succeeded", "finished_at": int(ENDED.timestamp()), "trained_tokens": 90_000, "fine_tuned_model": TUNED,
}  # fmt: skip
REQUEST = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 500}
INPUT = json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": REQUEST}).encode()
EXAMPLE = json.dumps({"messages": [{"role": "user", "content": "a" * 4000}, {"role": "assistant", "content": "b"}]})


def result(tokens: int, model: str = "gpt-4o-mini") -> bytes:
    body = {"id": "c", "model": model, "usage": {"prompt_tokens": tokens, "completion_tokens": 10}}
    return json.dumps({"custom_id": "1", "response": {"status_code": 200, "body": body}, "error": None}).encode()


@dataclass
class World:
    """An upstream's objects by path, the time, and who may see what."""

    objects: dict[str, bytes] = field(default_factory=dict)
    now: datetime = NOON
    asked: list[tuple[str, str]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """What answers to Farebox's own questions wait for."""

    def put(self, path: str, value: Any) -> None:
        self.objects[path] = value if isinstance(value, bytes) else json.dumps(value).encode()

    async def script(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        method, path, _ = seen.first_line.decode().split()
        who = {name.lower(): value.decode() for name, value in seen.headers}[b"authorization"]
        body = self.objects.get(path if method == "GET" else f"POST {path}")
        if method == "GET":
            self.asked.append((path, who.removeprefix("Bearer ")))
            if self.gate is not None and KEY in who:
                await self.gate.wait()
        status = b"404 Not Found" if body is None else b"200 OK"
        body = body if body is not None else b'{"error":{"message":"No such object"}}'
        writer.write(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        )
        writer.write(body)


@dataclass
class Scene:
    world: World
    upstream: ScriptedUpstream
    farebox: Replica

    async def post(self, path: str, body: Any) -> None:
        """An app's POST with its own key."""
        await self._ask(b"POST", path, json.dumps(body).encode())

    async def get(self, path: str, key: str = "sk-app") -> bytes:
        return await self._ask(b"GET", path, b"", key)

    async def _ask(self, method: bytes, path: str, body: bytes, key: str = "sk-app") -> bytes:
        head = [
            b"%s %s HTTP/1.1" % (method, path.encode()), b"Host: x", b"Content-Length: %d" % len(body),
            b"Authorization: Bearer " + key.encode(), b"Connection: close",
        ]  # fmt: skip
        return await self.farebox.send(b"\r\n".join(head) + b"\r\n\r\n" + body)

    async def later(self, **passed: float) -> None:
        """Some time passes, and what is due is asked for."""
        self.world.now += timedelta(**passed)
        await self.farebox.app.followups.step()

    async def ended(self) -> None:
        """Until nothing is waited for."""
        await until(lambda: not self.farebox.app.followups.waiting)

    @property
    def budget(self) -> tuple[int, int]:
        """Spent and held on the only budget today, in picodollars."""
        (position,) = self.farebox.app.balances.positions(self.world.now)
        return position.spent_pico, position.held_pico

    async def charges(self) -> list[dict[str, Any]]:
        return await self.farebox.charges()


@dataclass
class Stage:
    settings: Callable[..., Settings]
    world: World = field(default_factory=World)
    ids: Any = field(default_factory=lambda: count(1))

    @asynccontextmanager
    async def play(
        self, *, key: str | None = KEY, before: ScriptedUpstream | None = None, name: str = "test"
    ) -> AsyncIterator[Scene]:
        clock = Clock(lambda: self.world.now, asyncio.get_running_loop().time, lambda: f"fbx_{next(self.ids):04d}")
        async with scripted(self.world.script) as upstream:
            chosen = replace(self.settings(upstream.url, replica=name), openai_api_key=key)
            async with running(chosen, clock) as app:
                yield Scene(self.world, upstream, Replica(app))


@pytest.fixture
def stage(settings: Callable[..., Settings]) -> Stage:
    return Stage(settings)


async def with_budget(scene: Scene, usd: str = "100") -> None:
    limit = pico_from_usd(usd)
    await scene.farebox.define(Budget("all", limit, "month", Scope({})))


WORK = [
    ("/v1/responses", {"model": "gpt-4o-mini", "input": "hi", "background": True, "max_output_tokens": 500},
     QUEUED, DONE, RESPONSE_COST, "gpt-4o-mini"),
    ("/v1/batches", {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"},
     BATCH, BATCH_DONE, 300 * 75_000 + 20 * 300_000, "gpt-4o-mini"),
    ("/v1/fine_tuning/jobs", {"model": "gpt-4o-mini-2024-07-18", "training_file": "file-3"},
     JOB, JOB_DONE, 90_000 * 3_000_000, TUNED),
]  # fmt: skip


def prepare(world: World, path: str, first: dict[str, Any]) -> str:
    world.put("/v1/files/file-1/content", INPUT)
    world.put("/v1/files/file-2/content", result(100) + b"\n" + result(200) + b"\n")
    world.put("/v1/files/file-3/content", "\n".join([EXAMPLE] * 10).encode())
    world.put(f"POST {path}", first)
    made = f"{path}/{first['id']}"
    world.put(made, first)
    return made


@pytest.mark.parametrize("how", ["followed", "fetched", "fetched with another key, and no key configured"])
@pytest.mark.parametrize(("path", "body", "first", "last", "cost", "model"), WORK)
def test_it_is_held_until_it_ends_and_charged_once(
    stage: Stage, how: str, path: str, body: Any, first: Any, last: Any, cost: int, model: str
) -> None:
    async def scenario() -> None:
        made = prepare(stage.world, path, first)
        async with stage.play(key=None if "no key" in how else KEY) as scene:
            await with_budget(scene)
            await scene.post(path, body)
            spent, held = scene.budget
            assert spent == 0
            assert held > 0
            await scene.get(made)  # still under way
            await scene.later(seconds=30)
            assert scene.budget == (0, held)
            stage.world.put(made, last)
            if how == "followed":
                await scene.later(hours=21)
                await scene.ended()
            else:
                stage.world.now += timedelta(hours=21)
                await scene.get(made, "sk-another")
                await scene.ended()
            assert scene.budget == (cost, 0)
            for _ in range(3):
                await scene.get(made)
                await scene.later(hours=1)
            assert scene.budget == (cost, 0)
            (charge,) = [row for row in await scene.charges() if row["method"] == "POST"]
            assert (charge["id"], charge["cost_pico"], charge["basis"]) == ("fbx_0001", cost, "reported")
            assert (charge["model"], charge["response_id"]) == (model, first["id"])
            if last is not DONE:  # it belongs to the day it ended
                assert charge["started_at"] == ENDED.strftime("%Y-%m-%dT%H:%M:%S.000000Z")

    asyncio.run(scenario())


@pytest.mark.parametrize(("path", "body", "first", "last", "cost", "model"), WORK)
def test_it_outlives_the_replica(
    stage: Stage, path: str, body: Any, first: Any, last: Any, cost: int, model: str
) -> None:
    async def scenario() -> None:
        made = prepare(stage.world, path, first)
        async with stage.play() as scene:
            await with_budget(scene)
            await scene.post(path, body)
            _, held = scene.budget
        stage.world.put(made, last)
        async with stage.play() as scene:
            assert [call.id for call in scene.farebox.app.followups.waiting] == ["fbx_0001"]
            await with_budget(scene)
            assert scene.budget == (0, held)
            await scene.later(hours=21)
            await scene.ended()
            assert [row["cost_pico"] for row in await scene.charges()] == [cost]
            assert scene.budget == (cost, 0)
        async with stage.play() as scene:
            assert scene.farebox.app.followups.waiting == []
            assert [row["cost_pico"] for row in await scene.charges()] == [cost]

    asyncio.run(scenario())


def test_another_replica_takes_over_what_one_that_has_ended_waits_for(stage: Stage) -> None:
    async def scenario() -> None:
        path, body, first, last, cost, _ = WORK[0]
        made = prepare(stage.world, path, first)
        async with stage.play(name="one") as scene:
            await scene.post(path, body)
        stage.world.put(made, last)
        async with stage.play(name="two") as scene:
            app: App = scene.farebox.app
            async with asyncio.timeout(20):
                while not app.followups.waiting:
                    await app._adoption.step()
            assert await app._adoption.step() == []
            await scene.later(hours=1)
            await until(lambda: not app.followups.waiting)
            assert [row["cost_pico"] for row in await scene.charges()] == [cost]
        async with stage.play(name="one") as scene:
            assert scene.farebox.app.followups.waiting == []

    asyncio.run(scenario())


def test_what_both_the_app_and_the_replica_see_is_charged_once(stage: Stage) -> None:
    async def scenario() -> None:
        path, body, first, last, cost, _ = WORK[1]
        made = prepare(stage.world, path, first)
        async with stage.play() as scene:
            await scene.post(path, body)
            stage.world.put(made, last)
            stage.world.now += timedelta(hours=21)
            followups = scene.farebox.app.followups
            await asyncio.gather(followups.step(), scene.get(made), followups.step(), scene.get(made), followups.step())
            await until(lambda: not followups.waiting)
            assert [row["cost_pico"] for row in await scene.charges() if row["method"] == "POST"] == [cost]

    asyncio.run(scenario())


@pytest.mark.parametrize("work", [WORK[0], WORK[2]])
def test_an_end_that_an_app_is_shown_while_farebox_asks_for_it_is_charged_once(stage: Stage, work: Any) -> None:
    async def scenario() -> None:
        path, body, first, last, cost, _ = work
        made = prepare(stage.world, path, first)
        async with stage.play() as scene:
            await with_budget(scene)
            await scene.post(path, body)
            stage.world.put(made, last)
            stage.world.now = ENDED
            stage.world.gate = asyncio.Event()
            asking = asyncio.create_task(scene.farebox.app.followups.step())
            await until(lambda: (made, KEY) in stage.world.asked)
            await scene.get(made)
            assert scene.budget == (cost, 0)
            stage.world.gate.set()
            await asking
            assert scene.budget == (cost, 0)
            assert [row["cost_pico"] for row in await scene.charges() if row["method"] == "POST"] == [cost]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("case", "results", "cost"),
    [
        ("the results are gone: the batch's own sum", None, 1000 * 75_000 + 100 * 300_000),
        ("two models", result(100) + b"\n" + result(10, "gpt-4o"), 100 * 75_000 + 10 * 300_000 + 10 * 6_250_000),
    ],
)  # fmt: skip
def test_a_batch_is_priced_by_its_results(stage: Stage, case: str, results: bytes | None, cost: int) -> None:
    async def scenario() -> None:
        path, body, first, last, _, _ = WORK[1]
        made = prepare(stage.world, path, first)
        async with stage.play() as scene:
            await scene.post(path, body)
            stage.world.put(made, last)
            del stage.world.objects["/v1/files/file-2/content"]
            if results is not None:
                stage.world.put("/v1/files/file-2/content", results)
            await scene.later(hours=21)
            await scene.ended()
            assert [row["cost_pico"] for row in await scene.charges()] == [cost], case

    asyncio.run(scenario())


def test_farebox_asks_with_its_own_key_less_and_less_often_and_in_the_end_no_more(stage: Stage) -> None:
    async def scenario() -> None:
        path, body, first, _, _, _ = WORK[0]
        made = prepare(stage.world, path, first)
        async with stage.play() as scene:
            await with_budget(scene)
            await scene.post(path, body)
            _, held = scene.budget
            for _ in range(60):
                await scene.later(seconds=1)
            assert stage.world.asked == [(made, KEY)] * 4  # after 2, 6, 14 and 30 seconds
            del stage.world.objects[made]
            await scene.later(days=1)
            assert scene.budget == (0, held)
            await scene.later(days=1, seconds=60)
            assert scene.farebox.app.followups.waiting == []
            (charge,) = await scene.charges()
            assert (charge["basis"], charge["reason"], charge["cost_usd"]) == ("unknown", "never_told", None)
            assert scene.budget == (held, 0)  # unknown is never zero

    asyncio.run(scenario())


def test_a_job_refused_for_budget_does_not_reach_the_upstream(stage: Stage) -> None:
    async def scenario() -> None:
        path, body, first, _, _, _ = WORK[2]
        prepare(stage.world, path, first)
        async with stage.play() as scene:
            await with_budget(scene, "0.000001")
            await scene.post(path, body)
            assert not any(seen.first_line.startswith(b"POST") for seen in scene.upstream.seen)
            assert scene.farebox.app.followups.waiting == []

    asyncio.run(scenario())


def test_holds_of_what_comes_later_do_not_expire(stage: Stage) -> None:
    async def scenario() -> None:
        path, body, first, _, _, _ = WORK[2]
        prepare(stage.world, path, first)
        async with stage.play() as scene:
            await with_budget(scene)
            await scene.post(path, body)
            assert scene.farebox.app.balances.expire(stage.world.now + timedelta(days=5)) == []

    asyncio.run(scenario())


def test_who_made_what_is_under_way_is_known_at_once(stage: Stage) -> None:
    async def scenario() -> None:
        path, body, first, _, _, _ = WORK[2]
        prepare(stage.world, path, first)
        async with stage.play() as scene:
            await scene.post(path, body)
            app = scene.farebox.app
            await until(lambda: app.ledger_ready and app.journal.pending() == 0)
            assert [row[0] for row in await app.store.objects(["ftjob-1"])] == ["ftjob-1"]
            assert [row async for row in app.store.charges(Narrowing())] == []  # it is no charge

    asyncio.run(scenario())


def test_a_hold_of_last_month_is_let_go_in_last_month_and_the_cost_counts_in_this(stage: Stage) -> None:
    async def scenario() -> None:
        path, body, first, last, cost, _ = WORK[2]
        made = prepare(stage.world, path, first)
        stage.world.now = datetime(2026, 10, 31, 23, 0, tzinfo=UTC)
        async with stage.play() as scene:
            await with_budget(scene)
            await scene.post(path, body)
            october = [standing for standing in scene.farebox.app.balances.standings() if standing.held]
            stage.world.put(made, last)
            stage.world.now = ENDED
            await scene.later(seconds=1)
            await scene.ended()
            assert [(standing.spent, standing.held) for standing in october] == [(0, 0)]
            assert scene.budget == (cost, 0)

    asyncio.run(scenario())
