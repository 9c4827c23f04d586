"""The TOML of price tables: what each spelling means, and what a wrong one is told."""

from datetime import date

import pytest

from billing.price_tables import read_price_list
from billing.prices import Price, PriceList
from billing.rating import Rate
from billing.usage import Unit, Usage

DAY = date(2026, 10, 30)
LONG_CALL = Usage({Unit.INPUT_TEXT: 272_001})


def table(text: str) -> PriceList:
    return read_price_list("test", {"prices.toml": text})


def only(text: str, tier: str = "default") -> Price:
    (price,) = (price for price in table(text).prices if price.tier == tier)
    return price


def usd(price: Price, unit: Unit, *, long: bool = False) -> float | None:
    rate = price.rates_for(LONG_CALL if long else Usage()).get(unit)
    return rate.pico / 10**12 if rate else None


FULL = """
[[price]]
model = "m"
effective_from = 2026-03-05
source = "the list"
verified_on = "2026-08-31"
note = "a doubt"
standard = { input = "2.5", cached = "0.25", write_30m = "3", output = 15 }
long = { input = "5", output = "22.5" }
batch = "1/2"
flex = { input = "1.25", output = "7.5" }
priority = { times = "5/2", long = false }
ultrafast = { input = "9", long = { input = "18" } }
"""


def test_a_row_carries_its_provenance() -> None:
    price = only(FULL)
    assert (price.effective_from, price.verified_on) == (date(2026, 3, 5), date(2026, 8, 31))
    assert (price.source, price.note) == ("the list", "a doubt")
    assert price.rates[Unit.OUTPUT_TEXT] == Rate(15 * 10**12, 1_000_000)


@pytest.mark.parametrize(
    ("tier", "unit", "short", "long"),
    [
        ("default", Unit.INPUT_TEXT, 2.5, 5),
        ("default", Unit.INPUT_CACHED_TEXT, 0.25, 5),
        ("default", Unit.INPUT_CACHE_WRITE_30M, 3, None),
        ("default", Unit.INPUT_CACHE_WRITE_12H, None, None),
        ("batch", Unit.INPUT_TEXT, 1.25, 2.5),
        ("batch", Unit.INPUT_CACHED_TEXT, 0.125, 2.5),
        ("flex", Unit.INPUT_CACHED_TEXT, 1.25, None),
        ("flex", Unit.OUTPUT_TEXT, 7.5, None),
        ("priority", Unit.INPUT_TEXT, 6.25, None),
        ("ultrafast", Unit.INPUT_TEXT, 9, 18),
        ("ultrafast", Unit.OUTPUT_TEXT, None, None),
    ],
)
def test_tiers_are_multiples_or_figures_of_their_own(
    tier: str, unit: Unit, short: float | None, long: float | None
) -> None:
    assert usd(only(FULL, tier), unit) == short
    assert usd(only(FULL, tier), unit, long=True) == long


def test_a_row_without_a_day_holds_from_the_beginning() -> None:
    price = only('price = [{ model = "m", standard = { input = "1" } }]')
    assert price.effective_from == date.min
    assert price.rates_for(LONG_CALL) == price.rates


def test_fees_per_call_are_in_every_tier_unless_the_row_says_otherwise() -> None:
    text = """
    tools = { web_search = "10" }
    [[price]]
    model = "plain"
    standard = { input = "1" }
    long = { input = "2" }
    batch = "1/2"
    [[price]]
    model = "none"
    tools = false
    standard = { input = "1" }
    [[price]]
    model = "other"
    tools = { file_search = "2.5" }
    standard = { input = "1" }
    """
    ten = Rate(10 * 10**12, 1_000)
    fees = {
        (price.model, price.tier): {u: r for u, r in price.rates_for(LONG_CALL).items() if u.endswith("calls")}
        for price in table(text).prices
    }
    assert fees == {
        ("plain", "default"): {Unit.WEB_SEARCH_CALLS: ten},
        ("plain", "batch"): {Unit.WEB_SEARCH_CALLS: ten},
        ("none", "default"): {},
        ("other", "default"): {Unit.FILE_SEARCH_CALLS: Rate(2_500_000_000_000, 1_000)},
    }


def test_a_training_fee_has_no_tiers() -> None:
    text = 'price = [{ model = "ft:m", standard = { input = "1", training = "25" }, batch = "1/2" }]'
    assert usd(only(text), Unit.TRAINING_TOKENS) == 25
    assert usd(only(text, "batch"), Unit.TRAINING_TOKENS) is None


def test_a_source_is_named_once_for_many_rows() -> None:
    text = """
    sources.list = { text = "https://example.org/prices", verified_on = 2026-08-31 }
    price = [{ model = "m", source = "list", standard = { input = "1" } }]
    """
    assert (only(text).source, only(text).verified_on) == ("https://example.org/prices", date(2026, 8, 31))


def test_what_may_be_wrong_says_so_by_tier() -> None:
    head = 'model = "m", standard = { input = "1" }, batch = "1/2"'
    whole = f'price = [{{ {head}, unverified = "a doubt" }}]'
    assert [only(whole, tier).unverified for tier in ("default", "batch")] == ["a doubt", "a doubt"]
    part = f'price = [{{ {head}, unverified = {{ batch = "a doubt" }} }}]'
    assert [only(part, tier).unverified for tier in ("default", "batch")] == ["", "a doubt"]
    standard = f'price = [{{ {head}, unverified = {{ standard = "a doubt" }} }}]'
    assert [only(standard, tier).unverified for tier in ("default", "batch")] == ["a doubt", ""]


