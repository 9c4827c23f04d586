"""Usage that comes later, with the SDK and against the simulator's own bill: charged once, to the picodollar."""

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import openai
import pytest
from e2e.served import serve
from replica import Replica, until

from billing import training_models
from billing.jobs import BLOCKED
from billing.store import Narrowing, Store
from billing.training_holds import default_epochs
from billing.training_tallies import Examination
from proxy.app import running
from proxy.exchange import Clock
from proxy.settings import Settings
from proxy.simulator.server import start
from proxy.simulator.simulator import Simulator
from proxy.simulator.works import FLAGGED

WORDS = (
    "the", "and", "dog", "sat", "on", "a", "big", "red", "house", "with", "many", "small", "green", "trees", "near",
    "one", "old", "stone", "river",
)  # fmt: skip
"""Each is a token of its own, with the space before it too."""

MODELS = ("gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "gpt-4.1-2025-04-14", "gpt-4.1-mini-2025-04-14")
JOBS = 32
PRIMING = 3


@dataclass
class Scene:
    """A replica and the simulator behind it, with one clock, and an app's SDK."""

    farebox: Replica
    simulator: Simulator
    sdk: openai.AsyncOpenAI
    now: datetime = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    async def pass_time(self, **passed: float) -> None:
        self.now += timedelta(**passed)
        await self.farebox.app.followups.step()

    async def ended(self) -> None:
        await until(lambda: not self.farebox.app.followups.waiting)

    async def books_agree(self) -> list[dict[str, Any]]:
        """Every row of the simulator's bill is one charge, at its cost; the charges of its rows."""
        charges = {row["response_id"]: row for row in await self.farebox.charges() if row["basis"] != "free"}
        assert charges.keys() == {row.id for row in self.simulator.bill}
        for row in self.simulator.bill:
            assert Decimal(charges[row.id or ""]["cost_usd"]) == row.cost_usd, row
        return list(charges.values())


@pytest.fixture
def play(settings: Callable[..., Settings]) -> Callable[[], Any]:
    @asynccontextmanager
    async def played() -> AsyncIterator[Scene]:
        made: list[Scene] = []

        def now() -> datetime:
            return made[0].now if made else Scene.now

        simulator = await start(Simulator(5, clock=lambda: now().timestamp()))
        ids = count()
        clock = Clock(now, asyncio.get_running_loop().time, lambda: f"fbx_{next(ids):05d}")
        try:
            chosen = replace(settings(simulator.url), openai_api_key="sk-configured")
            async with (
                running(chosen, clock) as app,
                openai.AsyncOpenAI(api_key="sk-app", base_url=f"http://{app.listening}/v1", max_retries=0) as sdk,
            ):
                made.append(Scene(Replica(app), simulator.simulator, sdk))
                yield made[0]
        finally:
            await simulator.stop()

    return played


def some_words(luck: random.Random) -> str:
    return " ".join(luck.choices(WORDS, k=luck.randint(1, 60)))


def training_file(luck: random.Random) -> bytes:
    lines = []
    for _ in range(luck.randint(10, 60)):
        asked, answered = (
            {"role": "user", "content": some_words(luck)},
            {"role": "assistant", "content": some_words(luck)},
        )
        lines.append(json.dumps({"messages": [asked, answered]}))
    return "\n".join(lines).encode()


def estimated_tokens(data: bytes, model: str) -> int:
    """What `farebox finetune estimate` holds likely for one epoch."""
    examination = Examination(training_models.known(), model, None, count_all=True)
    for work in [*examination.feed(data), *examination.close()]:
        examination.add(work())
    report = examination.report()
    assert (report.errors, report.tokens.approximate) == (0, 0)
    return report.tokens.likely


def test_jobs_are_charged_once_as_the_simulator_bills_them_and_the_estimate_is_explained(play: Any) -> None:
    async def scenario() -> None:
        luck = random.Random(20261124)
        async with play() as scene:
            expected: dict[str, int] = {}
            for number in range(JOBS):
                data, model = training_file(luck), MODELS[number % len(MODELS)]
                file = await scene.sdk.files.create(file=("data.jsonl", io.BytesIO(data)), purpose="fine-tune")
                epochs = luck.choice([None, 1, 2, 4])
                method: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs or "auto"}}}
                job = await scene.sdk.fine_tuning.jobs.create(model=model, training_file=file.id, method=method)
                examples = data.count(b"\n") + 1
                # what primes an answer is the cookbook's and is not on the bill
                seen = (estimated_tokens(data, model) - PRIMING * examples) * (epochs or default_epochs(examples))
                expected[job.id] = seen
            assert len(scene.farebox.app.followups.waiting) == JOBS
            scene.now += timedelta(seconds=40)
            for ident in list(expected)[::3]:  # some are asked for by their app, twice, the others by nobody
                for _ in range(2):
                    assert (await scene.sdk.fine_tuning.jobs.retrieve(ident)).status == "succeeded"
            await asyncio.gather(scene.pass_time(), scene.pass_time())
            await scene.ended()
            charges = await scene.books_agree()
            assert {row["response_id"]: row["usage"]["training_tokens"] for row in charges} == expected
            assert {row["operation"] for row in charges} == {"fine_tuning"}
            assert all(row["model"].startswith("ft:") for row in charges)

    asyncio.run(scenario())


