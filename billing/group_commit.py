"""Group commit: what is appended in one turn of the event loop is written in one go, in the order it came.

Appending is at once and in memory. Whoever must not go on before it is written waits for `committed`. Where no loop
runs there is nobody to share with, and each record is written by itself. Knows nothing of what records say.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from billing.records import Record


class Unwritten(Exception):
    """What was appended could not be written."""


Writer = Callable[[Sequence[Record]], Callable[[], None]]
"""Says what is to be called to write records, all or none; it may be called in another thread. Given no records: to see
whether any could be written."""

Written = Callable[[Sequence[Record]], None]
"""Is told that records are written."""

Refused = Callable[[Sequence[Record], int, Exception], list[Record]]
"""Is told that records are not, the first so many of them not for the first time. Returns those that must be written
nevertheless, before anything else is."""


class _Batch:
    """Records that are written together, and who waits for that."""

    __slots__ = ("done", "error", "records", "waiting")

    def __init__(self, records: list[Record]) -> None:
        self.records = records
        self.waiting: list[asyncio.Future[None]] = []
        self.done = False
        self.error: Exception | None = None


class GroupCommit:
    """The commits of one journal, from one thread; with `apart` they are made in a thread of their own, one at a time,
    so that the loop does not wait for the disk."""

    def __init__(self, writer: Writer, written: Written, refused: Refused, *, apart: bool) -> None:
        self._writer, self._written, self._refused = writer, written, refused
        self._apart = ThreadPoolExecutor(1, "journal") if apart else None
        self._batch = _Batch([])
        self._flying: tuple[_Batch, Future[None]] | None = None
        self._due: asyncio.AbstractEventLoop | None = None
        self._paused = False
        self.late: list[Record] = []
        """What could not be written so far, and must be before anything else is."""

    def append(self, record: Record) -> None:
        """Write it when this turn of the loop ends. Raises Unwritten only where no loop runs."""
        self._batch.records.append(record)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if self._due is not loop:
            self._due = loop
            loop.call_soon(self._turn_ends)

    async def committed(self) -> None:
        """Wait until all that was appended before is written. Raises Unwritten."""
        if self._batch.records:
            batch = self._batch
        elif self._flying:
            batch = self._flying[0]
        elif self.late:
            raise Unwritten
        else:
            return
        await asyncio.sleep(0)  # a turn that ends was asked for before this one goes on
        if not batch.done:
            waiting = asyncio.get_running_loop().create_future()
            batch.waiting.append(waiting)
            await waiting
        if batch.error is not None:
            raise Unwritten from batch.error

    def flush(self) -> None:
        """Write all there is, now, and wait for the disk. Raises Unwritten."""
        if self._flying:
            self._flying[1].exception()  # waits
            self._land(going_on=False)
        if self._batch.records or self.late:
            batch = self._take()
            self._write(batch)
            if batch.error is not None:
                raise Unwritten from batch.error

    def retry(self) -> None:
        """See whether anything can be written again, what is late first. In a loop."""
        self._turn()

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """No commit is made inside; what is appended waits."""
        self._paused = True
        try:
            if self._flying:
                await asyncio.wait([asyncio.wrap_future(self._flying[1])])
            yield
        finally:
            self._paused = False
            if self._batch.records:
                self._turn()

    @property
    def uncommitted(self) -> list[Record]:
        """What is not written yet, or not known to be."""
        flying = self._flying[0].records if self._flying else self.late
        return [*flying, *self._batch.records]

    def end(self) -> None:
        """Write what there is, if it can be."""
        with contextlib.suppress(Unwritten):
            self.flush()
        if self._apart:
            self._apart.shutdown()

    def _turn_ends(self) -> None:
        self._due = None
        if self._batch.records:
            self._turn()

    def _turn(self) -> None:
        if self._paused or self._flying:
            return  # it is taken along when that is over
        batch = self._take()
        if self._apart is None:
            self._write(batch)
            return
        loop, future = asyncio.get_running_loop(), self._apart.submit(self._writer(batch.records))
        self._flying = batch, future
        future.add_done_callback(lambda _: _call(loop, self._land))

    def _take(self) -> _Batch:
        batch, self._batch = self._batch, _Batch([])
        if self.late:
            batch.records = [*self.late, *batch.records]
        return batch

    def _write(self, batch: _Batch) -> None:
        try:
            self._writer(batch.records)()
        except Exception as error:  # whatever it is, who waits must hear of it
            self._settle(batch, error)
        else:
            self._settle(batch, None)

    def _land(self, *, going_on: bool = True) -> None:
        """A commit in the thread may be over."""
        if self._flying and self._flying[1].done():
            (batch, future), self._flying = self._flying, None
            error = future.exception()
            assert error is None or isinstance(error, Exception)
            self._settle(batch, error)
            if going_on and self._batch.records:
                self._turn()

    def _settle(self, batch: _Batch, error: Exception | None) -> None:
        batch.done, batch.error = True, error
        if error is None:
            self.late = []
            self._written(batch.records)
        else:
            self.late = self._refused(batch.records, len(self.late), error)
        for waiting in batch.waiting:
            if not waiting.done():
                waiting.set_result(None)


def _call(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # it was closed meanwhile
        loop.call_soon_threadsafe(what)
