"""Readers: the one rule that finds usage in any payload of a text API."""

import json

import pytest

from billing.meters.readers import TextReader, an_object, fields, objects, reported_in
from billing.usage import Reading, Unit, Usage

TEN = Usage({Unit.INPUT_TEXT: 10})


def read(*payloads: bytes, final: frozenset[str] = frozenset(), variant: str = "") -> tuple[Reading | None, bool]:
    reader = TextReader(final, variant=variant)
    for payload in payloads:
        reader.read(payload)
    return reader.reading, reader.finished


@pytest.mark.parametrize(
    ("payload", "reading"),
    [
        ({"usage": {"prompt_tokens": 10}}, Reading(TEN)),
        (
            {"id": "a", "model": "m", "service_tier": "flex", "usage": {"input_tokens": 10}},
            Reading(TEN, "m", "flex", "a"),
        ),
        ({"type": "event", "response": {"model": "m", "usage": {"input_tokens": 10}}}, Reading(TEN, "m")),
        ({"usage": None, "response": {"usage": {"input_tokens": 10}}}, Reading(TEN)),
        ({"usage": {"input_tokens": 0}}, Reading(Usage())),
        ({"usage": None}, None),
        ({"usage": {}}, None),
        ({"usage": {"input_tokens": -1}}, None),
        ({"usage": {"input_tokens": "10"}}, None),
        ({"error": {"usage": {"input_tokens": 10}}}, None),
        ({"choices": [{"usage": {"input_tokens": 10}}]}, None),
    ],
)
def test_the_usage_is_the_payloads_or_its_responses(payload: object, reading: Reading | None) -> None:
    assert read(json.dumps(payload).encode()) == (reading, False)


def test_the_last_usage_stands_and_its_event_ends_the_stream() -> None:
    first, last = b'{"usage":{"input_tokens":9}}', b'{"type":"end","usage":{"input_tokens":10}}'
    assert read(first, last, b'{"type":"more"}', final=frozenset({"end"})) == (Reading(TEN), True)
    assert read(b'{"type":"end","usage":null}', final=frozenset({"end"})) == (None, True)


def test_a_variant_is_part_of_the_reading() -> None:
    assert read(b'{"usage":{"input_tokens":10}}', variant="decisions")[0] == Reading(TEN, variant="decisions")


def test_what_is_of_no_shape_is_nothing() -> None:
    assert fields(b"[1]") == fields(b"{") == fields(b"\xff") == {}
    assert objects([1, {"a": 1}, None]) == [{"a": 1}]
    assert objects("odd") == objects(None) == []
    assert an_object([1]) == {}
    assert reported_in({"input_tokens": -1}) is None
    assert reported_in([1]) is None
