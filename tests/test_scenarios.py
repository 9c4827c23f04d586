"""Requests in the words of the list, with their rates and cost: what is charged is what was worked out by hand."""

import tomllib
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path

import pytest

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome, charge
from billing.money import usd_from_pico
from billing.price_sources import price_book
from billing.prices import PriceBook
from billing.usage import Reading, Unit, Usage

REQUESTS = tomllib.loads((Path(__file__).parent / "tables/scenarios.toml").read_text(encoding="utf-8"))["requests"]

M = 1_000_000
PARTS = {
    "input": (Unit.INPUT_TEXT, M),
    "cached": (Unit.INPUT_CACHED_TEXT, M),
    "write 30m": (Unit.INPUT_CACHE_WRITE_30M, M),
    "write 12h": (Unit.INPUT_CACHE_WRITE_12H, M),
    "output": (Unit.OUTPUT_TEXT, M),
    "audio input": (Unit.INPUT_AUDIO, M),
    "cached audio": (Unit.INPUT_CACHED_AUDIO, M),
    "audio output": (Unit.OUTPUT_AUDIO, M),
    "image input": (Unit.INPUT_IMAGE, M),
    "cached image": (Unit.INPUT_CACHED_IMAGE, M),
    "image output": (Unit.OUTPUT_IMAGE, M),
    "characters": (Unit.INPUT_CHARACTERS, M),
    "audio seconds": (Unit.AUDIO_SECONDS, 60),
    "session seconds": (Unit.SESSION_SECONDS, 60),
    "images": (Unit.IMAGES, 1),
    "video seconds": (Unit.VIDEO_SECONDS, 1),
    "web searches": (Unit.WEB_SEARCH_CALLS, 1_000),
    "web preview searches": (Unit.WEB_SEARCH_PREVIEW_CALLS, 1_000),
    "file searches": (Unit.FILE_SEARCH_CALLS, 1_000),
    "training tokens": (Unit.TRAINING_TOKENS, M),
    "training seconds": (Unit.TRAINING_SECONDS, 3_600),
}


def parts(words: str) -> list[tuple[int, str, Decimal]]:
    """Quantity, unit and rate of each part of a request."""
    split = (part.split(" at ") for part in words.split(", "))
    return [(int(said.split(" ", 1)[0]), said.split(" ", 1)[1], Decimal(rate)) for said, rate in split]


@cache
def book_at(host: str) -> PriceBook:
    return price_book(None, f"{host}.openai.com" if host == "api" else f"{host}.api.openai.com")


def charged(model: str, tier: str, day: str, host: str, words: str) -> Charge:
    """What the request is charged, when an answer reports this usage."""
    at = datetime.fromisoformat(f"{day}T23:59:59+00:00")
    name, _, variant = model.partition(" ")
    usage = Usage({PARTS[unit][0]: quantity for quantity, unit, _ in parts(words)})
    call = Call("fbx_1", at, "any", "POST", "/v1/any", Attribution(), "one", name, tier)
    reading = Reading(usage, name, tier, variant=variant)
    return charge(call, Outcome(at, Basis.REPORTED, 200, reading), book_at(host))


@pytest.mark.parametrize(
    ("what", "model", "tier", "day", "host", "words", "expected"), REQUESTS, ids=lambda said: said[:60]
)
def test_a_request_is_charged_what_its_rates_make(
    what: str, model: str, tier: str, day: str, host: str, words: str, expected: str
) -> None:
    made = charged(model, tier, day, host, words)
    assert not made.unpriced, what
    assert made.cost_pico is not None
    assert usd_from_pico(made.cost_pico) == expected
    rates = {PARTS[unit][0]: rate / PARTS[unit][1] for _, unit, rate in parts(words)}
    assert {line.unit: Decimal(line.rate.pico) / line.rate.per / 10**12 for line in made.lines} == rates


@pytest.mark.parametrize(("words", "expected"), [(row[5], row[6]) for row in REQUESTS], ids=lambda said: said[:60])
def test_the_table_itself_adds_up(words: str, expected: str) -> None:
    costs = (quantity * rate / PARTS[unit][1] for quantity, unit, rate in parts(words))
    assert sum(cost.quantize(Decimal("1e-12"), ROUND_HALF_UP) for cost in costs) == Decimal(expected)


def test_the_table_covers_what_prices_depend_on() -> None:
    combinations = {tuple(row[:6]) for row in REQUESTS}
    assert len(combinations) == len(REQUESTS) >= 200
    assert {row[2] for row in REQUESTS} == {"default", "batch", "flex", "priority", "ultrafast"}
    assert {row[4] for row in REQUESTS} == {"api", "us", "eu", "ae", "au", "in", "jp"}
    assert {unit for row in REQUESTS for _, unit, _ in parts(row[5])} == {*PARTS}