def test_batches_uploads_background_answers_and_lost_jobs_through_the_sdk(play: Any) -> None:
    async def scenario() -> None:
        async with play() as scene:
            sdk, luck = scene.sdk, random.Random(7)
            lines = [
                json.dumps({"custom_id": str(n), "method": "POST", "url": "/v1/chat/completions", "body": {
                    "model": model, "messages": [{"role": "user", "content": some_words(luck)}], "max_tokens": 50}})
                for n, model in enumerate(["gpt-4o-mini"] * 5 + ["gpt-5.4"] * 5 + ["no-such-model"])
            ]  # fmt: skip
            file = await sdk.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch")
            batch = await sdk.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            answer = await sdk.responses.create(model="gpt-5.4", input="Hello", background=True)
            assert (answer.status, answer.usage) == ("queued", None)
            bad = training_file(luck).replace(b"the", FLAGGED.encode(), 1)
            upload = await sdk.uploads.create(
                bytes=len(bad), filename="x.jsonl", mime_type="text/jsonl", purpose="fine-tune"
            )
            part = await sdk.uploads.parts.create(upload.id, data=bad)
            done = await sdk.uploads.complete(upload.id, part_ids=[part.id])
            assert done.file is not None
            assert await (await sdk.files.content(done.file.id)).aread() == bad
            blocked = await sdk.fine_tuning.jobs.create(model=MODELS[0], training_file=done.file.id)
            good = await sdk.files.create(file=("y.jsonl", training_file(luck)), purpose="fine-tune")
            cancelled = await sdk.fine_tuning.jobs.create(model=MODELS[0], training_file=good.id)
            scene.now += timedelta(seconds=15)
            assert (await sdk.fine_tuning.jobs.cancel(cancelled.id)).status == "cancelled"
            while (await sdk.batches.retrieve(batch.id)).status != "completed":
                scene.now += timedelta(seconds=5)
            finished = await sdk.responses.retrieve(answer.id)
            assert (finished.status, finished.usage is not None) == ("completed", True)
            await scene.pass_time(seconds=400)
            await scene.ended()
            charges = {row["response_id"]: row for row in await scene.books_agree()}
            assert charges[blocked.id]["reason"] == BLOCKED
            assert charges[blocked.id]["cost_usd"] == "0"
            assert charges[cancelled.id]["usage"]["training_tokens"] > 0
            assert len(charges[batch.id]["lines"]) == 4  # input and output of two models
            assert [job.id async for job in sdk.fine_tuning.jobs.list()] == [blocked.id, cancelled.id]
            assert [each.id async for each in sdk.batches.list()] == [batch.id]

    asyncio.run(scenario())


def test_a_killed_replica_charges_once_what_it_waited_for(tmp_path: Path) -> None:
    async def ask(port: int, *parts: str, **body: Any) -> Any:
        async with openai.AsyncOpenAI(api_key="sk-app", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0) as sdk:
            if body:
                return await sdk.responses.create(**body)
            return await sdk.responses.retrieve(parts[0])

    async def scenario() -> None:
        time = 1_790_000_000
        simulator = await start(Simulator(3, clock=lambda: time))
        environ = {
            "FAREBOX_UPSTREAM": simulator.url, "FAREBOX_REPLICA": "crashing",
            "FAREBOX_DATABASE": f"sqlite:///{tmp_path}/ledger.db",
        }  # fmt: skip
        store = Store(environ["FAREBOX_DATABASE"])
        try:
            async with serve(tmp_path, environ) as served:
                made = await ask(served.port, model="gpt-5.4", input="Hello", background=True)
                await served.kill()
            time += 60
            for _ in range(3):  # each life is killed after it has told the app
                async with serve(tmp_path, environ) as served:
                    assert (await ask(served.port, made.id)).status == "completed"
                    await served.kill()
            async with serve(tmp_path, environ) as served:
                assert await served.stop() == 0
            charges = [row async for row in store.charges(Narrowing()) if row["method"] == "POST"]
            assert [(row["response_id"], row["basis"]) for row in charges] == [(made.id, "reported")]
            assert Decimal(charges[0]["cost_usd"]) == simulator.simulator.bill.total_usd
        finally:
            await store.close()
            await simulator.stop()

    asyncio.run(scenario())
