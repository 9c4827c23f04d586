"""The ledger's database: charges go in by batches, once each by id; questions are sums, answered from roll-ups.

Nothing here is on the request path. What the kinds of database do differently stands in `databases`.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import Table, and_, delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from billing import edges, migrations, questions, rollups
from billing.alert_log import AlertLog
from billing.charges import ANNOUNCED, Charge
from billing.databases import POSTGRESQL, engine_of, kind_of, writing
from billing.edges import CHARGES, conditions
from billing.escrow import Escrow
from billing.partitions import Partitions
from billing.questions import Source
from billing.registry import Registry
from billing.sums import DETAIL_GRAINS, GRAINS, QUARTER_HOUR_SECONDS, Cover, cover
from billing.sums import DIMENSIONS as DIMENSIONS
from billing.sums import Narrowing as Narrowing
from billing.sums import Spent as Spent
from billing.sums import Total as Total
from billing.sums import fold as fold
from billing.tables import ROW, ObjectRow, clean, objects_of, record_of, row_of, stored
from billing.windows import BEGINNING, END

OBJECTS: Table = ObjectRow.__table__  # type: ignore[attr-defined]

PAGE_ROWS = 1000

_SCOPED = {
    "team": "team", "key": "key", "project": "project", "user": "user", "model": "requested_model", "tags": "tags",
    "replica": "replica",
}  # fmt: skip
"""The dimensions that a scope can name and the replica, and their columns."""


class Store:
    """One ledger database."""

    def __init__(self, url: str) -> None:
        """`url` as in FAREBOX_DATABASE."""
        self.url = url
        self.engine: AsyncEngine = engine_of(url)
        """The database, for what copies all of it."""
        self._partitions = Partitions(self.engine)
        self._migrating: asyncio.Task[None] | None = None
        self.registry = Registry(self.engine)
        self.alerts = AlertLog(self.engine)
        self.escrow = Escrow(self.engine)

    async def create(self) -> None:
        """Bring the database to this version's schema, from nothing or from any earlier one. Who no longer waits for it
        does not break it off. Raises SchemaTooNew."""
        if self._migrating is None or self._migrating.done():
            self._migrating = asyncio.create_task(migrations.upgrade(self.engine))
        await asyncio.shield(self._migrating)

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()

    async def post(self, charges: Sequence[Charge]) -> None:
        """Add charges and the objects they tell of, and count them in the roll-ups, in one transaction. What is there
        already stays as it is: posting twice changes nothing, and an object belongs to who made it first."""
        if not charges:
            return
        rows = [row_of(charge) for charge in charges if charge.outcome.reason != ANNOUNCED]
        await self._partitions.make(row["started_at"] for row in rows)
        async with writing(self.engine) as connection:
            if rows:
                await rollups.count(connection, await add_charges(connection, rows))
            if made := sorted((values for charge in charges for values in objects_of(charge)), key=itemgetter("id")):
                insert = kind_of(connection).insert(OBJECTS)
                await connection.execute(insert.on_conflict_do_nothing(index_elements=["id"]), made)

    async def drop(self, before: datetime) -> str:
        """Drop single charges admitted before a moment, whose sums stay: by whole months where they are partitions,
        else by whole quarter hours. What they were, in words; empty if there were none."""
        if kind_of(self.engine) is POSTGRESQL:
            return ", ".join(await self._partitions.drop(before))
        quarter, dropped = int(before.timestamp()) // QUARTER_HOUR_SECONDS, 0
        old = select(CHARGES.c.id).where(CHARGES.c.quarter_hour < quarter).limit(PAGE_ROWS)
        while True:  # a page at a time: the poster writes in between
            async with writing(self.engine) as connection:
                gone = (await connection.execute(delete(CHARGES).where(CHARGES.c.id.in_(old)))).rowcount
            dropped += gone
            if gone < PAGE_ROWS:
                return f"{dropped} charges" if dropped else ""

    async def objects(self, idents: Collection[str]) -> list[tuple[str, str | None, str | None, str | None]]:
        """Of the upstream's objects of these ids, those that are known: id, within, team, key."""
        columns, wanted = (OBJECTS.c.id, OBJECTS.c.within, OBJECTS.c.team, OBJECTS.c.key), list(idents)
        found = []
        async with self.engine.connect() as connection:
            for start in range(0, len(wanted), PAGE_ROWS):
                asked = select(*columns).where(OBJECTS.c.id.in_(wanted[start : start + PAGE_ROWS]))
                found += [(row[0], row[1], row[2], row[3]) for row in await connection.execute(asked)]
        return found

    async def charge(self, charge_id: str) -> dict[str, Any] | None:
        """One charge as users see it."""
        async with self.engine.connect() as connection:
            row = (await connection.execute(select(CHARGES).where(CHARGES.c.id == charge_id))).mappings().first()
        return record_of(dict(row)) if row else None

    async def charges(
        self,
        narrowing: Narrowing,
        *,
        limit: int | None = None,
        newest_first: bool = False,
        after: tuple[datetime, str] | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Charges as users see them, in the order of their admission, read page by page; those that come `after` the
        one that was admitted then and has that id."""
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

    async def totals(self, by: Sequence[str], narrowing: Narrowing, *, time: int | None = None) -> list[Total]:
        """Sums by the named dimensions, and by buckets of up to `time` seconds where it is given (of sums.GRAINS).

        Raises KeyError for another name, KeptAsSums where an end of the interval is within a quarter hour of which
        only the sum is kept.
        """
        _known(by)
        grains = _grains(by, narrowing)
        time = _fine_enough(time, narrowing, grains) if time else None
        over, equal = _cover(narrowing, (time,) if time else grains), narrowing.equal
        columns = (*by, questions.BUCKET) if time else by
        found: dict[tuple[Any, ...], Total] = {}
        async with self.engine.connect() as connection:
            async for source in _sources(connection, over, time, detail=grains is DETAIL_GRAINS):
                query = questions.sums(source, columns, questions.TOTALS, equal)
                for row in await connection.execute(query):
                    total = questions.total(row, time)
                    place = (total.group, total.quarter_hour)
                    found[place] = found[place].plus(total) if place in found else total
        return list(found.values())

    async def spent(self, by: Collection[str], since: datetime, until: datetime) -> list[Spent]:
        """What the charges admitted in [since, until) count as on budgets, by the dimensions of scopes named, and by
        replica; at the ends of the interval perhaps in several parts. Raises KeptAsSums."""
        columns = {name: column for name, column in _SCOPED.items() if name in by}
        grains = _grains(by, Narrowing())
        found: list[Spent] = []
        async with self.engine.connect() as connection:
            async for source in _sources(connection, cover(since, until, grains), detail=grains is DETAIL_GRAINS):
                query = questions.sums(source, columns.values(), questions.SPENT)
                found += [questions.spent(row, columns) for row in await connection.execute(query)]
        return found

    async def quantities(self, by: Sequence[str], narrowing: Narrowing) -> dict[tuple[str | None, ...], int]:
        """Sums of every unit by the named dimensions: (…values, unit) → quantity. By users they are those of the
        charges that are kept. Raises as `totals` does."""
        _known(by)
        over = _cover(narrowing, GRAINS)
        found: dict[tuple[str | None, ...], int] = defaultdict(int)
        async with self.engine.connect() as connection:
            if questions.detailed(by, narrowing.equal):
                for place, quantity in await edges.quantities(connection, by, narrowing):
                    found[place] += quantity
                return dict(found)
            for row in await connection.execute(questions.quantities(by, over, narrowing.equal)):
                found[tuple(row[:-1])] += int(row[-1])
            for edge in over.edges:
                part = Narrowing(*edge, narrowing.equal)
                await edges.kept(connection, part)
                for place, quantity in await edges.quantities(connection, by, part):
                    found[place] += quantity
        return dict(found)

    async def expected(self, since: datetime, limit: int) -> list[dict[str, Any]]:
        """The newest charges of calls that were held by expectation and whose cost is known."""
        columns = [CHARGES.c[name] for name in ("operation", "requested_model", "hold", "cost_pico", "lines")]
        query = (
            select(*columns)
            .where(CHARGES.c.hold == "expected", CHARGES.c.cost_pico.is_not(None), *conditions(Narrowing(since)))
            .order_by(CHARGES.c.quarter_hour.desc())
            .limit(limit)
        )
        async with self.engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]

    async def _page(
        self, narrowing: Narrowing, after: tuple[datetime, str] | None, rows: int, *, newest_first: bool
    ) -> list[dict[str, Any]]:
        quarter, moment, ident = CHARGES.c.quarter_hour, CHARGES.c.started_at, CHARGES.c.id
        meant = conditions(narrowing)
        if after is not None:
            at, last = after
            further = moment < at if newest_first else moment > at
            beside = ident < last if newest_first else ident > last
            meant.append(further | ((moment == at) & beside))
            bound = int(at.timestamp()) // QUARTER_HOUR_SECONDS
            meant.append(quarter <= bound if newest_first else quarter >= bound)
        order = [column.desc() if newest_first else column for column in (quarter, moment, ident)]  # that of an index
        query = select(CHARGES).where(and_(True, *meant)).order_by(*order).limit(rows)
        async with self.engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]


async def add_charges(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the charges of these rows; those that were not there yet."""
    if kind_of(connection) is POSTGRESQL:
        ordered = sorted(rows, key=itemgetter("id"))  # posters that all go in one order never wait in a circle
        body = {"rows": clean(msgspec.json.encode(ordered)).decode()}
        added = set((await connection.execute(_POST_RECORDS, body)).scalars())
    else:
        there = set[str]()
        for start in range(0, len(rows), PAGE_ROWS):
            asked = select(CHARGES.c.id).where(CHARGES.c.id.in_([row["id"] for row in rows[start : start + PAGE_ROWS]]))
            there.update((await connection.execute(asked)).scalars())
        added = {row["id"] for row in rows} - there
        await connection.exec_driver_sql(_POST, [stored(row) for row in rows])
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["id"] in added:
            first.setdefault(row["id"], row)
    return list(first.values())


_COLUMNS = ", ".join(f'"{column}"' for column in ROW)

_POST = "INSERT INTO charges ({}) VALUES ({}) ON CONFLICT (id) DO NOTHING".format(  # noqa: S608 - names of our own
    _COLUMNS, ", ".join("?" for _ in ROW)
)
"""Straight to the driver: SQLAlchemy's own binding of a row this wide costs more than all else in a charge's life."""

_POST_RECORDS = text(
    f"INSERT INTO charges ({_COLUMNS}) SELECT {_COLUMNS} FROM"  # noqa: S608 - names of our own
    " jsonb_populate_recordset(NULL::charges, CAST(:rows AS jsonb)) ON CONFLICT DO NOTHING RETURNING id"
)


def _grains(by: Iterable[str], narrowing: Narrowing) -> tuple[int, ...]:
    """The grains that a question's roll-ups are kept by."""
    return DETAIL_GRAINS if questions.detailed(by, narrowing.equal) else GRAINS


def _cover(narrowing: Narrowing, grains: tuple[int, ...]) -> Cover:
    return cover(narrowing.since or BEGINNING, narrowing.until or END, grains)


def _fine_enough(time: int, narrowing: Narrowing, grains: tuple[int, ...]) -> int:
    """The largest grain up to `time` that the ends of the interval fall on, or a quarter hour."""
    ends = [int(end.timestamp()) for end in (narrowing.since, narrowing.until) if end is not None]
    fitting = (grain for grain in grains if grain <= time and not any(end % grain for end in ends))
    return next(fitting, QUARTER_HOUR_SECONDS)


async def _sources(
    connection: AsyncConnection, over: Cover, time: int | None = None, *, detail: bool
) -> AsyncIterator[Source]:
    """What an interval's sums are taken of."""
    yield questions.rolled_up(over, detail=detail)
    for edge in over.edges:
        yield await edges.single(connection, Narrowing(*edge), time)


def _known(by: Iterable[str]) -> None:
    for name in by:
        if name not in DIMENSIONS:
            raise KeyError(name)
