"""Thousands of schedules of replicas that share a budget, over a bad line, with deaths, cuts and changed limits:
together they never spend more than the limit, and what is left can be spent by any of them."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from simulation.leases import World

from billing.leases import LEASE_SECONDS

SCHEDULES = int(os.environ.get("FAREBOX_TEST_SCHEDULES", "12"))
"""`FAREBOX_TEST_SCHEDULES=2000 make test` tries harder."""

FIRST = int(os.environ.get("FAREBOX_TEST_SEED", "1"))
STEPS = 250
LIMIT = 10_000


class Schedule:
    """What happens in one world, by luck."""

    def __init__(self, world: World) -> None:
        self._world, self._luck = world, world.luck

    def _one(self, among: Iterable[str]) -> str | None:
        return self._luck.choice(found) if (found := sorted(among)) else None

    def _dead(self) -> set[str]:
        return set(self._world.names) - set(self._world.lives)

    async def ask(self) -> None:
        world, luck = self._world, self._luck
        near = max(world.limit - world.total(), 1)
        if (name := self._one(world.lives)) and (world.revision or luck.random() < 0.3):
            world.call(name, luck.choice((luck.randrange(1, 400), luck.randrange(1, 40), min(near, 400))))

    async def end(self) -> None:
        if name := self._one(name for name, life in self._world.lives.items() if life.open):
            self._world.end(name)

    async def exchange(self) -> None:
        if name := self._one(self._world.lives):
            await self._world.follow(name)
            await self._world.step(name)

    async def die(self) -> None:
        # one that dies or is cut off before it knows of a new budget has spent what nobody can know until it is back
        if name := self._one(self._world.aware()):
            self._world.die(name)

    async def start(self) -> None:
        if name := self._one(self._dead()):
            self._world.start(name)
            self._world.seen("started")

    async def cut(self) -> None:
        if name := self._one(self._world.aware()):
            self._world.lives[name].line.cut ^= True

    async def wait(self) -> None:
        if len(self._world.aware()) == len(self._world.lives):
            self._world.pass_time(self._luck.choice((0.1, 1.0, LEASE_SECONDS / 3, LEASE_SECONDS + 1)))

    async def arrive(self) -> None:
        await self._world.deliver()

    async def change(self) -> None:
        if self._world.revision:
            await self._world.operator(self._luck.choice((LIMIT // 2, LIMIT, LIMIT, LIMIT * 2)))

    async def give_up(self) -> None:
        if name := self._one(self._dead()):
            await self.wait()
            await self._world.forget(name)
            self._world.seen("forgotten")


WEIGHTS = {
    Schedule.ask: 50, Schedule.end: 30, Schedule.exchange: 40, Schedule.die: 1, Schedule.start: 3, Schedule.cut: 2,
    Schedule.wait: 3, Schedule.arrive: 8, Schedule.change: 0.5, Schedule.give_up: 0.3,
}  # fmt: skip


async def lived(seed: int, folder: Path) -> World:
    world = World(seed, folder, replicas=2 + seed % 3)
    luck, schedule = world.luck, Schedule(world)
    await world.begin()
    if luck.random() < 0.5:
        world.die(world.names[-1])  # its journal comes back when there is a budget already
        world.spent[world.names[-1]] = luck.randrange(500)
    defined = luck.randrange(60)
    for step in range(STEPS):
        if step == defined:  # what was spent without a budget counts on it
            await world.operator(world.total() + luck.choice((500, 2000, LIMIT)))
        (happen,) = luck.choices(list(WEIGHTS), list(WEIGHTS.values()))
        await happen(schedule)
        await world.check()
    await at_peace(world)
    await world.close()
    return world


async def at_peace(world: World) -> None:
    """Everybody is back, nothing is under way, all calls end: then what is left is anybody's, to the last one."""
    await world.deliver()
    for name in world.names:
        if name not in world.lives:
            world.start(name)
        world.lives[name].line.cut = False
    await rounds(world, 3)
    for name, life in world.lives.items():
        while life.open:
            world.end(name)
    await rounds(world, 3)
    left = world.limit - sum(world.spent.values())
    asking = world.luck.choice(world.names)
    assert not world.call(asking, max(left, 0) + 1), "not one picodollar more"
    if left > 0:
        for _ in range(20):
            if world.call(asking, left):
                break
            await rounds(world, 1)
        else:
            raise AssertionError(f"{left} is left, and nobody can spend it")
        world.seen("spent to the end")
    for name, life in world.lives.items():
        while life.open:
            world.end(name)
    await rounds(world, 6)
    for life in world.lives.values():
        (position,) = life.balances.positions(world.now)
        assert (position.spent_pico, position.held_pico) == (sum(world.spent.values()), 0), "all know the same"


async def rounds(world: World, number: int) -> None:
    """Every replica hears from the database, however often the line fails."""
    for _ in range(number):
        for name, life in world.lives.items():
            before = world.counts.get("exchanged", 0)
            while world.counts.get("exchanged", 0) == before:
                await world.follow(name)
                await world.step(name)
                await world.deliver()
            assert life.revision == world.revision


@pytest.mark.timeout(180 + SCHEDULES)
def test_replicas_together_never_spend_more_than_the_limit(tmp_path: Path) -> None:
    seen: dict[str, int] = {}
    for seed in range(FIRST, FIRST + SCHEDULES):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            world = asyncio.run(lived(seed, folder))
        except AssertionError as error:
            error.add_note(f"to see it again: FAREBOX_TEST_SEED={seed} FAREBOX_TEST_SCHEDULES=1")
            raise
        for what, number in world.counts.items():
            seen[what] = seen.get(what, 0) + number
    assert {
        "admitted",
        "refused",
        "line down",
        "superseded",
        "lease ended",
        "started",
        "forgotten",
        "spent to the end",
    } <= set(seen), seen
