"""Roll-ups: sums of charges by quarter hour, hour and day, kept exactly as charges are posted.

A charge counts in two groups of charges that are alike: a *summary* group, by what a company has few of, and a *detail*
group, by users and tags too. Questions that name neither are answered from summary groups, so that they do not grow
with the users; nothing is lost when the charges themselves are no longer kept.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import add, itemgetter
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Table
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import Field, SQLModel

from billing.databases import Kind, kind_of
from billing.sums import DETAIL_GRAINS, DIMENSIONS, GRAINS, QUARTER_HOUR_SECONDS
from billing.tables import DOCUMENT, clean

MICRO = 10**6
"""Picodollars in a microdollar."""

_KEYED = {"sqlite_with_rowid": False}
"""SQLite keeps these rows in the order of their keys, not beside it."""


class GroupRow(SQLModel, table=True):
    """Charges alike; `id` is a digest of all else. A summary group has neither a user nor tags."""

    __tablename__ = "rollup_groups"
    __table_args__ = _KEYED

    id: str = Field(primary_key=True)
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
    __table_args__ = _KEYED

    detail: bool = Field(sa_column=Column(Boolean, primary_key=True))
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
    __table_args__ = _KEYED

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


async def count(connection: AsyncConnection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Count charges, as rows of the ledger, that no roll-up has counted; in the transaction that posts them."""
    for statement, values in statements(kind_of(connection), rows):
        await connection.execute(statement, values)


def statements(kind: Kind, rows: Iterable[Mapping[Any, Any]]) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """What counts charges: statements, each with its rows. They go in one order always, so that two that count at once
    never wait for each other in a circle."""
    details, units = _by_quarter_hour(rows)
    summaries: _Sums = {}
    for (bucket, group), adds in details.items():
        _add(summaries, (bucket, _summary(group)), adds)
    idents = {group: _ident(group) for _, group in (*details, *summaries)}
    sums = (_coarser(summaries, GRAINS, idents, detail=False), _coarser(details, DETAIL_GRAINS, idents, detail=True))
    counted = [dict(zip((*_PLACE, *SUMS), (*place, *adds), strict=True)) for part in sums for place, adds in part]
    quantities: dict[tuple[int, int, str, str], int] = defaultdict(int)
    for (bucket, group, unit), quantity in units.items():
        for grain in GRAINS:
            quantities[grain, bucket * QUARTER_HOUR_SECONDS // grain, idents[group], unit] += quantity
    kept = [dict(zip((*_UNIT, "quantity"), (*place, n), strict=True)) for place, n in sorted(quantities.items())]
    made = sorted((_made(ident, group) for group, ident in idents.items()), key=itemgetter("id"))
    make, add_sums, add_units = _inserts(kind)
    return ((does, values) for does, values in ((make, made), (add_sums, counted), (add_units, kept)) if values)


_Group = tuple[tuple[Any, ...], bytes | None]
"""Values of the dimensions, and tags as JSON; a summary group has none."""

_Sums = dict[tuple[int, _Group], tuple[int, ...]]
"""By quarter hour and group."""

_PLACE = ("detail", "grain", "bucket", "group_id")
_UNIT = ("grain", "bucket", "group_id", "unit")

_values_of = itemgetter(*DIMENSIONS)
_USER = DIMENSIONS.index("user")


def _by_quarter_hour(rows: Iterable[Mapping[Any, Any]]) -> tuple[_Sums, dict[tuple[int, _Group, str], int]]:
    """The sums of detail groups and the quantities of summary groups."""
    details: _Sums = {}
    units: dict[tuple[int, _Group, str], int] = defaultdict(int)
    for row in rows:
        bucket, group = row["quarter_hour"], (_values_of(row), msgspec.json.encode(row["tags"], order="sorted"))
        _add(details, (bucket, group), _figures(row))
        summary = _summary(group)
        for unit, quantity in row["usage"].items():
            units[bucket, summary, unit] += quantity
    return details, units


def _figures(row: Mapping[str, Any]) -> tuple[int, ...]:
    """What one charge adds to its groups' sums, in the order of SUMS."""
    cost, held = row["cost_pico"], row["held_pico"] or 0
    known = cost is not None
    return (
        1, *divmod(cost or 0, MICRO), *divmod(cost if known else held, MICRO), *divmod(0 if known else held, MICRO),
        row["input_tokens"], row["cached_tokens"], row["output_tokens"], int(row["basis"] == "estimated"),
        int(not known),
    )  # fmt: skip


def _add(sums: dict[Any, tuple[int, ...]], place: Any, adds: tuple[int, ...]) -> None:
    known = sums.get(place)
    sums[place] = adds if known is None else tuple(map(add, known, adds))


def _summary(group: _Group) -> _Group:
    values, _ = group
    return (*values[:_USER], None, *values[_USER + 1 :]), None


def _coarser(
    sums: _Sums, grains: Iterable[int], idents: Mapping[_Group, str], *, detail: bool
) -> list[tuple[tuple[bool, int, int, str], tuple[int, ...]]]:
    """The sums by their places among the roll-ups, in order."""
    found: dict[tuple[bool, int, int, str], tuple[int, ...]] = {}
    for (bucket, group), adds in sums.items():
        for grain in grains:
            _add(found, (detail, grain, bucket * QUARTER_HOUR_SECONDS // grain, idents[group]), adds)
    return sorted(found.items())


def _ident(group: _Group) -> str:
    values, tags = group
    return hashlib.sha256(msgspec.json.encode(values) + (tags or b"")).hexdigest()[:32]


def _made(ident: str, group: _Group) -> dict[str, Any]:
    """The row of a group."""
    values, tags = group
    kept = msgspec.json.decode(clean(msgspec.json.encode(values)))
    return {"id": ident, "tags": msgspec.json.decode(clean(tags)) if tags else None} | dict(
        zip(DIMENSIONS, kept, strict=True)
    )


@lru_cache
def _inserts(kind: Kind) -> tuple[Any, Any, Any]:
    """What makes groups, adds to their sums and to their quantities."""
    make = kind.insert(GROUPS).on_conflict_do_nothing(index_elements=["id"])
    return make, _adding(kind, ROLLUPS, _PLACE, SUMS), _adding(kind, UNITS, _UNIT, ("quantity",))


def _adding(kind: Kind, table: Table, place: Sequence[str], sums: Sequence[str]) -> Any:
    insert = kind.insert(table)
    more = {name: table.c[name] + insert.excluded[name] for name in sums}
    return insert.on_conflict_do_update(index_elements=place, set_=more)
