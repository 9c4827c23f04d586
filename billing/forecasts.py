"""Forecasts: when a budget will be over, if what is spent goes on as it did lately.

Assumed: spend goes on at the mean rate of a recent stretch, which is as long as the rhythm of its window (a week for
a month, a day for a week, three hours for a day) but begins no earlier than the window does; nothing else is known of
tomorrow. Before an eighth of a window has passed nothing is foretold.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.budgets import Position

_RECENT = {"day": timedelta(hours=3), "week": timedelta(days=1), "month": timedelta(days=7)}
_ENOUGH = 8
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Forecast:
    """A budget that will be over at `over_at`, and at `end_pico` when its window ends; `recent_pico` was spent in the
    `recent` stretch that this is foretold from."""

    position: Position
    over_at: datetime
    end_pico: int
    recent: timedelta
    recent_pico: int


def recent_stretch(position: Position, now: datetime) -> timedelta | None:
    """The stretch up to now whose spend a forecast needs; None where there is nothing to foretell: of a total, early
    in a window, and once the limit is reached."""
    budget, elapsed = position.budget, now - position.since
    if budget.window not in _RECENT or position.spent_pico >= budget.limit_pico or now >= position.until:
        return None
    if elapsed * _ENOUGH < position.until - position.since:
        return None
    return min(_RECENT[budget.window], elapsed)


def forecast(position: Position, recent_pico: int, now: datetime) -> Forecast | None:
    """When a budget will be over, if that is before its window ends. `recent_pico`: spent in the `recent_stretch`."""
    recent = recent_stretch(position, now)
    if recent is None or recent_pico <= 0:
        return None
    stretch, ahead = recent // _MICROSECOND, (position.until - now) // _MICROSECOND
    end_pico = position.spent_pico + recent_pico * ahead // stretch
    if end_pico <= position.budget.limit_pico:
        return None
    over_in = (position.budget.limit_pico - position.spent_pico) * stretch // recent_pico
    return Forecast(position, now + over_in * _MICROSECOND, end_pico, recent, recent_pico)
