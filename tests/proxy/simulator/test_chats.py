import json
from collections.abc import Mapping
from typing import Any

import pytest

from proxy.simulator import asks, chats, minds, wire
from proxy.simulator.asks import OPERATIONS
from proxy.simulator.instructions import Instruction
from proxy.simulator.minds import Turn

LOOKUP = {
    "type": "function",
    "function": {"name": "look", "parameters": {"properties": {"at": {"type": "string"}}}},
}


def turn(told: str = "words=3", *, legacy: bool = False, **body: Any) -> Turn:
    basis: Mapping[str, Any] = (
        {"model": "gpt-3.5-turbo-instruct", "prompt": "hello"}
        if legacy
        else {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    )
    ask = asks.read(OPERATIONS[1 if legacy else 0], {**basis, **body})
    instruction = Instruction.read(told)
    answer = minds.answer(ask, instruction, wire.luck(1))
    return Turn(ask, answer, "chatcmpl-1", 1_795_000_000, not instruction.no_usage)


def chunks(asked: Turn) -> list[dict[str, Any]]:
    """The data of all events but the last, which must be `[DONE]`."""
    *events, last = chats.events(asked)
    assert last == b"data: [DONE]\n\n"
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    return [json.loads(event[6:]) for event in events]


def test_a_whole_answer_field_by_field() -> None:
    asked = turn("words=3; prompt_tokens=2000; cached_tokens=1024; completion_tokens=7")
    assert json.dumps(chats.whole(asked)) == json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_795_000_000,
            "model": "gpt-4o-2024-08-06",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": asked.answer.choices[0].text,
                        "refusal": None,
                        "annotations": [],
                    },
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 2000,
                "completion_tokens": 7,
                "total_tokens": 2007,
                "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": 0,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": "default",
            "system_fingerprint": "fp_5ab7e0c1d2",
        }
    )


def test_models_that_write_caches_say_how_much() -> None:
    asked = turn("prompt_tokens=50; cached_tokens=10; cache_write_tokens=20", model="gpt-5.6-sol")
    details = chats.whole(asked)["usage"]["prompt_tokens_details"]
    assert details == {"cached_tokens": 10, "cache_write_tokens": 20, "audio_tokens": 0}


def test_legacy_completions_have_no_tier_and_plain_usage() -> None:
    body = chats.whole(turn(legacy=True))
    assert list(body) == ["id", "object", "created", "model", "choices", "usage"]
    assert body["object"] == "text_completion"
    assert body["usage"] == {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    assert body["choices"][0].keys() == {"text", "index", "logprobs", "finish_reason"}


def test_what_is_billed_is_said_even_by_legacy_completions() -> None:
    used = chats.whole(turn("prompt_tokens=50; cached_tokens=10", legacy=True, model="gpt-4o"))["usage"]
    assert used["prompt_tokens_details"]["cached_tokens"] == 10


@pytest.mark.parametrize("legacy", [False, True])
def test_an_answer_can_hide_its_usage(legacy: bool) -> None:
    asked = turn("words=3; no_usage", legacy=legacy, stream_options={"include_usage": True})
    assert "usage" not in chats.whole(asked)
    assert all(chunk["usage"] is None for chunk in chunks(asked))


@pytest.mark.parametrize("legacy", [False, True])
def test_streams_say_no_usage_unless_asked(legacy: bool) -> None:
    assert all("usage" not in chunk for chunk in chunks(turn(legacy=legacy)))


@pytest.mark.parametrize("legacy", [False, True])
def test_streams_say_usage_once_when_asked(legacy: bool) -> None:
    asked = turn(legacy=legacy, stream_options={"include_usage": True})
    *chunked, last = chunks(asked)
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunked)
    assert last["choices"] == []
    assert last["usage"] == chats.usage(asked)


def test_a_stream_delta_by_delta() -> None:
    asked = turn("words=3")
    first, second, third = asked.answer.choices[0].text.split()
    choices = [chunk["choices"][0] for chunk in chunks(asked)]
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": "", "refusal": None},
        {"content": first},
        {"content": f" {second}"},
        {"content": f" {third}"},
        {},
    ]
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, None, "stop"]


def test_a_chunk_field_by_field() -> None:
    fields = [
        "id", "object", "created", "model", "service_tier", "system_fingerprint",
        "choices", "usage", "obfuscation",
    ]  # fmt: skip
    assert all(list(chunk) == fields for chunk in chunks(turn(stream_options={"include_usage": True})))
    legacy = ["id", "object", "created", "choices", "model"]
    assert all(list(chunk) == legacy for chunk in chunks(turn(legacy=True)))


def test_obfuscation_can_be_switched_off_and_changes_nothing_else() -> None:
    padded = chunks(turn())
    bare = chunks(turn(stream_options={"include_obfuscation": False}))
    assert all("obfuscation" not in chunk for chunk in bare)
    assert [{k: v for k, v in chunk.items() if k != "obfuscation"} for chunk in padded] == bare


def test_several_choices_take_turns() -> None:
    asked = turn(n=3)
    assert [chunk["choices"][0]["index"] for chunk in chunks(asked)] == [0, 1, 2] * 5
    said = chats.whole(asked)
    assert [choice["index"] for choice in said["choices"]] == [0, 1, 2]
    assert said["usage"]["completion_tokens"] == 9


def test_a_longer_choice_goes_on_when_the_others_have_ended() -> None:
    asked = turn("", n=3)
    texts = ["", "", ""]
    for choice in (chunk["choices"][0] for chunk in chunks(asked)):
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == [choice.text for choice in asked.answer.choices]
    assert len({len(text.split()) for text in texts}) == 3


def test_tool_calls_whole_and_streamed() -> None:
    asked = turn(tools=[LOOKUP], tool_choice="required")
    choice = chats.whole(asked)["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert (call["type"], call["function"]) == ("function", {"name": "look", "arguments": '{"at": ""}'})
    first, *rest, last = (chunk["choices"][0] for chunk in chunks(asked))
    assert first["delta"]["tool_calls"] == [{"index": 0, **call, "function": {"name": "look", "arguments": ""}}]
    parts = [choice["delta"]["tool_calls"][0]["function"]["arguments"] for choice in rest]
    assert "".join(parts) == '{"at": ""}'
    assert last["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("legacy", [False, True])
def test_what_the_limit_cut_says_length(legacy: bool) -> None:
    asked = turn("words=9", legacy=legacy, max_tokens=2)
    assert chats.whole(asked)["choices"][0]["finish_reason"] == "length"
    assert chunks(asked)[-1]["choices"][0]["finish_reason"] == "length"
