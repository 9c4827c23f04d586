"""Reports: rows in the order users read them, which add up to the whole in any zone."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.reports import rows, sums
from billing.store import Total, fold
from billing.tables import QUARTER_HOUR_SECONDS
from billing.windows import INTERVALS

ZONES = ("UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe")


def quarter(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // QUARTER_HOUR_SECONDS


def total(cost_pico: int, *group: str | None, at: str | None = None, requests: int = 1) -> Total:
    return Total(group, quarter(at) if at else None, requests, cost_pico, 10, 4, 3, 1, 2)


def test_the_figures_of_a_total() -> None:
    assert sums(total(270_000_001, requests=7)) == {
        "requests": 7,
        "input_tokens": 10,
        "cached_tokens": 4,
        "output_tokens": 3,
        "cost_usd": "0.000270000001",
        "estimated": 1,
        "unknown": 2,
    }


def test_without_an_interval_the_dearest_group_comes_first() -> None:
    found = rows([total(1, "b"), total(5, "a"), total(1, None), total(1, "a ")], ("team",), None, ZoneInfo("UTC"))
    assert [(row["team"], row["cost_usd"][-1]) for row in found] == [("a", "5"), (None, "1"), ("a ", "1"), ("b", "1")]
    assert list(found[0])[:2] == ["team", "requests"]


def test_groups_of_equal_cost_may_be_numbers_and_nothing() -> None:
    """A status is a number, and an interrupted call has none."""
    unlike: list[Total] = [Total((status,), None, 1, 0, 0, 0, 0, 0, 1) for status in (200, None, 429)]  # type: ignore[arg-type]
    assert [row["status"] for row in rows(unlike, ("status",), None, ZoneInfo("UTC"))] == [None, 200, 429]


def test_quarter_hours_fold_into_local_days_in_order() -> None:
    found = rows(
        [
            total(4, "b", at="2026-11-23T18:30"),
            total(1, "a", at="2026-11-22T18:30"),
            total(2, "a", at="2026-11-23T18:15"),
            total(8, "a", at="2026-11-22T18:15"),
            total(9, "b", at="2026-11-23T00:00"),
        ],
        ("team",),
        "day",
        ZoneInfo("Asia/Kolkata"),
    )
    assert [(row["day"], row["team"], row["requests"], row["cost_usd"][-1]) for row in found] == [
        ("2026-11-22", "a", 1, "8"),
        ("2026-11-23", "b", 1, "9"),
        ("2026-11-23", "a", 2, "3"),
        ("2026-11-24", "b", 1, "4"),
    ]
    assert list(found[0])[:3] == ["day", "team", "requests"]


@pytest.mark.parametrize(
    ("zone", "times", "labels"),
    [
        (
            "Europe/Paris",
            ("2026-10-25T02:00", "2026-10-25T01:00", "2026-10-25T00:45", "2026-10-25T00:00", "2026-10-24T23:00"),
            ["2026-10-25T01:00", "2026-10-25T02:00+0200", "2026-10-25T02:00+0100", "2026-10-25T03:00"],
        ),
        (
            "America/New_York",
            ("2026-11-01T07:00", "2026-11-01T06:00", "2026-11-01T05:00"),
            ["2026-11-01T01:00-0400", "2026-11-01T01:00-0500", "2026-11-01T02:00"],
        ),
        (
            "Australia/Lord_Howe",
            ("2026-04-04T15:30", "2026-04-04T15:15", "2026-04-04T14:45", "2026-04-04T14:00"),
            ["2026-04-05T01:00+1100", "2026-04-05T01:00+1030", "2026-04-05T02:00"],
        ),
    ],
)
def test_the_hour_that_comes_twice_is_two_rows_in_their_order(
    zone: str, times: tuple[str, ...], labels: list[str]
) -> None:
    found = rows([total(1, at=at) for at in times], (), "hour", ZoneInfo(zone))
    assert [row["hour"] for row in found] == labels
    assert sum(row["requests"] for row in found) == len(times)


quarters = st.integers(quarter("1975-01-01"), quarter("2036-01-01")) | st.integers(
    quarter("2026-10-24T20:00"), quarter("2026-10-25T04:00")
)
totals = st.lists(
    st.builds(
        Total,
        st.tuples(st.sampled_from(["a", "b", None])),
        quarters,
        st.integers(1, 5),
        st.integers(0, 10**20),
        st.integers(0, 10**9),
        st.integers(0, 10**9),
        st.integers(0, 10**9),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    max_size=15,
)


@given(totals, st.sampled_from([None, *INTERVALS]), st.sampled_from(ZONES))
def test_the_rows_add_up_to_the_whole_in_any_zone(found: list[Total], interval: str | None, zone: str) -> None:
    shown = rows(found, ("team",), interval, ZoneInfo(zone))
    whole = sums(fold(found))
    for figure in ("requests", "input_tokens", "cached_tokens", "output_tokens", "estimated", "unknown"):
        assert sum(row[figure] for row in shown) == whole[figure]
    assert sum(int(Decimal(row["cost_usd"]) * 10**12) for row in shown) == sum(each.cost_pico for each in found)
    assert len({(row.get(interval or ""), row["team"]) for row in shown}) == len(shown), "a group has one row"
