"""`/api/v1/budgets`: where budgets stand in this replica's memory, and that what is put goes to the registry."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from billing.budgets import Budget, Position
from billing.definitions import Unfit, budget_from
from billing.registry import Change
from billing.scopes import Scope
from billing.store import Store
from proxy.console.budgets import OPENAPI_PATHS, BudgetsApi

NOW = datetime(2026, 11, 23, 12, 34, tzinfo=UTC)
SEARCH = Scope({"team": ("search",)})


def position(budget: Budget, spent: int, held: int, unknown: int = 0) -> Position:
    return Position(budget, *budget.window_at(NOW, ZoneInfo("UTC")), spent, held, unknown)


def asked(folder: Path, positions: list[Position], *requests: tuple[str, str, Any]) -> tuple[list[Any], list[Change]]:
    """What the API answers, one request after the other, and the registry's log then."""

    async def scenario() -> tuple[list[Any], list[Change]]:
        store = Store(f"sqlite:///{folder}/farebox.db")
        await store.create()
        application = web.Application()
        application.add_routes(BudgetsApi(store.registry, lambda: positions, lambda: NOW).routes())
        answers = []
        try:
            async with TestClient(TestServer(application)) as client:
                for method, path, body in requests:
                    async with client.request(method, f"/api/v1/{path}", json=body) as answer:
                        assert answer.status == 200, await answer.text()
                        answers.append(await answer.json())
            return answers, await store.registry.changes()
        finally:
            await store.close()

    return asyncio.run(scenario())


def test_where_budgets_stand(tmp_path: Path) -> None:
    spent = position(Budget("search", 10**12, "day", SEARCH), 8 * 10**11, 3 * 10**11, unknown=10**11)
    total = position(Budget("all", 4 * 10**12, "total", hard=False), 10**12, 0)
    [answer], _ = asked(tmp_path, [spent, total], ("GET", "budgets", None))
    assert answer == {
        "budgets": [
            {
                "name": "all", "scope": {}, "window": "total", "mode": "soft", "limit_usd": "4", "alert": [50, 80, 100],
                "spent_usd": "1", "held_usd": "0", "left_usd": "3", "unknown_usd": "0", "percent": 25.0,
                "since": None, "until": None,
            },
            {
                "name": "search", "scope": {"team": ["search"]}, "window": "day", "mode": "hard", "limit_usd": "1",
                "alert": [50, 80, 100], "spent_usd": "0.8", "held_usd": "0.3", "left_usd": "-0.1",
                "unknown_usd": "0.1", "percent": 80.0,
                "since": "2026-11-23T00:00:00Z", "until": "2026-11-24T00:00:00Z",
            },
        ]
    }  # fmt: skip


def test_what_is_put_goes_to_the_registry(tmp_path: Path) -> None:
    said = {"limit_usd": "5", "scope": {"team": "search"}}
    [shown, deleted], log = asked(tmp_path, [], ("PUT", "budgets/a", said), ("DELETE", "budgets/a", None))
    assert (shown["name"], shown["limit_usd"], deleted) == ("a", "5", {"deleted": "a"})
    assert [change.definition for change in log] == [Budget("a", 5 * 10**12, scope=SEARCH), None]


def test_the_description_has_the_fields_that_are_read() -> None:
    body = OPENAPI_PATHS["/api/v1/budgets/{name}"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    with pytest.raises(Unfit, match=f"there are {', '.join(body['properties'])}$"):
        budget_from("a", {"nothing": 1})
