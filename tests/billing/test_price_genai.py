"""genai-prices as a price list: exact names, verified days, long context, and nothing it does not say."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    StartDateConstraint,
    Tier,
    TieredPrices,
)

from billing.price_genai import genai_prices
from billing.prices import STANDARD, Price
from billing.rating import Rate, cost
from billing.usage import TOKEN_UNITS, Unit, Usage

LIST = genai_prices()
TODAY = date(2026, 10, 30)


def row(model: str, tier: str = STANDARD, day: date = TODAY) -> Price:
    price = LIST.find((model,), tier, day)
    assert price is not None
    return price


def per_million(usd: str) -> Rate:
    whole, _, fraction = usd.partition(".")
    return Rate(int(whole + fraction.ljust(12, "0")), 1_000_000)


def test_names_are_those_matched_exactly_and_never_a_prefix_of_one() -> None:
    names = {price.model for price in LIST.prices}
    assert {"gpt-5.1-codex-max", "gpt-6-sol", "gpt-5-chat-latest", "gpt-4.5-preview"} <= names
    # matched by genai-prices by prefix or part only
    assert not {"ft:gpt-3.5-turbo-", "ft:gpt-4-0", "gpt-4.5", "moderation", "computer-use-preview"} & names
    assert not [name for name in names if set(name) & set("^$\\*")]


def test_every_name_is_one_that_genai_prices_gives_to_the_same_model() -> None:
    openai = next(provider for provider in providers if provider.id == "openai")
    lost = {price.model for price in LIST.prices if openai.find_model(price.model) is None}
    # patterns of snapshots stand for the undated name, which genai-prices knows too
    assert lost == set()


def test_prices_change_on_the_days_given() -> None:
    day = date(2026, 8, 21)
    assert row("gpt-5.6-sol", day=day - timedelta(1)).rates[Unit.INPUT_TEXT] == per_million("5")
    assert row("gpt-5.6-sol", day=day).rates[Unit.INPUT_TEXT] == per_million("4")


@pytest.mark.parametrize(
    ("model", "tier", "verified"),
    [
        ("gpt-5", "flex", date(2026, 10, 12)),
        ("gpt-5", "priority", date(2026, 10, 12)),
        ("gpt-5", "batch", date(2026, 10, 14)),
    ],
)
def test_a_tier_begins_on_the_day_it_was_verified(model: str, tier: str, verified: date) -> None:
    assert LIST.find((model,), tier, verified - timedelta(1)) is None
    assert row(model, tier, verified).verified_on == verified


def test_a_long_call_has_the_long_rates() -> None:
    price = row("gpt-6-astra", "priority")
    short, long = Usage({Unit.INPUT_TEXT: 272_000}), Usage({Unit.INPUT_TEXT: 272_001})
    assert price.rates_for(short)[Unit.OUTPUT_TEXT] == per_million("100")
    assert price.rates_for(long)[Unit.OUTPUT_TEXT] == per_million("150")
    assert price.rates_for(long)[Unit.INPUT_CACHE_WRITE_30M] == per_million("50")
    assert Unit.INPUT_CACHE_WRITE_12H not in price.rates_for(long)


def test_a_tier_without_long_rates_leaves_long_calls_unpriced() -> None:
    assert row("gpt-5.5", "priority").rates_for(Usage({Unit.INPUT_TEXT: 300_000})) == {}


def test_a_tier_never_borrows_a_standard_token_rate() -> None:
    batch = row("gpt-4.1", "batch").rates
    assert batch[Unit.INPUT_CACHED_TEXT] == batch[Unit.INPUT_TEXT] == per_million("1")
    assert row("gpt-4.1").rates[Unit.INPUT_CACHED_TEXT] == per_million("0.5")
    assert batch[Unit.WEB_SEARCH_CALLS] == Rate(10 * 10**12, 1_000)


def test_a_tier_declared_to_have_no_discount_has_the_standard_rates() -> None:
    assert row("gpt-3.5-turbo-1106", "batch").rates == row("gpt-3.5-turbo-1106").rates


def test_units_other_than_text() -> None:
    rates = row("gpt-realtime").rates
    assert rates[Unit.INPUT_AUDIO] == per_million("32")
    assert rates[Unit.INPUT_CACHED_AUDIO] == per_million("0.4")
    assert rates[Unit.INPUT_CACHED_IMAGE] == per_million("0.5")
    assert cost(3_600, row("whisper-1").rates[Unit.AUDIO_SECONDS]) == 360_000_000_000
    assert row("tts-1").rates == {Unit.INPUT_CHARACTERS: per_million("15")}


def test_a_tier_older_than_a_price_change_changes_with_it() -> None:
    def since(month: int) -> StartDateConstraint:
        return StartDateConstraint(date(2026, month, 1))

    def usd(amount: str) -> ModelPrice:
        return ModelPrice(input_mtok=Decimal(amount), web_searches_kcount=Decimal(amount))

    model = ModelInfo(
        "m",
        ClauseEquals("m"),
        prices=[ConditionalPrice(prices=usd("8")), ConditionalPrice(since(6), prices=usd("4"))],
        price_variants=[
            PriceVariant({"processing": "batch"}, ModelPrice(input_mtok=Decimal(3)), since(3)),
            PriceVariant({"service_tier": "fast"}, usd("9"), since(3)),
            PriceVariant({"service_tier": "flex", "region": "x"}, usd("9"), since(3)),
        ],
    )
    dated = {
        (price.tier, price.effective_from): price.rates[Unit.WEB_SEARCH_CALLS].pico // 10**12
        for price in genai_prices([model]).prices
    }
    assert dated == {
        ("default", date.min): 8,
        ("default", date(2026, 6, 1)): 4,
        ("batch", date(2026, 3, 1)): 8,
        ("batch", date(2026, 6, 1)): 4,
    }


def test_what_does_not_map_is_left_out() -> None:
    def model(name: str, **prices: Decimal | TieredPrices) -> ModelInfo:
        return ModelInfo(name, ClauseEquals(name), prices=ModelPrice(**prices))

    one = Decimal(1)
    listed = genai_prices(
        [
            model("plain", input_mtok=one),
            model("free"),
            model("too-fine", input_mtok=Decimal("0.0000001")),
            model("two-steps", input_mtok=TieredPrices(one, [Tier(100, one), Tier(200, one)])),
            ModelInfo("prefix", ClauseStartsWith("prefix-"), prices=ModelPrice(input_mtok=one)),
            ModelInfo(
                "id",
                ClauseOr([ClauseRegex(r"^snap\.1-\d{4}-\d{2}-\d{2}$"), ClauseRegex(r"^loose-.*$")]),
                prices=ModelPrice(input_mtok=one),
            ),
            model("plain", input_mtok=Decimal(2)),
        ]
    )
    rates = {price.model: price.rates[Unit.INPUT_TEXT] for price in listed.prices}
    assert rates == {"plain": per_million("1"), "snap.1": per_million("1")}


def test_every_token_costs_whole_picodollars() -> None:
    assert [
        price.model
        for price in LIST.prices
        for unit, rate in {**price.rates, **(price.long_rates or {})}.items()
        if unit in TOKEN_UNITS and rate.pico % rate.per
    ] == []
