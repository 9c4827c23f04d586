"""References: every way in which a body names an object; what is hidden in one is found, or the body is unreadable."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.references import FIELDS, FREE_FORM, Unreadable, named

JSON = "application/json"
FORM = "multipart/form-data; boundary=b"


def ids(body: Any, content_type: str | None = JSON) -> list[str]:
    return [each.id for each in named(content_type, body if isinstance(body, bytes) else json.dumps(body).encode())]


def part(name: str, value: str, more: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'.encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"previous_response_id": "resp_1", "model": "gpt-5"}, ["resp_1"]),
        ({"conversation": "conv_1"}, ["conv_1"]),
        ({"conversation": {"id": "conv_1"}}, ["conv_1"]),
        ({"input_file_id": "file-1", "endpoint": "/v1/responses"}, ["file-1"]),
        ({"training_file": "file-1", "validation_file": "file-2"}, ["file-1", "file-2"]),
        ({"file_ids": ["file-1", "file-2"]}, ["file-1", "file-2"]),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]}, ["file-1"]),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]}, ["file-1"]),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]}, ["file-1"]),
        ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, ["vs_1"]),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, ["cntr_1"]),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f"]}}]}, ["f"]),
        ({"tool_resources": {"file_search": {"vector_stores": [{"file_ids": ["file-1"]}]}}}, ["file-1"]),
        ({"prompt": {"id": "pmpt_1", "variables": {"a": {"type": "input_file", "file_id": "file-1"}}}}, ["file-1"]),
        ({"assistant_id": "asst_1", "thread": {"messages": []}}, ["asst_1"]),
        ({"video": {"id": "video_1"}}, ["video_1"]),
        ({"characters": [{"id": "char_1"}, {"id": "char_2"}]}, ["char_1", "char_2"]),
        ({"data_source": {"source": {"type": "file_id", "id": "file-1"}}}, ["file-1"]),
        ({"skill_id": "skill_1"}, ["skill_1"]),
        ({"skill_id": "openai-spreadsheets"}, []),
        ({"previous_response_id": None, "conversation": "", "container": {"type": "auto"}}, []),
        ({"metadata": {"file_id": "mine"}, "messages": []}, []),
        ({"tools": [{"function": {"parameters": {"properties": {"file_id": {"default": "x"}}}}}]}, []),
        ({"messages": [{"role": "user", "content": '{"file_id": "file-1"}'}]}, []),
        ({"model": "gpt-5", "input": "hello"}, []),
    ],
)
def test_what_a_body_names(body: Any, expected: list[str]) -> None:
    assert ids(body) == expected


@pytest.mark.parametrize(
    ("case", "body"),
    [
        ("twice", b'{"file_id":"mine","file_id":"theirs"}'),
        ("twice, the other way round", b'{"file_id":"theirs","file_id":"mine"}'),
        ("with escapes", b'{"file\\u005fid":"theirs"}'),
        ("after white space", b' \n{"file_id":"theirs"}'),
        ("after a type that stands twice", b'{"type":"file_id","type":"x","id":"theirs"}'),
    ],
)
def test_what_is_hidden_in_a_body_is_found(case: str, body: bytes) -> None:
    assert "theirs" in ids(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"file_id=theirs",
        '{"file_id":"theirs"}'.encode("utf-16"),
        '{"file_id":"theirs"}'.encode("utf-16-le"),
        b'{"file_id":"theirs"',
        b'{"file_id":' + b"[" * 100_000,
        b"\xef\xbb\xbf" + b'{"file_id":"theirs"}',
    ],
)
def test_what_cannot_be_read_is_told(body: bytes) -> None:
    with pytest.raises(Unreadable):
        named(JSON, body)


@pytest.mark.parametrize(
    ("case", "body", "expected"),
    [
        ("a field", part("file_id", "file-1"), ["file-1"]),
        ("in brackets", part("input_reference[file_id]", "file-1"), ["file-1"]),
        ("a list", part("file_ids[]", "file-1") + part("file_ids[]", "file-2"), ["file-1", "file-2"]),
        ("an object in brackets", part("video[id]", "video_1"), ["video_1"]),
        ("an object as JSON", part("video", '{"id": "video_1"}'), ["video_1"]),
        ("JSON in a field", part("input_reference", '{"file_id": "file-1"}'), ["file-1"]),
        ("without quotes", part("x", "y").replace(b'"x"', b"file_id"), ["y"]),
        ("in lower case", part("file_id", "f").lower(), ["f"]),
        ("with plain line feeds", part("file_id", "f").replace(b"\r", b""), ["f"]),
        ("a file", part("video", "\0\1", '; filename="a.mp4"'), []),
        ("a prompt", part("prompt", "a file_id"), []),
    ],
)
def test_what_a_form_names(case: str, body: bytes, expected: list[str]) -> None:
    assert ids(part("model", "m") + body + b"--b--\r\n", FORM) == expected


def test_json_that_cannot_be_read_in_a_form_is_told() -> None:
    with pytest.raises(Unreadable):
        named(FORM, part("video", '{"id": "vid') + b"--b--\r\n")


nested = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(FIELDS.keys() - {"skill_id"})), st.lists(st.text(max_size=6), max_size=4), nested)
def test_a_reference_is_found_wherever_it_stands(field: str, above: list[str], beside: Any) -> None:
    body: Any = {field: "theirs", "beside": beside}
    for name in above:
        body = {name: [body]}
    assert ("theirs" in ids(body)) == FREE_FORM.isdisjoint(above)
