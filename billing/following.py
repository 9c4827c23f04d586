"""Following the registry: a replica learns what operators decided, and sums up what new budgets have spent."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from billing.attribution import Attribution
from billing.balances import Balances, Fold, counted
from billing.budgets import Budget
from billing.cashier import Cashier
from billing.charges import Call
from billing.escrow import Member
from billing.leases import NOTHING, Account, Slice, key
from billing.poster import Poster
from billing.registry import Directory
from billing.scopes import TAG, Index
from billing.store import Store

log = logging.getLogger("farebox.following")


class Follower:
    """Keeps a replica's directory and balances in step. `listeners` are told of every new directory.

    `memory` is the file where the last directory is kept, for a start while the database is away. `member` is this
    replica where it shares hard budgets with others: then its balances are of its own charges, and what others have
    spent is entered in the escrow.
    """

    def __init__(
        self, store: Store, cashier: Cashier, poster: Poster, balances: Balances, zone: ZoneInfo,
        now: Callable[[], datetime], memory: Path, member: Member | None = None,
    ) -> None:  # fmt: skip
        self._store, self._cashier, self._poster, self._member = store, cashier, poster, member
        self._balances, self._zone, self._now = balances, zone, now
        self._memory = memory
        self.directory = Directory()
        self.ready = False
        """Whether the registry has been read once: before that nobody's budgets are known."""
        self.listeners: list[Callable[[Directory], None]] = []
        self.working = asyncio.Lock()
        """Held while the database is at work."""

    async def step(self) -> None:
        """Put in force what has changed. Raises what the database raises; then all stays as it was."""
        async with self.working:
            await self._step()

    async def _step(self) -> None:
        changes = await self._store.registry.changes(self.directory.revision)
        if not changes and self.ready:
            return
        directory = self.directory.after(changes)
        budgets: list[Budget] = directory.all(Budget)
        new = [budget for budget in budgets if self._balances.needs_fold(budget)]
        async with self._poster.working:  # what is not posted now stays in the journal until the sums are in force
            if new:  # what was posted and is not forgotten yet would be counted twice
                await self._poster.drain_held()
            sums = await self._sums(new)
            self._balances.put(budgets, self._with_waiting(sums, budgets), directory.revision)
        self.directory, self.ready = directory, True
        for listener in self.listeners:
            listener(directory)
        await asyncio.to_thread(self._remember, directory)

    async def _sums(self, budgets: Sequence[Budget]) -> dict[str, list[Fold]]:
        """What the ledger says was spent on budgets; under leases, by this replica. What others spent is entered in the
        escrow first: a slice must not grow before that is known."""
        if self._member is None:
            return await folds(self._store, budgets, self._now(), self._zone)
        spenders = await spent_by_replicas(self._store, budgets, self._now(), self._zone)
        if spenders:
            await self._store.escrow.open(spenders, self._member)
        own: dict[str, list[Fold]] = {budget.name: [] for budget in budgets}
        for budget in budgets:
            for account, (until, spent) in spenders.items():
                if account.budget == key(budget):
                    mine = spent.get(self._member.name, NOTHING)
                    own[budget.name].append(Fold(account.since, until, mine.spent_pico, mine.unknown_pico))
        return own

    async def forget(self, replica: str) -> None:
        """Release what the slices of another replica hold back, all of whose charges are in the ledger."""
        async with self.working:
            await forget(self._store, replica, self.directory, self._now(), self._zone)

    def remembered(self) -> Directory | None:
        """The directory that was in force when this replica last knew; None when it never did."""
        try:
            return Directory.decoded(self._memory.read_bytes())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):  # a damaged file is none
            return None

    def _remember(self, directory: Directory) -> None:
        """Write the directory down. It holds no secret (keys are digests), and is for this user's eyes only."""
        beside = self._memory.with_suffix(".new")
        try:
            beside.touch(mode=0o600)
            beside.write_bytes(directory.encoded())
            beside.replace(self._memory)
        except OSError as error:
            log.warning("what operators decided is not written down for a start without the database: %s", error)

    def _with_waiting(self, sums: Mapping[str, Sequence[Fold]], budgets: Iterable[Budget]) -> dict[str, list[Fold]]:
        """The sums with the charges that are in the journal and not in the ledger yet."""
        index = Index([budget for budget in budgets if budget.name in sums])
        whole = {name: list(parts) for name, parts in sums.items()}
        for charge in self._cashier.waiting() if whole else ():
            for budget in index.covering(charge.call):
                whole[budget.name] = [
                    fold.plus(*counted(charge)) if fold.since <= charge.call.started_at < fold.until else fold
                    for fold in whole[budget.name]
                ]
        return whole


