"""Tokens of examples, against figures reckoned by hand in the cookbook's way."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.training_data import Form
from billing.training_tokens import Tokens, tokens_of
from billing.vocabularies import count

GPT, PROMPTED = "gpt-4o-mini-2024-07-18", "davinci-002"


def chat(*texts: str, **more: Any) -> dict[str, Any]:
    roles = ["system", "user", "assistant"]
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)], **more}


def preference(prompt: str, preferred: str, other: str) -> dict[str, Any]:
    outputs = [[{"role": "assistant", "content": text}] for text in (preferred, other)]
    messages = [{"role": "user", "content": prompt}]
    return {"input": {"messages": messages}, "preferred_output": outputs[0], "non_preferred_output": outputs[1]}


def o200k(text: str) -> int:
    return count(text, "o200k_base")


def cookbook(*texts: str) -> int:
    """3 for each message, its role (a token in every encoding), its content; and 3 in all."""
    return sum(3 + 1 + o200k(text) for text in texts) + 3


@pytest.mark.parametrize("texts", [("Sort.", "an apple", "fruit"), ("é" * 50, "", "  "), ("x",)])
def test_a_chat_is_counted_as_the_cookbook_does(texts: tuple[str, ...]) -> None:
    whole = cookbook(*texts)
    assert tokens_of(chat(*texts), Form.SUPERVISED, GPT, 65_536) == Tokens(whole, whole - 3, whole, whole)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=3), st.integers(1, 60))
def test_what_is_over_the_context_is_not_trained_on(texts: list[str], context: int) -> None:
    found, whole = tokens_of(chat(*texts), Form.SUPERVISED, GPT, context), cookbook(*texts)
    assert found == Tokens(whole, min(whole - 3, context), min(whole, context), min(whole, context))


def test_tools_and_pictures_are_approximate_and_widen_the_range() -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    found = tokens_of(chat("Sort.", "an apple", "fruit", tools=tools), Form.SUPERVISED, GPT, None)
    assert found.approximate == 1
    assert cookbook("Sort.", "an apple", "fruit") < found.likely < found.most
    assert found.least < found.likely
    picture = [{"type": "image_url", "image_url": {"url": "https://example.com/x.png", "detail": "low"}}]
    seen = tokens_of({"messages": [{"role": "user", "content": picture}]}, Form.SUPERVISED, "gpt-4o-2024-08-06", None)
    assert (seen.likely, seen.approximate) == (3 + 1 + 85 + 3, 1)


def test_a_preference_has_its_prompt_once_likely_and_twice_at_most() -> None:
    found = tokens_of(preference("which fruit is this", "an apple", "no idea"), Form.PREFERENCE, GPT, None)
    prompt, good, bad = cookbook("which fruit is this"), 4 + o200k("an apple"), 4 + o200k("no idea")
    assert found == Tokens(prompt + good + bad, prompt + good + bad - 3, prompt + good + bad, 2 * prompt + good + bad)


def test_each_half_of_a_preference_is_cut_off_by_itself() -> None:
    found = tokens_of(preference("one two three", "four " * 100, "five"), Form.PREFERENCE, GPT, 50)
    prompt, bad = cookbook("one two three"), 4 + o200k("five")
    assert found.likely == 50 + bad
    assert found.most == 50 + prompt + bad
    assert found.whole > 100


def test_prompts_and_completions_are_counted_as_they_stand() -> None:
    text, answer = count("Sort: apple", "cl100k_base"), count(" fruit", "cl100k_base")
    fields = {"prompt": "Sort: apple", "completion": " fruit"}
    assert tokens_of(fields, Form.COMPLETION, PROMPTED, None) == Tokens(
        text + answer, *[text + answer] * 2, text + answer + 1
    )
    assert tokens_of({"prompt": "", "completion": " fruit"}, Form.COMPLETION, PROMPTED, None).likely == answer


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize(
    "fields", [{}, {"messages": 7}, {"input": 7, "preferred_output": "x"}, {"prompt": [1], "completion": {}}]
)
def test_what_is_no_example_is_counted_all_the_same(form: Form, fields: dict[str, Any]) -> None:
    found = tokens_of(fields, form, GPT, 10)
    assert 0 <= found.least <= found.likely <= found.most


def test_tokens_add_up() -> None:
    assert Tokens(1, 2, 3, 4, 5) + Tokens(10, 20, 30, 40, 50) == Tokens(11, 22, 33, 44, 55)
