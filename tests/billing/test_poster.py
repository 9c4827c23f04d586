"""The poster: charges reach the ledger in their order and once, however often the database is away."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.journal import Journal
from billing.poster import BATCH, CHECKPOINT_EVERY, INTERVAL_SECONDS, RETRY_SECONDS, Poster
from billing.store import Narrowing, Store
from billing.usage import Unit, Usage

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def call(ident: str) -> Call:
    return Call(ident, NOON, "chat", "POST", "/v1/chat/completions", Attribution(), "one", "gpt-4.1")


def charged(ident: str) -> Charge:
    usage = Usage({Unit.INPUT_TEXT: 10})
    outcome = Outcome(NOON + timedelta(seconds=1), Basis.REPORTED, 200)
    return Charge(call(ident), outcome, "gpt-4.1", "gpt-4.1", "default", usage, (), Usage(), 1000, "test")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "one")
    yield opened
    opened.shut()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / "farebox.db"


def run(ledger: Path, work: Callable[[Store], Awaitable[None]], *, there: bool = True) -> None:
    async def with_store() -> None:
        store = Store(f"sqlite:///{ledger}")
        if there:
            ledger.parent.mkdir()
            await store.create()
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(with_store())


def posted(ledger: Path) -> list[str]:
    """The ids in the ledger, in the order in which they came."""
    with closing(sqlite3.connect(ledger)) as db:
        return [ident for (ident,) in db.execute("SELECT id FROM charges ORDER BY rowid")]


def test_everything_that_ended_is_posted_in_order_and_forgotten(journal: Journal, ledger: Path) -> None:
    idents = [f"{number * 7 % 1009}" for number in range(2 * BATCH + 3)]
    for ident in idents:
        journal.open(call(ident))
    journal.release(idents[0])
    for ident in idents[1:-1]:
        journal.close(charged(ident))

    async def work(store: Store) -> None:
        poster = Poster(journal, store)
        assert await poster.drain() == len(idents) - 2
        assert await poster.drain() == 0
        journal.close(charged(idents[-1]))
        assert await poster.drain() == 1

    run(ledger, work)
    assert posted(ledger) == idents[1:]
    assert (journal.pending(), journal.unfinished()) == (0, [])


def test_what_an_earlier_life_left_is_posted(journal: Journal, ledger: Path) -> None:
    journal.close(charged("a"))
    folder = journal.folder
    journal.shut()
    again = Journal(folder)

    async def work(store: Store) -> None:
        assert await Poster(again, store).drain() == 1

    run(ledger, work)
    again.shut()
    assert posted(ledger) == ["a"]


def test_posting_again_what_a_crash_kept_from_being_forgotten_changes_nothing(journal: Journal, ledger: Path) -> None:
    for ident in "cab":
        journal.close(charged(ident))
    closed = journal.closed(2)
    assert closed is not None

    async def work(store: Store) -> None:
        await store.post(closed.charges)
        before = await store.charge("a")
        assert await Poster(journal, store).drain() == 3
        assert await store.charge("a") == before
        (total,) = await store.totals([], Narrowing())
        assert (total.requests, total.cost_pico) == (3, 3000)

    run(ledger, work)
    assert posted(ledger) == ["c", "a", "b"]


def test_releases_alone_need_no_database(journal: Journal, ledger: Path) -> None:
    journal.open(call("a"))
    journal.release("a")

    async def work(store: Store) -> None:
        assert await Poster(journal, store).drain() == 0

    run(ledger, work, there=False)
    assert journal.pending() == 0


class Clock:
    """Sleeps without waiting; `at` says what happens in the nth sleep. After the last one the poster is stopped."""

    def __init__(self, last: int, at: dict[int, Callable[[], Awaitable[None]]] | None = None) -> None:
        self.slept: list[float] = []
        self._last = last
        self._at = at or {}

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if happens := self._at.get(len(self.slept)):
            await happens()
        if len(self.slept) == self._last:
            raise asyncio.CancelledError


async def until_stopped(poster: Poster) -> None:
    with pytest.raises(asyncio.CancelledError):
        await poster.run()


def test_charges_wait_while_the_database_is_away(
    journal: Journal, ledger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for ident in "ab":
        journal.close(charged(ident))

    async def work(store: Store) -> None:
        async def comes_back() -> None:
            assert journal.pending() == 3
            ledger.parent.mkdir()
            await store.create()

        async def another_ends() -> None:
            journal.close(charged("c"))

        clock = Clock(9, {4: another_ends, 7: comes_back})
        await until_stopped(Poster(journal, store, clock.sleep))
        assert clock.slept == [*RETRY_SECONDS, 5.0, 5.0, INTERVAL_SECONDS, INTERVAL_SECONDS]

    with caplog.at_level(logging.WARNING, "farebox.poster"):
        run(ledger, work, there=False)
    assert posted(ledger) == ["a", "b", "c"]
    assert journal.pending() == 0
    assert len(caplog.records) == 1, "one line for one outage"


def test_a_second_outage_is_told_again_and_begins_with_short_waits(
    journal: Journal, ledger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal.close(charged("a"))

    def sql(statement: str, ident: str | None = None) -> Callable[[], Awaitable[None]]:
        async def happens() -> None:
            with closing(sqlite3.connect(ledger)) as db:
                db.execute(statement)
            if ident:
                journal.close(charged(ident))

        return happens

    full = "CREATE TRIGGER full BEFORE INSERT ON charges BEGIN SELECT RAISE(ABORT, 'no more room'); END"
    clock = Clock(
        8,
        {
            1: sql(full, "b"),
            3: sql("DROP TRIGGER full"),
            4: sql(full, "c"),
            6: sql("DROP TRIGGER full", "d"),
        },
    )

    async def work(store: Store) -> None:
        await until_stopped(Poster(journal, store, clock.sleep))

    with caplog.at_level(logging.WARNING, "farebox.poster"):
        run(ledger, work)
    pause, (short, longer, *_) = INTERVAL_SECONDS, RETRY_SECONDS
    assert clock.slept == [pause, short, longer, pause, short, longer, pause, pause]
    assert posted(ledger) == ["a", "b", "c", "d"]
    assert [record.getMessage().count("no more room") for record in caplog.records] == [1, 1]


def test_a_journal_that_cannot_forget_does_not_stop_the_poster(journal: Journal, ledger: Path) -> None:
    """Its disk is full: what was posted is not posted again, and what ends later is posted later."""

    def sql(statement: str) -> None:
        with closing(sqlite3.connect(journal.folder / "journal.db", isolation_level=None)) as db:
            db.execute(statement)

    async def room() -> None:
        sql("DROP TRIGGER full")
        journal.close(charged("b"))

    journal.close(charged("a"))
    sql("CREATE TRIGGER full BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")

    async def work(store: Store) -> None:
        clock = Clock(3, {1: room})
        await until_stopped(Poster(journal, store, clock.sleep))
        assert clock.slept[0] == RETRY_SECONDS[0]

    run(ledger, work)
    assert posted(ledger) == ["a", "b"]
    assert journal.pending() == 0


def test_a_record_that_cannot_be_read_is_told_and_kept(
    journal: Journal, ledger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a later version, say: its charge waits for one that understands it, and the poster lives on."""
    with closing(sqlite3.connect(journal.folder / "journal.db", isolation_level=None)) as db:
        db.execute("INSERT INTO records (kind, id, body) VALUES (1, 'odd', ?)", (b'{"call": 1}',))
    journal.close(charged("a"))

    async def work(store: Store) -> None:
        clock = Clock(2)
        await until_stopped(Poster(journal, store, clock.sleep))
        assert clock.slept == [*RETRY_SECONDS[:2]]

    with caplog.at_level(logging.WARNING, "farebox.poster"):
        run(ledger, work)
    assert journal.pending() == 2
    assert len(caplog.records) == 1


def test_drain_raises_what_the_database_raises_and_keeps_the_charges(journal: Journal, ledger: Path) -> None:
    journal.close(charged("a"))

    async def work(store: Store) -> None:
        poster = Poster(journal, store)
        for _ in range(2):
            with pytest.raises(SQLAlchemyError):
                await poster.drain()
        assert journal.pending() == 1
        ledger.parent.mkdir()
        await store.create()
        assert await poster.drain() == 1

    run(ledger, work, there=False)
    assert posted(ledger) == ["a"]


def test_the_journals_log_is_moved_into_its_file_now_and_then(journal: Journal, ledger: Path) -> None:
    file = journal.folder / "journal.db"
    empty = file.stat().st_size

    async def work(store: Store) -> None:
        poster = Poster(journal, store)
        journal.close(charged("first"))
        await poster.drain()
        assert file.stat().st_size == empty
        for number in range(CHECKPOINT_EVERY):
            journal.close(charged(str(number)))
        await poster.drain()
        assert file.stat().st_size > empty

    run(ledger, work)
    assert len(posted(ledger)) == CHECKPOINT_EVERY + 1
