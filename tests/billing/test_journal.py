"""The journal: what was written is there, in its order, after anything but the loss of the disk."""

import asyncio
import logging
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.journal import MARK_EVERY, Closed, Journal, JournalLocked, JournalUnwritable
from billing.records import encode
from billing.usage import Reading, Unit, Usage

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def call(ident: str) -> Call:
    who = Attribution("desk", "harbour", tags={"stage": "test"})
    return Call(ident, NOON, "chat", "POST", "/v1/chat/completions", who, "one", "gpt-4.1", streamed=True)


def charged(ident: str, after_seconds: int = 1) -> Charge:
    usage = Usage({Unit.INPUT_TEXT: 10})
    outcome = Outcome(NOON + timedelta(seconds=after_seconds), Basis.REPORTED, 200, Reading(usage))
    return Charge(call(ident), outcome, "gpt-4.1", "gpt-4.1", "default", usage, (), usage, None, "test")


@pytest.fixture(params=["process", "power"])
def journal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Journal]:
    opened = Journal(tmp_path / "one", sync=request.param)
    yield opened
    opened.shut()


def idents(closed: Closed | None) -> list[str]:
    return [charge.call.id for charge in closed.charges] if closed else []


def sql(journal: Journal, statement: str) -> None:
    """Something done to the journal's file from outside."""
    with closing(sqlite3.connect(journal.folder / "journal.db", isolation_level=None)) as db:
        db.execute(statement)


