"""Allowances: what a raise of a hold adds, and how many visible characters it pays for.

Rates of the test's model in p$ a token: input 10, output 40, audio 100 and 200; over 1,000 input tokens all doubles.
"""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.allowances import CHARACTERS_PER_TOKEN, Allowance, allowance
from billing.attribution import Attribution
from billing.charges import Call
from billing.holds import Ask, Hold
from billing.prices import Price, PriceBook, PriceList
from billing.rating import Rate
from billing.usage import Unit
from billing.wanted import Wanted

RATES = {
    Unit.INPUT_TEXT: Rate(10),
    Unit.OUTPUT_TEXT: Rate(40),
    Unit.INPUT_AUDIO: Rate(100),
    Unit.OUTPUT_AUDIO: Rate(200),
}
TWICE = {unit: Rate(2 * rate.pico) for unit, rate in RATES.items()}
FREE_OUTPUT = {Unit.INPUT_TEXT: Rate(10), Unit.OUTPUT_TEXT: Rate(0)}


def book(output_pico: int = 40) -> PriceBook:
    rows = (
        Price("gpt-4o", "default", date.min, RATES | {Unit.OUTPUT_TEXT: Rate(output_pico)}, TWICE, 1_000),
        Price("free-output", "default", date.min, FREE_OUTPUT),
    )
    return PriceBook((PriceList("test", rows),), "test")


def call(model: str | None = "gpt-4o") -> Call:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    return Call("fbx_1", at, "chat", "POST", "/v1/chat/completions", Attribution(), "one", model, streamed=True)


@pytest.mark.parametrize(
    ("held", "wanted", "given"),
    [
        # 100 tokens of input are 1,000 p$ of the hold; the rest pays for output at 40 p$ for three characters
        (Ask(5_000, Hold.EXPECTED, tokens=100), Wanted(), Allowance(4_000, 300)),
        (Ask(5_000, Hold.EXPECTED), Wanted(), Allowance(5_000, 375)),
        (Ask(1_041, Hold.EXPECTED, tokens=100), Wanted(), Allowance(41, 3)),
        (Ask(1_001, Hold.EXPECTED, tokens=100), Wanted(), Allowance(1, 1)),  # a stream always gets on
        (Ask(50_000, Hold.EXPECTED, tokens=100), Wanted(audio=True), Allowance(40_000, 600)),
        (Ask(50_000, Hold.EXPECTED, tokens=1_000), Wanted(), Allowance(40_000, 3_000)),
        (Ask(50_000, Hold.EXPECTED, tokens=1_001), Wanted(), Allowance(50_000 - 20_020, 29_980 * 3 // 80)),
    ],
)
def test_the_part_of_a_hold_that_is_no_input_is_its_step(held: Ask, wanted: Wanted, given: Allowance) -> None:
    assert allowance(call(), held, wanted, book()) == given


@pytest.mark.parametrize(
    ("case", "held", "model"),
    [
        ("the most is known", Ask(5_000, Hold.BOUND, tokens=100), "gpt-4o"),
        ("the model's maximum is held", Ask(5_000, Hold.MAXIMUM, tokens=100), "gpt-4o"),
        ("a model without a price", Ask(5_000, Hold.EXPECTED, tokens=100), "gpt-9"),
        ("no model", Ask(5_000, Hold.EXPECTED, tokens=100), None),
        ("output costs nothing", Ask(5_000, Hold.EXPECTED, tokens=100), "free-output"),
        ("the hold is all input", Ask(1_000, Hold.EXPECTED, tokens=100), "gpt-4o"),
        ("the hold is less than the input's bound", Ask(999, Hold.EXPECTED, tokens=100), "gpt-4o"),
    ],
)
def test_no_allowance_where_a_hold_cannot_be_outgrown_or_nothing_tells_by_how_much(
    case: str, held: Ask, model: str | None
) -> None:
    assert allowance(call(model), held, Wanted(), book()) is None, case


@given(st.integers(1, 10**13), st.integers(0, 10**6), st.integers(1, 10**9))
def test_a_step_pays_for_its_characters(pico: int, tokens: int, output_pico: int) -> None:
    given = allowance(call(), Ask(pico, Hold.EXPECTED, tokens=tokens), Wanted(), book(output_pico))
    if given is not None:
        assert 0 < given.step_pico <= pico
        assert given.step_characters >= 1
        if given.step_characters > 1:
            assert given.step_characters * output_pico <= given.step_pico * CHARACTERS_PER_TOKEN
