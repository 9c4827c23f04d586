"""The journal: a replica's private, append-only record of its exchanges, on disk before anything leaves.

An exchange is one OPEN record and, once it has ended, one CLOSE (with its charge) or RELEASE. The poster moves
closed ones to the ledger's database and then forgets them here. A record that was written survives the death of the
process at any instant, and a torn one is no record. Records are appended at once, in memory; those of one turn of the
event loop share one commit, and whoever must not go on before it waits for that.
"""

import asyncio
import contextlib
import fcntl
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from billing.charges import Call, Charge
from billing.group_commit import GroupCommit, Unwritten
from billing.journal_file import JournalFile, Mark
from billing.records import CLOSE, OPEN, RELEASE, UNREADABLE, Record, decode, decode_call, encode, encode_call, spelled
from billing.records import ended_at as end_of

CEILING_BYTES = 4 * 2**30
MARK_EVERY = 1000
"""Records between two marks: so many are read at a start."""

LOG_CEILING_BYTES = 64 * 2**20
"""A write-ahead log that is longer is emptied while commits wait, as it never begins anew under a steady load."""

_OVERHEAD_BYTES = 64
"""What a record takes beside its body, about."""

REASON_CEILING = 500

log = logging.getLogger("farebox.journal")


class JournalLocked(Exception):
    """Another process keeps this journal: two replicas must not share a name."""


class JournalUnwritable(Exception):
    """The journal cannot take a record: the disk is full or read-only, or its records have grown to their ceiling."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A batch of ended exchanges: their charges, the number up to which their records reach, and those of the charges'
    own records."""

    charges: tuple[Charge, ...]
    through: int
    numbers: tuple[int, ...]


