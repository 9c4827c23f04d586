"""Flavours: visible output is found where each API puts it, and each has its reader."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.meters.flavours import (
    ALL,
    CHAT,
    COMPLETIONS,
    DECISIONS,
    EMBEDDINGS,
    EVALUATIONS,
    IMAGES,
    RESPONSES,
    RUNS,
    SPEECH,
    TRANSCRIPTS,
    VIDEOS,
    Flavour,
)
from billing.requested import NOTHING_REQUESTED


def message(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"message": fields}]}


CALL = {"type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}


@pytest.mark.parametrize(
    ("flavour", "payload", "text"),
    [
        (CHAT, message(content="hi"), "hi"),
        (CHAT, message(content=None, refusal="no"), "no"),
        (CHAT, message(content="a", tool_calls=[CALL, CALL]), 'alook{"a":1}look{"a":1}'),
        (CHAT, message(tool_calls=[{"type": "custom", "custom": {"name": "run", "input": "ls"}}]), "runls"),
        (CHAT, message(function_call={"name": "look", "arguments": "{}"}), "look{}"),
        (CHAT, {"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}]}, "ab"),
        (CHAT, {"choices": [{"delta": {"content": "a"}}], "obfuscation": "xyz"}, "a"),
        (CHAT, {"choices": [], "usage": None}, ""),
        (CHAT, {"error": {"message": "sorry"}}, ""),
        (CHAT, {"choices": "odd"}, ""),
        (CHAT, {"choices": [7, {"delta": "odd"}, {"message": {"content": ["odd"], "tool_calls": "odd"}}]}, ""),
        (COMPLETIONS, {"choices": [{"text": "a"}, {"text": "b"}]}, "ab"),
        (COMPLETIONS, {"choices": [{"text": None}]}, ""),
        (RESPONSES, {"type": "response.output_text.delta", "delta": "a", "obfuscation": "x"}, "a"),
        (RESPONSES, {"type": "response.output_text.done", "text": "a"}, ""),
        (RESPONSES, {"type": "response.refusal.delta", "delta": "no"}, "no"),
        (RESPONSES, {"type": "response.function_call_arguments.delta", "delta": "{"}, "{"),
        (RESPONSES, {"type": "response.custom_tool_call_input.delta", "delta": "ls"}, "ls"),
        (RESPONSES, {"type": "response.reasoning_text.delta", "delta": "hm"}, "hm"),
        (RESPONSES, {"type": "response.reasoning_summary_text.delta", "delta": "so"}, ""),
        (
            RESPONSES,
            {
                "output": [
                    {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"refusal": "b"}]},
                    {"type": "function_call", "name": "f", "arguments": "{}"},
                    {"type": "reasoning", "summary": [{"text": "not shown"}]},
                ]
            },
            "abf{}",
        ),
        (EMBEDDINGS, {"data": [{"embedding": "AAAA"}]}, ""),
        (DECISIONS, {"answers": [{"type": "choice", "choice": "a"}]}, ""),
        (IMAGES, {"data": [{"b64_json": "AAAA", "revised_prompt": "a cat"}]}, ""),
        (TRANSCRIPTS, {"type": "transcript.text.delta", "delta": "a"}, "a"),
        (TRANSCRIPTS, {"type": "transcript.text.done", "text": "all of it"}, ""),
        (TRANSCRIPTS, {"text": "all of it"}, "all of it"),
        (TRANSCRIPTS, {"error": {"message": "sorry"}}, ""),
        (SPEECH, {"type": "speech.audio.delta", "audio": "AAAA"}, ""),
        (VIDEOS, {"object": "video", "prompt": "a cat"}, ""),
        (RUNS, {"object": "thread.message.delta", "delta": {"content": [{"text": {"value": "a"}}, 7]}}, "a"),
        (RUNS, {"object": "thread.message", "content": [{"text": {"value": "a"}}]}, ""),
        (EVALUATIONS, {"object": "eval.run", "name": "a"}, ""),
    ],
)
def test_the_visible_output(flavour: Flavour, payload: dict[str, Any], text: str) -> None:
    assert "".join(found for found in flavour.texts(payload) if isinstance(found, str)) == text


names = st.sampled_from(
    (
        "choices",
        "delta",
        "message",
        "content",
        "tool_calls",
        "function",
        "custom",
        "text",
        "type",
        "output",
        "name",
        "data",
        "object",
        "usage",
        "tool_usage",
        "seconds",
        "duration",
        "per_model_usage",
        "svg_usage",
        "image_gen",
        "web_search",
    )
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(names, json_values), st.sampled_from(ALL))
def test_a_payload_of_any_shape_is_no_error(payload: dict[str, Any], flavour: Flavour) -> None:
    assert isinstance(list(flavour.texts(payload)), list)
    reader = flavour.reader(NOTHING_REQUESTED)
    reader.read(msgspec.json.encode(payload))
    assert reader.reading is None or not reader.finished


def test_what_is_priced_by_the_request_says_so() -> None:
    assert {flavour for flavour in ALL if flavour.by_request} == {IMAGES, TRANSCRIPTS, SPEECH, VIDEOS}
    assert len({flavour.name for flavour in ALL}) == len(ALL)
