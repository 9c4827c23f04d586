"""Several replicas on one PostgreSQL: a budget that all of them share is never overrun, whatever becomes of one."""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from e2e.served import Answer, Served, ask, serve
from faults import Line, line
from postgres import Server

from billing.budgets import Budget
from billing.money import pico_from_usd
from billing.store import Narrowing, Store
from proxy.simulator.server import start
from proxy.simulator.simulator import Simulator

CALLS = int(os.environ.get("FAREBOX_TEST_CALLS", "600"))
"""`FAREBOX_TEST_CALLS=3000 make test` tries harder."""

AT_ONCE = 60
SEED = 20261124
BODY = {"model": "gpt-4o-mini", "max_tokens": 100, "messages": [{"role": "user", "content": "Who pays the fare?"}]}
LIMIT_USD = Decimal("0.004")
"""A call costs about $0.00002 and is held by about $0.00006: some 200 calls fit."""

HALF_USD = LIMIT_USD / 2


class Scene:
    """Three replicas, the third over a line that can be cut, and all that apps got from them."""

    def __init__(self, simulator: Simulator, replicas: list[Served], to_third: Line, database: str) -> None:
        self.simulator, self.replicas, self.line, self.database = simulator, replicas, to_third, database
        self.answers: list[tuple[int, Answer | None]] = []
        self.upstream_port = 0

    async def call(self, replica: int, **more: Any) -> Answer | None:
        answer = await ask(self.replicas[replica].port, BODY | more)
        self.answers.append((replica, answer))
        return answer

    async def load(self, calls: int, on: tuple[int, ...]) -> None:
        """So many calls, many at once, spread over replicas."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with gate:
                await self.call(on[number % len(on)], stream=number % 3 == 0)

        await asyncio.gather(*(one(number) for number in range(calls)))

    def statuses(self, replica: int) -> Counter[int | None]:
        return Counter(answer.status if answer else None for at, answer in self.answers if at == replica)

    @property
    def billed(self) -> Decimal:
        return self.simulator.bill.total_usd


def play(folder: Path, server: Server, act: Callable[[Scene], Awaitable[None]], limit: Decimal = LIMIT_USD) -> None:
    async def scene() -> None:
        simulator = await start(Simulator(SEED))
        database = await asyncio.to_thread(server.fresh)
        store = Store(database)
        await store.create()
        await store.registry.define([Budget("shared", pico_from_usd(str(limit)), "total")], datetime.now(UTC))
        async with contextlib.AsyncExitStack() as stack:
            cut = await stack.enter_async_context(line(server.port))
            replicas = []
            for number in range(3):
                own = folder / f"r{number}"
                own.mkdir()
                url = database if number < 2 else database.replace(f":{server.port}/", f":{cut.port}/")
                environ = {
                    "FAREBOX_UPSTREAM": simulator.url, "FAREBOX_DATABASE": url, "FAREBOX_REPLICA": f"r{number}",
                    "FAREBOX_HOLD_WAIT": "1",
                }  # fmt: skip
                replicas.append(await stack.enter_async_context(serve(own, environ)))
            on = Scene(simulator.simulator, replicas, cut, database)
            on.upstream_port = int(simulator.url.rpartition(":")[2])
            await act(on)
            cut.mend()
            for replica in replicas:
                if replica.process.returncode is None:
                    assert await replica.stop() == 0
        await simulator.stop()
        await reconciled(on, store)
        await store.close()

    asyncio.run(scene())


async def reconciled(on: Scene, store: Store) -> None:
    """What apps received whole stands in the ledger at what it was billed at, unless a dead one's journal has it."""
    posted = {charge["id"]: charge async for charge in store.charges(Narrowing())}
    billed = {row.request_id: row.cost_usd for row in on.simulator.bill}
    for replica, answer in on.answers:
        if answer is None or answer.status != 200:
            continue
        charge = posted.get(answer.headers["x-farebox-id"])
        if charge is None:
            assert on.replicas[replica].process.returncode == -9, "only a killed replica's journal can have it still"
            continue
        assert charge["basis"] == "reported"
        assert Decimal(charge["cost_usd"]) == billed[answer.headers["x-request-id"]]


@pytest.mark.timeout(400)
def test_one_is_killed_and_one_cut_off_and_the_budget_holds(tmp_path: Path, postgres_server: Server) -> None:
    async def act(on: Scene) -> None:
        async def trouble() -> None:
            while len(on.answers) < CALLS // 8:
                await asyncio.sleep(0.01)
            await on.replicas[0].kill()
            on.line.cut()

        await asyncio.gather(on.load(CALLS, (0, 1, 2)), trouble())
        assert on.billed <= LIMIT_USD
        assert on.statuses(0)[None] > 0, "the killed one answers no more"
        refused = next(answer for _, answer in on.answers if answer and answer.status == 429)
        assert refused.code == "project_spend_limit_exceeded"
        assert {*on.statuses(1)} <= {200, 429}
        assert {*on.statuses(2)} <= {200, 429, 503}, "503 once its lease has ended"

    play(tmp_path, postgres_server, act)


@pytest.mark.timeout(400)
def test_all_of_a_budget_can_be_spent_at_any_of_them(tmp_path: Path, postgres_server: Server) -> None:
    async def act(on: Scene) -> None:
        await on.load(60, (0, 1, 2))
        spent = on.billed
        while True:  # one by one, each may ask the others for what they do not use
            answers = [await on.call(replica) for replica in (2, 0, 1)]
            if all(answer and answer.status == 429 for answer in answers):
                break
            assert on.billed > spent
            spent = on.billed
        assert HALF_USD - Decimal("0.00009") < on.billed <= HALF_USD, "less than one call's hold is left"

    play(tmp_path, postgres_server, act, HALF_USD)


@pytest.mark.timeout(400)
def test_a_killed_one_comes_back_with_its_journal_and_what_it_held_is_free_again(
    tmp_path: Path, postgres_server: Server
) -> None:
    async def act(on: Scene) -> None:
        await on.load(40, (0, 1))
        await on.replicas[0].kill()
        environ = {
            "FAREBOX_UPSTREAM": f"http://127.0.0.1:{on.upstream_port}", "FAREBOX_DATABASE": on.database,
            "FAREBOX_REPLICA": "r0",
        }  # fmt: skip
        async with serve(tmp_path / "r0", environ) as again:
            on.replicas[0] = again
            while True:
                answers = [await on.call(replica) for replica in (1, 0)]
                if all(answer and answer.status == 429 for answer in answers):
                    break
            assert HALF_USD - Decimal("0.00009") < on.billed <= HALF_USD
            assert await again.stop() == 0

    play(tmp_path, postgres_server, act, HALF_USD)
