"""What balances must be, by the plainest means: a list of calls, and sums over it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from billing.budgets import Budget
from billing.charges import Call

Window = tuple[datetime, datetime]


@dataclass
class Entry:
    """A call that was admitted: what is held for it, and what it counts as once it has ended."""

    call: Call
    held: int
    spent: int = 0


@dataclass
class Sums:
    """All admitted calls since the beginning, and the sums of each budget in each of its windows."""

    zone: ZoneInfo
    budgets: tuple[Budget, ...] = ()
    entries: dict[str, Entry] = field(default_factory=dict)
    _spent: Counter[tuple[str, Window]] = field(default_factory=Counter)
    _held: Counter[tuple[str, Window]] = field(default_factory=Counter)
    _windows: dict[tuple[str, datetime], Window] = field(default_factory=dict)
    _covering: dict[tuple[str | None, ...], list[Budget]] = field(default_factory=dict)

    def put(self, budgets: Iterable[Budget]) -> None:
        """Put budgets in force: what is new or means others is summed up from all calls there ever were."""
        known, self.budgets = self.budgets, tuple(budgets)
        self._covering = {}
        for budget in self.budgets:
            if budget not in known:
                for sums in (self._spent, self._held):
                    for key in [key for key in sums if key[0] == budget.name]:
                        del sums[key]
                for entry in self.entries.values():
                    if budget in self._of(entry.call):
                        self._add(budget, entry.call, entry.spent, entry.held)

    def admit(self, call: Call) -> None:
        """A call is in."""
        self.entries[call.id] = Entry(call, call.held_pico)
        self._add_to_all(call, 0, call.held_pico)

    def raise_hold(self, call: Call, more: int) -> None:
        """More is held for a call."""
        self.entries[call.id].held += more
        self._add_to_all(call, 0, more)

    def end(self, ident: str, spent: int) -> None:
        """A call has ended, or its hold has, or more has become known of it: it holds nothing and counts as this."""
        entry = self.entries[ident]
        self._add_to_all(entry.call, spent - entry.spent, -entry.held)
        entry.spent, entry.held = spent, 0

    def fits(self, call: Call) -> bool:
        """Whether spent + held + ask is within the limit of every hard budget of a call, or it asks for nothing."""
        return not call.held_pico or all(
            self.at(budget, call.started_at) + call.held_pico <= budget.limit_pico
            for budget in self._of(call)
            if budget.hard
        )

    def helped_by_waiting(self, call: Call) -> bool:
        """Whether a call would fit if nothing were held."""
        return all(
            self._spent[budget.name, self._window(budget, call.started_at)] + call.held_pico <= budget.limit_pico
            for budget in self._of(call)
            if budget.hard
        )

    def at(self, budget: Budget, moment: datetime) -> int:
        """What is spent and held."""
        key = budget.name, self._window(budget, moment)
        return self._spent[key] + self._held[key]

    def standing(self, now: datetime) -> dict[str, tuple[int, int]]:
        """Spent and held of each budget in the window of now."""
        keys = {budget.name: (budget.name, self._window(budget, now)) for budget in self.budgets}
        return {name: (self._spent[key], self._held[key]) for name, key in keys.items()}

    def _add_to_all(self, call: Call, spent: int, held: int) -> None:
        for budget in self._of(call):
            self._add(budget, call, spent, held)

    def _add(self, budget: Budget, call: Call, spent: int, held: int) -> None:
        key = budget.name, self._window(budget, call.started_at)
        self._spent[key] += spent
        self._held[key] += held

    def _of(self, call: Call) -> list[Budget]:
        """The budgets of a call; calls of one kind have the same."""
        kind = (call.attribution.team, call.attribution.user, call.attribution.tags.get("env"))
        if kind not in self._covering:
            self._covering[kind] = [budget for budget in self.budgets if budget.scope.covers(call)]
        return self._covering[kind]

    def _window(self, budget: Budget, moment: datetime) -> Window:
        hour = moment.replace(minute=0, second=0, microsecond=0)  # no zone here turns within an hour
        if (budget.window, hour) not in self._windows:
            self._windows[budget.window, hour] = budget.window_at(hour, self.zone)
        return self._windows[budget.window, hour]
