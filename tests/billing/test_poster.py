"""The poster: charges reach the ledger in their order and once, however often the database is away."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.journal import Journal
from billing.poster import BATCH, CHECKPOINT_EVERY, INTERVAL_SECONDS, RETRY_SECONDS, Poster, is_of_the_data
from billing.records import encode
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


# What the ledger will never take


def huge(ident: str) -> Charge:
    """A charge whose cost no column of a database holds."""
    return replace(charged(ident), cost_pico=2**70)


@given(odd=st.sets(st.integers(0, 11)), batch=st.integers(1, 12))
@settings(max_examples=12, deadline=None)
def test_a_poison_record_is_set_aside_and_all_others_are_posted_in_order(
    tmp_path_factory: pytest.TempPathFactory, odd: set[int], batch: int
) -> None:
    folder = tmp_path_factory.mktemp("poison")
    journal = Journal(folder / "one")
    for number in range(12):
        journal.open(call(str(number)))
        journal.close((huge if number in odd else charged)(str(number)))
    with closing(sqlite3.connect(journal.folder / "journal.db", isolation_level=None)) as db:
        db.execute("UPDATE records SET body = x'7b' WHERE id = '3' AND kind = 1")

    async def work(store: Store) -> None:
        poster = Poster(journal, store)
        with pytest.MonkeyPatch.context() as smaller:
            smaller.setattr("billing.poster.BATCH", batch)
            assert await poster.drain() == 12 - len(odd | {3})
            assert await poster.drain() == 0
        journal.close(charged("later"))
        assert await poster.drain() == 1

    run(folder / "ledger" / "farebox.db", work)
    good = [str(number) for number in range(12) if number not in odd | {3}]
    assert posted(folder / "ledger" / "farebox.db") == [*good, "later"]
    assert (journal.pending(), journal.unfinished(), journal.aside) == (0, [], len(odd | {3}))
    assert [charge.call.id for charge in journal.waiting()] == [str(number) for number in sorted(odd - {3})]
    journal.shut()


def test_what_is_set_aside_is_told_once_and_why(
    journal: Journal, ledger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for ident in "ab":
        journal.close(charged(ident) if ident == "a" else huge(ident))

    async def work(store: Store) -> None:
        clock = Clock(3)
        await until_stopped(Poster(journal, store, clock.sleep))
        assert clock.slept == [INTERVAL_SECONDS] * 3

    with caplog.at_level(logging.WARNING):
        run(ledger, work)
    (record,) = caplog.records
    assert record.levelname == "CRITICAL"
    assert record.getMessage().startswith(
        "record 2 of the journal (call b) is set aside: the ledger's database refuses"
    )


def test_a_charge_that_is_in_the_ledger_already_is_not_set_aside(journal: Journal, ledger: Path) -> None:
    journal.close(charged("a"))

    async def work(store: Store) -> None:
        await store.post([charged("a")])
        with closing(sqlite3.connect(journal.folder / "journal.db", isolation_level=None)) as db:
            db.execute("UPDATE records SET body = ?", (encode(huge("a")),))
        assert await Poster(journal, store).drain() == 0

    run(ledger, work)
    assert (journal.pending(), journal.aside) == (0, 0)


def test_no_kind_of_database_is_blamed_for_what_no_column_holds(database: str, journal: Journal) -> None:
    odd = {
        "a cost": huge("a cost"),
        "a hold": replace(charged("a hold"), call=replace(call("a hold"), held_pico=2**80)),
        "a status": replace(charged("a status"), outcome=replace(charged("a status").outcome, status=2**70)),
    }
    for ident, charge in odd.items():
        journal.close(charge)
        journal.close(charged(f"beside {ident}"))

    async def work() -> None:
        store = Store(database)
        await store.create()
        assert await Poster(journal, store).drain() == len(odd)
        assert all([await store.charge(f"beside {ident}") for ident in odd])
        await store.close()

    asyncio.run(work())
    assert (journal.aside, journal.pending()) == (len(odd), 0)


class FromPostgres(Exception):
    """An error as asyncpg's are: with an SQLSTATE."""

    def __init__(self, state: str) -> None:
        super().__init__(f"error {state}")
        self.sqlstate = state


class Ailing(Store):
    """A store that refuses one charge as data, and whose database goes away when it is asked for it."""

    away = False

    async def post(self, charges: Sequence[Charge]) -> None:
        if self.away:
            raise OperationalError("post", {}, sqlite3.OperationalError("the disk is full"))
        if any(charge.call.id == "b" for charge in charges):
            raise DBAPIError("INSERT INTO charges", {}, FromPostgres("22003"))
        await super().post(charges)

    async def charge(self, ident: str) -> dict[str, object] | None:
        if self.away:
            raise OperationalError("ask", {}, sqlite3.OperationalError("the disk is full"))
        self.away = True
        return await super().charge(ident)


