"""Assumptions of a comparison of fine-tuning with its alternatives: what is given, what was recorded, and defaults for
the rest. All are stated, and all can be said otherwise, under the same names in the command and in the API."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from billing.model_names import parse
from billing.money import pico_from_usd
from billing.training_holds import training_name

DAYS_A_MONTH = Fraction(365, 12)

Tier = Literal["default", "batch", "flex", "priority"]
Count = Annotated[int, Meta(ge=0, le=10**15)]
Amount = Annotated[str, Meta(pattern=r"^\d{1,12}(\.\d{1,12})?$")]
"""US dollars, or gibibytes: a decimal text, as no binary fraction is exact."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is assumed, by those who ask; None: what was recorded, else a default. Input tokens include cached ones."""

    calls: Count | None = None
    months: Annotated[int, Meta(ge=1, le=600)] | None = None
    tier: Tier | None = None
    model: str | None = None
    input_tokens: Count | None = None
    cached_tokens: Count | None = None
    output_tokens: Count | None = None
    prompt_setup_usd: Amount | None = None
    prompt_monthly_usd: Amount | None = None
    tuned_input_tokens: Count | None = None
    tuned_cached_tokens: Count | None = None
    tuned_output_tokens: Count | None = None
    training_tokens: Count | None = None
    training_usd: Amount | None = None
    tuned_setup_usd: Amount | None = None
    tuned_monthly_usd: Amount | None = None
    stronger: str | None = None
    stronger_input_tokens: Count | None = None
    stronger_cached_tokens: Count | None = None
    stronger_output_tokens: Count | None = None
    stronger_setup_usd: Amount | None = None
    stronger_monthly_usd: Amount | None = None
    context_tokens: Count | None = None
    query_tokens: Count | None = None
    corpus_tokens: Count | None = None
    corpus_monthly_tokens: Count | None = None
    embedding: str | None = None
    file_searches: Count | None = None
    storage_gib: Amount | None = None
    storage_free_gib: Amount | None = None
    storage_usd: Amount | None = None
    retrieval_setup_usd: Amount | None = None
    retrieval_monthly_usd: Amount | None = None


MEANINGS: Mapping[str, str] = {
    "calls": "calls a month",
    "months": "months of use: what is paid once is spread over them",
    "tier": "the service tier of all calls",
    "model": "the base model",
    "input_tokens": "input of a call with the longer prompt, cached tokens included",
    "cached_tokens": "of these, read from the cache",
    "output_tokens": "output of a call",
    "prompt_setup_usd": "work on the longer prompt, once",
    "prompt_monthly_usd": "work on it each month",
    "tuned_input_tokens": "input of a call to the fine-tuned model, whose prompt is short",
    "tuned_cached_tokens": "of these, read from the cache",
    "tuned_output_tokens": "output of such a call",
    "training_tokens": "billable tokens of training, all epochs (`finetune estimate` counts them)",
    "training_usd": "what training costs in all, instead of training_tokens",
    "tuned_setup_usd": "work on data and trials, once",
    "tuned_monthly_usd": "work and new training each month",
    "stronger": "the stronger model",
    "stronger_input_tokens": "input of a call to it",
    "stronger_cached_tokens": "of these, read from the cache",
    "stronger_output_tokens": "output of such a call",
    "stronger_setup_usd": "work on moving to it, once",
    "stronger_monthly_usd": "work on it each month",
    "context_tokens": "what retrieval adds to the short prompt of a call",
    "query_tokens": "what is embedded to search for it",
    "corpus_tokens": "what is embedded once: all documents",
    "corpus_monthly_tokens": "what is embedded anew each month",
    "embedding": "the embedding model",
    "file_searches": "file searches of OpenAI's own that a call makes",
    "storage_gib": "vectors stored, in GiB",
    "storage_free_gib": "of these, free of charge",
    "storage_usd": "storage for a GiB and day",
    "retrieval_setup_usd": "work on the index, once",
    "retrieval_monthly_usd": "work on it each month",
}
"""What each assumption is: in the help of the command, the API's description and the answer."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Calls to a model in so many `days` of the ledger. The tokens are those of the `counted` ones, cached in input."""

    model: str
    days: Fraction
    calls: int
    counted: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int

    def __post_init__(self) -> None:
        if self.days <= 0 or self.counted < 1:
            raise ValueError(f"no calls to {self.model} with known tokens are recorded there")


@dataclass(frozen=True, slots=True)
class Assumption:
    """One figure or name, and whether it was `given`, `recorded` or is `assumed`."""

    value: Fraction | str
    source: str


