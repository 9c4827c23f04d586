"""Sums over charges: which ones are meant, and what they add up to."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

DIMENSIONS = (
    "team", "project", "key", "user", "organization", "model", "base_model", "requested_model", "operation",
    "service_tier", "status", "basis", "reason", "replica",
)  # fmt: skip
"""What sums can be grouped by and charges narrowed by."""

QUARTER_HOUR_SECONDS, HOUR_SECONDS, DAY_SECONDS = 900, 3600, 86400
"""What roll-ups are kept by. Every time zone in use is whole quarter hours from UTC: sums per quarter hour add up to
any local window."""

GRAINS = (DAY_SECONDS, HOUR_SECONDS, QUARTER_HOUR_SECONDS)
DETAIL_GRAINS = (DAY_SECONDS, QUARTER_HOUR_SECONDS)
"""Of sums by users and tags, of which there may be as many as charges."""

_YEARS = range(2020, 2100)
"""Nothing was metered before."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which charges are meant: admitted in [since, until), with these values of their dimensions."""

    since: datetime | None = None
    until: datetime | None = None
    equal: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over the charges that share `group` (values of the dimensions asked for) and a stretch of time, if asked:
    `quarter_hour` is where it begins, in quarter hours since 1970.

    `unknown` and `estimated` count the charges whose cost is not known, or not the provider's own figure.
    """

    group: tuple[str | None, ...]
    quarter_hour: int | None
    requests: int
    cost_pico: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    estimated: int
    unknown: int

    def plus(self, other: "Total") -> "Total":
        """Both together, under this one's group."""
        return Total(
            self.group,
            self.quarter_hour,
            self.requests + other.requests,
            self.cost_pico + other.cost_pico,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            self.estimated + other.estimated,
            self.unknown + other.unknown,
        )


def fold(totals: Iterable[Total]) -> Total:
    """The sum of totals, under no group."""
    return sum_of(Total((), None, 0, 0, 0, 0, 0, 0, 0), totals)


def sum_of(first: Total, others: Iterable[Total]) -> Total:
    """The sum, under the first one's group."""
    for other in others:
        first = first.plus(other)
    return first


@dataclass(frozen=True, slots=True)
class Spent:
    """What the charges of callers alike count as on budgets, in picodollars; `unknown_pico` is the part of it that
    stands for calls whose cost is not known: what was held for them."""

    values: Mapping[str, Any]
    spent_pico: int
    unknown_pico: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Buckets [first, end) of a grain; a bucket is a moment's seconds since 1970, divided by the grain."""

    grain: int
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Cover:
    """An interval cut into stretches of whole buckets, and the parts of quarter hours that are left at its ends."""

    stretches: tuple[Stretch, ...]
    edges: tuple[tuple[datetime, datetime], ...]


def cover(since: datetime, until: datetime, grains: tuple[int, ...] = GRAINS) -> Cover:
    """Cut [since, until) into as few buckets as will do, the largest grain first."""
    if since >= until:
        return Cover((), ())
    finest = timedelta(seconds=grains[-1])
    first, last = _ceiling(since, finest), _floor(until, finest)
    if first > last or (first == last and since != first and until != last):
        return Cover((), tuple(_halves(since, until, first)))
    edges = tuple((a, b) for a, b in ((since, first), (last, until)) if a < b)
    return Cover(tuple(_stretches(int(first.timestamp()), int(last.timestamp()), grains)), edges)


def _halves(since: datetime, until: datetime, between: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Less than a quarter hour: of one of them, or of two neighbours."""
    if since < between < until:
        yield since, between
        yield between, until
    else:
        yield since, until


def _stretches(first: int, last: int, grains: tuple[int, ...]) -> Iterator[Stretch]:
    """Of whole buckets of the finest grain."""
    if first >= last:
        return
    grain, finer = grains[0], grains[1:]
    if not finer:
        yield Stretch(grain, first // grain, last // grain)
        return
    begin, end = -(-first // grain), last // grain
    if begin >= end:
        yield from _stretches(first, last, finer)
        return
    yield from _stretches(first, begin * grain, finer)
    yield Stretch(grain, begin, end)
    yield from _stretches(end * grain, last, finer)


def _floor(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % step


def _ceiling(moment: datetime, step: timedelta) -> datetime:
    return moment + (_EPOCH - moment) % step


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache
def grain_of(interval: str, zone: ZoneInfo) -> int:
    """The largest grain that the local hours, days or months of a zone are made of, in seconds."""
    months = (datetime(year, month, 1, tzinfo=zone) for year in _YEARS for month in range(1, 13))
    offsets = {month.utcoffset() or timedelta(0) for month in months}
    if any(offset % timedelta(hours=1) for offset in offsets):
        return QUARTER_HOUR_SECONDS
    return HOUR_SECONDS if interval == "hour" or offsets != {timedelta(0)} else DAY_SECONDS
