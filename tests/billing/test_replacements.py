"""What retiring models' traffic would cost elsewhere: priced by hand, and only where all of it has a price."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import retirements
from billing.price_sources import price_book
from billing.prices import STANDARD, Price, PriceBook, PriceList
from billing.rating import Rate
from billing.replacements import Part, Used, kind_of, replacements, rows
from billing.retirements import Retirement
from billing.usage import Unit, Usage

AT = datetime(2026, 11, 24, tzinfo=UTC)
FRESH, STALE = date(2026, 9, 1), date(2025, 9, 1)
ENDS = {
    "old": Retirement(datetime(2027, 1, 14, tzinfo=UTC), "a page"),
    "older": Retirement(datetime(2026, 12, 1, tzinfo=UTC), "a page"),
    "snapped-2025-01-01": Retirement(datetime(2027, 1, 14, tzinfo=UTC), "a page"),
}
IN, CACHED, OUT, WRITE = Unit.INPUT_TEXT, Unit.INPUT_CACHED_TEXT, Unit.OUTPUT_TEXT, Unit.INPUT_CACHE_WRITE_30M


def price(
    model: str, input_: int, output: int, *, tier: str = STANDARD, seen: date | None = FRESH, **more: Any
) -> Price:
    """Per token, in picodollars; cached input at half."""
    rates = {IN: Rate(input_), CACHED: Rate(input_ // 2), OUT: Rate(output), **more.pop("rates", {})}
    return Price(model, tier, date(2025, 1, 1), rates, verified_on=seen, **more)


def book(*prices: Price, name: str = "farebox") -> PriceBook:
    return PriceBook((PriceList(name, prices),), "test")


def used(
    *parts: Mapping[Unit, int], model: str = "old", tier: str | None = None, calls: int = 10, cost: int = 1000
) -> Used:
    made = tuple(Part(tier, calls, Usage(part)) for part in parts)
    return Used(model, calls, cost, 0, made)


def named(*found: Any) -> list[tuple[str, int]]:
    return [(one.model, one.cost_pico) for one in replacements(*found, AT, ENDS)]


ALL = {IN: 100, CACHED: 50, OUT: 20}


def test_the_cheapest_three_priced_on_the_traffic() -> None:
    offered = book(price("a", 4, 10), price("b", 2, 10), price("c", 1000, 1), price("d", 2, 20), price("old", 1, 1))
    assert named(used(ALL), offered) == [
        ("b", 200 + 50 + 200), ("d", 200 + 50 + 400), ("a", 400 + 100 + 200),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "unfit",
    [
        price("old", 1, 1),  # ends as well
        price("older", 1, 1),
        price("snapped", 1, 1),  # its snapshot does: nobody knows what the name will stand for
        price("a-2026-01-01", 1, 1),  # a snapshot of what is listed
        price("ft:a", 1, 1),
        price("a large", 1, 1),  # a variant
        price("stale", 1, 1, seen=STALE),
        price("unseen", 1, 1, seen=None),
        price("a-audio", 1, 1),  # another kind
        price("elsewhere", 1, 1, tier="batch"),  # not at the tier of the calls
        Price("half", STANDARD, date(2025, 1, 1), {IN: Rate(1), CACHED: Rate(1)}, verified_on=FRESH),  # no output
    ],
    ids=lambda unfit: unfit.model,
)
def test_what_cannot_take_the_place_is_not_named(unfit: Price) -> None:
    assert named(used(ALL), book(price("fit", 100, 100), unfit)) == [("fit", 10_000 + 2_500 + 2_000)]


def test_the_users_own_models_need_no_verifying_and_other_lists_are_not_asked() -> None:
    mine = price("mine", 1, 1, seen=None)
    assert named(used(ALL), book(mine, name="user")) == [("mine", 120)]
    assert named(used(ALL), book(price("theirs", 1, 1), name="genai-prices")) == []


def test_calls_are_priced_at_the_tiers_they_had() -> None:
    offered = book(price("a", 4, 8), price("a", 2, 4, tier="batch"), price("b", 1, 1))
    both = Used("old", 2, 0, 0, (Part(None, 1, Usage({IN: 100})), Part("batch", 1, Usage({OUT: 10}))))
    assert named(both, offered) == [("a", 400 + 40)]


def test_cache_writes_are_plain_input_where_they_have_no_price() -> None:
    offered = book(price("a", 4, 8), price("b", 4, 8, rates={WRITE: Rate(5)}))
    assert named(used({IN: 10, WRITE: 100}), offered) == [("a", 440), ("b", 540)]


@pytest.mark.parametrize(("calls", "tier", "cost"), [(10, None, 1000 * 4), (1, None, 1000 * 9), (1, "batch", 1000 * 4)])
def test_long_calls_have_the_long_rates_by_their_mean(calls: int, tier: str | None, cost: int) -> None:
    """A batch is one charge for many calls, of which nobody knows the length."""
    it = price("a", 4, 8, tier=tier or STANDARD, long_rates={IN: Rate(9)}, long_from=500)
    assert named(used({IN: 1000}, calls=calls, tier=tier), book(it)) == [("a", cost)]


def test_a_model_that_cannot_read_calls_of_that_size_is_no_replacement() -> None:
    assert named(used({IN: 2_000_000}, calls=1), book(price("gpt-4.1", 1, 1), price("unknown-size", 2, 2))) == [
        ("unknown-size", 4_000_000)
    ]


def test_nothing_used_has_no_replacement() -> None:
    assert named(used({}), book(price("a", 1, 1))) == []


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("gpt-4o", "gpt-6-luna", True),
        ("gpt-4o-audio-preview", "gpt-audio", True),
        ("gpt-4o", "gpt-audio", False),
        ("gpt-5-codex", "gpt-5.3-codex", True),
        ("gpt-5-codex", "gpt-5.5", False),
        ("text-embedding-ada-002", "text-embedding-3-small", True),
        ("whisper-1", "gpt-4o-transcribe", False),
    ],
)
def test_only_models_alike_replace_each_other(one: str, other: str, alike: bool) -> None:
    assert (kind_of(one) == kind_of(other)) is alike


def test_rows_name_what_ends_the_first_first() -> None:
    tuned = used(ALL, model="ft:old:acme::x", cost=2000)
    traffic = [used(ALL), used(ALL, model="older", cost=0), used(ALL, model="stays"), tuned]
    found = rows(traffic, book(price("a", 4, 10)), AT, ENDS)
    assert [(row["model"], row["ends_on"], row["days_left"]) for row in found] == [
        ("older", "2026-12-01", 7),
        ("ft:old:acme::x", "2027-01-14", 51),
        ("old", "2027-01-14", 51),
    ]
    change = [row["replacements"][0]["change_percent"] for row in found]
    assert change == [None, -65, -30], "700 instead of nothing known, of 2,000, of 1,000"
    assert found[1]["replacements"][0]["cost_usd"] == "0.0000000007"


def test_a_cost_that_is_not_wholly_known_is_compared_with_nothing() -> None:
    [row] = rows([Used("old", 2, 1000, 1, (Part(None, 1, Usage(ALL)),))], book(price("a", 4, 10)), AT, ENDS)
    assert (row["calls_of_unknown_cost"], row["replacements"][0]["change_percent"]) == (1, None)


def test_the_shipped_book_has_replacements_for_what_ends_next() -> None:
    """1,000 in, 500 cached, 300 out: gpt-6-luna at .1, .01 and .5 per million is $.000255."""
    found = replacements(
        used({IN: 1000, CACHED: 500, OUT: 300}, model="gpt-4o-mini-2024-07-18", calls=1),
        price_book(),
        AT,
        retirements.announced(),
    )
    assert (found[0].model, found[0].cost_pico) == ("gpt-6-luna", 255_000_000)
    assert len({one.model for one in found}) == 3


@given(st.dictionaries(st.sampled_from([IN, CACHED, OUT, WRITE]), st.integers(1, 10**9), min_size=1), st.integers(1, 9))
def test_as_much_again_costs_as_much_again_and_keeps_the_order(usage: dict[Unit, int], times: int) -> None:
    offered = book(price("a", 4, 10), price("b", 2, 14), price("c", 8, 2))
    one = named(used(usage, calls=10**9), offered)
    more = named(used(*[usage] * times, calls=10**9), offered)
    assert more == [(model, cost * times) for model, cost in one]
    assert [cost for _, cost in one] == sorted(cost for _, cost in one)
