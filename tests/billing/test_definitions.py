"""Budgets and limits as people say them: what is read, what is refused and with which words, what is shown back."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.budgets import Budget, Position
from billing.definitions import (
    Unfit,
    budget_from,
    budget_shown,
    limit_from,
    limit_shown,
    position_shown,
    scope_from,
    tags_from,
)
from billing.limits import Limit
from billing.money import PICO_PER_USD
from billing.scopes import EVERYTHING, Scope

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_budget_said_in_full() -> None:
    said = {
        "limit_usd": "50.000000000001",
        "window": "week",
        "scope": {"team": ["search", "ads", "search"], "tag:env": "prod"},
        "mode": "soft",
        "alert": [100, 50, 50],
    }
    scope = Scope({"team": ("search", "ads"), "tag:env": ("prod",)})
    assert budget_from("a", said) == Budget("a", 50 * PICO_PER_USD + 1, "week", scope, False, (50, 100))


def test_only_the_limit_must_be_given() -> None:
    budget = budget_from("a", {"limit_usd": 5})
    assert budget == Budget("a", 5 * PICO_PER_USD, "month", EVERYTHING, True, (50, 80, 100))


@pytest.mark.parametrize(
    ("said", "pico"),
    [
        ("0", 0), (0, 0), ("0.000000000001", 1), (Decimal("0.1"), 10**11), ("1e3", 10**15), (" 7 ", 7 * 10**12),
        ("1000000000000", 10**24),
    ],
)  # fmt: skip
def test_a_limit_is_exact(said: Any, pico: int) -> None:
    assert budget_from("a", {"limit_usd": said}).limit_pico == pico


@pytest.mark.parametrize("window", ["day", "week", "month", "total"])
def test_every_window(window: str) -> None:
    assert budget_from("a", {"limit_usd": 1, "window": window}).window == window


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({}, "limit_usd"),
        ({"limit_usd": None}, "limit_usd"),
        ({"limit_usd": "-1"}, "limit_usd"),
        ({"limit_usd": -1}, "limit_usd"),
        ({"limit_usd": "NaN"}, "limit_usd"),
        ({"limit_usd": "Infinity"}, "limit_usd"),
        ({"limit_usd": "$50"}, "limit_usd"),
        ({"limit_usd": "fifty"}, "limit_usd"),
        ({"limit_usd": ""}, "limit_usd"),
        ({"limit_usd": "0.0000000000001"}, "limit_usd"),
        ({"limit_usd": "1000000000000.01"}, "limit_usd"),
        ({"limit_usd": "1e999999"}, "limit_usd"),
        ({"limit_usd": 0.1}, "limit_usd"),  # a float is not the figure that was said
        ({"limit_usd": True}, "limit_usd"),
        ({"limit_usd": ["1"]}, "limit_usd"),
        ({"limit_usd": 1, "window": "year"}, "window"),
        ({"limit_usd": 1, "window": ["day"]}, "window"),
        ({"limit_usd": 1, "mode": "HARD"}, "mode"),
        ({"limit_usd": 1, "mode": None}, "mode"),
        ({"limit_usd": 1, "alert": [0]}, "alert"),
        ({"limit_usd": 1, "alert": [1001]}, "alert"),
        ({"limit_usd": 1, "alert": [50.5]}, "alert"),
        ({"limit_usd": 1, "alert": ["50"]}, "alert"),
        ({"limit_usd": 1, "alert": [True]}, "alert"),
        ({"limit_usd": 1, "alert": None}, "alert"),
        ({"limit_usd": 1, "limit": 1}, "limit"),
        ({"limit_usd": 1, "scope": ["team"]}, "scope"),
        ({"limit_usd": 1, "scope": {"teams": ["a"]}}, "scope.teams"),
        ({"limit_usd": 1, "scope": {"tag:": ["a"]}}, "scope.tag:"),
        ({"limit_usd": 1, "scope": {"team": []}}, "scope.team"),  # would cover nothing, and look as if it did
        ({"limit_usd": 1, "scope": {"team": [""]}}, "scope.team"),
        ({"limit_usd": 1, "scope": {"team": [1]}}, "scope.team"),
        ({"limit_usd": 1, "scope": {"team": None}}, "scope.team"),
        ({"limit_usd": 1, "scope": {"team": ["a\nb"]}}, "scope.team"),
        ({"limit_usd": 1, "scope": {"team": ["a" * 501]}}, "scope.team"),
    ],
)
def test_what_is_no_budget(said: dict[str, Any], field: str) -> None:
    with pytest.raises(Unfit) as raised:
        budget_from("a", said)
    assert raised.value.field == field
    assert str(raised.value) == f"{field}: {raised.value.problem}"


@pytest.mark.parametrize("name", ["", " a", "a ", "a/b", ".", "..", "a\nb", "a" * 101, "\N{RIGHT-TO-LEFT OVERRIDE}a"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(Unfit, match=r"^name: "):
        budget_from(name, {"limit_usd": 1})
    with pytest.raises(Unfit, match=r"^name: "):
        limit_from(name, {"requests_per_minute": 1})


@pytest.mark.parametrize("name", ["a", "Team Search (EU)", "größe", "a.b-c_d:e@f", "a" * 100])
def test_what_is_a_name(name: str) -> None:
    assert budget_from(name, {"limit_usd": 1}).name == name


def test_a_limit_said_in_full_and_in_part() -> None:
    said = {"requests_per_minute": 60, "tokens_per_minute": 10_000, "concurrent_requests": 5, "scope": {"key": "k"}}
    assert limit_from("a", said) == Limit("a", Scope({"key": ("k",)}), 60, 10_000, 5)
    assert limit_from("a", {"concurrent_requests": 1}) == Limit("a", EVERYTHING, None, None, 1)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({}, "requests_per_minute"),
        ({"requests_per_minute": None}, "requests_per_minute"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"tokens_per_minute": -5}, "tokens_per_minute"),
        ({"tokens_per_minute": 1.5}, "tokens_per_minute"),
        ({"tokens_per_minute": "5"}, "tokens_per_minute"),
        ({"concurrent_requests": True}, "concurrent_requests"),
        ({"concurrent_requests": 10**13}, "concurrent_requests"),
        ({"rpm": 1}, "rpm"),
        ({"requests_per_minute": 1, "scope": {"shop": "a"}}, "scope.shop"),
    ],
)
def test_what_is_no_limit(said: dict[str, Any], field: str) -> None:
    with pytest.raises(Unfit) as raised:
        limit_from("a", said)
    assert raised.value.field == field


def test_tags_are_pairs() -> None:
    assert tags_from(["env=prod", "env=dev", "job=a=b"]) == {"tag:env": ["prod", "dev"], "tag:job": ["a=b"]}
    assert scope_from(tags_from(["env=prod"])) == Scope({"tag:env": ("prod",)})


@pytest.mark.parametrize("pair", ["env", "=prod", ""])
def test_what_is_no_pair(pair: str) -> None:
    with pytest.raises(Unfit, match="name=value"):
        tags_from([pair])


scopes = st.dictionaries(
    st.sampled_from(["team", "key", "project", "user", "model", "tag:env"]),
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True).map(tuple),
).map(Scope)


@given(
    st.builds(
        Budget,
        st.sampled_from(["a", "b c"]),
        st.integers(0, 10**24),
        st.sampled_from(["day", "week", "month", "total"]),
        scopes,
        st.booleans(),
        st.lists(st.integers(1, 1000), unique=True).map(lambda found: tuple(sorted(found))),
    )
)
def test_a_budget_that_is_shown_reads_back_as_itself(budget: Budget) -> None:
    shown = budget_shown(budget)
    assert budget_from(shown.pop("name"), shown) == budget


@given(st.builds(Limit, st.just("a"), scopes, st.integers(1, 10**12), st.none() | st.integers(1, 9), st.none()))
def test_a_limit_that_is_shown_reads_back_as_itself(limit: Limit) -> None:
    shown = limit_shown(limit)
    assert limit_from(shown.pop("name"), shown) == limit


def test_where_a_budget_stands() -> None:
    budget = budget_from("a", {"limit_usd": "3", "scope": {"team": "search"}})
    since, until = budget.window_at(NOW, ZoneInfo("Europe/Berlin"))
    assert position_shown(Position(budget, since, until, 2 * PICO_PER_USD, PICO_PER_USD // 4, 1)) == {
        "name": "a",
        "scope": {"team": ["search"]},
        "window": "month",
        "mode": "hard",
        "limit_usd": "3",
        "alert": [50, 80, 100],
        "spent_usd": "2",
        "held_usd": "0.25",
        "left_usd": "0.75",
        "unknown_usd": "0.000000000001",
        "percent": 66.6,
        "since": "2026-10-31T23:00:00Z",
        "until": "2026-11-30T23:00:00Z",
    }


def test_a_window_without_ends_and_a_limit_of_zero() -> None:
    budget = budget_from("a", {"limit_usd": "0", "window": "total"})
    shown = position_shown(Position(budget, *budget.window_at(NOW, ZoneInfo("UTC")), 1, 0))
    assert (shown["since"], shown["until"], shown["percent"]) == (None, None, None)
    assert shown["left_usd"] == "-0.000000000001"
