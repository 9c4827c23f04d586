"""Quotes: what a request would cost at most and typically, on its own model and on others. Nothing is sent."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from billing.charges import Call
from billing.dearest import price_of
from billing.expectations import Expectations
from billing.holds import Ask, Hold, Policy, cap_of, exact_ask, open_ends
from billing.money import usd_from_pico
from billing.prices import PriceBook
from billing.rating import cost
from billing.tokens import count_input
from billing.usage import Unit, Usage
from billing.wanted import Wanted

OTHERS = {
    "chat": ("gpt-6-luna", "gpt-5.6-luna", "gpt-6.1-terra", "gpt-6.1-sol", "gpt-6-astra"),
    "embeddings": ("text-embedding-3-small", "text-embedding-3-large"),
}
OTHERS |= {"responses": OTHERS["chat"], "compact": OTHERS["chat"]}
"""Models that a quote sets beside the one asked for, by operation: from cheap to dear."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What a request would cost on one model, in picodollars; None is not known.

    `most_pico` is a true bound, and None where `open_ends` keep it from being known; `maximum_pico` is then what the
    model's size allows. `input_tokens` are counted (by proven rules only if `counted_exactly`) and `input_pico` is
    their plain price, uncached. `typical_pico` is the median of what such calls cost. `ask` is the hold it would get.
    """

    model: str | None
    output_cap: int | None
    input_tokens: int | None
    counted_exactly: bool
    input_pico: int | None
    most_pico: int | None
    maximum_pico: int | None
    typical_pico: int | None
    open_ends: tuple[str, ...]
    ask: Ask | None


def quote(
    call: Call, wanted: Wanted, body: bytes, book: PriceBook, expectations: Expectations, policy: Policy
) -> Quote:
    """The quote for a request on the call's model. Takes as long as counting its input does."""
    held = exact_ask(call, wanted, body, book, expectations, policy)
    bounded = held is not None and held.basis is Hold.BOUND
    strict = None if bounded else exact_ask(call, wanted, body, book, expectations, Policy(strict=True))
    tokens, exactly = _counted(call, body)
    input_pico = None if tokens is None else _input_pico(call, tokens, book)
    return Quote(
        model=call.requested_model,
        output_cap=None if call.operation == "embeddings" else cap_of(call, wanted),
        input_tokens=tokens,
        counted_exactly=exactly,
        input_pico=input_pico,
        most_pico=held.pico if held and bounded else None,
        maximum_pico=strict.pico if strict else None,
        typical_pico=_typical(call, wanted, input_pico, expectations, held),
        open_ends=open_ends(call, wanted, book),
        ask=held,
    )


def on_models(call: Call, models: Iterable[str] = ()) -> list[Call]:
    """The call on each of other models: those named, or a few from cheap to dear."""
    named = tuple(models) or OTHERS.get(call.operation, ())
    return [replace(call, requested_model=model) for model in dict.fromkeys(named) if model != call.requested_model]


def shown(quoted: Quote) -> dict[str, Any]:
    """A quote as users see it: US dollars as exact decimal strings."""
    return {
        "model": quoted.model,
        "at_most_usd": _usd(quoted.most_pico),
        "not_bounded_by": list(quoted.open_ends),
        "model_maximum_usd": _usd(quoted.maximum_pico),
        "typical_usd": _usd(quoted.typical_pico),
        "input_tokens": quoted.input_tokens,
        "input_tokens_exact": quoted.counted_exactly,
        "input_usd": _usd(quoted.input_pico),
        "output_cap_tokens": quoted.output_cap,
        "hold_usd": _usd(quoted.ask.pico if quoted.ask else None),
        "hold_basis": quoted.ask.basis.value if quoted.ask else None,
    }


def _counted(call: Call, body: bytes) -> tuple[int | None, bool]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, False
    if not isinstance(fields, dict):
        return None, False
    count = count_input(call.operation, fields, call.requested_model or "")
    return count.tokens, count.complete and count.known_encoding


def _input_pico(call: Call, tokens: int, book: PriceBook) -> int | None:
    price = price_of(call, book)
    rate = price.rates_for(Usage({Unit.INPUT_TEXT: tokens})).get(Unit.INPUT_TEXT) if price else None
    return cost(tokens, rate) if rate else None


def _typical(
    call: Call, wanted: Wanted, input_pico: int | None, expectations: Expectations, held: Ask | None
) -> int | None:
    """The median so far; of a call whose input is in its body, of the output alone."""
    model = call.requested_model or ""
    if call.operation == "embeddings":
        return input_pico
    if wanted.elsewhere or wanted.tools:
        return expectations.whole_pico(call.operation, model, 50)
    output = expectations.output_pico(call.operation, model, 50)
    if output is None or input_pico is None:
        return None
    typical = input_pico + output * max(wanted.answers, 1)
    return min(typical, held.pico) if held and held.basis is Hold.BOUND else typical


def _usd(pico: int | None) -> str | None:
    return None if pico is None else usd_from_pico(pico)
