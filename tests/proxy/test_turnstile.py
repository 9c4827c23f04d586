"""Who waits, who goes first, and who gives up."""

import asyncio
from datetime import UTC, datetime

import pytest

from billing.budgets import Budget, Position, Shortage
from proxy.turnstile import Turnstile

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Till:
    """A budget that a test fills and empties."""

    def __init__(self, limit: int, held: int, spent: int = 0) -> None:
        self.limit, self.held, self.spent = limit, held, spent
        self.admitted: list[int] = []
        self.tries = 0

    def attempt(self, ask: int) -> Shortage | None:
        self.tries += 1
        if self.spent + self.held + ask > self.limit:
            return Shortage(Position(Budget("b", self.limit), AT, AT, self.spent, self.held), ask)
        self.held += ask
        self.admitted.append(ask)
        return None


async def queued(
    turnstile: Turnstile, till: Till, *asks: int, seconds: float = 60
) -> "list[asyncio.Task[Shortage | None]]":
    tasks = [asyncio.create_task(turnstile.enter(lambda ask=ask: till.attempt(ask), seconds)) for ask in asks]
    while turnstile.waiting < len(asks):
        await asyncio.sleep(0)
    return tasks


def test_those_that_wait_go_in_in_the_order_they_came() -> None:
    async def scene() -> None:
        till, turnstile = Till(100, held=100), Turnstile()
        tasks = await queued(turnstile, till, 30, 31, 32)
        till.held = 35
        turnstile.freed()
        assert await tasks[0] is None
        assert await tasks[1] is None
        assert till.admitted == [30, 31]
        assert turnstile.waiting == 1
        till.held = 0
        turnstile.freed()
        assert await tasks[2] is None

    asyncio.run(scene())


def test_a_small_one_passes_a_large_one_that_does_not_fit() -> None:
    async def scene() -> None:
        till, turnstile = Till(100, held=100), Turnstile()
        large, small = await queued(turnstile, till, 90, 10)
        till.held = 50
        turnstile.freed()
        assert await small is None
        assert not large.done()
        large.cancel()

    asyncio.run(scene())


def test_many_that_ask_the_same_are_not_all_tried_when_the_first_is_refused() -> None:
    async def scene() -> None:
        till, turnstile = Till(100, held=100), Turnstile()
        tasks = await queued(turnstile, till, *[50] * 200)
        till.tries, till.held = 0, 40
        turnstile.freed()
        turnstile.freed()
        assert await tasks[0] is None
        assert till.tries == 2
        for task in tasks:
            task.cancel()

    asyncio.run(scene())


def test_when_the_money_is_spent_nobody_waits_any_longer() -> None:
    async def scene() -> None:
        till, turnstile = Till(100, held=100), Turnstile()
        (task,) = await queued(turnstile, till, 10)
        till.held, till.spent = 0, 95
        turnstile.freed()
        shortage = await task
        assert shortage
        assert not shortage.only_holds

    asyncio.run(scene())


@pytest.mark.parametrize(("held", "spent", "seconds"), [(100, 0, 0), (0, 100, 60)])
def test_nobody_waits_without_hope_or_leave(held: int, spent: int, seconds: float) -> None:
    till, turnstile = Till(100, held=held, spent=spent), Turnstile()
    assert asyncio.run(turnstile.enter(lambda: till.attempt(10), seconds))
    assert turnstile.waiting == 0


def test_who_has_waited_long_enough_is_refused() -> None:
    till, turnstile = Till(100, held=100), Turnstile()
    shortage = asyncio.run(turnstile.enter(lambda: till.attempt(10), 0.001))
    assert shortage
    assert shortage.only_holds
    assert turnstile.waiting == 0


def test_what_fails_fails_for_the_one_that_waits() -> None:
    async def scene() -> None:
        till, turnstile = Till(100, held=100), Turnstile()

        def attempt() -> Shortage | None:
            if till.held < 100:
                raise OSError("the app has left")
            return till.attempt(10)

        task = asyncio.create_task(turnstile.enter(attempt, 60))
        (other,) = await queued(turnstile, till, 20)
        while turnstile.waiting < 2:
            await asyncio.sleep(0)
        till.held = 50
        turnstile.freed()
        with pytest.raises(OSError, match="left"):
            await task
        assert await other is None

    asyncio.run(scene())
