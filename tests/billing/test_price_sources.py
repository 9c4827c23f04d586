"""The price book as shipped: every model of the list, at its tiers and days, to the picodollar."""

import re
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import usd_from_pico
from billing.price_sources import own_prices, price_book, user_prices
from billing.prices import STANDARD, TIERS, Price, PriceBook
from billing.rating import cost, rate_usage
from billing.training_holds import training_price
from billing.usage import TOKEN_UNITS, Unit, Usage

BOOK = price_book()
OWN = own_prices()
CASES = tomllib.loads((Path(__file__).parents[1] / "tables/prices.toml").read_text(encoding="utf-8"))["cases"]
FINE_TUNING = tomllib.loads((Path(__file__).parents[1] / "tables/fine_tuning.toml").read_text(encoding="utf-8"))

WORDS = {
    "input": Unit.INPUT_TEXT,
    "cached": Unit.INPUT_CACHED_TEXT,
    "write 30m": Unit.INPUT_CACHE_WRITE_30M,
    "write 12h": Unit.INPUT_CACHE_WRITE_12H,
    "output": Unit.OUTPUT_TEXT,
    "audio input": Unit.INPUT_AUDIO,
    "cached audio": Unit.INPUT_CACHED_AUDIO,
    "audio output": Unit.OUTPUT_AUDIO,
    "image input": Unit.INPUT_IMAGE,
    "image output": Unit.OUTPUT_IMAGE,
    "audio seconds": Unit.AUDIO_SECONDS,
    "session seconds": Unit.SESSION_SECONDS,
    "characters": Unit.INPUT_CHARACTERS,
    "web searches": Unit.WEB_SEARCH_CALLS,
    "web preview searches": Unit.WEB_SEARCH_PREVIEW_CALLS,
    "file searches": Unit.FILE_SEARCH_CALLS,
    "images": Unit.IMAGES,
    "video seconds": Unit.VIDEO_SECONDS,
    "tokens": Unit.TRAINING_TOKENS,
    "seconds": Unit.TRAINING_SECONDS,
}
MAGNITUDES = {"k": 1_000, "M": 1_000_000}

# fmt: off
TEXT_AND_EMBEDDING_MODELS = [
    "gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-cyber",
    "gpt-6-rosalind", "gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-5.6-cyber", "gpt-5.5-cyber",
    "gpt-5.5", "gpt-5.5-pro", "gpt-5.4-pro", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano", "gpt-5.2",
    "gpt-5.2-pro", "gpt-5.1", "gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5-pro", "gpt-4.1",
    "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o", "gpt-4o-2024-05-13", "gpt-4o-mini", "o1", "o1-pro",
    "o3-pro", "o3", "o4-mini", "o3-mini", "gpt-4-turbo-2024-04-09", "gpt-4-0613", "gpt-3.5-turbo",
    "gpt-3.5-turbo-0125", "gpt-3.5-turbo-1106", "gpt-3.5-turbo-instruct", "davinci-002", "babbage-002",
    "chat-latest", "gpt-5.3-codex", "gpt-5-search-api", "text-embedding-3-small",
    "text-embedding-3-large", "text-embedding-ada-002",
]
# fmt: on


def usage(words: str) -> Usage:
    quantities = {}
    for part in words.split(", "):
        amount, unit = part.split(" ", 1)
        magnitude = MAGNITUDES.get(amount[-1])
        quantities[WORDS[unit]] = int(amount[:-1]) * magnitude if magnitude else int(amount)
    return Usage(quantities)


def noon(day: str | date) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC)


@pytest.mark.parametrize(("model", "tier", "day", "words", "expected"), CASES)
def test_a_call_costs_what_the_list_says(model: str, tier: str, day: str, words: str, expected: str) -> None:
    rated = BOOK.rate(usage(words), model, tier, noon(day))
    if expected == "unpriced":
        assert (rated.lines, rated.unpriced) == ((), usage(words))
    else:
        assert (usd_from_pico(rated.cost_pico), rated.unpriced) == (expected, Usage())


