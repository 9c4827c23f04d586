"""Delivery of alerts: each channel by itself, retried for a day, and visibly failed after that.

What a channel is stands elsewhere; here it is a name and a way to send. The name goes into the database, logs and
metrics, so it may hold no secret. The state is in the log of alerts: a restart goes on where the last life ended.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from billing.alert_log import AlertLog, Claim, Result
from billing.alerts import Alert

SEND_SECONDS = 20.0
LEASE = timedelta(seconds=60)
"""Longer than an attempt can take."""

FIRST_RETRY = timedelta(seconds=5)
LAST_RETRY = timedelta(hours=1)
LOOK_SECONDS = 30.0
"""How often a channel looks for what another replica has left."""

RETRIED = "retried"

Told = Callable[[str, str, str], None]
"""Is told the kind of an alert, a channel, and `delivered`, `retried` or `failed`."""

log = logging.getLogger("farebox.alerts")


class Undelivered(Exception):
    """An attempt failed; the text says why and holds neither address nor secret."""


class Channel(Protocol):
    """Where alerts go."""

    @property
    def name(self) -> str:
        """The same on every replica that is configured alike; no secret."""

    async def send(self, alert: Alert) -> None:
        """Deliver, or raise Undelivered."""


@dataclass(frozen=True, slots=True)
class Routes:
    """Which alerts go where: `everyone` hears of all, a team's own channels of those that are about it."""

    everyone: Sequence[Channel] = ()
    teams: Mapping[str, Sequence[Channel]] = field(default_factory=dict)

    @property
    def channels(self) -> dict[str, Channel]:
        """Every channel once, by name."""
        return {it.name: it for group in (self.everyone, *self.teams.values()) for it in group}

    def names(self, alert: Alert) -> list[str]:
        """The channels that an alert goes through, each once."""
        own: Iterable[Channel] = self.teams.get(alert.team, ()) if alert.team is not None else ()
        return list(dict.fromkeys(it.name for it in (*self.everyone, *own)))


def pause_after(attempt: int) -> timedelta:
    """How long to wait after an attempt (from 1) that failed: doubled each time, up to an hour."""
    return min(FIRST_RETRY * (1 << min(attempt - 1, 20)), LAST_RETRY)


async def attempt(channel: Channel, alert: Alert, seconds: float = SEND_SECONDS) -> str | None:
    """Send once; None, or why it was not delivered."""
    try:
        async with asyncio.timeout(seconds):
            await channel.send(alert)
    except Undelivered as error:
        return str(error)
    except TimeoutError:
        return f"no answer within {seconds:g} seconds"
    except Exception as error:  # its text may quote the address
        return f"could not be sent: {type(error).__name__}"
    return None


async def tried(channels: Iterable[Channel], alert: Alert) -> dict[str, str | None]:
    """Send an alert through channels at the same time, once, past the log: by name None, or why not delivered."""
    chosen = list(channels)
    return dict(
        zip((it.name for it in chosen), await asyncio.gather(*(attempt(it, alert) for it in chosen)), strict=True)
    )


class Notifier:
    """Takes raised alerts from the log and delivers them. Clock and `sleep` are parameters: tests need not wait."""

    def __init__(
        self,
        alert_log: AlertLog,
        routes: Routes,
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        told: Told = lambda kind, channel, result: None,
    ) -> None:
        self._log = alert_log
        self._channels = routes.channels
        self._now = now
        self._sleep = sleep
        self._told = told
        self._news = {name: asyncio.Event() for name in self._channels}

    def nudge(self) -> None:
        """Something was raised: look now."""
        for event in self._news.values():
            event.set()

    async def run(self) -> None:
        """Deliver for ever, each channel by itself: a dead one holds up no other. Ends by being cancelled."""
        await asyncio.gather(*map(self._serve, self._channels))

    async def deliver(self, name: str) -> datetime | None:
        """Deliver all that is due on a channel, one after the other; when the next is due."""
        while claim := await self._log.claim(name, self._now(), LEASE):
            await self._settle(claim, await attempt(self._channels[name], claim.alert))
        await self._log.abandon(self._now())
        return await self._log.next_due(name)

    async def _serve(self, name: str) -> None:
        news = self._news[name]
        while True:
            news.clear()
            pause = LOOK_SECONDS
            try:
                due = await self.deliver(name)
                if due is not None:
                    pause = max(0.0, min(pause, (due - self._now()).total_seconds()))
            except (SQLAlchemyError, OSError) as error:
                log.warning("alerts wait: the ledger's database is away (%s)", type(error).__name__)
            await self._pause(news, pause)

    async def _pause(self, news: asyncio.Event, seconds: float) -> None:
        waits = [asyncio.ensure_future(news.wait()), asyncio.ensure_future(self._sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _settle(self, claim: Claim, error: str | None) -> None:
        now = self._now()
        next_at = now + pause_after(claim.attempt)
        if error is None:
            result, said = Result.DELIVERED, Result.DELIVERED.value
        elif now >= claim.give_up_at:
            result, said = Result.FAILED, Result.FAILED.value
            log.error("alert not delivered through %s, given up: %s (%s)", claim.channel, claim.alert.title, error)
        else:
            result, said, next_at = Result.PENDING, RETRIED, min(next_at, claim.give_up_at)
            if claim.attempt == 1:  # the log of alerts has the others
                log.warning("alert not delivered through %s, tried again: %s", claim.channel, error)
        await self._log.record(claim, result, now, error, next_at)
        self._told(claim.alert.kind.value, claim.channel, said)
