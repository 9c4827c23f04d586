from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.budgets import Budget, Position
from billing.forecasts import forecast, recent_stretch
from billing.money import pico_from_usd

ZONE = ZoneInfo("UTC")
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def position(spent: str, window: str = "month", limit: str = "300") -> Position:
    budget = Budget("b", pico_from_usd(limit), window)
    since, until = budget.window_at(BEGIN, ZONE)
    return Position(budget, since, until, pico_from_usd(spent), 0)


@pytest.mark.parametrize(
    ("case", "window", "spent", "elapsed", "stretch"),
    [
        ("early in the month", "month", "10", 3 * DAY, None),
        ("from an eighth of it on, all there is", "month", "10", 4 * DAY, 4 * DAY),
        ("later the last week", "month", "10", 20 * DAY, 7 * DAY),
        ("a day: three hours", "day", "10", 12 * HOUR, 3 * HOUR),
        ("early in the day", "day", "10", 2 * HOUR, None),
        ("a total ends never", "total", "10", 20 * DAY, None),
        ("over already", "month", "300", 20 * DAY, None),
        ("its window has ended", "day", "10", 24 * HOUR, None),
    ],
)
def test_the_stretch_a_forecast_is_made_from(
    case: str, window: str, spent: str, elapsed: timedelta, stretch: timedelta | None
) -> None:
    assert recent_stretch(position(spent, window), BEGIN + elapsed) == stretch


@pytest.mark.parametrize(
    ("case", "spent", "recent", "elapsed", "over_at"),
    [
        ("$10 a day, ten days left: just not over", "200", "70", 20 * DAY, None),
        ("a little more", "201", "70", 20 * DAY, BEGIN + 20 * DAY + 9 * DAY + 0.9 * DAY),
        ("$20 a day, $100 left", "200", "140", 20 * DAY, BEGIN + 25 * DAY),
        ("a spike long ago, calm since", "250", "7", 20 * DAY, None),
        ("nothing lately", "250", "0", 20 * DAY, None),
        ("too early to say", "100", "100", 2 * DAY, None),
    ],
)
def test_a_month_s_budget_of_300(
    case: str, spent: str, recent: str, elapsed: timedelta, over_at: datetime | None
) -> None:
    found = forecast(position(spent), pico_from_usd(recent), BEGIN + elapsed)
    assert (found.over_at if found else None) == over_at


def test_what_it_will_be_at_the_end() -> None:
    found = forecast(position("200"), pico_from_usd("140"), BEGIN + 20 * DAY)
    assert found is not None
    assert (found.end_pico, found.recent) == (pico_from_usd("400"), 7 * DAY)


@given(st.integers(1, 10**20), st.integers(0, 10**20), st.integers(0, 10**20), st.integers(0, 30 * 24))
def test_a_forecast_is_of_a_moment_to_come_in_the_window(limit: int, spent: int, recent: int, hours: int) -> None:
    now = BEGIN + hours * HOUR
    where = Position(Budget("b", limit), BEGIN, BEGIN + 30 * DAY, spent, 0)
    if found := forecast(where, recent, now):
        assert now <= found.over_at <= where.until
        assert found.end_pico > limit > spent
