"""Balances against the simplest model of them: a list of charges and a dict of open holds."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from billing.attribution import Attribution
from billing.balances import Balances, Fold
from billing.budgets import Budget
from billing.charges import Basis, Call, Charge, Outcome
from billing.scopes import EVERYTHING, Scope
from billing.usage import Usage

UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 10, 24, 21, 30, tzinfo=UTC)  # half an hour before the day that has 25 hours in Berlin


def call(
    ident: str, held: int, *, team: str | None = "search", key: str | None = None, model: str = "gpt-4o",
    at: datetime = START, tags: dict[str, str] | None = None,
) -> Call:  # fmt: skip
    who = Attribution(key=key, team=team, tags=tags or {})
    return Call(ident, at, "chat", "POST", "/v1/chat/completions", who, "r", model, held_pico=held)


def charge(of: Call, cost: int | None) -> Charge:
    basis = Basis.UNKNOWN if cost is None else Basis.REPORTED
    return Charge(of, Outcome(of.started_at, basis), of.requested_model, None, None, Usage(), (), Usage(), cost, "book")


def balances(*budgets: Budget, zone: ZoneInfo = UTC_ZONE) -> Balances:
    made = Balances(zone)
    made.put(budgets, {budget.name: () for budget in budgets})
    return made


def position(of: Balances, name: str, at: datetime = START) -> tuple[int, int]:
    found = next(p for p in of.positions(at) if p.budget.name == name)
    return found.spent_pico, found.held_pico


# Authorise, settle, release


def test_a_hold_becomes_the_cost() -> None:
    made = balances(Budget("b", 100))
    first = call("1", 60)
    assert made.authorise(first) is None
    assert position(made, "b") == (0, 60)
    made.settle(charge(first, 25))
    assert position(made, "b") == (25, 0)


def test_a_released_hold_leaves_no_trace() -> None:
    made = balances(Budget("b", 100))
    made.authorise(call("1", 60))
    made.release("1")
    made.release("1")
    assert position(made, "b") == (0, 0)


def test_what_is_not_known_counts_as_what_was_held_for_it() -> None:
    made = balances(Budget("b", 100))
    made.settle(charge(call("1", 60), None))
    (found,) = made.positions(START)
    assert (found.spent_pico, found.unknown_pico, found.left_pico) == (60, 60, 40)


@pytest.mark.parametrize(
    ("spent", "held", "ask", "refused", "waiting_helps"),
    [
        (0, 0, 100, False, None),
        (0, 0, 101, True, False),
        (40, 60, 0, False, None),
        (40, 60, 1, True, True),
        (40, 30, 60, True, True),
        (40, 30, 61, True, False),
        (120, 0, 1, True, False),
    ],
)
def test_a_call_is_in_while_spent_held_and_ask_are_within_the_limit(
    spent: int, held: int, ask: int, refused: bool, waiting_helps: bool | None
) -> None:
    made = balances(Budget("b", 100))
    made.settle(charge(call("s", 0), spent))
    made.authorise(call("h", held))
    shortage = made.authorise(call("a", ask))
    assert (shortage is not None) is refused
    if shortage:
        assert shortage.only_holds is waiting_helps
        assert position(made, "b") == (spent, held)


def test_all_budgets_or_none() -> None:
    made = balances(Budget("wide", 100), Budget("narrow", 10, scope=Scope({"key": ("k",)})))
    assert made.authorise(call("1", 11, key="k"))
    assert (position(made, "wide"), position(made, "narrow")) == ((0, 0), (0, 0))
    assert made.authorise(call("2", 11, key="other")) is None
    assert (position(made, "wide"), position(made, "narrow")) == ((0, 11), (0, 0))


def test_where_one_budget_is_spent_and_another_held_waiting_does_not_help() -> None:
    made = balances(Budget("held", 100), Budget("spent", 10))
    made.authorise(call("1", 10))
    made.settle(charge(call("2", 0), 10))
    shortage = made.authorise(call("3", 85))
    assert shortage
    assert (shortage.position.budget.name, shortage.only_holds) == ("spent", False)


def test_a_soft_budget_tells_and_never_refuses() -> None:
    made = balances(Budget("soft", 10, hard=False))
    assert made.authorise(call("1", 1000)) is None
    assert position(made, "soft") == (0, 1000)
    assert made.left(call("2", 0)) is None


@pytest.mark.parametrize(
    ("scope", "model", "concerned"),
    [
        ({}, None, True),
        ({"team": ("search",)}, "gpt-4o", True),
        ({"team": ("ads",)}, None, False),
        ({"model": ("gpt-4o",)}, "gpt-4o", True),
        ({"model": ("gpt-4o",)}, "gpt-4.1", False),
        ({"model": ("gpt-4o",)}, None, True),  # a file may name it yet
        ({"model": ("gpt-4o",), "team": ("search",)}, None, True),
        ({"model": ("gpt-4o",), "team": ("ads",)}, None, False),
    ],
)
def test_which_calls_a_budget_may_be_about(
    scope: dict[str, tuple[str, ...]], model: str | None, concerned: bool
) -> None:
    asked = replace(call("1", 0), requested_model=model)
    assert balances(Budget("b", 10, scope=Scope(scope))).concern(asked) is concerned
    assert balances(Budget("b", 10, hard=False, scope=Scope(scope))).concern(asked) is concerned
    assert not balances().concern(asked)


def test_a_raised_hold_is_let_go_whole() -> None:
    made = balances(Budget("b", 100))
    made.authorise(call("1", 60))
    made.top_up(call("1", 60), 70)
    assert position(made, "b") == (0, 130)
    made.settle(charge(call("1", 130), 128))
    assert position(made, "b") == (128, 0)


def test_a_charge_belongs_to_the_window_of_its_admission() -> None:
    made = balances(Budget("daily", 100, "day"))
    late = call("1", 50, at=datetime(2026, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC))
    made.authorise(late)
    tomorrow = datetime(2026, 3, 2, tzinfo=UTC)
    assert made.authorise(call("2", 100, at=tomorrow)) is None
    made.settle(charge(late, 40))
    assert position(made, "daily", late.started_at) == (40, 0)
    assert position(made, "daily", tomorrow) == (0, 100)


def test_holds_expire() -> None:
    made = balances(Budget("b", 100))
    old, young = call("1", 10), call("2", 20, at=START + timedelta(hours=1))
    made.authorise(old)
    made.authorise(young)
    assert made.expire(START + timedelta(minutes=1)) == ["1"]
    assert position(made, "b", young.started_at) == (0, 20)


def test_what_costs_nothing_is_in_even_where_more_than_the_limit_is_spent() -> None:
    made = balances(Budget("b", 100))
    made.settle(charge(call("1", 0), 120))
    assert made.authorise(call("2", 0)) is None
    assert made.authorise(call("3", 1))


# Changing rules


def test_a_changed_limit_is_in_force_at_once_and_touches_nothing_else() -> None:
    made = balances(Budget("b", 100))
    made.settle(charge(call("1", 0), 30))
    made.authorise(call("2", 20))
    assert not made.needs_fold(Budget("b", 40))
    made.put([Budget("b", 40)], {})
    assert position(made, "b") == (30, 20)
    assert made.authorise(call("3", 1))
    made.put([Budget("b", 51)], {})
    assert made.authorise(call("3", 1)) is None


@pytest.mark.parametrize("changed", [Budget("b", 100, "day"), Budget("b", 100, scope=Scope({"team": ("search",)}))])
def test_a_budget_that_means_other_calls_is_summed_up_anew(changed: Budget) -> None:
    made = balances(Budget("b", 100))
    made.authorise(call("open", 20))
    assert made.needs_fold(changed)
    since, until = changed.window_at(START, ZoneInfo("UTC"))
    made.put([changed], {"b": [Fold(since, until, 33, 3)]})
    assert position(made, "b") == (33, 20)
    made.release("open")
    assert position(made, "b") == (33, 0)


def test_a_budget_that_is_taken_away_is_gone_with_its_holds() -> None:
    made = balances(Budget("b", 10))
    made.authorise(call("1", 10))
    made.put([], {})
    assert made.positions(START) == []
    assert made.authorise(call("2", 10**15)) is None
    made.settle(charge(call("1", 10), 10))


# The laws, over every order of events

TEAMS = ("search", "ads", None)
BUDGETS = (
    Budget("all", 1000, "day", EVERYTHING),
    Budget("search", 300, "month", Scope({"team": ("search",)})),
    Budget("4o of ads and search", 400, "total", Scope({"model": ("gpt-4o",), "team": ("ads", "search")})),
    Budget("prod", 200, "week", Scope({"tag:env": ("prod",)}), hard=False),
)


class Desk(RuleBasedStateMachine):
    """Authorise, settle, release, expire, crash and restart, change of limits, in any order."""

    open_calls = Bundle("open_calls")

    @initialize()
    def begin(self) -> None:
        self.now = START
        self.made = balances(*BUDGETS, zone=BERLIN)
        self.budgets = {budget.name: budget for budget in BUDGETS}
        self.open: dict[str, Call] = {}
        self.ended: list[Charge] = []
        self.count = 0

    @rule(
        target=open_calls,
        team=st.sampled_from(TEAMS),
        model=st.sampled_from(("gpt-4o", "gpt-4o-2024-11-20", "ft:gpt-4o:acme::1", "o3")),
        env=st.sampled_from((None, "prod")),
        ask=st.integers(0, 350),
    )
    def authorise(self, team: str | None, model: str, env: str | None, ask: int):  # type: ignore[no-untyped-def]
        self.count += 1
        made = call(str(self.count), ask, team=team, model=model, at=self.now, tags={"env": env} if env else {})
        should = all(
            ask == 0 or self.spent(b, self.now) + self.held(b, self.now) + ask <= b.limit_pico
            for b in self.budgets.values()
            if b.hard and b.scope.covers(made)
        )
        shortage = self.made.authorise(made)
        assert (shortage is None) is should
        if shortage is not None:
            return multiple()
        self.open[made.id] = made
        return made

    @rule(ended=consumes(open_calls), part=st.fractions(0, 1), unknown=st.booleans())
    def settle(self, ended: Call, part: float, unknown: bool) -> None:
        held = self.open.pop(ended.id, None) or ended  # an expired one settles too
        settled = charge(held, None if unknown else int(held.held_pico * part))
        self.made.settle(settled)
        self.ended.append(settled)

    @rule(ended=consumes(open_calls))
    def release(self, ended: Call) -> None:
        self.open.pop(ended.id, None)
        self.made.release(ended.id)

    @rule(minutes=st.integers(1, 3000))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def expire(self) -> None:
        before = self.now - timedelta(days=1)
        gone = set(self.made.expire(before))
        assert gone == {ident for ident, held in self.open.items() if held.started_at < before}
        for ident in gone:
            del self.open[ident]

    @rule(name=st.sampled_from([budget.name for budget in BUDGETS]), limit=st.integers(0, 1200))
    def change_limit(self, name: str, limit: int) -> None:
        old = self.budgets[name]
        self.budgets[name] = Budget(name, limit, old.window, old.scope, old.hard)
        self.made.put(self.budgets.values(), {})

    @rule()
    def crash(self) -> None:
        """All in memory is gone; what was in flight is charged as unknown; the ledger is summed up."""
        for held in self.open.values():
            self.ended.append(charge(held, None))
        self.open.clear()
        self.made = Balances(BERLIN)
        self.made.put(self.budgets.values(), {name: self.folds(budget) for name, budget in self.budgets.items()})

    def folds(self, budget: Budget) -> Iterator[Fold]:
        for at in {START, self.now, *(c.call.started_at for c in self.ended)}:
            since, until = budget.window_at(at, BERLIN)
            yield Fold(since, until, self.spent(budget, at), 0)

    def spent(self, budget: Budget, at: datetime) -> int:
        since, until = budget.window_at(at, BERLIN)
        return sum(
            c.call.held_pico if c.cost_pico is None else c.cost_pico
            for c in self.ended
            if budget.scope.covers(c.call) and since <= c.call.started_at < until
        )

    def held(self, budget: Budget, at: datetime) -> int:
        since, until = budget.window_at(at, BERLIN)
        return sum(c.held_pico for c in self.open.values() if budget.scope.covers(c) and since <= c.started_at < until)

    @invariant()
    def a_balance_is_the_fold_of_its_entries(self) -> None:
        for found in self.made.positions(self.now):
            assert found.spent_pico == self.spent(found.budget, self.now)
            assert found.held_pico == self.held(found.budget, self.now)


TestDesk = Desk.TestCase
TestDesk.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
