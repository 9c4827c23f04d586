"""LiteLLM's map of model prices as a price list, to compare ours with. Nobody is charged by it, and none ships.

The map (`model_prices_and_context_window.json`) is flat and undated: US dollars per token, second, character or call as
decimal numbers, the tier and the long context in the key's name. Zeros stand for "nothing said" there and are left out,
and so are entries by quality and size of an image (`high/1024-x-1024/…`), which are guide prices.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.price_tables import LONG_FROM
from billing.prices import STANDARD, Price, PriceList
from billing.rating import Rate, scaled
from billing.usage import Unit

_PROVIDERS = {"openai", "text-completion-openai"}
_UNITS = {
    "input_cost_per_token": Unit.INPUT_TEXT,
    "cache_read_input_token_cost": Unit.INPUT_CACHED_TEXT,
    "cache_creation_input_token_cost": Unit.INPUT_CACHE_WRITE_30M,
    "cache_creation_input_token_cost_above_12hr": Unit.INPUT_CACHE_WRITE_12H,
    "output_cost_per_token": Unit.OUTPUT_TEXT,
    "input_cost_per_audio_token": Unit.INPUT_AUDIO,
    "cache_read_input_audio_token_cost": Unit.INPUT_CACHED_AUDIO,
    "output_cost_per_audio_token": Unit.OUTPUT_AUDIO,
    "input_cost_per_image_token": Unit.INPUT_IMAGE,
    "cache_read_input_image_token_cost": Unit.INPUT_CACHED_IMAGE,
    "output_cost_per_image_token": Unit.OUTPUT_IMAGE,
    "input_cost_per_character": Unit.INPUT_CHARACTERS,
    "input_cost_per_second": Unit.AUDIO_SECONDS,
}
_TIERS = {"": STANDARD, "batches": "batch", "flex": "flex", "priority": "priority", "ultrafast": "ultrafast"}
_KEY = re.compile(
    rf"(?P<rate>{'|'.join(sorted(_UNITS, key=len, reverse=True))})(?P<long>_above_272k_tokens)?"
    rf"(?:_(?P<tier>{'|'.join(filter(None, _TIERS))}|decisions))?"
)
_BY_SESSION = {"gpt-live-1", "gpt-realtime-translate"}
"""Whose seconds are those of a session."""


def litellm_prices(text: str) -> PriceList:
    """The OpenAI entries of the map. Raises ValueError where the text is not such a map."""
    try:
        entries = json.loads(text, parse_float=Decimal)
        listed = {
            name: entry
            for name, entry in entries.items()
            if isinstance(entry, dict) and entry.get("litellm_provider") in _PROVIDERS and "/" not in name
        }
    except (ValueError, AttributeError, RecursionError):
        listed = {}
    if not listed:
        raise ValueError("not LiteLLM's map of model prices: no entry of the provider openai")
    return PriceList("litellm", tuple(price for name in sorted(listed) for price in _prices(name, listed[name])))


def _prices(name: str, entry: Mapping[str, Any]) -> Iterator[Price]:
    rates: dict[tuple[str, str], dict[bool, dict[Unit, Rate]]] = {}
    for key, usd in entry.items():
        if (match := _KEY.fullmatch(key)) and isinstance(usd, Decimal | int) and not isinstance(usd, bool) and usd > 0:
            unit = _UNITS[match["rate"]]
            if unit is Unit.AUDIO_SECONDS and name in _BY_SESSION:
                unit = Unit.SESSION_SECONDS
            decisions = match["tier"] == "decisions"
            row = (f"{name} decisions", STANDARD) if decisions else (name, _TIERS[match["tier"] or ""])
            rates.setdefault(row, {}).setdefault(bool(match["long"]), {})[unit] = _rate(usd)
    search = entry.get("search_context_cost_per_query")
    if isinstance(search, dict) and isinstance(fee := search.get("search_context_size_medium"), Decimal):
        rates.setdefault((name, STANDARD), {}).setdefault(False, {})[Unit.WEB_SEARCH_CALLS] = _rate(fee)
    for (model, tier), by_length in rates.items():
        long = by_length.get(True)
        yield Price(model, tier, date.min, by_length.get(False, {}), long, LONG_FROM if long else None, "litellm")


def _rate(usd: Decimal | int) -> Rate:
    return scaled(Rate(10**12), Fraction(usd))
