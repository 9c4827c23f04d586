"""Flavours: reported counts become disjoint quantities that add up; visible output is found where each API puts it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.meters.flavours import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    RESPONSES,
    CacheWrites,
    Details,
    Flavour,
    Reported,
    reasoning_tokens,
    split,
)
from billing.usage import Unit, Usage

counts = st.none() | st.integers(0, 5000) | st.integers(0, 10**9)
details = st.none() | st.builds(
    Details,
    cached_tokens=counts,
    cache_write_tokens=counts,
    cache_write_tokens_details=st.none() | st.builds(CacheWrites, ttl_30m_tokens=counts, ttl_12h_tokens=counts),
    audio_tokens=counts,
    image_tokens=counts,
    reasoning_tokens=counts,
)
new_spelling = st.builds(
    Reported, input_tokens=counts, input_tokens_details=details, output_tokens=counts, output_tokens_details=details
)
old_spelling = st.builds(
    Reported,
    prompt_tokens=counts,
    prompt_tokens_details=details,
    completion_tokens=counts,
    completion_tokens_details=details,
)
OUTPUT = (Unit.OUTPUT_TEXT, Unit.OUTPUT_AUDIO, Unit.OUTPUT_IMAGE)


@given(old_spelling | new_spelling)
def test_the_parts_add_up_to_what_was_reported(reported: Reported) -> None:
    usage = split(reported)
    of_input = reported.prompt_tokens if reported.input_tokens is None else reported.input_tokens
    of_output = reported.completion_tokens if reported.output_tokens is None else reported.output_tokens
    if of_input is None:
        assert usage is None
    else:
        assert usage is not None
        assert usage.input_tokens == of_input
        assert sum(usage[unit] for unit in OUTPUT) == (of_output or 0)
        assert usage.input_tokens + (of_output or 0) == sum(usage.values()), "and nothing else is in the bag"


@given(new_spelling)
def test_both_spellings_mean_the_same(reported: Reported) -> None:
    old = Reported(
        prompt_tokens=reported.input_tokens,
        prompt_tokens_details=reported.input_tokens_details,
        completion_tokens=reported.output_tokens,
        completion_tokens_details=reported.output_tokens_details,
    )
    assert split(old) == split(reported)
    assert reasoning_tokens(old) == reasoning_tokens(reported)


TEXT, CACHED, AUDIO = Unit.INPUT_TEXT, Unit.INPUT_CACHED_TEXT, Unit.INPUT_AUDIO
HALF_HOUR, HALF_DAY = Unit.INPUT_CACHE_WRITE_30M, Unit.INPUT_CACHE_WRITE_12H


@pytest.mark.parametrize(
    ("of_input", "expected"),
    [
        ({}, {TEXT: 1000}),
        ({"cached_tokens": 600}, {TEXT: 400, CACHED: 600}),
        ({"cached_tokens": 1000}, {CACHED: 1000}),
        ({"cached_tokens": 1001}, {CACHED: 1000}),
        ({"audio_tokens": 69, "cached_tokens": 0}, {TEXT: 931, AUDIO: 69}),
        ({"cache_write_tokens": 300}, {TEXT: 700, HALF_HOUR: 300}),
        ({"cache_write_tokens": 300, "cache_write_tokens_details": {}}, {TEXT: 700, HALF_HOUR: 300}),
        (
            {"cache_write_tokens": 300, "cache_write_tokens_details": {"ttl_30m_tokens": 100, "ttl_12h_tokens": 200}},
            {TEXT: 700, HALF_HOUR: 100, HALF_DAY: 200},
        ),
        (
            {"cache_write_tokens": 300, "cache_write_tokens_details": {"ttl_12h_tokens": 200}},
            {TEXT: 700, HALF_HOUR: 100, HALF_DAY: 200},
        ),
        ({"cache_write_tokens_details": {"ttl_30m_tokens": 100}}, {TEXT: 900, HALF_HOUR: 100}),
        ({"cache_write_tokens_details": {"ttl_12h_tokens": 100}}, {TEXT: 900, HALF_DAY: 100}),
        (
            {"cached_tokens": 500, "cache_write_tokens": 400, "audio_tokens": 50},
            {TEXT: 50, CACHED: 500, HALF_HOUR: 400, AUDIO: 50},
        ),
        ({"cached_tokens": 800, "cache_write_tokens": 800}, {CACHED: 200, HALF_HOUR: 800}),
    ],
)
def test_what_input_is_made_of(of_input: dict[str, Any], expected: dict[Unit, int]) -> None:
    reported = msgspec.convert({"input_tokens": 1000, "input_tokens_details": of_input}, Reported)
    assert split(reported) == Usage(expected)


def test_reasoning_is_a_remark_and_part_of_the_output() -> None:
    reported = Reported(input_tokens=1, output_tokens=500, output_tokens_details=Details(reasoning_tokens=448))
    assert split(reported) == Usage({TEXT: 1, Unit.OUTPUT_TEXT: 500})
    assert reasoning_tokens(reported) == 448
    assert reasoning_tokens(Reported(input_tokens=1, output_tokens=500)) == 0


def test_a_reported_zero_is_a_usage_and_nothing_reported_is_none() -> None:
    assert split(Reported(prompt_tokens=0, completion_tokens=0)) == Usage()
    assert split(Reported()) is None
    assert split(Reported(completion_tokens=5)) is None


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
    ],
)
def test_the_visible_output(flavour: Flavour, payload: dict[str, Any], text: str) -> None:
    assert "".join(found for found in flavour.texts(payload) if isinstance(found, str)) == text


names = st.sampled_from(
    ("choices", "delta", "message", "content", "tool_calls", "function", "custom", "text", "type", "output", "name")
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(names, json_values), st.sampled_from([CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS]))
def test_a_payload_of_any_shape_is_no_error(payload: dict[str, Any], flavour: Flavour) -> None:
    assert isinstance(list(flavour.texts(payload)), list)
