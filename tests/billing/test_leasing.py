"""A replica's side of the escrow: it keeps its lease, fetches what lacks, gives back, and survives a bad line."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from billing.attribution import Attribution
from billing.balances import Balances, Fold
from billing.budgets import Budget
from billing.charges import Call
from billing.escrow import Escrow, Member, Reply, Superseded
from billing.leases import LEASE_SECONDS, Report
from billing.leasing import Leaser
from billing.store import Store
from billing.windows import BEGINNING, END

NOW = datetime.now(UTC)
LIMIT = 1000


class Line(Escrow):
    """An escrow at the end of a line that may be down."""

    down = False
    exchanges = 0

    async def exchange(self, member: Member, number: int, revision: int, reports: Sequence[Report]) -> Reply:
        self.exchanges += 1
        if self.down:
            raise ConnectionError("the line is down")
        return await super().exchange(member, number, revision, reports)


class Desk:
    """A replica's balances and its leaser, with a clock that tests set."""

    def __init__(self, store: Store, name: str) -> None:
        self.line = Line(store.engine)
        self.clock: Callable[[], float] = lambda: self.seconds
        self.seconds = 100.0
        self.balances = Balances(ZoneInfo("UTC"), leased=True)
        self.balances.put([Budget("b", LIMIT, "total")], {"b": [Fold(BEGINNING, END)]}, 1)
        self.changes = 0
        self.leaser = Leaser(self.line, self.balances, Member(name, name), lambda: 1, self.time, self.count)

    def time(self) -> float:
        return self.clock()

    def count(self) -> None:
        self.changes += 1

    def call(self, ident: str, pico: int) -> bool:
        """Whether a call was admitted."""
        call = Call(ident, NOW, "chat", "POST", "/v1/x", Attribution(), "r", held_pico=pico)
        return self.balances.authorise(call) is None


def play(url: str, act: Callable[[Desk, Desk], Awaitable[None]]) -> None:
    async def scene() -> None:
        store = Store(url)
        await store.create()
        try:
            await act(Desk(store, "a"), Desk(store, "b"))
        finally:
            await store.close()

    asyncio.run(scene())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def test_a_lease_lasts_from_before_it_was_asked_for(postgres: str) -> None:
    async def act(a: Desk, _: Desk) -> None:
        assert not a.leaser.holds
        await a.leaser.step()
        assert a.leaser.holds
        a.seconds += LEASE_SECONDS - 0.001
        assert a.leaser.holds
        a.seconds += 0.001
        assert not a.leaser.holds
        assert a.changes == 1

    play(postgres, act)


def test_what_lacks_is_fetched_and_what_another_lacks_is_given_back(database: str) -> None:
    async def act(a: Desk, b: Desk) -> None:
        assert not a.call("1", 600)
        await a.leaser.step()
        assert a.call("1", 600)
        assert not b.call("2", 300)
        await b.leaser.step()
        assert b.call("2", 300)
        assert not a.call("3", 100)
        await a.leaser.step()
        assert a.call("3", 100)
        assert not b.call("4", 1)
        a.balances.release("1")
        for _ in range(3):
            assert not a.call("never", LIMIT)  # a wants too, and gives back what it does not use
            await a.leaser.step()
            await b.leaser.step()
            if b.call("4", 1):
                return
        raise AssertionError("what a released never came to b")

    play(database, act)


def test_while_the_line_is_down_the_slice_lasts_and_nothing_is_forgotten(postgres: str) -> None:
    async def act(a: Desk, b: Desk) -> None:
        await a.leaser.step()
        a.line.down = True
        assert a.call("1", 200)
        with pytest.raises(ConnectionError):
            await a.leaser.step()
        assert not a.call("2", 100), "the slice was 250"
        a.line.down = False
        await a.leaser.step()
        assert a.call("2", 100)
        await b.leaser.step()
        (position,) = b.balances.positions(NOW)
        assert position.held_pico == 200, "what a had said so far"

    play(postgres, act)


def test_one_that_was_superseded_joins_again(postgres: str) -> None:
    async def act(a: Desk, _: Desk) -> None:
        await a.leaser.step()
        await a.line.join(Member("a", "a"))
        await a.line.join(Member("a", "a"))
        with pytest.raises(Superseded):
            await a.leaser.step()
        await a.leaser.step()
        assert a.call("1", 100)

    play(postgres, act)


def test_running_it_serves_who_waits_and_ends_when_it_is_told(postgres: str) -> None:
    async def act(a: Desk, b: Desk) -> None:
        a.clock = b.clock = time.monotonic
        tasks = [asyncio.create_task(desk.leaser.run()) for desk in (a, b)]
        await until(lambda: a.leaser.replicas == b.leaser.replicas == 2)
        await until(lambda: a.call("1", 990))
        assert not b.call("2", 10 + 1)
        await until(lambda: b.call("2", 10))
        a.line.down = True
        b.balances.release("2")
        before = a.line.exchanges
        assert not a.call("3", 10)
        await until(lambda: a.line.exchanges > before + 1)
        a.line.down = False
        await until(lambda: a.call("3", 10))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await a.leaser.leave()
        assert [seen.name for seen in await b.line.seen() if seen.alive] == ["b"]

    play(postgres, act)
