"""Budgets' windows: midnights, weeks, month ends, leap days, and the days with 23 and 25 hours."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from billing.budgets import Budget, Position, Shortage
from billing.windows import BEGINNING, END


@pytest.mark.parametrize(
    ("window", "zone", "at", "since", "until"),
    [
        ("day", "UTC", "2026-11-23T00:00:00", "2026-11-23T00:00", "2026-11-24T00:00"),
        ("day", "UTC", "2026-11-23T23:59:59.999999", "2026-11-23T00:00", "2026-11-24T00:00"),
        ("day", "America/Los_Angeles", "2026-11-23T07:59", "2026-11-22T08:00", "2026-11-23T08:00"),
        ("day", "Asia/Kathmandu", "2026-11-22T18:15", "2026-11-22T18:15", "2026-11-23T18:15"),
        # the day that has 23 hours, and the one that has 25
        ("day", "Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("day", "Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("day", "Australia/Lord_Howe", "2026-10-04T00:00", "2026-10-03T13:30", "2026-10-04T13:00"),
        # midnight itself does not exist on this day
        ("day", "America/Santiago", "2026-09-06T12:00", "2026-09-06T04:00", "2026-09-07T03:00"),
        ("week", "UTC", "2026-11-22T23:59:59", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("week", "UTC", "2026-11-23T00:00", "2026-11-23T00:00", "2026-11-30T00:00"),
        ("week", "Europe/Berlin", "2026-10-25T22:59", "2026-10-18T22:00", "2026-10-25T23:00"),
        ("week", "UTC", "2027-01-01T00:00", "2026-12-28T00:00", "2027-01-04T00:00"),
        ("month", "UTC", "2026-11-30T23:59:59", "2026-11-01T00:00", "2026-12-01T00:00"),
        ("month", "UTC", "2026-12-31T23:59:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("month", "UTC", "2028-02-29T12:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("month", "UTC", "2026-02-28T23:59:59", "2026-02-01T00:00", "2026-03-01T00:00"),
        ("month", "America/New_York", "2026-11-01T04:30", "2026-11-01T04:00", "2026-12-01T05:00"),
        ("month", "Pacific/Kiritimati", "2026-11-30T10:00", "2026-11-30T10:00", "2026-12-31T10:00"),
    ],
)
def test_windows(window: str, zone: str, at: str, since: str, until: str) -> None:
    def utc(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert Budget("b", 1, window).window_at(utc(at), ZoneInfo(zone)) == (utc(since), utc(until))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Asia/Gaza"])
@pytest.mark.parametrize("window", ["day", "week", "month"])
def test_windows_follow_one_another_without_a_gap(window: str, zone: str) -> None:
    budget, at = Budget("b", 1, window), datetime(2026, 1, 1, tzinfo=UTC)
    since, until = budget.window_at(at, ZoneInfo(zone))
    while at < datetime(2027, 3, 1, tzinfo=UTC):
        assert since <= at < until
        following, end = budget.window_at(until, ZoneInfo(zone))
        assert following == until
        assert budget.window_at(until - timedelta(microseconds=1), ZoneInfo(zone)) == (since, until)
        at, since, until = until, following, end


def test_a_total_has_one_window() -> None:
    for year in (1970, 2026, 9000):
        at = datetime(year, 5, 5, tzinfo=UTC)
        assert Budget("b", 1, "total").window_at(at, ZoneInfo("UTC")) == (BEGINNING, END)


@pytest.mark.parametrize(
    ("changes", "why"), [({"window": "year"}, "day, week, month, total"), ({"limit_pico": -1}, "zero")]
)
def test_what_is_no_budget_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Budget(**{"name": "b", "limit_pico": 1, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "spent", "held", "left", "overrun"), [(100, 30, 20, 50, 0), (100, 110, 20, -30, 10), (0, 0, 0, 0, 0)]
)
def test_positions(limit: int, spent: int, held: int, left: int, overrun: int) -> None:
    position = Position(Budget("b", limit), BEGINNING, END, spent, held)
    assert (position.left_pico, position.overrun_pico) == (left, overrun)


@pytest.mark.parametrize(("spent", "ask", "waiting_helps"), [(40, 60, True), (40, 61, False), (0, 0, True)])
def test_waiting_helps_while_only_holds_stand_in_the_way(spent: int, ask: int, waiting_helps: bool) -> None:
    assert Shortage(Position(Budget("b", 100), BEGINNING, END, spent, 60), ask).only_holds is waiting_helps
