"""Regional processing and contract discounts: which price is multiplied by what, from when to when."""

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.price_adjustments import adjusted, read_adjustments
from billing.price_sources import own_adjustments, own_prices
from billing.price_tables import read_price_list
from billing.prices import PriceList
from billing.rating import Rate
from billing.usage import TOKEN_UNITS, Unit

LIST = read_price_list(
    "list",
    {
        "list.toml": """
        tools = { web_search = "10" }
        aliases = { also-m = "m" }
        price = [
            { model = "m", effective_from = 2026-01-01, standard.input = "10", long.input = "20", flex = "1/2" },
            { model = "m", effective_from = 2026-07-01, standard = { input = "8" }, flex = "1/2" },
            { model = "m-2026-02-03", effective_from = 2026-01-01, standard = { input = "9" } },
            { model = "m-mini", effective_from = 2026-01-01, standard = { input = "1" } },
            { model = "film 720p", standard = { video_second = "0.1" } },
        ]
        """
    },
)


def at(host: str, text: str) -> PriceList:
    return adjusted(LIST, read_adjustments({"own.toml": text}), host)


def usd(
    prices: PriceList, model: str, day: str, tier: str = "default", unit: Unit = Unit.INPUT_TEXT
) -> Fraction | None:
    price = prices.find((model,), tier, date.fromisoformat(day))
    rate = price.rates.get(unit) if price else None
    return Fraction(rate.pico, rate.per) * 1_000_000 / 10**12 if rate else None


UPLIFT = '[[uplift]]\nhosts = ["eu.example.org", "*.eu.example.org"]\nmodels = ["m", "m-*"]\ntimes = "11/10"\n'


@pytest.mark.parametrize(
    ("host", "input_usd"),
    [("eu.example.org", 11), ("EU.Example.org", 11), ("a.eu.example.org", 11), ("example.org", 10), ("", 10)],
)
def test_an_uplift_is_about_its_hosts(host: str, input_usd: int) -> None:
    assert usd(at(host, UPLIFT), "m", "2026-02-01") == input_usd


def test_an_uplift_raises_every_rate_and_says_so() -> None:
    (price,) = (it for it in at("eu.example.org", UPLIFT + 'source = "a page"').prices if it.model == "m-mini")
    assert price.rates[Unit.INPUT_TEXT] == Rate(1_100_000_000_000, 1_000_000)
    assert price.rates[Unit.WEB_SEARCH_CALLS] == Rate(11_000_000_000_000, 1_000)
    assert price.terms == "11/10 × list: a page"
    long = at("eu.example.org", UPLIFT).find(("m",), "default", date(2026, 2, 1))
    assert long is not None
    assert long.long_rates is not None
    assert long.long_rates[Unit.INPUT_TEXT].pico == 22 * 10**12


def test_fees_of_tools_may_stay_and_a_doubt_is_handed_on() -> None:
    text = UPLIFT + 'tools = false\nunverified = "not stated"\n'
    (price,) = (it for it in at("eu.example.org", text).prices if it.model == "m-mini")
    assert price.rates[Unit.WEB_SEARCH_CALLS] == Rate(10**13, 1_000)
    assert price.doubt_on(date(2026, 2, 1)) == "not stated"


DATED = '[[discount]]\nmodels = "m"\npercent = "12.5"\neffective_from = 2026-03-01\nuntil = 2026-08-31\n'


@pytest.mark.parametrize(
    ("day", "input_usd"),
    [
        ("2026-02-28", 10),
        ("2026-03-01", Fraction("8.75")),  # the contract begins within a row
        ("2026-06-30", Fraction("8.75")),
        ("2026-07-01", 7),  # a new list price under the same contract
        ("2026-08-31", 7),  # its last day
        ("2026-09-01", 8),
    ],
)
def test_a_discount_holds_from_its_first_day_to_its_last(day: str, input_usd: Fraction) -> None:
    assert usd(at("", DATED), "m", day) == input_usd
    assert usd(at("", DATED), "also-m", day) is not None


