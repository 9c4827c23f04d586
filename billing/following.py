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
from billing.poster import Poster
from billing.registry import Directory
from billing.scopes import TAG, Index
from billing.store import Store

log = logging.getLogger("farebox.following")


class Follower:
    """Keeps a replica's directory and balances in step. `listeners` are told of every new directory.

    `memory` is the file where the last directory is kept, for a start while the database is away.
    """

    def __init__(
        self, store: Store, cashier: Cashier, poster: Poster, balances: Balances, zone: ZoneInfo,
        now: Callable[[], datetime], memory: Path,
    ) -> None:  # fmt: skip
        self._store, self._cashier, self._poster = store, cashier, poster
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
            sums = await folds(self._store, new, self._now(), self._zone)
            self._balances.put(budgets, self._with_waiting(sums, budgets))
        self.directory, self.ready = directory, True
        for listener in self.listeners:
            listener(directory)
        await asyncio.to_thread(self._remember, directory)

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
    windows: dict[tuple[datetime, datetime], list[Budget]] = {}
    for budget in budgets:
        for window in _current_and_last(budget, now, zone):
            windows.setdefault(window, []).append(budget)
    return {budget.name: [] for budget in budgets} | await spent_in(store, windows)


async def spent_in(
    store: Store, stretches: Mapping[tuple[datetime, datetime], Sequence[Budget]]
) -> dict[str, list[Fold]]:
    """What the ledger says was spent on budgets in stretches [since, until), by name, the latest first."""
    budgets = [budget for sharing in stretches.values() for budget in sharing]
    found: dict[str, list[Fold]] = {budget.name: [] for budget in budgets}
    by = {"tags" if name.startswith(TAG) else name for budget in budgets for name in budget.scope.wanted}
    for (since, until), sharing in stretches.items():
        sums = {budget.name: Fold(since, until) for budget in sharing}
        index = Index(sharing)
        for spent in await store.spent(by, since, until):
            for budget in index.covering(_caller(spent.values)):
                sums[budget.name] = sums[budget.name].plus(spent.spent_pico, spent.unknown_pico)
        for name, fold in sums.items():
            found[name].append(fold)
    return {name: sorted(parts, key=lambda fold: fold.since, reverse=True) for name, parts in found.items()}


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
