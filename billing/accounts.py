"""Accounts: one budget in one window, as a replica keeps it; and a budget's book of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from billing.budgets import Budget, Position
from billing.leases import NOTHING, Account, Report, Slice, kept, key
from billing.scopes import Scope


@dataclass(slots=True, eq=False)
class Standing:
    """What this replica has spent and holds on a budget in [since, until), in picodollars.

    `granted` is its slice of the limit, None where there is no other replica: then all of it. `others` are the slices
    of all other replicas together, as far as is known. `least` and `ask` are what waiting calls ask for.
    """

    name: Account
    budget: Budget
    until: datetime
    spent: int = 0
    held: int = 0
    unknown: int = 0
    granted: int | None = None
    others: Slice = NOTHING
    low: int = 0
    least: int = 0
    ask: int = 0
    revision: int = 0

    @property
    def since(self) -> datetime:
        """When its window began."""
        return self.name.since

    @property
    def obtainable(self) -> int:
        """What can still be held, counting what no replica has been granted yet."""
        return self.budget.limit_pico - self.others.granted_pico - self.spent - self.held

    @property
    def left(self) -> int:
        """What can be held without asking anyone."""
        if self.granted is None:
            return self.obtainable
        return min(self.granted - self.spent - self.held, self.obtainable)

    def position(self) -> Position:
        """Where the budget stands over all replicas."""
        spent, held = self.spent + self.others.spent_pico, self.held + self.others.held_pico
        unknown = self.unknown + self.others.unknown_pico
        return Position(self.budget, self.since, self.until, spent, held, unknown)

    def lacks(self, pico: int) -> None:
        """A call that asks for so much waits for a larger slice."""
        self.least = min(self.least, pico) if self.least else pico
        self.ask += pico

    def report(self, replicas: int) -> Report:
        """Give back what is too much, ask for what lacks, and say so. What waiting calls lack is said once."""
        mine = Slice(self.granted or 0, self.spent, self.held, self.unknown)
        if self.granted is not None:
            self.granted = kept(mine, self.others, self.budget.limit_pico, replicas)
            mine = Slice(self.granted, self.spent, self.held, self.unknown)
        grow = self.granted is not None and (self.ask > 0 or self.left <= self.low)
        told = Report(self.name, self.until, self.budget.limit_pico, mine, grow, self.least, self.ask, self.revision)
        self.least = self.ask = 0
        return told

    @property
    def needed_elsewhere(self) -> bool:
        """Whether another replica waits for what this one does not use."""
        return self.others.wanted_pico > 0 and (self.granted or 0) > self.spent + self.held

    def learn(self, mine: Slice | None, others: Slice) -> None:
        """What the database says: this replica's slice, where it was asked for, and the others'."""
        self.others = others
        if mine is not None and self.granted is not None:
            self.granted = mine.granted_pico
            self.low = max(mine.granted_pico - self.spent - self.held, 0) // 2


class Book:
    """One budget's accounts, a window each. `leased` says that they begin with an empty slice."""

    def __init__(self, budget: Budget, zone: ZoneInfo, *, leased: bool) -> None:
        self.budget = budget
        self._zone = zone
        self._leased = leased and budget.hard
        self._key = key(budget)
        self._standings: dict[datetime, Standing] = {}
        self._latest: Standing | None = None

    def __iter__(self) -> Iterator[Standing]:
        return iter(self._standings.values())

    @property
    def scope(self) -> Scope:
        """Which calls it is about."""
        return self.budget.scope

    def at(self, moment: datetime) -> Standing:
        """The account of the window that a moment belongs to; a window without one has no charges yet."""
        latest = self._latest
        if latest is None or not latest.since <= moment < latest.until:
            since, until = self.budget.window_at(moment, self._zone)
            latest = self._latest = self._standings.get(since) or self.open(since, until)
        return latest

    def open(self, since: datetime, until: datetime, spent: int = 0, unknown: int = 0, revision: int = 0) -> Standing:
        """A new account."""
        name, granted = Account(self._key, since), 0 if self._leased else None
        opened = Standing(name, self.budget, until, spent, 0, unknown, granted, revision=revision)
        self._standings[since] = opened
        return opened

    def changed(self, budget: Budget, *, leased: bool) -> "Book":
        """The same accounts under a budget of the same scope and kind of window."""
        book = Book(budget, self._zone, leased=leased)
        for standing in self:
            standing.budget = budget
            standing.granted = (standing.granted or 0) if book._leased else None
            book._standings[standing.since] = standing
        return book
