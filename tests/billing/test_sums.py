"""Intervals are cut into buckets that add up to them, and no two of them overlap."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.sums import (
    DAY_SECONDS,
    DETAIL_GRAINS,
    GRAINS,
    HOUR_SECONDS,
    QUARTER_HOUR_SECONDS,
    Cover,
    Stretch,
    Total,
    cover,
    fold,
    grain_of,
)
from billing.windows import BEGINNING, END, interval_label, window

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
DAY = int(MIDNIGHT.timestamp()) // DAY_SECONDS


def at(hours: int = 0, minutes: int = 0, seconds: float = 0) -> datetime:
    return MIDNIGHT + timedelta(hours=hours, minutes=minutes, seconds=seconds)


def parts(found: Cover) -> list[tuple[datetime, datetime]]:
    """As intervals, in order."""
    buckets = [
        (datetime.fromtimestamp(each.first * each.grain, UTC), datetime.fromtimestamp(each.end * each.grain, UTC))
        for each in found.stretches
    ]
    return sorted([*buckets, *found.edges])


@pytest.mark.parametrize(
    ("since", "until", "stretches", "edges"),
    [
        (at(), at(24), [(DAY_SECONDS, 0, 1)], []),
        (at(-48), at(24), [(DAY_SECONDS, -2, 1)], []),
        (at(1), at(2), [(HOUR_SECONDS, 1, 2)], []),
        (at(23), at(49), [(HOUR_SECONDS, 23, 24), (DAY_SECONDS, 1, 2), (HOUR_SECONDS, 48, 49)], []),
        (at(0, 45), at(1, 30), [(QUARTER_HOUR_SECONDS, 3, 6)], []),
        (at(0, 15), at(0, 30), [(QUARTER_HOUR_SECONDS, 1, 2)], []),
        (at(0, 14), at(0, 30), [(QUARTER_HOUR_SECONDS, 1, 2)], [(at(0, 14), at(0, 15))]),
        (at(0, 15), at(0, 31), [(QUARTER_HOUR_SECONDS, 1, 2)], [(at(0, 30), at(0, 31))]),
        (at(0, 2), at(0, 3), [], [(at(0, 2), at(0, 3))]),
        (at(0, 14), at(0, 16), [], [(at(0, 14), at(0, 15)), (at(0, 15), at(0, 16))]),
        (at(1), at(1), [], []),
        (at(2), at(1), [], []),
    ],
)
def test_as_few_buckets_as_will_do(
    since: datetime, until: datetime, stretches: list[tuple[int, int, int]], edges: list[tuple[datetime, datetime]]
) -> None:
    begin = int(MIDNIGHT.timestamp())
    wanted = [Stretch(grain, begin // grain + first, begin // grain + end) for grain, first, end in stretches]
    assert cover(since, until) == Cover(tuple(wanted), tuple(edges))


moments = st.integers(0, 90 * 86_400 * 10).map(lambda tenths: MIDNIGHT + timedelta(seconds=tenths / 10))
lengths = st.one_of(st.timedeltas(timedelta(0), timedelta(minutes=40)), st.timedeltas(timedelta(0), timedelta(days=40)))


@given(
    moments, lengths, st.sampled_from([GRAINS, DETAIL_GRAINS, (DAY_SECONDS,), (HOUR_SECONDS,), (QUARTER_HOUR_SECONDS,)])
)
def test_the_parts_are_the_interval(since: datetime, length: timedelta, grains: tuple[int, ...]) -> None:
    found = cover(since, since + length, grains)
    moment = since
    for first, last in parts(found):
        assert (first, last > first) == (moment, True)
        moment = last
    assert moment == since + length
    assert {each.grain for each in found.stretches} <= {*grains}
    for first, last in found.edges:
        assert last - first < timedelta(seconds=grains[-1])
        inside = last - timedelta(microseconds=1)
        assert first.timestamp() // grains[-1] == inside.timestamp() // grains[-1], "an edge is a part of one bucket"


@pytest.mark.parametrize(
    ("interval", "zone", "grain"),
    [
        ("month", "UTC", DAY_SECONDS),
        ("day", "UTC", DAY_SECONDS),
        ("hour", "UTC", HOUR_SECONDS),
        ("month", "Europe/Berlin", HOUR_SECONDS),
        ("day", "America/New_York", HOUR_SECONDS),
        ("hour", "Asia/Tokyo", HOUR_SECONDS),
        ("day", "Asia/Kolkata", QUARTER_HOUR_SECONDS),
        ("month", "Asia/Kathmandu", QUARTER_HOUR_SECONDS),
        ("hour", "Australia/Lord_Howe", QUARTER_HOUR_SECONDS),  # its clock is set by half an hour
        ("hour", "Australia/Eucla", QUARTER_HOUR_SECONDS),
    ],
)
def test_a_zones_hours_and_days_are_made_of(interval: str, zone: str, grain: int) -> None:
    assert grain_of(interval, ZoneInfo(zone)) == grain


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"])
@pytest.mark.parametrize("interval", ["hour", "day", "month"])
def test_no_bucket_lies_in_two_local_intervals(name: str, interval: str) -> None:
    zone = ZoneInfo(name)
    grain = timedelta(seconds=grain_of(interval, zone))
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    while moment < datetime(2027, 1, 1, tzinfo=UTC):
        last = moment + grain - timedelta(microseconds=1)
        assert interval_label(moment, interval, zone) == interval_label(last, interval, zone)
        moment += max(grain, timedelta(hours=5, minutes=15)) // grain * grain


@pytest.mark.parametrize("name", ["day", "week", "month"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_windows_of_budgets_have_no_edges(name: str, zone: str) -> None:
    assert cover(*window(name, MIDNIGHT, ZoneInfo(zone))).edges == ()


def test_all_time_is_one_stretch_of_days() -> None:
    found = cover(BEGINNING, END)
    assert ([each.grain for each in found.stretches], found.edges) == ([DAY_SECONDS], ())


def test_totals_add_up_under_the_first_ones_group() -> None:
    one, two = Total(("a",), 7, 1, 2, 3, 4, 5, 6, 7), Total(("b",), 8, 10, 20, 30, 40, 50, 60, 70)
    assert one.plus(two) == Total(("a",), 7, 11, 22, 33, 44, 55, 66, 77)
    assert fold([one, two]) == Total((), None, 11, 22, 33, 44, 55, 66, 77)
    assert fold([]) == Total((), None, 0, 0, 0, 0, 0, 0, 0)
