"""Steering: keeps a running replica to what operators decide, and to how many replicas there are."""

import asyncio
import contextlib
import logging
from datetime import timedelta
from itertools import count

from billing.balances import Balances
from billing.following import Follower
from billing.keys import Key, Name
from billing.leasing import Leaser
from billing.poster import TROUBLES
from billing.registry import Directory
from billing.store import Store
from proxy.admission import Proxy
from proxy.authorisation import Authorisation
from proxy.exchange import Clock
from proxy.identity import Keyring

FOLLOW_SECONDS = 0.25
"""How often a replica asks what operators have changed."""

PRESENCE_STEPS = 8
"""After so many of these it says that it is here."""

FIRST_READING_SECONDS = 5.0

log = logging.getLogger("farebox")


class Steering:
    """Puts directories in force on one replica, and lets stale holds go."""

    def __init__(
        self,
        replica: str,
        store: Store,
        follower: Follower,
        proxy: Proxy,
        desk: Authorisation,
        balances: Balances,
        clock: Clock,
        hold_seconds: float,
        leaser: Leaser | None = None,
    ) -> None:
        self._replica, self._store, self._follower = replica, store, follower
        self._proxy, self._desk, self._balances = proxy, desk, balances
        self._clock, self._hold_seconds = clock, hold_seconds
        self._leaser = leaser
        self.working = follower.working
        """Held while the database is at work."""
        follower.listeners.append(self._follow)

    @property
    def directory(self) -> Directory:
        """What is in force."""
        return self._follower.directory

    async def begin(self) -> None:
        """Know keys and budgets before the first call; where the database is away, those of the last life."""
        try:
            async with asyncio.timeout(FIRST_READING_SECONDS):
                await self._store.create()
                await self._follower.step()
                if self._leaser is not None:
                    await self._leaser.step()
        except (*TROUBLES, TimeoutError) as error:
            log.warning("keys and budgets cannot be read from the ledger's database: %s", error)
            if not self._follower.ready and (directory := self._follower.remembered()):
                self._follow(directory)

    async def run(self) -> None:
        """Put in force what changes, for ever. Ends by being cancelled."""
        away, replicas = False, 1
        for step in count():
            await asyncio.sleep(FOLLOW_SECONDS)
            try:
                await self._follower.step()
                if self._leaser is None and step % PRESENCE_STEPS == 0:
                    present = await self._present()
                    if present > max(replicas, 1):
                        log.warning(
                            "%d replicas share this ledger and each holds budgets by itself: limits hold for each, not "
                            "for all. Replicas need PostgreSQL", present,
                        )  # fmt: skip
                else:
                    present = self._leaser.replicas if self._leaser is not None else replicas
                if replicas != present:
                    replicas = present
                    self._desk.share(replicas)
                away = False
            except TROUBLES as error:
                if not away:
                    log.warning("changes of keys and budgets cannot be read: %s", error)
                away = True
            stale = self._clock.now() - timedelta(seconds=self._hold_seconds)
            if expired := self._balances.expire(stale):
                log.warning("%d holds expired, the first of call %s", len(expired), expired[0])
                self._desk.turnstile.freed()

    async def end(self) -> None:
        """Say that this replica has gone."""
        with contextlib.suppress(*TROUBLES):
            if self._leaser is not None:
                await self._leaser.leave()
            else:
                await self._store.registry.left(self._replica)

    async def _present(self) -> int:
        async with self.working:
            return await self._store.registry.present(self._replica, self._clock.now())

    def _follow(self, directory: Directory) -> None:
        """Put a directory in force."""
        self._proxy.keyring = Keyring.of(directory.all(Key), directory.all(Name))
        self._desk.follow(directory, balances_known=self._follower.ready)
