"""`farebox prices list` and `show`: the price book, readable, as it holds at the configured upstream's host.

Rates are in US dollars, per 1K and per 1M tokens. What is open about a price is said beside it: `unverified`.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

from billing.money import usd_from_pico
from billing.price_sources import price_book
from billing.prices import Price, PriceBook
from billing.rating import Rate
from billing.retirements import announced, retirement_of
from billing.usage import Unit
from proxy.cli.listing import Format, show
from proxy.settings import Settings

_LISTED = {
    "input": Unit.INPUT_TEXT,
    "cached": Unit.INPUT_CACHED_TEXT,
    "write_30m": Unit.INPUT_CACHE_WRITE_30M,
    "write_12h": Unit.INPUT_CACHE_WRITE_12H,
    "output": Unit.OUTPUT_TEXT,
}


_REMARKS = {"terms": "terms", "unverified_reason": "unverified"}
"""What a table says below itself, by column: long, and the same for many rows."""


def list_prices(settings: Settings, on: str | None, tier: str, form: Format) -> None:
    """Every model's price at a tier on a day. Raises ValueError for a bad date or price file."""
    book = price_book(settings.prices, settings.upstream_host)
    at = midnight(on) if on else datetime.now(UTC)
    lists = {id(price): prices.name for prices in book.lists for price in prices.prices}
    found = {id(price): price for model in _models(book) if (price := book.find(model, tier, at))}  # names share rows
    ordered = sorted(found.values(), key=lambda price: price.model)
    rows = [row for price in ordered for row in _row(lists[id(price)], price, at.date())]
    columns = (
        "model",
        *(f"{name}_per_1m" for name in _LISTED),
        "over",
        "since",
        "verified",
        "unverified",
        "retires",
        "list",
    )
    show(rows, columns, form, empty=f"No model has a price at tier {tier} on that day.")


def show_price(settings: Settings, model: str, form: Format) -> bool:
    """The whole history of one model's price; False when there is none. Raises ValueError for a bad price file."""
    book = price_book(settings.prices, settings.upstream_host)
    history = book.history(model)
    rows = [
        row
        for number, (name, price) in enumerate(history)
        for row in _rows(
            name, price, _last_day(price, [later for list_, later in history[number + 1 :] if list_ == name])
        )
    ]
    columns = (
        "tier", "since", "unit", "context", "usd_per_1k", "usd_per_1m", "rate_usd", "per", "verified", "unverified",
        "source", "note", *(_REMARKS if form is Format.CSV else ()),
    )  # fmt: skip
    if rows or form is not Format.TABLE:
        ends = retirement_of(model, announced())
        retires = f", retires on {ends.at.date()}" if ends else ""
        show(rows, columns, form, empty="", title=f"{model}, price book {book.version}{retires}")
    if form is Format.TABLE:
        _show_remarks(rows)
    return bool(rows)


def _show_remarks(rows: list[dict[str, Any]]) -> None:
    """Below a table, each remark once, with the tiers that it is about."""
    tiers: dict[str, dict[str, None]] = {}
    for row in rows:
        for column, name in _REMARKS.items():
            if row[column]:
                tiers.setdefault(f"{name}: {row[column]}", {})[row["tier"]] = None
    for remark, of in tiers.items():
        print(f"{remark} ({', '.join(of)})")


def _last_day(price: Price, later: Sequence[Price]) -> date:
    """The last day, up to today, on which a row holds; `later` are the rows that follow it in its list."""
    after = next((row.effective_from for row in later if row.tier == price.tier), date.max)
    return min(after - timedelta(1), datetime.now(UTC).date())


def midnight(on: str) -> datetime:
    """The beginning of a day in UTC. Raises ValueError for what is none."""
    try:
        return datetime.combine(date.fromisoformat(on), datetime.min.time(), UTC)
    except ValueError:
        raise ValueError(f"{on!r} is not a date (2026-11-23)") from None


def _models(book: PriceBook) -> set[str]:
    return {price.model for prices in book.lists for price in prices.prices}


def _row(list_name: str, price: Price, day: date) -> Iterator[dict[str, Any]]:
    for over, rates in (("", price.rates), (_over(price), price.long_rates)):
        if rates and any(unit in rates for unit in _LISTED.values()):
            yield {
                "model": price.model,
                "tier": price.tier,
                **{f"{name}_per_1m": per(rates.get(unit), 1_000_000) for name, unit in _LISTED.items()},
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


def per(rate: Rate | None, quantity: int) -> str | None:
    """The price of so many at a rate, in US dollars; a figure that never ends is cut after fifteen digits."""
    if rate is None:
        return None
    pico = Fraction(rate.pico * quantity, rate.per)
    return usd_from_pico(int(pico)) if pico.denominator == 1 else f"{float(pico) / 1e12:.15g}"
