"""Estimates against figures reckoned by hand; what nobody can know is null, and said."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from billing import retirements, training_models
from billing.money import pico_from_usd
from billing.price_sources import price_book
from billing.training_data import Form
from billing.training_estimates import Plan, estimate, shown
from billing.training_holds import training_price
from billing.training_tallies import Kind, Report
from billing.training_tokens import Tokens
from billing.usage import Unit

NOW, LAUNCH = datetime(2026, 11, 23, tzinfo=UTC), datetime(2023, 8, 22, tzinfo=UTC)
BOOK = price_book()
REPORT = Report(Form.SUPERVISED, 10_000, 200, Tokens(60_000, 49_000, 50_000, 52_000), (), ())
MINI = "gpt-4o-mini-2024-07-18"


def made(model: str = MINI, report: Report = REPORT, at: datetime = NOW, **more: Any) -> dict[str, Any]:
    known = training_models.known(), retirements.announced()
    return shown(estimate(Plan(model, at, **more), report, BOOK, *known), BOOK)


def test_tokens_times_epochs_times_rate() -> None:
    found = made(epochs=4)
    names = ("examples", "tokens", "billable_tokens_per_epoch", "epochs", "billable_tokens")
    assert [found[name] for name in names] == [200, 60_000, 50_000, 4, 200_000]
    assert (found["price_usd_per_mtok"], found["cost_usd_per_epoch"], found["cost_usd"]) == ("3", "0.15", "0.6")
    assert found["uncertainty"] == {
        "billable_tokens": (196_000, 208_000), "cost_usd": ["0.588", "0.624"], "approximate_examples": 0}  # fmt: skip
    assert (found["epochs_chosen_by"], found["unpriced"], found["trainable"]) == ("you", None, True)


@pytest.mark.parametrize(
    ("model", "at", "usd"),
    [
        ("gpt-4.1-2025-04-14", NOW, "25"),
        ("gpt-4.1-mini-2025-04-14", NOW, "5"),
        ("gpt-4o-2024-08-06", NOW, "25"),
        ("ft:gpt-4o-mini-2024-07-18:acme::AbC123", NOW, "3"),
        ("gpt-3.5-turbo-0613", LAUNCH, "8"),
        ("davinci-002", LAUNCH, "6"),
        ("babbage-002", LAUNCH, "0.4"),
        ("davinci", datetime(2023, 5, 1, tzinfo=UTC), "30"),
        ("curie", datetime(2023, 5, 1, tzinfo=UTC), "3"),
    ],
)
def test_the_price_is_that_of_the_model_on_the_day(model: str, at: datetime, usd: str) -> None:
    found = made(model, at=at, epochs=1)
    assert found["price_usd_per_mtok"] == usd
    assert pico_from_usd(found["cost_usd"]) == 50_000 * pico_from_usd(usd) // 10**6
    assert found["price_source"]
    assert found["priced_on"] == str(at.date())


def test_the_launch_prices_of_inference() -> None:
    found = made("gpt-3.5-turbo-0613", at=LAUNCH)["inference"][0]
    assert (found["input_usd_per_mtok"], found["output_usd_per_mtok"]) == ("12", "16")


@pytest.mark.parametrize(("examples", "epochs"), [(10, 10), (200, 3), (20_000, 2)])
def test_epochs_that_openai_chooses_are_said_to_be_so(examples: int, epochs: int) -> None:
    found = made(report=replace(REPORT, examples=examples))
    assert (found["epochs"], found["epochs_chosen_by"]) == (epochs, "openai")
    assert found["billable_tokens"] == 50_000 * epochs
    assert any("epochs are OpenAI's to choose" in warning for warning in found["warnings"])
    assert not any("epochs are OpenAI's" in warning for warning in made(epochs=3)["warnings"])


@pytest.mark.parametrize(
    ("model", "report", "text"),
    [
        ("gpt-5.4", REPORT, "no training price is known for gpt-5.4"),
        ("no-such-model", REPORT, "no training price is known"),
        ("gpt-4o", REPORT, "did you mean gpt-4o-2024-08-06 or gpt-4o-2024-11-20?"),
        ("gpt-4o-2024-05-13", REPORT, "no training price is known"),
        ("o4-mini-2025-04-16", REPORT, "trained by reinforcement only"),
        ("gpt-4.1-2025-04-14", replace(REPORT, form=Form.REINFORCEMENT), "by tokens only"),
    ],
)
def test_what_has_no_price_is_said_and_never_zero(model: str, report: Report, text: str) -> None:
    found = made(model, report, epochs=2)
    assert [found[name] for name in ("cost_usd", "cost_usd_per_epoch", "price_usd_per_mtok", "price_usd_per_hour")] == [
        None
    ] * 4
    assert found["uncertainty"]["cost_usd"] is None
    assert text in found["unpriced"]
    assert found["warnings"][0] == found["unpriced"]
    assert not found["trainable"]


def test_a_price_before_its_first_day_is_none() -> None:
    assert made("gpt-4.1-2025-04-14", at=LAUNCH)["cost_usd"] is None


def test_reinforcement_costs_what_the_clock_says() -> None:
    graded = replace(REPORT, form=Form.REINFORCEMENT)
    found = made("o4-mini-2025-04-16", graded)
    assert [found[name] for name in ("cost_usd", "billable_tokens", "epochs", "price_usd_per_mtok")] == [None] * 4
    assert (found["price_usd_per_hour"], found["tokens"], found["unpriced"]) == ("100", 60_000, None)
    assert any("billed by the hour" in warning for warning in found["warnings"])
    timed = made("o4-mini-2025-04-16", graded, seconds=9_180)
    assert (timed["cost_usd"], timed["training_seconds"]) == ("255", 9_180)  # OpenAI's own example: 2.55 h


def test_a_preference_says_what_is_not_known_of_it() -> None:
    found = made(report=replace(REPORT, form=Form.PREFERENCE))
    assert found["method"] == "preference"
    assert any("counts once or twice" in warning for warning in found["warnings"])


ENDS: dict[str, tuple[str, datetime, str, bool]] = {
    "in time": (MINI, NOW, "used for 52 days: gpt-4o-mini-2024-07-18 is shut down on 2027-01-14", True),
    "closed to some": (MINI, NOW, "no new jobs after 2027-01-06, and none of organisations that had never", True),
    "the last day": (MINI, datetime(2027, 1, 6, 23, tzinfo=UTC), "no new jobs after 2027-01-06", True),
    "too late": (MINI, datetime(2027, 1, 7, tzinfo=UTC), "2027-01-06 was the last day to create a job", False),
    "shut down": ("gpt-3.5-turbo-0125", NOW, "gpt-3.5-turbo-0125 was shut down on 2026-10-23", False),
    "reasoning": ("o4-mini-2025-04-16", NOW, "o4-mini-2025-04-16 was shut down on 2026-10-23", False),
}


@pytest.mark.parametrize(("model", "at", "text", "trainable"), ENDS.values(), ids=ENDS)
def test_ends_are_warned_of(model: str, at: datetime, text: str, trainable: bool) -> None:
    form = Form.REINFORCEMENT if model.startswith("o4") else Form.SUPERVISED
    found = made(model, replace(REPORT, form=form), at)
    assert any(text in warning for warning in found["warnings"]), found["warnings"]
    assert found["trainable"] is trainable


def test_nothing_is_warned_of_that_nobody_knew() -> None:
    assert not any("no new jobs" in warning for warning in made("gpt-3.5-turbo-0613", at=LAUNCH)["warnings"])


def test_what_is_wrong_with_the_file_is_told() -> None:
    kinds = (
        Kind("json", True, 3, 7, "no JSON"),
        Kind("too_few", True, 1, None, "few"),
        Kind("odd", False, 1, 2, "odd"),
        Kind("model", True, 1, None, "said otherwise"),
    )
    found = made(report=replace(REPORT, kinds=kinds, tokens=replace(REPORT.tokens, approximate=5)))
    assert (found["errors"], found["unread_examples"]) == (5, 3)
    for text in (
        "3 lines could not be read",
        "line 7 and 2 more: no JSON",
        "few",
        "line 2: odd",
        "5 examples have tools",
    ):
        assert any(warning.startswith(text) for warning in found["warnings"]), text
    assert "said otherwise" not in found["warnings"]


def test_calls_afterwards_standard_and_batch_beside_the_base() -> None:
    rows = made("gpt-4o-2024-08-06")["inference"]
    assert [(row["model"], row["tier"]) for row in rows] == [
        ("ft:gpt-4o-2024-08-06", "default"),
        ("ft:gpt-4o-2024-08-06", "batch"),
        ("gpt-4o-2024-08-06", "default"),
    ]
    assert [row["input_usd_per_mtok"] for row in rows] == ["3.75", "2.225", "2.5"]


def test_a_model_of_unknown_encoding_is_said_to_be_counted_by_guess() -> None:
    assert any("encoding of no-such-model" in warning for warning in made("no-such-model")["warnings"])


def test_training_prices_by_the_hour_and_by_the_token_are_apart() -> None:
    assert training_price("o4-mini-2025-04-16", Unit.TRAINING_SECONDS, BOOK, NOW)
    assert training_price("o4-mini-2025-04-16", Unit.TRAINING_TOKENS, BOOK, NOW) is None
    assert training_price("", Unit.TRAINING_TOKENS, BOOK, NOW) is None
