import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.attribution import Attribution
from billing.charges import Call
from billing.holds import cap_of, counted_input, most_input
from billing.wanted import UNREAD, Wanted
from proxy import endpoints
from proxy.asked import NOTHING, Asked, _Body, printable, read


def asked(**fields: Any) -> Asked:
    """What the ledger wants to know of a request."""
    return replace(read(json.dumps(fields).encode()), wanted=UNREAD)


def wanted(**fields: Any) -> Wanted:
    """What decides the most it can cost."""
    return read(json.dumps(fields, separators=(",", ":")).encode()).wanted


def test_what_a_usual_request_asks_for() -> None:
    found = asked(
        model="gpt-4o",
        messages=[{"role": "user", "content": "hello", "model": "other", "stream": False}],
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        service_tier="flex",
        user="u-1",
        metadata={"team": "search"},
    )
    assert found == Asked(
        readable=True,
        model="gpt-4o",
        stream=True,
        include_usage=True,
        has_stream_options=True,
        service_tier="flex",
        user="u-1",
        metadata={"team": "search"},
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"stream": 1}, {}),
        ({"stream": "true"}, {}),
        ({"background": True}, {"background": True}),
        ({"background": "yes"}, {}),
        ({"stream_options": None}, {}),
        ({"stream_options": {}}, {"has_stream_options": True}),
        ({"stream_options": {"include_usage": 1}}, {"has_stream_options": True}),
        ({"stream_options": [True]}, {"has_stream_options": True}),
        ({"user": "u", "safety_identifier": "s"}, {"user": "s"}),
        ({"user": "u", "safety_identifier": ""}, {"user": "u"}),
        ({"user": "u", "safety_identifier": 7}, {"user": "u"}),
        ({"user": {"id": 1}}, {}),
        ({"model": ["gpt-4o"]}, {}),
        ({"model": ""}, {}),
        ({"metadata": "text"}, {}),
        ({"metadata": ["a"]}, {}),
        ({"model": "a\nb\0"}, {"model": "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"}),
        ({"service_tier": "x" * 1000}, {"service_tier": "x" * 256}),
    ],
)
def test_only_what_openai_would_understand_counts(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert asked(**fields) == Asked(readable=True, **expected)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b"42",
        b'"model"',
        b'{"model":"gpt-4o"} trailing',
        b"\xff\xfe",
        b'{"model":"\xff"}',
        b"{'model':'gpt-4o'}",
        b"\x1f\x8b\x08\x00",
        b'{"model":' * 100_000,
        b"[" * 1_000_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'--boundary\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--boundary--',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_no_json_object_asks_for_nothing(body: bytes) -> None:
    assert read(body) == NOTHING
    assert not read(body).readable


def test_of_two_members_of_a_name_the_last_one_counts() -> None:
    assert read(b'{"model":"a","model":"b"}').model == "b"


def test_a_lone_surrogate_is_made_storable() -> None:
    found = read(b'{"model":"gpt-\\ud800","user":"\\udc00"}')
    for value in (found.model, found.user):
        assert value is None or value.encode()


@given(st.binary(max_size=200))
def test_hostile_bytes_never_fail(body: bytes) -> None:
    assert isinstance(read(body), Asked)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*_Body.__struct_fields__, "x"])


