"""The lookout: what a replica watches for, and whom it tells. The parts of alerting, put together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from billing.budgets import Position
from billing.notify import Notifier
from billing.registry import Directory
from billing.store import Store
from billing.survey import Survey
from billing.watch import Watch
from proxy.channels import routes
from proxy.metrics import Metrics
from proxy.settings import Settings


class Lookout:
    """Alerts of one replica. `watch` takes notes from the request path. Raises SettingsError for a bad address."""

    def __init__(self, settings: Settings, store: Store, metrics: Metrics, now: Callable[[], datetime]) -> None:
        to, zone = routes(settings, now), settings.timezone
        self._metrics = metrics
        self._log = store.alerts
        self._survey = Survey(store, zone, now)
        self._notifier = Notifier(store.alerts, to, now, told=self._told)
        self.watch = Watch(store.alerts, self._survey, to, zone, now, self._notifier.nudge, self._told)
        self.channels = to.channels

    async def run(self, positions: Callable[[], list[Position]], directory: Callable[[], Directory]) -> None:
        """Watch and deliver for ever. Ends by being cancelled, best while it is `at_rest`."""
        await asyncio.gather(self.watch.run(positions, directory), self._notifier.run())

    @contextlib.asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """While the database is not at work here."""
        async with self.watch.working, self._log.working:
            yield

    @property
    def retiring(self) -> dict[str, datetime]:
        """When models that are in the traffic end."""
        return self._survey.retiring

    def _told(self, kind: str, channel: str, result: str) -> None:
        self._metrics.alerts.labels(kind, channel, result).inc()