class Scenario:
    """All assumptions of one comparison, by name."""

    def __init__(self, all_of_it: Mapping[str, Assumption], tuned_model: str) -> None:
        """`tuned_model` is the fine-tuned model's name, or the one that the price list would have it under."""
        self.assumptions = all_of_it
        self.tuned_model = tuned_model

    def number(self, name: str) -> Fraction:
        """A figure: tokens, calls, months, GiB; of money picodollars."""
        value = self.assumptions[name].value
        assert isinstance(value, Fraction)
        return value

    def text(self, name: str) -> str:
        """A name."""
        value = self.assumptions[name].value
        assert isinstance(value, str)
        return value

    @property
    def months(self) -> int:
        """For how long the ways are used."""
        return int(self.number("months"))


_NOTHING = "0"
_DEFAULTS: Mapping[str, int | str | Callable[[Scenario], Fraction]] = {
    "months": 12,
    "tier": "default",
    "cached_tokens": 0,
    "prompt_setup_usd": _NOTHING,
    "prompt_monthly_usd": _NOTHING,
    "tuned_input_tokens": lambda known: Fraction(ceil(known.number("input_tokens") / 4)),
    "tuned_cached_tokens": 0,
    "tuned_output_tokens": lambda known: known.number("output_tokens"),
    "training_tokens": 1_000_000,
    "tuned_setup_usd": _NOTHING,
    "tuned_monthly_usd": _NOTHING,
    "stronger": "gpt-6.1-sol",
    "stronger_input_tokens": lambda known: known.number("input_tokens"),
    "stronger_cached_tokens": lambda known: min(known.number("cached_tokens"), known.number("stronger_input_tokens")),
    "stronger_output_tokens": lambda known: known.number("output_tokens"),
    "stronger_setup_usd": _NOTHING,
    "stronger_monthly_usd": _NOTHING,
    "context_tokens": 1_500,
    "query_tokens": 100,
    "corpus_tokens": 1_000_000,
    "corpus_monthly_tokens": 0,
    "embedding": "text-embedding-3-small",
    "file_searches": 0,
    "storage_gib": "1",
    "storage_free_gib": "1",
    "storage_usd": "0.1",
    "retrieval_setup_usd": _NOTHING,
    "retrieval_monthly_usd": _NOTHING,
}
"""Storage as OpenAI lists it for file search (August 2026): $0.10 for a GiB and day, the first GiB free."""


def scenario(asked: Asked, recorded: Recorded | None = None) -> Scenario:
    """All assumptions: what is given, else what was recorded, else a default.

    Raises ValueError where a figure has neither, and where a call reads more from the cache than it reads.
    """
    given = {name: value for name in MEANINGS if (value := getattr(asked, name)) is not None}
    seen = _seen(recorded) if recorded else {}
    found: dict[str, Assumption] = {}
    known = Scenario(found, "")
    for name in MEANINGS:
        if name in given:
            found[name] = Assumption(_value(name, given[name]), "given")
        elif name in seen:
            found[name] = Assumption(seen[name], "recorded")
        elif (default := _DEFAULTS.get(name)) is not None:
            found[name] = Assumption(default(known) if callable(default) else _value(name, default), "assumed")
        elif name != "training_usd":
            raise ValueError(f"{name}: {MEANINGS[name]}: say it, or name recorded traffic that tells")
    for whose in ("", "tuned_", "stronger_"):
        if known.number(f"{whose}cached_tokens") > known.number(f"{whose}input_tokens"):
            raise ValueError(f"{whose}cached_tokens are part of {whose}input_tokens, and cannot be more")
    base = known.text("model")
    tuned = recorded.model if recorded and parse(recorded.model).fine_tuned else training_name(base)
    return Scenario(found, tuned)


def _seen(recorded: Recorded) -> dict[str, Fraction | str]:
    """What recorded calls tell. Those to a fine-tuned model are the ones with the short prompt."""
    name = parse(recorded.model)
    whose = "tuned_" if name.fine_tuned else ""
    told: dict[str, Fraction | str] = {
        "calls": recorded.calls * DAYS_A_MONTH / recorded.days,
        "model": name.base,
        f"{whose}input_tokens": Fraction(recorded.input_tokens, recorded.counted),
        f"{whose}cached_tokens": Fraction(recorded.cached_tokens, recorded.counted),
        f"{whose}output_tokens": Fraction(recorded.output_tokens, recorded.counted),
    }
    return told | {"output_tokens": told[f"{whose}output_tokens"]}


def _value(name: str, given: int | str) -> Fraction | str:
    if isinstance(given, int):
        return Fraction(given)
    if name.endswith("_usd"):
        return Fraction(pico_from_usd(given))
    return Fraction(Decimal(given)) if name.endswith("_gib") else given