@pytest.mark.parametrize(("model", "tier", "day", "words", "expected"), FINE_TUNING["calls"])
def test_a_fine_tuned_model_costs_what_the_list_of_the_day_said(
    model: str, tier: str, day: str, words: str, expected: str
) -> None:
    test_a_call_costs_what_the_list_says(model, tier, day, words, expected)


@pytest.mark.parametrize(("model", "day", "words", "expected"), FINE_TUNING["training"])
def test_training_costs_what_the_list_of_the_day_said(model: str, day: str, words: str, expected: str) -> None:
    [(unit, quantity)] = usage(words).items()
    price = training_price(model, unit, BOOK, noon(day))
    assert (usd_from_pico(cost(quantity, price.rates[unit])) if price else "unpriced") == expected


@pytest.mark.parametrize("model", TEXT_AND_EMBEDDING_MODELS)
def test_every_listed_text_and_embedding_model_has_a_price_of_our_own(model: str) -> None:
    owned = dict.fromkeys(name for name, _ in BOOK.history(model))
    assert next(iter(owned)) == "farebox"


@pytest.mark.parametrize("price", OWN.prices, ids=lambda price: f"{price.model} {price.tier} {price.effective_from}")
def test_every_row_of_ours_names_its_source_and_has_whole_picodollars_a_token(price: Price) -> None:
    assert len(price.source) > 20
    assert price.tier in TIERS
    assert price.rates
    gratis = {Unit.OUTPUT_TEXT} if "no output" in price.note else set()
    for rates in (price.rates, price.long_rates or {}):
        assert [unit for unit, rate in rates.items() if unit in TOKEN_UNITS and rate.pico % rate.per] == []
        assert {unit for unit, rate in rates.items() if rate.pico <= 0} <= gratis


def test_derived_and_inferred_figures_say_so() -> None:
    def note(model: str, tier: str) -> str:
        price = BOOK.find(model, tier, noon("2026-10-30"))
        assert price is not None
        return price.note

    assert note("gpt-6-sol", "batch") == "1/2 × standard"
    assert note("gpt-6-sol", STANDARD) == ""
    assert note("gpt-4.1", "batch") == "no cached price listed: inferred, plain input rate"
    assert "open" in note("ft:gpt-4o-2024-08-06:acme::Ab1", "batch")


def test_tokens_written_to_a_cache_that_has_no_price_are_left_unpriced() -> None:
    rated = BOOK.rate(usage("100k input, 100k write 30m"), "gpt-5.5", "default", noon("2026-10-30"))
    assert (usd_from_pico(rated.cost_pico), rated.unpriced) == ("0.5", usage("100k write 30m"))


def test_what_training_costs_stands_in_the_standard_rows_of_fine_tuned_models_only() -> None:
    fees = {
        (price.model, price.tier): {u: r for u, r in price.rates.items() if u.startswith("training")}
        for price in OWN.prices
        if "ft:" in price.model
    }
    assert cost(1_000_000, fees["ft:gpt-4.1", STANDARD][Unit.TRAINING_TOKENS]) == 25 * 10**12
    assert cost(5_400, fees["ft:o4-mini", STANDARD][Unit.TRAINING_SECONDS]) == 150 * 10**12
    assert {tier for (_, tier), fee in fees.items() if fee} == {STANDARD}


def rated_rows() -> st.SearchStrategy[Price]:
    return st.sampled_from([price for book in BOOK.lists for price in book.prices])


token_usages = st.dictionaries(st.sampled_from(sorted(TOKEN_UNITS)), st.integers(0, 10**12)).map(Usage)


@given(rated_rows(), token_usages, token_usages)
def test_at_one_rate_the_whole_costs_what_its_parts_cost(price: Price, one: Usage, other: Usage) -> None:
    def total(part: Usage) -> int:
        return sum(line.cost_pico for line in rate_usage(part, price.rates)[0])

    assert total(one + other) == total(one) + total(other)


