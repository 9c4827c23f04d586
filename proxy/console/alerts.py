"""Alerts in the JSON API: what was raised and how each delivery stands, and the test button."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from billing.alert_log import AlertLog
from billing.alerts import trial
from billing.notify import Channel, tried
from proxy.console.answers import bad_request, json_answer

ALERTS_CEILING = 1000


class AlertsApi:
    """`/api/v1/alerts`."""

    def __init__(self, alert_log: AlertLog, channels: Mapping[str, Channel], now: Callable[[], datetime]) -> None:
        self._log = alert_log
        self._channels = channels
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        return [web.get("/api/v1/alerts", self.alerts), web.post("/api/v1/alerts/test", self.test)]

    async def alerts(self, request: web.Request) -> web.Response:
        """The newest alerts first, each with its deliveries; and the channels there are."""
        try:
            limit = int(request.query.get("limit", "100"))
        except ValueError:
            raise bad_request("limit: a whole number") from None
        found = await self._log.listed(max(1, min(limit, ALERTS_CEILING)))
        return json_answer({"alerts": found, "channels": sorted(self._channels)})

    async def test(self, _request: web.Request) -> web.Response:
        """Send a test alert through every channel, once; how each went."""
        return json_answer({"channels": outcomes(await tried(self._channels.values(), trial(self._now())))})


def outcomes(problems: Mapping[str, str | None]) -> list[dict[str, str | None]]:
    """How a test went, by channel."""
    return [
        {"channel": name, "result": "delivered" if problem is None else "failed", "error": problem}
        for name, problem in problems.items()
    ]


def _answer(text: str) -> dict[str, Any]:
    return {"200": {"description": text, "content": {"application/json": {"schema": {"type": "object"}}}}}


OPENAPI_PATHS: dict[str, Any] = {
    "/api/v1/alerts": {
        "get": {
            "summary": "Alerts with their deliveries, newest first",
            "parameters": [
                {
                    "name": "limit",
                    "in": "query",
                    "description": f"at most {ALERTS_CEILING}; 100 unless said",
                    "schema": {"type": "integer"},
                }
            ],
            "responses": _answer("alerts, and the channels they go through"),
        }
    },
    "/api/v1/alerts/test": {
        "post": {
            "summary": "Send a test alert through every channel",
            "responses": _answer("each channel with delivered or failed, and why"),
        }
    },
}
"""What the API offers, for its description."""