async def folds(store: Store, budgets: Sequence[Budget], now: datetime, zone: ZoneInfo) -> dict[str, list[Fold]]:
    """What the ledger says was spent on each budget, by name: in its current window, then in the one before.

    One question per window, however many budgets share it.
    """
    return {budget.name: [] for budget in budgets} | await spent_in(store, _windows(budgets, now, zone))


async def spent_by_replicas(
    store: Store, budgets: Sequence[Budget], now: datetime, zone: ZoneInfo
) -> dict[Account, tuple[datetime, dict[str, Slice]]]:
    """The same for each replica: by account, the end of its window and what the ledger says that each has spent."""
    by, found = _dimensions(budgets) | {"replica"}, dict[Account, tuple[datetime, dict[str, Slice]]]()
    for (since, until), sharing in _windows(budgets, now, zone).items():
        index, spenders = Index(sharing), {budget.name: dict[str, Slice]() for budget in sharing}
        for spent in await store.spent(by, since, until):
            replica, pico = spent.values["replica"], spent.spent_pico
            for budget in index.covering(_caller(spent.values)):
                known = spenders[budget.name].get(replica, NOTHING)
                spenders[budget.name][replica] = known + Slice(pico, pico, 0, spent.unknown_pico)
        found |= {Account(key(budget), since): (until, spenders[budget.name]) for budget in sharing}
    return found


async def forget(store: Store, replica: str, directory: Directory, now: datetime, zone: ZoneInfo) -> int:
    """Release what a replica's slices hold back: they become what the ledger says it spent. How many there were."""
    budgets: list[Budget] = directory.all(Budget)
    return await store.escrow.forget(replica, await spent_by_replicas(store, budgets, now, zone))


async def spent_in(
    store: Store, stretches: Mapping[tuple[datetime, datetime], Sequence[Budget]]
) -> dict[str, list[Fold]]:
    """What the ledger says was spent on budgets in stretches [since, until), by name, the latest first."""
    budgets = [budget for sharing in stretches.values() for budget in sharing]
    found: dict[str, list[Fold]] = {budget.name: [] for budget in budgets}
    by = _dimensions(budgets)
    for (since, until), sharing in stretches.items():
        sums = {budget.name: Fold(since, until) for budget in sharing}
        index = Index(sharing)
        for spent in await store.spent(by, since, until):
            for budget in index.covering(_caller(spent.values)):
                sums[budget.name] = sums[budget.name].plus(spent.spent_pico, spent.unknown_pico)
        for name, fold in sums.items():
            found[name].append(fold)
    return {name: sorted(parts, key=lambda fold: fold.since, reverse=True) for name, parts in found.items()}


def _dimensions(budgets: Iterable[Budget]) -> set[str]:
    """What the charges of budgets are told apart by."""
    return {"tags" if name.startswith(TAG) else name for budget in budgets for name in budget.scope.wanted}


def _windows(budgets: Iterable[Budget], now: datetime, zone: ZoneInfo) -> dict[tuple[datetime, datetime], list[Budget]]:
    """The current window of each budget and the one before, with the budgets that share it."""
    windows: dict[tuple[datetime, datetime], list[Budget]] = {}
    for budget in budgets:
        for window in _current_and_last(budget, now, zone):
            windows.setdefault(window, []).append(budget)
    return windows


def _current_and_last(budget: Budget, now: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """The window of now, and the one before it: a clock may be set back a little."""
    since, until = budget.window_at(now, zone)
    yield since, until
    if budget.window != "total":
        yield budget.window_at(since - timedelta(microseconds=1), zone)


def _caller(values: Mapping[str, object]) -> Call:
    """A call that stands for all calls of callers alike."""
    said = {name: value for name, value in values.items() if name in {"team", "key", "project", "user"}}
    tags = values.get("tags")
    return Call(
        id="",
        started_at=datetime.min.replace(tzinfo=UTC),
        operation="",
        method="",
        path="",
        attribution=Attribution(**said, tags=tags if isinstance(tags, dict) else {}),  # type: ignore[arg-type]
        replica="",
        requested_model=model if isinstance(model := values.get("model"), str) else None,
    )
