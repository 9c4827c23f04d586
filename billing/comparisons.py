"""Comparisons: fine-tuning beside its alternatives, in fields for programs, the terminal and the page alike.

Money is rounded here, half up to the picodollar, and nowhere before.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from math import ceil, floor
from typing import Any

from billing.alternatives import PROMPT, TUNED, ways
from billing.assumptions import DAYS_A_MONTH, MEANINGS, Asked, Assumption, Recorded, Scenario, scenario
from billing.breakeven import Meeting, Way, cheapest, meetings, payback_months
from billing.model_names import parse
from billing.money import usd_from_pico
from billing.prices import PriceBook
from billing.retirements import Retirement, retirement_of
from billing.training_models import Training

POINTS = 41
"""Of the curve that a chart is drawn from."""

FAR = 8
"""A crossing at more than so many times the calls asked for is named, but not drawn."""


def compared(
    asked: Asked,
    recorded: Recorded | None,
    book: PriceBook,
    at: datetime,
    training: Training,
    ends: Mapping[str, Retirement],
) -> dict[str, Any]:
    """Each way's costs, where they cross, a curve, and everything that was assumed. Raises ValueError as `scenario`."""
    known = scenario(asked, recorded)
    calls = known.number("calls")
    all_ways = tuple(ways(known, book, at))
    priced = [way for _, _, way in all_ways if isinstance(way, Way)]
    met = meetings(priced)
    reference = next((way for way in priced if way.name == PROMPT), None)
    return {
        "priced_on": at.date().isoformat(),
        "price_book": book.version,
        "calls": _number(calls),
        "months": known.months,
        "ways": [{"way": name, "model": model, **_costs(way, calls, reference)} for name, model, way in all_ways],
        "cheapest": cheapest(priced, calls).name if priced else None,
        "crossings": [_shown(meeting) for meeting in met],
        "curve": list(_curve(priced, calls, met)),
        "assumptions": [
            {"name": name, "value": _value(name, it), "source": it.source, "meaning": MEANINGS[name]}
            for name, it in known.assumptions.items()
        ],
        "recorded": _recorded(recorded),
        "warnings": list(_warnings(known, all_ways, reference, at, training, ends)),
    }


def usd(pico: Fraction) -> str:
    """Exact picodollars as US dollars, rounded half up to the picodollar."""
    return usd_from_pico(floor(pico + Fraction(1, 2)))


def _costs(way: Way | str, calls: Fraction, reference: Way | None) -> dict[str, Any]:
    if isinstance(way, str):
        names = ("call_usd", "once_usd", "fixed_monthly_usd", "monthly_usd", "total_usd", "all_in_call_usd")
        return {**dict.fromkeys(names), "payback_months": None, "unpriced": way}
    payback = payback_months(way, reference, calls) if reference and way is not reference else None
    return {
        "call_usd": usd(way.call_pico),
        "once_usd": usd(way.once_pico),
        "fixed_monthly_usd": usd(way.month_pico),
        "monthly_usd": usd(way.monthly_pico(calls)),
        "total_usd": usd(way.total_pico(calls)),
        "all_in_call_usd": usd(way.monthly_pico(calls) / calls) if calls else None,
        "payback_months": None if payback is None else _number(payback),
        "unpriced": None,
    }


def _shown(met: Meeting) -> dict[str, Any]:
    return {
        "between": list(met.ways),
        "calls": met.first_calls,
        "exact_calls": None if met.calls is None else str(met.calls),
        "cheaper_below": met.below,
        "cheaper_above": met.above,
    }


def _curve(priced: Sequence[Way], calls: Fraction, met: Iterable[Meeting]) -> Iterator[dict[str, Any]]:
    """Monthly costs from no calls to well beyond those asked for, and beyond the crossings that are near."""
    near = [it.calls for it in met if it.calls is not None and (it.calls <= FAR * calls or not calls)]
    top = ceil(max(2 * calls, *(crossed * Fraction(5, 4) for crossed in near), Fraction(POINTS - 1)))
    step = -(-top // (POINTS - 1))
    for number in range(POINTS if priced else 0):
        yield {"calls": number * step, **{way.name: usd(way.monthly_pico(number * step)) for way in priced}}


def _recorded(recorded: Recorded | None) -> dict[str, Any] | None:
    if recorded is None:
        return None
    return {
        "model": recorded.model,
        "days": _number(recorded.days),
        "calls": recorded.calls,
        "calls_with_usage": recorded.counted,
        "input_tokens": recorded.input_tokens,
        "cached_tokens": recorded.cached_tokens,
        "output_tokens": recorded.output_tokens,
    }


def _value(name: str, it: Assumption) -> str:
    if isinstance(it.value, str):
        return it.value
    return usd(it.value) if name.endswith("_usd") else _number(it.value)


def _number(value: Fraction) -> str:
    """A figure that is no money: whole, or to three decimals, half up."""
    whole, rest = divmod(floor(value * 1000 + Fraction(1, 2)), 1000)
    return f"{whole}.{rest:03d}".rstrip("0").rstrip(".")


def _warnings(
    known: Scenario,
    all_ways: Sequence[tuple[str, str, Way | str]],
    reference: Way | None,
    at: datetime,
    training: Training,
    ends: Mapping[str, Retirement],
) -> Iterator[str]:
    """What has no figure, and what ends before it has been worth it."""
    for name, _, way in all_ways:
        if isinstance(way, str):
            yield f"{name}: {way}"
    if at.date() > training.closing.last_day:
        yield f"OpenAI ended fine-tuning: {training.closing.last_day} was the last day to create a job"
    yield from _ends(known, [(name, model) for name, model, _ in all_ways], at, ends)
    end = retirement_of(known.tuned_model, ends)
    tuned = next((way for name, _, way in all_ways if name == TUNED and isinstance(way, Way)), None)
    if end and at < end.at and tuned and reference and tuned.once_pico > reference.once_pico:
        payback = payback_months(tuned, reference, known.number("calls"))
        if payback is None:
            yield f"{TUNED}: what it costs once does not come back at so many calls"
        elif payback > _months(at, end):
            yield f"{TUNED}: what it costs once comes back after {_number(payback)} months, which is after its end"


def _ends(
    known: Scenario, models: Sequence[tuple[str, str]], at: datetime, ends: Mapping[str, Retirement]
) -> Iterator[str]:
    """Each model that ends before the assumed months are over, once, with the ways that need it."""
    needed: dict[tuple[str, Retirement | None], list[str]] = {}
    for name, model in models:
        needed.setdefault((parse(model).base, retirement_of(model, ends)), []).append(name)
    for (base, end), names in needed.items():
        if end is None or _months(at, end) >= known.months:
            continue
        whom, day = ", ".join(names), end.at.date()
        if at >= end.at:
            yield f"{whom}: {base} was shut down on {day}"
        else:
            left = (end.at - at).days
            yield f"{whom}: {base} is shut down on {day}, in {left} days; {known.months} months are assumed"


def _months(at: datetime, end: Retirement) -> Fraction:
    return Fraction((end.at - at).days) / DAYS_A_MONTH
