"""Balances: what is spent and held on each budget, in memory. Authorise, settle, release; never an `await` between.

A balance is the fold of the ledger's charges and of the holds of open calls. Nothing is reset: a window that begins
has no charges yet. Holds are kept per call and apart from spend, so none can leak into it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from billing.budgets import Budget, Position, Shortage
from billing.charges import Call, Charge
from billing.scopes import Index, Scope


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


@dataclass(slots=True, eq=False)
class _Account:
    """One budget in one window."""

    budget: Budget
    since: datetime
    until: datetime
    spent: int = 0
    held: int = 0
    unknown: int = 0

    @property
    def left(self) -> int:
        return self.budget.limit_pico - self.spent - self.held

    def position(self) -> Position:
        return Position(self.budget, self.since, self.until, self.spent, self.held, self.unknown)


class _Book:
    """One budget's accounts, a window each."""

    def __init__(self, budget: Budget, zone: ZoneInfo, accounts: Iterable[_Account]) -> None:
        self.budget = budget
        self._zone = zone
        self.accounts = {account.since: account for account in accounts}
        self._latest: _Account | None = None
        for account in self.accounts.values():
            account.budget = budget

    @property
    def scope(self) -> Scope:
        return self.budget.scope

    def at(self, moment: datetime) -> _Account:
        """The account of the window that a moment belongs to; a window without one has no charges yet."""
        latest = self._latest
        if latest is None or not latest.since <= moment < latest.until:
            since, until = self.budget.window_at(moment, self._zone)
            latest = self._latest = self.accounts.setdefault(since, _Account(self.budget, since, until))
        return latest


@dataclass(slots=True)
class _Hold:
    call: Call
    pico: int


class Balances:
    """The balances of all budgets in force on this replica."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._books: dict[str, _Book] = {}
        self._index: Index[_Book] = Index(())
        self._holds: dict[str, _Hold] = {}

    # The rules in force

    def needs_fold(self, budget: Budget) -> bool:
        """Whether a budget's charges must be summed up before it can be put in force: it is new, or means others."""
        book = self._books.get(budget.name)
        return book is None or (book.budget.scope, book.budget.window) != (budget.scope, budget.window)

    def put(self, budgets: Iterable[Budget], folds: Mapping[str, Iterable[Fold]]) -> None:
        """Put exactly these budgets in force: with the sums in `folds`, by name, or as they stand where they need
        none. The holds of open calls are found anew."""
        books = {}
        for budget in budgets:
            accounts: Iterable[_Account] = (
                [
                    _Account(budget, fold.since, fold.until, fold.spent_pico, 0, fold.unknown_pico)
                    for fold in folds[budget.name]
                ]
                if budget.name in folds
                else self._books[budget.name].accounts.values()
            )
            books[budget.name] = _Book(budget, self._zone, accounts)
        self._books, self._index = books, Index(books.values())
        for book in books.values():
            for account in book.accounts.values():
                account.held = 0
        for hold in self._holds.values():
            for account in self._accounts(hold.call):
                account.held += hold.pico

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
        return min((account.left for account in self._accounts(call) if account.budget.hard), default=None)

    def unspent(self, call: Call) -> int | None:
        """The least that is not spent on a hard budget of this call, whoever holds it; None when there is none."""
        accounts = self._accounts(call)
        return min((it.budget.limit_pico - it.spent for it in accounts if it.budget.hard), default=None)

    def short(self, call: Call, ask_pico: int) -> Shortage | None:
        """The hard budget that has not enough left, if any: first one where waiting would not help."""
        shortages = (
            Shortage(account.position(), ask_pico)
            for account in self._accounts(call)
            if account.budget.hard and ask_pico > max(account.left, 0)  # what costs nothing is never refused
        )
        return min(shortages, key=lambda shortage: shortage.only_holds, default=None)

    def authorise(self, call: Call) -> Shortage | None:
        """Hold `call.held_pico` on all budgets of the call; or on none, and say which is short."""
        if shortage := self.short(call, call.held_pico):
            return shortage
        self._holds[call.id] = _Hold(call, call.held_pico)
        for account in self._accounts(call):
            account.held += call.held_pico
        return None

    def top_up(self, call: Call, more_pico: int) -> None:
        """Hold more for an open call, past a limit if it must be: the money is being spent already."""
        if hold := self._holds.get(call.id):
            hold.pico += more_pico
            for account in self._accounts(call):
                account.held += more_pico

    def settle(self, charge: Charge) -> None:
        """A call has ended: its cost takes the place of its hold. A cost that is not known counts as the hold."""
        self.release(charge.call.id)
        spent, unknown = counted(charge)
        for account in self._accounts(charge.call):
            account.spent += spent
            account.unknown += unknown

    def release(self, call_id: str) -> None:
        """Let a hold go, if it is there."""
        if hold := self._holds.pop(call_id, None):
            for account in self._accounts(hold.call):
                account.held -= hold.pico

    def expire(self, admitted_before: datetime) -> list[str]:
        """Let the holds go of calls that were admitted before a moment; their ids."""
        stale = [ident for ident, hold in self._holds.items() if hold.call.started_at < admitted_before]
        for ident in stale:
            self.release(ident)
        return stale

    def positions(self, now: datetime) -> list[Position]:
        """Where every budget stands in its current window."""
        return [book.at(now).position() for book in self._books.values()]

    def _accounts(self, call: Call) -> Iterator[_Account]:
        for book in self._index.covering(call):
            yield book.at(call.started_at)