def test_genai_prices_fills_in_what_we_do_not_list_by_exact_name_or_snapshot() -> None:
    def found(model: str, tier: str | None = None, day: str = "2026-10-30") -> str | None:
        price = BOOK.find(model, tier, noon(day))
        return price.source.split()[0] if price else None

    assert found("gpt-5.1-codex-max") == "genai-prices"
    assert found("gpt-4.5-preview-2025-02-27") == "genai-prices"
    assert found("gpt-4.5-preview-turbo") is None
    assert found("gpt-5-nano-super") is None
    assert found("omni-moderation-latest") is None
    assert found("gpt-5.1-codex", "flex", "2026-10-11") is None
    assert found("gpt-5.1-codex", "flex", "2026-10-12") == "genai-prices"
    assert found("gpt-5.1-codex", "ultrafast") is None


def test_the_users_prices_stand_above_ours_from_their_day_on(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(
        """
        [[price]]
        model = "gpt-5.4"
        effective_from = 2026-10-01
        source = "our contract"
        standard = { input = "2", cached = "0.2", output = 12 }

        [[price]]
        model = "our-own-model"
        standard = { input = "1", output = "1" }

        [aliases]
        "our-alias" = "our-own-model"
        """,
        encoding="utf-8",
    )
    book = price_book(path)

    def usd(model: str, tier: str, day: str) -> str:
        rated = book.rate(usage("100k input, 100k output"), model, tier, noon(day))
        assert not rated.unpriced
        return usd_from_pico(rated.cost_pico)

    assert usd("gpt-5.4", STANDARD, "2026-09-30") == "1.75"
    assert usd("gpt-5.4", STANDARD, "2026-10-01") == "1.4"
    assert usd("gpt-5.4-2026-03-05", STANDARD, "2026-10-01") == "1.4"
    assert usd("gpt-5.4", "batch", "2026-10-01") == "0.875"
    assert usd("our-own-model", STANDARD, "2020-01-01") == "0.2"
    assert usd("our-alias", STANDARD, "2026-10-01") == "0.2"
    assert [name for name, price in book.history("gpt-5.4") if price.tier == STANDARD] == [
        "user",
        "farebox",
        "genai-prices",
    ]
    assert book.version != BOOK.version


def own(tmp_path: Path, text: str, host: str = "") -> PriceBook:
    path = tmp_path / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return price_book(path, host)


def pay(book: PriceBook, model: str, tier: str = STANDARD, day: str = "2026-10-30") -> str:
    """A call of 100k input and 100k output."""
    rated = book.rate(usage("100k input, 100k output"), model, tier, noon(day))
    assert not rated.unpriced
    return usd_from_pico(rated.cost_pico)


def test_a_contract_s_discount_is_off_the_lists_and_not_off_own_rates(tmp_path: Path) -> None:
    book = own(
        tmp_path,
        """
        discount = [
            { models = ["*"], percent = "10", effective_from = 2026-10-01, until = 2026-12-31 },
            { models = ["gpt-5.4", "gpt-4o*"], percent = "20", effective_from = 2026-10-01 },
        ]
        price = [{ model = "our-own-model", standard = { input = "1", output = "1" } }]
        """,
    )
    assert pay(book, "gpt-5.4", day="2026-09-30") == "1.75"
    assert pay(book, "gpt-5.4", day="2026-10-01") == pay(book, "gpt-5.4-2026-03-05") == "1.4"
    assert pay(book, "gpt-5.4", "batch") == "0.7"
    assert pay(book, "gpt-4o-mini") == "0.06"
    assert pay(book, "gpt-5.4-mini") == "0.4725"
    assert pay(book, "gpt-5.1-codex-max") == "1.0125"  # one that only genai-prices lists
    assert pay(book, "gpt-5.4-mini", day="2027-01-01") == "0.525"
    assert pay(book, "our-own-model") == "0.2"
    assert book.version != BOOK.version


def test_an_odd_percentage_is_exact_and_rounded_once_a_line(tmp_path: Path) -> None:
    book = own(tmp_path, 'discount = [{ models = ["gpt-5-nano"], percent = "100/3" }]')
    rated = book.rate(usage("1 input, 3 output"), "gpt-5-nano", None, noon("2026-10-30"))
    assert [line.cost_pico for line in rated.lines] == [33_333, 800_000]


@pytest.mark.parametrize(
    ("host", "model", "expected"),
    [
        ("", "gpt-5.4", "1.75"),
        ("api.openai.com", "gpt-5.4", "1.75"),
        ("eu.api.openai.com", "gpt-5.4", "1.925"),
        ("EU.API.OPENAI.COM", "gpt-5.4-2026-03-05", "1.925"),
        ("eu.api.openai.com.example.org", "gpt-5.4", "1.75"),
        ("eu.api.openai.com", "gpt-5.6", "2.64"),
        ("eu.api.openai.com", "gpt-4o", "1.25"),
        ("jp.api.openai.com", "gpt-6-luna", "0.066"),
        ("eu.api.openai.com", "gpt-5.6-cyber", "8.75"),
    ],
)
def test_regional_processing_is_chosen_by_the_upstream_s_host(host: str, model: str, expected: str) -> None:
    assert pay(price_book(None, host), model) == expected


def test_a_region_and_a_contract_multiply_and_a_region_may_be_the_user_s(tmp_path: Path) -> None:
    assert pay(own(tmp_path, 'discount = [{ models = "*", percent = 20 }]', "eu.api.openai.com"), "gpt-5.4") == "1.54"
    project = 'uplift = [{ hosts = ["api.openai.com"], models = ["gpt-5.4*"], times = "11/10" }]'
    assert pay(own(tmp_path, project, "api.openai.com"), "gpt-5.4") == "1.925"
    assert pay(own(tmp_path, project, "api.openai.com"), "gpt-5") == "1.125"
    other = 'uplift = [{ models = ["gpt-5.4"], times = "6/5" }]'
    assert pay(own(tmp_path, other, "eu.api.openai.com"), "gpt-5.4") == "2.1"


def test_a_book_s_version_tells_its_host_where_that_matters() -> None:
    assert price_book(None, "api.openai.com").version == BOOK.version
    assert price_book(None, "eu.api.openai.com").version == price_book(None, "us.api.openai.com").version
    assert price_book(None, "eu.api.openai.com").version != BOOK.version


def test_the_user_may_name_listed_models_otherwise(tmp_path: Path) -> None:
    names = '"our-deployment" = "gpt-5.4", "our-chat" = "gpt-5.6", "blue" = "daybreak-blue-latest"'
    aliases = f'aliases = {{ {names}, "codex" = "gpt-5.1-codex-max" }}'
    book = own(tmp_path, aliases)
    assert pay(book, "our-deployment") == pay(book, "gpt-5.4")
    assert pay(book, "our-chat") == pay(book, "gpt-5.6-sol")
    assert pay(book, "blue") == pay(book, "gpt-daybreak-blue-latest") == "2.4"
    assert pay(book, "codex") == pay(book, "gpt-5.1-codex-max")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('aliases = { "a" = "gpt-99" }', "alias a = gpt-99 names no model"),
        ('aliases = { "gpt-4o" = "gpt-4o-mini" }', "alias gpt-4o = gpt-4o-mini"),
        (
            'discount = [{ models = ["gpt-99"], percent = 5 }]',
            "the discount names gpt-99, which no price list has a row",
        ),
        ('discount = [{ models = ["gpt-5.6"], percent = 5 }]', "a row for; it is another name of gpt-5.6-sol"),
        ('discount = [{ models = ["gpt-5.4-2026-03-05"], percent = 5 }]', "it is another name of gpt-5.4"),
        ('uplift = [{ models = ["gpt-99"], times = 2 }]', "the uplift names gpt-99"),
        ('[[discount]]\nmodels = ["gpt-4o"]\npercent = 5.5', "line 1, discount 1: percent = 5.5 is not exact"),
    ],
)
def test_a_user_table_that_would_change_nothing_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"prices\.toml") as refusal:
        own(tmp_path, text)
    assert reason in str(refusal.value)


