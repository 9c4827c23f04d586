"""Estimates: the request's input and the output that was seen, counted; None where nothing is known."""

import json

import pytest

from billing.estimates import estimated_usage, is_long
from billing.tokens import count_input, count_output
from billing.usage import Unit
from billing.vocabularies import LONG_CHARACTERS

MODEL = "gpt-4.1-mini"
ASKED = {"model": MODEL, "messages": [{"role": "user", "content": "When does the ferry leave?"}]}


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("chat", ASKED),
        ("responses", {"model": MODEL, "input": "When does the ferry leave?"}),
        ("text_completion", {"model": "gpt-3.5-turbo-instruct", "prompt": "The ferry"}),
        ("embeddings", {"model": "text-embedding-3-small", "input": ["one", "two"]}),
        ("unheard-of", {"model": MODEL, "prompt": "ferry"}),
    ],
)
def test_input_and_output_are_counted_by_the_models_encoding(operation: str, body: dict[str, object]) -> None:
    model = str(body["model"])
    usage = estimated_usage(operation, json.dumps(body).encode(), "It leaves at nine.", model)
    assert usage is not None
    assert set(usage) == {Unit.INPUT_TEXT, Unit.OUTPUT_TEXT}
    assert usage[Unit.INPUT_TEXT] == count_input(operation, body, model).tokens > 0
    assert usage[Unit.OUTPUT_TEXT] == count_output("It leaves at nine.", model) == 5


def test_no_output_that_was_seen_is_no_output() -> None:
    usage = estimated_usage("chat", json.dumps(ASKED).encode(), "", MODEL)
    assert usage is not None
    assert list(usage) == [Unit.INPUT_TEXT]


@pytest.mark.parametrize(
    "request_body",
    [b"", b"{", b"[]", b"7", b"null", b'"text"', b"\xff", b'{"a":"\xff"}', b"[" * 100_000, b"--boundary\r\n"],
)
def test_of_a_request_that_is_no_object_nothing_is_known(request_body: bytes) -> None:
    assert estimated_usage("chat", request_body, "It leaves at nine.", MODEL) is None


def test_what_takes_long_is_told_from_both_ends() -> None:
    half = LONG_CHARACTERS // 2
    assert not is_long(b"x" * half, "y" * (LONG_CHARACTERS - half))
    assert is_long(b"x" * half, "y" * (LONG_CHARACTERS - half + 1))
    assert is_long(b"x" * (LONG_CHARACTERS + 1), "")