def turn(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Play a scene in an event loop."""
    asyncio.run(scene())


FULL = "CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"


def test_an_exchange_is_unfinished_from_its_opening_to_its_end(journal: Journal) -> None:
    for ident in ("a", "b", "c"):
        journal.open(call(ident))
    assert journal.unfinished() == [call("a"), call("b"), call("c")]
    journal.close(charged("b"))
    journal.release("a")
    assert journal.unfinished() == [call("c")]
    assert journal.written == 5


def test_ended_exchanges_come_in_the_order_of_their_ends_and_in_batches(journal: Journal) -> None:
    for ident in "abcdefg":
        journal.open(call(ident))
    for ident in "ca":
        journal.close(charged(ident))
    journal.release("b")
    for ident in "ged":
        journal.close(charged(ident))
    batches = []
    while closed := journal.closed(3):
        batches.append(idents(closed))
        journal.forget(closed.through)
    assert batches == [["c", "a"], ["g", "e", "d"]]
    assert journal.closed(3) is None
    assert journal.unfinished() == [call("f")]
    journal.close(charged("f"))
    assert idents(journal.closed(3)) == ["f"]


def test_a_batch_is_the_same_until_it_is_forgotten(journal: Journal) -> None:
    journal.close(charged("a"))
    assert journal.closed(10) == journal.closed(10)
    assert journal.closed(10) == Closed((charged("a"),), 1, (1,))


def test_what_is_forgotten_takes_no_place(journal: Journal) -> None:
    for ident in "abc":
        journal.open(call(ident))
    journal.close(charged("a"))
    journal.release("b")
    closed = journal.closed(10)
    assert closed is not None
    journal.close(charged("c"))
    journal.forget(closed.through)
    with closing(sqlite3.connect(journal.folder / "journal.db")) as db:
        assert db.execute("SELECT kind, id FROM records ORDER BY seq").fetchall() == [(0, "c"), (1, "c")]
    closed = journal.closed(10)
    assert closed is not None
    journal.forget(closed.through)
    with closing(sqlite3.connect(journal.folder / "journal.db")) as db:
        assert db.execute("SELECT count(*) FROM records").fetchone() == (0,)


def test_numbers_go_on_after_everything_was_forgotten(journal: Journal) -> None:
    """Were they to begin again, what comes next would be taken for what was posted already."""
    journal.close(charged("a"))
    journal.forget(1)
    folder = journal.folder
    journal.shut()
    again = Journal(folder)
    again.close(charged("b"))
    assert again.closed(10) == Closed((charged("b"),), 2, (2,))
    again.shut()


def test_a_charge_is_found_until_it_is_posted(journal: Journal) -> None:
    journal.open(call("a"))
    assert journal.find("a") is None
    journal.close(charged("a"))
    assert journal.find("a") == charged("a")
    journal.forget(2)
    assert journal.find("a") is None


def test_charges_that_wait_come_in_the_order_of_their_ends(journal: Journal) -> None:
    assert list(journal.waiting()) == []
    for ident in "abcde":
        journal.open(call(ident))
    for ident in "cab":
        journal.close(charged(ident))
    journal.release("d")
    before = journal.waiting()
    assert list(journal.waiting()) == [charged("c"), charged("a"), charged("b")]
    batch = journal.closed(2)
    assert batch is not None
    assert list(journal.waiting()) == [charged("c"), charged("a"), charged("b")], "that they are read changes nothing"
    journal.forget(batch.through)
    assert list(journal.waiting()) == [charged("b")]
    journal.close(charged("e"))
    assert list(journal.waiting()) == [charged("b"), charged("e")]
    assert list(before) == [charged("c"), charged("a"), charged("b")], "those of the moment when they were asked for"


def test_a_call_whose_hold_was_raised_is_one_call_with_its_last_hold(journal: Journal) -> None:
    raised = replace(call("a"), held_pico=20, hold="expected")
    for each in (call("a"), call("b"), replace(raised, held_pico=10), raised):
        journal.open(each)
    assert journal.unfinished() == [raised, call("b")]
    assert (journal.pending(), journal.closed(10), list(journal.waiting())) == (0, None, [])
    folder = journal.folder
    journal.shut()
    next_life = Journal(folder)
    assert next_life.unfinished() == [raised, call("b")]
    next_life.close(replace(charged("a"), call=raised))
    assert (next_life.unfinished(), next_life.pending()) == ([call("b")], 1)
    closed = next_life.closed(10)
    assert closed is not None
    assert closed.charges == (replace(charged("a"), call=raised),)
    next_life.forget(closed.through)
    assert next_life.unfinished() == [call("b")]
    with closing(sqlite3.connect(folder / "journal.db")) as db:
        assert db.execute("SELECT kind, id FROM records").fetchall() == [(0, "b")]
    next_life.shut()


def test_what_waits_is_counted_and_has_an_age(journal: Journal) -> None:
    assert (journal.pending(), journal.oldest_pending()) == (0, None)
    journal.open(call("a"))
    journal.release("a")
    journal.close(charged("b", 7))
    journal.close(charged("c", 3))
    assert (journal.pending(), journal.oldest_pending()) == (3, NOON + timedelta(seconds=7))


def test_everything_is_there_in_the_next_life(journal: Journal) -> None:
    journal.open(call("a"))
    journal.open(call("b"))
    journal.close(charged("a"))
    folder = journal.folder
    journal.shut()
    again = Journal(folder)
    assert again.unfinished() == [call("b")]
    assert again.closed(10) == Closed((charged("a"),), 3, (3,))
    assert again.written == 0
    again.shut()


def test_two_processes_do_not_share_a_journal(journal: Journal) -> None:
    with pytest.raises(JournalLocked, match="FAREBOX_REPLICA"):
        Journal(journal.folder)
    program = f"from pathlib import Path; from billing.journal import Journal; Journal(Path({str(journal.folder)!r}))"
    other = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "JournalLocked" in other.stderr
    journal.open(call("a"))
    journal.shut()
    Journal(journal.folder).shut()


def test_a_journal_that_takes_no_record_says_so_and_why(journal: Journal) -> None:
    journal.open(call("a"))
    sql(journal, FULL)
    for write in (
        lambda: journal.open(call("b")),
        lambda: journal.close(charged("a")),
        lambda: journal.release("a"),
    ):
        journal.problem = None
        with pytest.raises(JournalUnwritable, match="the disk is full"):
            write()
        assert journal.problem == "the disk is full"
    assert journal.written == 1
    assert journal.unfinished() == [call("a")]
    assert list(journal.waiting()) == [charged("a")], "what could not be written is not forgotten"
    assert (journal.find("a"), journal.pending()) == (charged("a"), 2)
    sql(journal, "DROP TRIGGER full")
    journal.open(call("c"))
    assert (journal.problem, journal.unfinished()) == (None, [call("c")])
    assert (idents(journal.closed(10)), journal.pending()) == (["a"], 2)


def test_a_journal_that_was_shut_takes_no_record(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "one")
    journal.shut()
    with pytest.raises(JournalUnwritable):
        journal.open(call("a"))
    assert journal.problem


DISK_FULL = """
import resource, signal, sys
from pathlib import Path
from billing.journal import Journal, JournalUnwritable
from tests_of_journal import call
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
taken = 0
try:
    while True:
        journal.open(call(str(taken)))
        taken += 1
except JournalUnwritable:
    assert journal.problem
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.open(call(str(taken)))
assert journal.problem is None
assert [each.id for each in journal.unfinished()] == [str(number) for number in range(taken + 1)]
print(taken)
"""

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from billing.journal import Journal
from tests_of_journal import call, charged
journal, number = Journal(Path(sys.argv[1])), 0
while True:
    ident = f"{sys.argv[2]}-{number}"
    journal.open(call(ident))
    print("opened", ident, flush=True)
    if number % 3:
        journal.close(charged(ident))
        print("closed", ident, flush=True)
    number += 1
"""

THIS_FILE = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("tests_of_journal", {__file__!r})
sys.modules["tests_of_journal"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["tests_of_journal"])
"""


def test_a_disk_that_fills_up_costs_no_record_and_the_next_one_is_taken_when_there_is_room(tmp_path: Path) -> None:
    command = [sys.executable, "-c", THIS_FILE + DISK_FULL, str(tmp_path / "one")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_a_process_that_is_killed_loses_nothing_that_it_had_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    opened, closed = set(), set()
    for life in range(3):
        command = [sys.executable, "-c", THIS_FILE + WRITE_FOR_EVER, str(folder), str(life)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(300 + 77 * life)]
            process.send_signal(signal.SIGKILL)
            told += process.stdout.readlines()
        for line in told:
            if line.endswith("\n"):
                what, ident = line.split()
                (opened if what == "opened" else closed).add(ident)
    journal = Journal(folder)
    ended = idents(journal.closed(10**6))
    unfinished = [each.id for each in journal.unfinished()]
    journal.shut()
    assert len(ended) == len(set(ended))
    assert closed <= set(ended)
    assert opened <= set(ended) | set(unfinished)
    assert not set(ended) & set(unfinished)
    assert len(opened) > 400


def test_the_log_is_moved_into_the_file_when_asked_and_not_before(journal: Journal) -> None:
    file = journal.folder / "journal.db"
    before = file.stat().st_size
    for number in range(200):
        journal.close(charged(str(number)))
    assert file.stat().st_size == before
    asyncio.run(journal.checkpoint())
    assert file.stat().st_size > before
    assert len(idents(journal.closed(1000))) == 200


def test_a_log_that_grows_long_is_emptied_while_commits_wait(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes all the time would else never let it begin anew."""
    log = journal.folder / "journal.db-wal"

    async def scene() -> None:
        async def write_on() -> None:
            for number in count():
                journal.close(charged(str(number)))
                await journal.committed()

        async def so_many(records: int) -> None:
            while journal.written < records:
                await asyncio.sleep(0)

        writing = asyncio.create_task(write_on())
        await so_many(300)
        monkeypatch.setattr("billing.journal.LOG_CEILING_BYTES", 0)
        size = log.stat().st_size
        await journal.checkpoint()
        assert log.stat().st_size < size / 2
        await so_many(journal.written + 1)
        writing.cancel()

    turn(scene)
    journal.flush()
    assert len(idents(journal.closed(10**6))) == journal.written


# A turn of the event loop is a commit


def test_a_call_may_leave_when_it_is_on_disk_and_many_share_a_commit(journal: Journal) -> None:
    def on_disk() -> int:
        with closing(sqlite3.connect(journal.folder / "journal.db")) as db:
            return int(db.execute("SELECT count(*) FROM records").fetchone()[0])

    async def scene() -> None:
        async def leave(ident: str) -> None:
            journal.open(call(ident))
            await journal.opened(ident)
            assert on_disk() == 20

        await asyncio.gather(*(leave(str(number)) for number in range(20)))
        journal.close(charged("3"))
        journal.release("4")
        assert (on_disk(), journal.pending(), journal.open_calls) == (20, 2, 20)
        assert (list(journal.waiting()), journal.find("3")) == ([charged("3")], charged("3"))
        await journal.committed()
        assert (on_disk(), journal.pending(), journal.open_calls) == (22, 2, 18)
        assert (list(journal.waiting()), journal.find("3")) == ([charged("3")], charged("3"))

    turn(scene)


def test_a_charge_that_is_on_disk_before_the_loop_knows_counts_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "one", sync="power")

    async def scene() -> None:
        journal.close(charged("a"))
        await asyncio.sleep(0)
        with closing(sqlite3.connect(journal.folder / "journal.db")) as db:
            while not db.execute("SELECT count(*) FROM records").fetchone()[0]:
                pass  # the loop stands still, the disk's thread does not
        assert journal.written == 0
        assert list(journal.waiting()) == [charged("a")]
        await journal.committed()
        assert list(journal.waiting()) == [charged("a")]

    turn(scene)
    journal.shut()


