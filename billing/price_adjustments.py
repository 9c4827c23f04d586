"""Price adjustments: what listed rates are multiplied by, for some models, hosts and tiers, from a day on.

They stand in the same TOML files as prices. Ours hold what OpenAI adds for regional processing:

    [[uplift]]
    hosts = ["us.api.openai.com", "eu.api.openai.com"]    # of the upstream; left out: any
    models = ["gpt-5.4", "gpt-6*"]                        # names and patterns; a name stands for its snapshots too
    times = "11/10"
    tools = false                                         # the fees of tool calls stay as they are; true if left out
    effective_from = 2026-03-05
    source = "where that was read"
    unverified = "what is not known of it"

The user's hold what a contract says, in percent off the list; own rates stand as written and are never adjusted:

    [[discount]]
    models = ["*"]
    percent = "12.5"
    tiers = ["standard", "batch"]                         # left out: all
    effective_from = 2027-01-01
    until = 2027-12-31                                    # its last day; left out: it goes on
    source = "our contract of November 2026"

Of the uplifts that match a price one holds, and so of the discounts: the one with the most exact name (a name before
a pattern, a longer pattern before a shorter one), of these the newest in force, of these the last. An uplift and a
discount multiply. Where the user's file has an uplift for a price and a host, ours does not count.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fnmatch import fnmatchcase
from fractions import Fraction
from itertools import groupby
from typing import Any

from billing.model_names import parse
from billing.price_tables import TOOL_UNITS, day, multiple, place, refuse_unknown
from billing.prices import STANDARD, TIERS, Price, PriceList, tier_name
from billing.rating import Rate, scaled
from billing.usage import Unit

_SHARED = {
    "hosts",
    "models",
    "tiers",
    "tools",
    "effective_from",
    "until",
    "source",
    "verified_on",
    "note",
    "unverified",
}
_KINDS = {"uplift": "times", "discount": "percent"}
"""The tables that are read, and the key that holds the figure of each."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A multiple of listed rates. Empty `hosts` and `tiers` mean any; both days belong to it."""

    kind: str
    times: Fraction
    models: tuple[str, ...]
    hosts: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    tools: bool = True
    effective_from: date = date.min
    until: date = date.max
    source: str = ""
    note: str = ""
    unverified: str = ""
    authority: int = 0
    """Whose it is: of two that match a price, the one with more holds."""

    def is_at(self, host: str) -> bool:
        """Whether it is about calls to that host."""
        return not self.hosts or any(fnmatchcase(host.lower(), pattern) for pattern in self.hosts)

    def exactness(self, price: Price) -> int | None:
        """How exactly it names a price's model; None where it is about others."""
        if self.tiers and price.tier not in self.tiers:
            return None
        wider = {parse(price.model).undated_price_name, price.model.partition(" ")[0]}
        found = (
            2_000 if it == price.model
            else 1_000 if it in wider
            else len(it) - it.count("*") if "*" in it and any(fnmatchcase(name, it) for name in (price.model, *wider))
            else None
            for it in self.models
        )  # fmt: skip
        return max((exact for exact in found if exact is not None), default=None)

    def of(self, price: Price) -> Price:
        """The price at this multiple."""
        said = f"{self.times} × list: {'; '.join(filter(None, (self.note, self.source))) or self.kind}"
        return replace(
            price,
            rates=self._of(price.rates),
            long_rates=None if price.long_rates is None else self._of(price.long_rates),
            terms="; ".join(filter(None, (price.terms, said))),
            unverified="; ".join(filter(None, (price.unverified, self.unverified))),
        )

    def _of(self, rates: Mapping[Unit, Rate]) -> dict[Unit, Rate]:
        return {
            unit: rate if unit in TOOL_UNITS and not self.tools else scaled(rate, self.times)
            for unit, rate in rates.items()
        }


def adjusted(prices: PriceList, adjustments: Iterable[Adjustment], host: str) -> PriceList:
    """The list as it holds at a host: rows begin where an adjustment does, and again where it ends."""
    there = [adjustment for adjustment in adjustments if adjustment.is_at(host)]
    if not there:
        return prices
    ordered = sorted(prices.prices, key=lambda price: (price.model, price.tier, price.effective_from))
    rows: list[Price] = []
    for _, group in groupby(ordered, key=lambda price: (price.model, price.tier)):
        dated = list(group)
        about = [(exact, each) for each in there if (exact := each.exactness(dated[0])) is not None]
        ends = [price.effective_from for price in dated[1:]] + [date.max]
        for price, end in zip(dated, ends, strict=True):
            rows += _periods(price, end, about)
    return PriceList(prices.name, tuple(rows), prices.aliases)


