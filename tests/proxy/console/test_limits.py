"""`/api/v1/limits`: those in force on this replica, and that what is put goes to the registry."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from billing.definitions import Unfit, limit_from
from billing.limits import Limit
from billing.registry import Change
from billing.scopes import Scope
from billing.store import Store
from proxy.console.limits import OPENAPI_PATHS, LimitsApi

NOW = datetime(2026, 11, 23, 12, 34, tzinfo=UTC)


def asked(folder: Path, limits: list[Limit], *requests: tuple[str, str, Any]) -> tuple[list[Any], list[Change]]:
    """What the API answers, one request after the other, with its status; and the registry's log then."""

    async def scenario() -> tuple[list[Any], list[Change]]:
        store = Store(f"sqlite:///{folder}/farebox.db")
        await store.create()
        application = web.Application()
        application.add_routes(LimitsApi(store.registry, lambda: limits, lambda: NOW).routes())
        answers = []
        try:
            async with TestClient(TestServer(application)) as client:
                for method, path, body in requests:
                    async with client.request(method, f"/api/v1/{path}", json=body) as answer:
                        answers.append((answer.status, await answer.json()))
            return answers, await store.registry.changes()
        finally:
            await store.close()

    return asyncio.run(scenario())


def test_those_in_force(tmp_path: Path) -> None:
    limits = [Limit("key/app", Scope({"key": ("app",)}), 9), Limit("all", concurrent_requests=5)]
    answers, _ = asked(tmp_path, limits, ("GET", "limits", None))
    measures = dict.fromkeys(("requests_per_minute", "tokens_per_minute", "concurrent_requests"))
    assert answers == [
        (
            200,
            {
                "limits": [
                    {"name": "all", "scope": {}} | measures | {"concurrent_requests": 5},
                    {"name": "key/app", "scope": {"key": ["app"]}} | measures | {"requests_per_minute": 9},
                ]
            },
        )
    ]


def test_what_is_put_goes_to_the_registry(tmp_path: Path) -> None:
    said = {"tokens_per_minute": 1000, "requests_per_minute": None, "scope": {"tag:env": ["prod"]}}
    answers, log = asked(
        tmp_path,
        [],
        ("PUT", "limits/a", said),
        ("PUT", "limits/a", {"requests_per_minute": 0}),
        ("DELETE", "limits/a", None),
        ("DELETE", "limits/a", None),
    )
    shown = {"name": "a", "concurrent_requests": None} | said
    message = "requests_per_minute: a whole number from 1 on"
    assert answers == [
        (200, shown),
        (400, {"error": {"message": message}}),
        (200, {"deleted": "a"}),
        (404, {"error": {"message": "there is no limit a"}}),
    ]
    assert [change.definition for change in log] == [Limit("a", Scope({"tag:env": ("prod",)}), None, 1000), None]


def test_the_description_has_the_fields_that_are_read() -> None:
    body = OPENAPI_PATHS["/api/v1/limits/{name}"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    with pytest.raises(Unfit, match=f"there are {', '.join(body['properties'])}$"):
        limit_from("a", {"nothing": 1})
