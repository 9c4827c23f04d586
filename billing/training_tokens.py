"""Training tokens: how many tokens of an example are trained on, with how sure that is.

*What is likely* is the cookbook's count ("Data preparation and analysis for chat model fine-tuning"): an example is
framed as a chat is, up to what the model is trained on at most. *The least* lacks what primes an answer, which one
exact comparison with a bill did without. *The most* has what tools and images may be over their approximation, and of
a preference the prompt twice, since nobody says whether two answers to one prompt count it once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.holds import DEFINITIONS, IMAGE_SLACK
from billing.tokens import Count, count_input
from billing.training_data import Form, images_of

PRIMING = 3
"""Tokens that prime an answer."""

_END = 1
"""What may mark the end of a completion."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of examples: `whole` as they stand in the file, and of those trained on in one epoch the `least`, the
    `likely` and the `most`. `approximate` examples have tools, images or the like, which have no proven rule."""

    whole: int = 0
    least: int = 0
    likely: int = 0
    most: int = 0
    approximate: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.whole + other.whole,
            self.least + other.least,
            self.likely + other.likely,
            self.most + other.most,
            self.approximate + other.approximate,
        )


def tokens_of(fields: Mapping[str, Any], form: Form, model: str, context: int | None) -> Tokens:
    """The tokens of one example; `context` is the most that is trained on. Takes time in proportion to its size, and
    raises as `tokens.count_input`."""
    cut = context if context is not None else 1 << 62
    if form is Form.PREFERENCE:
        return _preference(fields, model, cut)
    if form is Form.COMPLETION:
        return _completion(fields, model, cut)
    counted = _chat(fields, model)
    slack = _slack(counted, fields)
    return Tokens(
        counted.tokens,
        min(max(counted.tokens - PRIMING - slack // 2, 0), cut),
        min(counted.tokens, cut),
        min(counted.tokens + slack, cut),
        int(not counted.complete),
    )


def _completion(fields: Mapping[str, Any], model: str, cut: int) -> Tokens:
    # an empty text costs a token as a request's prompt, and none here
    texts = [text for name in ("prompt", "completion") if (text := fields.get(name))]
    counted = sum(count_input("text_completion", {"prompt": text}, model).tokens for text in texts)
    return Tokens(counted, min(counted, cut), min(counted, cut), min(counted + _END, cut))


def _preference(fields: Mapping[str, Any], model: str, cut: int) -> Tokens:
    given = fields.get("input")
    prompt = _chat(given if isinstance(given, dict) else {}, model)
    slack = _slack(prompt, fields)
    outputs = [_chat({"messages": fields.get(name)}, model) for name in ("preferred_output", "non_preferred_output")]
    added = [max(output.tokens - _opening(model), 0) for output in outputs]
    once = sum(min(prompt.tokens + tokens, cut) for tokens in added)
    likely = once - min(prompt.tokens, cut)
    complete = prompt.complete and all(output.complete for output in outputs)
    return Tokens(
        prompt.tokens + sum(added),
        max(likely - PRIMING - slack // 2, 0),
        likely,
        min(once + 2 * slack, 2 * cut),
        int(not complete),
    )


def _chat(fields: Mapping[str, Any], model: str) -> Count:
    return count_input("chat", {name: fields.get(name) for name in ("messages", "tools", "functions")}, model)


def _opening(model: str) -> int:
    return count_input("chat", {}, model).tokens


def _slack(counted: Count, fields: Mapping[str, Any]) -> int:
    """What the count of an example that is not plain text may be short by."""
    if counted.complete:
        return 0
    return counted.tokens // 8 + DEFINITIONS + IMAGE_SLACK * sum(1 for _ in images_of(fields))
