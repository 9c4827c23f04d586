"""The watch: sees what is to be told as it happens and raises it, once.

Budgets are looked at every second in memory, without a question to the database while nothing has changed. What the
request path sees (a gap, a refusal, a dead key) it only notes; the next tick makes alerts of it. What cannot be
raised because the database is away waits.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from billing.alert_log import AlertLog
from billing.alerts import (
    Alert,
    Kind,
    budget_refusing,
    budget_thresholds,
    crossed,
    leaking_when_dead,
    unmetered_route,
    unpriced_model,
)
from billing.budgets import Position, Shortage
from billing.cashier import UNMETERED
from billing.charges import Charge
from billing.keys import Key
from billing.notify import Routes, Told
from billing.registry import Directory
from billing.survey import Survey
from billing.windows import window

TICK_SECONDS = 1.0
SURVEY_SECONDS = 300.0
FIRST_SURVEY_SECONDS = 15.0

GAPS_CEILING = 50
"""Names of models and routes are the apps' to invent: further ones are told together, as `others`."""

OTHERS = "others"
RAISED = "raised"
BATCH = 500

log = logging.getLogger("farebox.alerts")


class Watch:
    """Raises alerts of one replica. `raised` is called when there is something to deliver; `told` as in `notify`, with
    the result `raised` and no channel. `working` is held while a survey asks the database."""

    def __init__(
        self,
        alert_log: AlertLog,
        survey: Survey,
        routes: Routes,
        zone: ZoneInfo,
        now: Callable[[], datetime],
        raised: Callable[[], None] = lambda: None,
        told: Told = lambda kind, channel, result: None,
    ) -> None:
        self._log, self._survey, self._routes = alert_log, survey, routes
        self._zone, self._now = zone, now
        self._raised, self._told = raised, told
        self._crossed: dict[tuple[str, int, datetime], int] = {}
        self._gaps: set[tuple[Kind, str]] = set()
        self._gaps_known: dict[Kind, set[str]] = {}
        self._shortages: dict[tuple[str, int, datetime], Shortage] = {}
        self._tries: dict[str, tuple[Key, int]] = {}
        self._tries_day: tuple[datetime, datetime] | None = None
        self._waiting: dict[str, Alert] = {}
        self._done: dict[str, datetime] = {}
        self._away = False
        self.working = asyncio.Lock()

    # What the request path notes

    def charged(self, charge: Charge) -> None:
        """Note a charge that no sum shows whole (a listener of the cashier)."""
        if charge.unpriced:
            self._gap(Kind.UNPRICED_MODEL, charge.model or "no model")
        if charge.outcome.reason == UNMETERED:
            self._gap(Kind.UNMETERED_ROUTE, f"{charge.call.method} {charge.call.path}")

    def refused(self, shortage: Shortage) -> None:
        """Note that a call was refused for want of money."""
        position = shortage.position
        if not shortage.only_holds:
            self._shortages.setdefault(_window_of(position), shortage)

    def dead_key_tried(self, key: Key) -> None:
        """Note that a revoked or expired key was tried."""
        _, tries = self._tries.get(key.id, (key, 0))
        self._tries[key.id] = (key, tries + 1)

    # What makes alerts of it

    async def run(self, positions: Callable[[], list[Position]], directory: Callable[[], Directory]) -> None:
        """Watch for ever: budgets every second, the ledger every few minutes. Ends by being cancelled."""
        await asyncio.gather(
            self._repeat(lambda: self.tick(positions()), TICK_SECONDS, TICK_SECONDS),
            self._repeat(lambda: self.look(positions(), directory()), SURVEY_SECONDS, FIRST_SURVEY_SECONDS),
        )

    async def tick(self, positions: Iterable[Position]) -> list[Alert]:
        """Raise what has happened since the last tick; the alerts that nobody had raised before."""
        now = self._now()
        crossings, reached = self._crossings(positions)
        raised = await self._raise([*crossings, *self._noted(now)])
        self._crossed = reached  # not before they are raised, or kept to be
        return raised

    async def look(self, positions: list[Position], directory: Directory) -> list[Alert]:
        """Survey the ledger and raise what it shows."""
        try:
            async with self.working:
                found = await self._survey.alerts(positions, directory)
        except (SQLAlchemyError, OSError) as error:
            log.warning("the ledger was not surveyed for alerts: %s", type(error).__name__)
            return []
        return await self._raise(found)

    def _crossings(self, positions: Iterable[Position]) -> tuple[list[Alert], dict[tuple[str, int, datetime], int]]:
        """Alerts of the budgets that have crossed more thresholds than before; how many each has now."""
        found: list[Alert] = []
        reached: dict[tuple[str, int, datetime], int] = {}
        for position in positions:
            if count := len(crossed(position)):
                place = _window_of(position)
                reached[place] = count
                if self._crossed.get(place) != count:
                    found += budget_thresholds(position, self._zone)
        return found, reached

    def _noted(self, now: datetime) -> list[Alert]:
        shortages, self._shortages = self._shortages, {}
        gaps, self._gaps = self._gaps, set()
        found = [alert for shortage in shortages.values() for alert in budget_refusing(shortage, self._zone)]
        found += [_GAP_ALERTS[kind](subject, now, self._zone) for kind, subject in sorted(gaps)]
        today = window("day", now, self._zone)
        if self._tries_day not in {today, None}:
            self._tries = {}
        self._tries_day = today
        return found + [
            alert for key, tries in self._tries.values() for alert in leaking_when_dead(key, tries, now, self._zone)
        ]

    def _gap(self, kind: Kind, subject: str) -> None:
        known = self._gaps_known.setdefault(kind, set())
        if subject not in known:
            if len(known) >= GAPS_CEILING:
                subject = OTHERS
            known.add(subject)
        self._gaps.add((kind, subject))

    async def _raise(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Raise what this replica has not raised yet, with what waits. What the database does not take waits on."""
        self._waiting |= {alert.id: alert for alert in alerts if alert.id not in self._done}
        found: list[Alert] = []
        try:
            while batch := list(self._waiting.values())[:BATCH]:
                found += await self._log.raise_alerts(batch, self._routes.names, self._now())
                for alert in batch:
                    self._done[alert.id] = alert.window_until
                    self._waiting.pop(alert.id, None)
            self._away = False
        except (SQLAlchemyError, OSError) as error:
            if not self._away:
                log.warning("%d alerts wait for the ledger's database: %s", len(self._waiting), type(error).__name__)
            self._away = True
        for alert in found:
            log.warning("alert: %s. %s", alert.title, alert.text)
            self._told(alert.kind.value, "", RAISED)
        if found:
            self._forget()
            self._raised()
        return found

    def _forget(self) -> None:
        now = self._now()
        self._done = {ident: until for ident, until in self._done.items() if until > now}

    async def _repeat(self, step: Callable[[], Awaitable[object]], seconds: float, first: float) -> None:
        await asyncio.sleep(first)
        while True:
            try:
                await step()
            except Exception:
                log.exception("a look for alerts failed")
            await asyncio.sleep(seconds)


_GAP_ALERTS: dict[Kind, Callable[[str, datetime, ZoneInfo], Alert]] = {
    Kind.UNPRICED_MODEL: unpriced_model,
    Kind.UNMETERED_ROUTE: unmetered_route,
}


def _window_of(position: Position) -> tuple[str, int, datetime]:
    return position.budget.name, position.budget.limit_pico, position.since
