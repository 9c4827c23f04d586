"""What training has cost, what its models were used for, and when that pays back."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.price_sources import price_book
from billing.replacements import Part, Used
from billing.training_jobs import MONTH_DAYS, Job, Use, amortized, is_of, payback_months, use_of
from billing.usage import Unit, Usage

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TUNED = "ft:gpt-4o-mini-2024-07-18:acme::x1"
BOOK = price_book()


def job(fee_pico: int | None, model: str | None = TUNED) -> Job:
    return Job("ftjob-1", model, "gpt-4o-mini", NOON, "reported", None, None, None, None, 1000, 0, fee_pico)


def used(tokens: int, model: str = TUNED, unknown: int = 0) -> Used:
    usage = Usage({Unit.INPUT_TEXT: tokens, Unit.WEB_SEARCH_CALLS: 5})
    return Used(model, 2, tokens * 300_000, unknown, (Part("default", 2, usage),))


@pytest.mark.parametrize(
    ("name", "expected"),
    [(TUNED, True), (f"{TUNED}:ckpt-step-10", True), (f"{TUNED}2", False), ("gpt-4o-mini", False)],
)
def test_checkpoints_are_of_the_model(name: str, expected: bool) -> None:
    assert is_of(TUNED, name) is expected


def test_use_counts_tokens_and_not_searches() -> None:
    use = use_of(TUNED, [used(100), used(7, f"{TUNED}:ckpt-step-3", 1), used(50, "gpt-4o")], None, BOOK, NOON)
    assert use == Use(4, 107, 107 * 300_000, 1)


def test_what_another_model_has_no_price_for_is_not_known() -> None:
    assert use_of(TUNED, [used(100)], "no such model", BOOK, NOON).instead_pico is None


@pytest.mark.parametrize(
    ("fee", "cost", "instead", "days", "months"),
    [
        (100, 10, 20, 30, 300 / MONTH_DAYS),
        (100, 10, 10, 30, None),  # saves nothing
        (100, 10, 5, 30, None),  # costs more
        (None, 10, 20, 30, None),
        (100, 10, None, 30, None),
        (100, 10, 20, 0, None),
    ],
)
def test_it_pays_back_at_the_pace_so_far(
    fee: int | None, cost: int, instead: int | None, days: int, months: Fraction | None
) -> None:
    assert payback_months(fee, Use(1, 1, cost, 0, instead), NOON, NOON + timedelta(days=days)) == months


@given(st.integers(0, 10**15), st.lists(st.integers(1, 10**9), min_size=1, max_size=6))
def test_the_shares_of_all_use_add_up_to_the_fee(fee: int, tokens: list[int]) -> None:
    ever = [used(sum(tokens))]
    shares = [amortized([job(fee)], [used(each)], ever, BOOK, NOON)[0].share_pico for each in tokens]
    assert abs(sum(share or 0 for share in shares) - fee) <= len(tokens)


def test_several_jobs_of_a_model_are_spread_together_and_an_unknown_fee_spreads_to_nothing_known() -> None:
    (both,) = amortized([job(10), job(20), job(5, "ft:gpt-4o-mini-2024-07-18")], [used(3)], [used(3)], BOOK, NOON)
    assert (both.jobs, both.fees_pico, both.share_pico) == (2, 30, 30)
    (unknown,) = amortized([job(10), job(None)], [used(3)], [used(3)], BOOK, NOON)
    assert (unknown.fees_pico, unknown.share_pico, unknown.per_1k_pico(with_training=True)) == (None, None, None)
    (unused,) = amortized([job(10)], [], [], BOOK, NOON)
    assert (unused.share_pico, unused.per_1k_pico(with_training=False)) == (None, None)
