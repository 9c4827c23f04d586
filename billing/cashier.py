"""The cashier: the one desk where exchanges are authorised, opened, settled and released, each exactly once.

Every decision here is synchronous: between it and its record there is no `await`. The record is in the journal at
once and on disk a moment later; what must not happen before that waits for `opened` or `recorded`.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from billing.balances import Balances
from billing.budgets import Shortage
from billing.charges import Basis, Call, Charge, Outcome, Pending, announcement, charge
from billing.journal import Journal, JournalUnwritable
from billing.prices import PriceBook

log = logging.getLogger("farebox.cashier")

INTERRUPTED = "interrupted"
"""Reason of a charge whose exchange was in flight when the process died."""

GAPS_TOLD_CEILING = 1000
"""Names are the apps' to invent: after so many different gaps the log has said enough, the metrics go on."""

LATER = "usage_later"
"""Reason of what is said of a call whose usage comes later."""

UNMETERED = "unmetered"
"""Reason of a charge for a route that no table knows."""


class Cashier:
    """Opens and ends exchanges. `listeners` are told of every charge as it is recorded, `freed` whenever a hold has
    gone; `announced` of what a call has made whose usage comes later, and `deferred` of that call, also after a
    start."""

    def __init__(self, journal: Journal, book: PriceBook, balances: Balances) -> None:
        self._journal = journal
        self._balances = balances
        self._told: set[str] = set()
        self.book = book
        self.listeners: list[Callable[[Charge], None]] = []
        self.freed: list[Callable[[], None]] = []
        self.announced: list[Callable[[Charge], None]] = []
        self.deferred: list[Callable[[Call], None]] = []

    def open(self, call: Call) -> Shortage | None:
        """Hold `call.held_pico` on the call's budgets and record it; it may leave when `opened` says so.

        Returns the budget that is short, if one is: then nothing was held, and it must not leave. Nor when this
        raises JournalUnwritable.
        """
        if shortage := self._balances.authorise(call):
            return shortage
        try:
            self._journal.open(call)
        except JournalUnwritable:
            self._let_go(call)
            raise
        return None

    async def opened(self, call: Call) -> None:
        """Wait until an opened call is on disk: then its first byte may leave. Raises JournalUnwritable: then it must
        not, and nothing is held for it any more."""
        try:
            await self._journal.opened(call.id)
        except JournalUnwritable:
            self._let_go(call)
            raise
        except BaseException:  # whoever waited has given up
            self.release(call)
            raise

    async def recorded(self) -> None:
        """Wait until what was recorded up to now is on disk; or known to be refused by it, and in memory."""
        with contextlib.suppress(JournalUnwritable):
            await self._journal.committed()

    def top_up(self, call: Call, more_pico: int) -> Call:
        """Hold more for an open call that spends more than was held for it; the call as it is held now."""
        topped = replace(call, held_pico=call.held_pico + more_pico)
        self._balances.top_up(call, more_pico)
        try:
            self._journal.open(topped)
        except JournalUnwritable as error:
            log.warning("the raised hold of %s is not written: %s", call.id, error)
        return topped

    def settle(self, call: Call, outcome: Outcome) -> Charge:
        """Price an ended exchange and record its charge. Never refuses: the money is already gone. With
        `outcome.pending` it stays open, and held, until it is settled again; what it has made is recorded at once.

        Should the journal be unwritable just now, the charge waits in memory and is in the log.
        """
        settled = charge(call, outcome, self.book)
        if outcome.pending is not None:
            self._defer(settled, outcome.pending)
            return settled
        with contextlib.suppress(JournalUnwritable):
            self._journal.close(settled)
        self._balances.settle(settled)
        self._tell_gap(settled)
        self._tell_freed()
        for listener in self.listeners:
            listener(settled)
        return settled

    def release(self, call: Call) -> None:
        """End an exchange that OpenAI did not bill: never reached, or refused."""
        with contextlib.suppress(JournalUnwritable):
            self._journal.release(call.id)
        self._let_go(call)

    def waiting(self) -> Iterator[Charge]:
        """The charges that are not in the ledger yet (see Journal.waiting)."""
        return self._journal.waiting()

    def settle_interrupted(self, now: datetime) -> int:
        """Settle what an earlier life left in flight, with cost unknown; return how many there were. Calls whose usage
        comes later are held on, and wait for it."""
        interrupted = 0
        for call in self._journal.unfinished():
            if call.pending is not None:
                self._wait_for(call)
            else:
                self.settle(call, Outcome(now, Basis.UNKNOWN, reason=INTERRUPTED))
                interrupted += 1
        return interrupted

    async def inherit(self, calls: Sequence[Call]) -> None:
        """Wait for the usage of calls in another's stead; they are in this journal when this returns. Raises
        JournalUnwritable."""
        for call in calls:
            self._journal.open(call)
            self._wait_for(call)
        await self._journal.committed()

    def _defer(self, answered: Charge, pending: Pending) -> None:
        call = replace(answered.call, pending=pending)
        told = announcement(answered)
        with contextlib.suppress(JournalUnwritable):
            if told.outcome.made:
                self._journal.close(told)
            self._journal.open(call)
        self._wait_for(call)
        for announced in self.announced:
            announced(told)

    def _wait_for(self, call: Call) -> None:
        self._balances.keep(call)
        for deferred in self.deferred:
            deferred(call)

    def _let_go(self, call: Call) -> None:
        self._balances.release(call.id)
        self._tell_freed()

    def _tell_freed(self) -> None:
        for freed in self.freed:
            freed()

    def _tell_gap(self, settled: Charge) -> None:
        """Say once, in the log, what cannot be priced or metered: money that no sum shows."""
        gap = _gap(settled)
        if gap is not None and gap not in self._told and len(self._told) < GAPS_TOLD_CEILING:
            self._told.add(gap)
            log.warning("%s", gap)


def _gap(settled: Charge) -> str | None:
    """What is missing for a charge to be exact, if it is a price or a meter."""
    if settled.unpriced:
        units = ", ".join(settled.unpriced)
        return f"no price for {units} of {settled.model} at tier {settled.service_tier}: recorded as unpriced"
    if settled.outcome.reason == UNMETERED:
        return f"no meter for {settled.call.method} {settled.call.path}: relayed, recorded with cost unknown"
    return None
