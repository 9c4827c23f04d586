"""The dearest: rates and fees that no token and no tool call of a request can exceed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from billing.charges import Call
from billing.prices import STANDARD, Price, PriceBook
from billing.rating import Rate
from billing.usage import Unit
from billing.wanted import Wanted

_FEES: dict[str, Unit | None] = {
    "web_search_preview": Unit.WEB_SEARCH_PREVIEW_CALLS,
    "web_search": Unit.WEB_SEARCH_CALLS,
    "file_search": Unit.FILE_SEARCH_CALLS,
    "mcp": None,
}
"""What a call of a tool that runs at OpenAI costs beside its tokens. The others' fees have no bound."""


_Units = tuple[Unit, ...]

_TEXT: tuple[_Units, _Units] = (
    (Unit.INPUT_TEXT, Unit.INPUT_CACHED_TEXT, Unit.INPUT_CACHE_WRITE_30M),
    (Unit.OUTPUT_TEXT,),
)
_AUDIO: tuple[_Units, _Units] = (Unit.INPUT_AUDIO, Unit.INPUT_CACHED_AUDIO), (Unit.OUTPUT_AUDIO,)
_IMAGES = (Unit.INPUT_IMAGE, Unit.INPUT_CACHED_IMAGE)


@dataclass(frozen=True, slots=True)
class Rates:
    """Picodollars for the dearest token that may occur."""

    input: int
    output: int


def price_of(call: Call, book: PriceBook) -> Price | None:
    """The row of the tier asked for; of the default one where that has none. None without a rate for plain tokens."""
    model = call.requested_model
    if model is None:
        return None
    price = book.find(model, call.requested_tier, call.started_at) or book.find(model, STANDARD, call.started_at)
    needed = {Unit.INPUT_TEXT} if call.operation == "embeddings" else {Unit.INPUT_TEXT, Unit.OUTPUT_TEXT}
    return price if price and needed <= price.rates.keys() else None


def dearest(price: Price, wanted: Wanted, tokens: int) -> Rates:
    """The rates that bound a call of at most so many input tokens: those of long context too, once it may be one."""
    inputs, outputs = _TEXT
    if wanted.long_cache:
        inputs += (Unit.INPUT_CACHE_WRITE_12H,)
    if wanted.audio:
        inputs, outputs = inputs + _AUDIO[0], outputs + _AUDIO[1]
    if wanted.images:
        inputs += _IMAGES
    long = price.long_rates if price.long_from is not None and tokens > price.long_from else None
    found = _most(price.rates, inputs), _most(price.rates, outputs)
    if not long:
        return Rates(*found)
    return Rates(max(found[0], _most(long, inputs)), max(found[1], _most(long, outputs)))


def _most(rates: Mapping[Unit, Rate], units: _Units) -> int:
    most = 0
    for unit in units:
        if (rate := rates.get(unit)) and rate.pico > most * rate.per:
            most = -(-rate.pico // rate.per)
    return most


def _kind(tool: str) -> str | None:
    return next((kind for kind in _FEES if tool.startswith(kind)), None)


def has_known_fee(tool: str, price: Price) -> bool:
    """Whether a call of the tool has a known fee."""
    kind = _kind(tool)
    return kind is not None and (_FEES[kind] is None or _FEES[kind] in price.rates)


def most_fees(price: Price, wanted: Wanted, tool_calls: int) -> int:
    """The most that so many calls of the tools can cost."""
    units = (_FEES[kind] for tool in wanted.tools if (kind := _kind(tool)))
    rates = (price.rates[unit] for unit in units if unit is not None and unit in price.rates)
    return tool_calls * max((math.ceil(rate.pico / rate.per) for rate in rates), default=0)
