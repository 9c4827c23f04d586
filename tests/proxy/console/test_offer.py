"""What the console offers is what its description says, route by route."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web

from billing.balances import Balances
from billing.cashier import Cashier
from billing.journal import Journal
from billing.price_sources import price_book
from billing.registry import Directory
from billing.store import Store
from proxy.authorisation import Authorisation
from proxy.console.entrance import Entrance
from proxy.console.offer import PATHS, apis
from proxy.console.server import Routed
from proxy.metrics import Metrics
from proxy.settings import Settings

METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture
def parts(tmp_path: Path, settings: Callable[..., Settings]) -> list[Routed]:
    """The parts of a replica's API; none of them is asked anything."""

    def now() -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC)

    async def made() -> list[Routed]:
        store, journal, balances = Store(f"sqlite:///{tmp_path}/farebox.db"), Journal(tmp_path / "one"), Balances(zone)
        book = price_book()
        desk = Authorisation(
            settings("http://127.0.0.1:1"), Cashier(journal, book, balances), balances, book,
            Metrics(9, "0", book.version), lambda: 0.0,
        )  # fmt: skip
        try:
            parts = apis(store, journal, zone, now, book, desk, balances, Directory, {})
            return [*parts, Entrance(None, now)]
        finally:
            await store.close()
            journal.shut()

    zone = ZoneInfo("UTC")
    return asyncio.run(made())


def routed(parts: list[Routed]) -> list[tuple[str, str]]:
    return [(route.path, route.method) for part in parts for route in part.routes() if isinstance(route, web.RouteDef)]


def described() -> set[tuple[str, str]]:
    return {(path, method.upper()) for path, operations in PATHS.items() for method in operations if method in METHODS}


def test_every_route_is_described_and_every_described_one_is_there(parts: list[Routed]) -> None:
    assert described() == {*routed(parts)}


def test_no_two_parts_offer_the_same(parts: list[Routed]) -> None:
    assert [route for route, times in Counter(routed(parts)).items() if times > 1] == []
    owners = Counter(path for part in parts for path in {path for path, _ in routed([part])})
    assert [path for path, times in owners.items() if times > 1] == [], "one part's description would hide another's"


@pytest.mark.parametrize(
    "promised",
    ["spend", "charges", "keys", "budgets", "limits", "alerts", "quote", "charges/{id}", "finetune/estimate"],
)
def test_what_is_promised_is_offered(promised: str) -> None:
    assert f"/api/v1/{promised}" in PATHS


@pytest.mark.parametrize("path", PATHS)
def test_a_description_says_what_an_operation_does_and_names_the_parts_of_its_path(path: str) -> None:
    assert path.startswith("/api/v1/")
    assert {*PATHS[path]} <= METHODS | {"parameters"}
    for method, operation in PATHS[path].items():
        if method in METHODS:
            assert operation["summary"]
            assert operation["responses"]
            named = {
                parameter["name"]
                for parameter in [*PATHS[path].get("parameters", []), *operation.get("parameters", [])]
                if parameter["in"] == "path"
            }
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}, f"{method} {path}"
