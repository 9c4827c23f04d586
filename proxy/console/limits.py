"""Rate limits in the JSON API: those in force on this replica, and PUT and DELETE."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from aiohttp import web

from billing.definitions import limit_from, limit_shown
from billing.limits import Limit
from billing.registry import Registry
from proxy.console.answers import json_answer
from proxy.console.defining import SCOPE_SCHEMA, Defining, openapi_paths


class LimitsApi:
    """`/api/v1/limits`. `in_force` tells the limits that this replica knows, with those of keys."""

    def __init__(
        self, registry: Registry, in_force: Callable[[], Iterable[Limit]], now: Callable[[], datetime]
    ) -> None:
        self._in_force = in_force
        self._defining = Defining(Limit, "limit", limit_from, limit_shown, registry, now)

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        return [web.get("/api/v1/limits", self.limits), *self._defining.routes()]

    async def limits(self, _request: web.Request) -> web.Response:
        """Every limit in force; those of keys are named `key/<name>`."""
        limits = sorted(self._in_force(), key=lambda limit: limit.name)
        return json_answer({"limits": [limit_shown(limit) for limit in limits]})


_COUNT = {"type": ["integer", "null"], "minimum": 1}

OPENAPI_PATHS: dict[str, Any] = openapi_paths(
    "limit",
    "Rate limits in force, with those that keys were created with",
    {
        "requests_per_minute": _COUNT,
        "tokens_per_minute": _COUNT,
        "concurrent_requests": _COUNT,
        "scope": SCOPE_SCHEMA,
    },
)
"""What the API offers, for its description."""
