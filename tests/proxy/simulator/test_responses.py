import json
from typing import Any

from proxy.simulator import asks, minds, responses, wire
from proxy.simulator.asks import OPERATIONS
from proxy.simulator.instructions import Instruction
from proxy.simulator.minds import Turn

LOOKUP = {"type": "function", "name": "look", "parameters": {"properties": {"at": {"type": "string"}}}}


def turn(told: str = "words=2", operation: int = 2, **body: Any) -> Turn:
    ask = asks.read(OPERATIONS[operation], {"model": "gpt-4o", "input": "hello", **body})
    instruction = Instruction.read(told)
    answer = minds.answer(ask, instruction, wire.luck(3))
    return Turn(ask, answer, "resp_1", 1_795_000_000, not instruction.no_usage)


def events(asked: Turn) -> list[dict[str, Any]]:
    """The data of all events; each must carry its kind in the line before."""
    told = []
    for event in responses.events(asked):
        kind, data, *rest = event.decode().split("\n")
        assert rest == ["", ""]
        told.append(json.loads(data.removeprefix("data: ")))
        assert kind == f"event: {told[-1]['type']}"
    return told


def test_a_stream_event_by_event() -> None:
    asked = turn("words=2", service_tier="auto")
    first, second = asked.answer.choices[0].text.split()
    told = events(asked)
    assert [event["type"].removeprefix("response.") for event in told] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in told] == list(range(10))
    assert list(told[4]) == [
        "type", "content_index", "delta", "item_id", "logprobs", "obfuscation", "output_index", "sequence_number",
    ]  # fmt: skip
    assert [told[4]["delta"], told[5]["delta"]] == [first, f" {second}"]
    assert told[6]["text"] == told[7]["part"]["text"] == f"{first} {second}"
    assert told[8]["item"] == told[9]["response"]["output"][0]
    assert told[2]["item"]["content"] == []
    assert len({event["item_id"] for event in told[3:8]}) == 1


def test_usage_and_the_tier_that_served_come_at_the_end_only() -> None:
    asked = turn("words=2; tier=priority; prompt_tokens=5", service_tier="fast")
    first, second, *_, last = events(asked)
    for early in (first["response"], second["response"]):
        assert (early["usage"], early["service_tier"], early["status"], early["output"]) == (
            None,
            "fast",
            "in_progress",
            [],
        )
    assert last["response"] == responses.whole(asked)
    assert (last["response"]["service_tier"], last["response"]["status"]) == ("priority", "completed")
    assert last["response"]["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }  # fmt: skip


def test_cache_writes_tell_their_lifetimes() -> None:
    told = "prompt_tokens=100; cached_tokens=10; cache_write_tokens=20; cache_write_12h_tokens=30"
    used = responses.usage(turn(told, model="gpt-5.6-sol"))
    assert used
    assert used["input_tokens_details"] == {
        "cache_write_tokens": 50,
        "cached_tokens": 10,
        "cache_write_tokens_details": {"ttl_12h_tokens": 30, "ttl_30m_tokens": 20},
    }


def test_a_limit_makes_the_response_incomplete() -> None:
    last = events(turn("words=9", max_output_tokens=2))[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["status"] == "incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["output"][0]["status"] == "incomplete"
    assert last["response"]["usage"]["output_tokens"] == 2


def test_reasoning_is_an_item_of_its_own() -> None:
    told = events(turn("words=2", model="o3"))
    kinds = [item["type"] for item in told[-1]["response"]["output"]]
    added = [event["item"]["type"] for event in told if event["type"] == "response.output_item.added"]
    assert kinds == added == ["reasoning", "message"]


def test_reasoning_that_used_up_the_limit_leaves_no_message() -> None:
    body = responses.whole(turn("words=2", model="o3", max_output_tokens=1))
    assert [item["type"] for item in body["output"]] == ["reasoning"]
    assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": 1}


def test_tool_calls_are_streamed_in_parts() -> None:
    told = events(turn(tools=[LOOKUP], tool_choice="required"))
    deltas = [event["delta"] for event in told if event["type"] == "response.function_call_arguments.delta"]
    (item,) = told[-1]["response"]["output"]
    assert "".join(deltas) == item["arguments"] == '{"at": ""}'
    assert (item["type"], item["name"], item["status"]) == ("function_call", "look", "completed")


def test_what_was_asked_is_echoed() -> None:
    body = responses.whole(turn(metadata={"a": "b"}, instructions="brief", temperature=0.5, tools=[LOOKUP]))
    assert (body["metadata"], body["instructions"], body["temperature"]) == ({"a": "b"}, "brief", 0.5)
    assert body["tools"] == [LOOKUP]


def test_obfuscation_can_be_switched_off() -> None:
    assert any("obfuscation" in event for event in events(turn()))
    assert not any("obfuscation" in event for event in events(turn(stream_options={"include_obfuscation": False})))


def test_a_response_can_hide_its_usage() -> None:
    assert responses.whole(turn("no_usage"))["usage"] is None


def test_compaction_says_neither_model_nor_tier() -> None:
    body = responses.compacted(turn("prompt_tokens=9; completion_tokens=2", operation=3))
    assert list(body) == ["id", "object", "created_at", "output", "usage"]
    assert body["object"] == "response.compaction"
    assert [item["type"] for item in body["output"]] == ["message", "compaction"]
    assert body["usage"]["total_tokens"] == 11
