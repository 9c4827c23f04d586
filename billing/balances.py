"""Balances: what is spent and held on each budget, in memory. Authorise, settle, release; never an `await` between.

A balance is the fold of the ledger's charges and of the holds of open calls. Nothing is reset: a window that begins
has no charges yet. Holds are kept per call and apart from spend, so none can leak into it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from billing.accounts import Book, Standing
from billing.budgets import Budget, Position, Shortage
from billing.charges import Call, Charge
from billing.leases import NOTHING, Account, Report, Slice
from billing.scopes import Index


@dataclass(frozen=True, slots=True)
class Fold:
    """What a budget's charges add up to in the window [since, until), in picodollars; `unknown_pico` is the part of
    `spent_pico` that stands for calls whose cost is not known."""

    since: datetime
    until: datetime
    spent_pico: int = 0
    unknown_pico: int = 0

    def plus(self, spent_pico: int, unknown_pico: int) -> "Fold":
        """This fold with more charges."""
        return Fold(self.since, self.until, self.spent_pico + spent_pico, self.unknown_pico + unknown_pico)


def counted(charge: Charge) -> tuple[int, int]:
    """What a charge counts as on its budgets, and the part of it that stands for a cost not known: what was held."""
    if charge.cost_pico is None:
        return charge.call.held_pico, charge.call.held_pico
    return charge.cost_pico, 0


@dataclass(slots=True)
class _Hold:
    call: Call
    pico: int


class Balances:
    """The balances of all budgets in force on this replica. `leased` where it shares hard ones with others: then it
    authorises inside its slices only, and `wanting` is called when one is too small or nearly used up."""

    def __init__(self, zone: ZoneInfo, *, leased: bool = False) -> None:
        self._zone = zone
        self._leased = leased
        self._books: dict[str, Book] = {}
        self._index: Index[Book] = Index(())
        self._holds: dict[str, _Hold] = {}
        self._touched: dict[Standing, None] = {}
        self.wanting: Callable[[], None] = _nobody_asks
        self.leases_hold = True
        """Whether slices bind: not while the database is away and FAREBOX_DATABASE_AWAY=continue."""

    # The rules in force

    def needs_fold(self, budget: Budget) -> bool:
        """Whether a budget's charges must be summed up before it can be put in force: it is new, or means others."""
        book = self._books.get(budget.name)
        return book is None or (book.budget.scope, book.budget.window) != (budget.scope, budget.window)

    def put(self, budgets: Iterable[Budget], folds: Mapping[str, Iterable[Fold]], revision: int = 0) -> None:
        """Put exactly these budgets in force: with the sums in `folds`, by name, or as they stand where they need
        none. The holds of open calls are found anew. `revision` is that of the definitions that are new."""
        books = {}
        for budget in budgets:
            if budget.name in folds:
                book = books[budget.name] = Book(budget, self._zone, leased=self._leased)
                for fold in folds[budget.name]:
                    book.open(fold.since, fold.until, fold.spent_pico, fold.unknown_pico, revision)
            else:
                books[budget.name] = self._books[budget.name].changed(budget, leased=self._leased)
        self._books, self._index = books, Index(books.values())
        for standing in self.standings():
            standing.held = 0
        for hold in self._holds.values():
            for standing in self._standings(hold.call):
                standing.held += hold.pico
        self._touched = dict.fromkeys(self.standings())

    # A call's life

    def __bool__(self) -> bool:
        """Whether there is any budget."""
        return bool(self._books)

    def concern(self, call: Call) -> bool:
        """Whether a budget is about this call; or may be, once a model is known that only a file of it names."""
        if next(self._index.covering(call), None) is not None:
            return True
        return call.requested_model is None and any(
            "model" in scope.wanted and scope.without("model").covers(call)
            for scope in (book.scope for book in self._books.values())
        )

    def left(self, call: Call) -> int | None:
        """The least that is left on a hard budget of this call; None when no hard budget is about it."""
        return min((it.obtainable for it in self._standings(call) if it.budget.hard), default=None)

    def unspent(self, call: Call) -> int | None:
        """The least that is not spent on a hard budget of this call, whoever holds it; None when there is none."""
        hard = [it for it in self._standings(call) if it.budget.hard]
        return min((it.budget.limit_pico - it.spent - it.others.spent_pico for it in hard), default=None)

    def short(self, call: Call, ask_pico: int) -> Shortage | None:
        """The hard budget that has not enough left, if any: first one where waiting would not help."""
        return _shortage(
            [it for it in self._standings(call) if it.budget.hard and ask_pico > max(it.obtainable, 0)], ask_pico
        )

    def authorise(self, call: Call) -> Shortage | None:
        """Hold `call.held_pico` on all budgets of the call; or on none, and say which is short."""
        ask, standings = call.held_pico, list(self._standings(call))
        if short := [it for it in standings if it.budget.hard and ask > max(self._left(it), 0)]:
            for standing in short:
                standing.lacks(ask)
                self._touched[standing] = None
            self.wanting()
            return _shortage(short, ask)
        self._holds[call.id] = _Hold(call, ask)
        for standing in standings:
            standing.held += ask
            if self._leased:
                self._touched[standing] = None
                if standing.granted is not None and standing.left < standing.low:
                    self.wanting()
        return None

    def top_up(self, call: Call, more_pico: int) -> None:
        """Hold more for an open call, past a limit if it must be: the money is being spent already."""
        if hold := self._holds.get(call.id):
            hold.pico += more_pico
            self._add(call, held=more_pico)

    def settle(self, charge: Charge) -> None:
        """A call has ended: its cost takes the place of its hold. A cost that is not known counts as the hold."""
        hold = self._holds.pop(charge.call.id, None)
        spent, unknown = counted(charge)
        if hold and hold.call.started_at != charge.call.started_at:  # it counts in another window than it was held in
            self._add(hold.call, held=-hold.pico)
            hold = None
        self._add(charge.call, spent, -hold.pico if hold else 0, unknown)

    def keep(self, call: Call) -> None:
        """Hold for a call whose usage comes later for as long as that takes: what is held already, or what was held
        by an earlier life or another replica, past a limit if it must be."""
        if hold := self._holds.get(call.id):
            hold.call = call
        else:
            self._holds[call.id] = _Hold(call, call.held_pico)
            self._add(call, held=call.held_pico)

    def release(self, call_id: str) -> None:
        """Let a hold go, if it is there."""
        if hold := self._holds.pop(call_id, None):
            self._add(hold.call, held=-hold.pico)

    def expire(self, admitted_before: datetime) -> list[str]:
        """Let the holds go of calls that were admitted before a moment, but for those whose usage comes later; their
        ids."""
        stale = [
            ident
            for ident, hold in self._holds.items()
            if hold.call.started_at < admitted_before and hold.call.pending is None
        ]
        for ident in stale:
            self.release(ident)
        return stale

    def positions(self, now: datetime) -> list[Position]:
        """Where every budget stands in its current window."""
        return [book.at(now).position() for book in self._books.values()]

    # What replicas tell each other

    def reports(self, replicas: int) -> list[Report]:
        """How the accounts stand that have changed since they were last asked for; of a slice that is too large a part
        is given back with it. They must be `unsaid` when it is not certain that they arrived."""
        touched, self._touched = self._touched, {}
        return [standing.report(replicas) for standing in touched]

    def unsaid(self, reports: Iterable[Report]) -> None:
        """These reports did not arrive, or nobody knows: they are made again."""
        names = {report.account for report in reports}
        self._touched.update((standing, None) for standing in self.standings() if standing.name in names)

    def learn(self, mine: Mapping[Account, Slice], others: Mapping[Account, Slice]) -> None:
        """What the database says: this replica's slices that it asked for, and what all others have together. What
        another replica waits for is given back with the next reports."""
        for standing in self.standings():
            standing.learn(mine.get(standing.name), others.get(standing.name, NOTHING))
            if standing.needed_elsewhere:
                self._touched[standing] = None
                self.wanting()

    def standings(self) -> Iterator[Standing]:
        """All accounts: every budget, in every window that it was asked about."""
        return (standing for book in self._books.values() for standing in book)

    def _left(self, standing: Standing) -> int:
        return standing.left if self.leases_hold else standing.obtainable

    def _add(self, call: Call, spent: int = 0, held: int = 0, unknown: int = 0) -> None:
        for standing in self._standings(call):
            standing.spent += spent
            standing.held += held
            standing.unknown += unknown
            if self._leased:
                self._touched[standing] = None

    def _standings(self, call: Call) -> Iterator[Standing]:
        for book in self._index.covering(call):
            yield book.at(call.started_at)


def _shortage(short: Iterable[Standing], ask_pico: int) -> Shortage | None:
    """Of the budgets that are short, the one to tell: first one where waiting would not help."""
    shortages = (Shortage(standing.position(), ask_pico) for standing in short)
    return min(shortages, key=lambda shortage: shortage.only_holds, default=None)


def _nobody_asks() -> None:
    """Where there are no other replicas."""
