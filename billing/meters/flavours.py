"""Flavours: how one API words its usage, its visible output and its end.

One rule finds usage everywhere: the payload is the object with a non-null `usage`, or the one that wraps it as
`response`. Reported counts are inclusive (cached tokens are part of the input) and spelled in several ways;
`split` makes them disjoint, in this one place. Spellings: OpenAI's SDK types and recorded answers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from billing.usage import Unit, Usage

Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None
"""A count that can be meant: a call of more tokens than this is an error, and its cost would not fit the ledger."""


class CacheWrites(msgspec.Struct):
    """How long the written cache entries live."""

    ttl_30m_tokens: Count = None
    ttl_12h_tokens: Count = None


class Details(msgspec.Struct):
    """What an inclusive count is made of."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    cache_write_tokens_details: CacheWrites | None = None
    audio_tokens: Count = None
    image_tokens: Count = None
    reasoning_tokens: Count = None


class Reported(msgspec.Struct):
    """A `usage` object: chat's, completions' and embeddings' spelling, and that of all newer APIs."""

    prompt_tokens: Count = None
    prompt_tokens_details: Details | None = None
    completion_tokens: Count = None
    completion_tokens_details: Details | None = None
    input_tokens: Count = None
    input_tokens_details: Details | None = None
    output_tokens: Count = None
    output_tokens_details: Details | None = None


class Answered(msgspec.Struct):
    """Who answered, and what it used: the fields shared by every API's objects."""

    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    usage: Reported | None = None


class Payload(Answered):
    """One payload of an answer: the object itself, or an event that wraps it as `response`."""

    type: str | None = None
    response: Answered | None = None


def split(reported: Reported) -> Usage | None:
    """The disjoint usage in a reported one, or None when it reports no input at all.

    The parts always add up to what was reported: parts that claim more than their whole are cut to fit.
    """
    of_input = reported.input_tokens_details or reported.prompt_tokens_details or Details()
    of_output = reported.output_tokens_details or reported.completion_tokens_details or Details()
    input_tokens = reported.prompt_tokens if reported.input_tokens is None else reported.input_tokens
    output_tokens = reported.completion_tokens if reported.output_tokens is None else reported.output_tokens
    if input_tokens is None:
        return None
    ttl = of_input.cache_write_tokens_details or CacheWrites()
    written_12h = ttl.ttl_12h_tokens or 0
    written_30m = max((of_input.cache_write_tokens or 0) - written_12h, ttl.ttl_30m_tokens or 0)
    input_parts = _parts(
        input_tokens,
        (
            (Unit.INPUT_CACHE_WRITE_12H, written_12h),
            (Unit.INPUT_CACHE_WRITE_30M, written_30m),
            (Unit.INPUT_CACHED_TEXT, of_input.cached_tokens),
            (Unit.INPUT_AUDIO, of_input.audio_tokens),
        ),
        rest=Unit.INPUT_TEXT,
    )
    output_parts = _parts(
        output_tokens or 0,
        ((Unit.OUTPUT_AUDIO, of_output.audio_tokens),),
        rest=Unit.OUTPUT_TEXT,
    )
    return Usage({**input_parts, **output_parts})


def _parts(total: int, parts: Iterable[tuple[Unit, int | None]], rest: Unit) -> dict[Unit, int]:
    """Share `total` out among the named parts in order; what is left is `rest`."""
    shared: dict[Unit, int] = {}
    for unit, wanted in parts:
        shared[unit] = min(wanted or 0, total)
        total -= shared[unit]
    return {**shared, rest: total}


def reasoning_tokens(reported: Reported) -> int:
    """Reasoning tokens, a remark: they are part of the output already."""
    details = reported.output_tokens_details or reported.completion_tokens_details
    return (details and details.reasoning_tokens) or 0


@dataclass(frozen=True, slots=True)
class Flavour:
    """One API's wording. `texts` yields the visible output in a payload; `final` are its stream's last events
    (chat's and completions' `[DONE]` is not an object and holds for all)."""

    name: str
    texts: Callable[[Any], Iterable[object]]
    final: frozenset[str] = frozenset()


def _chat_texts(payload: dict[str, Any]) -> Iterable[object]:
    for choice in _list(payload.get("choices")):
        message = _dict(choice.get("delta") or choice.get("message"))
        yield from (message.get("content"), message.get("refusal"))
        for call in (*_list(message.get("tool_calls")), {"function": message.get("function_call")}):
            function = _dict(call.get("function") or call.get("custom"))
            yield from (function.get("name"), function.get("arguments"), function.get("input"))


def _completion_texts(payload: dict[str, Any]) -> Iterable[object]:
    for choice in _list(payload.get("choices")):
        yield choice.get("text")


_DELTAS = (  # no set: what an upstream calls a type need not be hashable
    "response.output_text.delta",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.reasoning_text.delta",
)


def _response_texts(payload: dict[str, Any]) -> Iterable[object]:
    if payload.get("type") in _DELTAS:
        yield payload.get("delta")
    for item in _list(payload.get("output")):
        yield from (item.get("name"), item.get("arguments"), item.get("input"))
        for part in _list(item.get("content")):
            yield from (part.get("text"), part.get("refusal"))


def _no_texts(payload: dict[str, Any]) -> Iterable[object]:
    return ()


def _list(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


CHAT = Flavour("chat", _chat_texts)
COMPLETIONS = Flavour("completions", _completion_texts)
RESPONSES = Flavour(
    "responses",
    _response_texts,
    frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"}),
)
EMBEDDINGS = Flavour("embeddings", _no_texts)
