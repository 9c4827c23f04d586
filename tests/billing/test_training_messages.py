"""What is wrong with messages and tools: a table of the smallest data that shows it."""

from typing import Any

import pytest

from billing.training_messages import MOST_TOOLS, Problem, messages_problems, tools_problems

USER = {"role": "user", "content": "hello"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLING = {"role": "assistant", "tool_calls": [CALL]}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}


def told(*messages: Any, roles: frozenset[str] | None = None) -> list[Problem]:
    given = list(messages)
    return list(messages_problems(given, "m") if roles is None else messages_problems(given, "m", roles))


def serious(*messages: Any) -> list[tuple[str, str]]:
    return [(problem.kind, problem.text) for problem in told(*messages) if problem.serious]


RIGHT: dict[str, list[Any]] = {
    "all roles": [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, USER],
    "names": [{**USER, "name": "ann"}, {"role": "function", "name": "f", "content": "1"}],
    "weights": [
        USER,
        {"role": "assistant", "content": "a", "weight": 0},
        {"role": "assistant", "content": "b", "weight": 1},
    ],
    "no weight": [{"role": "assistant", "content": "a", "weight": None}],
    "tools": [USER, CALLING, {"role": "tool", "tool_call_id": "call_1", "content": "1"}],
    "an old call": [{"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}],
    "a refusal": [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
    "pictures": [{"role": "user", "content": [{"type": "text", "text": "see"}, PICTURE]}],
    "a picture inside": [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}
    ],
    "nearly a token": [{"role": "user", "content": "<|fim|> <fim_suffix>"}],
}


@pytest.mark.parametrize("messages", RIGHT.values(), ids=RIGHT)
def test_what_openai_takes(messages: list[Any]) -> None:
    assert told(*messages) == []


WRONG: dict[str, tuple[Any, str, str]] = {
    "no object": ("hello", "message", "m[1] is no object"),
    "no role": ({"content": "a"}, "role", "m[1] has no role"),
    "a role unheard of": ({"role": "robot", "content": "a"}, "role", "there is no role 'robot'"),
    "a role that is no text": ({"role": ["user"], "content": "a"}, "role", "m[1] has no role"),
    "a key unheard of": ({**USER, "mood": "grim"}, "unknown_key", "'mood' is no key"),
    "no content": ({"role": "user"}, "content", "m[1] has no content"),
    "an answer of nothing": ({"role": "assistant", "content": None}, "content", "has no content"),
    "content of a number": ({"role": "user", "content": 7}, "content", "neither a text nor a list"),
    "no parts": ({"role": "user", "content": []}, "content", "neither a text nor a list"),
    "an odd part": ({"role": "user", "content": [{"type": "smell"}]}, "content", "no part of type 'smell'"),
    "a part of no type": ({"role": "user", "content": ["text"]}, "content", "no part of type"),
    "a part of an odd type": ({"role": "user", "content": [{"type": ["text"]}]}, "content", "no part of type"),
    "a part without text": ({"role": "user", "content": [{"type": "text"}]}, "content", "without its text"),
    "a user's weight": ({**USER, "weight": 1}, "weight", "only the assistant's"),
    "half a weight": ({"role": "assistant", "content": "a", "weight": 0.5}, "weight", "0 or 1"),
    "a weight of true": ({"role": "assistant", "content": "a", "weight": True}, "weight", "0 or 1"),
    "a weight of text": ({"role": "assistant", "content": "a", "weight": "1"}, "weight", "0 or 1"),
    "a name of 7": ({**USER, "name": 7}, "name", "no text"),
    "a function without a name": ({"role": "function", "content": "1"}, "name", "needs a name"),
    "a tool without an id": ({"role": "tool", "content": "1"}, "tool", "needs a tool_call_id"),
    "a tool that nobody called": ({"role": "tool", "content": "1", "tool_call_id": "x"}, "tool", "no call before"),
    "a user's call": ({**USER, "tool_calls": [CALL]}, "tool", "only the assistant calls"),
    "no calls": ({"role": "assistant", "content": "a", "tool_calls": []}, "tool", "no list with a call"),
    "calls of text": ({"role": "assistant", "content": "a", "tool_calls": "x"}, "tool", "no list with a call"),
    "a call without an id": ({"role": "assistant", "tool_calls": [{**CALL, "id": 7}]}, "tool", "needs an id"),
    "a call of nothing": ({"role": "assistant", "tool_calls": [{**CALL, "function": {}}]}, "tool", "function's name"),
    "arguments as an object": (
        {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]},
        "tool",
        "text of JSON",
    ),
    "an answered picture": (
        {"role": "assistant", "content": [PICTURE]},
        "image",
        "no image_url in a message of assistant",
    ),
    "a picture of nothing": ({"role": "user", "content": [{"type": "image_url"}]}, "image", "without a url"),
    "a picture in TIFF": (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA"}}]},
        "image",
        "JPEG",
    ),
    "a picture on disk": (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/x.png"}}]},
        "image",
        "begins with https",
    ),
    "a role of a list": ({"role": ["user"], "content": [PICTURE]}, "role", "has no role"),
    "a token": (
        {"role": "user", "content": "a<|fim_suffix|>b"},
        "special_token",
        "contains an invalid token: <|fim_suffix|>",
    ),
    "a token in a part": (
        {"role": "user", "content": [{"type": "text", "text": "<|endoftext|>"}]},
        "special_token",
        "<|endoftext|>",
    ),
}


@pytest.mark.parametrize(("message", "kind", "text"), WRONG.values(), ids=WRONG)
def test_what_openai_does_not_take(message: Any, kind: str, text: str) -> None:
    found = serious(message)
    assert [problem_kind for problem_kind, _ in found] == [kind]
    assert text in found[0][1]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"role": "assistant", "content": " "}, "empty_answer"),
        ({"role": "assistant", "content": "a", "refusal": None}, "unknown_key"),
        ({"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{"}}]}, "tool"),
    ],
)
def test_what_is_odd_and_taken_all_the_same(message: Any, kind: str) -> None:
    assert [(problem.kind, problem.serious) for problem in told(message)] == [(kind, False)]