def test_what_the_facts_leave_open_is_marked() -> None:
    def doubt(model: str, tier: str = STANDARD, day: str = "2026-11-20") -> str:
        price = BOOK.find(model, tier, noon(day))
        assert price is not None
        return price.doubt_on(date.fromisoformat(day))

    assert doubt("gpt-5.6-sol") == doubt("gpt-5.6-sol", day="2026-11-21") == ""
    assert doubt("gpt-5.6-sol", day="2026-11-22") == "promised until 2026-11-21 only, not verified since"
    assert "typing error" in doubt("ft:gpt-4o-2024-08-06:acme::Ab1", "batch")
    assert doubt("ft:gpt-4o-2024-08-06:acme::Ab1") == ""
    rounded = [("gpt-5.4", "batch"), ("gpt-5.4", "flex"), ("o4-mini", "flex"), ("gpt-image-1.5", "batch")]
    rounded += [("gpt-image-1", "batch"), ("gpt-image-1-mini", "batch")]
    assert all("rounded" in doubt(model, tier) for model, tier in rounded)
    unlisted = ["gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o", "gpt-4o-mini", "o1", "o3", "o3-mini", "o4-mini"]
    assert all("no cached price" in doubt(model, "batch") and not doubt(model) for model in unlisted)
    assert all(doubt(f"gpt-4o{size}-transcribe") for size in ("", "-mini"))
    assert doubt("gpt-6-luna decisions")


