"""Examples of every form: what OpenAI takes, and what is said of what it does not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.training_data import (
    MOST_IMAGE_BYTES,
    MOST_IMAGES,
    Form,
    examined,
    form_of,
    images_of,
    method_of,
    read,
    takes_prompts,
    texts_of,
)
from billing.training_messages import Problem

USER, ANSWER = {"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}
CHAT = {"messages": [USER, ANSWER]}
PREFERENCE = {
    "input": {"messages": [USER]},
    "preferred_output": [ANSWER],
    "non_preferred_output": [{**ANSWER, "content": "go away"}],
}
GRADED = {"messages": [USER], "reference_answer": "hi"}
PROMPT = {"prompt": "hello", "completion": " hi"}
FORMS = {
    Form.SUPERVISED: CHAT,
    Form.PREFERENCE: PREFERENCE,
    Form.REINFORCEMENT: GRADED,
    Form.COMPLETION: PROMPT,
}


def picture(url: str = "https://example.com/x.png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def pictures(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}, ANSWER]}


@pytest.mark.parametrize(("form", "fields"), FORMS.items())
def test_an_example_tells_its_form_and_is_right(form: Form, fields: dict[str, Any]) -> None:
    assert form_of(fields) is form
    assert examined(fields, form).problems == ()


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ({}, Form.SUPERVISED),
        ({"messages": [USER]}, Form.SUPERVISED),
        ({"messages": 7, "x": 1}, Form.REINFORCEMENT),
        ({"messages": [USER, ANSWER], "x": 1}, Form.SUPERVISED),
        ({"preferred_output": 1}, Form.PREFERENCE),
        ({"completion": "x"}, Form.COMPLETION),
    ],
)
def test_the_form_of_what_is_not_right(fields: dict[str, Any], form: Form) -> None:
    assert form_of(fields) is form


WRONG: dict[str, tuple[Form, dict[str, Any], list[str]]] = {
    "no messages": (Form.SUPERVISED, {}, ["field"]),
    "an empty list": (Form.SUPERVISED, {"messages": []}, ["field"]),
    "messages of text": (Form.SUPERVISED, {"messages": "hello"}, ["field"]),
    "nobody answers": (Form.SUPERVISED, {"messages": [USER]}, ["no_answer"]),
    "the user has the last word": (Form.SUPERVISED, {"messages": [USER, ANSWER, USER]}, ["last_message"]),
    "nothing weighs": (Form.SUPERVISED, {"messages": [USER, {**ANSWER, "weight": 0}]}, ["weight"]),
    "bad tools": (Form.SUPERVISED, {**CHAT, "tools": 7}, ["tool"]),
    "another form": (Form.SUPERVISED, PROMPT, ["form"]),
    "too many pictures": (Form.SUPERVISED, pictures(*[picture()] * (MOST_IMAGES + 1)), ["image"]),
    "a picture too large": (
        Form.SUPERVISED,
        pictures(picture("data:image/png;base64," + "A" * (MOST_IMAGE_BYTES * 4 // 3 + 8))),
        ["image"],
    ),
    "no input": (Form.PREFERENCE, {**PREFERENCE, "input": [USER]}, ["field"]),
    "an input without messages": (Form.PREFERENCE, {**PREFERENCE, "input": {}}, ["field"]),
    "nothing preferred": (Form.PREFERENCE, {**PREFERENCE, "preferred_output": []}, ["field"]),
    "one output": (Form.PREFERENCE, {"input": {"messages": [USER]}, "preferred_output": [ANSWER]}, ["field"]),
    "a user's output": (Form.PREFERENCE, {**PREFERENCE, "preferred_output": [USER]}, ["role", "last_message"]),
    "a picture to prefer": (
        Form.PREFERENCE,
        {**PREFERENCE, "input": {"messages": [pictures(picture())["messages"][0]]}},
        ["image"],
    ),
    "answered already": (Form.REINFORCEMENT, {**GRADED, "messages": [USER, ANSWER]}, ["last_message"]),
    "nothing to grade": (Form.REINFORCEMENT, {"reference_answer": 1}, ["field"]),
    "a chat": (Form.COMPLETION, CHAT, ["form"]),
    "no completion": (Form.COMPLETION, {"prompt": "hello"}, ["field"]),
    "a prompt of numbers": (Form.COMPLETION, {**PROMPT, "prompt": [1]}, ["field"]),
}


@pytest.mark.parametrize(("form", "fields", "kinds"), WRONG.values(), ids=WRONG)
def test_what_openai_does_not_take(form: Form, fields: dict[str, Any], kinds: list[str]) -> None:
    assert [problem.kind for problem in examined(fields, form).problems if problem.serious] == kinds


@pytest.mark.parametrize(
    ("form", "fields", "kind"),
    [
        (Form.SUPERVISED, {**CHAT, "mood": "grim"}, "unknown_field"),
        (Form.PREFERENCE, {**PREFERENCE, "mood": "grim"}, "unknown_field"),
        (Form.PREFERENCE, {**PREFERENCE, "non_preferred_output": [ANSWER]}, "same_outputs"),
        (Form.COMPLETION, {**PROMPT, "completion": " "}, "empty_answer"),
    ],
)
def test_what_is_odd_and_taken_all_the_same(form: Form, fields: dict[str, Any], kind: str) -> None:
    assert [(problem.kind, problem.serious) for problem in examined(fields, form).problems] == [(kind, False)]


UNREADABLE: dict[str, tuple[bytes | int, str, str]] = {
    "no JSON": (b'{"messages": [}', "json", "byte 14"),
    "cut off": (b'{"messages": [', "json", "truncated"),
    "a list": (b"[]", "json", "no JSON object"),
    "a text": (b'"hello"', "json", "no JSON object"),
    "too deep": (b"[" * 100_000, "json", "nested too deeply"),
    "Latin-1": ('{"messages": "é"}'.encode("latin-1"), "encoding", "0xe9 at byte 15"),
    "UTF-16": ('{"a": 1}'.encode("utf-16-le"), "encoding", "UTF-16"),
    "blank": (b"  ", "blank_line", "empty"),
    "too large": (20_000_000, "too_large", "20,000,000 bytes"),
}


@pytest.mark.parametrize(("line", "kind", "text"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_example_at_all(line: bytes | int, kind: str, text: str) -> None:
    found = read(line)
    assert isinstance(found, Problem)
    assert (found.kind, text in found.text) == (kind, True), found.text


def test_a_line_is_read() -> None:
    assert read(json.dumps(CHAT).encode()) == CHAT
    assert read(b' {"messages": "\xc3\xa9"}\r') == {"messages": "é"}


def test_equal_answers_are_equal_and_others_are_not() -> None:
    answers = [examined(fields, form).answer for form, fields in FORMS.items()]
    assert answers[0] == answers[1] != answers[3]
    assert answers[2] is None, "graded, not learned"
    again = examined({"messages": [{"role": "user", "content": "?"}, ANSWER]}, Form.SUPERVISED)
    assert again.answer == answers[0]
    assert examined({"messages": [USER]}, Form.SUPERVISED).answer is None


def test_instructions_and_pictures_are_seen() -> None:
    assert not examined(CHAT, Form.SUPERVISED).instructed
    for role in ("system", "developer"):
        assert examined({"messages": [{"role": role, "content": "a"}, USER, ANSWER]}, Form.SUPERVISED).instructed
    assert examined(
        {**PREFERENCE, "input": {"messages": [{"role": "system", "content": "a"}, USER]}}, Form.PREFERENCE
    ).instructed
    assert examined(pictures(picture(), picture()), Form.SUPERVISED).images == 2


def test_every_text_and_picture_is_found() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    talk = {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "user", "content": [{"type": "text", "text": "see"}, picture("https://a/x.png")]},
        ]
    }
    assert [*texts_of(talk)] == ["hello", '{"a": 1}', "see"]
    assert [*images_of(talk)] == ["https://a/x.png"]
    assert [*texts_of(PREFERENCE)] == ["hello", "hi", "go away"]
    assert [*texts_of(PROMPT)] == ["hello", " hi"]


@pytest.mark.parametrize(
    ("base", "prompts"),
    [
        ("davinci-002", True),
        ("babbage-002", True),
        ("davinci", True),
        ("ada", True),
        ("gpt-3.5-turbo", False),
        ("text-embedding-ada-002", False),
    ],
)
def test_which_models_take_prompts(base: str, prompts: bool) -> None:
    assert takes_prompts(base) is prompts


def test_the_method_of_a_form() -> None:
    assert [method_of(form) for form in Form] == ["supervised", "preference", "reinforcement", "supervised"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MESSAGE = st.dictionaries(
    st.sampled_from(["role", "content", "weight", "name", "tool_calls", "tool_call_id", "function_call", "x"]),
    JSON
    | st.sampled_from(["user", "assistant", "tool"])
    | st.lists(
        st.dictionaries(
            st.sampled_from(["type", "text", "image_url", "id", "function"]),
            JSON | st.sampled_from(["text", "image_url", "function"]),
        ),
        max_size=2,
    ),
)
ODD = st.dictionaries(
    st.sampled_from(
        ["messages", "input", "preferred_output", "non_preferred_output", "prompt", "completion", "tools", "functions"]
    ),
    JSON | st.lists(MESSAGE, max_size=3) | st.fixed_dictionaries({"messages": st.lists(MESSAGE, max_size=2)}),
)


@given(ODD)
def test_nothing_that_is_json_makes_the_check_fail(fields: dict[str, Any]) -> None:
    for form in Form:
        found = examined(fields, form)
        assert all(problem.text and problem.kind for problem in found.problems)
    assert all(isinstance(text, str) for text in [*texts_of(fields), *images_of(fields)])
    assert form_of(fields) in Form
