"""One budget in one window, on one of several replicas: what is left here, and what stands over all."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from billing.accounts import Book
from billing.budgets import Budget
from billing.leases import Slice, key

ZONE = ZoneInfo("UTC")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BUDGET = Budget("company", 1000, "day")


def book(*, leased: bool = True, budget: Budget = BUDGET) -> Book:
    return Book(budget, ZONE, leased=leased)


def test_alone_the_slice_is_the_whole_budget() -> None:
    standing = book(leased=False).at(NOON)
    standing.spent, standing.held = 300, 50
    assert (standing.granted, standing.left, standing.obtainable) == (None, 650, 650)


def test_a_soft_budget_is_not_leased() -> None:
    assert book(budget=Budget("company", 1000, "day", hard=False)).at(NOON).granted is None


def test_a_leased_one_begins_with_nothing_and_asks() -> None:
    standing = book().at(NOON)
    assert (standing.left, standing.obtainable) == (0, 1000)
    told = standing.report(2)
    assert (told.account.budget, told.account.since) == (key(BUDGET), NOON.replace(hour=0))
    assert (told.until, told.limit_pico, told.slice, told.grow) == (
        told.account.since + timedelta(1),
        1000,
        Slice(),
        True,
    )


@pytest.mark.parametrize(
    ("granted", "others", "left"),
    [
        (200, Slice(), 100),
        (200, Slice(900, 0, 0), 0),  # the limit was lowered, or others spent past theirs
        (200, Slice(850, 0, 0), 50),
        (200, Slice(1100, 1100, 0), -200),
    ],
)
def test_what_is_left_is_in_the_slice_and_in_the_limit(granted: int, others: Slice, left: int) -> None:
    standing = book().at(NOON)
    standing.spent, standing.held = 60, 40
    standing.learn(Slice(granted), others)
    assert standing.left == left


def test_a_position_is_over_all_replicas() -> None:
    standing = book().at(NOON)
    standing.spent, standing.held, standing.unknown = 60, 40, 5
    standing.learn(Slice(200), Slice(500, 400, 50, 7))
    position = standing.position()
    assert (position.spent_pico, position.held_pico, position.unknown_pico) == (460, 90, 12)


def test_what_waits_is_told_once() -> None:
    standing = book().at(NOON)
    for pico in (70, 30, 50):
        standing.lacks(pico)
    told = standing.report(1)
    assert (told.least_pico, told.ask_pico, told.grow) == (30, 150, True)
    again = standing.report(1)
    assert (again.least_pico, again.ask_pico) == (0, 0)


def test_it_asks_again_when_half_of_its_slice_is_used() -> None:
    standing = book().at(NOON)
    standing.learn(Slice(100), Slice())
    assert standing.low == 50
    standing.held = 49
    assert not standing.report(1).grow
    standing.held = 50
    assert standing.report(1).grow


def test_what_is_given_back_is_not_left_any_more() -> None:
    standing = book().at(NOON)
    standing.learn(Slice(900, 0), Slice(0, 0, 0, 0, 10))
    assert standing.needed_elsewhere
    standing.held = 100
    assert standing.report(2).slice == Slice(100, 0, 100)
    assert (standing.left, standing.needed_elsewhere) == (0, False)


def test_another_limit_keeps_the_accounts_and_another_window_has_its_own() -> None:
    first = book()
    first.at(NOON).spent = 7
    first.open(NOON - timedelta(days=1, hours=12), NOON - timedelta(hours=12), 30, 3, revision=9)
    lowered = first.changed(Budget("company", 5, "day"), leased=True)
    assert [(standing.spent, standing.unknown, standing.budget.limit_pico) for standing in lowered] == [
        (7, 0, 5), (30, 3, 5)
    ]  # fmt: skip
    assert lowered.at(NOON) is first.at(NOON)
    assert lowered.at(NOON + timedelta(days=1)).spent == 0
    softened = first.changed(Budget("company", 5, "day", hard=False), leased=True)
    assert softened.at(NOON).granted is None