def test_a_wrong_user_table_is_refused_by_file_and_row(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('[[price]]\nmodel = "m"\nstandard = { input = 2.5 }\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"prices\.toml, line 1, price 1 \(m\): input = 2\.5 is not exact"):
        user_prices(path)


def test_the_version_names_the_rows_and_does_not_change_between_runs(tmp_path: Path) -> None:
    assert price_book().version == BOOK.version
    day, digest = BOOK.version.split(".")
    assert date.fromisoformat(day) == max(p.verified_on for b in BOOK.lists for p in b.prices if p.verified_on)
    assert len(bytes.fromhex(digest)) == 4
    path = tmp_path / "prices.toml"
    tables = [
        'standard = { input = "1" }',
        'standard = { input = "2" }',
        'standard = { input = "2" }\nlong = { input = "3" }',
        'standard = { input = "2" }\nlong = { input = "4" }',
        'standard = { input = "2" }\nlong = { input = "4" }\nlong_from = 200000',
        'standard = { input = "2" }\neffective_from = 2026-01-01',
        'standard = { input = "2" }\n[aliases]\nn = "m"',
    ]
    versions = set()
    for table in tables:
        path.write_text(f'[[price]]\nmodel = "m"\n{table}\n', encoding="utf-8")
        versions.add(price_book(path).version)
    assert len(versions) == len(tables)


def test_the_history_of_a_model_goes_tier_by_tier_from_old_to_new() -> None:
    history = [price for name, price in BOOK.history("gpt-5.6") if name == "farebox"]
    standard = [price.effective_from for price in history if price.tier == STANDARD]
    assert standard == [date(2026, 7, 9), date(2026, 8, 5), date(2026, 8, 21)]
    assert list(dict.fromkeys(price.tier for price in history)) == ["default", "batch", "flex", "priority"]
    assert BOOK.history("gpt-5.6-solar") == ()


def test_the_readme_s_own_prices_are_understood(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(\[\[price\]\].*?)```", readme, re.DOTALL)
    book = own(tmp_path, example, "api.openai.com")
    assert pay(book, "gpt-4o", day="2026-12-01") == pay(book, "gpt-4o", day="2027-01-01") == "1.125"
    assert pay(book, "llama-3.3-70b") == "0.04"
    assert pay(book, "gpt-5", day="2027-01-01") == "1.06875"
    assert pay(book, "gpt-6-sol", day="2027-01-01") == "1.05"
    assert pay(book, "gpt-5.4") == pay(book, "our-deployment") == "1.925"