@given(st.dictionaries(NAMES, JSON), st.booleans(), st.integers(0, 400))
def test_hostile_fields_never_fail_and_texts_are_storable(fields: dict[str, Any], ascii_only: bool, cut: int) -> None:
    body = json.dumps(fields, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    found = read(body)
    for text in (found.model, found.service_tier, found.user):
        assert text is None or (text and text.isprintable() and len(text) <= 256 and text.encode())
    assert found.stream is (fields.get("stream") is True and found.readable)
    assert isinstance(read(body[:cut]), Asked)
    sizes = found.wanted
    for number in (sizes.max_tokens, sizes.max_completion_tokens, sizes.max_output_tokens, sizes.tool_calls):
        assert number is None or (type(number) is int and 0 <= number <= 10**7)
    assert type(sizes.answers) is int
    assert sizes.answers >= 0


@given(st.text(st.characters()))
def test_printable_text_is_short_and_safe(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == min(len(text), 256)
    assert shown.encode().decode() == shown
    if text.isprintable():
        assert shown == text[:256]


USER = {"role": "user", "content": "hello"}


def messages(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (1, 1), (10_000_000, 10_000_000), (None, None),
        (0, 0), (-1, 0), (10_000_001, 0), (10**30, 0), (1.0, 0), (1e300, 0), ("100", 0), (True, 0), (False, 0),
        ([], 0), ([5], 0), ({}, 0), ("", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_only_a_plausible_number_is_a_cap(name: str, given: object, number: int | None) -> None:
    assert getattr(wanted(messages=[USER], **{name: given}), name) == number


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({}, 1),
        ({"n": None}, 1),
        ({"n": 4}, 4),
        ({"n": 2, "best_of": 5}, 5),
        ({"n": 0}, 0),
        ({"n": "4"}, 0),
        ({"n": 2.0}, 0),
        ({"n": True}, 0),
        ({"n": 10**9}, 0),
        ({"n": 1, "best_of": "5"}, 0),
        ({"prompt": "one"}, 1),
        ({"prompt": ["one", "two", "three"]}, 3),
        ({"prompt": ["one", "two"], "n": 3}, 6),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]], "best_of": 2}, 4),
        ({"prompt": [1, "two"]}, 2),
        ({"prompt": []}, 1),
    ],
)
def test_every_prompt_is_answered_n_or_best_of_times(fields: dict[str, Any], answers: int) -> None:
    assert wanted(**fields).answers == answers


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}]},
        {"messages": [{"role": "tool", "tool_call_id": "1", "content": "a file_id and an image_url"}]},
        {"messages": messages({"type": "text", "text": '{"type":"input_file","file_id":"f"}'})},
        {"input": "hello"},
        {"input": ["a", "b"]},
        {"input": [1, 2]},
        {"input": [[1, 2], [3]]},
        {"input": [USER, {"type": "message", **USER}]},
        {"input": messages({"type": "input_text", "text": "a"})},
        {"input": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}]},
        {"input": [{"type": "function_call_output", "call_id": "1", "output": "done"}]},
        {"input": [{"type": "function_call_output", "output": [{"type": "input_text", "text": "done"}]}]},
        {"input": [{"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}]},
        {"input": "hello", "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]},
        {"input": "hello", "previous_response_id": None, "conversation": None, "prompt": None, "tools": None},
        {"prompt": "hello", "suffix": "!"},
    ],
)
def test_input_that_is_all_in_the_body(fields: dict[str, Any]) -> None:
    found = wanted(**fields)
    assert (found.elsewhere, found.tools, found.images, found.audio) == ((), (), 0, False)


@pytest.mark.parametrize(
    ("fields", "elsewhere"),
    [
        ({"previous_response_id": "resp_1"}, "a previous response"),
        ({"conversation": "conv_1"}, "a conversation"),
        ({"conversation": {"id": "conv_1"}}, "a conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "a stored prompt"),
        ({"context_management": [{"type": "compaction"}]}, "context management"),
        ({"messages": messages({"type": "file", "file": {"file_id": "f"}})}, "a part of type file"),
        ({"input": messages({"type": "input_file", "file_data": "data:"})}, "a part of type input_file"),
        ({"input": messages({"text": "a"})}, "a part of type none"),
        ({"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}, "the audio of an earlier answer"),
        ({"input": [{"id": "msg_1"}]}, "a reference to an item"),
        ({"input": [{"type": "item_reference", "id": "rs_1"}]}, "an item of type item_reference"),
        ({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "an item of type reasoning"),
        ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "an item of type web_search_call"),
        ({"input": [{"type": "x" * 100}]}, "an item of type " + "x" * 40),
        (
            {"input": [{"type": "function_call_output", "output": [{"type": "input_file"}]}]},
            "a part of type input_file",
        ),
    ],
)
def test_input_that_the_body_does_not_tell(fields: dict[str, Any], elsewhere: str) -> None:
    assert wanted(**fields).elsewhere == (elsewhere,)


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": "hello"},
        {"messages": [USER, "hello"]},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": [{"role": "user", "content": ["hello"]}]},
        {"messages": messages({"type": 7})},
        {"input": 5},
        {"input": [True]},
        {"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot"}}]},
        {"prompt": 5},
        {"tools": {"type": "function"}},
        {"tools": [{"type": 1}]},
        {"tools": "all"},
        {"prompt_cache_options": "12h"},
    ],
)
def test_a_shape_that_openai_does_not_take_tells_nothing(fields: dict[str, Any]) -> None:
    found = read(json.dumps({"model": "gpt-4o", "max_tokens": 5, **fields}).encode())
    assert (found.readable, found.model) == (True, "gpt-4o")
    assert found.wanted == Wanted(answers=0, elsewhere=("a body of another shape than OpenAI's",))


