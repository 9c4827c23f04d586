"""Windows of time: half-open intervals in UTC whose ends fall on local hours, midnights and months of a zone."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

INTERVALS = ("hour", "day", "month")

BUDGET_WINDOWS = ("day", "week", "month", "total")

BEGINNING, END = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""Of the window `total`."""

_QUARTER = timedelta(minutes=15)
"""Clocks are set on whole quarter hours, and by half an hour in some zones."""


def moment(text: str, zone: ZoneInfo) -> datetime:
    """The UTC moment a user means by a date (its local midnight) or an ISO 8601 time (local unless it says).

    Raises ValueError with a sentence that says what is accepted.
    """
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):  # the calendar ends with the year 9999
        raise ValueError(f"{text!r} is neither a date (2026-11-23) nor a time (2026-11-23T14:30)") from None


def window(name: str, now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The current `hour`, `day`, `week` (from Monday), `month` or `total` of a zone, as UTC moments [since, until).

    Raises KeyError for another name.
    """
    if name == "hour":
        return _hour(now, zone)
    if name == "total":
        return BEGINNING, END
    today = now.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    first, last = {
        "day": (today, today + timedelta(days=1)),
        "week": (monday, monday + timedelta(days=7)),
        "month": (today.replace(day=1), (today.replace(day=1) + timedelta(days=32)).replace(day=1)),
    }[name]
    return _midnight(first, zone), _midnight(last, zone)


def interval_label(at: datetime, interval: str, zone: ZoneInfo) -> str:
    """The name of the local hour, day or month that a moment belongs to, such as `2026-11-23T14:00`, `2026-11-23`
    or `2026-11`. An hour that a clock goes through twice, if only in part, carries its offset."""
    local = at.astimezone(zone)
    if interval == "hour":
        again = any(_comes_twice(local.replace(minute=minute)) for minute in (0, 15, 30, 45))
        return local.strftime("%Y-%m-%dT%H:00") + (local.strftime("%z") if again else "")
    return local.strftime({"day": "%Y-%m-%d", "month": "%Y-%m"}[interval])


def _comes_twice(local: datetime) -> bool:
    before, after = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    assert before is not None
    assert after is not None
    return before > after  # less where the clock skips this time


def _hour(now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The moments around `now` that share its label: an hour, or half of one where a clock is set by half an hour."""
    label = interval_label(now, "hour", zone)
    at = now.astimezone(UTC)
    since = at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)
    until = since + _QUARTER
    while interval_label(since - _QUARTER, "hour", zone) == label:
        since -= _QUARTER
    while interval_label(until, "hour", zone) == label:
        until += _QUARTER
    return since, until


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)
