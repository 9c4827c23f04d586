"""A replica's desk in made-up time: everything of it is real but the clock, the apps and the upstream.

All luck comes from one seed: the same seed is the same life, to the last record. The upstream's bill is kept apart from
anything that the desk knows.
"""

import heapq
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random

from simulation.desk import (
    BERLIN,
    BUDGETS,
    CAPPED,
    GRAIN,
    MODEL,
    NOT_BILLED,
    START,
    Desk,
    Died,
    Ending,
    Fate,
    request,
)
from simulation.sums import Sums

from billing.budgets import Budget
from billing.charges import Basis, Call, Outcome
from billing.journal import JournalUnwritable
from billing.money import pico_from_usd
from billing.scopes import Scope
from billing.usage import Reading, Usage

HOLD_SECONDS = 5400
BETWEEN_ARRIVALS_SECONDS = 12
USUAL_SECONDS = 300
FULL = "CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'full'); END"
ROOM = "DROP TRIGGER full"
CRASHES, FULL_DISKS, CHANGES = 20, 15, 30
"""About half of how often it happens in a life: a call is two events or more."""


class Life:
    """Many calls, several lives of a desk, and the sums they are held to."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.luck = Random(seed)
        self.now = START
        self.sums = Sums(BERLIN)
        self.bill: dict[str, int] = {}
        self.fates: dict[str, Fate] = {}
        self.calls: dict[str, Call] = {}
        """Every call that was admitted, as it is held or was at last."""
        self._open: set[str] = set()
        """Those under way."""
        self.seen: Counter[str] = Counter()
        self._folder = folder
        self._late: set[str] = set()
        """Calls whose end the journal did not take yet: unknown to the next life, if this one ends before it does."""
        self._full = False
        self.unknown: set[str] = set()
        """Calls that were charged with their cost unknown."""
        self._numbers = count()
        self._due: list[tuple[datetime, int, Callable[[], None]]] = []
        self._left = 0
        self.desk = Desk(folder, lambda: self.now)

    async def run(self, requests: int) -> None:
        """Live until so many requests have been made and all calls have ended."""
        await self._start()
        await self._define(*BUDGETS)
        self._left = requests
        self._later(0, self._arrival)
        happenings = (
            (0.02, self._post),
            (0.02, self._look),
            (CRASHES / requests, self._crash),
            (CRASHES / requests, self._crash_while_posting),
            (FULL_DISKS / requests, self._fill_the_disk),
            (CHANGES / requests, self._redefine),
        )
        while self._due:
            self._step()
            for share, happen in happenings:
                if self.luck.random() < share:
                    self.seen[happen.__name__] += 1
                    await happen()
                    self.compare()
        self.compare()
        await self.desk.poster.drain()
        await self.desk.end()

    def compare(self) -> None:
        """The balances are what the plain sums are."""
        found = {
            position.budget.name: (position.spent_pico, position.held_pico)
            for position in self.desk.balances.positions(self.now)
        }
        assert found == self.sums.standing(self.now), f"at {self.now}"

    # Time

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        at = self.now + timedelta(seconds=seconds)
        heapq.heappush(self._due, (at, next(self._numbers), action))

    def _step(self) -> None:
        if self._due:
            self.now, _, action = heapq.heappop(self._due)
            action()

    def _some_steps(self) -> None:
        for _ in range(self.luck.randrange(4)):
            self._step()

    # The apps

    def _arrival(self) -> None:
        self._left -= 1
        if self._left:
            self._later(self.luck.expovariate(1 / BETWEEN_ARRIVALS_SECONDS), self._arrival)
        call, fate = request(self.luck, f"fbx_{next(self._numbers)}", self.now)
        fits = self.sums.fits(call)
        try:
            shortage = self.desk.cashier.open(call)
            if shortage is None:
                self._turn()
                self.desk.opened(call)
        except JournalUnwritable:
            self.seen["unwritable"] += 1
            return
        assert (shortage is None) is fits, f"{call.id} at {self.now}: fits {fits}, {shortage}"
        if shortage is not None:
            assert shortage.only_holds is self.sums.helped_by_waiting(call), f"{call.id} at {self.now}"
            self.seen["refused"] += 1
            return
        self._late.clear()
        self.sums.admit(call)
        self.calls[call.id], self.fates[call.id] = call, fate
        self._open.add(call.id)
        if fate.ending not in NOT_BILLED:
            self.bill[call.id] = fate.cost
        if call.attribution.team == "search":
            assert self.sums.at(CAPPED, call.started_at) <= CAPPED.limit_pico, f"{call.id} at {self.now}: over"
        seconds = self.luck.expovariate(1 / USUAL_SECONDS)
        if fate.ending is Ending.STUCK:
            seconds += HOLD_SECONDS
            self._later(HOLD_SECONDS + 1, self._expire)
        elif fate.cost > call.held_pico:
            self._later(seconds / 2, lambda: self._outgrow(call.id))
        self._later(seconds, lambda: self._end(call.id))

    def _outgrow(self, ident: str) -> None:
        if ident in self._open and not self._full:  # what a full disk does not take of it, the next life cannot know
            call, more = self.calls[ident], self.luck.randrange(GRAIN, self.fates[ident].cost, GRAIN)
            self.calls[ident] = self.desk.cashier.top_up(call, more)
            self._turn()
            self.sums.raise_hold(call, more)
            self.seen["outgrown"] += 1

    def _end(self, ident: str) -> None:
        if ident not in self._open:  # its process has died meanwhile
            return
        self._open.remove(ident)
        call, fate = self.calls[ident], self.fates[ident]
        self.seen[fate.ending.name] += 1
        if fate.ending in NOT_BILLED:
            self.desk.cashier.release(call)
            self.sums.end(ident, 0)
            self._late.add(ident)
            self._turn()
            return
        charge = self.desk.cashier.settle(call, self._outcome(fate))
        self.sums.end(ident, call.held_pico if charge.cost_pico is None else charge.cost_pico)
        if charge.cost_pico is None:
            self.unknown.add(ident)
        self._late.add(ident)
        self._turn()

    def _turn(self) -> None:
        """A turn of the event loop ends: what was recorded in it goes to the disk."""
        with suppress(JournalUnwritable):
            self.desk.journal.flush()
            self._late.clear()

    def _outcome(self, fate: Fate) -> Outcome:
        if fate.ending is Ending.SILENT:
            return Outcome(self.now, Basis.UNKNOWN, reason="no_answer")
        if fate.ending is Ending.LEFT_AND_CANCELLED:
            said = Usage({unit: quantity // 2 for unit, quantity in fate.tokens.items()})
            return Outcome(self.now, Basis.ESTIMATED, 200, Reading(said, MODEL), client_gone=True, reason="cancelled")
        gone = fate.ending is Ending.LEFT_AND_DRAINED
        return Outcome(self.now, Basis.REPORTED, 200, Reading(fate.tokens, MODEL), client_gone=gone)

    def _expire(self) -> None:
        for ident in self.desk.balances.expire(self.now - timedelta(seconds=HOLD_SECONDS)):
            self.seen["expired"] += 1
            self.sums.end(ident, 0)

    # What happens to the desk

    async def _start(self) -> None:
        await self.desk.store.create()
        interrupted = [*self._open, *self._late]
        assert self.desk.cashier.settle_interrupted(self.now) == len(interrupted)
        self._turn()
        for ident in interrupted:
            self.sums.end(ident, self.calls[ident].held_pico)
            self.unknown.add(ident)
        self.seen["interrupted"] += len(interrupted)
        self._open, self._late = set(), set()
        await self.desk.follower.step()
        self.desk.store.meanwhile = self._some_steps

    async def _look(self) -> None:
        """Nothing; the balances are compared after whatever happens."""

    async def _post(self) -> None:
        await self.desk.poster.drain()

    async def _crash(self) -> None:
        self._on_the_journal(FULL)  # a kill leaves the files as they are
        await self.desk.end()
        self._on_the_journal(ROOM)
        self.desk = Desk(self._folder, lambda: self.now)
        await self._start()

    async def _crash_while_posting(self) -> None:
        """Between the ledger's commit and what the journal forgets for it."""
        self.desk.store.dies = True
        try:
            await self.desk.poster.drain()
        except Died:
            await self._crash()
        self.desk.store.dies = False

    async def _fill_the_disk(self) -> None:
        """For a while the journal takes nothing."""
        self._full = True
        self._on_the_journal(FULL)
        for _ in range(self.luck.randrange(20)):
            self._step()
        self._on_the_journal(ROOM)
        self._full = False

    def _on_the_journal(self, statement: str) -> None:
        with closing(sqlite3.connect(self._folder / "journal" / "journal.db", isolation_level=None)) as db:
            db.execute(statement)

    async def _redefine(self) -> None:
        """An operator changes a limit, a window, a scope, or takes a budget out of force and defines it again later."""
        standing = {budget.name: budget for budget in self.sums.budgets}
        name = self.luck.choice(("all", "open", "prod", "one user"))
        changed = standing.get(name)
        if changed is None:
            changed = next(budget for budget in BUDGETS if budget.name == name)
        elif name == "all":
            changed = replace(changed, limit_pico=pico_from_usd(self.luck.choice(("60", "120", "400"))))
        elif name == "open":
            changed = replace(changed, scope=Scope({self.luck.choice(("team", "tag:env")): ("ads", "test")}))
        elif name == "one user":
            changed = replace(changed, window=self.luck.choice(("day", "week", "month")))
        else:
            await self.desk.store.registry.withdraw(Budget, name, self.now)
            await self._follow()
            return
        await self._define(changed)

    async def _define(self, *budgets: Budget) -> None:
        await self.desk.store.registry.define(budgets, self.now)
        await self._follow()

    async def _follow(self) -> None:
        await self.desk.follower.step()
        self.sums.put(self.desk.follower.directory.all(Budget))
