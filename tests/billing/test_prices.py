"""The price book: which row holds for a name, a tier and a day."""

from datetime import UTC, date, datetime

import pytest

from billing.prices import Price, PriceBook, PriceList, tier_name
from billing.rating import Rate
from billing.usage import Unit, Usage

NOON = datetime(2026, 10, 30, 12, tzinfo=UTC)
TEN = Usage({Unit.INPUT_TEXT: 10})


def price(model: str, pico: int, tier: str = "default", since: date = date.min) -> Price:
    return Price(model, tier, since, {Unit.INPUT_TEXT: Rate(pico)})


def book(*lists: PriceList) -> PriceBook:
    return PriceBook(lists, "2026-10-30.test")


@pytest.mark.parametrize(
    ("tier", "name"),
    [
        (None, "default"),
        ("", "default"),
        ("auto", "default"),
        ("standard", "default"),
        ("default", "default"),
        ("fast", "priority"),
        ("priority", "priority"),
        ("flex", "flex"),
        ("ultrafast", "ultrafast"),
        ("scale", "scale"),
    ],
)
def test_tiers_go_by_the_price_lists_names(tier: str | None, name: str) -> None:
    assert tier_name(tier) == name


def test_the_row_in_force_is_the_last_that_began() -> None:
    rows = PriceList("l", (price("m", 3, since=date(2026, 2, 1)), price("m", 1), price("m", 2, since=date(2026, 1, 1))))
    days = {date(2025, 12, 31): 1, date(2026, 1, 1): 2, date(2026, 1, 31): 2, date(2026, 2, 1): 3}
    for day, pico in days.items():
        found = rows.find(("m",), "default", day)
        assert found is not None
        assert found.rates[Unit.INPUT_TEXT].pico == pico


def test_the_most_exact_name_a_list_knows_decides_even_when_it_lacks_the_tier() -> None:
    lone = book(PriceList("l", (price("m", 1), price("m", 2, "batch"), price("m-2026-01-01", 9))))
    assert lone.rate(TEN, "m-2026-01-01", "default", NOON).cost_pico == 90
    assert lone.rate(TEN, "m-2026-01-02", "default", NOON).cost_pico == 10
    assert lone.find("m-2026-01-01", "batch", NOON) is None
    assert lone.find("m-2026-01-02", "batch", NOON) is not None


def test_a_list_without_a_row_in_force_leaves_the_answer_to_the_next() -> None:
    layered = book(
        PriceList("user", (price("m", 7, since=date(2026, 10, 30)),)),
        PriceList("ours", (price("m", 1), price("m", 2, "batch"))),
    )
    assert layered.rate(TEN, "m", None, datetime(2026, 10, 29, 23, 59, tzinfo=UTC)).cost_pico == 10
    assert layered.rate(TEN, "m", None, datetime(2026, 10, 30, tzinfo=UTC)).cost_pico == 70
    assert layered.rate(TEN, "m", "batch", NOON).cost_pico == 20


@pytest.mark.parametrize(
    ("asked", "cost"),
    [
        ("ft:m:acme::1", 50),
        ("ft:m-2026-01-01:acme:suffix:1:ckpt-step-3", 50),
        ("m.ft-1", 50),
        ("m:ft-acme-2023-01-02-03-04-05", 60),
        ("alias", 10),
        ("ft:other:acme::1", None),
        ("alias-2", None),
        ("mm", None),
    ],
)
def test_names_reach_the_row_that_was_written_for_them_and_no_other(asked: str, cost: int | None) -> None:
    rows = (price("m", 1), price("ft:m", 5), price("m:ft", 6), price("other", 8))
    rated = book(PriceList("l", rows, {"alias": "m"})).rate(TEN, asked, None, NOON)
    assert (rated.cost_pico if rated.price else None) == cost
    assert rated.unpriced == (Usage() if cost else TEN)


def test_long_rates_hold_for_the_whole_call_above_the_threshold_only() -> None:
    row = Price("m", "default", date.min, {Unit.INPUT_TEXT: Rate(1)}, {Unit.INPUT_TEXT: Rate(2)}, long_from=100)
    at_once = Usage({Unit.INPUT_TEXT: 60, Unit.INPUT_CACHED_TEXT: 40, Unit.OUTPUT_TEXT: 1_000})
    assert row.rates_for(at_once) == row.rates
    assert row.rates_for(at_once + Usage({Unit.INPUT_CACHE_WRITE_12H: 1})) == row.long_rates


def test_what_was_found_is_the_same_again_and_the_memory_is_bounded() -> None:
    lone = book(PriceList("l", (price("m", 1),)))
    first = lone.find("m", None, NOON)
    for number in range(5_000):
        assert lone.find(f"invented-{number}", None, NOON) is None
    assert lone.find("m", None, NOON) is first
    assert len(lone._found) < 5_000


def test_history_lists_every_row_with_its_list_in_order_of_authority() -> None:
    user = PriceList("user", (price("m", 7),))
    old, new, batch = price("m", 1), price("m", 2, since=date(2026, 1, 1)), price("m", 3, "batch")
    ours = PriceList("ours", (batch, new, old, price("other", 9)))
    assert book(user, ours).history("m-2026-01-01") == (
        ("user", user.prices[0]),
        ("ours", old),
        ("ours", new),
        ("ours", batch),
    )


@pytest.mark.parametrize(
    ("prices", "aliases", "reason"),
    [
        ((price("m", 1), price("m", 2)), {}, "two prices of m"),
        ((price("m", 1),), {"a": "n"}, "alias a = n"),
        ((price("m", 1), price("n", 1)), {"n": "m"}, "alias n = m"),
    ],
)
def test_a_list_that_contradicts_itself_is_refused(
    prices: tuple[Price, ...], aliases: dict[str, str], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        PriceList("l", prices, aliases)
