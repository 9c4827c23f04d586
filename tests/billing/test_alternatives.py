"""What each way costs, worked out by hand from OpenAI's list of August 2026 (dollars per million tokens):
gpt-4o-mini .15 in, .075 cached, .60 out; fine-tuned .30, .15, 1.20, training 3; gpt-4.1 2, .5, 8, batch half without a
cached price; text-embedding-3-small .02; file search $2.50 per 1,000; storage $.10 per GiB and day."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from billing.alternatives import PROMPT, RETRIEVAL, STRONGER, TUNED, ways
from billing.assumptions import Asked, scenario
from billing.breakeven import Way
from billing.price_sources import price_book

BOOK = price_book()
AT = datetime(2026, 10, 1, tzinfo=UTC)
LEAST = {"calls": 1000, "model": "gpt-4o-mini-2024-07-18", "input_tokens": 2000, "output_tokens": 200}
USD = 10**12


def costs(way: str, at: datetime = AT, **said: Any) -> tuple[Fraction, ...] | str:
    """In dollars: a call, a month, once."""
    known = scenario(Asked(**{**LEAST, "stronger": "gpt-4.1-2025-04-14", **said}))
    found = {name: made for name, _, made in ways(known, BOOK, at)}[way]
    if not isinstance(found, Way):
        return found
    return found.call_pico / USD, found.month_pico / USD, found.once_pico / USD


def usd(*amounts: str) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, amounts))


@pytest.mark.parametrize(("way", "said", "expected"), [
    (PROMPT, {}, usd("0.00042", "0", "0")),                                       # 2000 × .15 + 200 × .60
    (PROMPT, {"cached_tokens": 1000}, usd("0.000345", "0", "0")),                 # 1000 × .15 + 1000 × .075 + …
    (PROMPT, {"prompt_setup_usd": "99.5", "prompt_monthly_usd": "7"}, usd("0.00042", "7", "99.5")),
    (PROMPT, {"tier": "batch"}, usd("0.00021", "0", "0")),
    (TUNED, {}, usd("0.00039", "0", "3")),                                        # 500 × .30 + 200 × 1.20; 1M × 3
    (TUNED, {"tuned_input_tokens": 300, "tuned_cached_tokens": 100, "tuned_output_tokens": 50},
     usd("0.000135", "0", "3")),                                                  # 200 × .30 + 100 × .15 + 50 × 1.20
    (TUNED, {"training_tokens": 500_000, "tuned_setup_usd": "100", "tuned_monthly_usd": "20"},
     usd("0.00039", "20", "101.5")),
    (TUNED, {"training_usd": "250"}, usd("0.00039", "0", "250")),
    (TUNED, {"tier": "batch"}, usd("0.000195", "0", "3")),                        # training has no tiers
    (STRONGER, {}, usd("0.0056", "0", "0")),                                      # 2000 × 2 + 200 × 8
    (STRONGER, {"stronger_input_tokens": 1000, "stronger_output_tokens": 100, "stronger_setup_usd": "5"},
     usd("0.0028", "0", "5")),
    (RETRIEVAL, {}, usd("0.000422", "0", "0.02")),                                # 2000 × .15 + … + 100 × .02; 1M × .02
    (RETRIEVAL, {"query_tokens": 0, "context_tokens": 0}, usd("0.000195", "0", "0.02")),    # the short prompt
    (RETRIEVAL, {"query_tokens": 0, "file_searches": 2}, usd("0.00542", "0", "0.02")),      # 2 × .0025 more
    (RETRIEVAL, {"storage_gib": "13", "query_tokens": 0}, usd("0.00042", "36.5", "0.02")),  # 12 × .1 × 365 ÷ 12
    (RETRIEVAL, {"storage_gib": "0.5", "query_tokens": 0}, usd("0.00042", "0", "0.02")),    # within what is free
    (RETRIEVAL, {"storage_gib": "0.5", "storage_free_gib": "0", "storage_usd": "2.4", "query_tokens": 0},
     usd("0.00042", "36.5", "0.02")),
    (RETRIEVAL, {"corpus_tokens": 50_000_000, "corpus_monthly_tokens": 5_000_000, "query_tokens": 0,
                 "retrieval_setup_usd": "10", "retrieval_monthly_usd": "1"}, usd("0.00042", "1.1", "11")),
    (RETRIEVAL, {"embedding": "text-embedding-3-large", "query_tokens": 0}, usd("0.00042", "0", "0.13")),
    (STRONGER, {"stronger": "gpt-5.4", "stronger_input_tokens": 272_000}, usd("0.683", "0", "0")),
    (STRONGER, {"stronger": "gpt-5.4", "stronger_input_tokens": 272_001}, usd("1.364505", "0", "0")),  # all of it long
])  # fmt: skip
def test_what_a_way_costs(way: str, said: dict[str, Any], expected: tuple[Fraction, ...]) -> None:
    assert costs(way, **said) == expected


@pytest.mark.parametrize(
    ("way", "said", "why"),
    [
        (TUNED, {"model": "gpt-5.4"}, "no training price is known for gpt-5.4"),
        (TUNED, {"model": "o4-mini-2025-04-16"}, "trained by the hour: say training_usd"),
        (TUNED, {"tier": "priority"}, "no price is known for ft:gpt-4o-mini-2024-07-18 at tier priority"),
        (STRONGER, {"stronger": "gpt-99"}, "no price is known for gpt-99"),
        (RETRIEVAL, {"embedding": "no-such"}, "no price is known for no-such"),
        (PROMPT, {"model": "text-embedding-3-small"}, "has no output_text_tokens"),
        (PROMPT, {"model": "gpt-5.5", "input_tokens": 300_000, "tier": "priority"}, "for calls of this size"),
    ],
)
def test_what_has_no_price_has_a_reason_and_no_cost(way: str, said: dict[str, Any], why: str) -> None:
    found = costs(way, **said)
    assert isinstance(found, str)
    assert why in found


def test_training_by_the_hour_is_priced_when_its_sum_is_said() -> None:
    said = {"model": "o4-mini-2025-04-16", "training_usd": "300"}
    assert costs(TUNED, **said) == usd("0.0052", "0", "300")  # 500 × 4 + 200 × 16


def test_prices_are_those_of_the_day() -> None:
    launch = {"model": "gpt-3.5-turbo-0613", "tuned_input_tokens": 1000, "tuned_output_tokens": 1000}
    assert costs(TUNED, datetime(2023, 8, 22, tzinfo=UTC), **launch) == usd("0.028", "0", "8")
    assert costs(TUNED, datetime(2023, 8, 21, tzinfo=UTC), **launch) == (
        "no training price is known for gpt-3.5-turbo-0613 on 2023-08-21: it cannot be, or not at a known price"
    )
