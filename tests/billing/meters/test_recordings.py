"""Recorded exchanges with the real API: the meter reads from each what OpenAI billed."""

import base64
import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from billing import media_bounds
from billing.durations import seconds_of
from billing.meters.flavours import IMAGES, SPEECH, TRANSCRIPTS
from billing.meters.framings import EventStream, WholeBody
from billing.meters.meter import Meter
from billing.requested import Requested
from billing.usage import Unit, Usage
from proxy import endpoints, forms

FOLDER = Path(__file__).parents[4] / "shared" / "recordings"
CUT_BYTES = 777
OUTPUT = (Unit.OUTPUT_TEXT, Unit.OUTPUT_AUDIO, Unit.OUTPUT_IMAGE)
CACHED = (Unit.INPUT_CACHED_TEXT, Unit.INPUT_CACHED_AUDIO, Unit.INPUT_CACHED_IMAGE)


def lines(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(FOLDER / name, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def bytes_of(body: dict[str, str] | None) -> bytes:
    body = body or {}
    return body["text"].encode() if "text" in body else base64.b64decode(body.get("b64", ""))


@cache
def recordings() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each exchange with what must be read from it."""
    if not FOLDER.is_dir():
        if os.environ.get("CI"):
            pytest.fail("the recordings must be beside the project in CI")
        pytest.skip("no recordings beside the project")
    exchanges = {line["id"]: line for line in lines("interactions.jsonl.gz")}
    return [(exchanges[line["id"]], line) for line in lines("expected.jsonl.gz")]


def requested_in(exchange: dict[str, Any]) -> Requested:
    headers = {name.lower(): value for name, value in exchange["request"]["headers"]}
    return forms.requested(forms.read(headers.get("content-type"), bytes_of(exchange["request"].get("body"))))


def meter_of(exchange: dict[str, Any], row: endpoints.Endpoint) -> Meter:
    """A meter that has read the exchange's answer, in pieces."""
    answer = exchange["response"]
    body = bytes_of(answer["body"])
    assert row.flavour is not None
    requested = requested_in(exchange) if row.by_request else Requested()
    meter = Meter(EventStream() if answer.get("sse") else WholeBody(), row.flavour, requested=requested)
    for start in range(0, len(body), CUT_BYTES):
        meter.feed(body[start : start + CUT_BYTES])
    return meter


def found(meter: Meter, *, streamed: bool) -> dict[str, Any] | None:
    reading = meter.close()
    if reading is None:
        return None
    usage = reading.usage
    return {
        "input": usage.input_tokens,
        "output": sum(usage[unit] for unit in OUTPUT),
        "cached": sum(usage[unit] for unit in CACHED),
        "writes": usage[Unit.INPUT_CACHE_WRITE_30M] + usage[Unit.INPUT_CACHE_WRITE_12H],
        "reasoning": reading.reasoning_tokens,
        "images": usage[Unit.INPUT_IMAGE],
        "searches": usage[Unit.WEB_SEARCH_CALLS] + usage[Unit.WEB_SEARCH_PREVIEW_CALLS],
        "besides": len(reading.besides),
        "model": reading.model,
        "tier": reading.service_tier,
        "finished": meter.finished or not streamed,
    }


def billed(expected: dict[str, Any]) -> dict[str, Any] | None:
    usage = expected["usage"]
    if usage is None or usage["input_tokens"] is None:
        return None
    tools = expected.get("tool_usage") or {}
    by_items = (expected["tool_calls"] or {}).get("web_search_actions", {}).get("search", 0)
    return {
        "input": usage["input_tokens"],
        "output": usage["output_tokens"] or 0,
        "cached": usage["cached_input_tokens"] or 0,
        "writes": usage["cache_write_tokens"] or 0,
        "reasoning": usage["reasoning_tokens"] or 0,
        "images": usage["image_input_tokens"] or 0 if expected["endpoint"].startswith("images") else 0,
        "searches": tools.get("web_search", {}).get("num_requests", by_items),
        "besides": int(bool(tools.get("image_gen", {}).get("total_tokens"))),
        "model": expected["model_reported"] or by_request(expected),
        "tier": expected["service_tier_reported"],
        "finished": True,
    }


def by_request(expected: dict[str, Any]) -> str | None:
    """The model of the APIs whose answers do not name it."""
    return expected["model_requested"] if expected["endpoint"].startswith(("images", "audio")) else None


def test_every_recorded_exchange_is_read_as_it_was_billed() -> None:
    """Every exchange of a metered route, errors included: those have nothing to be read."""
    wrong, read_right = [], Counter[str]()
    for exchange, expected in recordings():
        row = endpoints.find(exchange["method"], exchange["path"])
        flavour = row.flavour
        if expected["endpoint"] == "threads":
            row = endpoints.find("POST", "/v1/threads/runs")  # the same run is in the answers to GET
        elif flavour is None:
            continue
        if expected.get("images") and expected["usage"] is None:
            continue  # priced by the image: below
        meter = meter_of(exchange, row)
        read = found(meter, streamed=bool(exchange["response"].get("sse")))
        if read != billed(expected):
            wrong.append((expected["id"], read, billed(expected)))
        else:
            read_right[row.flavour.name if row.flavour else ""] += 1
    assert wrong == []
    assert read_right["chat"] >= 744
    assert read_right["responses"] >= 339
    assert read_right["completions"] >= 95
    assert read_right["embeddings"] >= 66
    assert read_right["runs"] >= 49


def test_images_without_usage_are_counted_and_known_by_their_size() -> None:
    counted = 0
    for exchange, expected in recordings():
        if expected.get("images") and expected["usage"] is None:
            row = endpoints.find(exchange["method"], exchange["path"])
            reading = meter_of(exchange, row).close()
            assert row.flavour is IMAGES
            assert reading is not None
            assert reading.usage == Usage({Unit.IMAGES: expected["images"]})
            assert reading.model == expected["model_requested"]
            asked = expected["image_params"]
            assert reading.variant.removeprefix("hd ") == asked["size"]
            assert reading.variant.startswith("hd ") == (asked.get("quality") == "hd")
            counted += 1
    assert counted >= 11


def test_speech_and_transcripts_without_usage_are_measured() -> None:
    told = Counter[str]()
    for exchange, expected in recordings():
        if not expected["endpoint"].startswith("audio") or expected["mode"] != "incurred":
            continue
        row = endpoints.find(exchange["method"], exchange["path"])
        assert row.flavour in (TRANSCRIPTS, SPEECH)
        assert meter_of(exchange, row).close() is None
        requested = requested_in(exchange)
        used = media_bounds.used(row.operation, requested)
        most = media_bounds.most(row.operation, requested)
        assert used is not None
        assert most is not None
        assert used.model == most.model == expected["model_requested"]
        if row.flavour is SPEECH:
            assert used.usage == most.usage == Usage({Unit.INPUT_CHARACTERS: expected["characters"]})
        else:
            assert requested.upload is not None
            exact = seconds_of(requested.upload)
            assert exact is not None
            assert used.usage == most.usage == Usage({Unit.AUDIO_SECONDS: round(exact)})
        told[row.operation] += 1
    assert told == {"speech": 1, "transcription": 1, "translation": 1}
