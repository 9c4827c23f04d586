"""What is assumed: given before recorded before a default, each named with where it comes from."""

from fractions import Fraction

import msgspec
import pytest

from billing.assumptions import MEANINGS, Asked, Recorded, scenario

MINI = "gpt-4o-mini-2024-07-18"
LEAST = {"calls": 1000, "model": MINI, "input_tokens": 2000, "output_tokens": 200}
SEEN = Recorded(MINI, Fraction(365, 12), 6000, 3000, 4_500_001, 900_000, 600_000)
TUNED = Recorded(f"ft:{MINI}:acme::Ab1", Fraction(365, 24), 6000, 3000, 1_500_000, 300_000, 600_000)


def test_every_field_has_a_meaning_and_every_meaning_a_field() -> None:
    assert tuple(MEANINGS) == Asked.__struct_fields__


def test_what_is_given_stands_and_the_rest_is_assumed() -> None:
    found = scenario(Asked(**LEAST, months=6, storage_gib="1.5", tuned_setup_usd="0.000000000001"))
    assert {name for name, it in found.assumptions.items() if it.source == "given"} == {
        *LEAST, "months", "storage_gib", "tuned_setup_usd",
    }  # fmt: skip
    assert {it.source for it in found.assumptions.values()} == {"given", "assumed"}
    assert (found.months, found.number("storage_gib"), found.number("tuned_setup_usd")) == (6, Fraction(3, 2), 1)
    assert (found.number("tuned_input_tokens"), found.number("stronger_input_tokens")) == (500, 2000)
    assert "training_usd" not in found.assumptions
    assert found.tuned_model == f"ft:{MINI}"


def test_recorded_calls_are_the_ones_with_the_longer_prompt() -> None:
    found = scenario(Asked(), SEEN)
    assert found.number("calls") == 6000, "in a month's time"
    assert found.number("input_tokens") == Fraction(4_500_001, 3000), "of the calls whose tokens are known, exactly"
    assert (found.number("cached_tokens"), found.number("output_tokens")) == (300, 200)
    assert (found.assumptions["calls"].source, found.assumptions["model"].value) == ("recorded", MINI)
    assert found.number("tuned_input_tokens") == 376, "a quarter, in whole tokens"


def test_recorded_calls_to_a_fine_tuned_model_are_the_ones_with_the_short_prompt() -> None:
    with pytest.raises(ValueError, match=r"^input_tokens: input of a call with the longer prompt"):
        scenario(Asked(), TUNED)
    found = scenario(Asked(input_tokens=1800), TUNED)
    assert found.number("calls") == 12_000, "half a month"
    assert (found.text("model"), found.tuned_model) == (MINI, f"ft:{MINI}:acme::Ab1")
    assert [found.number(f"tuned_{kind}_tokens") for kind in ("input", "cached", "output")] == [500, 100, 200]
    assert (found.number("output_tokens"), found.number("cached_tokens")) == (200, 0)


def test_what_is_given_goes_before_what_was_recorded() -> None:
    found = scenario(Asked(calls=1, model="gpt-4.1"), SEEN)
    assert (found.number("calls"), found.text("model")) == (1, "gpt-4.1")


@pytest.mark.parametrize("missing", LEAST)
def test_what_nobody_says_and_nothing_tells_is_asked_for(missing: str) -> None:
    with pytest.raises(ValueError, match=f"^{missing}: .*say it"):
        scenario(Asked(**{name: value for name, value in LEAST.items() if name != missing}))


@pytest.mark.parametrize("whose", ["", "tuned_", "stronger_"])
def test_no_more_is_cached_than_read(whose: str) -> None:
    with pytest.raises(ValueError, match=f"^{whose}cached_tokens are part of {whose}input_tokens"):
        scenario(Asked(**{**LEAST, f"{whose}input_tokens": 10, f"{whose}cached_tokens": 11}))


@pytest.mark.parametrize(
    "wrong",
    [{"calls": -1}, {"months": 0}, {"calls": 1.5}, {"tier": "fastest"}, {"tuned_setup_usd": "-1"}, {"nonsense": 1},
     {"storage_usd": "1e3"}, {"storage_gib": 1.5}, {"training_usd": "0.0000000000001"}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Asked)


@pytest.mark.parametrize(("days", "counted"), [(Fraction(0), 1), (Fraction(1), 0)])
def test_nothing_recorded_is_no_traffic(days: Fraction, counted: int) -> None:
    with pytest.raises(ValueError, match="no calls to m"):
        Recorded("m", days, 1, counted, 0, 0, 0)
