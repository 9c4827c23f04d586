"""The two kinds of database that a ledger can live in, and all that differs between them."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, bindparam, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

SCHEMES: Mapping[str, str] = {
    "sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg",
}  # fmt: skip
"""How FAREBOX_DATABASE may begin, and the driver it means."""

CONNECT_SECONDS = 5
"""A database that does not answer for so long is away."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of database does in its own way."""

    name: str
    insert: Callable[[Table], Any]
    clock: str
    shared: bool
    """Whether replicas on several machines can work on it."""


SQLITE = Kind("sqlite", sqlite.insert, "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now') AS now", shared=False)
POSTGRESQL = Kind("postgresql", postgresql.insert, "SELECT clock_timestamp() AS now", shared=True)
_KINDS = {kind.name: kind for kind in (SQLITE, POSTGRESQL)}


def kind_of_url(url: str) -> Kind:
    """The kind of a FAREBOX_DATABASE. Raises KeyError for a scheme that is none."""
    return _KINDS[SCHEMES[url.partition(":")[0]].partition("+")[0]]


def kind_of(of: AsyncConnection | AsyncEngine | Connection) -> Kind:
    """The kind that a connection or an engine speaks to."""
    return _KINDS[of.dialect.name]


def engine_of(url: str) -> AsyncEngine:
    """An engine for a FAREBOX_DATABASE. Nothing is connected yet."""
    scheme, _, rest = url.partition(":")
    kind = kind_of_url(url)
    connect: dict[str, Any] = {"timeout": CONNECT_SECONDS} if kind is POSTGRESQL else {}
    engine = create_async_engine(
        f"{SCHEMES[scheme]}:{rest}",
        connect_args=connect,
        pool_pre_ping=kind is POSTGRESQL,  # a connection that was cut while nobody used it is no trouble
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )
    if kind is SQLITE:
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    else:
        event.listen(engine.sync_engine, "connect", _prepare_postgresql)
    return engine


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that writes, committed at the end of the block. SQLite's exclude each other from their beginning:
    what one reads, no other changes before it has written."""
    async with engine.connect() as connection:
        await connection.execution_options(**{_WRITES: True})
        async with connection.begin():
            yield connection


async def lock(connection: AsyncConnection, names: Iterable[str]) -> None:
    """Hold other transactions off what these names stand for until this one ends, always in one order. Where writers
    exclude each other anyway there is nothing to do."""
    if kind_of(connection) is POSTGRESQL:
        await connection.execute(_LOCK, {"names": sorted(names)})


_WRITES = "farebox_writes"

_LOCK = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM (SELECT unnest(:names) AS name ORDER BY 1) AS sorted"
).bindparams(bindparam("names", type_=postgresql.ARRAY(postgresql.TEXT)))


def _prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where we say so, not where the driver thinks
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_postgresql(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """A commit that PostgreSQL has confirmed must survive its death, also where it is set up otherwise: the journal
    forgets what was posted, and a slice that was granted is spent."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    cursor.close()
    connection.commit()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
