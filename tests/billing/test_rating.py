"""Usage × rates = lines: whole picodollars, one rounding, nothing lost."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rating import Line, Rate, cost, rate_usage, scaled
from billing.usage import Unit, Usage

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("quantity", "rate", "pico"),
    [
        (1, Rate(2_500_000_000_000, MILLION), 2_500_000),  # $2.50 per million tokens
        (1, Rate(2_500_000_000, MILLION), 2_500),  # the smallest listed token price
        (0, Rate(2_500_000_000, MILLION), 0),
        (61, Rate(6_000_000_000, 60), 6_100_000_000),  # $0.006 a minute
        (1, Rate(17_000_000_000, 60), 283_333_333),  # $0.017 a minute: ⅓ down
        (2, Rate(17_000_000_000, 60), 566_666_667),  # ⅔ up
        (1, Rate(1, 2), 1),  # half up
        (3, Rate(1, 2), 2),
        (3, Rate(10_000_000_000_000, 1_000), 30_000_000_000),  # $10 per 1,000 calls
    ],
)
def test_cost_is_rounded_once_half_up(quantity: int, rate: Rate, pico: int) -> None:
    assert cost(quantity, rate) == pico


@given(st.integers(0, 10**15), st.integers(0, 10**16), st.integers(1, 10**7))
def test_rounding_moves_a_line_by_half_a_picodollar_at_most(quantity: int, pico: int, per: int) -> None:
    assert abs(2 * (cost(quantity, Rate(pico, per)) * per - quantity * pico)) <= per


@given(st.integers(0, 10**16), st.integers(1, 10**7), st.fractions(0, 100))
def test_a_scaled_rate_is_exact(pico: int, per: int, times: Fraction) -> None:
    rate = scaled(Rate(pico, per), times)
    assert Fraction(rate.pico, rate.per) == Fraction(pico, per) * times
    assert rate.per == per or (pico * times).denominator != 1


def test_every_unit_becomes_a_line_or_stays_unpriced() -> None:
    rate = Rate(3_000_000, 1)
    lines, unpriced = rate_usage(
        Usage({Unit.INPUT_TEXT: 2, Unit.OUTPUT_TEXT: 5}), {Unit.INPUT_TEXT: rate, Unit.IMAGES: rate}
    )
    assert lines == (Line(Unit.INPUT_TEXT, 2, rate, 6_000_000),)
    assert unpriced == Usage({Unit.OUTPUT_TEXT: 5})


usages = st.dictionaries(st.sampled_from(list(Unit)), st.integers(0, 10**9)).map(Usage)
whole_rates = st.dictionaries(st.sampled_from(list(Unit)), st.integers(0, 10**12).map(Rate))


@given(usages, usages, whole_rates)
def test_rating_is_linear_and_complete(one: Usage, other: Usage, rates: dict[Unit, Rate]) -> None:
    def total(usage: Usage) -> int:
        return sum(line.cost_pico for line in rate_usage(usage, rates)[0])

    lines, unpriced = rate_usage(one, rates)
    assert total(one + other) == total(one) + total(other)
    assert Usage({line.unit: line.quantity for line in lines}) + unpriced == one
