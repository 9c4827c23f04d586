import json
from collections import Counter

import pytest

from proxy.simulator import wire
from proxy.simulator.instructions import REFUSED_WITH
from proxy.simulator.wire import Refusal


def test_luck_repeats_itself() -> None:
    assert wire.name(wire.luck(1, "a"), "req_", 8) == wire.name(wire.luck(1, "a"), "req_", 8)
    assert wire.name(wire.luck(1, "a"), "req_", 8) != wire.name(wire.luck(1, "b"), "req_", 8)


def test_whole_answers_are_indented_by_two() -> None:
    assert wire.whole({"id": "x", "list": [], "text": "é"}).decode() == (
        '{\n  "id": "x",\n  "list": [],\n  "text": "é"\n}\n'
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (None, 'data: {"a":"é\\n","b":null}\n\n'),
        ("response.created", 'event: response.created\ndata: {"a":"é\\n","b":null}\n\n'),
    ],
)
def test_events_are_compact_lines(kind: str | None, expected: str) -> None:
    assert wire.event({"a": "é\n", "b": None}, kind).decode() == expected


def test_headers_are_those_of_openai() -> None:
    headers = wire.headers("req_1", wire.luck(0), {"OpenAI-Project": "proj_x"})
    names = Counter(name.lower() for name, _ in headers)
    expected = "openai-version openai-processing-ms openai-organization cf-cache-status cf-ray"
    assert names >= Counter([*expected.split(), "x-ratelimit-reset-tokens"])
    assert names["set-cookie"] == 2
    assert ("x-request-id", "req_1") in headers
    assert ("openai-project", "proj_x") in headers


@pytest.mark.parametrize("status", REFUSED_WITH)
def test_refusals_have_openais_shape(status: str) -> None:
    with pytest.raises(Refusal) as refused:
        wire.refuse_with(status)
    assert str(refused.value.status) == status[:3]
    assert list(refused.value.body) == ["error"]
    assert list(refused.value.body["error"]) == ["message", "type", "param", "code"]
    assert ("retry-after-ms" in refused.value.headers) == (status in {"429", "503"})


def test_nothing_is_refused_unasked() -> None:
    wire.refuse_with(None)


def test_a_broken_stream_says_so_in_its_own_wording() -> None:
    chat = wire.broken(responses=False, sequence=3).decode()
    assert json.loads(chat.removeprefix("data: "))["error"]["type"] == "server_error"
    kind, data, *_ = wire.broken(responses=True, sequence=3).decode().split("\n")
    assert kind == "event: error"
    assert json.loads(data.removeprefix("data: ")).items() >= {"type": "error", "sequence_number": 3}.items()
