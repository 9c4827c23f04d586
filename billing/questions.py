"""The ledger's questions, as SQL: the same for roll-ups and for the charges themselves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, String, Table, and_, cast, false, func, or_, select

from billing.rollups import GROUPS, MICRO, ROLLUPS, SUMS, UNITS
from billing.sums import QUARTER_HOUR_SECONDS, Cover, Spent, Stretch, Total

TOTALS = (
    "requests", "cost_micro", "cost_rest_pico", "input_tokens", "cached_tokens", "output_tokens", "estimated",
    "unknown",
)  # fmt: skip
SPENT = ("counted_micro", "counted_rest_pico", "unsure_micro", "unsure_rest_pico")

BUCKET = "bucket"
"""The column of time."""

_DETAILS = frozenset({"user", "tags"})


@dataclass(frozen=True, slots=True)
class Source:
    """What sums are taken of: columns to group by, columns to sum (of rollups.SUMS), and which rows are meant."""

    columns: Mapping[str, ColumnElement[Any]]
    sums: Mapping[str, ColumnElement[Any]]
    meant: Sequence[ColumnElement[bool]]


def detailed(by: Iterable[str], equal: Sequence[tuple[str, str]]) -> bool:
    """Whether a question names users or tags."""
    return bool(_DETAILS & {*by, *(name for name, _ in equal)})


def rolled_up(over: Cover, *, detail: bool) -> Source:
    """The roll-ups that make up an interval."""
    joined = (ROLLUPS.c.group_id == GROUPS.c.id, ROLLUPS.c.detail.is_(detail), _within(ROLLUPS, over))
    columns = {**GROUPS.c, BUCKET: ROLLUPS.c.bucket}
    return Source(columns, {name: ROLLUPS.c[name] for name in SUMS}, joined)


def sums(source: Source, by: Iterable[str], names: Iterable[str], equal: Sequence[tuple[str, str]] = ()) -> Select[Any]:
    """The question for sums by columns, of what is narrowed to values. Of nothing they are 0."""
    columns = [source.columns[name] for name in by]
    narrowed = (equals(source.columns[name], value) for name, value in equal)
    summed = (func.coalesce(func.sum(source.sums[name]), 0) for name in names)
    in_time = reversed(columns)  # the bucket first: that is how roll-ups lie
    return select(*columns, *summed).where(*source.meant, *narrowed).group_by(*in_time)


def quantities(by: Sequence[str], over: Cover, equal: Sequence[tuple[str, str]]) -> Select[Any]:
    """The question for sums of every unit by columns, of roll-ups without details."""
    columns = [GROUPS.c[name] for name in by]
    narrowed = (equals(GROUPS.c[name], value) for name, value in equal)
    joined = (UNITS.c.group_id == GROUPS.c.id, _within(UNITS, over))
    query = select(*columns, UNITS.c.unit, func.sum(UNITS.c.quantity)).where(*joined, *narrowed)
    return query.group_by(*columns, UNITS.c.unit)


def equals(column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    """A dimension narrowed to a value, which is always given as a text; an empty one means that there is none."""
    told = column if isinstance(column.type, String) else cast(column, String)
    return told == value if value else told.is_(None) | (told == "")


def total(row: Sequence[Any], time: int | None) -> Total:
    """An answer for TOTALS: columns, with a grain `time` the bucket, and sums."""
    columns, figures = row[: -len(TOTALS)], row[-len(TOTALS) :]
    quarter = columns[-1] * time // QUARTER_HOUR_SECONDS if time else None
    requests, whole, rest, *others = map(int, figures)
    return Total(tuple(columns[:-1] if time else columns), quarter, requests, whole * MICRO + rest, *others)


def spent(row: Sequence[Any], names: Iterable[str]) -> Spent:
    """An answer for SPENT: columns, named so, and sums."""
    whole, rest, whole_unknown, rest_unknown = map(int, row[-len(SPENT) :])
    values = dict(zip(names, row[: -len(SPENT)], strict=True))
    return Spent(values, whole * MICRO + rest, whole_unknown * MICRO + rest_unknown)


def _within(table: Table, over: Cover) -> ColumnElement[bool]:
    return or_(false(), *(_stretch(table, stretch) for stretch in over.stretches))


def _stretch(table: Table, stretch: Stretch) -> ColumnElement[bool]:
    bucket = table.c.bucket
    return and_(table.c.grain == stretch.grain, bucket >= stretch.first, bucket < stretch.end)
