"""What is answered, and what it used: decided by luck from a seed, never by a tokenizer.

One piece of text is one token. Whatever the caller fixed in its instruction is taken as it is.
"""

import random
from dataclasses import dataclass

from proxy.simulator import tariff
from proxy.simulator.asks import Ask
from proxy.simulator.instructions import HEADER, Instruction
from proxy.simulator.tariff import Usage
from proxy.simulator.texts import Call, pieces, text, tool_call
from proxy.simulator.wire import Refusal

_SMALLEST_CACHED_PROMPT = 1024
_CACHE_BLOCK = 128
_DOWNGRADED = 0.1


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion: a text, or a tool call. `whole` is false when the limit cut it."""

    text: str
    call: Call | None
    tokens: int
    reasoning: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What was decided: the choices, the tier that served, the usage reported and billed, and its rates."""

    choices: tuple[Choice, ...]
    tier: str
    usage: Usage
    rates: tariff.Rates


@dataclass(frozen=True, slots=True)
class Turn:
    """An ask and its answer: all that the shapes on the wire are made from.

    `created_at` is in Unix seconds; `says_usage` is false when the answer was told to hide its usage.
    """

    ask: Ask
    answer: Answer
    id: str
    created_at: int
    says_usage: bool = True


def answer(ask: Ask, instruction: Instruction, luck: random.Random) -> Answer:
    """Decide an answer. Raises Refusal (400) for fixed figures that no answer of this model could have."""
    drawn = max(1, -(-ask.prompt_size // 4) + (0 if ask.model.embeds else 3))
    prompt = drawn if instruction.prompt_tokens is None else instruction.prompt_tokens
    tier = _tier(ask, instruction, prompt, luck)
    cached, write_30m, write_12h = _cache(ask, instruction, prompt, luck)
    choices = tuple(_choice(ask, instruction, luck) for _ in range(0 if ask.model.embeds else ask.choices))
    output, reasoning = _output(choices, instruction)
    usage = Usage(prompt, cached, write_30m, write_12h, output, reasoning)
    rates = tariff.rates(ask.model, tier, prompt)
    if rates is None:
        raise Refusal(400, f"{ask.model.listed} is not offered at tier {tier!r}.", param=HEADER)
    _check(ask, usage, rates)
    return Answer(choices, tier, usage, rates)


def _check(ask: Ask, usage: Usage, rates: tariff.Rates) -> None:
    try:
        tariff.cost(usage, rates)
    except ValueError as reason:
        raise Refusal(400, f"{ask.model.listed}: {reason}.", param=HEADER) from None
    if usage.reasoning > usage.output or (usage.write_12h and ask.operation.name in {"chat", "text_completion"}):
        raise Refusal(400, f"{ask.operation.name} cannot report {usage}.", param=HEADER)


def _tier(ask: Ask, instruction: Instruction, prompt: int, luck: random.Random) -> str:
    """The tier that serves: what was asked for, unless it is not offered, or by bad luck the default."""
    downgraded = luck.random() < _DOWNGRADED
    if instruction.tier:
        return instruction.tier
    offered = tariff.rates(ask.model, ask.wanted_tier, prompt) is not None
    return ask.wanted_tier if offered and not downgraded else "default"


def _cache(ask: Ask, told: Instruction, prompt: int, luck: random.Random) -> tuple[int, int, int]:
    """Input tokens read from the cache, and written to it for 30 minutes and for 12 hours."""
    fixed = (told.cached_tokens, told.cache_write_tokens, told.cache_write_12h_tokens)
    if (told.prompt_tokens, *fixed) != (None, None, None, None):
        return fixed[0] or 0, fixed[1] or 0, fixed[2] or 0
    rates = tariff.rates(ask.model, "default", prompt)
    if prompt < _SMALLEST_CACHED_PROMPT or rates is None or rates.cached is None:
        return 0, 0, 0
    smallest = _SMALLEST_CACHED_PROMPT // _CACHE_BLOCK
    cached = luck.choice((0, luck.randint(smallest, prompt // _CACHE_BLOCK) * _CACHE_BLOCK))
    if rates.write_30m is None:
        return cached, 0, 0
    cached = max(0, cached - luck.randrange(_CACHE_BLOCK))
    written = luck.randint(0, prompt - cached)
    options = ask.body.get("prompt_cache_options")
    long_lived = ask.operation.name == "responses" and isinstance(options, dict) and options.get("ttl") == "12h"
    return (cached, 0, written) if long_lived else (cached, written, 0)


def _output(choices: tuple[Choice, ...], instruction: Instruction) -> tuple[int, int]:
    """Output tokens, reasoning included, and the reasoning ones; all choices together."""
    if instruction.completion_tokens is not None:
        return instruction.completion_tokens, instruction.reasoning_tokens or 0
    drawn = sum(choice.reasoning for choice in choices)
    reasoning = drawn if instruction.reasoning_tokens is None else instruction.reasoning_tokens
    return sum(choice.tokens for choice in choices) - drawn + reasoning, reasoning


def _choice(ask: Ask, instruction: Instruction, luck: random.Random) -> Choice:
    """One completion within the limit on output tokens; reasoning comes first, and may use it all up."""
    reasoning = 64 * luck.randrange(8) if ask.model.reasons else 0
    call = tool_call(ask, luck)
    parts = pieces(call.arguments if call else text(ask, instruction, luck))
    wanted = reasoning + len(parts)
    allowed = min(wanted, ask.limit or wanted)
    reasoning = min(reasoning, allowed)
    said = "".join(parts[: allowed - reasoning])
    told = instruction.completion_tokens
    whole = ask.limit is None or (wanted <= ask.limit if told is None else told < ask.limit)
    if call:
        return Choice("", Call(call.id, call.name, said), allowed, reasoning, whole)
    return Choice(said, None, allowed, reasoning, whole)
