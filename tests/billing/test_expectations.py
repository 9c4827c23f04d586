import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.expectations import KINDS_CEILING, LEAST_KNOWN, Costs, Expectations
from billing.rating import Line, Rate
from billing.tables import row_of
from billing.usage import Unit, Usage

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def charge(
    output: int = 100,
    hold: str | None = "expected",
    model: str | None = "gpt-4o",
    *,
    known: bool = True,
    operation: str = "chat",
) -> Charge:
    """A charge of 7 p$ for its input and of so many for its output."""
    call = Call("fbx", NOW, operation, "POST", "/v1/x", Attribution(), "one", model, hold=hold)
    lines = (Line(Unit.INPUT_TEXT, 7, Rate(1), 7), Line(Unit.OUTPUT_TEXT, output, Rate(1), output))
    cost = 7 + output if known else None
    return Charge(call, Outcome(NOW, Basis.REPORTED), model, model, "default", Usage(), lines, Usage(), cost, "book")


def learned(charges: list[Charge]) -> Expectations:
    expectations = Expectations()
    for one in charges:
        expectations.learn(one)
    return expectations


@given(st.lists(st.integers(0, 2**60), min_size=LEAST_KNOWN, max_size=300), st.sampled_from([50, 90, 99, 100]))
def test_a_percentile_is_never_under_the_true_one_and_at_most_a_sixteenth_over(costs: list[int], percent: int) -> None:
    bag = Costs()
    for cost in costs:
        bag.add(cost)
    true = sorted(costs)[-(-len(costs) * percent // 100) - 1]
    found = bag.percentile(percent)
    assert found is not None
    assert true <= found <= true + true // 16


def test_the_99th_percentile_leaves_out_the_dearest_call_of_a_hundred() -> None:
    expectations = learned([*(charge(10) for _ in range(99)), charge(1_000_000)])
    assert expectations.output_pico("chat", "gpt-4o") == 10
    assert expectations.whole_pico("chat", "gpt-4o") == 17
    expectations.learn(charge(1_000_000))
    assert (expectations.output_pico("chat", "gpt-4o") or 0) >= 1_000_000
    assert expectations.output_pico("chat", "gpt-4o", 50) == 10


def test_a_figure_rests_on_a_hundred_calls() -> None:
    expectations = learned([charge()] * 99)
    assert expectations.output_pico("chat", "gpt-4o") is None
    expectations.learn(charge())
    assert expectations.output_pico("chat", "gpt-4o") is not None


@pytest.mark.parametrize(
    "other",
    [charge(hold="bound"), charge(hold="maximum"), charge(hold=None), charge(model=None), charge(known=False)],
    ids=["bounded", "held at the maximum", "not held", "no model", "cost not known"],
)
def test_only_calls_held_by_expectation_with_a_known_cost_teach(other: Charge) -> None:
    expectations = learned([other] * 200)
    assert expectations.output_pico("chat", "gpt-4o") is None
    row: dict[str, Any] = row_of(other)
    for _ in range(200):
        expectations.learn_row(row)
    assert expectations.whole_pico("chat", "gpt-4o") is None


def test_operations_and_base_models_are_apart_and_versions_of_a_model_together() -> None:
    expectations = learned([charge(model="gpt-4o-2024-08-06")] * 50 + [charge(model="ft:gpt-4o-2024-08-06:a::b")] * 50)
    assert expectations.output_pico("chat", "gpt-4o") is not None
    assert expectations.output_pico("responses", "gpt-4o") is None
    assert expectations.output_pico("chat", "gpt-4o-mini") is None


@given(st.lists(st.integers(0, 10**12), min_size=LEAST_KNOWN, max_size=150), st.randoms(use_true_random=False))
def test_the_order_of_charges_does_not_matter_nor_whether_they_come_as_rows(
    costs: list[int], chance: random.Random
) -> None:
    charges = [charge(cost) for cost in costs]
    first = learned(charges)
    chance.shuffle(charges)
    second = Expectations()
    for one in charges:
        second.learn_row(row_of(one))
    for percent in (50, 99):
        assert first.output_pico("chat", "gpt-4o", percent) == second.output_pico("chat", "gpt-4o", percent)
        assert first.whole_pico("chat", "gpt-4o", percent) == second.whole_pico("chat", "gpt-4o", percent)


def test_memory_is_bounded_whatever_names_apps_invent() -> None:
    expectations = learned([charge(model=f"model-{number}") for number in range(KINDS_CEILING)])
    for _ in range(LEAST_KNOWN):
        expectations.learn(charge(model="one-too-many"))
        expectations.learn(charge(model="model-1"))
    assert expectations.output_pico("chat", "one-too-many") is None
    assert expectations.output_pico("chat", "model-1") is not None
