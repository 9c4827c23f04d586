import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.asked import NOTHING, Asked, printable, read


def asked(**fields: Any) -> Asked:
    return read(json.dumps(fields).encode())


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
NAMES = st.sampled_from(
    ["model", "stream", "stream_options", "service_tier", "background", "user", "safety_identifier", "metadata", "x"]
)


@given(st.dictionaries(NAMES, JSON), st.booleans(), st.integers(0, 400))
def test_hostile_fields_never_fail_and_texts_are_storable(fields: dict[str, Any], ascii_only: bool, cut: int) -> None:
    body = json.dumps(fields, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    found = read(body)
    for text in (found.model, found.service_tier, found.user):
        assert text is None or (text and text.isprintable() and len(text) <= 256 and text.encode())
    assert found.stream is (fields.get("stream") is True and found.readable)
    assert isinstance(read(body[:cut]), Asked)


@given(st.text(st.characters()))
def test_printable_text_is_short_and_safe(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == min(len(text), 256)
    assert shown.encode().decode() == shown
    if text.isprintable():
        assert shown == text[:256]