def test_nothing_is_set_aside_while_the_database_is_away(
    journal: Journal, ledger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for ident in "abcd":
        journal.close(charged(ident))

    async def work(_: Store) -> None:
        store = Ailing(f"sqlite:///{ledger}")
        store.away = True
        poster = Poster(journal, store)
        for _ in range(2):
            with pytest.raises(OperationalError):
                await poster.drain()
        assert (journal.pending(), journal.aside) == (4, 0)
        store.away = False
        with pytest.raises(OperationalError):  # b is looked for and found to be odd, then it goes away again
            await poster.drain()
        assert (journal.pending(), journal.aside) == (3, 1)
        store.away = False
        assert await poster.drain() == 3
        await store.close()

    run(ledger, work)
    assert posted(ledger) == ["a", "c", "d"]
    told = "record 2 of the journal (call b) is set aside: the ledger's database refuses it: error 22003"
    assert caplog.messages == [told], "without the statement, which says nothing to anybody"


def from_sqlite(statement: str, *values: object) -> sqlite3.Error:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT NOT NULL, c INTEGER CHECK (c > 0)) STRICT")
        with pytest.raises(sqlite3.Error) as raised:
            db.execute(statement, values)
    return raised.value


@pytest.mark.parametrize(
    ("case", "error", "refused"),
    [
        ("a number out of range", FromPostgres("22003"), True),
        ("no text of that encoding", FromPostgres("22021"), True),
        ("a null where none may be", FromPostgres("23502"), True),
        ("a row too long for an index", FromPostgres("54000"), True),
        ("no partition for it", FromPostgres("23514"), False),
        ("two at once", FromPostgres("23505"), False),
        ("a deadlock", FromPostgres("40P01"), False),
        ("a full disk", FromPostgres("53100"), False),
        ("shutting down", FromPostgres("57P01"), False),
        ("read only", FromPostgres("25006"), False),
        ("a table that is not there", FromPostgres("42P01"), False),
        ("null in SQLite", from_sqlite("INSERT INTO t VALUES (1, NULL, 1)"), True),
        ("text for a number in SQLite", from_sqlite("INSERT INTO t VALUES (1, 'x', 'y')"), True),
        ("out of bounds in SQLite", from_sqlite("INSERT INTO t VALUES (1, 'x', 0)"), True),
        ("no table in SQLite", from_sqlite("INSERT INTO u VALUES (1)"), False),
        ("a closed connection", sqlite3.ProgrammingError("closed"), False),
        ("what the driver cannot bind", ValueError("lone surrogate"), True),
        ("a connection that broke", ConnectionResetError(), False),
    ],
)
def test_what_is_the_data_s_fault_is_told_from_an_outage(case: str, error: Exception, refused: bool) -> None:
    assert is_of_the_data(DBAPIError("INSERT", {}, error)) is refused


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (OverflowError("too large"), True),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates"), True),
        (KeyError("x"), True),
        (OSError("no route"), False),
        (TimeoutError(), False),
        (SQLAlchemyError("pool"), False),
        (RuntimeError("closed"), False),
    ],
)
def test_so_is_what_python_raises(error: Exception, refused: bool) -> None:
    assert is_of_the_data(error) is refused


def test_an_error_of_the_driver_s_own_is_of_the_data_by_its_cause() -> None:
    """asyncpg's wrapped by SQLAlchemy's adapter: no SQLSTATE, and what the encoder raised beneath."""
    for cause, refused in ((ValueError("an integer is required"), True), (OSError("reset"), False)):
        wrapped = Exception("adapted")
        wrapped.__cause__ = cause
        assert is_of_the_data(DBAPIError("INSERT", {}, wrapped)) is refused
    full = FromPostgres("53100")
    full.__cause__ = ValueError("whatever led to it")
    assert is_of_the_data(DBAPIError("INSERT", {}, full)) is False, "what the database says comes first"


# The journal's upkeep


def test_the_poster_lives_on_whatever_is_raised(
    journal: Journal, ledger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Store):
        broken = True

        async def post(self, charges: Sequence[Charge]) -> None:
            if self.broken:
                raise RuntimeError("nobody thought of this")
            await super().post(charges)

    async def work(_: Store) -> None:
        store = Broken(f"sqlite:///{ledger}")

        async def mended() -> None:
            store.broken = False

        journal.close(charged("a"))
        await until_stopped(Poster(journal, store, Clock(4, {3: mended}).sleep))
        await store.close()

    run(ledger, work)
    assert posted(ledger) == ["a"]


def test_a_full_disk_is_tried_again_without_another_call(journal: Journal, ledger: Path) -> None:
    def sql(statement: str) -> None:
        with closing(sqlite3.connect(journal.folder / "journal.db", isolation_level=None)) as db:
            db.execute(statement)

    async def room() -> None:
        assert journal.problem == "the disk is full"
        sql("DROP TRIGGER full")

    sql("CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")

    async def work(store: Store) -> None:
        journal.close(charged("a"))
        await until_stopped(Poster(journal, store, Clock(5, {3: room}).sleep))

    run(ledger, work)
    assert journal.problem is None
    assert posted(ledger) == ["a"]


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


@pytest.mark.parametrize("there", [True, False], ids=["beside posting", "while the database is away"])
def test_the_journals_log_is_moved_into_its_file_now_and_then(journal: Journal, ledger: Path, there: bool) -> None:
    file = journal.folder / "journal.db"
    empty = file.stat().st_size

    async def work(store: Store) -> None:
        async def many_end() -> None:
            assert file.stat().st_size == empty
            for number in range(CHECKPOINT_EVERY):
                journal.close(charged(str(number)))

        journal.close(charged("first"))
        await until_stopped(Poster(journal, store, Clock(3, {1: many_end}).sleep))
        assert file.stat().st_size > empty

    run(ledger, work, there=there)
    assert len(posted(ledger)) == CHECKPOINT_EVERY + 1 if there else journal.pending() == CHECKPOINT_EVERY + 1
