"""The price book in fields for programs: a day's prices, and the history of one, with where each was read.

Rates are in US dollars, per 1K and per 1M tokens. What is open about a price is said beside it: `unverified`.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from billing.money import usd_from_pico
from billing.prices import Price, PriceBook
from billing.rating import Rate
from billing.retirements import announced, retirement_of
from billing.usage import Unit

LISTED = {
    "input": Unit.INPUT_TEXT,
    "cached": Unit.INPUT_CACHED_TEXT,
    "write_30m": Unit.INPUT_CACHE_WRITE_30M,
    "write_12h": Unit.INPUT_CACHE_WRITE_12H,
    "output": Unit.OUTPUT_TEXT,
}
"""What a list of prices shows of each."""


def listed(book: PriceBook, tier: str, at: datetime) -> list[dict[str, Any]]:
    """Every model's price at a tier on the UTC day of `at`, by name; long-context rates are a row of their own."""
    lists = {id(price): prices.name for prices in book.lists for price in prices.prices}
    models = {price.model for prices in book.lists for price in prices.prices}
    found = {id(price): price for model in models if (price := book.find(model, tier, at))}  # names share rows
    ordered = sorted(found.values(), key=lambda price: price.model)
    return [row for price in ordered for row in _row(lists[id(price)], price, at.date())]


def history(book: PriceBook, model: str, today: date) -> list[dict[str, Any]]:
    """Every rate that could price a model, tier by tier and from old to new, as doubtful as on its last day so far."""
    known = book.history(model)
    return [
        row
        for number, (name, price) in enumerate(known)
        for row in _rows(
            name, price, _last_day(price, [later for list_, later in known[number + 1 :] if list_ == name], today)
        )
    ]


def per(rate: Rate | None, quantity: int) -> str | None:
    """The price of so many at a rate, in US dollars; a figure that never ends is cut after fifteen digits."""
    if rate is None:
        return None
    pico = Fraction(rate.pico * quantity, rate.per)
    return usd_from_pico(int(pico)) if pico.denominator == 1 else f"{float(pico) / 1e12:.15g}"


def _last_day(price: Price, later: Sequence[Price], today: date) -> date:
    """The last day, up to today, on which a row holds; `later` are the rows that follow it in its list."""
    after = next((row.effective_from for row in later if row.tier == price.tier), date.max)
    return min(after - timedelta(1), today)


def _row(list_name: str, price: Price, day: date) -> Iterator[dict[str, Any]]:
    for over, rates in (("", price.rates), (_over(price), price.long_rates)):
        if rates and any(unit in rates for unit in LISTED.values()):
            yield {
                "model": price.model,
                "tier": price.tier,
                **{f"{name}_per_1m": per(rates.get(unit), 1_000_000) for name, unit in LISTED.items()},
                "over": over,
                **_provenance(price, day),
                "list": list_name,
            }


def _rows(list_name: str, price: Price, day: date) -> Iterator[dict[str, Any]]:
    for over, rates in (("", price.rates), (_over(price), price.long_rates)):
        for unit, rate in (rates or {}).items():
            tokens = unit.value.endswith("_tokens") or unit is Unit.INPUT_CHARACTERS
            yield {
                "model": price.model,
                "tier": price.tier,
                "unit": unit.value,
                "context": over,
                "usd_per_1k": per(rate, 1_000) if tokens else None,
                "usd_per_1m": per(rate, 1_000_000) if tokens else None,
                "rate_usd": usd_from_pico(rate.pico),
                "per": rate.per,
                **_provenance(price, day),
                "list": list_name,
            }


def _provenance(price: Price, day: date) -> dict[str, str | bool | None]:
    ends, doubt = retirement_of(price.model, announced()), price.doubt_on(day)
    return {
        "since": None if price.effective_from == date.min else str(price.effective_from),
        "verified": str(price.verified_on) if price.verified_on else None,
        "source": price.source,
        "note": price.note,
        "terms": price.terms,
        "unverified": bool(doubt),
        "unverified_reason": doubt,
        "promised_until": str(price.promised_until) if price.promised_until else None,
        "retires": str(ends.at.date()) if ends else None,
    }


def _over(price: Price) -> str:
    return f"over {price.long_from:,} input tokens" if price.long_from else ""
