"""Escrow: the slices of all replicas, in the ledger's database. Whatever grows a slice happens here, under a lock.

One exchange is one transaction: a replica says how its slices stand and what it lacks, its lease is renewed, and it
learns what the others have. Exchanges of a replica are numbered, so that one that was given up and arrives late
changes nothing.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, RowMapping, Table, delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import Field, SQLModel

from billing.databases import kind_of, lock, writing
from billing.leases import LEASE_SECONDS, NOTHING, Account, Report, Slice, grown, settled, together
from billing.tables import UtcDateTime

LOST = "~"
"""Between a replica's name and the instance of it whose journal is gone."""


class MemberRow(SQLModel, table=True):
    """A replica: which instance of the name it is, its last exchange, the definitions it follows, its lease."""

    __tablename__ = "members"

    name: str = Field(primary_key=True)
    instance: str
    exchange: int = Field(sa_column=Column(BigInteger, nullable=False))
    revision: int = Field(sa_column=Column(BigInteger, nullable=False))
    leased_until: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class SliceRow(SQLModel, table=True):
    """A replica's slice of an account, in picodollars."""

    __tablename__ = "slices"

    budget: str = Field(primary_key=True)
    since: datetime = Field(sa_column=Column(UtcDateTime, primary_key=True))
    replica: str = Field(primary_key=True)
    until: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    granted_pico: int = Field(sa_column=Column(BigInteger, nullable=False))
    spent_pico: int = Field(sa_column=Column(BigInteger, nullable=False))
    held_pico: int = Field(sa_column=Column(BigInteger, nullable=False))
    unknown_pico: int = Field(sa_column=Column(BigInteger, nullable=False))
    wanted_pico: int = Field(sa_column=Column(BigInteger, nullable=False))


MEMBERS: Table = MemberRow.__table__  # type: ignore[attr-defined]
SLICES: Table = SliceRow.__table__  # type: ignore[attr-defined]

_FIGURES = ("granted_pico", "spent_pico", "held_pico", "unknown_pico", "wanted_pico")


class NameTaken(Exception):
    """Another instance of the replica's name holds a lease."""


class Superseded(Exception):
    """A later exchange of this replica has been made, or its name was taken over."""


@dataclass(frozen=True, slots=True)
class Member:
    """A replica by its name, and by the instance that its journal makes it."""

    name: str
    instance: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A replica as `farebox replicas list` shows it. `unused_pico` is what its slices hold back from the others."""

    name: str
    instance: str
    leased_until: datetime | None
    alive: bool
    unused_pico: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What the database said: how many replicas have a lease, the slices that were written down for this one, and what
    all others have together."""

    replicas: int
    mine: Mapping[Account, Slice]
    others: Mapping[Account, Slice]