def test_all_problems_of_a_message_are_told_with_its_place() -> None:
    found = serious(USER, {"role": "robot", "weight": 3, "mood": 1})
    assert [kind for kind, _ in found] == ["role", "unknown_key", "weight", "content"]
    assert all(text.startswith("m[2]") for _, text in found)


def test_a_tool_answers_a_call_that_came_before_it() -> None:
    answer = {"role": "tool", "tool_call_id": "call_1", "content": "1"}
    assert serious(CALLING, answer) == []
    assert [kind for kind, _ in serious(answer, CALLING)] == ["tool"]


def test_an_output_has_roles_of_its_own_and_may_answer_its_inputs_calls() -> None:
    roles = frozenset({"assistant", "tool"})
    assert told({"role": "tool", "tool_call_id": "call_9", "content": "1"}, roles=roles) == []
    assert [problem.kind for problem in told(USER, roles=roles)] == ["role"]


def test_no_more_of_the_data_is_shown_than_a_few_characters() -> None:
    (problem,) = [problem for problem in told({"role": "r" * 5_000, "content": "a"}) if problem.kind == "role"]
    assert len(problem.text) < 200


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tools": {}}, "tools is no list"),
        ({"tools": [{"type": "web_search"}]}, "not of type function"),
        ({"tools": ["x"]}, "not of type function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[1] has no name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}, "no JSON schema"),
        ({"functions": [{}]}, "functions[1] has no name"),
        ({"functions": [{"name": "f"}] * (MOST_TOOLS + 1)}, "129 functions"),
        ({"parallel_tool_calls": "yes"}, "neither true nor false"),
    ],
)
def test_tools_that_openai_does_not_take(fields: dict[str, Any], text: str) -> None:
    (problem,) = tools_problems(fields)
    assert problem.serious
    assert text in problem.text


def test_tools_that_it_takes() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert not [*tools_problems({"tools": [tool], "functions": [{"name": "f"}], "parallel_tool_calls": False})]
    assert not [*tools_problems({"tools": None})]
