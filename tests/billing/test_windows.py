"""Windows: half-open, in UTC, and cut where the clocks of a zone cut them, whatever is done to the clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.windows import INTERVALS, interval_label, moment, window

ZONES = (
    "UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
    "America/Havana", "Pacific/Apia", "America/St_Johns", "Africa/Cairo",
)  # fmt: skip


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "zone", "now", "since", "until"),
    [
        ("day", "UTC", "2026-11-23T00:00:00", "2026-11-23T00:00", "2026-11-24T00:00"),
        ("day", "UTC", "2026-11-23T23:59:59.999999", "2026-11-23T00:00", "2026-11-24T00:00"),
        ("day", "Europe/Paris", "2026-11-22T23:00", "2026-11-22T23:00", "2026-11-23T23:00"),
        ("day", "Europe/Paris", "2026-11-22T22:59", "2026-11-21T23:00", "2026-11-22T23:00"),
        ("day", "Asia/Kolkata", "2026-11-22T18:30", "2026-11-22T18:30", "2026-11-23T18:30"),
        # 23 and 25 hours
        ("day", "Europe/Paris", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("day", "Europe/Paris", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("day", "America/New_York", "2026-03-08T12:00", "2026-03-08T05:00", "2026-03-09T04:00"),
        ("day", "America/New_York", "2026-11-01T12:00", "2026-11-01T04:00", "2026-11-02T05:00"),
        # 23½ and 24½ hours
        ("day", "Australia/Lord_Howe", "2026-10-04T00:00", "2026-10-03T13:30", "2026-10-04T13:00"),
        ("day", "Australia/Lord_Howe", "2026-04-05T00:00", "2026-04-04T13:00", "2026-04-05T13:30"),
        # a midnight that does not exist, and one that comes twice
        ("day", "Africa/Cairo", "2026-04-24T12:00", "2026-04-23T22:00", "2026-04-24T21:00"),
        ("day", "America/Havana", "2026-11-01T12:00", "2026-11-01T04:00", "2026-11-02T05:00"),
        # a leap day, a common year's last of February, the turn of the year
        ("day", "UTC", "2028-02-29T09:00", "2028-02-29T00:00", "2028-03-01T00:00"),
        ("month", "UTC", "2028-02-29T23:59", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("month", "UTC", "2026-02-28T23:59", "2026-02-01T00:00", "2026-03-01T00:00"),
        ("month", "UTC", "2026-01-31T00:00", "2026-01-01T00:00", "2026-02-01T00:00"),
        ("month", "UTC", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
        ("month", "America/New_York", "2026-12-01T04:59", "2026-11-01T04:00", "2026-12-01T05:00"),
        ("month", "Europe/Paris", "2026-10-25T01:30", "2026-09-30T22:00", "2026-10-31T23:00"),
        ("month", "Asia/Kolkata", "2026-10-31T18:30", "2026-10-31T18:30", "2026-11-30T18:30"),
        ("hour", "UTC", "2026-11-23T14:59:59.999999", "2026-11-23T14:00", "2026-11-23T15:00"),
        ("hour", "Asia/Kolkata", "2026-11-23T14:15", "2026-11-23T13:30", "2026-11-23T14:30"),
        ("hour", "Asia/Kathmandu", "2026-11-23T14:10", "2026-11-23T13:15", "2026-11-23T14:15"),
        # the hour that comes twice is two hours
        ("hour", "Europe/Paris", "2026-10-25T00:30", "2026-10-25T00:00", "2026-10-25T01:00"),
        ("hour", "Europe/Paris", "2026-10-25T01:30", "2026-10-25T01:00", "2026-10-25T02:00"),
        ("hour", "America/New_York", "2026-11-01T05:30", "2026-11-01T05:00", "2026-11-01T06:00"),
        ("hour", "America/New_York", "2026-11-01T06:30", "2026-11-01T06:00", "2026-11-01T07:00"),
        # Lord Howe sets its clocks by half an hour: half of an hour comes again, half of one is skipped
        ("hour", "Australia/Lord_Howe", "2026-04-04T14:45", "2026-04-04T14:00", "2026-04-04T15:00"),
        ("hour", "Australia/Lord_Howe", "2026-04-04T15:15", "2026-04-04T15:00", "2026-04-04T15:30"),
        ("hour", "Australia/Lord_Howe", "2026-10-03T15:45", "2026-10-03T15:30", "2026-10-03T16:00"),
    ],
)
def test_windows(name: str, zone: str, now: str, since: str, until: str) -> None:
    assert window(name, utc(now), ZoneInfo(zone)) == (utc(since), utc(until))


@pytest.mark.parametrize(
    ("interval", "zone", "at", "label"),
    [
        ("hour", "UTC", "2026-11-23T14:59:59", "2026-11-23T14:00"),
        ("day", "UTC", "2026-11-23T14:59:59", "2026-11-23"),
        ("month", "UTC", "2026-11-23T14:59:59", "2026-11"),
        ("day", "Europe/Paris", "2026-12-31T23:00", "2027-01-01"),
        ("month", "America/New_York", "2027-01-01T04:59", "2026-12"),
        ("hour", "Asia/Kolkata", "2026-11-23T14:15", "2026-11-23T19:00"),
        ("hour", "Europe/Paris", "2026-10-24T23:59", "2026-10-25T01:00"),
        ("hour", "Europe/Paris", "2026-10-25T00:00", "2026-10-25T02:00+0200"),
        ("hour", "Europe/Paris", "2026-10-25T01:59", "2026-10-25T02:00+0100"),
        ("hour", "Europe/Paris", "2026-10-25T02:00", "2026-10-25T03:00"),
        ("hour", "Europe/Paris", "2026-03-29T00:59", "2026-03-29T01:00"),
        ("hour", "Europe/Paris", "2026-03-29T01:00", "2026-03-29T03:00"),
        ("hour", "America/New_York", "2026-11-01T05:00", "2026-11-01T01:00-0400"),
        ("hour", "America/New_York", "2026-11-01T06:00", "2026-11-01T01:00-0500"),
        ("hour", "Australia/Lord_Howe", "2026-04-04T14:00", "2026-04-05T01:00+1100"),
        ("hour", "Australia/Lord_Howe", "2026-04-04T14:45", "2026-04-05T01:00+1100"),
        ("hour", "Australia/Lord_Howe", "2026-04-04T15:15", "2026-04-05T01:00+1030"),
        ("hour", "Australia/Lord_Howe", "2026-04-04T15:30", "2026-04-05T02:00"),
        ("hour", "Australia/Lord_Howe", "2026-10-03T15:45", "2026-10-04T02:00"),
    ],
)
def test_labels(interval: str, zone: str, at: str, label: str) -> None:
    assert interval_label(utc(at), interval, ZoneInfo(zone)) == label


moments = st.integers(10**8, 2 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
near_a_change = st.builds(
    lambda change, minutes: change + timedelta(minutes=minutes),
    st.sampled_from(
        [utc("2026-03-29T01:00"), utc("2026-10-25T01:00"), utc("2026-03-08T07:00"), utc("2026-11-01T06:00")]
    )
    | st.sampled_from([utc("2026-04-04T15:00"), utc("2026-10-03T15:30"), utc("2011-12-30T10:00")]),
    st.integers(-180, 180),
)


@given(moments | near_a_change, st.sampled_from(INTERVALS), st.sampled_from(ZONES))
def test_a_window_is_the_moments_of_one_label_and_the_next_begins_where_it_ends(
    now: datetime, name: str, zone_name: str
) -> None:
    zone = ZoneInfo(zone_name)
    since, until = window(name, now, zone)
    assert since <= now < until
    assert since.tzinfo is until.tzinfo is UTC
    instant = timedelta(microseconds=1)
    labels = {interval_label(at, name, zone) for at in (since, now, until - instant)}
    assert len(labels) == 1
    assert interval_label(since - instant, name, zone) not in labels
    assert interval_label(until, name, zone) not in labels
    assert window(name, until, zone)[0] == until
    assert window(name, since - instant, zone)[1] == since


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-11-23", "UTC", "2026-11-23T00:00"),
        ("2026-11-23", "Europe/Paris", "2026-11-22T23:00"),
        ("2026-11-23T14:30", "America/New_York", "2026-11-23T19:30"),
        ("2026-11-23T14:30Z", "America/New_York", "2026-11-23T14:30"),
        ("2026-11-23T14:30+05:30", "America/New_York", "2026-11-23T09:00"),
        ("2026-10-25T02:30", "Europe/Paris", "2026-10-25T00:30"),
        ("2028-02-29", "UTC", "2028-02-29T00:00"),
    ],
)
def test_what_a_user_means_by_a_time(text: str, zone: str, expected: str) -> None:
    found = moment(text, ZoneInfo(zone))
    assert (found, found.tzinfo) == (utc(expected), UTC)


@pytest.mark.parametrize("text", ["", "today", "2026-02-29", "2026-13-01", "23.11.2026", "0001-01-01", "14:30"])
def test_what_is_no_time_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is neither a date \(2026-11-23\) nor a time"):
        moment(text, ZoneInfo("Europe/Paris"))


def test_another_window_is_refused() -> None:
    with pytest.raises(KeyError):
        window("fortnight", utc("2026-11-23"), ZoneInfo("UTC"))
    with pytest.raises(KeyError):
        interval_label(utc("2026-11-23"), "week", ZoneInfo("UTC"))