def test_a_discount_that_begins_with_a_new_list_price() -> None:
    text = '[[discount]]\nmodels = "m"\npercent = 10\neffective_from = 2026-07-01\n'
    assert [usd(at("", text), "m", day) for day in ("2026-06-30", "2026-07-01")] == [10, Fraction("7.2")]


@pytest.mark.parametrize(
    ("given_", "model", "tier", "input_usd"),
    [
        ('models = ["*"]\npercent = 10', "m", "default", 9),
        ('models = ["*"]\npercent = 10', "m-mini", "default", Fraction("0.9")),
        ('models = ["*"]\npercent = "100"', "m-mini", "default", 0),
        ('models = ["m"]\npercent = 10', "m-mini", "default", 1),
        ('models = ["m"]\npercent = 10', "m-2026-02-03", "default", Fraction("8.1")),  # a snapshot of it
        ('models = ["m-*"]\npercent = 10', "m", "default", 10),
        ('models = ["m"]\npercent = 10\ntiers = ["flex"]', "m", "default", 10),
        ('models = ["m"]\npercent = 10\ntiers = ["flex"]', "m", "flex", Fraction("4.5")),
        ('models = ["m"]\npercent = 10\ntiers = "standard"', "m", "default", 9),
        ('models = ["m"]\npercent = "100/3"', "m", "default", Fraction(20, 3)),
    ],
)
def test_a_discount_is_about_its_models_and_tiers(given_: str, model: str, tier: str, input_usd: Fraction) -> None:
    assert usd(at("", f"[[discount]]\n{given_}\n"), model, "2026-02-01", tier) == input_usd


def test_a_variant_has_the_discount_of_its_model() -> None:
    film = at("", '[[discount]]\nmodels = ["film"]\npercent = 50\n')
    assert usd(film, "film 720p", "2026-02-01", unit=Unit.VIDEO_SECONDS) == 50_000


@pytest.mark.parametrize(
    ("rows", "model", "input_usd"),
    [
        ([("*", 10, ""), ("m*", 20, ""), ("m", 30, "")], "m", 7),
        ([("m", 30, ""), ("m*", 20, ""), ("*", 10, "")], "m-mini", Fraction("0.8")),
        ([("m", 30, ""), ("m-2026-02-03", 20, "")], "m-2026-02-03", Fraction("7.2")),
        ([("m", 30, "2026-01-15"), ("m", 20, "2026-01-01")], "m", 7),  # the newest in force
        ([("m", 30, "2026-03-01"), ("m", 20, "2026-01-01")], "m", 8),  # not yet
        ([("m", 30, "2026-01-01"), ("m", 20, "2026-01-01")], "m", 8),  # the last
    ],
)
def test_the_most_exact_discount_holds_alone(rows: list[tuple[str, int, str]], model: str, input_usd: Fraction) -> None:
    text = "".join(
        f'[[discount]]\nmodels = ["{name}"]\npercent = {percent}\n' + (f"effective_from = {day}\n" if day else "")
        for name, percent, day in rows
    )
    assert usd(at("", text), model, "2026-02-01") == input_usd


def test_a_discount_is_off_the_raised_price_and_the_user_s_uplift_replaces_ours() -> None:
    ours = read_adjustments({"ours.toml": UPLIFT + "effective_from = 2026-01-15\n"})
    discount = read_adjustments({"own.toml": '[[discount]]\nmodels = ["m"]\npercent = 10\n'}, authority=1)
    theirs = read_adjustments({"own.toml": '[[uplift]]\nmodels = ["*"]\ntimes = "6/5"\n'}, authority=1)
    assert usd(adjusted(LIST, ours + discount, "eu.example.org"), "m", "2026-02-01") == Fraction("9.9")
    both = adjusted(LIST, ours + discount, "eu.example.org").find(("m",), "default", date(2026, 2, 1))
    assert both is not None
    assert both.terms == "11/10 × list: uplift; 9/10 × list: discount"
    assert usd(adjusted(LIST, ours + theirs, "eu.example.org"), "m", "2026-02-01") == 12
    assert usd(adjusted(LIST, ours + theirs, "example.org"), "m", "2026-02-01") == 12


shares = st.fractions(0, 100, max_denominator=1_000).filter(bool)


