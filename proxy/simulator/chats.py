"""Chat completions, legacy completions included, in OpenAI's shapes: whole, and as a stream of chunks."""

import random
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from proxy.simulator import wire
from proxy.simulator.minds import Choice, Turn
from proxy.simulator.texts import Call, pieces
from proxy.simulator.wire import Json

_FINGERPRINT = "fp_5ab7e0c1d2"


def usage(turn: Turn) -> Json:
    """Chat's wording of a usage. Legacy completions leave the details out when there is nothing in them."""
    used = turn.answer.usage
    writes = {"cache_write_tokens": used.write_30m} if turn.answer.rates.write_30m is not None else {}
    said: Json = {
        "prompt_tokens": used.input,
        "completion_tokens": used.output,
        "total_tokens": used.input + used.output,
    }
    if _legacy(turn) and not (used.cached or used.write_30m or used.reasoning):
        return said
    return said | {
        "prompt_tokens_details": {"cached_tokens": used.cached, **writes, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": used.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def whole(turn: Turn) -> Json:
    """The non-streamed answer."""
    shape = _legacy_choice if _legacy(turn) else _chat_choice
    tail = {} if _legacy(turn) else {"service_tier": turn.answer.tier, "system_fingerprint": _FINGERPRINT}
    return {
        "id": turn.id,
        "object": "text_completion" if _legacy(turn) else "chat.completion",
        "created": turn.created_at,
        "model": turn.ask.model.served,
        "choices": [shape(index, choice) for index, choice in enumerate(turn.answer.choices)],
        **({"usage": usage(turn)} if turn.says_usage else {}),
        **tail,
    }


def events(turn: Turn) -> Iterator[bytes]:
    """The stream: the choices' chunks in turn, the usage if it was asked for, `[DONE]`."""
    luck = wire.luck(turn.id)
    asked = turn.ask.option("include_usage", default=False)
    null = {"usage": None} if asked else {}
    deltas = _legacy_deltas if _legacy(turn) else _chat_deltas
    streams = [list(deltas(index, choice)) for index, choice in enumerate(turn.answer.choices)]
    for chunk in (chunk for round_ in zip_longest(*streams) for chunk in round_ if chunk is not None):
        yield _chunk(turn, [chunk], null, luck)
    if asked and turn.says_usage:
        yield _chunk(turn, [], {"usage": usage(turn)}, luck)
    yield wire.DONE


def _legacy(turn: Turn) -> bool:
    return turn.ask.operation.name == "text_completion"


def _reason(choice: Choice) -> str:
    if not choice.whole:
        return "length"
    return "tool_calls" if choice.call else "stop"


def _function(call: Call, arguments: str) -> Json:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _chat_choice(index: int, choice: Choice) -> Json:
    calls = {"tool_calls": [_function(choice.call, choice.call.arguments)]} if choice.call else {}
    content = None if choice.call else choice.text
    message = {"role": "assistant", "content": content, **calls, "refusal": None, "annotations": []}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": _reason(choice)}


def _legacy_choice(index: int, choice: Choice) -> Json:
    return {"text": choice.text, "index": index, "logprobs": None, "finish_reason": _reason(choice)}


def _chat_deltas(index: int, choice: Choice) -> Iterator[Json]:
    def chunk(delta: Json, reason: str | None = None) -> Json:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}

    if choice.call:
        calls = [{"index": 0, **_function(choice.call, "")}]
        yield chunk({"role": "assistant", "content": None, "tool_calls": calls, "refusal": None})
        for piece in pieces(choice.call.arguments):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    else:
        yield chunk({"role": "assistant", "content": "", "refusal": None})
        for piece in pieces(choice.text):
            yield chunk({"content": piece})
    yield chunk({}, _reason(choice))


def _legacy_deltas(index: int, choice: Choice) -> Iterator[Json]:
    parts = pieces(choice.text) or [""]
    for position, part in enumerate(parts, start=1):
        reason = _reason(choice) if position == len(parts) else None
        yield {"text": part, "index": index, "logprobs": None, "finish_reason": reason}


def _chunk(turn: Turn, choices: list[Json], used: Json, luck: random.Random) -> bytes:
    head: dict[str, Any] = {"id": turn.id, "created": turn.created_at}
    if _legacy(turn):
        head = {"id": turn.id, "object": "text_completion", "created": turn.created_at, "choices": choices}
        return wire.event({**head, "model": turn.ask.model.served, **used})
    head = {
        "id": turn.id,
        "object": "chat.completion.chunk",
        "created": turn.created_at,
        "model": turn.ask.model.served,
        "service_tier": turn.answer.tier,
        "system_fingerprint": _FINGERPRINT,
        "choices": choices,
    }
    return wire.event({**head, **used, **obfuscation(turn, luck)})


def obfuscation(turn: Turn, luck: random.Random) -> Json:
    """The random padding that hides the lengths of deltas, unless the caller switched it off."""
    padding = wire.name(luck, "", luck.randint(4, 15), wire.ALPHANUMERIC)
    return {"obfuscation": padding} if turn.ask.option("include_obfuscation", default=True) else {}
