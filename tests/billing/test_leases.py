"""What a slice may grow to, and what is given back: the two rules that leases are made of."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.budgets import Budget
from billing.leases import NOTHING, Account, Report, Slice, grown, kept, key, settled, together, unused_share
from billing.scopes import Scope

SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
BUDGET = Budget("company", 10, "month", Scope({"team": ("search", "ads")}))


def report(mine: Slice, limit: int, least: int = 0, ask: int = 0) -> Report:
    return Report(Account("b", SINCE), UNTIL, limit, mine, True, least, ask or least, 1)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"limit_pico": 99}, True),
        ({"hard": False}, True),
        ({"scope": Scope({"team": ("ads", "search")})}, True),
        ({"scope": Scope({"team": ("search",)})}, False),
        ({"scope": Scope({"key": ("search", "ads")})}, False),
        ({"window": "day"}, False),
        ({"name": "other"}, False),
    ],
)
def test_an_account_is_named_by_what_a_budget_counts(changed: dict[str, object], same: bool) -> None:
    assert (key(replace(BUDGET, **changed)) == key(BUDGET)) is same  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("free", "replicas", "share"), [(1000, 1, 250), (1000, 5, 50), (3, 1, 0), (0, 1, 0), (-50, 1, 0), (8, 0, 2)]
)
def test_a_share_shrinks_with_what_is_free(free: int, replicas: int, share: int) -> None:
    assert unused_share(free, replicas) == share


@pytest.mark.parametrize(
    ("mine", "others", "least", "ask", "granted", "wanted"),
    [
        (Slice(), NOTHING, 0, 0, 125, 0),  # a share of all, for calls to come
        (Slice(), NOTHING, 10, 30, 125, 0),
        (Slice(), NOTHING, 10, 300, 300, 0),  # all that waits
        (Slice(), Slice(800), 10, 300, 200, 0),  # not all that waits, but some
        (Slice(), Slice(995), 10, 300, 0, 10),  # not even the smallest
        (Slice(), Slice(500, 0, 0, 0, 9), 0, 0, 0, 0),  # another waits: nothing for later
        (Slice(), Slice(500, 0, 0, 0, 9), 10, 10, 10, 0),  # but for who waits here
        (Slice(400, 300, 50), Slice(500), 0, 0, 400, 0),  # what one has one keeps
        (Slice(10, 300, 50), Slice(500), 0, 0, 368, 0),  # what is used is a fact
        (Slice(10, 900, 50), Slice(500), 1, 1, 950, 1),  # even past the limit
    ],
)
def test_a_slice_grows_by_what_is_free(
    mine: Slice, others: Slice, least: int, ask: int, granted: int, wanted: int
) -> None:
    found = grown(report(mine, 1000, least, ask), others, 2)
    assert found == replace(mine, granted_pico=granted, wanted_pico=wanted)


amounts = st.integers(0, 2000)
slices = st.builds(
    lambda unused, spent, held, wanted: Slice(spent + held + unused, spent, held, 0, wanted), *[amounts] * 4
)


@given(slices, slices, amounts, amounts, st.integers(1, 9), amounts)
def test_it_grows_only_within_the_limit_and_never_below_what_is_believed(
    mine: Slice, others: Slice, least: int, more: int, replicas: int, limit: int
) -> None:
    found = grown(report(mine, limit, least, least + more if least else 0), others, replicas)
    assert found.granted_pico >= max(mine.granted_pico, mine.used_pico)
    if found.granted_pico > max(mine.granted_pico, mine.used_pico):
        assert found.granted_pico + others.granted_pico <= limit
    assert settled(report(mine, limit)).granted_pico == max(mine.granted_pico, mine.used_pico)


@pytest.mark.parametrize(
    ("mine", "others", "granted"),
    [
        (Slice(125), NOTHING, 125),  # a share
        (Slice(250), NOTHING, 250),  # up to two is not worth a message
        (Slice(251), NOTHING, 125),
        (Slice(700, 300), NOTHING, 300 + 87),
        (Slice(125), Slice(875), 15),  # little is left in all
        (Slice(125, 60, 15), Slice(500, 0, 0, 0, 1), 75),  # another waits: all goes back
        (Slice(60, 100), Slice(500, 0, 0, 0, 1), 60),
    ],
)
def test_what_is_too_much_is_given_back(mine: Slice, others: Slice, granted: int) -> None:
    assert kept(mine, others, 1000, 2) == granted


@given(slices, slices, amounts, st.integers(1, 9))
def test_giving_back_leaves_what_is_used(mine: Slice, others: Slice, limit: int, replicas: int) -> None:
    assert mine.used_pico <= kept(mine, others, limit, replicas) <= mine.granted_pico


def test_slices_add_up() -> None:
    assert together([Slice(1, 2, 3, 4, 5), Slice(10, 20, 30, 40, 50)]) == Slice(11, 22, 33, 44, 55)
    assert together([]) == NOTHING
