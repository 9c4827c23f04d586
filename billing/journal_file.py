"""A journal's file: SQLite in WAL mode. What is written here is there after the process has died at any instant.

Beside the records stand those set aside, and two facts: whose journal it is, and a mark, so that a start need not
read records by the million to know what is open. Everything here blocks; the journal decides where.
"""

import contextlib
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import msgspec

from billing.records import CLOSE, OPEN, RELEASE, Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    id TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS aside (
    seq INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    id TEXT NOT NULL,
    body BLOB NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
"""Records are numbered by their journal: SQLite's AUTOINCREMENT doubles what a commit writes."""

_ONE = "INSERT INTO records VALUES (?, ?, ?, ?)"
_TRIAL = Record(0, RELEASE, "", b"")
_FACT = "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


@dataclass(frozen=True, slots=True)
class Mark:
    """How a journal stood after record `through`: how many ended exchanges waited, and the numbers of the OPEN
    records of the calls that were under way."""

    through: int = 0
    pending: int = 0
    open: tuple[int, ...] = ()


class JournalFile:
    """One file. Any thread may call; writers take turns."""

    def __init__(self, path: Path, *, power: bool) -> None:
        """Open or create it. With `power` a commit is one on the disk itself, and survives the loss of power."""
        self._path = path
        self._turn = threading.Lock()
        self._db = connect(path)
        self._db.execute(f"PRAGMA synchronous = {'FULL' if power else 'NORMAL'}")
        self._db.executescript(_SCHEMA)
        self._reader = connect(path)
        found = self._db.execute("SELECT value FROM facts WHERE name = 'instance'").fetchone()
        self.instance: str = found[0] if found else secrets.token_hex(16)
        """A name for this very file, made with it."""
        if not found:
            self._db.execute(_FACT, ("instance", self.instance))

    # Writing. Everything here is one transaction and raises sqlite3.Error

    def write(self, records: Sequence[Record], mark: Mark | None = None) -> None:
        """Add records, all or none, and perhaps the mark of how it stood before them. Without records: see whether one
        could be added."""
        with self._turn:
            if len(records) == 1 and mark is None:  # without a transaction's words
                self._db.execute(_ONE, records[0])
                return
            with _transaction(self._db) as db:
                db.executemany(_ONE, records or [_TRIAL])
                if not records:
                    db.execute("DELETE FROM records WHERE seq = ?", (_TRIAL.seq,))
                if mark is not None:
                    db.execute(_FACT, _as_fact(mark))

    def forget(self, through: int, mark: Mark) -> int:
        """Delete the exchanges that had ended by then, and mark how it stands after that; how many there were. `mark`
        is how it stands with them."""
        with self._turn, _transaction(self._db) as db:
            db.execute(
                "DELETE FROM records WHERE seq <= ?1 AND kind = 0"
                " AND id IN (SELECT id FROM records WHERE kind <> 0 AND seq <= ?1)",
                (through,),
            )
            ended = db.execute("DELETE FROM records WHERE seq <= ? AND kind <> 0", (through,)).rowcount
            db.execute(_FACT, _as_fact(replace(mark, pending=max(0, mark.pending - ended))))
            return ended

    def set_aside(self, number: int, reason: str) -> str | None:
        """Move a record to where it is in nobody's way, and what came before it of the same call away, as it says all
        of that. Returns the call's id; None when it was not there."""
        with self._turn, _transaction(self._db) as db:
            row = db.execute("SELECT id FROM records WHERE seq = ?", (number,)).fetchone()
            if row is None:
                return None
            db.execute("INSERT INTO aside SELECT seq, kind, id, body, ? FROM records WHERE seq = ?", (reason, number))
            db.execute("DELETE FROM records WHERE id = ? AND seq <= ?", (row[0], number))
            return str(row[0])

    def take_back(self) -> None:
        """Put back what was set aside; and as the mark does not know of it, take that away."""
        with self._turn, _transaction(self._db) as db:
            if db.execute("INSERT INTO records SELECT seq, kind, id, body FROM aside").rowcount:
                db.execute("DELETE FROM aside")
                db.execute("DELETE FROM facts WHERE name = 'mark'")

    def checkpoint(self, *, empty: bool = False) -> None:
        """Move the write-ahead log into the file. Where nothing is written meanwhile it begins anew after that; with
        `empty` it waits for nobody and gives its room back. Syncs the disk."""
        with closing(connect(self._path)) as db:
            db.execute("PRAGMA busy_timeout = 0")
            db.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if empty else 'PASSIVE'})")

    # Reading

    def mark(self) -> Mark:
        """How it stood some time ago; from there on records tell."""
        return mark_of(self._reader)

    def heads(self, mark: Mark) -> Iterator[tuple[int, int, str]]:
        """Number, kind and id of the records that were open at a mark and of all since."""
        yield from self._reader.execute(
            "SELECT seq, kind, id FROM records WHERE seq IN (SELECT value FROM json_each(?)) AND seq <= ? ORDER BY seq",
            (_numbers(mark.open), mark.through),
        )
        yield from self._reader.execute("SELECT seq, kind, id FROM records WHERE seq > ? ORDER BY seq", (mark.through,))

    def bodies(self, numbers: Iterable[int]) -> list[tuple[int, bytes]]:
        """Number and body of records, by their numbers."""
        return self._reader.execute(
            "SELECT seq, body FROM records WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq",
            (_numbers(numbers),),
        ).fetchall()

    def ended(self, after: int, limit: int) -> list[Record]:
        """The ends of exchanges after a number, in order."""
        rows = self._reader.execute(
            "SELECT seq, kind, id, body FROM records WHERE seq > ? AND kind <> ? ORDER BY seq LIMIT ?",
            (after, OPEN, limit),
        )
        return [Record(*row) for row in rows.fetchall()]

    def first_charge(self, after: int) -> bytes | None:
        """The oldest charge after a number."""
        row = self._reader.execute(
            "SELECT body FROM records WHERE seq > ? AND kind = ? ORDER BY seq LIMIT 1", (after, CLOSE)
        ).fetchone()
        return row[0] if row else None

    def charges(self, after: int, containing: bytes = b"") -> Iterator[tuple[int, bytes]]:
        """Number and body of all charges after a number as they are now, and of those set aside; perhaps only of those
        that contain some bytes. They are read while they are gone through, beside whatever else happens."""
        db = connect(self._path)
        db.execute("BEGIN")  # one snapshot
        which, given = "kind = ? AND (?2 = x'' OR instr(body, ?2) > 0)", (CLOSE, containing)
        aside = db.execute(f"SELECT seq, body FROM aside WHERE {which} ORDER BY seq", given).fetchall()  # noqa: S608
        rest = db.execute(
            f"SELECT seq, body FROM records WHERE {which} AND seq > ?3 ORDER BY seq",  # noqa: S608 - no one's words
            (*given, after),
        )
        return _each(db, chain(aside, rest))

    def charge(self, ident: str) -> bytes | None:
        """The charge of one call, posted or not. Reads all there is."""
        with closing(connect(self._path)) as db:
            row = db.execute(
                "SELECT body FROM records WHERE kind = ?1 AND id = ?2"
                " UNION ALL SELECT body FROM aside WHERE kind = ?1 AND id = ?2",
                (CLOSE, ident),
            ).fetchone()
            return row[0] if row else None

    def last(self) -> int:
        """The number of the last record."""
        return int(_value(self._reader, "SELECT coalesce(max(seq), 0) FROM records"))

    def aside(self) -> int:
        """How many records are set aside."""
        return int(_value(self._reader, "SELECT count(*) FROM aside"))

    def size_bytes(self) -> int:
        """What its records take, without the room that is free for new ones."""
        pages = _value(self._reader, "PRAGMA page_count") - _value(self._reader, "PRAGMA freelist_count")
        return int(pages * _value(self._reader, "PRAGMA page_size"))

    def log_bytes(self) -> int:
        """What the write-ahead log takes beside it."""
        with contextlib.suppress(FileNotFoundError):
            return self._path.with_name(f"{self._path.name}-wal").stat().st_size
        return 0

    def shut(self) -> None:
        """Close it."""
        with self._turn:
            self._reader.close()
            self._db.close()


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode whose log is moved into the file only when asked."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    return db


def mark_of(db: sqlite3.Connection) -> Mark:
    """The mark in a journal's file; before there is one, that of an empty journal."""
    row = db.execute("SELECT value FROM facts WHERE name = 'mark'").fetchone()
    return msgspec.json.decode(row[0], type=Mark) if row else Mark()


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has rolled it back already
            db.execute("ROLLBACK")
        raise


def _each(db: sqlite3.Connection, rows: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    with closing(db):
        yield from rows


def _as_fact(mark: Mark) -> tuple[str, str]:
    return "mark", msgspec.json.encode(mark).decode()


def _numbers(numbers: Iterable[int]) -> str:
    return msgspec.json.encode(list(numbers)).decode()


def _value(db: sqlite3.Connection, statement: str) -> int:
    value: int = db.execute(statement).fetchone()[0]
    return value
