"""A usage is a bag of disjoint quantities."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.usage import INPUT_TOKENS, TOKEN_UNITS, Unit, Usage

usages = st.dictionaries(st.sampled_from(list(Unit)), st.integers(0, 10**12)).map(Usage)


def test_a_unit_that_is_not_in_the_bag_counts_zero() -> None:
    usage = Usage({Unit.INPUT_TEXT: 3})
    assert (usage[Unit.INPUT_TEXT], usage[Unit.OUTPUT_TEXT]) == (3, 0)
    assert Unit.OUTPUT_TEXT not in usage
    assert list(usage) == [Unit.INPUT_TEXT]


def test_zeros_are_not_kept() -> None:
    assert Usage({Unit.IMAGES: 0}) == Usage() == Usage(None)
    assert not Usage({Unit.IMAGES: 0})
    assert len({Usage({Unit.IMAGES: 0}), Usage()}) == 1


def test_a_negative_quantity_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Usage({Unit.INPUT_TEXT: 5, Unit.OUTPUT_TEXT: -1})


def test_input_tokens_are_all_kinds_of_input_and_nothing_else() -> None:
    assert Usage(dict.fromkeys(Unit, 1)).input_tokens == len(INPUT_TOKENS) == 8
    assert Usage({Unit.OUTPUT_TEXT: 5, Unit.INPUT_CHARACTERS: 7, Unit.TRAINING_TOKENS: 9}).input_tokens == 0


def test_token_units_are_those_named_so() -> None:
    assert {unit for unit in Unit if unit.endswith("_tokens")} == TOKEN_UNITS


def test_a_bag_shows_what_is_in_it() -> None:
    assert repr(Usage({Unit.INPUT_TEXT: 3, Unit.IMAGES: 1})) == "Usage(input_text_tokens=3, images=1)"


@given(usages, usages, usages)
def test_bags_add_like_numbers(one: Usage, two: Usage, three: Usage) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + Usage() == one
    assert hash(one + two) == hash(two + one)
    assert (one + two).input_tokens == one.input_tokens + two.input_tokens
    assert all((one + two)[unit] == one[unit] + two[unit] for unit in Unit)


@given(usages)
def test_a_bag_is_equal_to_bags_only(usage: Usage) -> None:
    assert usage != dict(usage)
    assert usage == Usage(dict(usage))
