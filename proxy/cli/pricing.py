"""`farebox prices list` and `show`: the price book, readable, as it holds at the configured upstream's host.

Rates are in US dollars, per 1K and per 1M tokens. What is open about a price is said beside it: `unverified`.
"""

from datetime import UTC, date, datetime
from typing import Any

from billing.price_rows import LISTED, history, listed
from billing.price_sources import price_book
from billing.retirements import announced, retirement_of
from proxy.cli.listing import Format, show
from proxy.settings import Settings

_REMARKS = {"terms": "terms", "unverified_reason": "unverified"}
"""What a table says below itself, by column: long, and the same for many rows."""


def list_prices(settings: Settings, on: str | None, tier: str, form: Format) -> None:
    """Every model's price at a tier on a day. Raises ValueError for a bad date or price file."""
    book = price_book(settings.prices, settings.upstream_host)
    rows = listed(book, tier, midnight(on) if on else datetime.now(UTC))
    columns = (
        "model",
        *(f"{name}_per_1m" for name in LISTED),
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
    rows = history(book, model, datetime.now(UTC).date())
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


def midnight(on: str) -> datetime:
    """The beginning of a day in UTC. Raises ValueError for what is none."""
    try:
        return datetime.combine(date.fromisoformat(on), datetime.min.time(), UTC)
    except ValueError:
        raise ValueError(f"{on!r} is not a date (2026-11-23)") from None
