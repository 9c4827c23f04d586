"""A journal's file: all or nothing, whatever wrote it, and a mark that tells what reading all of it would."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from billing.journal_file import JournalFile, Mark, connect
from billing.records import CLOSE, OPEN, RELEASE, Record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def file(path: Path) -> Iterator[JournalFile]:
    opened = JournalFile(path, power=False)
    yield opened
    opened.shut()


def record(number: int, kind: int, ident: str) -> Record:
    return Record(number, kind, ident, b"%d of %s" % (kind, ident.encode()))


def opened(number: int, ident: str) -> Record:
    return record(number, OPEN, ident)


def closed(number: int, ident: str) -> Record:
    return record(number, CLOSE, ident)


def standing(path: Path) -> list[tuple[int, int, str]]:
    with closing(connect(path)) as db:
        return db.execute("SELECT seq, kind, id FROM records ORDER BY seq").fetchall()


def test_records_are_written_all_or_none(file: JournalFile, path: Path) -> None:
    file.write([opened(1, "a")])
    with pytest.raises(sqlite3.IntegrityError):
        file.write([opened(2, "b"), closed(1, "a")], Mark(7))
    assert (standing(path), file.mark()) == ([(1, OPEN, "a")], Mark())
    file.write([opened(2, "b"), closed(3, "a")], Mark(1, 0, (1,)))
    assert (len(standing(path)), file.mark(), file.last()) == (3, Mark(1, 0, (1,)), 3)


def test_whether_a_record_could_be_written_is_tried_without_a_trace(file: JournalFile, path: Path) -> None:
    file.write([])
    assert standing(path) == []
    with closing(connect(path)) as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(sqlite3.Error, match="full"):
        file.write([])


def test_what_is_forgotten_is_the_exchanges_that_had_ended(file: JournalFile, path: Path) -> None:
    records = [opened(1, "a"), opened(2, "b"), opened(3, "c"), closed(4, "b"), record(5, RELEASE, "c"), closed(6, "a")]
    file.write(records)
    assert file.forget(5, Mark(6, 3, ())) == 2
    assert standing(path) == [(1, OPEN, "a"), (6, CLOSE, "a")]
    assert file.mark() == Mark(6, 1, ())
    assert file.forget(6, file.mark()) == 1
    assert (standing(path), file.mark()) == ([], Mark(6, 0, ()))


def test_from_a_mark_on_only_what_was_open_and_what_came_since_is_read(file: JournalFile) -> None:
    file.write([opened(1, "a"), opened(2, "b"), closed(3, "b"), opened(4, "a")])
    file.write([opened(5, "c"), closed(6, "a")], Mark(4, 1, (1, 4)))
    assert list(file.heads(Mark())) == [
        (1, OPEN, "a"), (2, OPEN, "b"), (3, CLOSE, "b"), (4, OPEN, "a"), (5, OPEN, "c"), (6, CLOSE, "a"),
    ]  # fmt: skip
    assert list(file.heads(file.mark())) == [(1, OPEN, "a"), (4, OPEN, "a"), (5, OPEN, "c"), (6, CLOSE, "a")]
    assert file.bodies([5, 1, 99]) == [(1, b"0 of a"), (5, b"0 of c")]


def test_what_is_set_aside_is_in_nobodys_way_and_comes_back(file: JournalFile, path: Path) -> None:
    file.write([opened(1, "a"), opened(2, "b"), closed(3, "a"), closed(4, "b")], Mark(0, 0, ()))
    assert file.set_aside(3, "it is odd") == "a"
    assert file.set_aside(3, "it is odd") is None
    assert standing(path) == [(2, OPEN, "b"), (4, CLOSE, "b")]
    assert [ended.id for ended in file.ended(0, 9)] == ["b"]
    assert (file.charge("a"), file.charge("c")) == (b"1 of a", None), "it is known all the same"
    assert list(file.charges(0)) == [(3, b"1 of a"), (4, b"1 of b")]
    with closing(connect(path)) as db:
        assert db.execute("SELECT seq, id, reason FROM aside").fetchall() == [(3, "a", "it is odd")]
    file.take_back()
    assert standing(path) == [(2, OPEN, "b"), (3, CLOSE, "a"), (4, CLOSE, "b")]
    assert file.mark() == Mark(), "a mark that does not know of it must not be believed"
    file.write([opened(5, "c")], Mark(4, 2, ()))
    file.take_back()
    assert file.mark() == Mark(4, 2, ()), "where nothing was set aside it stays"


def test_charges_are_read_as_they_were_when_one_asked(file: JournalFile) -> None:
    file.write([closed(1, "a"), closed(2, "b"), record(3, RELEASE, "x"), closed(4, "c")])
    asked = file.charges(1)
    file.forget(4, Mark())
    file.write([closed(5, "d")])
    assert list(asked) == [(2, b"1 of b"), (4, b"1 of c")]
    file.write([closed(6, "e")])
    assert list(file.charges(0, b"f e")) == [(6, b"1 of e")]


def test_ends_come_in_order_from_a_number_on(file: JournalFile) -> None:
    file.write([closed(1, "a"), opened(2, "b"), record(3, RELEASE, "b"), closed(4, "c")])
    assert file.ended(0, 2) == [closed(1, "a"), record(3, RELEASE, "b")]
    assert file.ended(1, 9) == [record(3, RELEASE, "b"), closed(4, "c")]
    assert (file.first_charge(0), file.first_charge(1), file.first_charge(4)) == (b"1 of a", b"1 of c", None)


def test_the_log_moves_into_the_file_when_asked_and_perhaps_gives_its_room_back(file: JournalFile, path: Path) -> None:
    assert file.log_bytes() > 0
    file.write([closed(number, str(number)) for number in range(1, 500)])
    size, log = path.stat().st_size, file.log_bytes()
    file.checkpoint()
    assert path.stat().st_size > size
    assert file.log_bytes() == log
    file.write([closed(500, "500")])
    assert file.log_bytes() == log, "it began anew"
    file.checkpoint(empty=True)
    assert file.log_bytes() == 0
    assert len(list(file.charges(0))) == 500


def test_a_log_that_somebody_reads_is_not_waited_for(file: JournalFile) -> None:
    file.write([closed(1, "a")])
    asked = file.charges(0)
    file.write([closed(2, "b")])
    file.checkpoint(empty=True)
    assert file.log_bytes() > 0
    assert list(asked) == [(1, b"1 of a")]
    file.checkpoint(empty=True)
    assert file.log_bytes() == 0


def test_its_size_is_what_the_records_take(file: JournalFile) -> None:
    empty = file.size_bytes()
    file.write([Record(number, CLOSE, "x", bytes(1000)) for number in range(1, 1001)])
    assert 1_000_000 < file.size_bytes() - empty < 1_500_000
    file.forget(1000, Mark())
    assert file.size_bytes() - empty < 20_000, "room that is free for new records is none that is taken"


def test_a_file_has_a_name_of_its_own_for_ever(file: JournalFile, path: Path, tmp_path: Path) -> None:
    again = JournalFile(path, power=False)
    assert again.instance == file.instance
    again.shut()
    other = JournalFile(tmp_path / "other.db", power=False)
    assert other.instance != file.instance
    other.shut()


@pytest.mark.parametrize(("power", "level"), [(False, 1), (True, 2)])
def test_what_a_commit_survives_is_what_was_asked_for(path: Path, power: bool, level: int) -> None:
    """SQLite's `synchronous`: 1 is NORMAL, 2 is FULL (https://www.sqlite.org/pragma.html#pragma_synchronous)."""
    file = JournalFile(path, power=power)
    file.write([opened(1, "a")])
    assert file._db.execute("PRAGMA synchronous").fetchone() == (level,)
    file.shut()


def test_a_file_of_the_first_version_is_read_and_gone_on_with(path: Path) -> None:
    with closing(connect(path)) as db:
        db.execute(
            "CREATE TABLE records (seq INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, id TEXT NOT NULL,"
            " body BLOB NOT NULL) STRICT"
        )
        db.executemany("INSERT INTO records (kind, id, body) VALUES (?, ?, ?)", [(0, "a", b"A"), (1, "b", b"B")])
    file = JournalFile(path, power=False)
    assert list(file.heads(file.mark())) == [(1, 0, "a"), (2, 1, "b")]
    file.write([closed(3, "a")])
    assert file.forget(3, Mark(3, 2)) == 2
    assert standing(path) == []
    file.shut()
