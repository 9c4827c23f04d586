"""Roll-ups: sums of charges by quarter hour, hour and day, kept exactly as charges are posted.

A charge counts in two groups of charges that are alike: a *summary* group, by what a company has few of, and a *detail*
group, by users and tags too. Questions that name neither are answered from summary groups, so that they do not grow
with the users; nothing is lost when the charges themselves are no longer kept.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Select,
    String,
    Table,
    and_,
    cast,
    false,
    func,
    or_,
    select,
)  # fmt: skip
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from billing.databases import Kind, kind_of
from billing.sums import DIMENSIONS, GRAINS, QUARTER_HOUR_SECONDS, Cover, Spent, Stretch, Total
from billing.tables import DOCUMENT

MICRO = 10**6
"""Picodollars in a microdollar."""

_DETAILS = frozenset({"user", "tags"})


class GroupRow(SQLModel, table=True):
    """Charges alike; `id` is a digest of all else."""

    __tablename__ = "rollup_groups"

    id: str = Field(primary_key=True)
    detail: bool = Field(sa_column=Column(Boolean, nullable=False))
    team: str | None = None
    project: str | None = None
    key: str | None = None
    user: str | None = None
    organization: str | None = None
    model: str | None = None
    base_model: str | None = None
    requested_model: str | None = None
    operation: str
    service_tier: str | None = None
    status: int | None = None
    basis: str
    reason: str | None = None
    replica: str
    tags: dict[str, str] | None = Field(default=None, sa_column=Column(DOCUMENT, nullable=True))


class RollupRow(SQLModel, table=True):
    """A group's sums in one bucket of a grain. `counted` is what the charges count as on budgets, and `unsure` the part
    of it that stands for a cost not known. Money is microdollars and the picodollars left over: 64 bits of picodollars
    end at $9.2M."""

    __tablename__ = "rollups"

    grain: int = Field(primary_key=True)
    bucket: int = Field(sa_column=Column(BigInteger, primary_key=True))
    group_id: str = Field(primary_key=True)
    requests: int = Field(sa_column=Column(BigInteger, nullable=False))
    cost_micro: int = Field(sa_column=Column(BigInteger, nullable=False))
    cost_rest_pico: int = Field(sa_column=Column(BigInteger, nullable=False))
    counted_micro: int = Field(sa_column=Column(BigInteger, nullable=False))
    counted_rest_pico: int = Field(sa_column=Column(BigInteger, nullable=False))
    unsure_micro: int = Field(sa_column=Column(BigInteger, nullable=False))
    unsure_rest_pico: int = Field(sa_column=Column(BigInteger, nullable=False))
    input_tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    cached_tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    output_tokens: int = Field(sa_column=Column(BigInteger, nullable=False))
    estimated: int = Field(sa_column=Column(BigInteger, nullable=False))
    unknown: int = Field(sa_column=Column(BigInteger, nullable=False))


class UnitRow(SQLModel, table=True):
    """A summary group's quantity of one unit in one bucket."""

    __tablename__ = "rollup_units"

    grain: int = Field(primary_key=True)
    bucket: int = Field(sa_column=Column(BigInteger, primary_key=True))
    group_id: str = Field(primary_key=True)
    unit: str = Field(primary_key=True)
    quantity: int = Field(sa_column=Column(BigInteger, nullable=False))


GROUPS: Table = GroupRow.__table__  # type: ignore[attr-defined]
ROLLUPS: Table = RollupRow.__table__  # type: ignore[attr-defined]
UNITS: Table = UnitRow.__table__  # type: ignore[attr-defined]

SUMS = (
    "requests", "cost_micro", "cost_rest_pico", "counted_micro", "counted_rest_pico", "unsure_micro",
    "unsure_rest_pico", "input_tokens", "cached_tokens", "output_tokens", "estimated", "unknown",
)  # fmt: skip

PARAMETERS_CEILING = 30_000
"""A statement takes no more (PostgreSQL 32,767, SQLite 32,766)."""


