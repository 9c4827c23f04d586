"""`farebox prices check` and `diff`: our book against others', and against itself on another day or with other rows."""

from dataclasses import replace
from datetime import UTC, date, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from billing.price_differences import Difference, Reason, differences, known_reasons, reason_for
from billing.price_genai import genai_prices
from billing.price_litellm import litellm_prices
from billing.price_rows import per
from billing.price_sources import own_prices, price_book
from billing.prices import TIERS, PriceBook, PriceList
from billing.usage import TOKEN_UNITS, Unit
from proxy.cli.listing import Format, show
from proxy.cli.pricing import midnight
from proxy.settings import Settings

_MEASURES = dict.fromkeys((*TOKEN_UNITS, Unit.INPUT_CHARACTERS), (1_000_000, "1M")) | {
    Unit.AUDIO_SECONDS: (60, "minute"),
    Unit.SESSION_SECONDS: (60, "minute"),
    Unit.TRAINING_SECONDS: (3_600, "hour"),
    Unit.WEB_SEARCH_CALLS: (1_000, "1K calls"),
    Unit.WEB_SEARCH_PREVIEW_CALLS: (1_000, "1K calls"),
    Unit.FILE_SEARCH_CALLS: (1_000, "1K calls"),
}
"""How many of a unit a rate is shown for."""


def check_prices(litellm: Path | None, form: Format) -> int:
    """List where others price otherwise than the book that ships, each with the reason why ours stands.

    Returns how many have no reason. Raises OSError when the file cannot be read, ValueError when it is no such map.
    """
    ours, genai = own_prices(), genai_prices()
    own = PriceBook((ours,), "farebox")
    found = [
        (genai.name, it)
        for it in differences(own, PriceBook((genai,), genai.name), contradictions=True)
        if own.history(it.model)  # genai-prices speaks for the others itself
    ]
    if litellm:
        theirs = litellm_prices(litellm.read_text(encoding="utf-8"))
        book, today = PriceBook((ours, genai), "farebox"), datetime.now(UTC).date()
        compared = differences(book, PriceBook((theirs,), theirs.name), today, contradictions=True)
        found += [(theirs.name, it) for it in compared]
    reasons = known_reasons()
    rows = [_checked(name, it, reason_for(name, it, reasons)) for name, it in found]
    unexplained = sum(not row["reason"] for row in rows)
    columns = ("from", "model", "tier", "unit", "over", "since", "ours_usd", "theirs_usd", "per", "reason", "source")
    title = f"{len(rows):,} differences, {unexplained:,} without a reason"
    show(rows, columns, form, empty="No difference.", title=title)
    return unexplained


def diff_prices(settings: Settings, one: str, other: str, form: Format) -> None:
    """List what differs between the book of two days, or between two price files above the shipped lists.

    Raises ValueError for what is neither, or one of each, and for a bad price file; OSError for one that is not there.
    """
    days = _day(one), _day(other)
    if days[0] and days[1]:
        book = price_book(settings.prices, settings.upstream_host)
        found = differences(_as_of(book, days[0]), _as_of(book, days[1]), days[1])
    elif days[0] or days[1]:
        raise ValueError(f"{one} and {other}: compare two days, or two price files")
    else:
        before, after = (price_book(_file(path), settings.upstream_host) for path in (one, other))
        found = differences(before, after)
    columns = ("model", "tier", "unit", "over", "since", "before_usd", "after_usd", "change", "per")
    title = f"prices: {one} → {other}"
    show([_changed(it) for it in found], columns, form, empty="No price differs.", title=title)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _file(text: str) -> Path:
    if not (path := Path(text)).is_file():
        raise ValueError(f"{text!r} is neither a date (2026-11-23) nor a price file")
    return path


def _as_of(book: PriceBook, day: date) -> PriceBook:
    """The book with the prices of one day for all days."""
    at = midnight(str(day))
    models = sorted({price.model for prices in book.lists for price in prices.prices})
    found = ((model, book.find(model, tier, at)) for model in models for tier in TIERS)
    rows = tuple(replace(price, model=model, effective_from=date.min) for model, price in found if price)
    return PriceBook((PriceList(str(day), rows),), str(day))


def _checked(book: str, found: Difference, reason: Reason | None) -> dict[str, Any]:
    quantity, measure = _MEASURES.get(found.unit, (1, "1"))
    return {
        "from": book,
        **_where(found),
        "ours_usd": per(found.one, quantity),
        "theirs_usd": per(found.other, quantity),
        "per": measure,
        "reason": reason.reason if reason else None,
        "source": reason.source if reason else None,
    }


def _changed(found: Difference) -> dict[str, Any]:
    quantity, measure = _MEASURES.get(found.unit, (1, "1"))
    return {
        **_where(found),
        "before_usd": per(found.one, quantity),
        "after_usd": per(found.other, quantity),
        "change": _change(found),
        "per": measure,
    }


def _where(found: Difference) -> dict[str, Any]:
    return {
        "model": found.model,
        "tier": found.tier,
        "unit": found.unit.value,
        "over": f"over {found.over:,} input tokens" if found.over else "",
        "since": None if found.since == date.min else str(found.since),
    }


def _change(found: Difference) -> str:
    if found.one is None or found.other is None:
        return "new" if found.one is None else "gone"
    if not found.one.pico:
        return "was free"
    ratio = Fraction(found.other.pico, found.other.per) / Fraction(found.one.pico, found.one.per)
    return f"{float(ratio - 1):+.1%}"