def _periods(price: Price, end: date, about: list[tuple[int, Adjustment]]) -> Iterator[Price]:
    edges = {each.effective_from for _, each in about}
    edges |= {each.until + timedelta(1) for _, each in about if each.until < date.max}
    for since in sorted({price.effective_from, *(edge for edge in edges if price.effective_from < edge < end)}):
        held = replace(price, effective_from=since)
        for kind in _KINDS:
            in_force = [
                (each.authority, exact, each.effective_from, number)
                for number, (exact, each) in enumerate(about)
                if each.kind == kind and each.effective_from <= since <= each.until
            ]
            if in_force:
                held = about[max(in_force)[-1]][1].of(held)
        yield held


def read_adjustments(documents: Mapping[str, str], authority: int = 0) -> tuple[Adjustment, ...]:
    """The `[[uplift]]` and `[[discount]]` tables of some TOML documents, given as text by file name.

    Raises ValueError naming the file, the line, the table and the reason for one that is not as the module describes.
    """
    found: list[Adjustment] = []
    for where, text in documents.items():
        try:
            table = tomllib.loads(text)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        for kind, figure in _KINDS.items():
            rows = table.get(kind, [])
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ValueError(f"{where}: every {kind} is a table of its own, headed [[{kind}]]")
            for number, row in enumerate(rows, 1):
                try:
                    found.append(_adjustment(kind, figure, row, table.get("sources", {}), authority))
                except ValueError as error:
                    raise ValueError(f"{place(where, text, kind, number)}: {error}") from None
    return tuple(found)


def _adjustment(
    kind: str, figure: str, row: dict[str, Any], sources: Mapping[str, dict[str, Any]], authority: int
) -> Adjustment:
    refuse_unknown(row, _SHARED | {figure})
    if figure not in row:
        raise ValueError(f'it needs {figure}, such as {figure} = "{"11/10" if figure == "times" else "12.5"}"')
    source = _text(row, "source")
    since, until = day(row.get("effective_from", date.min)), day(row.get("until", date.max))
    if until < since:
        raise ValueError(f"it ends on {until}, before it begins on {since}")
    if "verified_on" in row:
        day(row["verified_on"])
    if not isinstance(tools := row.get("tools", True), bool):
        raise ValueError("tools is true (fees of tool calls too) or false")  # noqa: TRY004
    return Adjustment(
        kind,
        multiple(row[figure]) if figure == "times" else _off(row[figure]),
        _names(row, "models") or _missing(),
        tuple(host.lower() for host in _names(row, "hosts")),
        tuple(_tier(tier) for tier in _names(row, "tiers")),
        tools,
        since,
        until,
        sources.get(source, {}).get("text", source),
        _text(row, "note"),
        _text(row, "unverified"),
        authority,
    )


def _missing() -> tuple[str, ...]:
    raise ValueError('it needs models, such as models = ["gpt-5.4", "gpt-6*"], or ["*"] for all')


def _off(percent: object) -> Fraction:
    """What remains of a price, from percent off it: more than 0, at most 100."""
    if isinstance(percent, float):
        raise ValueError(f'percent = {percent} is not exact; write it in quotes: percent = "{percent}"')  # noqa: TRY004
    try:
        off = Fraction(percent) if isinstance(percent, str | int) and not isinstance(percent, bool) else None
    except (ValueError, ZeroDivisionError):
        off = None
    if off is None or not 0 < off <= 100:
        raise ValueError(f'percent = {percent!r} is not a share of the list price between 0 and 100, such as "12.5"')
    return 1 - off / 100


def _names(row: Mapping[str, Any], key: str) -> tuple[str, ...]:
    given = row.get(key, [])
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{key} is a list of names in quotes")
    return tuple(names)


def _text(row: Mapping[str, Any], key: str) -> str:
    if not isinstance(given := row.get(key, ""), str):
        raise ValueError(f"{key} must be text")  # noqa: TRY004
    return given


def _tier(name: str) -> str:
    tier = tier_name(name)
    if tier not in TIERS:
        raise ValueError(f"{name!r} is no tier; known are standard, {', '.join(it for it in TIERS if it != STANDARD)}")
    return tier
