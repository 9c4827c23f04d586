"""The escrow on both kinds of database: what a slice may grow to, who may take a name, what the dead leave behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlmodel import SQLModel

from billing.escrow import MEMBERS, SLICES, Escrow, Member, NameTaken, Seen, Superseded
from billing.leases import LEASE_SECONDS, Account, Report, Slice

SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = datetime(2026, 12, 1, tzinfo=UTC)
ACCOUNT = Account("company/month/0", SINCE)
OTHER = Account("search/month/1", SINCE)
A, B, C = Member("a", "journal of a"), Member("b", "journal of b"), Member("c", "journal of c")
LIMIT = 1000


class Database:
    """An engine, and a clock that tests set."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
        self.escrow = Escrow(engine, self.time)
        self._numbers: dict[str, int] = {}

    async def time(self, _connection: AsyncConnection) -> datetime:
        return self.now

    async def says(self, member: Member, *reports: Report, revision: int = 1) -> tuple[list[Slice], Slice]:
        """One exchange: the member's slices, and what the others have of the first account."""
        if member.name not in self._numbers:
            self._numbers[member.name] = await self.escrow.join(member)
        self._numbers[member.name] += 1
        reply = await self.escrow.exchange(member, self._numbers[member.name], revision, reports)
        self.replicas = reply.replicas
        return [reply.mine[report.account] for report in reports], reply.others.get(ACCOUNT, Slice())


def report(granted: int = 0, spent: int = 0, held: int = 0, *, asks: int = 0, revision: int = 1,
           account: Account = ACCOUNT, grow: bool = True) -> Report:  # fmt: skip
    """A report on an account with a limit of 1000, for one waiting call that asks for so much."""
    return Report(account, UNTIL, LIMIT, Slice(granted, spent, held), grow, asks, asks, revision)


def play(url: str, scene: Callable[[Database], Awaitable[None]]) -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Database]:
        drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
        kind = url.partition(":")[0]
        engine = create_async_engine(url.replace(kind, drivers[kind], 1))
        async with engine.begin() as connection:
            await connection.run_sync(lambda sync: SQLModel.metadata.create_all(sync, tables=[MEMBERS, SLICES]))
        try:
            yield Database(engine)
        finally:
            await engine.dispose()

    async def played() -> None:
        async with opened() as on:
            await scene(on)

    asyncio.run(played())


