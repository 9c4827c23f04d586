"""The poster moves ended exchanges from the journal to the ledger's database, in order and in batches.

Posting is idempotent and a record is forgotten only after its batch is committed, so a crash between the two
posts again and changes nothing. A database that is slow or away delays the ledger and nobody else.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from billing.journal import Journal
from billing.store import Store

BATCH = 200
"""Charges per transaction: large enough to be cheap, small enough not to hold up the event loop."""

INTERVAL_SECONDS = 0.1
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
CHECKPOINT_EVERY = 2000

TROUBLES = (SQLAlchemyError, sqlite3.Error, OSError, msgspec.MsgspecError)
"""What can stand between a charge and the ledger: the database, the journal's disk, a record of another version."""

log = logging.getLogger("farebox.poster")


class Poster:
    """Runs beside the proxy as one task. `sleep` is a parameter so that tests need not wait."""

    def __init__(
        self, journal: Journal, store: Store, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._journal = journal
        self._store = store
        self._sleep = sleep
        self._seen = -1
        self._since_checkpoint = 0
        self.working = asyncio.Lock()
        """Held while the database is at work: whoever holds it can end the task without breaking anything off."""

    async def run(self) -> None:
        """Post for ever; ends by being cancelled."""
        failures = 0
        while True:
            try:
                await self.drain()
                failures = 0
            except TROUBLES as error:
                wait = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                if failures == 0:
                    log.warning("nothing can be posted to the ledger, charges wait in the journal: %s", error)
                failures += 1
                await self._sleep(wait)
                continue
            await self._sleep(INTERVAL_SECONDS)

    async def drain(self) -> int:
        """Post everything that has ended; return how many charges. Raises what the database raises."""
        async with self.working:
            return await self.drain_held()

    async def drain_held(self) -> int:
        """The same for who holds `working` already, and wants nothing posted after that until it lets go."""
        if self._seen == self._journal.written:
            return 0
        seen, posted = self._journal.written, 0
        while closed := self._journal.closed(BATCH):
            if closed.charges:
                await self._store.post(closed.charges)
            self._journal.forget(closed.through)
            posted += len(closed.charges)
        self._seen = seen
        await self._checkpoint(posted)
        return posted

    async def _checkpoint(self, posted: int) -> None:
        self._since_checkpoint += posted
        if self._since_checkpoint >= CHECKPOINT_EVERY:
            self._since_checkpoint = 0
            await asyncio.to_thread(self._journal.checkpoint)
