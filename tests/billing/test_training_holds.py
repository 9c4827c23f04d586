"""Fine-tuning jobs, by figures reckoned by hand: tokens × epochs × rate, and what is no such thing."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.attribution import Attribution
from billing.charges import Call
from billing.expectations import Expectations
from billing.file_holds import Figures, Sized
from billing.holds import DEFINITIONS, FRAMING, IMAGE_SLACK, Hold, Policy
from billing.price_sources import price_book
from billing.tokens import count_input
from billing.training_holds import (
    MOST_EPOCHS,
    Example,
    Examples,
    ExampleSum,
    Job,
    by_tokens,
    default_epochs,
    read_job,
    training_sized,
)
from billing.wanted import Wanted

NOW = datetime(2026, 11, 23, tzinfo=UTC)
BOOK = price_book(None)
POLICY = Policy(expected_pico=1_000_000)
STRICT = Policy(strict=True)
HUNDRED = Examples(100, 50_000)
NONE, PLAIN = Examples(), Wanted()


def call(model: str | None = "gpt-4.1-2025-04-14") -> Call:
    return Call("1", NOW, "fine_tuning", "POST", "/v1/fine_tuning/jobs", Attribution(), "r", model)


def held(
    job: Job, training: Examples = HUNDRED, validation: Examples = NONE, *, policy: Policy = POLICY,
    model: str | None = "gpt-4.1-2025-04-14",
) -> Sized:  # fmt: skip
    return training_sized(call(model), job, training, validation, Figures(BOOK, Expectations(), policy))


@pytest.mark.parametrize(
    ("model", "pico_each"),
    [
        ("gpt-4.1-2025-04-14", 25_000_000),  # $25 per 1M tokens
        ("gpt-4.1-mini-2025-04-14", 5_000_000),
        ("gpt-4o-mini-2024-07-18", 3_000_000),
        ("gpt-4o-2024-08-06", 25_000_000),
        ("davinci-002", 6_000_000),
        ("ft:gpt-4o-mini-2024-07-18:acme::AbC123", 3_000_000),  # trained further
    ],
)
@pytest.mark.parametrize("policy", [POLICY, STRICT])
def test_tokens_times_epochs_times_rate(model: str, pico_each: int, policy: Policy) -> None:
    sized = held(Job(epochs=4), model=model, policy=policy)
    assert sized.ask
    assert (sized.ask.pico, sized.ask.basis, sized.open_ends) == (50_000 * 4 * pico_each, Hold.BOUND, ())
    assert sized.ask.input_pico == sized.ask.pico


def test_validation_tokens_are_held_for_like_any() -> None:
    sized = held(Job(epochs=2), HUNDRED, Examples(10, 5_000))
    assert sized.ask
    assert sized.ask.pico == 55_000 * 2 * 25_000_000


@pytest.mark.parametrize(
    ("examples", "epochs"),
    [(0, 25), (1, 25), (4, 25), (10, 10), (33, 4), (34, 3), (100, 3), (8_333, 3), (8_334, 3), (12_500, 2),
     (12_501, 2), (25_000, 1), (1_000_000, 1)],
)  # fmt: skip
def test_the_epochs_that_openai_chooses(examples: int, epochs: int) -> None:
    assert default_epochs(examples) == epochs


def test_epochs_that_openai_chooses_are_no_bound() -> None:
    sized = held(Job())
    assert sized.ask
    assert (sized.ask.pico, sized.ask.basis) == (50_000 * 3 * 25_000_000, Hold.EXPECTED)
    assert sized.open_ends == ("no number of epochs",)


def test_strict_holds_the_most_epochs_that_it_ever_chooses() -> None:
    sized = held(Job(), policy=STRICT)
    assert sized.ask
    assert (sized.ask.pico, sized.ask.basis) == (50_000 * MOST_EPOCHS * 25_000_000, Hold.MAXIMUM)


OPEN = {
    "by the hour": (Job(method="reinforcement", epochs=1), HUNDRED, "o4-mini-2025-04-16"),
    "a method unheard of": (Job(method="osmosis", epochs=1), HUNDRED, "gpt-4.1-2025-04-14"),
    "no training price": (Job(epochs=1), HUNDRED, "gpt-5.4"),
    "no price by tokens": (Job(epochs=1), HUNDRED, "o4-mini-2025-04-16"),
    "no model": (Job(epochs=1), HUNDRED, None),
}


@pytest.mark.parametrize(("job", "training", "model"), OPEN.values(), ids=OPEN)
def test_what_nothing_bounds_is_expected_or_refused(job: Job, training: Examples, model: str | None) -> None:
    sized = held(job, training, model=model)
    assert sized.ask
    assert (sized.ask.pico, sized.ask.basis) == (POLICY.expected_pico, Hold.EXPECTED)
    refused = held(job, training, model=model, policy=STRICT)
    assert refused.ask is None
    assert refused.open_ends


@pytest.mark.parametrize(
    ("job", "training"), [(Job(epochs=0), HUNDRED), (Job(epochs=3), replace(HUNDRED, open_ends=("a line",)))]
)
def test_what_is_known_in_part_is_held_at_least_at_that(job: Job, training: Examples) -> None:
    sized = held(job, training)
    assert sized.ask
    assert (sized.ask.pico, sized.ask.basis) == (50_000 * 3 * 25_000_000, Hold.EXPECTED)
    little = held(job, replace(training, tokens=0))
    assert little.ask
    assert little.ask.pico == POLICY.expected_pico
    assert held(job, training, policy=STRICT).ask is None


JOBS: dict[str, tuple[dict[str, Any] | bytes, Job]] = {
    "the usual": (
        {"model": "m", "training_file": "file-1", "validation_file": "file-2"}, Job("file-1", "file-2")),
    "epochs in the older place": ({"hyperparameters": {"n_epochs": 4}}, Job(epochs=4)),
    "epochs of the method": (
        {"method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 5}}}}, Job(method="dpo", epochs=5)),
    "another method's epochs": (
        {"method": {"type": "supervised", "dpo": {"hyperparameters": {"n_epochs": 5}}}}, Job()),
    "both: the larger": (
        {"hyperparameters": {"n_epochs": 2},
         "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}}}, Job(epochs=3)),
    "auto": ({"hyperparameters": {"n_epochs": "auto"}}, Job()),
    "auto and a number": (
        {"hyperparameters": {"n_epochs": "auto"},
         "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}}}, Job(epochs=3)),
    "many": ({"hyperparameters": {"n_epochs": "many"}}, Job(epochs=0)),
    "none": ({"hyperparameters": {"n_epochs": 0}}, Job(epochs=0)),
    "true": ({"hyperparameters": {"n_epochs": True}}, Job(epochs=0)),
    "too many": ({"hyperparameters": {"n_epochs": 10**9}}, Job(epochs=0)),
    "a method that is no text": ({"method": {"type": 7}}, Job(method="")),
    "fields of another shape": ({"training_file": 7, "method": "dpo", "hyperparameters": []}, Job()),
    "no JSON": (b"{", Job(epochs=0)),
    "no object": (b"[]", Job()),
}  # fmt: skip


@pytest.mark.parametrize(("body", "job"), JOBS.values(), ids=JOBS)
def test_a_job_is_read_from_its_request(body: dict[str, Any] | bytes, job: Job) -> None:
    assert read_job(body if isinstance(body, bytes) else json.dumps(body).encode()) == job


def test_which_methods_are_billed_by_tokens() -> None:
    assert [by_tokens(Job(method=method)) for method in ("supervised", "dpo", "reinforcement", "")] == [
        True, True, False, False]  # fmt: skip


def summed(*given: Example | None, method: str = "supervised", exact: bool = False, model: str = "gpt-4o") -> Examples:
    waiting = list(given)
    total = ExampleSum(call(model), method, lambda line: waiting.pop(0), exact=exact)
    for _ in given:
        total.add(b"x" * 70)
    return total.examples()


def example(wanted: Wanted = PLAIN, body: bytes = b"x" * 100, *, plain: bool = True) -> Example:
    return Example(wanted, plain, body)


def test_an_example_is_bounded_by_its_bytes() -> None:
    assert summed() == Examples(0, 0)
    assert summed(example(), example()) == Examples(2, 2 * (100 + FRAMING))
    tools = example(Wanted(definitions_bytes=40))
    assert summed(tools) == Examples(1, 100 + 40 + FRAMING + DEFINITIONS)
    pictures = example(Wanted(images=2))  # of 85 tokens and 8 tiles of 170
    assert summed(pictures) == Examples(1, 100 + FRAMING + 2 * (1445 + IMAGE_SLACK))


def test_two_answers_to_one_prompt_may_count_it_twice() -> None:
    assert summed(example(), method="dpo") == Examples(1, 2 * (100 + FRAMING))


def test_a_line_that_is_no_example_is_named_and_counts_with_its_bytes() -> None:
    total = ExampleSum(call(), "supervised", lambda line: None)
    total.add(b"x" * 70)
    total.add(10**8)
    assert total.examples() == Examples(2, 70 + 10**8, ("a line that is no example",))


def test_what_an_example_only_refers_to_is_named() -> None:
    assert summed(example(Wanted(elsewhere=("a part of type file",)))).open_ends == ("a part of type file",)
    assert summed(example(Wanted(images=1)), model="gpt-5.4").open_ends == ("images of any size",)


def test_near_the_limit_examples_are_counted() -> None:
    fields = {"messages": [{"role": "user", "content": "the quick brown fox " * 50}]}
    body = json.dumps(fields).encode()
    tokens = count_input("chat", fields, "gpt-4o").tokens
    assert summed(example(body=body), exact=True).tokens == tokens + FRAMING
    assert summed(example(body=body)).tokens > 3 * tokens
    assert summed(example(body=body, plain=False), exact=True) == summed(example(body=body))
