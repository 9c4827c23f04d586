"""The ledger's database: charges go in by batches, once each by id; questions are grouped sums.

Nothing here is on the request path. One code path for every database SQLAlchemy speaks to; SQLite so far.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Integer, Select, Table, and_, case, cast, event, func, inspect, select, text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel import SQLModel

from billing.alert_log import AlertLog
from billing.charges import Charge
from billing.escrow import Escrow
from billing.registry import Registry
from billing.tables import QUARTER_HOUR_SECONDS, ROW, ChargeRow, ObjectRow, objects_of, record_of, stored
from billing.windows import BEGINNING

CHARGES: Table = ChargeRow.__table__  # type: ignore[attr-defined]
OBJECTS: Table = ObjectRow.__table__  # type: ignore[attr-defined]

DIMENSIONS = (
    "team", "project", "key", "user", "organization", "model", "base_model", "requested_model", "operation",
    "service_tier", "status", "basis", "reason", "replica",
)  # fmt: skip
"""Columns that sums can be grouped by and charges narrowed by."""

PAGE_ROWS = 1000

_MICRO = 10**6
"""Microdollars and the picodollars left over are summed apart: SQLite's sums end at 2**63 - 1, which is $9.2M."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Which charges are meant: admitted in [since, until), with these values of their dimensions."""

    since: datetime | None = None
    until: datetime | None = None
    equal: tuple[tuple[str, str], ...] = ()

    def conditions(self) -> list[Any]:
        """As SQL."""
        found = [CHARGES.c[name] == value for name, value in self.equal]
        if self.since is not None:
            found.append(CHARGES.c.quarter_hour >= int(self.since.timestamp()) // QUARTER_HOUR_SECONDS)
            found.append(CHARGES.c.started_at >= self.since)
        if self.until is not None:
            found.append(CHARGES.c.quarter_hour <= int(self.until.timestamp()) // QUARTER_HOUR_SECONDS)
            found.append(CHARGES.c.started_at < self.until)
        return found


@dataclass(frozen=True, slots=True)
class Total:
    """Sums over the charges that share `group` (values of the dimensions asked for) and a quarter hour, if asked.

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


_SCOPED = {
    "team": "team", "key": "key", "project": "project", "user": "user", "model": "requested_model", "tags": "tags",
    "replica": "replica",
}  # fmt: skip
"""The dimensions that a scope can name and the replica, and their columns."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the charges of callers alike count as on budgets, in picodollars; `unknown_pico` is the part of it that
    stands for calls whose cost is not known: what was held for them."""

    values: Mapping[str, Any]
    spent_pico: int
    unknown_pico: int


_POST = "INSERT INTO charges ({}) VALUES ({}) ON CONFLICT (id) DO NOTHING".format(  # noqa: S608 - names of our own
    ", ".join(f'"{column}"' for column in ROW), ", ".join("?" for _ in ROW)
)
"""Straight to the driver: SQLAlchemy's own binding of a row this wide costs more than all else in a charge's life."""


class Store:
    """One ledger database."""

    def __init__(self, url: str) -> None:
        """`url` as in FAREBOX_DATABASE."""
        self.url = url
        self._engine: AsyncEngine = create_async_engine(
            url.replace("sqlite://", "sqlite+aiosqlite://", 1),
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=msgspec.json.decode,
        )
        event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
        self.registry = Registry(self._engine)
        self.alerts = AlertLog(self._engine)
        self.escrow = Escrow(self._engine)

    async def create(self) -> None:
        """Make the tables and columns that are not there yet."""
        async with self._engine.begin() as connection:
            await connection.run_sync(SQLModel.metadata.create_all)
            await connection.run_sync(_add_columns)

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def post(self, charges: Sequence[Charge]) -> None:
        """Add charges and the objects they tell of, in one transaction. What is there already stays as it is: posting
        twice changes nothing, and an object belongs to who made it first."""
        async with self._engine.begin() as connection:
            await connection.exec_driver_sql(_POST, [stored(charge) for charge in charges])
            if made := [values for charge in charges for values in objects_of(charge)]:
                await connection.execute(insert(OBJECTS).on_conflict_do_nothing(index_elements=["id"]), made)

    async def objects(self, idents: Collection[str]) -> list[tuple[str, str | None, str | None, str | None]]:
        """Of the upstream's objects of these ids, those that are known: id, within, team, key."""
        columns, wanted = (OBJECTS.c.id, OBJECTS.c.within, OBJECTS.c.team, OBJECTS.c.key), list(idents)
        found = []
        async with self._engine.connect() as connection:
            for start in range(0, len(wanted), PAGE_ROWS):
                asked = select(*columns).where(OBJECTS.c.id.in_(wanted[start : start + PAGE_ROWS]))
                found += [(row[0], row[1], row[2], row[3]) for row in await connection.execute(asked)]
        return found

    async def charge(self, charge_id: str) -> dict[str, Any] | None:
        """One charge as users see it."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(CHARGES).where(CHARGES.c.id == charge_id))).mappings().first()
        return record_of(dict(row)) if row else None

    async def charges(
        self, narrowing: Narrowing, *, limit: int | None = None, newest_first: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        """Charges as users see them, in the order of their admission, read page by page."""
        after: tuple[datetime, str] | None = None
        left = limit
        while left is None or left > 0:
            page = await self._page(narrowing, after, min(PAGE_ROWS, left or PAGE_ROWS), newest_first=newest_first)
            for row in page:
                yield record_of(row)
            if left is not None:
                left -= len(page)
            if len(page) < PAGE_ROWS:
                return
            after = (page[-1]["started_at"], page[-1]["id"])

    async def totals(self, by: Sequence[str], narrowing: Narrowing, *, by_time: bool = False) -> list[Total]:
        """Sums by the named dimensions, and by quarter hour where `by_time`. Raises KeyError for another name."""
        columns = [_dimension(name) for name in by]
        times = [CHARGES.c.quarter_hour] if by_time else []
        sums: Select[Any] = (
            select(
                *columns,
                *times,
                func.count(),
                func.coalesce(func.sum(CHARGES.c.cost_pico // _MICRO), 0),
                func.coalesce(func.sum(CHARGES.c.cost_pico % _MICRO), 0),
                func.coalesce(func.sum(CHARGES.c.input_tokens), 0),
                func.coalesce(func.sum(CHARGES.c.cached_tokens), 0),
                func.coalesce(func.sum(CHARGES.c.output_tokens), 0),
                func.coalesce(func.sum(cast(CHARGES.c.basis == "estimated", Integer)), 0),
                func.coalesce(func.sum(cast(CHARGES.c.cost_pico.is_(None), Integer)), 0),
            )
            .where(and_(True, *narrowing.conditions()))
            .group_by(*columns, *times)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(sums)).all()
        return [_total(tuple(row), len(columns), by_time=by_time) for row in rows]

    async def spent(self, by: Collection[str], since: datetime, until: datetime) -> list[Spent]:
        """What the charges admitted in [since, until) count as on budgets, by the dimensions of scopes named."""
        columns = {name: CHARGES.c[column] for name, column in _SCOPED.items() if name in by}
        conditions = Narrowing(since, until).conditions() if since > BEGINNING else []
        counted = func.coalesce(CHARGES.c.cost_pico, CHARGES.c.held_pico, 0)
        unknown = case((CHARGES.c.cost_pico.is_(None), counted), else_=0)
        sums = [func.coalesce(func.sum(part), 0) for it in (counted, unknown) for part in (it // _MICRO, it % _MICRO)]
        query = select(*columns.values(), *sums).where(and_(True, *conditions)).group_by(*columns.values())
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        found = []
        for row in rows:
            whole, rest, whole_unknown, rest_unknown = map(int, row[len(columns) :])
            values = dict(zip(columns, row, strict=False))
            found.append(Spent(values, whole * _MICRO + rest, whole_unknown * _MICRO + rest_unknown))
        return found

    async def expected(self, since: datetime, limit: int) -> list[dict[str, Any]]:
        """The newest charges of calls that were held by expectation and whose cost is known."""
        columns = [CHARGES.c[name] for name in ("operation", "requested_model", "hold", "cost_pico", "lines")]
        query = (
            select(*columns)
            .where(CHARGES.c.hold == "expected", CHARGES.c.cost_pico.is_not(None), *Narrowing(since).conditions())
            .order_by(CHARGES.c.quarter_hour.desc())
            .limit(limit)
        )
        async with self._engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def quantities(self, by: Sequence[str], narrowing: Narrowing) -> dict[tuple[str | None, ...], int]:
        """Sums of every unit by the named dimensions: (…values, unit) → quantity."""
        each = func.json_each(CHARGES.c.usage).table_valued("key", "value", name="each")
        columns = [_dimension(name) for name in by]
        sums = (
            select(*columns, each.c.key, func.sum(each.c.value))
            .select_from(CHARGES.join(each, onclause=CHARGES.c.id.is_not(None)))
            .where(and_(True, *narrowing.conditions()))
            .group_by(*columns, each.c.key)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(sums)).all()
        return {tuple(row[:-1]): int(row[-1]) for row in rows}

    async def _page(
        self, narrowing: Narrowing, after: tuple[datetime, str] | None, rows: int, *, newest_first: bool
    ) -> list[dict[str, Any]]:
        moment, ident = CHARGES.c.started_at, CHARGES.c.id
        conditions = narrowing.conditions()
        if after is not None:
            at, last = after
            further = moment < at if newest_first else moment > at
            beside = ident < last if newest_first else ident > last
            conditions.append(further | ((moment == at) & beside))
        order = (moment.desc(), ident.desc()) if newest_first else (moment, ident)
        query = select(CHARGES).where(and_(True, *conditions)).order_by(*order).limit(rows)
        async with self._engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]


def fold(totals: Iterable[Total]) -> Total:
    """The sum of totals, under no group."""
    zero = Total((), None, 0, 0, 0, 0, 0, 0, 0)
    for total in totals:
        zero = Total(
            (),
            None,
            zero.requests + total.requests,
            zero.cost_pico + total.cost_pico,
            zero.input_tokens + total.input_tokens,
            zero.cached_tokens + total.cached_tokens,
            zero.output_tokens + total.output_tokens,
            zero.estimated + total.estimated,
            zero.unknown + total.unknown,
        )
    return zero


def _total(row: tuple[Any, ...], columns: int, *, by_time: bool) -> Total:
    requests, whole, rest, *others = map(int, row[columns + by_time :])
    return Total(row[:columns], row[columns] if by_time else None, requests, whole * _MICRO + rest, *others)


def _add_columns(connection: Connection) -> None:
    """Give a table of an earlier version the columns that have come since; they are null in its rows."""
    for table in SQLModel.metadata.sorted_tables:
        there = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))


def _dimension(name: str) -> Any:
    if name not in DIMENSIONS:
        raise KeyError(name)
    return CHARGES.c[name]


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