def figures(row: Mapping[str, Any]) -> tuple[int, ...]:
    """What one charge adds to its groups' sums, in the order of SUMS."""
    cost, held = row["cost_pico"], row["held_pico"] or 0
    known = cost is not None
    return (
        1, *divmod(cost or 0, MICRO), *divmod(cost if known else held, MICRO), *divmod(0 if known else held, MICRO),
        row["input_tokens"], row["cached_tokens"], row["output_tokens"], int(row["basis"] == "estimated"),
        int(not known),
    )  # fmt: skip


class Rollups:
    """The roll-ups of one ledger. It remembers which groups are there."""

    def __init__(self) -> None:
        self._there: set[str] = set()

    async def add(self, connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count charges, as rows of the ledger, that no roll-up has counted; in the transaction that posts them."""
        for statement in statements(kind_of(connection), rows, self._there):
            await connection.execute(statement)

    def committed(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """The transaction that counted these charges is in the database, and so are their groups."""
        if len(self._there) > _REMEMBERED:
            self._there.clear()
        self._there.update(group["id"] for row in rows for group in _groups(row))


def statements(kind: Kind, rows: Iterable[Mapping[str, Any]], there: Collection[str] = ()) -> Iterator[Any]:
    """What counts these charges; `there` are groups that need not be made. Always in one order, so that two posters
    never wait for each other in a circle."""
    groups: dict[str, dict[str, Any]] = {}
    sums: dict[_Place, list[int]] = defaultdict(lambda: [0] * len(SUMS))
    units: dict[tuple[int, int, str, str], int] = defaultdict(int)
    for row in rows:
        at, adds = int(row["started_at"].timestamp()), figures(row)
        for group in _groups(row):
            groups[group["id"]] = group
            for grain in GRAINS:
                place = (grain, at // grain, group["id"])
                sums[place] = [old + new for old, new in zip(sums[place], adds, strict=True)]
                if not group["detail"]:
                    for unit, quantity in row["usage"].items():
                        units[*place, unit] += quantity
    for part in _parts([group for ident, group in sorted(groups.items()) if ident not in there]):
        yield kind.insert(GROUPS).values(part).on_conflict_do_nothing()
    counts = [dict(zip((*_PLACE, *SUMS), (*place, *adds), strict=True)) for place, adds in sorted(sums.items())]
    for part in _parts(counts):
        yield _adding(kind.insert(ROLLUPS).values(part), ROLLUPS, _PLACE, SUMS)
    quantities = [dict(zip((*_PLACE, "unit", "quantity"), (*at, n), strict=True)) for at, n in sorted(units.items())]
    for part in _parts(quantities):
        yield _adding(kind.insert(UNITS).values(part), UNITS, (*_PLACE, "unit"), ("quantity",))


def _adding(insert: Any, table: Table, place: Sequence[str], sums: Sequence[str]) -> Any:
    more = {name: table.c[name] + insert.excluded[name] for name in sums}
    return insert.on_conflict_do_update(index_elements=place, set_=more)


_Place = tuple[int, int, str]
_PLACE = ("grain", "bucket", "group_id")

_REMEMBERED = 100_000
"""Groups; to forget one costs a statement that changes nothing."""


def _parts(rows: Sequence[Mapping[str, Any]]) -> Iterable[Sequence[Mapping[str, Any]]]:
    """The rows by as many as one statement takes."""
    if not rows:
        return ()
    size = PARAMETERS_CEILING // len(rows[0])
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _groups(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The groups that a charge counts in."""
    values = {name: row[name] for name in DIMENSIONS}
    return (
        _group(values | {"detail": False, "user": None, "tags": None}),
        _group(values | {"detail": True, "tags": row["tags"]}),
    )


def _group(values: dict[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256(msgspec.json.encode(values, order="deterministic")).hexdigest()[:32]
    return {"id": digest} | values


# Questions


def totals(by: Sequence[str], equal: Sequence[tuple[str, str]], over: Cover | None, time: int | None) -> Select[Any]:
    """The question for totals by dimensions, over an interval or (None) all time; by buckets of the grain `time`, if
    that is given."""
    columns = [GROUPS.c[name] for name in by]
    times = [ROLLUPS.c.bucket] if time else []
    return (
        select(*columns, *times, *_sums(_TOTALS))
        .where(*_meant(by, equal), _within(ROLLUPS, over, time))
        .group_by(*columns, *times)
    )


def total(row: Sequence[Any], groups: int, time: int | None) -> Total:
    """An answer to that question."""
    group, rest = tuple(row[:groups]), list(row[groups:])
    quarter = rest.pop(0) * time // QUARTER_HOUR_SECONDS if time else None
    requests, whole, micro, *others = map(int, rest)
    return Total(group, quarter, requests, whole * MICRO + micro, *others)


def spent(columns: Mapping[str, str], over: Cover | None) -> Select[Any]:
    """The question for what counts on budgets, by these columns."""
    named = [GROUPS.c[column] for column in columns.values()]
    return (
        select(*named, *_sums(_SPENT))
        .where(*_meant(columns.values(), ()), _within(ROLLUPS, over, None))
        .group_by(*named)
    )


def spent_of(row: Sequence[Any], columns: Mapping[str, str]) -> Spent:
    """An answer to that question."""
    whole, rest, whole_unknown, rest_unknown = map(int, row[len(columns) :])
    values = dict(zip(columns, row, strict=False))
    return Spent(values, whole * MICRO + rest, whole_unknown * MICRO + rest_unknown)


def quantities(by: Sequence[str], equal: Sequence[tuple[str, str]], over: Cover | None) -> Select[Any]:
    """The question for sums of every unit by dimensions that are not `detailed`."""
    columns = [GROUPS.c[name] for name in by]
    return (
        select(*columns, UNITS.c.unit, func.sum(UNITS.c.quantity))
        .where(UNITS.c.group_id == GROUPS.c.id, *(equals(GROUPS.c[name], value) for name, value in equal))
        .where(_within(UNITS, over, None))
        .group_by(*columns, UNITS.c.unit)
    )


_TOTALS = (
    "requests", "cost_micro", "cost_rest_pico", "input_tokens", "cached_tokens", "output_tokens", "estimated",
    "unknown",
)  # fmt: skip
_SPENT = ("counted_micro", "counted_rest_pico", "unsure_micro", "unsure_rest_pico")


def _sums(names: Iterable[str]) -> list[Any]:
    """Of nothing they are 0."""
    return [func.coalesce(func.sum(ROLLUPS.c[name]), 0) for name in names]


def equals(column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    """A dimension narrowed to a value, which is always given as a text."""
    return (column if isinstance(column.type, String) else cast(column, String)) == value


def detailed(by: Iterable[str], equal: Sequence[tuple[str, str]]) -> bool:
    """Whether a question names users or tags."""
    return bool(_DETAILS & {*by, *(name for name, _ in equal)})


def _meant(by: Iterable[str], equal: Sequence[tuple[str, str]]) -> list[Any]:
    """The groups that answer a question by these dimensions, and how they are joined to their sums."""
    detail = detailed(by, equal)
    narrowed = (equals(GROUPS.c[name], value) for name, value in equal)
    return [ROLLUPS.c.group_id == GROUPS.c.id, GROUPS.c.detail.is_(detail), *narrowed]


def _within(table: Table, over: Cover | None, time: int | None) -> Any:
    """The buckets that make up an interval; of one grain only, where time is asked for."""
    if over is None:
        return table.c.grain == (time or GRAINS[0])
    return or_(false(), *(_stretch(table, stretch) for stretch in over.stretches))


def _stretch(table: Table, stretch: Stretch) -> Any:
    bucket = table.c.bucket
    return and_(table.c.grain == stretch.grain, bucket >= stretch.first, bucket < stretch.end)
