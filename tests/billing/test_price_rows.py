from datetime import UTC, date, datetime

import pytest

from billing.price_rows import history, listed, per
from billing.price_tables import read_price_list
from billing.prices import PriceBook
from billing.rating import Rate

OWN = """
[[price]]
model = "house-model"
effective_from = 2026-01-01
promised_until = 2026-03-31
source = "our contract"
standard = { input = "2.5", cached = "0.25", output = "15" }
long = { input = "5", cached = "0.5", output = "22.5" }

[[price]]
model = "house-model"
effective_from = 2026-06-01
source = "our contract"
standard = { input = "2", cached = "0.2", output = "12" }
"""
BOOK = PriceBook((read_price_list("user", {"own.toml": OWN}),), "v1")


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def test_long_context_is_a_row_of_its_own() -> None:
    rows = listed(BOOK, "default", at("2026-02-01"))
    assert [(row["over"], row["input_per_1m"], row["output_per_1m"]) for row in rows] == [
        ("", "2.5", "15"),
        ("over 272,000 input tokens", "5", "22.5"),
    ]


@pytest.mark.parametrize(("day", "doubtful"), [("2026-03-31", False), ("2026-04-01", True), ("2026-06-01", False)])
def test_a_price_is_doubtful_from_the_day_after_its_promise(day: str, doubtful: bool) -> None:
    assert {row["unverified"] for row in listed(BOOK, "default", at(day))} == {doubtful}


@pytest.mark.parametrize(
    ("promised", "today", "doubtful"),
    [
        ("2026-03-31", "2026-03-01", set[str]()),
        ("2026-03-31", "2026-11-01", {"2026-01-01"}),
        ("2026-07-31", "2026-11-01", set[str]()),  # another row came before the promise ended
    ],
)
def test_a_history_doubts_each_row_as_of_its_own_last_day(promised: str, today: str, doubtful: set[str]) -> None:
    book = PriceBook((read_price_list("user", {"own.toml": OWN.replace("2026-03-31", promised)}),), "v1")
    rows = history(book, "house-model", date.fromisoformat(today))
    assert {row["since"] for row in rows} == {"2026-01-01", "2026-06-01"}
    assert {row["since"] for row in rows if row["unverified"]} == doubtful


@pytest.mark.parametrize(
    ("rate", "quantity", "usd"),
    [
        (None, 1000, None),
        (Rate(2_500_000_000_000, 1_000_000), 1000, "0.0025"),
        (Rate(1, 3), 1, "3.33333333333333e-13"),
    ],
)
def test_what_so_many_cost(rate: Rate | None, quantity: int, usd: str | None) -> None:
    assert per(rate, quantity) == usd
