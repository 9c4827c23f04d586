"""The Responses API in OpenAI's shapes: whole, as a stream of events, and compacted."""

from collections.abc import Iterator
from typing import Any

from proxy.simulator import wire
from proxy.simulator.chats import obfuscation
from proxy.simulator.minds import Turn
from proxy.simulator.texts import pieces
from proxy.simulator.wire import ALPHANUMERIC, Json

_Event = tuple[str, Json]

_NO_TOOL_USAGE = {
    "image_gen": {
        "input_tokens": 0,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"image_tokens": 0, "text_tokens": 0},
        "total_tokens": 0,
    },
    "web_search": {"num_requests": 0},
}
"""OpenAI's own tools are not simulated, but that none was used is said."""


def usage(turn: Turn) -> Json | None:
    """Responses' wording of a usage. Models that write caches tell the lifetimes apart."""
    if not turn.says_usage:
        return None
    used = turn.answer.usage
    details: Json = {"cache_write_tokens": used.write_30m + used.write_12h, "cached_tokens": used.cached}
    if turn.answer.rates.write_30m is not None:
        lifetimes = {"ttl_12h_tokens": used.write_12h, "ttl_30m_tokens": used.write_30m}
        details["cache_write_tokens_details"] = lifetimes
    return {
        "input_tokens": used.input,
        "input_tokens_details": details,
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": used.reasoning},
        "total_tokens": used.input + used.output,
    }


def whole(turn: Turn) -> Json:
    """The non-streamed answer, which is also what the stream ends with and what a later GET reads."""
    complete = turn.answer.choices[0].whole
    end = {
        "status": "completed" if complete else "incomplete",
        "completed_at": turn.created_at + 1 if complete else None,
        "incomplete_details": None if complete else {"reason": "max_output_tokens"},
        "output": _output(turn),
        "service_tier": turn.answer.tier,
        "usage": usage(turn),
    }
    return _response(turn) | end


def events(turn: Turn) -> Iterator[bytes]:
    """The stream: created, in progress, every output item piece by piece, and the whole at its end."""
    for number, (kind, data) in enumerate(_events(turn)):
        fields = dict(sorted({**data, "sequence_number": number}.items()))
        yield wire.event({"type": kind, **fields}, kind)


def compacted(turn: Turn) -> Json:
    """What `/responses/compact` answers: it says neither the model nor the tier."""
    asked = turn.ask.body.get("input")
    turns = asked if isinstance(asked, list) else [{"type": "message", "role": "user", "content": asked}]
    users = [item for item in turns if isinstance(item, dict) and item.get("role") == "user"]
    sealed = wire.name(wire.luck(turn.id), "", 88, ALPHANUMERIC)
    compaction = {
        "id": "cmp_" + turn.id.removeprefix("resp_"),
        "type": "compaction",
        "encrypted_content": sealed,
    }
    return {
        "id": turn.id,
        "object": "response.compaction",
        "created_at": turn.created_at,
        "output": [*map(_message, users), compaction],
        "usage": usage(turn),
    }


def _message(item: Json) -> Json:
    content = item.get("content")
    parts = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    return {"id": "msg_0", "type": "message", "status": "completed", "role": "user", "content": parts}


def _response(turn: Turn) -> Json:
    """The response object before its end: no output yet, the tier that was asked for, no usage."""
    body = turn.ask.body
    reasoning = {"context": None, "effort": "medium" if turn.ask.model.reasons else None, "summary": None}
    return {
        "id": turn.id,
        "object": "response",
        "created_at": turn.created_at,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": turn.ask.model.served,
        "moderation": None,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "presence_penalty": 0.0,
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "prompt_cache_retention": body.get("prompt_cache_retention"),
        "reasoning": reasoning | (body.get("reasoning") or {}),
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": turn.ask.requested_tier,
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium"} | (body.get("text") or {}),
        "tool_choice": body.get("tool_choice", "auto"),
        "tool_usage": _NO_TOOL_USAGE,
        "tools": body.get("tools", []),
        "top_logprobs": 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation", "disabled"),
        "usage": None,
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def _output(turn: Turn) -> list[Json]:
    """The output items: reasoning if any, then a tool call, or a message if the limit left room for one."""
    choice, names = turn.answer.choices[0], wire.luck(turn.id, "items")
    reasoning_id, item_id = wire.name(names, "rs_", 50), wire.name(names, "", 50)
    status = "completed" if choice.whole else "incomplete"
    items: list[Json] = []
    if choice.reasoning:
        items.append({"id": reasoning_id, "type": "reasoning", "summary": []})
    if call := choice.call:
        head = {"id": f"fc_{item_id}", "type": "function_call", "status": status}
        items.append({**head, "arguments": call.arguments, "call_id": call.id, "name": call.name})
    elif choice.text or choice.whole:
        head = {"id": f"msg_{item_id}", "type": "message", "status": status}
        items.append({**head, "content": [_part(choice.text)], "role": "assistant"})
    return items


def _part(text: str) -> Json:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _events(turn: Turn) -> Iterator[_Event]:
    yield "response.created", {"response": _response(turn)}
    yield "response.in_progress", {"response": _response(turn)}
    end = whole(turn)
    for index, item in enumerate(end["output"]):
        yield (
            "response.output_item.added",
            {"item": item | _UNBEGUN.get(item["type"], {}), "output_index": index},
        )
        yield from _PARTS.get(item["type"], _no_parts)(turn, item, {"item_id": item["id"], "output_index": index})
        yield "response.output_item.done", {"item": item, "output_index": index}
    yield f"response.{end['status']}", {"response": end}


def _message_parts(turn: Turn, item: Json, where: Json) -> Iterator[_Event]:
    luck = wire.luck(turn.id)
    text = item["content"][0]["text"]
    where = {"content_index": 0, **where}
    yield "response.content_part.added", {**where, "part": _part("")}
    for piece in pieces(text):
        yield (
            "response.output_text.delta",
            {**where, "delta": piece, "logprobs": [], **obfuscation(turn, luck)},
        )
    yield "response.output_text.done", {**where, "logprobs": [], "text": text}
    yield "response.content_part.done", {**where, "part": _part(text)}


def _call_parts(turn: Turn, item: Json, where: Json) -> Iterator[_Event]:
    luck = wire.luck(turn.id)
    for piece in pieces(item["arguments"]):
        yield "response.function_call_arguments.delta", {**where, "delta": piece, **obfuscation(turn, luck)}
    done: dict[str, Any] = {"arguments": item["arguments"], "name": item["name"]}
    yield "response.function_call_arguments.done", {**where, **done}


def _no_parts(_turn: Turn, _item: Json, _where: Json) -> Iterator[_Event]:
    return iter(())


_PARTS = {"message": _message_parts, "function_call": _call_parts}
_UNBEGUN: dict[str, Json] = {
    "message": {"status": "in_progress", "content": []},
    "function_call": {"status": "in_progress", "arguments": ""},
}
"""What an output item does not have yet when it is added."""
