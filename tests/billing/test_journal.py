"""The journal: what was written is there, in its order, after anything but the loss of the disk."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.journal import Closed, Journal, JournalLocked, JournalUnwritable, decode, encode
from billing.rating import Line, Rate
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


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "one")
    yield opened
    opened.shut()


def idents(closed: Closed | None) -> list[str]:
    return [charge.call.id for charge in closed.charges] if closed else []


def sql(journal: Journal, statement: str) -> None:
    """Something done to the journal's file from outside."""
    with closing(sqlite3.connect(journal.folder / "journal.db", isolation_level=None)) as db:
        db.execute(statement)


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
    assert journal.closed(10) == Closed((charged("a"),), 1)


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
    assert again.closed(10) == Closed((charged("b"),), 2)
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
    assert again.closed(10) == Closed((charged("a"),), 3)
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
    sql(journal, "DROP TRIGGER full")
    journal.close(charged("a"))
    assert journal.problem is None
    assert idents(journal.closed(10)) == ["a"]


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
    journal.checkpoint()
    assert file.stat().st_size > before
    assert len(idents(journal.closed(1000))) == 200


words = st.none() | st.text(max_size=8)
moments = st.datetimes(timezones=st.just(UTC))
numbers = st.integers(0, 10**9)
usages = st.dictionaries(st.sampled_from(list(Unit)), numbers, max_size=5).map(Usage)
lines = st.builds(
    Line, st.sampled_from(list(Unit)), numbers, st.builds(Rate, st.integers(0, 10**15), st.integers(1, 10**6)), numbers
)
charges = st.builds(
    Charge,
    st.builds(
        Call,
        st.text(max_size=8),
        moments,
        st.text(max_size=8),
        st.text(max_size=4),
        st.text(max_size=8),
        st.builds(
            Attribution,
            words,
            words,
            words,
            words,
            words,
            st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
        ),
        st.text(max_size=8),
        words,
        words,
        st.booleans(),
    ),
    st.builds(
        Outcome,
        moments,
        st.sampled_from(Basis),
        st.none() | st.integers(100, 599),
        st.none() | st.builds(Reading, usages, words, words, words, numbers),
        st.booleans(),
        words,
        words,
    ),
    words,
    words,
    words,
    usages,
    st.lists(lines, max_size=4).map(tuple),
    usages,
    st.none() | st.integers(0, 10**24),
    st.text(max_size=8),
    st.dictionaries(st.text(max_size=4), numbers, max_size=3),
)


@given(charges)
def test_a_charge_comes_back_as_it_was_written(charge: Charge) -> None:
    back = decode(encode(charge))
    assert back == charge
    assert encode(back) == encode(charge)
    assert isinstance(back.usage, Usage)
    assert back.outcome.basis is charge.outcome.basis