class Escrow:
    """The slices in the ledger's database. `now` asks a connection for the time."""

    def __init__(
        self, engine: AsyncEngine, now: Callable[[AsyncConnection], Awaitable[datetime]] | None = None
    ) -> None:
        self._engine = engine
        self._now = now or _database_time

    async def join(self, member: Member) -> int:
        """Enter as a replica; the number of its last exchange. A new instance of a name, whose journal is gone, leaves
        the slices of the old one where they are. Raises NameTaken while the old one's lease lasts."""
        async with writing(self._engine) as connection:
            now = await self._now(connection)
            row = (await connection.execute(_member(member.name).with_for_update())).mappings().first()
            if row is None:
                values = {"exchange": 0, "revision": 0, "leased_until": now}
                await connection.execute(
                    MEMBERS.insert(), [{"name": member.name, "instance": member.instance} | values]
                )
                return 0
            if row["instance"] != member.instance:
                if row["leased_until"] > now:
                    raise NameTaken(member.name)
                lost = f"{member.name}{LOST}{row['instance'][:8]}"
                await connection.execute(update(SLICES).where(SLICES.c.replica == member.name).values(replica=lost))
            number = int(row["exchange"]) + 1
            values = {"instance": member.instance, "exchange": number}
            await connection.execute(update(MEMBERS).where(MEMBERS.c.name == member.name).values(values))
            return number

    async def exchange(self, member: Member, number: int, revision: int, reports: Sequence[Report]) -> Reply:
        """One exchange. Slices grow only while every replica with a lease knows the definitions that they are of.
        Raises Superseded."""
        async with writing(self._engine) as connection:
            now = await self._now(connection)
            renewed = (
                update(MEMBERS)
                .where(
                    MEMBERS.c.name == member.name,
                    MEMBERS.c.instance == member.instance,
                    MEMBERS.c.exchange < number,
                )
                .values(exchange=number, revision=revision, leased_until=now + timedelta(seconds=LEASE_SECONDS))
            )
            if not (await connection.execute(renewed)).rowcount:
                raise Superseded(member.name)
            live = select(func.count(), func.min(MEMBERS.c.revision)).where(MEMBERS.c.leased_until > now)
            replicas, known = (await connection.execute(live)).one()
            growing = [report for report in reports if report.grow and report.revision <= known]
            others = await self._of_others(connection, member.name, growing)
            mine = {report.account: settled(report) for report in reports}
            mine |= {it.account: grown(it, others.get(it.account, NOTHING), replicas) for it in growing}
            await _write(connection, member.name, [(report, mine[report.account]) for report in reports])
            everybody = await _sums(connection, SLICES.c.replica != member.name, SLICES.c.until > now - KEPT)
        return Reply(replicas, mine, everybody)

    async def open(self, sums: Mapping[Account, tuple[datetime, Mapping[str, Slice]]], member: Member) -> None:
        """Enter what the ledger says that other replicas have spent on accounts (with the ends of their windows), where
        nothing is known of them yet; and what is reserved for lost journals, less what the ledger has of them."""
        async with writing(self._engine) as connection:
            now = await self._now(connection)
            living = set(
                (await connection.execute(select(MEMBERS.c.name).where(MEMBERS.c.leased_until > now))).scalars()
            )
            rows = [
                (account, until, replica, spent)
                for account, (until, spenders) in sorted(sums.items())
                for replica, spent in sorted(spenders.items())
                if replica != member.name
            ]
            await lock(connection, map(_name, sums))
            there = await _slices(connection, sums)
            wanted = []
            for account, until, replica, spent in rows:
                known = there.get((account, replica))
                if known is None or (replica not in living and known.granted_pico < spent.granted_pico):
                    wanted.append((account, until, replica, spent))
            for (account, replica), known in there.items():
                if replica.startswith(member.name + LOST) and known.spent_pico:
                    until, spenders = sums[account]
                    posted = spenders.get(member.name, NOTHING).spent_pico
                    rest = max(known.granted_pico - posted, 0)
                    wanted.append((account, until, replica, Slice(rest, 0, rest)))
            await _upsert(connection, [_row(*each) for each in wanted])

    async def forget(self, replica: str, sums: Mapping[Account, tuple[datetime, Mapping[str, Slice]]]) -> int:
        """Release what a replica's slices hold back: they become what the ledger says it spent. How many there were."""
        async with writing(self._engine) as connection:
            await connection.execute(delete(MEMBERS).where(MEMBERS.c.name == replica))
            gone = await connection.execute(delete(SLICES).where(SLICES.c.replica == replica))
            rows = [
                _row(account, until, replica, spenders[replica])
                for account, (until, spenders) in sorted(sums.items())
                if replica in spenders
            ]
            await _upsert(connection, rows)
            return int(gone.rowcount)

    async def leave(self, member: Member) -> None:
        """A replica ends, all its charges posted: what it does not use, nobody has to respect."""
        async with writing(self._engine) as connection:
            mine = SLICES.c.replica == member.name
            rest = {"granted_pico": SLICES.c.spent_pico, "held_pico": 0, "wanted_pico": 0}
            left = delete(MEMBERS).where(MEMBERS.c.name == member.name, MEMBERS.c.instance == member.instance)
            if (await connection.execute(left)).rowcount:
                await connection.execute(update(SLICES).where(mine).values(rest))

    async def seen(self) -> list[Seen]:
        """All replicas of which anything is known, by name."""
        async with self._engine.connect() as connection:
            now = await self._now(connection)
            members = {row["name"]: dict(row) for row in (await connection.execute(select(MEMBERS))).mappings()}
            spare = select(
                SLICES.c.replica, func.sum(SLICES.c.granted_pico - SLICES.c.spent_pico - SLICES.c.held_pico)
            ).where(SLICES.c.until > now)
            unused = {row[0]: int(row[1]) for row in await connection.execute(spare.group_by(SLICES.c.replica))}
        return [
            Seen(
                name,
                member["instance"] if (member := members.get(name)) else name.partition(LOST)[2],
                until := member["leased_until"] if member else None,
                until is not None and until > now,
                max(unused.get(name, 0), 0),
            )
            for name in sorted({*members, *(name for name, rest in unused.items() if rest or LOST in name)})
        ]

    async def wanted(self, member: Member) -> bool:
        """Whether another replica waits for more."""
        query = select(SLICES.c.replica).where(SLICES.c.wanted_pico > 0, SLICES.c.replica != member.name).limit(1)
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).first() is not None

    async def prune(self) -> None:
        """Forget accounts whose window ended long ago."""
        async with writing(self._engine) as connection:
            now = await self._now(connection)
            await connection.execute(delete(SLICES).where(SLICES.c.until < now - KEPT))

    async def _of_others(
        self, connection: AsyncConnection, name: str, growing: Sequence[Report]
    ) -> dict[Account, Slice]:
        """What others have of these accounts, which nobody can change until this transaction ends."""
        accounts = [report.account for report in growing]
        if not accounts:
            return {}
        await lock(connection, map(_name, accounts))
        slices = await _slices(connection, accounts)
        return {
            account: together(slice_ for (of, replica), slice_ in slices.items() if of == account and replica != name)
            for account in accounts
        }


