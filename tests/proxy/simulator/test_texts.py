import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.simulator import asks, wire
from proxy.simulator.asks import OPERATIONS, Ask
from proxy.simulator.instructions import Instruction
from proxy.simulator.texts import FALSE_USAGE, pieces, text, tool_call

LUCKS = range(40)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "find_tram", "parameters": SCHEMA}}
FLAT = {"type": "function", "name": "flat", "parameters": SCHEMA}
OTHER = {"type": "function", "function": {"name": "find_bus", "parameters": SCHEMA}}


def ask(**body: Any) -> Ask:
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    return asks.read(OPERATIONS[0], chat | body)


@given(st.text())
def test_pieces_add_up_to_the_text(whole: str) -> None:
    assert "".join(pieces(whole)) == whole


def test_a_text_has_the_words_it_was_told_and_each_is_one_piece() -> None:
    for luck in LUCKS:
        assert len(pieces(text(ask(), Instruction(words=17), wire.luck(luck)))) == 17
    assert text(ask(), Instruction(words=0), wire.luck(0)) == ""


def test_texts_differ_with_luck_alone() -> None:
    said = {text(ask(), Instruction(), wire.luck(luck)) for luck in (*LUCKS, *LUCKS)}
    assert len(said) == len(LUCKS)


def test_a_lie_looks_like_usage() -> None:
    said = text(ask(), Instruction(lie="usage_text"), wire.luck(0))
    assert said == FALSE_USAGE
    assert '"usage":{"prompt_tokens":999999' in said
    assert "data: [DONE]" in said


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
            {"city": ""},
        ),
        ({"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}}, {"city": ""}),
        ({"response_format": {"type": "json_object"}}, {}),
    ],
)
def test_json_where_json_is_wanted(body: dict[str, Any], value: object) -> None:
    assert json.loads(text(ask(**body), Instruction(), wire.luck(0))) == value


def test_text_where_text_is_wanted() -> None:
    body = {"response_format": {"type": "text"}}
    assert text(ask(**body), Instruction(words=3), wire.luck(0)).count(" ") == 2


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        ({}, {None}),
        ({"tools": [TOOL]}, {None, "find_tram"}),
        ({"tools": [TOOL, OTHER], "tool_choice": "auto"}, {None, "find_tram", "find_bus"}),
        ({"tools": [TOOL, OTHER], "tool_choice": "required"}, {"find_tram", "find_bus"}),
        ({"tools": [TOOL, OTHER], "tool_choice": {"function": {"name": "find_bus"}}}, {"find_bus"}),
        ({"tools": [TOOL], "tool_choice": "none"}, {None}),
        ({"tools": [TOOL], "messages": [{"role": "tool", "content": "12:04"}]}, {None}),
        ({"tools": [FLAT], "tool_choice": "required"}, {"flat"}),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, {None}),
    ],
)  # fmt: skip
def test_when_tools_are_called(body: dict[str, Any], calls: set[str | None]) -> None:
    made = [tool_call(ask(**body), wire.luck(luck)) for luck in LUCKS]
    assert {call.name if call else None for call in made} == calls
    assert all(json.loads(call.arguments) == {"city": ""} for call in made if call)
