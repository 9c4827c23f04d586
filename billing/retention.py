"""What is dropped from the ledger with time: single charges, whose sums stay, and what replicas shared long ago."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from billing.store import Store

log = logging.getLogger("farebox")


class Retention:
    """Keeps the ledger short. `days` for which single charges are kept; 0 keeps them all."""

    def __init__(self, store: Store, days: int, now: Callable[[], datetime]) -> None:
        self._store, self._days, self._now = store, days, now
        self.working = asyncio.Lock()
        """Held while the database is at work."""

    async def step(self) -> None:
        """Drop what is old by now. Raises what the database raises: it is dropped later."""
        async with self.working:
            await self._store.escrow.prune()
            if self._days and (dropped := await self._store.drop(self._now() - timedelta(days=self._days))):
                log.info("single charges of more than %d days ago are dropped: %s", self._days, dropped)
