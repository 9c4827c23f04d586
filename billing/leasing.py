"""Leasing: a replica's side of the escrow. It keeps the lease, fetches what lacks, gives back what is not needed."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from billing.balances import Balances
from billing.escrow import Escrow, Member, NameTaken, Superseded
from billing.leases import LEASE_SECONDS
from billing.poster import TROUBLES

REFRESH_SECONDS = 1.0
"""How often a replica says how it stands; as often it learns how all others do."""

LISTEN_SECONDS = 0.25
"""How often it asks whether another replica waits for what it does not use."""

PAUSE_SECONDS = 0.02
"""Between two exchanges, however much calls want."""

PATIENCE_SECONDS = 5.0
"""An exchange that takes longer is given up; being numbered, it does no harm if it arrives."""

log = logging.getLogger("farebox.leasing")


class Leaser:
    """Keeps a replica's slices. `revision` tells which definitions are in force here, `seconds` is a clock that does
    not jump, `changed` is called after every exchange."""

    def __init__(
        self, escrow: Escrow, balances: Balances, member: Member, revision: Callable[[], int],
        seconds: Callable[[], float], changed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._escrow, self._balances, self._member = escrow, balances, member
        self._revision, self._seconds, self.changed = revision, seconds, changed
        self._number: int | None = None
        self._until = float("-inf")
        self._wanting = asyncio.Event()
        self.replicas = 1
        """How many replicas have a lease, this one among them."""
        self.working = asyncio.Lock()
        """Held while the database is at work."""
        balances.wanting = self._wanting.set

    @property
    def holds(self) -> bool:
        """Whether the lease lasts: without one, nothing may be admitted on a hard budget."""
        return self._seconds() < self._until

    async def step(self) -> None:
        """One exchange. Raises what the database raises, NameTaken, Superseded: then it may or may not have been made,
        and its reports are made again."""
        async with self.working:
            if self._number is None:
                self._number = await self._escrow.join(self._member)
            self._number += 1
            sent, reports = self._seconds(), self._balances.reports(self.replicas)
            try:
                reply = await self._escrow.exchange(self._member, self._number, self._revision(), reports)
            except BaseException as error:
                self._balances.unsaid(reports)
                if isinstance(error, Superseded):
                    self._number = None
                raise
            self._until = sent + LEASE_SECONDS
            self.replicas = reply.replicas
            self._balances.learn(reply.mine, reply.others)
        self.changed()

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Keep the lease, for ever. Ends by being cancelled."""
        away, due = False, self._seconds()
        while True:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    if self._wanting.is_set() or self._seconds() >= due or await self._wanted_elsewhere():
                        self._wanting.clear()
                        await self.step()
                        due = self._seconds() + REFRESH_SECONDS
                away = False
            except (*TROUBLES, TimeoutError, NameTaken, Superseded) as error:
                if not away:
                    log.warning("the lease on hard budgets cannot be renewed: %s", _said(error))
                away = True
                await sleep(LISTEN_SECONDS)
                continue
            await sleep(PAUSE_SECONDS)
            if not self._wanting.is_set():
                await self._until_wanting(min(LISTEN_SECONDS, max(due - self._seconds(), 0)))

    async def leave(self) -> None:
        """Give everything back: this replica ends, and all its charges are posted."""
        async with self.working:
            await self._escrow.leave(self._member)

    async def _wanted_elsewhere(self) -> bool:
        async with self.working:
            return self._number is not None and await self._escrow.wanted(self._member)

    async def _until_wanting(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanting.wait()


def _said(error: BaseException) -> str:
    if isinstance(error, NameTaken):
        return f"another replica is named {error}: FAREBOX_REPLICA names them apart"
    return str(error) or type(error).__name__
