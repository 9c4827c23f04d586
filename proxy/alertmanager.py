"""Alerts to a Prometheus Alertmanager: its API v2 (`POST /api/v2/alerts`)."""

from collections.abc import Callable
from datetime import datetime, timedelta

import aiohttp
import msgspec

from billing.alerts import Alert
from billing.notify import Undelivered

STANDS_AT_MOST = timedelta(days=31)


class Alertmanager:
    """A channel. What an alert says stands there until its window ends: once is enough."""

    name = "alertmanager"

    def __init__(self, address: str, now: Callable[[], datetime]) -> None:
        self._url = f"{address}/api/v2/alerts"
        self._now = now

    async def send(self, alert: Alert) -> None:
        """Deliver, or raise Undelivered."""
        headers = {"Content-Type": "application/json"}
        body = msgspec.json.encode([posted(alert, self._now())])
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise Undelivered(f"answered {answer.status}")
        except (aiohttp.ClientError, OSError):
            raise Undelivered("cannot be reached") from None


def posted(alert: Alert, now: datetime) -> dict[str, object]:
    """An alert as Alertmanager words it: what tells it apart are labels, what is said of it annotations."""
    words = {"severity": alert.level.value, "subject": alert.subject, "mark": alert.mark, "team": alert.team or ""}
    name = "Farebox" + "".join(part.capitalize() for part in alert.kind.split("_"))
    return {
        "labels": {"alertname": name, **{label: value for label, value in words.items() if value}},
        "annotations": {"summary": alert.title, "description": alert.text},
        "startsAt": now.isoformat(),
        "endsAt": min(alert.window_until, now + STANDS_AT_MOST).isoformat(),
    }
