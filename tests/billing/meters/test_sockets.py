"""What the messages of a WebSocket say was used: cassettes of the upstream's messages, one a line, and what may break.

Beside each `.frames` stands what begins, what ends, and what must be read of each.
"""

import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.meters.sockets import (
    Begun,
    Ended,
    LiveMeter,
    RealtimeMeter,
    ResponsesMeter,
    SocketMeter,
    Step,
    TranslationMeter,
)
from billing.usage import Reading, Unit, Usage

FOLDER = Path(__file__).parents[2] / "cassettes" / "sockets"
METERS: dict[str, Callable[[], SocketMeter]] = {
    "realtime": lambda: RealtimeMeter("gpt-realtime"),
    "responses": ResponsesMeter,
    "translations": lambda: TranslationMeter(None),
    "live": lambda: LiveMeter(None),
}
each_meter = pytest.mark.parametrize("name", METERS)


def messages(name: str) -> list[bytes]:
    return (FOLDER / f"{name}.frames").read_bytes().splitlines()


def told(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text())


def reading(row: dict[str, Any] | None) -> Reading | None:
    if row is None:
        return None
    return Reading(**{**row, "usage": Usage({Unit(unit): quantity for unit, quantity in row["usage"].items()})})


def steps(meter: SocketMeter, sent: list[bytes], seconds: Decimal) -> list[Step]:
    return [step for message in sent for step in meter.received(message)] + meter.close(seconds)


@each_meter
def test_a_socket_is_read_as_its_cassette_says(name: str) -> None:
    expected = told(name)
    found = steps(METERS[expected["meter"]](), messages(name), Decimal(expected["lasted_seconds"]))
    assert [f"{step.thing} {step.key}" for step in found if isinstance(step, Begun)] == expected["begun"]
    ended = [step for step in found if isinstance(step, Ended)]
    assert [(step.thing.value, step.key, step.reading) for step in ended] == [
        (row["thing"], row["key"], reading(row.get("reading"))) for row in expected["ended"]
    ]
    for step, row in zip(ended, expected["ended"], strict=True):
        assert "text" not in row or step.text == row["text"]


@each_meter
def test_wherever_a_socket_dies_all_that_began_has_ended_once(name: str) -> None:
    sent = messages(name)
    for end in range(len(sent) + 1):
        found = steps(METERS[name](), sent[:end], Decimal(5))
        begun = [(step.thing, step.key) for step in found if isinstance(step, Begun)]
        ended = [(step.thing, step.key) for step in found if isinstance(step, Ended)]
        assert len(set(ended)) == len(ended), end
        assert set(begun) <= set(ended), end


def test_a_session_that_dies_keeps_the_seconds_told_last_and_does_not_sum_them() -> None:
    *_, ended = steps(LiveMeter(None), messages("live")[:2] + messages("live")[6:7], Decimal(400))
    assert isinstance(ended, Ended)
    assert ended.reading is not None
    assert ended.reading.usage == Usage({Unit.SESSION_SECONDS: 25})


@pytest.mark.parametrize("name", ["realtime", "live", "translations", "responses"])
def test_a_socket_on_which_nothing_came_to_be_bills_nothing(name: str) -> None:
    refusal = b'{"type":"error","error":{"code":"invalid_api_key","message":"response.created usage"}}'
    assert steps(METERS[name](), [refusal], Decimal(3)) == []


@pytest.mark.parametrize(
    ("cached", "expected"),
    [
        (30, {Unit.INPUT_CACHED_TEXT: 30, Unit.INPUT_TEXT: 10, Unit.INPUT_IMAGE: 20, Unit.INPUT_AUDIO: 40}),
        (50, {Unit.INPUT_CACHED_TEXT: 40, Unit.INPUT_CACHED_IMAGE: 10, Unit.INPUT_IMAGE: 10, Unit.INPUT_AUDIO: 40}),
        (999, {Unit.INPUT_CACHED_TEXT: 40, Unit.INPUT_CACHED_IMAGE: 20, Unit.INPUT_CACHED_AUDIO: 40}),
    ],
    ids=["within the text", "into the images", "more than there was"],
)
def test_cached_tokens_of_no_stated_modality(cached: int, expected: dict[Unit, int]) -> None:
    done = (
        b'{"type":"response.done","response":{"id":"r","usage":{"input_tokens":100,"output_tokens":0,'
        b'"input_token_details":{"audio_tokens":40,"image_tokens":20,"cached_tokens":%d}}}}' % cached
    )
    (ended,) = RealtimeMeter("gpt-realtime").received(done)
    assert isinstance(ended, Ended)
    assert ended.reading is not None
    assert ended.reading.usage == Usage(expected)


@each_meter
@given(data=st.data())
def test_nothing_that_an_upstream_sends_stops_a_meter(name: str, data: st.DataObject) -> None:
    scalar = st.none() | st.integers() | st.sampled_from(["NaN", "-1", "x", "1e999"]) | st.lists(st.none(), max_size=1)
    sent = data.draw(st.lists(st.sampled_from(messages(name)) | st.binary(max_size=20), max_size=6))
    found: list[bytes] = []
    for message in sent:
        old = data.draw(
            st.sampled_from([b'"usage":{', b'"response":{', b'"session":{', b'"id":"', b'"seconds":', b"{"])
        )
        new = b'"x":%s,%s' % (str(data.draw(st.integers(0, 9))).encode(), old)
        found.append(message.replace(old, new, data.draw(st.integers(0, 2))))
    odd = data.draw(scalar)
    text = str(odd).replace("None", "null").replace("'", '"') if not isinstance(odd, str) else f'"{odd}"'
    kinds = ("session.usage.updated", "response.done", "session.created", "response.created", "decision.event")
    odd_fields = f'"usage":{{"seconds":{text}}},"response":{text},"session":{text},"event":{text}'
    found += [f'{{"type":"{kind}",{odd_fields}}}'.encode() for kind in kinds]
    steps(METERS[name](), found, Decimal(1))
