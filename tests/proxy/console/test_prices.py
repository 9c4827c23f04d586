import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from billing.price_sources import price_book
from proxy.console.prices import PricesApi

NOW = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
OWN = """
[[price]]
model = "house-model"
effective_from = 2026-01-01
source = "https://example.com/contract"
verified_on = 2026-01-02
standard = { input = "2.5", output = "15" }
flex = "1/2"

[[price]]
model = "house-model"
effective_from = 2026-06-01
source = "a letter"
unverified = "heard on the phone"
standard = { input = "2", output = "12" }
"""


@pytest.fixture
def ask(tmp_path: Path) -> Any:
    """Status and body of an answer about the user's own prices and those that ship."""
    (tmp_path / "own.toml").write_text(OWN)
    api = PricesApi(price_book(tmp_path / "own.toml", "api.openai.com"), lambda: NOW)

    def asked(**query: str) -> tuple[int, Any]:
        async def scenario() -> tuple[int, Any]:
            application = web.Application()
            application.add_routes(api.routes())
            async with TestClient(TestServer(application)) as client:
                answer = await client.get("/api/v1/prices", params=query)
                return answer.status, await answer.json()

        return asyncio.run(scenario())

    return asked


def of(rows: list[dict[str, Any]], model: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["model"] == model]


@pytest.mark.parametrize(
    ("query", "input_usd", "doubt"),
    [
        ({}, "2", "heard on the phone"),
        ({"on": "2026-06-01"}, "2", "heard on the phone"),
        ({"on": "2026-05-31"}, "2.5", ""),
        ({"on": "2026-05-31", "tier": "flex"}, "1.25", ""),
        ({"on": "2026-05-31", "tier": "standard"}, "2.5", ""),  # as users call the default tier
    ],
)
def test_a_day_s_prices_and_where_they_were_read(ask: Any, query: dict[str, str], input_usd: str, doubt: str) -> None:
    status, said = ask(**query)
    (row,) = of(said["rows"], "house-model")
    assert (status, said["on"]) == (200, query.get("on", "2026-11-24"))
    assert (row["input_per_1m"], row["list"]) == (input_usd, "user")
    assert (row["unverified"], row["unverified_reason"]) == (bool(doubt), doubt)
    assert row["source"]


def test_before_its_first_day_a_model_has_no_price(ask: Any) -> None:
    assert of(ask(on="2025-12-31")[1]["rows"], "house-model") == []


def test_the_history_of_one(ask: Any) -> None:
    status, said = ask(model="house-model")
    told = [
        (row["tier"], row["since"], row["unit"], row["rate_usd"], row["per"])
        for row in said["rows"]
        if "cached" not in row["unit"]
    ]
    assert (status, said["model"], said["retires"]) == (200, "house-model", None)
    assert told[:4] == [
        ("default", "2026-01-01", "input_text_tokens", "2.5", 1_000_000),
        ("default", "2026-01-01", "output_text_tokens", "15", 1_000_000),
        ("default", "2026-06-01", "input_text_tokens", "2", 1_000_000),
        ("default", "2026-06-01", "output_text_tokens", "12", 1_000_000),
    ]


def test_the_end_of_a_model_is_told(ask: Any) -> None:
    assert ask(model="gpt-4.1")[1]["retires"] == "2027-01-14"
    assert {row["retires"] for row in of(ask()[1]["rows"], "gpt-4.1")} == {"2027-01-14"}


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({"on": "soon"}, 400, "on=soon: a date such as"),
        ({"tier": "gold"}, 400, "tier=gold: one of default, batch"),
        ({"model": "gpt-9-imaginary"}, 404, "there is no price for gpt-9-imaginary"),
    ],
)
def test_a_wrong_question_is_named(ask: Any, query: dict[str, str], status: int, says: str) -> None:
    told, said = ask(**query)
    assert told == status
    assert said["error"]["message"].startswith(says)
