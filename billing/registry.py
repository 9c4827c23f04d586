"""The registry: what operators decide (keys, names, budgets, limits), kept as a log of definitions in the database.

A definition is never edited: a later one of the same kind and id replaces it, or withdraws it. What is in force is
the fold of the log, so a replica follows it by asking for what came after the last revision it knows, and the log
itself is the audit trail.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import Field, SQLModel

from billing.budgets import Budget
from billing.databases import lock, writing
from billing.keys import Key, Name
from billing.limits import Limit
from billing.tables import UtcDateTime

Definition = Key | Name | Budget | Limit

KINDS: Mapping[str, type[Definition]] = {"key": Key, "name": Name, "budget": Budget, "limit": Limit}


class DefinitionRow(SQLModel, table=True):
    """One definition, or its withdrawal (`body` is null)."""

    __tablename__ = "definitions"

    revision: int | None = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    )
    kind: str
    id: str
    defined_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    body: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))


class PresenceRow(SQLModel, table=True):
    """A replica that works on this database, and when it last said so."""

    __tablename__ = "replicas"

    name: str = Field(primary_key=True)
    seen_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log; `definition` is None where it was withdrawn."""

    revision: int
    kind: str
    id: str
    definition: Definition | None


@dataclass(frozen=True, slots=True)
class Directory:
    """What is in force at a revision: the fold of the log. Immutable; `after` gives the next one."""

    revision: int = 0
    definitions: Mapping[tuple[str, str], Definition] = field(default_factory=dict)

    def after(self, changes: Iterable[Change]) -> "Directory":
        """This directory with later changes."""
        revision, merged = self.revision, dict(self.definitions)
        for change in changes:
            revision = max(revision, change.revision)
            if change.definition is None:
                merged.pop((change.kind, change.id), None)
            else:
                merged[change.kind, change.id] = change.definition
        return Directory(revision, merged)

    def all(self, kind: type[Any]) -> list[Any]:
        """The definitions of a kind, by id."""
        named = next(name for name, cls in KINDS.items() if cls is kind)
        return [value for (at, _), value in sorted(self.definitions.items(), key=lambda item: item[0]) if at == named]

    def encoded(self) -> bytes:
        """As JSON, for `decoded`."""
        return msgspec.json.encode([(kind, value) for (kind, _), value in self.definitions.items()])

    @staticmethod
    def decoded(body: bytes) -> "Directory":
        """The definitions of an encoded directory, at revision 0. Raises msgspec.MsgspecError."""
        pairs = msgspec.json.decode(body, type=list[tuple[str, msgspec.Raw]])
        values = [(kind, msgspec.json.decode(raw, type=KINDS[kind])) for kind, raw in pairs if kind in KINDS]
        return Directory(0, {(kind, id_of(value)): value for kind, value in values})


CHANGES_PAGE = 5000

PRESENCE = timedelta(seconds=10)
"""A replica that has said nothing for so long is not there."""


class Registry:
    """The log in the ledger's database. Commands write it beside a running replica."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def changes(self, after: int = 0) -> list[Change]:
        """What came after a revision, oldest first."""
        found: list[Change] = []
        while True:
            query = (
                select(_LOG.c.revision, _LOG.c.kind, _LOG.c.id, _LOG.c.body)
                .where(_LOG.c.revision > (found[-1].revision if found else after))
                .order_by(_LOG.c.revision)
                .limit(CHANGES_PAGE)
            )
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).all()
            found += [_change(*row) for row in rows if row[1] in KINDS]
            if len(rows) < CHANGES_PAGE:
                return found

    async def directory(self) -> Directory:
        """What is in force now."""
        return Directory().after(await self.changes())

    async def revision(self) -> int:
        """The last revision."""
        async with self._engine.connect() as connection:
            return int((await connection.execute(select(func.coalesce(func.max(_LOG.c.revision), 0)))).scalar_one())

    async def present(self, replica: str, now: datetime) -> int:
        """Say that a replica is here; how many are, this one among them."""
        async with writing(self._engine) as connection:
            seen = update(_PRESENT).where(_PRESENT.c.name == replica).values(seen_at=now)
            if not (await connection.execute(seen)).rowcount:
                await connection.execute(_PRESENT.insert(), [{"name": replica, "seen_at": now}])
            others = select(func.count()).where(_PRESENT.c.seen_at > now - PRESENCE, _PRESENT.c.name != replica)
            return 1 + int((await connection.execute(others)).scalar_one())

    async def here(self, now: datetime) -> list[str]:
        """The replicas that work on this database."""
        query = select(_PRESENT.c.name).where(_PRESENT.c.seen_at > now - PRESENCE).order_by(_PRESENT.c.name)
        async with self._engine.connect() as connection:
            return list((await connection.execute(query)).scalars())

    async def left(self, replica: str) -> None:
        """Say that a replica has gone."""
        async with writing(self._engine) as connection:
            await connection.execute(delete(_PRESENT).where(_PRESENT.c.name == replica))

    async def define(self, definitions: Sequence[Definition], at: datetime) -> None:
        """Put definitions in force, together."""
        rows = [
            {"kind": kind_of(value), "id": id_of(value), "defined_at": at, "body": msgspec.json.encode(value)}
            for value in definitions
        ]
        if rows:
            async with writing(self._engine) as connection:
                await lock(connection, [_ORDER])
                await connection.execute(_LOG.insert(), rows)

    async def withdraw(self, kind: type[Definition], ident: str, at: datetime) -> None:
        """Take a definition out of force."""
        named = next(name for name, cls in KINDS.items() if cls is kind)
        async with writing(self._engine) as connection:
            await lock(connection, [_ORDER])
            await connection.execute(_LOG.insert(), [{"kind": named, "id": ident, "defined_at": at, "body": None}])


_ORDER = "definitions"
"""Whoever writes definitions does so alone: a revision is seen after all smaller ones."""

_PRESENT = PresenceRow.__table__  # type: ignore[attr-defined]
_LOG = DefinitionRow.__table__  # type: ignore[attr-defined]


def kind_of(definition: Definition) -> str:
    """The name of a definition's kind."""
    return next(name for name, cls in KINDS.items() if isinstance(definition, cls))


def id_of(definition: Definition) -> str:
    """What a definition is replaced by: keys and names have ids, budgets and limits their names."""
    return definition.id if isinstance(definition, Key | Name) else definition.name


def _change(revision: int, kind: str, ident: str, body: bytes | None) -> Change:
    definition: Definition | None = msgspec.json.decode(body, type=KINDS[kind]) if body is not None else None
    return Change(revision, kind, ident, definition)
