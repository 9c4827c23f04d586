"""Differences between price books, row by row, and why ours stands.

`differences` is a pure comparison of two books over their whole history, or on one day. Reasons are data with our
source, in `model_data/price_differences.toml`:

    [[difference]]
    from = "genai-prices"                  # whose price is another one
    models = ["gpt-4o", "gpt-4.1*"]        # names and patterns
    tiers = ["batch"]                      # left out: any
    units = ["input_cached_text_tokens"]   # left out: any
    before = 2024-08-06                    # only what differs since an earlier day; left out: whenever
    reason = "why ours stands"
    source = "where ours was read"
"""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from fnmatch import fnmatchcase
from fractions import Fraction
from importlib import resources

from billing.model_names import parse
from billing.price_tables import refuse_unknown
from billing.prices import TIERS, Price, PriceBook
from billing.rating import Rate
from billing.usage import Unit


@dataclass(frozen=True, slots=True)
class Difference:
    """A unit of a model at a tier that one book prices otherwise than the other, from a day on.

    `over` is the number of input tokens over which it holds (None: of calls up to that many). A rate is None where that
    book has none.
    """

    model: str
    tier: str
    unit: Unit
    over: int | None
    since: date
    one: Rate | None
    other: Rate | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why ours stands where another book says otherwise; empty `tiers` and `units` mean any."""

    book: str
    models: tuple[str, ...]
    reason: str
    source: str
    tiers: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    before: date = date.max

    def explains(self, book: str, found: Difference) -> bool:
        """Whether it is about that difference from that book."""
        return (
            self.book == book
            and any(fnmatchcase(found.model, pattern) for pattern in self.models)
            and (not self.tiers or found.tier in self.tiers)
            and (not self.units or found.unit.value in self.units)
            and found.since < self.before
        )


def differences(
    one: PriceBook, other: PriceBook, on: date | None = None, *, contradictions: bool = False
) -> Iterator[Difference]:
    """What differs between two books: on one day, else at every day on which either has a new row.

    Told once, from the day on which it begins; of a snapshot, only where it is not that of its undated name.
    `contradictions`: only where the other says otherwise than one (another rate, a unit or a tier that one does not
    have), not what it is silent about, nor what it says of days before one's first row.
    """
    models = {price.model for book in (one, other) for prices in book.lists for price in prices.prices}
    for model in sorted(models):
        found = _of_model(model, one, other, on, contradictions)
        whole = parse(model).undated_price_name
        if whole == model or whole not in models or found != _of_model(whole, one, other, on, contradictions):
            yield from (Difference(model, *each) for each in found)


def _of_model(
    model: str, one: PriceBook, other: PriceBook, on: date | None, contradictions: bool
) -> list[tuple[str, Unit, int | None, date, Rate | None, Rate | None]]:
    """A model's differences: tier, unit, context, day and both rates."""
    found = []
    ours = {price.tier for _, price in one.history(model)}
    rows = [price for book in (one, other) for _, price in book.history(model)]
    for tier in sorted({price.tier for price in rows}, key=_tier_order):
        told: dict[tuple[Unit, int | None], tuple[Rate | None, Rate | None]] = {}
        for day in sorted({on} if on else {price.effective_from for price in rows if price.tier == tier}):
            at = datetime.combine(day, time.min, UTC)
            mine, theirs = one.find(model, tier, at), other.find(model, tier, at)
            before_ours = mine is None and tier in ours
            now = {} if contradictions and before_ours else dict(_differing(mine, theirs, contradictions))
            found += [(tier, *key, day, *rates) for key, rates in now.items() if told.get(key) != rates]
            told = now
    return found


def _tier_order(tier: str) -> tuple[int, str]:
    return (TIERS.index(tier) if tier in TIERS else len(TIERS), tier)


def _differing(
    one: Price | None, other: Price | None, contradictions: bool
) -> Iterator[tuple[tuple[Unit, int | None], tuple[Rate | None, Rate | None]]]:
    ours, theirs = _by_context(one), _by_context(other)
    for key in sorted(ours.keys() | theirs.keys(), key=lambda key: (key[1] or 0, list(Unit).index(key[0]))):
        mine, said = ours.get(key), theirs.get(key)
        if said is None and contradictions:
            continue
        if mine is None or said is None or _value(mine) != _value(said):
            yield key, (mine, said)


def _by_context(price: Price | None) -> dict[tuple[Unit, int | None], Rate]:
    if price is None:
        return {}
    short = {(unit, None): rate for unit, rate in price.rates.items()}
    return short | {(unit, price.long_from): rate for unit, rate in (price.long_rates or {}).items()}


def _value(rate: Rate) -> Fraction:
    return Fraction(rate.pico, rate.per)


def reason_for(book: str, found: Difference, reasons: Iterable[Reason]) -> Reason | None:
    """The first reason that explains a difference from a book; None: there is none."""
    return next((reason for reason in reasons if reason.explains(book, found)), None)


def known_reasons() -> tuple[Reason, ...]:
    """The reasons that ship. Raises ValueError when the table is wrong."""
    return read_reasons((resources.files("billing") / "model_data" / "price_differences.toml").read_text("utf-8"))


def read_reasons(text: str) -> tuple[Reason, ...]:
    """Reasons as TOML. Raises ValueError for one without book, models, reason or source, and for an unknown key."""
    found = []
    for row in tomllib.loads(text).get("difference", []):
        refuse_unknown(row, {"from", "models", "tiers", "units", "before", "reason", "source"})
        if not all(row.get(key) for key in ("from", "models", "reason", "source")):
            raise ValueError(f"a difference needs from, models, reason and source: {row}")
        units = tuple(Unit(unit).value for unit in row.get("units", ()))
        found.append(
            Reason(
                row["from"], tuple(row["models"]), row["reason"], row["source"], tuple(row.get("tiers", ())), units,
                row.get("before", date.max),
            )
        )  # fmt: skip
    return tuple(found)
