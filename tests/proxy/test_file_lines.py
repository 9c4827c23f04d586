"""What lines of files say."""

import json
from typing import Any

import pytest

from billing.requested import NOTHING_REQUESTED
from billing.wanted import Wanted
from proxy import file_lines

HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("body", "file_id"),
    [(b'{"input_file_id":"file-1","endpoint":"/v1/x"}', "file-1"), (b'{"input_file_id":7}', None), (b"{}", None),
     (b"[", None)],
)  # fmt: skip
def test_the_file_of_a_batch(body: bytes, file_id: str | None) -> None:
    assert file_lines.batch_file(body) == file_id


def test_a_request_of_a_batch() -> None:
    given = file_lines.request(
        line(
            custom_id="1", method="POST", url="/v1/chat/completions", body={**HELLO, "max_completion_tokens": 7, "n": 2}
        )
    )
    assert given
    assert (given.operation, given.model) == ("chat", "gpt-4o")
    assert given.wanted == Wanted(max_completion_tokens=7, answers=2)
    assert json.loads(given.body)["messages"] == HELLO["messages"]
    assert given.requested is NOTHING_REQUESTED


@pytest.mark.parametrize(
    ("url", "operation"),
    [("/v1/responses", "responses"), ("/v1/embeddings?x=1", "embeddings"), ("/v1/moderations", "moderation"),
     ("/v1/nowhere", "unmetered"), ("https://elsewhere/v1/responses", "unmetered")],
)  # fmt: skip
def test_its_operation_is_that_of_its_url(url: str, operation: str) -> None:
    given = file_lines.request(line(url=url, body=HELLO))
    assert given
    assert given.operation == operation


def test_a_request_for_pictures_says_how_many() -> None:
    given = file_lines.request(line(url="/v1/images/generations", body={"model": "gpt-image-2", "prompt": "a", "n": 3}))
    assert given
    assert (given.requested.model, given.requested.images, given.requested.text) == ("gpt-image-2", 3, "a")


@pytest.mark.parametrize(
    "text",
    [b"", b"hello", b"[]", b"null", line(body=HELLO), line(url="/v1/responses"), line(url=7, body=HELLO),
     line(url="/v1/responses", body=[]), line(url="/v1/responses", body="{}"), b"\xff", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_request(text: bytes) -> None:
    assert file_lines.request(text) is None


@pytest.mark.parametrize(
    ("fields", "plain"),
    [
        ({"messages": HELLO["messages"]}, True),
        ({"messages": HELLO["messages"], "tools": [], "parallel_tool_calls": False}, True),
        ({"messages": HELLO["messages"], "reference_answer": "x"}, False),
        ({"prompt": "hello", "completion": "there"}, False),
    ],
)
def test_an_example_that_can_be_counted_has_nothing_but_messages_and_tools(fields: dict[str, Any], plain: bool) -> None:
    text = line(**fields)
    given = file_lines.EXAMPLES["supervised"](text)
    assert given
    assert (given.plain, given.body, given.wanted.elsewhere) == (plain, text, ())


def test_pictures_of_an_example_are_seen() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
    messages = [{"role": "user", "content": [picture, picture]}]
    supervised = file_lines.EXAMPLES["supervised"](line(messages=messages))
    preferences = file_lines.EXAMPLES["dpo"](
        line(input={"messages": messages}, preferred_output=[], non_preferred_output=[])
    )
    assert supervised
    assert preferences
    assert supervised.wanted.images == preferences.wanted.images == 2


@pytest.mark.parametrize("method", ["supervised", "dpo"])
@pytest.mark.parametrize("text", [b"", b"hello", b"[]", b"\xff", b"[" * 100_000, b'{"input":7}x'])
def test_what_is_no_example(method: str, text: bytes) -> None:
    assert file_lines.EXAMPLES[method](text) is None


def test_an_example_of_another_method_is_none_or_told_to_be_odd() -> None:
    assert file_lines.EXAMPLES["dpo"](line(messages=[])) is None
    odd = file_lines.EXAMPLES["supervised"](line(input={"messages": []}, preferred_output=[]))
    assert odd
    assert odd.wanted.elsewhere