def test_what_is_not_read_tells_nothing() -> None:
    assert read(b"{").wanted == UNREAD
    assert UNREAD.answers == 0
    assert UNREAD.elsewhere


@pytest.mark.parametrize(
    ("fields", "tools"),
    [
        (
            {"tools": [{"type": "web_search"}, {"type": "function", "name": "f"}, {"type": "mcp"}]},
            ("web_search", "mcp"),
        ),
        ({"tools": [{"type": "file_search"}, {"type": "file_search"}]}, ("file_search",)),
        ({"tools": [{"name": "f"}]}, ("none",)),
        ({"web_search_options": {}}, ("web_search_options",)),
    ],
)
def test_tools_that_run_at_openai(fields: dict[str, Any], tools: tuple[str, ...]) -> None:
    assert wanted(input="hello", max_tool_calls=3, **fields).tools == tools
    assert wanted(input="hello", max_tool_calls=3, **fields).tool_calls == 3


def test_images_audio_and_what_else_has_a_price_of_its_own() -> None:
    image, sound = {"type": "image_url", "image_url": {"url": "https://x"}}, {"type": "input_audio", "input_audio": {}}
    assert wanted(messages=messages(image, image, {"type": "text", "text": "?"})).images == 2
    assert wanted(input=messages({"type": "input_image", "file_id": "f"})).images == 1
    assert wanted(messages=messages(sound)).audio
    assert wanted(messages=[USER], modalities=["text", "audio"]).audio
    assert not wanted(messages=[USER], modalities=["text"]).audio
    assert wanted(messages=[USER], prediction={"content": "abc"}).prediction_bytes == len('{"content":"abc"}')
    assert wanted(messages=[USER], prediction=None).prediction_bytes == 0
    assert wanted(input=[{"type": "reasoning", "encrypted_content": "x" * 99}]).opaque_bytes == 99
    assert wanted(messages=[USER], tools=[{"type": "custom"}], functions=[], text={"a": 1}).definitions_bytes == sum(
        map(len, ('[{"type":"custom"}]', "[]", '{"a":1}'))
    )


@pytest.mark.parametrize(
    ("options", "long"), [(None, False), ({}, False), ({"ttl": "30m"}, False), ({"ttl": "12h"}, True)]
)
def test_a_cache_that_is_kept_long_is_dearer(options: dict[str, Any] | None, long: bool) -> None:
    assert wanted(input="hello", prompt_cache_options=options).long_cache is long


RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings"

BY_TOKENS = {"chat", "text_completion", "responses", "embeddings"}

HAND_MADE = {"6edcb8121ba1c007"}
"""Recordings whose answer is to another request: it calls a tool that the request does not have."""


def recorded() -> Iterator[tuple[str, Call, Asked, bytes, dict[str, Any]]]:
    """Recorded requests whose answer reports usage and whose input is all in the body."""
    with gzip.open(RECORDINGS / "expected.jsonl.gz", "rt", encoding="utf-8") as file:
        reported = {row["id"]: row for row in map(json.loads, file)}
    with gzip.open(RECORDINGS / "interactions.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            usage = reported.get(row["id"], {}).get("usage") or {}
            endpoint = endpoints.find(row["method"], row["path"])
            text = (row["request"].get("body") or {}).get("text")
            if (
                not text
                or not usage.get("input_tokens")
                or endpoint.operation not in BY_TOKENS
                or row["id"] in HAND_MADE
            ):
                continue
            body = text.encode()
            found = read(body)
            model = found.model or reported[row["id"]]["model_requested"]
            call = Call(
                "", datetime(2026, 11, 23, tzinfo=UTC), endpoint.operation, "POST", "", Attribution(), "", model
            )
            if not found.wanted.elsewhere and not found.wanted.tools:
                yield row["id"], call, found, body, usage


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings are not beside the project")
def test_no_recorded_call_used_more_than_its_request_told() -> None:
    seen = 0
    for ident, call, found, body, usage in recorded():
        most, exact = most_input(call, found.wanted, len(body)), counted_input(call, found.wanted, body)
        assert usage["input_tokens"] <= exact <= most, ident
        cap = cap_of(call, found.wanted)
        if cap is not None:
            assert (usage.get("output_tokens") or 0) <= cap * found.wanted.answers, ident
        seen += 1
    assert seen > 1000
