from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.simulator import asks, minds, tariff, wire
from proxy.simulator.asks import OPERATIONS, Ask
from proxy.simulator.instructions import Instruction
from proxy.simulator.minds import Answer
from proxy.simulator.tariff import Usage
from proxy.simulator.wire import Refusal

LUCKS = range(200)
BY_NAME = {operation.name: operation for operation in OPERATIONS}
NEEDS = {"chat": "messages", "responses": "input", "embeddings": "input", "text_completion": "prompt"}


def ask(operation: str = "chat", model: str = "gpt-4o", size: int = 9, **body: Any) -> Ask:
    """An ask with `size` characters of prompt."""
    prompt: Any = [{"content": "x" * size}] if operation in {"chat", "responses"} else "x" * size
    return asks.read(BY_NAME[operation], {"model": model, NEEDS[operation]: prompt, **body})


def answers(asked: Ask, told: str = "") -> list[Answer]:
    return [minds.answer(asked, Instruction.read(told), wire.luck(luck)) for luck in LUCKS]


def answer(asked: Ask, told: str = "") -> Answer:
    return answers(asked, told)[0]


MODELS = st.sampled_from([name for name in tariff.names() if not name.startswith("text-embedding-")])


@given(
    model=MODELS,
    size=st.integers(1, 30_000),
    limit=st.none() | st.integers(1, 700),
    choices=st.integers(1, 3),
    luck=st.integers(),
    tier=st.sampled_from(["auto", "flex", "fast", "priority"]),
)
def test_every_answer_keeps_to_the_laws_of_usage(
    model: str, size: int, limit: int | None, choices: int, luck: int, tier: str
) -> None:
    asked = ask(model=model, size=size, max_completion_tokens=limit, n=choices, service_tier=tier)
    decided = minds.answer(asked, Instruction(), wire.luck(luck))
    usage = decided.usage
    assert usage.input == -(-size // 4) + 3
    assert usage.fresh >= 0
    assert 0 <= usage.reasoning <= usage.output
    assert usage.output == sum(choice.tokens for choice in decided.choices)
    assert limit is None or all(choice.tokens <= limit for choice in decided.choices)
    assert all(choice.whole or choice.tokens == limit for choice in decided.choices)
    assert not usage.reasoning or asked.model.reasons
    assert not usage.cached or usage.input >= 1024
    assert decided.rates.write_30m is not None or (usage.cached % 128 == 0 and not usage.write_30m)
    assert decided.rates == tariff.rates(asked.model, decided.tier, usage.input)


def test_a_limit_shortens_the_text_it_cut() -> None:
    decided = answer(ask(max_tokens=3), "words=9")
    assert [(choice.tokens, choice.whole) for choice in decided.choices] == [(3, False)]
    assert len(decided.choices[0].text.split()) == 3
    exact = answer(ask(max_tokens=9), "words=9")
    assert (exact.choices[0].tokens, exact.choices[0].whole) == (9, True)


def test_reasoning_may_use_up_the_whole_limit() -> None:
    cut = [decided.choices[0] for decided in answers(ask(model="o3", max_completion_tokens=64))]
    assert any(choice.reasoning == 64 and choice.text == "" and not choice.whole for choice in cut)


def test_long_prompts_are_cached_sometimes() -> None:
    cached = {decided.usage.cached for decided in answers(ask(size=20_000))}
    assert 0 in cached
    assert len(cached) > 5
    assert min(cached - {0}) >= 1024


def test_models_that_write_caches_read_any_number_of_tokens() -> None:
    usages = [decided.usage for decided in answers(ask(model="gpt-5.6-sol", size=20_000))]
    assert any(usage.cached % 128 for usage in usages)
    assert any(usage.cached and usage.write_30m for usage in usages)
    assert not any(usage.write_12h for usage in usages)


def test_caches_are_written_for_as_long_as_was_asked() -> None:
    asked = ask("responses", "gpt-5.6-sol", 20_000, prompt_cache_options={"ttl": "12h"})
    usages = [decided.usage for decided in answers(asked)]
    assert any(usage.write_12h for usage in usages)
    assert not any(usage.write_30m for usage in usages)


@pytest.mark.parametrize(
    ("model", "asked", "served"),
    [
        ("gpt-5.4", None, {"default"}),
        ("gpt-5.4", "auto", {"default"}),
        ("gpt-5.4", "flex", {"flex", "default"}),
        ("gpt-5.4", "fast", {"priority", "default"}),
        ("gpt-4o", "flex", {"default"}),
        ("ft:gpt-4o-2024-08-06:acme:s:1", "priority", {"default"}),
    ],
)
def test_tiers_that_serve(model: str, asked: str | None, served: set[str]) -> None:
    tiers = [decided.tier for decided in answers(ask(model=model, service_tier=asked))]
    assert set(tiers) == served
    assert served == {"default"} or tiers.count("default") < len(tiers) / 4


def test_fast_is_downgraded_where_it_is_not_sold_for_long_contexts() -> None:
    told = "prompt_tokens=272001"
    assert {decided.tier for decided in answers(ask(model="gpt-5.4", service_tier="fast"), told)} == {"default"}


@pytest.mark.parametrize(
    ("operation", "model", "told", "usage"),
    [
        ("chat", "gpt-4o", "prompt_tokens=300000; completion_tokens=7", Usage(300_000, output=7)),
        ("chat", "gpt-4o", "prompt_tokens=9; cached_tokens=8; completion_tokens=7", Usage(9, 8, output=7)),
        ("chat", "gpt-5.6-sol", "prompt_tokens=9; cache_write_tokens=8; completion_tokens=0", Usage(9, 0, 8)),
        ("chat", "o3", "prompt_tokens=1; completion_tokens=9; reasoning_tokens=8", Usage(1, 0, 0, 0, 9, 8)),
        ("responses", "gpt-6.1-sol", "prompt_tokens=9; cache_write_12h_tokens=4; completion_tokens=1",
         Usage(9, 0, 0, 4, 1)),
        ("embeddings", "text-embedding-3-small", "prompt_tokens=5", Usage(5)),
    ],
)  # fmt: skip
def test_figures_can_be_fixed(operation: str, model: str, told: str, usage: Usage) -> None:
    assert {decided.usage for decided in answers(ask(operation, model), told)} == {usage}


def test_fixed_words_and_reasoning_add_up() -> None:
    assert answer(ask(model="o3"), "words=10; reasoning_tokens=5").usage == Usage(6, output=15, reasoning=5)


def test_a_tier_can_be_fixed() -> None:
    asked = ask(model="gpt-5.4", service_tier="priority")
    assert {decided.tier for decided in answers(asked, "tier=flex")} == {"flex"}


@pytest.mark.parametrize(
    ("operation", "model", "told"),
    [
        ("chat", "gpt-4o", "tier=flex"),
        ("chat", "gpt-5.4", "tier=priority; prompt_tokens=272001"),
        ("chat", "gpt-4o", "cached_tokens=9; prompt_tokens=8"),
        ("chat", "gpt-4o", "cache_write_tokens=1"),
        ("chat", "gpt-3.5-turbo", "cached_tokens=1"),
        ("chat", "gpt-5.6-sol", "cache_write_12h_tokens=1"),
        ("chat", "o3", "reasoning_tokens=2; completion_tokens=1"),
        ("embeddings", "text-embedding-3-small", "completion_tokens=1"),
    ],
)
def test_figures_that_cannot_be_are_refused(operation: str, model: str, told: str) -> None:
    with pytest.raises(Refusal) as refused:
        answer(ask(operation, model), told)
    assert (refused.value.status, refused.value.body["error"]["param"]) == (400, "x-simulate")
