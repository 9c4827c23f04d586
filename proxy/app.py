"""The composition root: builds a replica from its settings, starts it, stops it. Only here do the parts meet."""

import asyncio
import contextlib
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import count

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from billing.balances import Balances
from billing.cashier import Cashier
from billing.databases import kind_of_url
from billing.escrow import Member
from billing.expectations import REMEMBERED_CHARGES, REMEMBERED_DAYS
from billing.following import Follower
from billing.journal import Journal, JournalUnwritable
from billing.journals import Adoption, claim
from billing.leasing import Leaser
from billing.owners import Owners
from billing.poster import TROUBLES, Poster
from billing.price_sources import price_book
from billing.registry import Directory
from billing.retention import Retention
from billing.store import Narrowing, Store
from billing.vocabularies import preload
from billing.windows import window
from proxy.admission import Proxy
from proxy.authorisation import Authorisation
from proxy.console import offer
from proxy.console.entrance import Entrance
from proxy.console.server import Console
from proxy.exchange import Clock, Surroundings
from proxy.followups import Followups
from proxy.isolation import Isolation
from proxy.lookout import Lookout
from proxy.metrics import COST_LABELS, TOKEN_LABELS, Metrics
from proxy.relay import AppServer
from proxy.settings import Address, Settings
from proxy.steering import Steering
from proxy.upstream import Upstream

SPEND_REFRESH_SECONDS = 5.0
SPEND_TIMEOUT_SECONDS = 3.0
LEDGER_RETRY_SECONDS = 1.0
CONNECTIONS_BACKLOG = 1024
DATABASE_PATIENCE_SECONDS = 5.0
POLL_SECONDS = 0.05
ADOPT_SECONDS = 30.0
RETENTION_SECONDS = 3600.0
REPLICAS_CEILING = 64
"""Replicas that share a port."""

log = logging.getLogger("farebox")


def system_clock() -> Clock:
    """The machine's clock, and ids that sort by time: `fbx_`, 12 hex digits of milliseconds, 16 of chance."""
    start, sequence = secrets.randbits(62), count()
    return Clock(
        now=lambda: datetime.now(UTC),
        seconds=time.monotonic,
        new_id=lambda: f"fbx_{time.time_ns() // 1_000_000:012x}{(start + next(sequence)) & 0xFFFFFFFFFFFFFFFF:016x}",
    )


