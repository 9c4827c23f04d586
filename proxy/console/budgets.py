"""Budgets in the JSON API: where they stand on this replica, and PUT and DELETE."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from aiohttp import web

from billing.budgets import Budget, Position
from billing.definitions import MODES, budget_from, budget_shown, position_shown
from billing.registry import Registry
from billing.windows import BUDGET_WINDOWS
from proxy.console.answers import json_answer
from proxy.console.defining import SCOPE_SCHEMA, Defining, openapi_paths


class BudgetsApi:
    """`/api/v1/budgets`. `positions` tells where every budget in force stands now, from this replica's memory."""

    def __init__(
        self, registry: Registry, positions: Callable[[], Iterable[Position]], now: Callable[[], datetime]
    ) -> None:
        self._positions = positions
        self._defining = Defining(Budget, "budget", budget_from, budget_shown, registry, now)

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        return [web.get("/api/v1/budgets", self.budgets), *self._defining.routes()]

    async def budgets(self, _request: web.Request) -> web.Response:
        """Every budget in force with what is spent, held and left in its current window."""
        positions = sorted(self._positions(), key=lambda position: position.budget.name)
        return json_answer({"budgets": [position_shown(position) for position in positions]})


OPENAPI_PATHS: dict[str, Any] = openapi_paths(
    "budget",
    "Budgets with what is spent, held and left in their current window",
    {
        "limit_usd": {"type": ["string", "number"], "description": "in US dollars; up to 12 decimals are exact"},
        "window": {"enum": list(BUDGET_WINDOWS), "default": "month"},
        "scope": SCOPE_SCHEMA,
        "mode": {"enum": list(MODES), "default": "hard"},
        "alert": {"type": "array", "items": {"type": "integer"}, "description": "percents of the limit that are told"},
    },
)
"""What the API offers, for its description."""