def test_the_first_gets_a_share_of_all_and_the_next_a_share_of_the_rest(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(B)
        assert await on.says(A, report()) == ([Slice(125)], Slice())
        assert on.replicas == 2
        assert await on.says(B, report()) == ([Slice((1000 - 125) // 8)], Slice(125))
        assert (await on.says(A, report(125, 60, 65)))[1] == Slice(109)

    play(database, scene)


def test_a_waiting_call_gets_all_it_asks_for_while_that_is_there(database: str) -> None:
    async def scene(on: Database) -> None:
        assert (await on.says(A, report(asks=1000)))[0] == [Slice(1000)]
        assert (await on.says(B, report(asks=1)))[0] == [Slice(0, wanted_pico=1)]
        (_, others) = await on.says(A, report(400, 400, grow=False))
        assert others.wanted_pico == 1
        assert (await on.says(B, report(asks=601)))[0] == [Slice(0, wanted_pico=601)]
        assert (await on.says(B, report(asks=600)))[0] == [Slice(600)]

    play(database, scene)


def test_where_another_waits_nobody_gets_a_share_for_later(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(A, report(900, 900))
        assert (await on.says(B, report(asks=101)))[0] == [Slice(0, wanted_pico=101)]
        assert (await on.says(A, report(900, 900)))[0] == [Slice(900, 900)]

    play(database, scene)


def test_what_is_used_is_a_fact_even_past_the_limit(database: str) -> None:
    async def scene(on: Database) -> None:
        assert (await on.says(A, report(10, 900, 300, grow=False)))[0] == [Slice(1200, 900, 300)]
        (slices, others) = await on.says(B, report(asks=1))
        assert slices == [Slice(0, wanted_pico=1)]
        assert (others.granted_pico, others.spent_pico, others.held_pico) == (1200, 900, 300)

    play(database, scene)


def test_nothing_grows_until_every_replica_with_a_lease_knows_the_budget(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(B, revision=6)
        assert (await on.says(A, report(asks=10, revision=7), revision=7))[0] == [Slice()]
        await on.says(B, report(0, 995, revision=7, grow=False), revision=7)
        assert (await on.says(A, report(asks=10, revision=7), revision=7))[0] == [Slice(0, wanted_pico=10)]
        assert (await on.says(A, report(asks=5, revision=7), revision=7))[0] == [Slice(5)]

    play(database, scene)


def test_who_has_no_lease_is_not_waited_for(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(B, revision=6)
        on.now += timedelta(seconds=LEASE_SECONDS, milliseconds=1)
        assert (await on.says(A, report(asks=10, revision=7), revision=7))[0][0].granted_pico >= 10
        assert on.replicas == 1

    play(database, scene)


def test_an_exchange_that_arrives_late_changes_nothing(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(A, report(asks=500))
        number = 1
        await on.says(A, report(500, 400))
        with pytest.raises(Superseded):
            await on.escrow.exchange(A, number, 1, [report(0, 0)])
        assert (await on.says(B))[1].granted_pico >= 500

    play(database, scene)


def test_what_an_earlier_life_sent_changes_nothing_in_the_next(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(A, report(asks=500))
        number = await on.escrow.join(A)
        with pytest.raises(Superseded):
            await on.escrow.exchange(A, number, 1, [report(0, 0)])
        assert (await on.escrow.exchange(A, number + 1, 1, [report(500, 500, grow=False)])).mine == {
            ACCOUNT: Slice(500, 500)
        }

    play(database, scene)


def test_a_name_is_one_replicas_while_its_lease_lasts(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(A, report(asks=300))
        with pytest.raises(NameTaken):
            await on.escrow.join(Member("a", "another journal"))
        with pytest.raises(Superseded):
            await on.escrow.exchange(Member("a", "another journal"), 99, 1, [])

    play(database, scene)


def test_a_lost_journal_keeps_what_it_was_granted_less_what_the_ledger_knows(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(A, report(500, 200, 50, grow=False))
        on.now += timedelta(seconds=LEASE_SECONDS, milliseconds=1)
        again = Member("a", "another journal")
        number = await on.escrow.join(again)
        ledger = {ACCOUNT: (UNTIL, {"a": Slice(180, 180)})}
        for _ in range(2):  # opening an account twice changes nothing
            await on.escrow.open(ledger, again)
        reply = await on.escrow.exchange(again, number + 1, 1, [report(0, 180)])
        assert reply.others[ACCOUNT] == Slice(320, 0, 320)
        assert [(seen.name, seen.alive) for seen in await on.escrow.seen()] == [("a", True), ("a~journal ", False)]
        assert await on.escrow.forget("a~journal ", {}) == 1
        assert ACCOUNT not in (await on.escrow.exchange(again, number + 2, 1, [])).others

    play(database, scene)


def test_an_account_opens_with_what_the_ledger_says_of_those_who_are_not_there(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(B, report(40, 30, grow=False))
        ledger = {ACCOUNT: (UNTIL, {"a": Slice(5, 5), "b": Slice(70, 70), "gone": Slice(600, 600, 0, 20)})}
        await on.escrow.open(ledger, A)
        others = (await on.says(A))[1]
        assert others == Slice(640, 630, 0, 20), "of b, who has a lease, what b says"
        on.now += timedelta(seconds=LEASE_SECONDS, milliseconds=1)
        await on.escrow.open(ledger, A)
        assert (await on.says(A))[1] == Slice(670, 670, 0, 20)

    play(database, scene)


def test_a_dead_replicas_slice_counts_until_it_is_forgotten(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(A, report(asks=800))
        on.now += timedelta(days=1)
        assert (await on.says(B, report(asks=300)))[0] == [Slice(0, wanted_pico=300)]
        assert await on.escrow.seen() == [
            Seen("a", A.instance, on.now - timedelta(days=1) + timedelta(seconds=LEASE_SECONDS), False, 800),
            Seen("b", B.instance, on.now + timedelta(seconds=LEASE_SECONDS), True, 0),
        ]
        assert await on.escrow.forget("a", {ACCOUNT: (UNTIL, {"a": Slice(120, 120)})}) == 1
        assert (await on.says(B, report(asks=300)))[0] == [Slice(300)]
        assert (await on.says(B, report(300, 300, asks=581)))[0][0].wanted_pico == 581
        assert [seen.name for seen in await on.escrow.seen()] == ["b"]

    play(database, scene)


def test_who_leaves_gives_all_back(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(A, report(800, 100, grow=False), report(9, 9, account=OTHER, grow=False))
        await on.escrow.leave(A)
        assert (await on.says(B, report(asks=900)))[0] == [Slice(900)]
        assert on.replicas == 1
        await on.escrow.leave(Member("b", "not its journal"))
        assert (await on.says(C))[1].granted_pico == 1000

    play(database, scene)


def test_a_wanting_replica_is_heard_by_the_others_only(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(A, report(asks=1000))
        assert not await on.escrow.wanted(B)
        await on.says(B, report(asks=1))
        assert await on.escrow.wanted(A)
        assert not await on.escrow.wanted(B)

    play(database, scene)


def test_accounts_are_forgotten_long_after_their_window(database: str) -> None:
    async def scene(on: Database) -> None:
        await on.says(A, report(10, 10, grow=False))
        on.now = UNTIL + timedelta(days=7)
        await on.escrow.prune()
        assert (await on.says(B))[1] == Slice(10, 10)
        on.now = UNTIL + timedelta(days=9)
        await on.escrow.prune()
        on.now = UNTIL
        assert (await on.says(B))[1] == Slice()

    play(database, scene)


def test_replicas_at_once_are_never_granted_more_than_there_is(database: str) -> None:
    async def scene(on: Database) -> None:
        members = [Member(f"r{number}", str(number)) for number in range(8)]
        numbers = {member: await on.escrow.join(member) for member in members}

        async def takes(member: Member) -> int:
            reply = await on.escrow.exchange(member, numbers[member] + 1, 1, [report(asks=130)])
            return reply.mine[ACCOUNT].granted_pico

        granted = await asyncio.gather(*map(takes, members))
        assert sum(granted) <= LIMIT
        assert sum(slice_ >= 130 for slice_ in granted) >= 5

    play(database, scene)