class App:
    """One replica. `listening` and `console_listening` are the addresses in use once it has started."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """Read the prices and open the journal. Raises JournalLocked, ValueError for a bad price file."""
        self.settings = settings
        self._clock = clock or system_clock()
        self.book = price_book(settings.prices, settings.upstream_host)
        claimed = claim(
            settings.journal,
            settings.replica or _replica_name(settings.listen),
            REPLICAS_CEILING if settings.reuse_port else 0,
            lambda folder: Journal(folder, sync=settings.journal_sync, ceiling_bytes=settings.journal_bytes),
        )
        self.replica, self.journal = claimed.replica, claimed.journal
        self.store = Store(settings.database)
        shared = kind_of_url(settings.database).shared
        self.balances = Balances(settings.timezone, leased=shared)
        self.cashier = Cashier(self.journal, self.book, self.balances)
        self.metrics = Metrics(settings.label_values, version("farebox"), self.book.version)
        self._poster = Poster(self.journal, self.store)
        member = Member(self.replica, self.journal.instance) if shared else None
        leaser = self._leaser = (
            Leaser(self.store.escrow, self.balances, member, lambda: self.directory.revision, self._clock.seconds)
            if member
            else None
        )
        self.authorisation = Authorisation(
            settings, self.cashier, self.balances, self.book, self.metrics, self._clock.seconds,
            None if leaser is None else lambda: leaser.holds,
        )  # fmt: skip
        owners = Owners(self.journal, self.store)
        self.cashier.listeners.append(owners.charged)
        self.cashier.announced.append(owners.charged)
        upstream = Upstream(settings.upstream)
        followups = self.followups = Followups(self.cashier, upstream, settings.openai_api_key, self._clock.now)
        self.cashier.deferred.append(followups.wait_for)
        self._around = Surroundings(
            settings, self._clock, upstream, self.cashier, self.metrics, self.authorisation,
            Isolation(owners, on=settings.isolate, allowed_routes=settings.allow_routes), followups,
        )  # fmt: skip
        self._proxy = Proxy(self._around, self.replica)
        follower = Follower(
            self.store, self.cashier, self._poster, self.balances, settings.timezone, self._clock.now,
            self.journal.folder / "directory.json", member,
        )  # fmt: skip
        self._steering = Steering(
            self.replica, self.store, follower, self._proxy, self.authorisation, self.balances, self._clock,
            settings.hold_seconds, leaser,
        )  # fmt: skip
        self._adoption = Adoption(
            self.journal.folder, self.store, self.book, self._clock.now, follower.forget if shared else None,
            self.cashier.inherit,
        )  # fmt: skip
        self._retention = Retention(self.store, settings.retain_days, self._clock.now)
        self._lookout = Lookout(settings, self.store, self.metrics, self._clock.now)
        self.cashier.listeners.append(self._lookout.watch.charged)
        self.authorisation.refused.append(self._lookout.watch.refused)
        self._proxy.dead_key_tried = self._lookout.watch.dead_key_tried
        self.ledger_ready = False
        """Whether the ledger is there and the counters stand where it ends."""
        self._spend_at = float("-inf")
        if leaser is not None:
            leaser.changed = self.authorisation.turnstile.freed
        self._runners: list[web.BaseRunner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.listening = settings.listen
        self.console_listening = Address(settings.console.host, _further(settings.console.port, claimed.number))

    async def start(self) -> None:
        """Settle what an earlier life left open, then serve. Raises OSError when an address is taken."""
        self._booted_at = self._clock.now()
        if interrupted := self.cashier.settle_interrupted(self._booted_at):
            log.warning("%d calls were in flight when the last process ended; charged as unknown", interrupted)
        self.cashier.listeners.append(self.metrics.charged)
        await self._steering.begin()
        preload()  # now, since building an encoder would hold up the loop later
        server = AppServer(self._proxy.handle)
        apis = offer.apis(
            self.store, self.journal, self.settings.timezone, self._clock.now, self.book, self.authorisation,
            self.balances, lambda: self.directory, self._lookout.channels,
        )  # fmt: skip
        console = Console(
            apis,
            offer.PATHS,
            self.metrics,
            entrance=Entrance(self.settings.admin_token, self._clock.now),
            ready=self._problem,
            scrape=self._refresh,
        )
        self.listening = await self._listen(web.ServerRunner(server), self.settings.listen)
        self.console_listening = await self._listen(
            web.AppRunner(console.application(), access_log=None), self.console_listening
        )
        beside = (
            self._keep_ledger(),
            self.followups.run(),
            self._now_and_then(ADOPT_SECONDS, self._adoption.step, "what other replicas left stays in their journals"),
            self._now_and_then(RETENTION_SECONDS, self._retention.step, "old charges are not dropped"),
            self._steering.run(),
            self._lookout.run(lambda: self.balances.positions(self._clock.now()), lambda: self.directory),
        )
        self._tasks = [asyncio.create_task(task) for task in beside]
        if self._leaser is not None:
            self._tasks.append(asyncio.create_task(self._leaser.run()))

    async def stop(self) -> None:
        """Take no new calls, let open ones finish for a while, settle the rest, post, close."""
        self.stop_admitting()
        for runner in self._runners:
            for site in list(runner.sites):
                await site.stop()
        if not await self._until_idle(self.settings.shutdown_seconds):
            for exchange in list(self._around.open):
                exchange.give_up("shutdown")
            await self._until_idle(5.0)
        for runner in self._runners:
            await runner.cleanup()
        self._around.upstream.close()
        await self._end_tasks()
        try:
            await self._poster.drain()
        except TROUBLES as error:
            log.warning("charges stay in the journal until the next start: %s", error)
        await self._steering.end()
        await self.store.close()
        self.journal.shut()

    def stop_admitting(self) -> None:
        """Take no new calls; open ones go on. `/readyz` says so."""
        self._proxy.admitting = False

    @property
    def open_calls(self) -> int:
        """Calls under way."""
        return len(self._around.open)

    @property
    def draining(self) -> int:
        """Answers that are read on though their app has left."""
        return self._around.draining

    @property
    def directory(self) -> Directory:
        """What operators decided, as it is in force here."""
        return self._steering.directory

    # What runs beside the calls

    async def _keep_ledger(self) -> None:
        """Make the ledger ready, start the counters from it, then post for ever."""
        while not self.ledger_ready:
            try:
                async with self._poster.working:
                    await self.store.create()
                await self._poster.drain()
                async with self._poster.working:
                    await self._resume_counters()
                self.ledger_ready = True
            except TROUBLES as error:
                log.warning("the ledger's database is away, charges wait in the journal: %s", error)
                await asyncio.sleep(LEDGER_RETRY_SECONDS)
        await self._poster.run()

    async def _now_and_then(self, seconds: float, step: Callable[[], Awaitable[object]], undone: str) -> None:
        """What the ledger needs again and again, for ever."""
        while True:
            if self.ledger_ready:
                try:
                    await step()
                except (*TROUBLES, JournalUnwritable) as error:
                    log.warning("%s for now: %s", undone, error)
            await asyncio.sleep(seconds if self.ledger_ready else POLL_SECONDS)

    async def _resume_counters(self) -> None:
        earlier = Narrowing(until=self._booted_at, equal=(("replica", self.replica),))
        costs = [(total.group, total.cost_pico) for total in await self.store.totals(COST_LABELS, earlier)]
        tokens = await self.store.quantities(TOKEN_LABELS[:-1], earlier)
        since = self._booted_at - timedelta(days=REMEMBERED_DAYS)
        for row in await self.store.expected(since, REMEMBERED_CHARGES):
            self.authorisation.expectations.learn_row(row)
        self.metrics.resume(costs, tokens.items())

    async def _refresh(self) -> bool:
        """Bring the gauges up to date for a scrape; False while the counters are not ready."""
        now = self._clock.now()
        self.metrics.show_budgets(self.balances.positions(now))
        self.metrics.show_retiring(self._lookout.retiring)
        journal = self.journal
        self.metrics.show_journal(journal.pending(), journal.oldest_pending(), now, journal.aside, journal.size_bytes)
        if self.ledger_ready and self._clock.seconds() - self._spend_at > SPEND_REFRESH_SECONDS:
            try:
                async with asyncio.timeout(SPEND_TIMEOUT_SECONDS):
                    for name in ("day", "month"):
                        since, until = window(name, now, self.settings.timezone)
                        totals = await self.store.totals(("team", "base_model"), Narrowing(since, until))
                        self.metrics.show_spend(name, ((total.group, total.cost_pico) for total in totals))
                self._spend_at = self._clock.seconds()
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("spend gauges not refreshed: %s", error)
        return self.ledger_ready

    def _problem(self) -> str | None:
        """Why this replica cannot admit and record calls, or None."""
        if not self._proxy.admitting:
            return "shutting down"
        return f"the journal cannot be written: {self.journal.problem}" if self.journal.problem else None

    async def _end_tasks(self) -> None:
        """End what runs beside the calls, not in the middle of the database's work unless that never ends."""
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout(DATABASE_PATIENCE_SECONDS),
                self._steering.working,
                self._lookout.at_rest(),
                self._adoption.working,
                self._retention.working,
                self._leaser.working if self._leaser is not None else contextlib.nullcontext(),
                self._poster.working,
            ):
                for task in self._tasks:
                    task.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _until_idle(self, seconds: float) -> bool:
        until = self._clock.seconds() + seconds
        while self._around.open and self._clock.seconds() < until:
            await asyncio.sleep(POLL_SECONDS)
        return not self._around.open

    async def _listen(self, runner: web.BaseRunner, address: Address) -> Address:
        await runner.setup()
        self._runners.append(runner)
        shared = self.settings.reuse_port or None
        await web.TCPSite(runner, address.host, address.port, backlog=CONNECTIONS_BACKLOG, reuse_port=shared).start()
        return Address(address.host, runner.addresses[0][1])


@contextlib.asynccontextmanager
async def running(settings: Settings, clock: Clock | None = None, app: App | None = None) -> AsyncIterator[App]:
    """A replica that serves inside the block: this one, or a new one."""
    app = app or App(settings, clock)
    try:
        await app.start()
        yield app
    finally:
        await app.stop()


def _further(port: int, number: int) -> int:
    """A port of its own for each of several; any free port stays that."""
    return port and port + number


def _replica_name(listen: Address) -> str:
    return f"{socket.gethostname()}-{listen.port}"
