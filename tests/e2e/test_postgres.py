"""PostgreSQL killed, paused, its line cut, under load: apps notice nothing, and nothing is lost or doubled."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import postgres as postgresql
import pytest
from e2e.served import Answer, ask, serve
from faults import Line, line
from postgres import Server

from billing.budgets import Budget
from billing.money import pico_from_usd
from billing.store import Narrowing, Store
from proxy.simulator.server import start
from proxy.simulator.simulator import Simulator

BODY = {"model": "gpt-4o-mini", "max_tokens": 100, "messages": [{"role": "user", "content": "Who pays the fare?"}]}
APPS = 6
UTC_ZONE = ZoneInfo("UTC")
BUDGET = Budget("plenty", pico_from_usd("1000"), "month")


class Load:
    """Apps that call on and on, and all that they got."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self._stop = False
        self.answers: list[Answer | None] = []
        self._tasks = [asyncio.create_task(self._app(number)) for number in range(APPS)]

    async def _app(self, number: int) -> None:
        while not self._stop:
            stream = len(self.answers) % 3 == 0
            self.answers.append(await ask(self._ports[number % len(self._ports)], {**BODY, "stream": stream}))

    async def more(self, calls: int) -> None:
        """Until so many more have been answered."""
        wanted = len(self.answers) + calls
        while len(self.answers) < wanted:
            await asyncio.sleep(0.01)

    async def end(self) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)


Trouble = Callable[[Server, Line, Load], Awaitable[None]]


async def killed_and_started_again(server: Server, _: Line, load: Load) -> None:
    server.stop()
    await load.more(60)
    await asyncio.to_thread(server.start)


async def paused(server: Server, _: Line, load: Load) -> None:
    server.pause()
    await load.more(60)
    server.go_on()


async def cut_again_and_again(_: Server, cable: Line, load: Load) -> None:
    for _ in range(5):
        cable.break_off()
        await load.more(20)


async def cut_off_for_a_while(_: Server, cable: Line, load: Load) -> None:
    cable.cut()
    await load.more(60)
    cable.mend()


async def silenced(_: Server, cable: Line, load: Load) -> None:
    cable.silence()
    await load.more(60)
    cable.mend()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "trouble", [killed_and_started_again, paused, cut_again_and_again, cut_off_for_a_while, silenced]
)
def test_apps_notice_nothing_and_nothing_is_lost(tmp_path: Path, trouble: Trouble) -> None:
    async def scene(server: Server) -> None:
        simulator = await start(Simulator(20261124))
        database = await asyncio.to_thread(server.fresh)
        store = Store(database)
        await store.create()
        await store.registry.define([BUDGET], datetime.now(UTC))
        await store.close()
        async with contextlib.AsyncExitStack() as stack:
            cable = await stack.enter_async_context(line(server.port))
            url = database.replace(f":{server.port}/", f":{cable.port}/")
            replicas = []
            for number in range(2):
                (own := tmp_path / f"r{number}").mkdir()
                environ = {
                    "FAREBOX_UPSTREAM": simulator.url, "FAREBOX_DATABASE": url, "FAREBOX_REPLICA": f"r{number}",
                }  # fmt: skip
                replicas.append(await stack.enter_async_context(serve(own, environ)))
            load = Load([replica.port for replica in replicas])
            await load.more(40)
            await trouble(server, cable, load)
            await load.more(40)
            await load.end()
            for replica in replicas:
                assert await replica.stop() == 0
        await simulator.stop()
        statuses = Counter(answer.status if answer else None for answer in load.answers)
        assert set(statuses) == {200}, statuses
        store = Store(database)
        charges = {charge["id"]: charge async for charge in store.charges(Narrowing())}
        (total,) = await store.totals((), Narrowing())
        (spent,) = await store.spent([], *BUDGET.window_at(datetime.now(UTC), UTC_ZONE))
        await store.close()
        billed = {row.request_id: row.cost_usd for row in simulator.simulator.bill}
        assert len(charges) == len(load.answers) == len(billed)
        for answer in load.answers:
            assert answer is not None
            charge = charges[answer.headers["x-farebox-id"]]
            assert Decimal(charge["cost_usd"]) == billed[answer.headers["x-request-id"]]
        bill_pico = pico_from_usd(str(simulator.simulator.bill.total_usd))
        assert (total.requests, total.cost_pico, spent.spent_pico) == (len(charges), bill_pico, bill_pico)

    server = postgresql.begin()
    try:
        asyncio.run(scene(server))
    finally:
        server.go_on()
        postgresql.end(server)
