"""Windows of time: half-open intervals in UTC whose ends fall on local hours, midnights and months of a zone."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

INTERVALS = ("hour", "day", "month")


def moment(text: str, zone: ZoneInfo) -> datetime:
    """The UTC moment a user means by a date (its local midnight) or an ISO 8601 time (local unless it says).

    Raises ValueError with a sentence that says what is accepted.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a date (2026-11-23) nor a time (2026-11-23T14:30)") from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).astimezone(UTC)


def window(name: str, now: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The current `hour`, `day` or `month` of a zone, as UTC moments [since, until).

    Raises KeyError for another name.
    """
    local = now.astimezone(zone)
    if name == "hour":
        since = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        return since, since + timedelta(hours=1)
    today = local.date()
    first, last = {
        "day": (today, today + timedelta(days=1)),
        "month": (today.replace(day=1), (today.replace(day=1) + timedelta(days=32)).replace(day=1)),
    }[name]
    return _midnight(first, zone), _midnight(last, zone)


def interval_label(at: datetime, interval: str, zone: ZoneInfo) -> str:
    """The name of the local hour, day or month that a moment belongs to, such as `2026-11-23T14:00`, `2026-11-23`
    or `2026-11`. An hour that a clock goes through twice carries its offset."""
    local = at.astimezone(zone)
    if interval == "hour":
        again = local.replace(fold=1).utcoffset() != local.replace(fold=0).utcoffset()
        return local.strftime("%Y-%m-%dT%H:00") + (local.strftime("%z") if again else "")
    return local.strftime({"day": "%Y-%m-%d", "month": "%Y-%m"}[interval])


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)
