"""The folder of journals: which of them is a replica's, and what becomes of those that nobody keeps any more."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from billing.balances import Balances
from billing.cashier import Cashier
from billing.charges import Call
from billing.journal import Journal, JournalLocked
from billing.poster import Poster
from billing.prices import PriceBook
from billing.store import Store

FILE = "journal.db"
REPLICA = "replica"

log = logging.getLogger("farebox.journals")


def folder_of(journals: Path, replica: str) -> Path:
    """Where a replica's journal is kept: its name, as far as a file system takes it."""
    return journals / re.sub(r"[^\w.-]", "_", replica)


def replica_of(folder: Path) -> str:
    """Whose journal a folder is."""
    try:
        return (folder / REPLICA).read_text().strip() or folder.name
    except OSError:
        return folder.name


@dataclass(frozen=True, slots=True)
class Claimed:
    """A replica's name, its number among those that share its address (0 where none do), and its journal."""

    replica: str
    number: int
    journal: Journal


def claim(journals: Path, replica: str, sharing: int, open_journal: Callable[[Path], Journal]) -> Claimed:
    """The journal of a replica; where up to so many are `sharing` an address, of the first number that nobody has.
    Raises JournalLocked."""
    names = [f"{replica}-{number}" for number in range(sharing)] or [replica]
    for number, name in enumerate(names):
        try:
            journal = open_journal(folder_of(journals, name))
        except JournalLocked:
            if name == names[-1]:
                raise
        else:
            (journal.folder / REPLICA).write_text(name)
            return Claimed(name, number, journal)
    raise AssertionError("there is at least one name")


class Adoption:
    """Settles and posts what other replicas have left in their journals, once nobody keeps those any more. `own` is the
    folder that is kept here; `adopted` is called with the replica's name before its journal is let go, where replicas
    share budgets. `inherit` takes over the calls whose usage comes later."""

    def __init__(
        self, own: Path, store: Store, book: PriceBook, now: Callable[[], datetime],
        adopted: Callable[[str], Awaitable[None]] | None = None,
        inherit: Callable[[Sequence[Call]], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        self._inherit = inherit
        self._own, self._store, self._book, self._now, self._adopted = own, store, book, now, adopted
        self._empty: dict[Path, int] = {}
        self.working = asyncio.Lock()
        """Held while the database is at work."""

    async def step(self) -> list[str]:
        """Adopt what there is; the replicas' names. Raises what the database raises: the rest is adopted later."""
        found = []
        for folder in list(self._orphans()):
            try:
                journal = Journal(folder)
            except JournalLocked:
                continue
            try:
                async with self.working:
                    if await self._adopt(journal):
                        found.append(replica_of(folder))
            finally:
                journal.shut()
            self._empty[folder] = _changed(folder)
        return found

    async def _adopt(self, journal: Journal) -> bool:
        """Whether there was anything in a journal."""
        waiting = journal.pending()
        if not (waiting or journal.open_calls):
            return False
        cashier = Cashier(journal, self._book, Balances(ZoneInfo("UTC")))
        interrupted = cashier.settle_interrupted(self._now())
        if self._inherit and (later := journal.unfinished()):
            await self._inherit(later)
            for call in later:  # after they are in the other journal: twice is harmless, never is not
                journal.release(call.id)
        await Poster(journal, self._store).drain()
        name = replica_of(journal.folder)
        if self._adopted:
            await self._adopted(name)
        log.warning(
            "the journal of %s, which has ended, was adopted: %d charges posted, %d calls that were in flight charged "
            "as unknown", name, waiting, interrupted,
        )  # fmt: skip
        return True

    def _orphans(self) -> Iterator[Path]:
        """Folders of journals in which something may be left."""
        journals = self._own.parent
        for folder in sorted(journals.iterdir()) if journals.is_dir() else ():
            if folder != self._own and (folder / FILE).is_file() and self._empty.get(folder) != _changed(folder):
                yield folder


def _changed(folder: Path) -> int:
    """When a journal was last written to."""
    return max((file.stat().st_mtime_ns for file in folder.glob(f"{FILE}*") if file.exists()), default=0)
