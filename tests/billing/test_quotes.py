import json
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.attribution import Attribution
from billing.charges import Call
from billing.expectations import Expectations
from billing.holds import Policy
from billing.price_sources import price_book
from billing.quotes import OTHERS, Quote, on_models, quote, shown
from billing.wanted import UNREAD, Wanted

BOOK = price_book()
HELLO = b'{"model":"gpt-4o","max_completion_tokens":100,"messages":[{"role":"user","content":"hello"}]}'
CAPPED = Wanted(max_completion_tokens=100)


def call(model: str | None = "gpt-4o", operation: str = "chat") -> Call:
    return Call("", datetime(2026, 11, 23, tzinfo=UTC), operation, "POST", "/v1/x", Attribution(), "", model)


def quoted(
    wanted: Wanted, body: bytes = HELLO, model: str | None = "gpt-4o", operation: str = "chat",
    known: Expectations | None = None, *, strict: bool = False,
) -> Quote:  # fmt: skip
    return quote(call(model, operation), wanted, body, BOOK, known or Expectations(), Policy(strict=strict))


def taught(whole: int, output: int) -> Expectations:
    known = Expectations()
    for _ in range(100):
        known.learn_row(
            {"operation": "chat", "requested_model": "gpt-4o", "hold": "expected", "cost_pico": whole,
             "lines": [{"unit": "output_text_tokens", "cost_pico": output}]}
        )  # fmt: skip
    return known


def test_a_capped_chat_is_bounded_and_its_input_counted() -> None:
    found = shown(quoted(CAPPED))
    # gpt-4o: $2.5 in, $10 out per million; "hello" framed is 8 tokens, held with 32 more
    assert found == {
        "model": "gpt-4o",
        "at_most_usd": "0.0011",
        "not_bounded_by": [],
        "model_maximum_usd": None,
        "typical_usd": None,
        "input_tokens": 8,
        "input_tokens_exact": True,
        "input_usd": "0.00002",
        "output_cap_tokens": 100,
        "hold_usd": "0.0011",
        "hold_basis": "bound",
    }


def test_without_a_cap_nothing_is_promised_but_the_model_has_a_size() -> None:
    found = shown(quoted(Wanted()))
    assert found["at_most_usd"] is None
    assert found["not_bounded_by"] == ["no cap on the output"]
    assert found["model_maximum_usd"] == "0.16394"  # 16,384 tokens of output and 40 of input
    assert (found["hold_usd"], found["hold_basis"]) == ("0.0501", "expected")


def test_what_nothing_bounds_has_no_hold_under_a_strict_policy() -> None:
    found = shown(quoted(Wanted(tools=("code_interpreter",)), operation="responses", strict=True))
    assert (found["at_most_usd"], found["model_maximum_usd"], found["hold_usd"], found["hold_basis"]) == (None,) * 4


@pytest.mark.parametrize(
    ("wanted", "typical"),
    [
        (Wanted(), 20_000_000 + 320),  # input plus the median of output
        (Wanted(answers=2), 20_000_000 + 640),
        (Wanted(elsewhere=("a conversation",)), 640),  # the median of the whole
        (Wanted(tools=("web_search",)), 640),
        (CAPPED, 20_000_000 + 320),
    ],
)
def test_typically_is_the_median_of_what_such_calls_cost(wanted: Wanted, typical: int) -> None:
    assert quoted(wanted, known=taught(whole=640, output=320)).typical_pico == pytest.approx(typical, rel=1 / 16)
    assert quoted(wanted).typical_pico is None


def test_typically_is_never_more_than_at_most() -> None:
    found = quoted(CAPPED, known=taught(whole=10**12, output=10**12))
    assert found.typical_pico == found.most_pico


def test_embeddings_cost_their_input() -> None:
    found = shown(quoted(Wanted(), b'{"input":"hello"}', "text-embedding-3-small", "embeddings"))
    assert (found["input_tokens"], found["input_usd"], found["typical_usd"]) == (1, "0.00000002", "0.00000002")
    assert found["output_cap_tokens"] is None
    assert found["hold_basis"] == "bound"


@pytest.mark.parametrize(
    ("model", "body"), [("never-heard-of", HELLO), (None, HELLO), ("gpt-4o", b"{"), ("gpt-4o", b"[]")]
)
def test_unknown_is_never_zero(model: str | None, body: bytes) -> None:
    found = shown(quoted(UNREAD, body, model))
    assert found["at_most_usd"] is None
    assert found["input_usd"] is None
    assert found["not_bounded_by"]


def test_long_context_is_priced_as_such() -> None:
    body = json.dumps({"input": [7] * 272_001}).encode()
    found = quoted(Wanted(max_output_tokens=1), body, "text-embedding-3-small", "embeddings")
    assert found.input_tokens == 272_001
    gpt = quoted(Wanted(max_tokens=1), json.dumps({"prompt": [7] * 272_001}).encode(), "gpt-6.1-sol", "text_completion")
    assert gpt.input_pico == 272_001 * 4_000_000


@pytest.mark.parametrize(
    ("operation", "models", "others"),
    [
        ("chat", (), OTHERS["chat"]),
        ("chat", ("gpt-4o-mini", "gpt-4o", "gpt-4o-mini"), ("gpt-4o-mini",)),
        ("embeddings", (), OTHERS["embeddings"]),
        ("unmetered", (), ()),
    ],
)
def test_other_models_to_compare_with(operation: str, models: tuple[str, ...], others: tuple[Any, ...]) -> None:
    assert tuple(one.requested_model for one in on_models(call(operation=operation), models)) == others


@pytest.mark.parametrize("operation", OTHERS)
def test_the_models_set_beside_go_from_cheap_to_dear_and_have_prices(operation: str) -> None:
    wanted = Wanted(max_completion_tokens=100, max_output_tokens=100)
    costs = [quoted(wanted, HELLO, model, operation).input_pico for model in OTHERS[operation]]
    known = [cost for cost in costs if cost is not None]
    assert len(known) == len(costs)
    assert known == sorted(known)
