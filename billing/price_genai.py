"""The OpenAI prices of the genai-prices package, as a price list of ours.

genai-prices matches names generously (prefixes, parts of names), prices an unknown tier as standard and bills
a missing rate as another one. Here a name is exact or a dated snapshot, a tier exists from the day on which
genai-prices verified it, and what it does not say has no price.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal

from genai_prices import __version__ as genai_version
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from billing.money import pico_from_usd
from billing.price_tables import Rates, whole, with_cached
from billing.prices import STANDARD, Price, PriceList
from billing.rating import Rate
from billing.usage import TOKEN_UNITS, Unit

_OPENAI = next(provider for provider in providers if provider.id == "openai")
_SOURCE = f"genai-prices {genai_version} (https://github.com/pydantic/genai-prices)"

_KEYS = {
    "input_mtok": (Unit.INPUT_TEXT, 1_000_000),
    "cache_read_mtok": (Unit.INPUT_CACHED_TEXT, 1_000_000),
    "cache_write_mtok": (Unit.INPUT_CACHE_WRITE_30M, 1_000_000),
    "output_mtok": (Unit.OUTPUT_TEXT, 1_000_000),
    "input_audio_mtok": (Unit.INPUT_AUDIO, 1_000_000),
    "cache_audio_read_mtok": (Unit.INPUT_CACHED_AUDIO, 1_000_000),
    "output_audio_mtok": (Unit.OUTPUT_AUDIO, 1_000_000),
    "input_image_mtok": (Unit.INPUT_IMAGE, 1_000_000),
    "cache_image_read_mtok": (Unit.INPUT_CACHED_IMAGE, 1_000_000),
    "output_image_mtok": (Unit.OUTPUT_IMAGE, 1_000_000),
    "input_mchars": (Unit.INPUT_CHARACTERS, 1_000_000),
    "audio_hours": (Unit.AUDIO_SECONDS, 3_600),
    "web_searches_kcount": (Unit.WEB_SEARCH_CALLS, 1_000),
    "storage_searches_kcount": (Unit.FILE_SEARCH_CALLS, 1_000),
}
_PER = dict(_KEYS.values())
_TIERS: dict[tuple[tuple[str, str], ...], str] = {
    (("service_tier", "flex"),): "flex",
    (("service_tier", "priority"),): "priority",  # `fast` repeats it
    (("processing", "batch"),): "batch",
}
_SNAPSHOT_PATTERN = re.compile(r"\^(?P<name>[\w.\\-]+)-\\d\{4\}-\\d\{2\}-\\d\{2\}\$")

Figures = Mapping[Unit, Decimal | TieredPrices]


def genai_prices(models: Iterable[ModelInfo] = _OPENAI.models) -> PriceList:
    """The price list in the installed genai-prices package. What does not map is left out."""
    seen: set[str] = set()
    prices: list[Price] = []
    for model in models:
        names = _exact_names(model) - seen  # the first match wins, as in genai-prices
        seen |= names
        for tier, day, standard, own in _dated(model):
            if (figures := _rates(standard, own)) is not None:
                verified_on = None if tier == STANDARD or day == date.min else day
                prices += (Price(name, tier, day, *figures, _SOURCE, verified_on) for name in sorted(names))
    return PriceList("genai-prices", tuple(prices))


def _exact_names(model: ModelInfo) -> set[str]:
    """The names a model is matched by exactly, and its own id where it matches that.

    A snapshot pattern stands for its undated name, as `PriceBook.find` looks it up.
    """
    names = set(_names_in(model.match))
    if model.is_match(model.id) and not model.id.startswith("ft:"):
        names.add(model.id)
    return names


def _names_in(match: MatchLogic) -> Iterator[str]:
    if isinstance(match, ClauseOr):
        for clause in match.or_:
            yield from _names_in(clause)
    elif isinstance(match, ClauseEquals):
        yield match.equals
    elif isinstance(match, ClauseRegex) and (snapshot := _SNAPSHOT_PATTERN.fullmatch(match.regex)):
        yield snapshot["name"].replace("\\", "")


def _dated(model: ModelInfo) -> Iterator[tuple[str, date, Figures, Figures]]:
    """Tier, first day, the standard figures of that day, and the tier's own figures."""
    if isinstance(model.prices, ModelPrice):
        standard = [(date.min, _figures(model.prices))]
    else:
        standard = [(_day(price.constraint), _figures(price.prices)) for price in model.prices]
    if any(day == date.max for day, _ in standard):
        return
    for day, figures in standard:
        yield STANDARD, day, figures, {}
    for variant in model.price_variants or ():
        tier, start = _TIERS.get(tuple(variant.when.items())), _day(variant.constraint)
        if tier is None or start == date.max:
            continue
        own = _figures(variant.prices)
        for day in sorted({start, *(day for day, _ in standard if day > start)}):
            in_force = [figures for since, figures in standard if since <= day]
            if in_force:
                yield tier, day, in_force[-1], own


def _day(constraint: StartDateConstraint | TimeOfDateConstraint | None) -> date:
    """The first day of a constraint; `date.max` for one by the hour, which OpenAI does not have."""
    if constraint is None:
        return date.min
    return constraint.start_date if isinstance(constraint, StartDateConstraint) else date.max


def _figures(price: ModelPrice) -> Figures:
    return {unit: value for key, (unit, _) in _KEYS.items() if (value := getattr(price, key)) is not None}


def _rates(standard: Figures, own: Figures) -> tuple[Rates, Rates | None, int | None] | None:
    """Rates, long-context rates and their threshold; None where the figures do not map.

    A tier's token rates replace the standard ones altogether: a missing one is not the standard one. Its fees
    (web search) are the standard ones.
    """
    tokens = TOKEN_UNITS.intersection(own or standard)
    figures = {u: value for u, value in {**standard, **own}.items() if u in tokens or u not in TOKEN_UNITS}
    thresholds = {tier.start for value in standard.values() for tier in _long_tiers(value)}
    try:
        rates = {unit: _rate(unit, _short(value)) for unit, value in figures.items()}
        if not thresholds:
            return (with_cached(rates), None, None) if rates else None
        if not any(map(_long_tiers, figures.values())):
            return with_cached(rates), {}, max(thresholds)  # long calls have no price at this tier
        if len(thresholds) > 1:
            return None
        long = {unit: [tier.price for tier in _long_tiers(value)] for unit, value in figures.items()}
        long_rates = {unit: _rate(unit, prices[0]) if prices else rates[unit] for unit, prices in long.items()}
        return with_cached(rates), with_cached(long_rates), max(thresholds)
    except ValueError:
        return None


def _short(value: Decimal | TieredPrices) -> Decimal:
    return value.base if isinstance(value, TieredPrices) else value


def _long_tiers(value: Decimal | TieredPrices) -> list[Tier]:
    return value.tiers if isinstance(value, TieredPrices) else []


def _rate(unit: Unit, usd: Decimal) -> Rate:
    return whole(unit, Rate(pico_from_usd(usd), _PER[unit]))