def test_a_call_whose_opening_the_disk_refused_is_none_however_late_one_asks(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        journal.open(call("under way"))
        await journal.opened("under way")
        sql(journal, FULL)
        journal.open(call("a"))
        journal.open(replace(call("under way"), held_pico=7))
        with pytest.raises(JournalUnwritable, match="the disk is full"):
            await journal.committed()
        journal.release("a")  # its app gave up, say
        journal.close(charged("under way"))
        with pytest.raises(JournalUnwritable):
            await journal.committed()
        sql(journal, "DROP TRIGGER full")
        journal.open(call("b"))
        await journal.opened("b")
        with pytest.raises(JournalUnwritable):
            await journal.opened("a")
        assert journal.problem is None

    with caplog.at_level(logging.CRITICAL, "farebox.journal"):
        turn(scene)
    assert len(caplog.records) == 1, "a charge that waits in memory is in the log, once"
    assert encode(charged("under way")).decode() in caplog.text
    assert journal.unfinished() == [call("b")]
    assert (idents(journal.closed(10)), journal.pending()) == (["under way"], 1)


def test_once_the_disk_has_room_again_it_is_seen_without_another_call(journal: Journal) -> None:
    async def scene() -> None:
        sql(journal, FULL)
        journal.open(call("a"))
        with pytest.raises(JournalUnwritable):
            await journal.opened("a")
        for _ in range(3):
            journal.retry()
            while journal._commits._flying:
                await asyncio.sleep(0)
        assert journal.problem == "the disk is full"
        sql(journal, "DROP TRIGGER full")
        journal.retry()
        while journal.problem:
            await asyncio.sleep(0)
        assert journal.written == 0

    turn(scene)


def test_at_its_ceiling_it_opens_no_call_and_still_takes_their_ends(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "one", ceiling_bytes=100_000)
    number = 0
    with pytest.raises(JournalUnwritable, match="FAREBOX_JOURNAL_BYTES"):  # noqa: PT012 - the last one raises
        while True:
            journal.open(call(str(number)))
            number += 1
    assert number > 100
    assert journal.problem
    assert "FAREBOX_JOURNAL_BYTES allows 100,000" in journal.problem
    journal.open(replace(call("0"), held_pico=7))
    for each in range(number):
        journal.close(charged(str(each)))
    assert "FAREBOX_JOURNAL_BYTES" in (journal.problem or ""), "that those were written changes nothing"
    journal.retry()
    with pytest.raises(JournalUnwritable):
        journal.open(call("more"))
    journal.shut()
    journal = Journal(tmp_path / "one", ceiling_bytes=100_000)
    with pytest.raises(JournalUnwritable):
        journal.open(call("more"))
    assert (journal.unfinished(), journal.pending()) == ([], number)
    closed = journal.closed(10**6)
    assert closed is not None
    journal.forget(closed.through)
    journal.open(call("more"))
    assert journal.problem is None
    journal.shut()


# What cannot be read


def damage(journal: Journal, ident: str, kind: int) -> None:
    with closing(sqlite3.connect(journal.folder / "journal.db", isolation_level=None)) as db:
        db.execute("UPDATE records SET body = x'ff7b' WHERE id = ? AND kind = ?", (ident, kind))


def test_a_charge_that_cannot_be_read_is_set_aside_and_tried_again_by_the_next_life(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    for ident in "abc":
        journal.open(call(ident))
        journal.close(charged(ident))
    good = encode(charged("b"))
    damage(journal, "b", 1)
    with caplog.at_level(logging.CRITICAL, "farebox.journal"):
        closed = journal.closed(10)
        assert journal.closed(10) == closed
    assert closed is not None
    assert (idents(closed), closed.numbers, closed.through) == (["a", "c"], (2, 6), 6)
    assert [record.getMessage()[:47] for record in caplog.records] == [
        "record 4 of the journal (call b) is set aside: "
    ], "once"
    assert (journal.aside, journal.pending(), journal.find("b")) == (1, 2, None)
    assert list(journal.waiting()) == [charged("a"), charged("c")]
    journal.forget(closed.through)
    assert (journal.pending(), journal.unfinished()) == (0, [])
    with closing(sqlite3.connect(journal.folder / "journal.db", isolation_level=None)) as db:
        assert db.execute("SELECT id FROM aside").fetchall() == [("b",)]
        db.execute("UPDATE aside SET body = ?", (good,))
    assert list(journal.waiting()) == [charged("b")], "what can be read counts, wherever it is"
    folder = journal.folder
    journal.shut()
    again = Journal(folder)
    assert (again.aside, again.pending(), idents(again.closed(10))) == (0, 1, ["b"])
    again.shut()


def test_an_opening_that_cannot_be_read_stops_no_start(journal: Journal) -> None:
    journal.open(call("a"))
    journal.open(call("b"))
    damage(journal, "a", 0)
    folder = journal.folder
    journal.shut()
    for _ in range(2):
        again = Journal(folder)
        assert (again.unfinished(), again.aside, again.open_calls, again.pending()) == ([call("b")], 1, 1, 0)
        again.shut()


# A start does not read everything


class Lives(RuleBasedStateMachine):
    """Calls come and end, are posted or not, in many lives; what each life finds is what the plain sums say."""

    factory: pytest.TempPathFactory
    monkeypatch: pytest.MonkeyPatch

    @initialize(mark_every=st.integers(0, 4), sync=st.sampled_from(["process", "power"]))
    def begin(self, mark_every: int, sync: str) -> None:
        self.monkeypatch.setattr("billing.journal.MARK_EVERY", mark_every)
        self.folder, self.sync = self.factory.mktemp("lives") / "one", sync
        self.number = 0
        self.open_calls: dict[str, Call] = {}
        self.ended: list[str] = []
        """Ids, with a minus before those of calls that were released."""
        self.journal = Journal(self.folder, sync=sync)

    @rule(count=st.integers(1, 3))
    def calls_come(self, count: int) -> None:
        async def turn() -> None:
            for _ in range(count):
                self.number += 1
                self.open_calls[str(self.number)] = call(str(self.number))
                self.journal.open(call(str(self.number)))
            await self.journal.committed()

        asyncio.run(turn())

    @rule(which=st.integers(0, 9))
    def a_hold_is_raised(self, which: int) -> None:
        if self.open_calls:
            ident = sorted(self.open_calls)[which % len(self.open_calls)]
            raised = replace(self.open_calls[ident], held_pico=self.open_calls[ident].held_pico + 1)
            self.open_calls[ident] = raised
            self.journal.open(raised)

    @rule(which=st.integers(0, 9), billed=st.booleans())
    def a_call_ends(self, which: int, billed: bool) -> None:
        if self.open_calls:
            ident = sorted(self.open_calls)[which % len(self.open_calls)]
            del self.open_calls[ident]
            self.ended.append(ident if billed else f"-{ident}")
            if billed:
                self.journal.close(charged(ident))
            else:
                self.journal.release(ident)

    @rule(limit=st.integers(1, 4))
    def some_are_posted(self, limit: int) -> None:
        closed = self.journal.closed(limit)
        batch, self.ended = self.ended[:limit], self.ended[limit:]
        assert idents(closed) == [ident for ident in batch if not ident.startswith("-")]
        if closed:
            asyncio.run(self.journal.posted(closed.through))

    @rule()
    def the_process_dies(self) -> None:
        self.journal.shut()
        self.journal = Journal(self.folder, sync=self.sync)

    @invariant()
    def it_stands_as_the_plain_sums_say(self) -> None:
        if hasattr(self, "journal"):
            found = {each.id: each for each in self.journal.unfinished()}
            assert found == self.open_calls
            assert (self.journal.pending(), self.journal.open_calls) == (len(self.ended), len(self.open_calls))

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.shut()


def test_every_life_finds_what_the_ones_before_it_left(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Lives.factory, Lives.monkeypatch = tmp_path_factory, monkeypatch
    run_state_machine_as_test(Lives, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))  # type: ignore[no-untyped-call]


def test_a_start_reads_no_more_than_came_since_the_last_mark(journal: Journal) -> None:
    """What was before it may be as much as it wants: here it is not even there any more, behind the journal's back."""
    for number in range(MARK_EVERY):
        journal.close(charged(str(number)))
    journal.open(call("a"))
    journal.open(call("b"))  # with the mark, of how it stood before
    sql(journal, f"DELETE FROM records WHERE seq < {MARK_EVERY}")
    folder = journal.folder
    journal.shut()
    again = Journal(folder)
    assert (again.unfinished(), again.pending()) == ([call("a"), call("b")], MARK_EVERY)
    again.shut()


def test_numbers_go_on_after_those_of_an_earlier_life_also_where_only_an_open_call_is_left(journal: Journal) -> None:
    journal.open(call("a"))
    for ident in "bcd":
        journal.close(charged(ident))
    journal.forget(4)
    folder = journal.folder
    journal.shut()
    for ident in "ef":  # were their numbers below the mark, the life after them would not see them
        life = Journal(folder)
        life.open(call(ident))
        life.shut()
    last = Journal(folder)
    assert [each.id for each in last.unfinished()] == ["a", "e", "f"]
    last.shut()


def test_a_count_that_is_wrong_is_right_once_everything_is_posted(journal: Journal) -> None:
    """One of an earlier version that went on with the file, say."""
    journal.close(charged("a"))
    journal.forget(1)
    sql(journal, """UPDATE facts SET value = '{"through":1,"pending":7,"open":[]}' WHERE name = 'mark'""")
    folder = journal.folder
    journal.shut()
    again = Journal(folder)
    assert again.pending() == 7
    assert again.closed(10) is None
    assert again.pending() == 0
    again.shut()