@given(shares, st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.dates(date(2026, 1, 1), date(2026, 12, 31)))
def test_every_day_has_the_list_price_or_exactly_its_share(percent: Fraction, one: date, other: date) -> None:
    since, until = sorted((one, other))
    text = f'[[discount]]\nmodels = ["m"]\npercent = "{percent}"\neffective_from = {since}\nuntil = {until}\n'
    reduced = at("", text)
    for number in range(date(2026, 1, 1).toordinal(), date(2027, 1, 2).toordinal()):
        day = date.fromordinal(number)
        listed = usd(LIST, "m", str(day))
        assert listed is not None
        assert usd(reduced, "m", str(day)) == (listed * (1 - percent / 100) if since <= day <= until else listed)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('[[discount]]\nmodels = ["m"]', 'own.toml, line 1, discount 1: it needs percent, such as percent = "12.5"'),
        ('\n[[uplift]]\nmodels = ["m"]', 'own.toml, line 2, uplift 1: it needs times, such as times = "11/10"'),
        ('[[discount]]\npercent = "10"', 'own.toml, line 1, discount 1: it needs models, such as models = ['),
        ('[[discount]]\nmodels = "m"\npercent = 12.5', 'percent = 12.5 is not exact; write it in quotes: percent ='),
        ('[[discount]]\nmodels = "m"\npercent = "a few"', "percent = 'a few' is not a share of the list price"),
        ('[[discount]]\nmodels = "m"\npercent = "101"', "percent = '101' is not a share"),
        ('[[discount]]\nmodels = "m"\npercent = 0', "percent = 0 is not a share"),
        ('[[discount]]\nmodels = "m"\npercent = true', "percent = True is not a share"),
        ('[[discount]]\nmodels = "m"\npercent = "1/0"', "percent = '1/0' is not a share"),
        ('[[discount]]\nmodels = "m"\npercent = "-5"', "percent = '-5' is not a share"),
        ('[[uplift]]\nmodels = "m"\ntimes = 1.1', "1.1 is not an exact multiple"),
        ('[[uplift]]\nmodels = "m"\ntimes = "2"\npercent = "5"', "unknown key 'percent'"),
        ('[[discount]]\nmodels = [7]\npercent = "5"', "models is a list of names in quotes"),
        ('[[discount]]\nmodels = "m"\npercent = "5"\ntiers = ["gold"]', "'gold' is no tier; known are standard, batch"),
        ('[[discount]]\nmodels = "m"\npercent = "5"\ntools = "no"', "tools is true"),
        ('[[discount]]\nmodels = "m"\npercent = "5"\nnote = 5', "note must be text"),
        ('[[discount]]\nmodels = "m"\npercent = "5"\neffective_from = "soon"', "Invalid isoformat string"),
        (
            '[[discount]]\nmodels = "m"\npercent = "5"\neffective_from = 2027-01-02\nuntil = 2027-01-01',
            "it ends on 2027-01-01, before it begins on 2027-01-02",
        ),
        ('[discount]\nmodels = "m"', "own.toml: every discount is a table of its own, headed [[discount]]"),
        ("discount = ", "own.toml: Invalid value (at"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_refused_with_its_place_and_the_reason(table: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^own\.toml") as refusal:
        read_adjustments({"own.toml": table})
    assert reason in str(refusal.value)


def test_what_ships_names_its_source_and_keeps_tokens_whole() -> None:
    regional = own_adjustments()
    listed = {price.model for price in own_prices().prices}
    assert {host.partition(".")[0] for each in regional for host in each.hosts} == {"us", "eu", "ae", "au", "in", "jp"}
    for each in regional:
        assert each.source
        assert each.unverified
        assert each.effective_from == date(2026, 3, 5)
        assert {name for name in each.models if "*" not in name} <= listed
    for price in adjusted(own_prices(), regional, "eu.api.openai.com").prices:
        for rates in (price.rates, price.long_rates or {}):
            assert [unit for unit, rate in rates.items() if unit in TOKEN_UNITS and rate.pico % rate.per] == []
    assert adjusted(own_prices(), regional, "api.openai.com") == own_prices()