class Journal:
    """The journal of one replica, in a folder of its own. Used from one thread, but for what says otherwise."""

    def __init__(self, folder: Path, *, sync: str = "process", ceiling_bytes: int = CEILING_BYTES) -> None:
        """Open or create it. Raises JournalLocked when another process has it.

        With `sync="power"` what is committed survives the loss of power, and not only the death of the process. When
        its records take `ceiling_bytes`, no further call is opened; the ends of open ones are still written.
        """
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
        self._on_disk = sync == "power"
        self._file = JournalFile(folder / "journal.db", power=self._on_disk)
        self._commits = GroupCommit(self._writer, self._on_it, self._refused, apart=self._on_disk)
        self._ceiling_bytes = ceiling_bytes
        self.instance = self._file.instance
        """A name for this very journal, made with its file."""
        self.written = 0
        """Records written in this process's life: what says that there is something to post."""
        self.problem: str | None = None
        """Why no call can be opened; None while all is well."""
        self.aside = 0
        """Records set aside in this process's life: they cannot be read, or the ledger's database refuses them."""
        self._is_full = False
        self._read_through = 0
        self._since_mark = 0
        self._take_stock()

    # Writing

    def open(self, call: Call) -> None:
        """Record that a call is about to leave, once `opened` says so; or that more is held for it. Raises
        JournalUnwritable: then it must not."""
        if self._is_full and call.id not in self._open:
            raise JournalUnwritable(self.problem)
        self._append(OPEN, call.id, encode_call(call))

    def close(self, charge: Charge) -> None:
        """Record how a call ended. Raises JournalUnwritable; what it could not write is written later."""
        self._append(CLOSE, charge.call.id, encode(charge))

    def release(self, call_id: str) -> None:
        """Record that a call ended without a charge. Raises JournalUnwritable; it is written later."""
        self._append(RELEASE, call_id, b"")

    async def opened(self, call_id: str) -> None:
        """Wait until the opening of a call is on disk. Raises JournalUnwritable: it is not, and will not be."""
        with contextlib.suppress(Unwritten):
            await self._commits.committed()
        if call_id not in self._open:
            raise JournalUnwritable(self.problem)

    async def committed(self) -> None:
        """Wait until all that was appended before is on disk. Raises JournalUnwritable."""
        try:
            await self._commits.committed()
        except Unwritten:
            raise JournalUnwritable(self.problem) from None

    def flush(self) -> None:
        """Commit what was appended, now, and wait for the disk. Raises JournalUnwritable."""
        try:
            self._commits.flush()
        except Unwritten:
            raise JournalUnwritable(self.problem) from None

    def retry(self) -> None:
        """If there is a problem with the disk, see whether it is still there. In a loop."""
        if self._commits.late or (self.problem and not self._is_full):
            self._commits.retry()

    def _append(self, kind: int, call_id: str, body: bytes) -> None:
        self._number += 1
        try:
            self._commits.append(Record(self._number, kind, call_id, body))
        except Unwritten:
            raise JournalUnwritable(self.problem) from None

    def _writer(self, records: Sequence[Record]) -> Callable[[], None]:
        """What writes records (see GroupCommit)."""
        return partial(self._file.write, records, self._mark() if self._since_mark >= MARK_EVERY else None)

    def _on_it(self, records: Sequence[Record]) -> None:
        """They are on disk (see GroupCommit)."""
        self.written += len(records)
        for number, kind, ident, body in records:
            self._stands(number, kind, ident)
            self.size_bytes += len(body) + _OVERHEAD_BYTES
        marked, self._since_mark = self._since_mark >= MARK_EVERY, self._since_mark + len(records)
        if marked:
            self._since_mark = 0
            self._measure()
        else:
            self._judge_size()
        if not self._is_full:
            self.problem = None

    def _refused(self, records: Sequence[Record], late: int, error: Exception) -> list[Record]:
        """The disk does not take them (see GroupCommit): calls that had not left never will, all else is kept."""
        self.problem = str(error)
        for record in records[late:]:
            if record.kind == CLOSE:
                log.critical("the journal cannot be written (%s); charge kept: %s", error, record.body.decode())
        return [record for record in records if record.kind == CLOSE or record.id in self._open]

    # Reading

    def unfinished(self) -> list[Call]:
        """Calls that were opened and have not ended: after a start, those that the last life left in flight."""
        calls: dict[str, Call] = {}
        for number, body in self._file.bodies(self._open_numbers()):
            try:
                call = decode_call(body)
            except UNREADABLE as error:
                self.set_aside(number, str(error))
            else:
                calls[call.id] = call  # of a call that was opened anew, the last
        return list(calls.values())

    def closed(self, limit: int) -> Closed | None:
        """The oldest ended exchanges that are not posted yet, in order; None when there are none. What cannot be read
        is set aside."""
        ended = self._file.ended(self._read_through, limit)
        if not ended:
            self._ended = 0
            return None
        read: dict[int, Charge] = {}
        for number, kind, _, body in ended:
            try:
                if kind == CLOSE:
                    read[number] = decode(body)
            except UNREADABLE as error:
                self.set_aside(number, str(error))
        return Closed(tuple(read.values()), ended[-1].seq, tuple(read))

    def waiting(self) -> Iterator[Charge]:
        """The charges that are not posted, as they are now; also those that could not be written or are set aside.
        They are read one by one while one goes through them, in any thread."""
        unsure = {record.seq: record.body for record in self._commits.uncommitted if record.kind == CLOSE}
        return self._waiting(self._file.charges(self._read_through), unsure)

    def _waiting(self, rows: Iterator[tuple[int, bytes]], unsure: dict[int, bytes]) -> Iterator[Charge]:
        for number, body in rows:
            unsure.pop(number, None)
            with contextlib.suppress(*UNREADABLE):
                yield decode(body)
        for body in unsure.values():
            yield decode(body)

    def find(self, call_id: str) -> Charge | None:
        """The charge of an ended exchange that has not been posted yet. In any thread; reads all there is."""
        for record in self._commits.uncommitted:
            if record.kind == CLOSE and record.id == call_id:
                return decode(record.body)
        with contextlib.suppress(*UNREADABLE):
            if body := self._file.charge(call_id):
                return decode(body)
        return None

    def telling_of(self, ident: str) -> list[Charge]:
        """The charges not posted yet whose records contain a name: candidates for who made the object of that id. In
        any thread; reads all there is."""
        return list(self._waiting(self._file.charges(self._read_through, spelled(ident)), {}))

    # Posting

    def forget(self, through: int) -> None:
        """The ended exchanges up to there are in the ledger: their records are no longer needed."""
        self._read_through = through
        self._forgotten(self._file.forget(through, self._mark()))

    async def posted(self, through: int) -> None:
        """The same, without the loop waiting for the disk."""
        self._read_through = through
        if self._on_disk:
            self._forgotten(await asyncio.to_thread(self._file.forget, through, self._mark()))
        else:
            self._forgotten(self._file.forget(through, self._mark()))

    def set_aside(self, number: int, reason: str) -> None:
        """Move a record out of the way, to be tried again at the next start. Raises sqlite3.Error."""
        if ident := self._file.set_aside(number, reason[:REASON_CEILING]):
            self.aside += 1
            self._ended -= ident not in self._open
            self._open.pop(ident, None)
            log.critical("record %d of the journal (call %s) is set aside: %s", number, ident, reason)

    def pending(self) -> int:
        """How many ended exchanges wait to be posted."""
        return self._ended + sum(record.kind != OPEN for record in self._commits.uncommitted)

    def oldest_pending(self) -> datetime | None:
        """When the oldest exchange that waits to be posted ended."""
        if (body := self._file.first_charge(self._read_through)) is None:
            return None
        try:
            return end_of(body)
        except UNREADABLE:
            return None

    @property
    def open_calls(self) -> int:
        """Calls that were opened and have not ended."""
        return len(self._open)

    # Upkeep

    async def checkpoint(self) -> None:
        """Move the write-ahead log into the file. The loop does not wait for the disk; but the log only begins anew
        when nothing was written meanwhile, so once it is long, commits do."""
        await asyncio.to_thread(self._file.checkpoint)
        if self._file.log_bytes() > LOG_CEILING_BYTES:
            async with self._commits.paused():
                await asyncio.to_thread(self._file.checkpoint, empty=True)

    def shut(self) -> None:
        """Write what is not written, close the file and let the folder go."""
        self._commits.end()
        self._file.shut()
        self._lock.close()

    def _take_stock(self) -> None:
        """What an earlier life left. What it had set aside is tried again: another version may understand it."""
        self._file.take_back()
        mark = self._file.mark()
        self._open: dict[str, tuple[int, ...]] = {}
        self._ended, self._committed = mark.pending, mark.through
        for number, kind, ident in self._file.heads(mark):
            self._stands(number, kind, ident)
        self._number = self._committed
        self._measure()

    def _stands(self, number: int, kind: int, ident: str) -> None:
        """A record that is on disk."""
        self._committed = max(number, self._committed)
        if kind == OPEN:
            self._open[ident] = (*self._open.get(ident, ()), number)
        else:
            self._open.pop(ident, None)
            self._ended += 1

    def _mark(self) -> Mark:
        return Mark(self._committed, self._ended, self._open_numbers())

    def _open_numbers(self) -> tuple[int, ...]:
        return tuple(number for numbers in self._open.values() for number in numbers)

    def _forgotten(self, ended: int) -> None:
        self._ended = max(0, self._ended - ended)
        self._measure()

    def _measure(self) -> None:
        self.size_bytes = self._file.size_bytes()
        """What the records take, about."""
        self._judge_size()

    def _judge_size(self) -> None:
        was, self._is_full = self._is_full, self.size_bytes >= self._ceiling_bytes
        if self._is_full:
            self.problem = (
                f"its records take {self.size_bytes:,} bytes, FAREBOX_JOURNAL_BYTES allows {self._ceiling_bytes:,}: "
                "the ledger's database has been away for long"
            )
        elif was:
            self.problem = None
