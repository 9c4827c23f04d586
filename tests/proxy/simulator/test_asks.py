from typing import Any

import pytest

from proxy.simulator import asks
from proxy.simulator.asks import OPERATIONS
from proxy.simulator.wire import Refusal

BY_NAME = {operation.name: operation for operation in OPERATIONS}
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
REPLY = {"model": "gpt-6.1-sol", "input": "hello"}


@pytest.mark.parametrize(
    ("operation", "body", "tier", "limit", "choices", "streamed"),
    [
        ("chat", CHAT, "default", None, 1, False),
        ("chat", CHAT | {"stream": True, "n": 3}, "default", None, 3, True),
        ("chat", CHAT | {"max_tokens": 9}, "default", 9, 1, False),
        ("chat", CHAT | {"max_tokens": 9, "max_completion_tokens": 5}, "default", 5, 1, False),
        ("chat", CHAT | {"service_tier": "fast"}, "priority", None, 1, False),
        ("chat", CHAT | {"service_tier": "scale"}, "default", None, 1, False),
        ("responses", REPLY | {"service_tier": "ultrafast"}, "ultrafast", None, 1, False),
        ("responses", REPLY | {"max_output_tokens": 7, "n": 2}, "default", 7, 1, False),
        ("text_completion", {"model": "gpt-3.5-turbo-instruct", "prompt": "x"}, "default", 16, 1, False),
        ("compact", REPLY | {"stream": True, "service_tier": "flex"}, "default", None, 1, False),
        ("embeddings", {"model": "text-embedding-3-small", "input": "x"}, "default", None, 1, False),
    ],
)
def test_what_is_asked(
    operation: str, body: dict[str, Any], tier: str, limit: int | None, choices: int, streamed: bool
) -> None:
    ask = asks.read(BY_NAME[operation], body)
    assert (ask.wanted_tier, ask.limit, ask.choices, ask.streamed) == (tier, limit, choices, streamed)


@pytest.mark.parametrize(
    ("operation", "body", "status", "code", "param"),
    [
        ("chat", {"messages": CHAT["messages"]}, 400, None, None),
        ("chat", CHAT | {"model": "gpt-9"}, 404, "model_not_found", None),
        ("chat", CHAT | {"model": "text-embedding-3-small"}, 404, "model_not_found", None),
        ("embeddings", {"model": "gpt-4o", "input": "x"}, 404, "model_not_found", None),
        ("responses", REPLY | {"model": "gpt-9"}, 400, "model_not_found", "model"),
        ("chat", {"model": "gpt-4o"}, 400, "missing_required_parameter", "messages"),
        ("chat", CHAT | {"messages": []}, 400, "missing_required_parameter", "messages"),
        ("responses", {"model": "gpt-4o"}, 400, "missing_required_parameter", "input"),
        ("chat", CHAT | {"n": "two"}, 400, "invalid_type", "n"),
        ("chat", CHAT | {"max_tokens": True}, 400, "invalid_type", "max_tokens"),
        ("chat", CHAT | {"max_tokens": 0}, 400, "integer_below_min_value", "max_tokens"),
        ("chat", CHAT | {"service_tier": "ultrafast"}, 400, None, "service_tier"),
    ],
)
def test_what_is_refused(
    operation: str, body: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    with pytest.raises(Refusal) as refused:
        asks.read(BY_NAME[operation], body)
    error = refused.value.body["error"]
    assert (refused.value.status, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"text"', b"\xff"])
def test_a_body_must_be_a_json_object(raw: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        asks.parse(raw)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("operation", "body", "characters"),
    [
        ("chat", CHAT, len("user") + len("hello")),
        ("chat", CHAT | {"user": "not part of the prompt"}, 9),
        ("responses", REPLY | {"instructions": "be brief"}, 13),
        ("embeddings", {"model": "text-embedding-3-small", "input": [1, 2, 3]}, 12),
        ("embeddings", {"model": "text-embedding-3-small", "input": ["ab", "c"]}, 3),
    ],
)
def test_the_prompt_is_as_long_as_its_text(operation: str, body: dict[str, Any], characters: int) -> None:
    assert asks.read(BY_NAME[operation], body).prompt_size == characters


def test_stream_options_are_off_unless_on() -> None:
    plain = asks.read(BY_NAME["chat"], CHAT)
    told = asks.read(BY_NAME["chat"], CHAT | {"stream_options": {"include_usage": True}})
    odd = asks.read(BY_NAME["chat"], CHAT | {"stream_options": None})
    assert [ask.option("include_usage", default=False) for ask in (plain, told, odd)] == [False, True, False]
