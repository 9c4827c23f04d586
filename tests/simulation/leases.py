"""Replicas that share one budget, in made-up time: real balances, real leasing, a real escrow; only the clock, the apps
and the line to the database are made up. All luck comes from one seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlmodel import SQLModel

from billing.attribution import Attribution
from billing.balances import Balances, Fold
from billing.budgets import Budget
from billing.charges import Basis, Call, Charge, Outcome
from billing.escrow import MEMBERS, SLICES, Escrow, Member, NameTaken, Reply, Superseded
from billing.leases import Account, Report, Slice, key
from billing.leasing import Leaser
from billing.scopes import Scope
from billing.usage import Usage

UTC_ZONE = ZoneInfo("UTC")
START = datetime(2026, 11, 24, 12, tzinfo=UTC)
SINCE, UNTIL = START.replace(hour=0), START.replace(hour=0) + timedelta(days=1)
TEAM = "search"


class LineDown(ConnectionError):
    """Nothing came back from the database."""


class Line(Escrow):
    """The escrow, at the end of a line that loses what is said in one direction or the other, or delivers it late."""

    def __init__(self, world: "World", name: str) -> None:
        super().__init__(world.engine, world.time)
        self._world, self._name = world, name
        self.cut = False
        self.late: list[tuple[Member, int, int, Sequence[Report]]] = []

    async def join(self, member: Member) -> int:
        if self.cut:
            raise LineDown
        return await super().join(member)

    async def exchange(self, member: Member, number: int, revision: int, reports: Sequence[Report]) -> Reply:
        luck = self._world.luck.random()
        if self.cut or luck < 0.05:
            raise LineDown
        if luck < 0.12:
            self.late.append((member, number, revision, reports))
            raise LineDown
        reply = await super().exchange(member, number, revision, reports)
        if luck < 0.18:
            raise LineDown
        return reply

    async def deliver(self) -> None:
        """What was under way arrives after all."""
        while self.late:
            try:
                await super().exchange(*self.late.pop(0))
            except Superseded:
                self._world.seen("superseded")


@dataclass
class Life:
    """One life of a replica."""

    line: Line
    balances: Balances
    leaser: Leaser
    revision: int = 0
    open: dict[str, Call] = field(default_factory=dict)
    limit: int = 0
    """The limit that it knows."""

    @property
    def unused(self) -> int:
        """What it may still admit without asking."""
        return sum(max((it.granted or 0) - it.spent - it.held, 0) for it in self.balances.standings())


class World:
    """The replicas, what they have truly spent and hold, and the limit they share."""

    def __init__(self, seed: int, folder: Path, replicas: int) -> None:
        self.luck = Random(seed)
        self.engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/escrow.db")
        self.now, self.seconds = START, 0.0
        self.names = [f"r{number}" for number in range(replicas)]
        self.lives: dict[str, Life] = {}
        self.spent = dict.fromkeys(self.names, 0)
        self.hanging: dict[str, dict[str, Call]] = {name: {} for name in self.names}
        """Calls that were open when their replica died; its journal knows them."""
        self.limit, self.revision = 0, 0
        self._lines: list[Line] = []
        self.untold = dict.fromkeys(self.names, 0)
        """Asked for at replicas that did not know yet that there is a budget, until they have said so."""
        self.counts: dict[str, int] = {}
        self._numbers = count()

    def seen(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    async def time(self, _connection: AsyncConnection) -> datetime:
        return self.now

    async def begin(self) -> None:
        async with self.engine.begin() as connection:
            await connection.run_sync(lambda sync: SQLModel.metadata.create_all(sync, tables=[MEMBERS, SLICES]))
        for name in self.names:
            self.start(name)

    def budget(self, limit: int) -> Budget:
        return Budget("shared", limit, "day", Scope({"team": (TEAM,)}))

    # What is true

    def total(self) -> int:
        """What is spent and held in all, by whoever knows it."""
        held = sum(call.held_pico for life in self.lives.values() for call in life.open.values())
        hanging = sum(call.held_pico for calls in self.hanging.values() for call in calls.values())
        return sum(self.spent.values()) + held + hanging

    def promised(self) -> int:
        """What is spent, held, and may be held without asking. A limit that is lowered takes none of it back."""
        return self.total() + sum(life.unused for life in self.lives.values())

    async def check(self) -> None:
        """The escrow grants a replica no less than it believes; and all together, while nothing was spent without
        asking, no more than the limit."""
        query = select(SLICES.c.replica, SLICES.c.granted_pico)
        async with self.engine.connect() as connection:
            granted = {row[0]: row[1] for row in await connection.execute(query)}
        for name, life in self.lives.items():
            for standing in life.balances.standings():
                assert granted.get(name, 0) >= (standing.granted or 0), f"{name} believes in too much"

    # What replicas do

    def start(self, name: str) -> None:
        """A replica's journal is replayed: what was in flight counts as what was held for it."""
        self.spent[name] += sum(call.held_pico for call in self.hanging[name].values())
        self.hanging[name] = {}
        line, balances = Line(self, name), Balances(UTC_ZONE, leased=True)
        life = Life(line, balances, Leaser(line, balances, Member(name, f"journal of {name}"), lambda: life.revision,
                                           lambda: self.seconds))  # fmt: skip
        self.lives[name] = life
        self._lines.append(line)

    def die(self, name: str) -> None:
        """As a SIGKILL does it; messages under way may still arrive."""
        life = self.lives.pop(name)
        self.hanging[name] |= life.open

    async def follow(self, name: str) -> None:
        """Learn what the operator decided."""
        life = self.lives[name]
        if life.line.cut or life.revision == self.revision:
            return
        budget, folds = self.budget(self.limit), {}
        if life.balances.needs_fold(budget):
            account = Account(key(budget), SINCE)
            sums: Mapping[str, Slice] = {each: Slice(spent, spent) for each, spent in self.spent.items()}
            await life.line.open({account: (UNTIL, sums)}, Member(name, ""))
            folds = {budget.name: [Fold(SINCE, UNTIL, self.spent[name])]}
        life.balances.put([budget], folds, self.revision)
        life.revision, life.limit = self.revision, self.limit

    async def step(self, name: str) -> None:
        """One exchange, if the line lets it: no more is promised than the limit that the replica knows."""
        life, before = self.lives[name], self.promised()
        try:
            await life.leaser.step()
            if life.revision:
                self.untold[name] = 0
            bound = max(before, life.limit + sum(self.untold.values()))
            assert self.promised() <= bound, f"{self.promised()} of {bound} promised once {name} had asked"
            self.seen("exchanged")
        except LineDown:
            self.seen("line down")
        except (Superseded, NameTaken):
            self.seen("rejoins")

    def call(self, name: str, ask: int) -> bool:
        """An app calls: whether it was admitted."""
        life = self.lives[name]
        call = Call(
            id=f"c{next(self._numbers)}", started_at=self.now, operation="chat", method="POST", path="/v1/chat",
            attribution=Attribution(team=TEAM), replica=name, held_pico=ask,
        )  # fmt: skip
        if self.revision and not life.leaser.holds:  # one that is cut off cannot know what was decided meanwhile
            self.seen("lease ended")
            return False
        if self.revision and not life.revision:
            self.untold[name] += ask
        before = self.promised()
        if life.balances.authorise(call):
            self.seen("refused")
            return False
        self.seen("admitted")
        life.open[call.id] = call
        assert not life.revision or self.promised() <= before, f"{call.id} on {name} was in no slice"
        return True

    def end(self, name: str) -> None:
        """One of its calls ends, and cost no more than was held."""
        life = self.lives[name]
        call = life.open.pop(self.luck.choice(list(life.open)))
        if self.luck.random() < 0.1:
            life.balances.release(call.id)
            return
        cost = self.luck.choice((call.held_pico, self.luck.randrange(call.held_pico + 1), 0))
        outcome = Outcome(self.now, Basis.REPORTED, 200)
        life.balances.settle(Charge(call, outcome, None, None, None, Usage(), (), Usage(), cost, "book", {}))
        self.spent[name] += cost

    def aware(self) -> list[str]:
        """The replicas that know of the budget."""
        return sorted(name for name, life in self.lives.items() if life.revision)

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
        self.now += timedelta(seconds=seconds)

    async def operator(self, limit: int) -> None:
        """The limit is set anew."""
        self.limit, self.revision = limit, self.revision + 1

    async def forget(self, name: str) -> None:
        """An operator gives up a dead replica once its lease has ended: what hung is lost with its journal."""
        account = Account(key(self.budget(1)), SINCE)
        self.hanging[name] = {}
        await Escrow(self.engine, self.time).forget(
            name, {account: (UNTIL, {name: Slice(self.spent[name], self.spent[name])})}
        )

    async def deliver(self) -> None:
        """What was under way arrives, also of replicas that are dead."""
        for line in self._lines:
            await line.deliver()

    async def close(self) -> None:
        await self.engine.dispose()
