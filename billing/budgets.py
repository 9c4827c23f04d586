"""Budgets: how much may be spent on which calls in a window of time. A budget is a rule; what is spent is a fold."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from billing.scopes import EVERYTHING, Scope
from billing.windows import BUDGET_WINDOWS, window

ALERT_PERCENTS = (50, 80, 100)


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit in picodollars on the calls of a scope, anew in each window. A hard one refuses, a soft one only tells.

    `alert_percents` are the shares of the limit whose crossing is told.
    """

    name: str
    limit_pico: int
    window: str = "month"
    scope: Scope = EVERYTHING
    hard: bool = True
    alert_percents: tuple[int, ...] = ALERT_PERCENTS

    def __post_init__(self) -> None:
        if self.window not in BUDGET_WINDOWS:
            raise ValueError(f"window: one of {', '.join(BUDGET_WINDOWS)}")
        if self.limit_pico < 0:
            raise ValueError("limit: zero or more")

    def window_at(self, at: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """The window that a call admitted at a moment belongs to, [since, until) in UTC."""
        return window(self.window, at, zone)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a budget stands in one window, in picodollars. `unknown_pico` is the part of `spent_pico` that stands
    for calls whose cost is not known: what was held for them."""

    budget: Budget
    since: datetime
    until: datetime
    spent_pico: int
    held_pico: int
    unknown_pico: int = 0

    @property
    def left_pico(self) -> int:
        """What can still be held."""
        return self.budget.limit_pico - self.spent_pico - self.held_pico

    @property
    def overrun_pico(self) -> int:
        """What was spent past the limit."""
        return max(0, self.spent_pico - self.budget.limit_pico)


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a call was not authorised: the budget that has not enough left for the hold asked for."""

    position: Position
    ask_pico: int

    @property
    def only_holds(self) -> bool:
        """Whether other calls' holds alone stand in the way, so that waiting may help."""
        return self.position.spent_pico + self.ask_pico <= self.position.budget.limit_pico