KEPT = timedelta(days=8)
"""How long after its window an account is kept: calls may end late."""


async def _database_time(connection: AsyncConnection) -> datetime:
    """The database's clock: replicas' own may differ."""
    statement = text(kind_of(connection).clock).columns(now=UtcDateTime())
    moment: datetime = (await connection.execute(statement)).scalar_one()
    return moment


def _name(account: Account) -> str:
    """What its lock is named."""
    return f"{account.budget} {account.since.isoformat()}"


def _member(name: str) -> Any:
    return select(MEMBERS).where(MEMBERS.c.name == name)


async def _slices(connection: AsyncConnection, accounts: Iterable[Account]) -> dict[tuple[Account, str], Slice]:
    """All slices of accounts."""
    wanted = set(accounts)
    query = select(SLICES).where(SLICES.c.budget.in_({account.budget for account in wanted}))
    rows = (await connection.execute(query)).mappings()
    found = {(Account(row["budget"], row["since"]), row["replica"]): _slice(row) for row in rows}
    return {key: slice_ for key, slice_ in found.items() if key[0] in wanted}


async def _sums(connection: AsyncConnection, *conditions: Any) -> dict[Account, Slice]:
    """Slices of accounts added up."""
    sums = [func.sum(SLICES.c[name]).label(name) for name in _FIGURES]
    query = select(SLICES.c.budget, SLICES.c.since, *sums).where(*conditions).group_by(SLICES.c.budget, SLICES.c.since)
    rows = (await connection.execute(query)).mappings()
    return {Account(row["budget"], row["since"]): _slice(row) for row in rows}


def _slice(row: RowMapping) -> Slice:
    return Slice(*(int(row[name]) for name in _FIGURES))


def _row(account: Account, until: datetime, replica: str, of: Slice) -> dict[str, Any]:
    figures = (of.granted_pico, of.spent_pico, of.held_pico, of.unknown_pico, of.wanted_pico)
    named = {"budget": account.budget, "since": account.since, "replica": replica, "until": until}
    return named | dict(zip(_FIGURES, figures, strict=True))


async def _write(connection: AsyncConnection, name: str, slices: Iterable[tuple[Report, Slice]]) -> None:
    await _upsert(connection, [_row(report.account, report.until, name, slice_) for report, slice_ in slices])


async def _upsert(connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        insert = kind_of(connection).insert(SLICES)
        given = {name: insert.excluded[name] for name in (*_FIGURES, "until")}
        await connection.execute(
            insert.on_conflict_do_update(index_elements=["budget", "since", "replica"], set_=given), rows
        )
