"""The price book: what a model costs, at a tier, on a day.

A `Price` is one dated row with its provenance, a `PriceList` the rows of one source, a `PriceBook` the lists
in order of authority (the user's own, ours, genai-prices). `find` is a pure function of model, tier and day.
What has no row has no price: a name is never priced by a neighbour that happens to share its beginning.
"""

import contextlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby, pairwise
from typing import cast

from billing.model_names import parse
from billing.rating import Line, Rate, rate_usage
from billing.usage import Unit, Usage

STANDARD = "default"
"""The tier of a call that asked for nothing else, in OpenAI's own word."""

TIERS = (STANDARD, "batch", "flex", "priority", "ultrafast")

_TIER_ALIASES = {None: STANDARD, "": STANDARD, "auto": STANDARD, "standard": STANDARD, "fast": "priority"}
_NOT_ASKED = object()

_FOUND_CEILING = 4096


def tier_name(tier: str | None) -> str:
    """The price list's name of a service tier; OpenAI answers `priority` for both `fast` and `priority`."""
    return _TIER_ALIASES.get(tier, tier or STANDARD)


def _tier_order(tier: str) -> tuple[int, str]:
    return (TIERS.index(tier) if tier in TIERS else len(TIERS), tier)


def _names(model: str) -> tuple[str, ...]:
    """The names a model's rows may stand under, the most exact first."""
    parsed = parse(model)
    return tuple(dict.fromkeys((parsed.price_name, parsed.undated_price_name)))


@dataclass(frozen=True, slots=True)
class Price:
    """One row of a price list: the rates of a model at a tier from a day on, until the next row of its list.

    `long_rates` hold for the whole call when its input is over `long_from` tokens (None: no such rates).
    `source` says where the figures were read (URL or document) and `verified_on` when; `note` carries remarks,
    `unverified` the reason why the figures may be wrong. The list promised them up to `promised_until`. `terms` names
    what the figures were multiplied by (regional processing, a contract's discount), and why.
    """

    model: str
    tier: str
    effective_from: date
    rates: Mapping[Unit, Rate]
    long_rates: Mapping[Unit, Rate] | None = None
    long_from: int | None = None
    source: str = ""
    verified_on: date | None = None
    note: str = ""
    unverified: str = ""
    promised_until: date | None = None
    terms: str = ""

    def doubt_on(self, day: date) -> str:
        """Why the figures may be wrong for that day; empty: there is no known reason."""
        promised, verified_on = self.promised_until, self.verified_on
        if promised is None or day <= promised or (verified_on is not None and verified_on > promised):
            return self.unverified
        return "; ".join(filter(None, (f"promised until {promised} only, not verified since", self.unverified)))

    def rates_for(self, usage: Usage, context_tokens: int | None = None) -> Mapping[Unit, Rate]:
        """The rates that hold for a call of this usage; for many calls of it, of which the longest read so much."""
        if self.long_rates is None or self.long_from is None:
            return self.rates
        longest = usage.input_tokens if context_tokens is None else context_tokens
        return self.long_rates if longest > self.long_from else self.rates


@dataclass(frozen=True)
class PriceList:
    """The rows of one source. `aliases` maps other names of a model to the one its rows stand under.

    Raises ValueError for two rows of one model, tier and day, and for an alias that points at no row of the
    list or hides one.
    """

    name: str
    prices: tuple[Price, ...]
    aliases: Mapping[str, str] = field(default_factory=dict)
    _rows: dict[str, dict[str, list[Price]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows: dict[str, dict[str, list[Price]]] = {}
        ordered = sorted(self.prices, key=lambda price: (price.model, price.tier, price.effective_from))
        for (model, tier), group in groupby(ordered, key=lambda price: (price.model, price.tier)):
            rows.setdefault(model, {})[tier] = list(group)
            days = [price.effective_from for price in rows[model][tier]]
            if len(set(days)) < len(days):
                twice = next(day for day, after in pairwise(days) if day == after)
                raise ValueError(f"{self.name}: two prices of {model} ({tier}) from {twice} on")
        for alias, model in self.aliases.items():
            if alias in rows or model not in rows:
                raise ValueError(f"{self.name}: alias {alias} = {model} names no model of this list, or hides one")
        object.__setattr__(self, "_rows", rows)

    def find(self, names: tuple[str, ...], tier: str, day: date) -> Price | None:
        """The row in force for the most exact of `names` that this list knows at all."""
        rows = self._tiers(names).get(tier, [])
        position = bisect_right(rows, day, key=lambda price: price.effective_from)
        return rows[position - 1] if position else None

    def history(self, names: tuple[str, ...]) -> tuple[Price, ...]:
        """All rows for the most exact of `names` that this list knows: tier by tier, each from old to new."""
        tiers = self._tiers(names)
        return tuple(price for tier in sorted(tiers, key=_tier_order) for price in tiers[tier])

    def _tiers(self, names: tuple[str, ...]) -> dict[str, list[Price]]:
        for name in names:
            tiers = self._rows.get(name) or self._rows.get(self.aliases.get(name, ""))
            if tiers is not None:
                return tiers
        return {}


@dataclass(frozen=True, slots=True)
class Rated:
    """A priced usage: its lines, what no rate was found for, and the row that was used."""

    lines: tuple[Line, ...]
    unpriced: Usage
    price: Price | None

    @property
    def cost_pico(self) -> int:
        """The sum of the lines: what is known of the cost."""
        return sum(line.cost_pico for line in self.lines)


@dataclass(frozen=True)
class PriceBook:
    """All price lists, the one with the most authority first. `version` names the exact set of rows."""

    lists: tuple[PriceList, ...]
    version: str
    _found: OrderedDict[tuple[str, str, date], Price | None] = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )

    def find(self, model: str, tier: str | None, at: datetime) -> Price | None:
        """The row for a model name as OpenAI reports it, at a served tier, on the UTC day of `at`; or None.

        Looked for under the name itself, then under the name without its snapshot date; a fine-tuned model
        only under its own `ft:` row. A list that knows the name but has no row in force for it leaves the
        answer to the next list.
        """
        asked = (model, tier_name(tier), at.date())
        if (known := self._found.get(asked, _NOT_ASKED)) is not _NOT_ASKED:  # also asked from threads
            return cast("Price | None", known)
        names = _names(model)
        found = next((p for book in self.lists if (p := book.find(names, asked[1], asked[2]))), None)
        self._found[asked] = found
        if len(self._found) > _FOUND_CEILING:  # names are the client's to invent
            with contextlib.suppress(KeyError):
                self._found.popitem(last=False)
        return found

    def history(self, model: str) -> tuple[tuple[str, Price], ...]:
        """Every row that could price a model name, in order of authority, each with the name of its list."""
        names = _names(model)
        return tuple((book.name, price) for book in self.lists for price in book.history(names))

    def rate(
        self, usage: Usage, model: str, tier: str | None, at: datetime, context_tokens: int | None = None
    ) -> Rated:
        """Price a usage (see Price.rates_for). Units without a rate (all of them when there is no row) come back as
        `unpriced`."""
        price = self.find(model, tier, at)
        lines, unpriced = rate_usage(usage, price.rates_for(usage, context_tokens) if price else {})
        return Rated(lines, unpriced, price)
