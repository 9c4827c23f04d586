"""The journal: a replica's private, append-only record of its exchanges, on disk before anything leaves.

An exchange is one OPEN record and, once it has ended, one CLOSE (with its charge) or RELEASE. The poster moves
closed ones to the ledger's database and then forgets them here. It is a SQLite file in WAL mode: a record that
was written survives the death of the process at any instant, and a torn one is no record.
"""

import fcntl
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from billing.charges import Call, Charge
from billing.usage import Unit, Usage

OPEN, CLOSE, RELEASE = 0, 1, 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    id TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT
"""


class JournalLocked(Exception):
    """Another process keeps this journal: two replicas must not share a name."""


class JournalUnwritable(Exception):
    """The journal cannot take a record (a full or read-only disk)."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A batch of ended exchanges: their charges, and the sequence number up to which they reach."""

    charges: tuple[Charge, ...]
    through: int


class Journal:
    """The journal of one replica, in a folder of its own. Used from one thread."""

    def __init__(self, folder: Path) -> None:
        """Open or create it. Raises JournalLocked when another process has it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise JournalLocked(
                f"the journal {folder} is in use by another farebox; FAREBOX_REPLICA names it"
            ) from None
        self.instance = _instance(folder / "instance")
        """What tells this journal from another of the same replica's name."""
        self._file = folder / "journal.db"
        self._db = _connect(self._file)
        self._db.execute(_SCHEMA)
        self._read_through = 0
        self.written = 0
        """Records written in this process's life: what says that there is something to post."""
        self.problem: str | None = None
        """Why the last record could not be written; None while all is well."""

    def open(self, call: Call) -> None:
        """Record that a call is about to leave. Raises JournalUnwritable: then it must not."""
        self._append(OPEN, call.id, msgspec.json.encode(call))

    def close(self, charge: Charge) -> None:
        """Record how a call ended. Raises JournalUnwritable."""
        self._append(CLOSE, charge.call.id, encode(charge))

    def release(self, call_id: str) -> None:
        """Record that a call ended without a charge. Raises JournalUnwritable."""
        self._append(RELEASE, call_id, b"")

    def unfinished(self) -> list[Call]:
        """Calls that were opened and have not ended: after a start, those that the last life left in flight."""
        rows = self._db.execute(
            "SELECT body FROM records WHERE kind = 0 AND id NOT IN (SELECT id FROM records WHERE kind <> 0)"
            " ORDER BY seq"
        )
        calls = [msgspec.json.decode(body, type=Call) for (body,) in rows]
        return list({call.id: call for call in calls}.values())  # of a call that was opened anew, the last

    def closed(self, limit: int) -> Closed | None:
        """The oldest ended exchanges that are not posted yet, in order; None when there are none."""
        rows = self._db.execute(
            "SELECT seq, kind, body FROM records WHERE seq > ? AND kind <> ? ORDER BY seq LIMIT ?",
            (self._read_through, OPEN, limit),
        ).fetchall()
        if not rows:
            return None
        return Closed(tuple(decode(body) for _, kind, body in rows if kind == CLOSE), rows[-1][0])

    def waiting(self) -> Iterator[Charge]:
        """The charges that are not posted yet."""
        rows = self._db.execute(
            "SELECT body FROM records WHERE seq > ? AND kind = ? ORDER BY seq", (self._read_through, CLOSE)
        )
        return (decode(body) for (body,) in rows.fetchall())

    def find(self, call_id: str) -> Charge | None:
        """The charge of an ended exchange that has not been posted yet."""
        row = self._db.execute("SELECT body FROM records WHERE kind = ? AND id = ?", (CLOSE, call_id)).fetchone()
        return decode(row[0]) if row else None

    def telling_of(self, ident: str) -> list[Charge]:
        """The charges not posted yet whose records contain a name: candidates for who made the object of that id."""
        rows = self._db.execute(
            "SELECT body FROM records WHERE kind = ? AND instr(body, ?) ORDER BY seq",
            (CLOSE, msgspec.json.encode(ident)),
        )
        return [decode(body) for (body,) in rows.fetchall()]

    def forget(self, through: int) -> None:
        """The ended exchanges up to there are in the ledger: their records are no longer needed."""
        self._read_through = through
        self._db.execute(
            "DELETE FROM records WHERE seq <= ?1 AND id IN (SELECT id FROM records WHERE kind <> 0 AND seq <= ?1)",
            (through,),
        )

    def pending(self) -> int:
        """How many ended exchanges wait to be posted."""
        count: int = self._db.execute("SELECT count(*) FROM records WHERE kind <> 0").fetchone()[0]
        return count

    def oldest_pending(self) -> datetime | None:
        """When the oldest exchange that waits to be posted ended."""
        row = self._db.execute("SELECT body FROM records WHERE kind = ? ORDER BY seq LIMIT 1", (CLOSE,)).fetchone()
        return decode(row[0]).outcome.ended_at if row else None

    def shut(self) -> None:
        """Close the file and let the folder go."""
        self._db.close()
        self._lock.close()

    def _append(self, kind: int, call_id: str, body: bytes) -> None:
        try:
            self._db.execute("INSERT INTO records (kind, id, body) VALUES (?, ?, ?)", (kind, call_id, body))
        except sqlite3.Error as error:
            self.problem = str(error)
            raise JournalUnwritable(str(error)) from error
        self.problem = None
        self.written += 1

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file. Syncs the disk: call it from a thread, not from the loop."""
        db = _connect(self._file)
        try:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        finally:
            db.close()


def _instance(file: Path) -> str:
    """The name that is written down once for a journal, by chance."""
    if not file.exists() or not (known := file.read_text().strip()):
        known = secrets.token_hex(8)
        file.write_text(known)
    return known


def _connect(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    return db


def encode(charge: Charge) -> bytes:
    """A charge as JSON: what a CLOSE record holds."""
    return msgspec.json.encode(charge, enc_hook=_encode_usage)


def decode(body: bytes) -> Charge:
    """The charge in a CLOSE record."""
    return msgspec.json.decode(body, type=Charge, dec_hook=_decode_usage)


def _encode_usage(value: object) -> object:
    if isinstance(value, Usage):
        return dict(value)
    raise NotImplementedError(type(value).__name__)


def _decode_usage(kind: type[Any], value: Iterable[tuple[str, int]]) -> object:
    if kind is Usage:
        return Usage({Unit(unit): quantity for unit, quantity in dict(value).items()})
    raise NotImplementedError(kind.__name__)
