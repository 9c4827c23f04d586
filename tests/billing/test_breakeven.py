"""Straight lines and where they cross: a table worked out by hand, and what holds for any ways at all."""

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.breakeven import Way, cheapest, crossing, meeting, meetings, payback_months

amounts = st.builds(Fraction, st.integers(0, 10**15), st.integers(1, 10**4))
ways = st.builds(Way, st.sampled_from("abc"), amounts, amounts, amounts, st.integers(1, 60))
calls = st.integers(0, 10**12)


def way(name: str, call: int, month: int = 0, once: int = 0, months: int = 12) -> Way:
    return Way(name, Fraction(call), Fraction(month), Fraction(once), months)


# a call, a month, once | a call, a month, once | they meet at | cheaper below, above
TABLE = [
    ((10, 0, 0), (5, 0, 1200), Fraction(20), "a", "b"),  # 1,200 over 12 months is 100 a month; 5 saved a call
    ((10, 0, 0), (7, 100, 0), Fraction(100, 3), "a", "b"),
    ((5, 50, 0), (10, 0, 0), Fraction(10), "b", "a"),
    ((10, 30, 240), (4, 110, 480), Fraction(50, 3), "a", "b"),  # 20 and 40 a month of what is paid once
    ((10, 0, 0), (10, 5, 0), None, "a", "a"),  # side by side
    ((10, 5, 0), (10, 0, 0), None, "b", "b"),
    ((10, 5, 0), (4, 5, 0), None, "b", "b"),  # they begin together
    ((10, 5, 0), (4, 0, 0), None, "b", "b"),  # one is better at both
    ((10, 5, 0), (10, 5, 0), None, "a", "a"),  # the same
]


@pytest.mark.parametrize(("one", "other", "calls", "below", "above"), TABLE)
def test_where_two_ways_cross(
    one: tuple[int, int, int], other: tuple[int, int, int], calls: Fraction | None, below: str, above: str
) -> None:
    met = meeting(way("a", *one), way("b", *other))
    assert (met.calls, met.below, met.above, met.ways) == (calls, below, above, ("a", "b"))


@pytest.mark.parametrize(("months", "first"), [(1, 241), (12, 21), (24, 11), (48, 6)])
def test_longer_use_needs_fewer_calls(months: int, first: int) -> None:
    met = meeting(way("a", 10), way("b", 5, once=1200, months=months))
    assert met.first_calls == first


def test_the_costs_of_a_way() -> None:
    it = way("a", 3, month=100, once=240)
    assert (it.fixed_pico, it.running_pico(10), it.monthly_pico(10), it.total_pico(10)) == (120, 130, 150, 1800)


@pytest.mark.parametrize(
    ("of", "calls", "expected"),
    [
        (way("b", 5, once=1200), 100, Fraction(12, 5)),  # 500 saved a month
        (way("b", 5, once=1200), 0, None),
        (way("b", 10, once=1200), 100, None),
        (way("b", 11), 100, None),
        (way("b", 5), 100, 0),
        (way("b", 10), 100, 0),
    ],
)
def test_when_what_was_paid_once_comes_back(of: Way, calls: int, expected: Fraction | None) -> None:
    assert payback_months(of, way("a", 10), calls) == expected


@pytest.mark.parametrize(
    ("call", "month", "once", "months"), [(-1, 0, 0, 1), (0, -1, 0, 1), (0, 0, -1, 1), (0, 0, 0, 0)]
)
def test_no_way_costs_less_than_nothing(call: int, month: int, once: int, months: int) -> None:
    with pytest.raises(ValueError, match="below zero, or less than one month"):
        way("a", call, month, once, months)


@given(ways, ways)
def test_at_the_crossing_the_order_flips(one: Way, other: Way) -> None:
    at = crossing(one, other)
    assert at == crossing(other, one)
    assume(at is not None)
    assert at is not None
    assert at > 0
    assert one.monthly_pico(at) == other.monthly_pico(at)
    before, after = (one.monthly_pico(x) - other.monthly_pico(x) for x in (at / 2, at * 2))
    assert before * after < 0


@given(ways, ways, calls)
def test_the_cheaper_one_is_the_one_that_the_meeting_names(one: Way, other: Way, volume: int) -> None:
    one, other = (Way(name, w.call_pico, w.month_pico, w.once_pico, w.months) for name, w in (("a", one), ("b", other)))
    met = meeting(one, other)
    named = met.below if met.calls is None or volume < met.calls else met.above
    by_name = {"a": one, "b": other}
    assert by_name[named].monthly_pico(volume) == cheapest([one, other], volume).monthly_pico(volume)


@given(ways, ways)
def test_the_first_whole_call_is_really_cheaper_and_the_one_before_is_not(one: Way, other: Way) -> None:
    one, other = (Way(name, w.call_pico, w.month_pico, w.once_pico, w.months) for name, w in (("a", one), ("b", other)))
    met = meeting(one, other)
    assume(met.first_calls is not None)
    assert met.first_calls is not None
    above, below = (one, other) if met.above == "a" else (other, one)
    assert above.monthly_pico(met.first_calls) < below.monthly_pico(met.first_calls)
    assert above.monthly_pico(met.first_calls - 1) >= below.monthly_pico(met.first_calls - 1)


@given(ways, calls, calls)
def test_calls_add_up(it: Way, some: int, more: int) -> None:
    together = it.monthly_pico(some + more)
    assert together + it.fixed_pico == it.monthly_pico(some) + it.monthly_pico(more)
    assert it.total_pico(some) == it.running_pico(some) * it.months + it.once_pico


@given(ways, ways, calls)
def test_when_it_has_come_back_both_have_cost_the_same(one: Way, other: Way, volume: int) -> None:
    months = payback_months(one, other, volume)
    assume(months)
    assert months is not None
    costs = [w.once_pico + w.running_pico(volume) * months for w in (one, other)]
    assert costs[0] == costs[1]


def test_every_pair_is_compared_once() -> None:
    four = [way(name, call) for name, call in zip("abcd", range(4), strict=True)]
    assert ["".join(met.ways) for met in meetings(four)] == ["ab", "ac", "ad", "bc", "bd", "cd"]
