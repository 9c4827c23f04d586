"""Replacements: what the calls to a model that retires would have cost on the models that stay, the cheapest first.

Only prices are compared, not what models can do. The same tokens are assumed: other models may think longer, or count
otherwise. Those written to a cache count as plain input where a model has no price for that.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from billing.model_names import parse, undated
from billing.model_sizes import size_of
from billing.money import usd_from_pico
from billing.prices import Price, PriceBook
from billing.rating import rate_usage
from billing.retirements import Retirement, retirement_of
from billing.usage import Unit, Usage

BEST = 3
"""So many replacements are named."""

FRESH = timedelta(days=365)
"""A row that nobody has verified for longer says little of what can be had. The user's own rows always count."""

BATCH = "batch"
USER_LIST, OWN_LIST = "user", "farebox"
"""Lists that name models as OpenAI does, and once."""

_SPECIALITY = re.compile(
    r"audio|realtime|transcribe|translate|tts|whisper|image|search|codex|deep-research|research|computer-use|cyber|rosalind"
    r"|embedding|moderation|live|instruct|latest|sora|dall-e"
)
_WRITES = (Unit.INPUT_CACHE_WRITE_30M, Unit.INPUT_CACHE_WRITE_12H)


@dataclass(frozen=True, slots=True)
class Part:
    """The calls to a model at one service tier, and what they used in all."""

    tier: str | None
    calls: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Used:
    """The traffic of one model: calls, what they cost as far as that is known, of how many it is not, and its parts."""

    model: str
    calls: int
    cost_pico: int
    unknown: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Replacement:
    """A model that stays, and what the same traffic would have cost on it."""

    model: str
    cost_pico: int


def replacements(used: Used, book: PriceBook, at: datetime, ends: Mapping[str, Retirement]) -> list[Replacement]:
    """The cheapest models of the same kind whose end nobody has announced, at that day's prices, each at the tiers that
    the calls had. Empty where nothing was used, and where no model has a price for all of it."""
    if not any(part.usage for part in used.parts):
        return []
    found = []
    for model in _staying(book, at, ends):
        if kind_of(model) == kind_of(parse(used.model).base) and _is_large_enough(model, used):
            costs = [_cost(part, book.find(model, part.tier, at)) for part in used.parts]
            known = [cost for cost in costs if cost is not None]
            if len(known) == len(costs):
                found.append(Replacement(model, sum(known)))
    return sorted(found, key=lambda one: (one.cost_pico, one.model))[:BEST]


def rows(
    traffic: Iterable[Used], book: PriceBook, at: datetime, ends: Mapping[str, Retirement]
) -> list[dict[str, Any]]:
    """Of a traffic the models that end, the first one first, in fields for programs."""
    ending = [(end, used) for used in traffic if (end := retirement_of(used.model, ends)) is not None]
    ending.sort(key=lambda pair: (pair[0].at, -pair[1].cost_pico, pair[1].model))
    return [
        {
            "model": used.model,
            "ends_on": end.at.date().isoformat(),
            "days_left": (end.at.date() - at.date()).days,
            "calls": used.calls,
            "cost_usd": usd_from_pico(used.cost_pico),
            "calls_of_unknown_cost": used.unknown,
            "replacements": [_shown(one, used) for one in replacements(used, book, at, ends)],
            "source": end.source,
        }
        for end, used in ending
    ]


def kind_of(model: str) -> frozenset[str]:
    """What a model is made for, besides text: words of its name. Only models alike replace each other."""
    return frozenset(_SPECIALITY.findall(model))


def _shown(one: Replacement, used: Used) -> dict[str, Any]:
    size = size_of(one.model)
    dearer, whole = one.cost_pico - used.cost_pico, used.cost_pico
    return {
        "model": one.model,
        "cost_usd": usd_from_pico(one.cost_pico),
        "change_percent": (200 * dearer + whole) // (2 * whole) if whole and not used.unknown else None,
        "context_tokens": size.context if size else None,
    }


def _staying(book: PriceBook, at: datetime, ends: Mapping[str, Retirement]) -> Iterator[str]:
    """Models under their undated names, of which no snapshot has an announced end either."""
    snapshots = {undated(model) for model in ends}
    fresh = (at - FRESH).date()
    names = dict.fromkeys(
        price.model
        for prices in book.lists
        for price in prices.prices
        if prices.name == USER_LIST or (prices.name == OWN_LIST and (price.verified_on or date.min) >= fresh)
    )
    for name in names:
        plain = not parse(name).fine_tuned and undated(name) == name and " " not in name
        if plain and name not in ends and name not in snapshots:
            yield name


def _is_large_enough(model: str, used: Used) -> bool:
    size = size_of(model)
    return size is None or all(_mean(part) <= size.context for part in used.parts)


def _mean(part: Part) -> int:
    """The input of a call. A batch is one charge for many calls, which are taken as short ones."""
    if part.tier == BATCH:
        return 0
    return part.usage.input_tokens // max(part.calls, 1)


def _cost(part: Part, price: Price | None) -> int | None:
    """What a part costs at a price; at the long-context rates if its mean call is long. None if a rate is missing."""
    if price is None:
        return None
    rates = price.rates_for(Usage({Unit.INPUT_TEXT: _mean(part)}))
    plain = sum(part.usage[unit] for unit in _WRITES if unit not in rates)
    usage = Usage({unit: count for unit, count in part.usage.items() if unit not in _WRITES or unit in rates})
    lines, unpriced = rate_usage(usage + Usage({Unit.INPUT_TEXT: plain}), rates)
    return None if unpriced else sum(line.cost_pico for line in lines)
