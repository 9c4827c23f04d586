"""The poster moves ended exchanges from the journal to the ledger's database, in order and in batches.

Posting is idempotent and a record is forgotten only after its batch is committed, so a crash between the two
posts again and changes nothing. A database that is slow or away delays the ledger and nobody else. A charge that it
will never take is found by halving its batch and set aside in the journal; all others go on.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from sqlalchemy.exc import SQLAlchemyError, StatementError

from billing.charges import Charge
from billing.journal import Journal, JournalUnwritable
from billing.store import Store

BATCH = 200
"""Charges per transaction: large enough to be cheap, small enough not to hold up the event loop."""

INTERVAL_SECONDS = 0.1
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
CHECKPOINT_EVERY = 4000
"""Records written between two checkpoints of the journal."""

TROUBLES = (SQLAlchemyError, sqlite3.Error, OSError, msgspec.MsgspecError)
"""What can stand between a charge and the ledger: the database, the journal's disk, a record of another version."""

_IMPOSSIBLE = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, msgspec.MsgspecError)
"""What Python raises where a charge cannot be put into the database's terms."""

_REFUSED_BY_SQLITE = frozenset({1299, 275, 3091, 20, 18})
"""NOTNULL, CHECK, DATATYPE, MISMATCH, TOOBIG (https://www.sqlite.org/rescode.html)."""

_REFUSED_BY_POSTGRESQL = ("22", "23502", "54000")
"""SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html): data exceptions, a null where none may
be, a limit of the program."""

log = logging.getLogger("farebox.poster")


def is_of_the_data(error: BaseException) -> bool:
    """Whether the same charges would be refused again, at any time: not an outage, a lock or a full disk."""
    if isinstance(error, StatementError) and error.orig is not None:
        cause = error.orig
        state = getattr(cause, "sqlstate", None) or ""
        return (
            state.startswith(_REFUSED_BY_POSTGRESQL)
            or getattr(cause, "sqlite_errorcode", None) in _REFUSED_BY_SQLITE
            or (not state and isinstance(cause.__cause__ or cause, _IMPOSSIBLE))
        )
    return isinstance(error, _IMPOSSIBLE)


def _said(error: Exception) -> str:
    """What the database itself said, without the statement."""
    return str(error.orig if isinstance(error, StatementError) and error.orig is not None else error)


class Poster:
    """Runs beside the proxy as one task. `sleep` is a parameter so that tests need not wait."""

    def __init__(
        self, journal: Journal, store: Store, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._journal = journal
        self._store = store
        self._sleep = sleep
        self._seen = -1
        self._checkpoint_at = CHECKPOINT_EVERY
        self.working = asyncio.Lock()
        """Held while the database is at work: whoever holds it can end the task without breaking anything off."""

    async def run(self) -> None:
        """Post for ever, and keep the journal in order; ends by being cancelled."""
        failures = 0
        while True:
            wait = INTERVAL_SECONDS
            try:
                await self.drain()
                failures = 0
            except Exception as error:  # whatever it is, what is in the journal must be posted one day
                if failures == 0:
                    log.warning("nothing can be posted to the ledger, charges wait in the journal: %s", error)
                wait = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
            await self._tend()
            await self._sleep(wait)

    async def drain(self) -> int:
        """Post everything that has ended; return how many charges. Raises what the database raises."""
        async with self.working:
            return await self.drain_held()

    async def drain_held(self) -> int:
        """The same for who holds `working` already, and wants nothing posted after that until it lets go."""
        with contextlib.suppress(JournalUnwritable):  # what it cannot write is not posted yet
            await self._journal.committed()
        if self._seen == self._journal.written:
            return 0
        seen, posted = self._journal.written, 0
        while closed := self._journal.closed(BATCH):
            await asyncio.sleep(0)  # reading and posting a batch each take a few milliseconds of the calls'
            if closed.charges:
                posted += await self._post(closed.charges, closed.numbers)
            await self._journal.posted(closed.through)
            await asyncio.sleep(0)
        self._seen = seen
        return posted

    async def _post(self, charges: Sequence[Charge], numbers: Sequence[int]) -> int:
        """Post charges whose records have these numbers, but for those that the database will never take."""
        try:
            await self._store.post(charges)
        except Exception as error:
            if not is_of_the_data(error):
                raise
            if len(charges) == 1:
                if await self._store.charge(charges[0].call.id) is None:  # which raises what it is if it is an outage
                    self._journal.set_aside(numbers[0], f"the ledger's database refuses it: {_said(error)}")
                return 0
        else:
            return len(charges)
        half = len(charges) // 2
        return await self._post(charges[:half], numbers[:half]) + await self._post(charges[half:], numbers[half:])

    async def _tend(self) -> None:
        """What the journal needs now and then, whether or not the database is there."""
        self._journal.retry()
        if self._journal.written >= self._checkpoint_at:
            self._checkpoint_at = self._journal.written + CHECKPOINT_EVERY
            with contextlib.suppress(sqlite3.Error):  # a full disk: next time
                await self._journal.checkpoint()
