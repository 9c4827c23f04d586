"""`farebox prices`: the price book, readable. Rates are in US dollars, per 1K and per 1M tokens."""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

from billing.money import usd_from_pico
from billing.price_sources import price_book
from billing.prices import Price, PriceBook
from billing.rating import Rate
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


def list_prices(settings: Settings, on: str | None, tier: str, form: Format) -> None:
    """Every model's price at a tier on a day. Raises ValueError for a bad date or price file."""
    book = price_book(settings.prices)
    at = _midnight(on) if on else datetime.now(UTC)
    lists = {id(price): prices.name for prices in book.lists for price in prices.prices}
    found = {id(price): price for model in _models(book) if (price := book.find(model, tier, at))}  # names share rows
    ordered = sorted(found.values(), key=lambda price: price.model)
    rows = [row for price in ordered for row in _row(lists[id(price)], price)]
    columns = ("model", *(f"{name}_per_1m" for name in _LISTED), "over", "since", "verified", "list")
    show(rows, columns, form, empty=f"No model has a price at tier {tier} on that day.")


def show_price(settings: Settings, model: str, form: Format) -> bool:
    """The whole history of one model's price; False when there is none. Raises ValueError for a bad price file."""
    book = price_book(settings.prices)
    rows = [row for name, price in book.history(model) for row in _rows(name, price)]
    columns = (
        "tier", "since", "unit", "context", "usd_per_1k", "usd_per_1m", "rate_usd", "per", "verified", "source", "note",
    )  # fmt: skip
    if rows or form is not Format.TABLE:
        show(rows, columns, form, empty="", title=f"{model}, price book {book.version}")
    return bool(rows)


def _midnight(on: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(on), datetime.min.time(), UTC)
    except ValueError:
        raise ValueError(f"{on!r} is not a date (2026-11-23)") from None


def _models(book: PriceBook) -> set[str]:
    return {price.model for prices in book.lists for price in prices.prices}


def _row(list_name: str, price: Price) -> Iterator[dict[str, Any]]:
    for over, rates in (("", price.rates), (_over(price), price.long_rates)):
        if rates and any(unit in rates for unit in _LISTED.values()):
            yield {
                "model": price.model,
                "tier": price.tier,
                **{f"{name}_per_1m": _per(rates, unit, 1_000_000) for name, unit in _LISTED.items()},
                "over": over,
                **_provenance(price),
                "list": list_name,
            }


def _rows(list_name: str, price: Price) -> Iterator[dict[str, Any]]:
    for over, rates in (("", price.rates), (_over(price), price.long_rates)):
        for unit, rate in (rates or {}).items():
            tokens = unit.value.endswith("_tokens") or unit is Unit.INPUT_CHARACTERS
            yield {
                "model": price.model,
                "tier": price.tier,
                "unit": unit.value,
                "context": over,
                "usd_per_1k": _per({unit: rate}, unit, 1_000) if tokens else None,
                "usd_per_1m": _per({unit: rate}, unit, 1_000_000) if tokens else None,
                "rate_usd": usd_from_pico(rate.pico),
                "per": rate.per,
                **_provenance(price),
                "list": list_name,
            }


def _provenance(price: Price) -> dict[str, str | None]:
    return {
        "since": None if price.effective_from == date.min else str(price.effective_from),
        "verified": str(price.verified_on) if price.verified_on else None,
        "source": price.source,
        "note": price.note,
    }


def _over(price: Price) -> str:
    return f"over {price.long_from:,} input tokens" if price.long_from else ""


def _per(rates: Mapping[Unit, Rate], unit: Unit, quantity: int) -> str | None:
    rate = rates.get(unit)
    if rate is None:
        return None
    pico = Fraction(rate.pico * quantity, rate.per)
    return usd_from_pico(int(pico)) if pico.denominator == 1 else f"{float(pico) / 1e12:.12g}"
