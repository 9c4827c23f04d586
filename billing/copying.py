"""A whole ledger from one place into another: in one transaction, and read back before it is committed. It is there
exactly, or not at all.

Leases are not copied: they belong to replicas at work, and a replica that works on the copy gets new ones.
"""

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from billing import partitions
from billing.alert_log import AlertRow, DeliveryRow
from billing.databases import POSTGRESQL, kind_of, lock, writing
from billing.registry import DefinitionRow
from billing.rollups import GroupRow, RollupRow, UnitRow
from billing.store import PAGE_ROWS, add_charges
from billing.tables import ChargeRow, ObjectRow, clean

Row = dict[str, Any]
Page = tuple[str, list[Row]]
"""A table's name, and some of its rows."""


def _table(row: Any) -> Table:
    table: Table = row.__table__
    return table


COPIED = {
    str(table.name): table
    for table in map(_table, (DefinitionRow, ObjectRow, AlertRow, DeliveryRow, GroupRow, RollupRow, UnitRow, ChargeRow))
}
"""The tables of a ledger, by their names, in the order in which they are copied."""

_DIGEST_BYTES = 16


class LedgerNotEmpty(Exception):
    """There is a ledger already where one should be copied to."""


class CopyDiffers(Exception):
    """What was read back is not what was written."""


@dataclass(slots=True)
class Tally:
    """How many rows each table has, and a digest of them that does not depend on their order."""

    tables: dict[str, tuple[int, int]] = field(default_factory=lambda: defaultdict(lambda: (0, 0)))

    def add(self, name: str, rows: Iterable[Row]) -> None:
        """Take in rows of a table."""
        count, digest = self.tables[name]
        for row in rows:
            body = msgspec.json.encode(row, order="sorted")
            count += 1
            digest += int.from_bytes(hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest())
        self.tables[name] = count, digest % (1 << 8 * _DIGEST_BYTES)

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(count for count, _ in self.tables.values())

    def differing(self, other: "Tally") -> list[str]:
        """The tables that are not the same in another."""
        return sorted(
            name
            for name in {*self.tables, *other.tables}
            if self.tables.get(name, (0, 0)) != other.tables.get(name, (0, 0))
        )


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection that sees a ledger as it is at one moment, whoever writes meanwhile."""
    async with engine.connect() as connection:
        if kind_of(engine) is POSTGRESQL:
            await connection.execution_options(isolation_level="REPEATABLE READ")
        async with connection.begin():
            yield connection


async def size(connection: AsyncConnection) -> int:
    """How many rows there are to copy."""
    counts = [await connection.execute(select(func.count()).select_from(table)) for table in COPIED.values()]
    return sum(count.scalar_one() for count in counts)


async def pages(connection: AsyncConnection) -> AsyncIterator[Page]:
    """All rows of a ledger, some at a time."""
    for name, table in COPIED.items():
        found = await connection.stream(select(table), execution_options={"yield_per": PAGE_ROWS})
        columns = [str(column) for column in table.columns.keys()]  # noqa: SIM118 - not a mapping's
        async for page in found.partitions(PAGE_ROWS):
            yield name, [dict(zip(columns, row, strict=True)) for row in page]


async def fill(engine: AsyncEngine, source: AsyncIterable[Page], told: Callable[[int], None]) -> Tally:
    """Copy rows into an empty ledger that has its tables, and read them back. `told` is called with the number of rows
    written since, and again as they are read back.

    Raises LedgerNotEmpty, CopyDiffers, and whatever the source raises: then nothing has been written.
    """
    written, there = Tally(), Tally()
    async with writing(engine) as connection:
        await lock(connection, ["copy"])
        if await size(connection):
            raise LedgerNotEmpty
        async for name, rows in source:
            kept = [_kept(row) for row in rows] if kind_of(connection) is POSTGRESQL else rows
            written.add(name, kept)
            await _add(connection, COPIED[name], kept)
            told(len(kept))
        if kind_of(connection) is POSTGRESQL:
            await connection.execute(_NUMBER_ON)
        async for name, rows in pages(connection):
            there.add(name, rows)
            told(len(rows))
        if differing := written.differing(there):
            raise CopyDiffers(f"{', '.join(differing)}: what was read back is not what was written")
    return written


async def _add(connection: AsyncConnection, table: Table, rows: list[Row]) -> None:
    if table is COPIED["charges"]:
        await partitions.make(connection, partitions.months(row["started_at"] for row in rows))
        await add_charges(connection, rows)
    else:
        await connection.execute(table.insert(), rows)


def _kept(row: Row) -> Row:
    """A row as PostgreSQL keeps it."""
    return {name: _clean(value) for name, value in row.items()}


def _clean(value: object) -> object:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    return msgspec.json.decode(clean(msgspec.json.encode(value))) if isinstance(value, dict | list) else value


_NUMBER_ON = text(
    "SELECT setval(pg_get_serial_sequence('definitions', 'revision'), max(revision)) FROM definitions"
    " HAVING max(revision) IS NOT NULL"
)
"""The next definition's revision comes after those that were copied with theirs."""
