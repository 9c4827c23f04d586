"""Price tables: the TOML that our own prices and the user's are written in.

One `[[price]]` is a model from a day on, in US dollars as decimal strings (or integers), never floats:

    [[price]]
    model = "gpt-5.4"
    effective_from = 2026-03-05                  # left out: for all days before the model's next row
    source = "where the figures were read"       # or the name of one of the file's [sources]
    verified_on = 2026-08-31
    standard = { input = "2.5", cached = "0.25", output = "15" }     # per 1,000,000 tokens
    long = { input = "5", cached = "0.5", output = "22.5" }          # for calls of over 272,000 input tokens
    batch = { input = "1.25", cached = "0.13", output = "7.5" }      # a tier with figures of its own
    flex = "1/2"                                                     # or as an exact multiple of standard
    priority = { times = "2", long = false }                         # the multiple, without long context

What is listed by more than its model has a row for each variant, named after it: `image = "0.12"` (for one image) in
`model = "dall-e-3 hd 1024x1792"`, `video_second = "0.5"` in `model = "sora-2-pro 1024p"`, and the tariff of
`/decisions` in `model = "gpt-6-luna decisions"`.

What may be wrong says why: `unverified = "…"` of a row, or of its tiers, `unverified = { batch = "…" }`. A price that
was promised up to a day says which: `promised_until = 2026-11-21`; after it the price stands, marked as lapsed.

A tier that is not written has no price. Where a row has no cached price, cached tokens cost what the row's
plain input costs, as OpenAI's list means by "-"; cache writes without a price stay unpriced. A tier without
long-context rates of a model that has them leaves long calls unpriced. `[aliases]` gives models further
names, `[tools]` the fees per 1,000 calls that every row of the file carries (a row's own `tools` replaces
them; false: none). `[[uplift]]` and `[[discount]]` are read by `price_adjustments`.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from billing.money import pico_from_usd
from billing.prices import STANDARD, TIERS, Price, PriceList
from billing.rating import Rate
from billing.usage import TOKEN_UNITS, Unit

Rates = dict[Unit, Rate]

LONG_FROM = 272_000
"""Input tokens over which a whole call has the long-context rates (OpenAI's model pages)."""

_CACHED_OF = {
    Unit.INPUT_TEXT: Unit.INPUT_CACHED_TEXT,
    Unit.INPUT_AUDIO: Unit.INPUT_CACHED_AUDIO,
    Unit.INPUT_IMAGE: Unit.INPUT_CACHED_IMAGE,
}

_PER_MILLION = {
    "input": Unit.INPUT_TEXT,
    "cached": Unit.INPUT_CACHED_TEXT,
    "write_30m": Unit.INPUT_CACHE_WRITE_30M,
    "write_12h": Unit.INPUT_CACHE_WRITE_12H,
    "output": Unit.OUTPUT_TEXT,
    "audio_input": Unit.INPUT_AUDIO,
    "audio_cached": Unit.INPUT_CACHED_AUDIO,
    "audio_output": Unit.OUTPUT_AUDIO,
    "image_input": Unit.INPUT_IMAGE,
    "image_cached": Unit.INPUT_CACHED_IMAGE,
    "image_output": Unit.OUTPUT_IMAGE,
    "characters": Unit.INPUT_CHARACTERS,
    "training": Unit.TRAINING_TOKENS,
}
_KEYS = {key: (unit, 1_000_000) for key, unit in _PER_MILLION.items()} | {
    "audio_minute": (Unit.AUDIO_SECONDS, 60),
    "session_minute": (Unit.SESSION_SECONDS, 60),
    "training_hour": (Unit.TRAINING_SECONDS, 3_600),
    "image": (Unit.IMAGES, 1),
    "video_second": (Unit.VIDEO_SECONDS, 1),
}
_TOOLS = {
    "web_search": (Unit.WEB_SEARCH_CALLS, 1_000),
    "web_search_preview": (Unit.WEB_SEARCH_PREVIEW_CALLS, 1_000),
    "file_search": (Unit.FILE_SEARCH_CALLS, 1_000),
}
TOOL_UNITS = frozenset(unit for unit, _ in _TOOLS.values())
"""What the fees of tool calls are charged by."""

_FEES = {Unit.TRAINING_TOKENS, Unit.TRAINING_SECONDS}
"""What is charged once for a job and has no tiers."""

_ROW_KEYS = {"model", "effective_from", "source", "verified_on", "note", "tools", "long", "long_from"} | {
    "unverified", "promised_until", "standard", *TIERS[1:],
}  # fmt: skip
_FILE_KEYS = {"price", "sources", "aliases", "tools", "uplift", "discount"}


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What a file says for all of its rows."""

    sources: Mapping[str, dict[str, Any]]
    tools: Rates


@dataclass(frozen=True, slots=True)
class Tables:
    """What some TOML documents hold: rows, and other names of models."""

    prices: tuple[Price, ...]
    aliases: Mapping[str, str]


def read_tables(documents: Mapping[str, str]) -> Tables:
    """The rows and aliases of some TOML documents, given as text by file name.

    Raises ValueError naming the file, the line, the row and the reason for whatever is not as the module describes.
    """
    prices: list[Price] = []
    aliases: dict[str, str] = {}
    for where, text in documents.items():
        try:
            table = tomllib.loads(text)
            rows = _shaped(table)
            defaults = _Defaults(table.get("sources", {}), _rates(table.get("tools", {}), _TOOLS))
            aliases |= table.get("aliases", {})
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        for number, row in enumerate(rows, 1):
            try:
                prices.extend(_prices(row, defaults))
            except ValueError as error:
                model = row.get("model", "no model")
                raise ValueError(f"{place(where, text, 'price', number)} ({model}): {error}") from None
    return Tables(tuple(prices), aliases)


def read_price_list(name: str, documents: Mapping[str, str]) -> PriceList:
    """The price list in some TOML documents.

    Raises what `read_tables` raises, and ValueError for two rows of one model, tier and day, and for an alias of a
    model that has no row.
    """
    tables = read_tables(documents)
    try:
        return PriceList(name, tables.prices, tables.aliases)
    except ValueError as error:
        raise ValueError(f"{', '.join(documents)}: {error}") from None


def place(where: str, text: str, kind: str, number: int) -> str:
    """Where the so-manieth table of a kind stands: file, line (where it has a header of its own), number."""
    headers = [line for line, said in enumerate(text.splitlines(), 1) if re.match(rf"\s*\[\[\s*{kind}\s*\]\]", said)]
    line = f", line {headers[number - 1]}" if number <= len(headers) else ""
    return f"{where}{line}, {kind} {number}"


def _shaped(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a file, once its parts are known to be what they should be."""
    refuse_unknown(table, _FILE_KEYS)
    rows, sources, aliases = table.get("price", []), table.get("sources", {}), table.get("aliases", {})
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("every price is a table of its own, headed [[price]]")
    if not isinstance(aliases, dict) or not all(isinstance(model, str) for model in aliases.values()):
        raise ValueError("[aliases] maps a name in quotes to a model in quotes")
    if not isinstance(sources, dict) or not all(isinstance(source, dict) for source in sources.values()):
        raise ValueError("[sources] holds tables with text and verified_on")
    for source in sources.values():
        refuse_unknown(source, {"text", "verified_on"})
    return rows


def _prices(row: dict[str, Any], defaults: _Defaults) -> Iterator[Price]:
    """One `Price` for every tier that the row names."""
    refuse_unknown(row, _ROW_KEYS)
    model, source, long_from = row.get("model"), row.get("source", ""), row.get("long_from", LONG_FROM)
    if not isinstance(model, str) or not model or not isinstance(source, str):
        raise ValueError("model and source must be text")
    if type(long_from) is not int or long_from < 0:
        raise ValueError(f"long_from = {long_from!r} is not a number of tokens")
    cited = defaults.sources.get(source, {"text": source})
    verified_on = row.get("verified_on", cited.get("verified_on"))
    promised, doubts = row.get("promised_until"), _doubts(row.get("unverified", {}))
    tools = row.get("tools", {})
    extra = defaults.tools if tools == {} else _rates(tools, _TOOLS) if tools else {}
    for tier, rates, long_rates, remark in _tiers(row):
        yield Price(
            model,
            tier,
            day(row.get("effective_from", date.min)),
            rates | extra,
            None if long_rates is None else long_rates | (extra if long_rates else {}),
            None if long_rates is None else long_from,
            cited.get("text", source),
            None if verified_on is None else day(verified_on),
            "; ".join(filter(None, (row.get("note", ""), remark))),
            doubts.get(tier, ""),
            None if promised is None else day(promised),
        )


def _doubts(given: object) -> dict[str, str]:
    """By tier, why its rates may be wrong."""
    by_key: dict[str, Any] = given if isinstance(given, dict) else dict.fromkeys(("standard", *TIERS[1:]), given)
    refuse_unknown(by_key, {"standard", *TIERS[1:]})
    if not all(isinstance(why, str) and why for why in by_key.values()):
        raise ValueError('unverified says why, in text: unverified = "…", or for a tier { batch = "…" }')
    return {STANDARD if key == "standard" else key: why for key, why in by_key.items()}


def _tiers(row: dict[str, Any]) -> Iterator[tuple[str, Rates, Rates | None, str]]:
    """The tiers of a row: name, rates, long-context rates, and what was derived instead of read."""
    standard = with_cached(_rates(row.get("standard", {})))
    long = with_cached(_rates(row["long"])) if "long" in row else None
    if standard:
        yield STANDARD, standard, long, _remark(row["standard"])
    elif long is not None:
        raise ValueError("long-context rates without standard ones")
    given = {tier: row[tier] for tier in TIERS if tier in row}
    for tier, figures in given.items():
        figures = figures if isinstance(figures, dict) else {"times": figures}
        if "times" in figures:
            refuse_unknown(figures, {"times", "long"})
            if not standard:
                raise ValueError(f"{tier} is a multiple of standard rates that the row does not have")
            times, long_too = multiple(figures["times"]), figures.get("long", True)
            long_rates = None if long is None else _multiplied(long, times) if long_too else {}
            remarks = filter(None, (_remark(row["standard"]), f"{times} × standard"))
            yield tier, _multiplied(standard, times), long_rates, "; ".join(remarks)
        else:
            own = {key: amount for key, amount in figures.items() if key != "long"}
            long_rates = with_cached(_rates(figures["long"])) if "long" in figures else None if long is None else {}
            yield tier, with_cached(_rates(own)), long_rates, _remark(own)
    if not standard and not given:
        raise ValueError("no tier has a price")


def _rates(given: object, known: Mapping[str, tuple[Unit, int]] = _KEYS) -> Rates:
    if not isinstance(given, dict):
        raise ValueError(f'rates are a table such as {{ input = "2.5", output = "10" }}, not {given!r}')  # noqa: TRY004
    refuse_unknown(given, set(known))
    return {known[key][0]: _rate(key, amount, *known[key]) for key, amount in given.items()}


def _rate(key: str, amount: object, unit: Unit, per: int) -> Rate:
    if isinstance(amount, float):
        raise ValueError(f'{key} = {amount} is not exact; write it in quotes: {key} = "{amount}"')  # noqa: TRY004
    if isinstance(amount, bool) or not isinstance(amount, str | int):
        raise ValueError(f"{key} = {amount!r} is not an amount in US dollars")  # noqa: TRY004
    pico = pico_from_usd(amount)
    if pico < 0:
        raise ValueError(f"{key} = {amount!r} is negative")
    return whole(unit, Rate(pico, per))


def whole(unit: Unit, rate: Rate) -> Rate:
    """The rate itself. Raises ValueError if a token would not cost a whole number of picodollars at it."""
    if unit in TOKEN_UNITS and rate.pico % rate.per:
        raise ValueError(f"the rate of {unit} is finer than one picodollar a token")
    return rate


def with_cached(rates: Rates) -> Rates:
    """The rates, where cached tokens without a price of their own cost what plain input costs."""
    return {cached: rates[plain] for plain, cached in _CACHED_OF.items() if plain in rates} | rates


def _remark(given: Mapping[str, object]) -> str:
    return "" if "cached" in given or "input" not in given else "no cached price listed: inferred, plain input rate"


def multiple(times: object) -> Fraction:
    """An exact multiple, from text such as "1/2", "5/2" or "0.9"."""
    try:
        factor = Fraction(times) if isinstance(times, str | int) else None
    except (ValueError, ZeroDivisionError):
        factor = None
    if factor is None or factor <= 0 or isinstance(times, bool):
        raise ValueError(f'{times!r} is not an exact multiple such as "1/2"')
    return factor


def _multiplied(rates: Rates, times: Fraction) -> Rates:
    multiplied = {}
    for unit in rates.keys() - _FEES:
        pico = rates[unit].pico * times
        if pico.denominator != 1:
            raise ValueError(f"{times} × the rate of {unit} is not a whole number of picodollars")
        multiplied[unit] = whole(unit, Rate(pico.numerator, rates[unit].per))
    return multiplied


def day(given: object) -> date:
    """A day as TOML has it, or as text. Raises ValueError for anything else."""
    if isinstance(given, str):
        return date.fromisoformat(given)
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    raise ValueError(f"{given!r} is not a date such as 2026-08-31")


def refuse_unknown(given: Mapping[str, object], known: set[str]) -> None:
    """Raises ValueError for a key that is not one of the known."""
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