@pytest.mark.parametrize(
    ("said", "on", "doubt"),
    [
        ("", "2026-11-22", ""),
        ("promised_until = 2026-11-21", "2026-11-21", ""),
        ("promised_until = 2026-11-21", "2026-11-22", "promised until 2026-11-21 only, not verified since"),
        ("promised_until = 2026-11-21\nverified_on = 2026-11-21", "2026-11-22", "promised until 2026-11-21 only"),
        ("promised_until = 2026-11-21\nverified_on = 2026-11-22", "2026-11-23", ""),
        ('promised_until = 2026-11-21\nunverified = "open"', "2026-11-21", "open"),
        ('promised_until = 2026-11-21\nunverified = "open"', "2026-11-22", "not verified since; open"),
    ],
)
def test_a_promised_price_is_in_doubt_once_the_promise_has_lapsed(said: str, on: str, doubt: str) -> None:
    found = only(f'[[price]]\nmodel = "m"\nstandard = {{ input = "1" }}\n{said}\n').doubt_on(date.fromisoformat(on))
    assert doubt in found
    assert bool(doubt) == bool(found)


def test_a_row_is_found_by_its_line_where_it_has_one() -> None:
    for text, where in [
        ("# first\n\n [[ price ]]\nmodel = 3\n", "prices.toml, line 3, price 1 (3): "),
        ("price = [{ model = 3 }]", "prices.toml, price 1 (3): "),
    ]:
        with pytest.raises(ValueError, match=r"^prices") as refusal:
            table(text)
        assert str(refusal.value).startswith(where)


def test_documents_are_one_list_and_aliases_reach_over_them() -> None:
    book = read_price_list(
        "both",
        {
            "a.toml": 'price = [{ model = "m", standard = { input = "1" } }]',
            "b.toml": 'aliases = { n = "m" }',
        },
    )
    assert book.find(("n",), "default", DAY) == book.find(("m",), "default", DAY) == book.prices[0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('standard = { inptu = "1" }', "unknown key 'inptu'"),
        ('standrad = { input = "1" }', "unknown key 'standrad'"),
        ('default = { input = "1" }', "unknown key 'default'"),
        ("standard = { input = 2.5 }", 'input = 2.5 is not exact; write it in quotes: input = "2.5"'),
        ('standard = { input = "cheap" }', "not an amount in US dollars: 'cheap'"),
        ('standard = { input = "NaN" }', "not a whole number of picodollars"),
        ('standard = { input = "-1" }', "input = '-1' is negative"),
        ("standard = { input = true }", "input = True is not an amount in US dollars"),
        ('standard = { input = "0.0000001" }', "finer than one picodollar a token"),
        ('standard = "1"', "rates are a table"),
        ('standard = { input = "1" }\nbatch = 0.5', '0.5 is not an exact multiple such as "1/2"'),
        ('standard = { input = "1" }\nbatch = "1/0"', "is not an exact multiple"),
        ('standard = { input = "1" }\nbatch = "0"', "is not an exact multiple"),
        ('standard = { input = "1" }\nbatch = { times = "1/2", output = "1" }', "unknown key 'output'"),
        ('standard = { input = "0.000001" }\nbatch = "1/2"', "finer than one picodollar a token"),
        ('standard = { input = "0.000001" }\nbatch = "1/3000000"', "is not a whole number of picodollars"),
        ('batch = "1/2"', "batch is a multiple of standard rates that the row does not have"),
        ('long = { input = "1" }', "long-context rates without standard ones"),
        ("", "no tier has a price"),
        ('standard = { input = "1" }\neffective_from = "soon"', "Invalid isoformat string: 'soon'"),
        ('standard = { input = "1" }\neffective_from = 2026-01-01T00:00:00', "is not a date such as"),
        ('standard = { input = "1" }\nverified_on = 7', "7 is not a date such as"),
        ('standard = { input = "1" }\nlong_from = "272k"', "long_from = '272k' is not a number of tokens"),
        ('standard = { input = "1" }\nsource = 3', "model and source must be text"),
        ('standard = { input = "1" }\nunverified = true', "unverified says why, in text"),
        ('standard = { input = "1" }\nunverified = ""', "unverified says why, in text"),
        ('standard = { input = "1" }\nunverified = { gold = "x" }', "unknown key 'gold'"),
        ('standard = { input = "1" }\npromised_until = 7', "7 is not a date such as"),
    ],
)
def test_a_wrong_row_is_refused_with_file_row_and_reason(row: str, reason: str) -> None:
    good = '[[price]]\nmodel = "good"\nstandard = { input = "1" }\n'
    with pytest.raises(ValueError, match=r"^prices\.toml, line 4, price 2 \(bad\): ") as refusal:
        table(f'{good}[[price]]\nmodel = "bad"\n{row}\n')
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model = ", "prices.toml: Invalid value"),
        (
            "prices = []",
            "prices.toml: unknown key 'prices'; known are aliases, discount, price, sources, tools, uplift",
        ),
        ("[price]\nmodel = 'm'", "prices.toml: every price is a table of its own, headed [[price]]"),
        ("aliases = { a = 1 }", "prices.toml: [aliases] maps"),
        ("sources = { a = 'b' }", "prices.toml: [sources] holds"),
        ("sources = { a = { url = 'b' } }", "prices.toml: unknown key 'url'"),
        ("tools = { web = '1' }", "prices.toml: unknown key 'web'"),
        ("[[price]]\nstandard = { input = '1' }", "prices.toml, line 1, price 1 (no model): model and source"),
        ("aliases = { a = 'b' }", "prices.toml: test: alias a = b names no model of this list"),
        (
            "price = [{ model = 'm', standard = { input = 1 } }, { model = 'm', standard = { input = 2 } }]",
            "prices.toml: test: two prices of m (default) from 0001-01-01 on",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^prices") as refusal:
        table(text)
    assert str(refusal.value).startswith(reason)
