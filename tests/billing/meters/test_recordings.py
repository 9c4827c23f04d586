"""Recorded exchanges with the real API: the meter reads from each what OpenAI billed."""

import base64
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from billing.meters.flavours import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES
from billing.meters.framings import EventStream, WholeBody
from billing.meters.meter import Meter
from billing.usage import Unit

FOLDER = Path(__file__).parents[4] / "shared" / "recordings"
FLAVOURS = {"chat.completions": CHAT, "completions": COMPLETIONS, "responses": RESPONSES, "embeddings": EMBEDDINGS}
CUT_BYTES = 777


def lines(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(FOLDER / name, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def bytes_of(body: dict[str, str]) -> bytes:
    return body["text"].encode() if "text" in body else base64.b64decode(body.get("b64", ""))


def found(meter: Meter, *, streamed: bool) -> dict[str, Any] | None:
    reading = meter.close()
    if reading is None:
        return None
    usage = reading.usage
    return {
        "input": usage.input_tokens,
        "output": usage[Unit.OUTPUT_TEXT] + usage[Unit.OUTPUT_AUDIO],
        "cached": usage[Unit.INPUT_CACHED_TEXT],
        "writes": usage[Unit.INPUT_CACHE_WRITE_30M] + usage[Unit.INPUT_CACHE_WRITE_12H],
        "reasoning": reading.reasoning_tokens,
        "model": reading.model,
        "tier": reading.service_tier,
        "finished": meter.finished or not streamed,
    }


def billed(expected: dict[str, Any]) -> dict[str, Any] | None:
    usage = expected["usage"]
    if usage is None or usage["input_tokens"] is None:
        return None
    return {
        "input": usage["input_tokens"],
        "output": usage["output_tokens"] or 0,
        "cached": usage["cached_input_tokens"] or 0,
        "writes": usage["cache_write_tokens"] or 0,
        "reasoning": usage["reasoning_tokens"] or 0,
        "model": expected["model_reported"],
        "tier": expected["service_tier_reported"],
        "finished": True,
    }


def test_every_recorded_exchange_is_read_as_it_was_billed() -> None:
    if not FOLDER.is_dir():
        if os.environ.get("CI"):
            pytest.fail("the recordings must be beside the project in CI")
        pytest.skip("no recordings beside the project")
    answers = {line["id"]: line["response"] for line in lines("interactions.jsonl.gz")}
    metered = [line for line in lines("expected.jsonl.gz") if line["endpoint"] in FLAVOURS]
    wrong = []
    for expected in metered:
        answer = answers[expected["id"]]
        streamed, body = bool(answer.get("sse")), bytes_of(answer["body"])
        meter = Meter(EventStream() if streamed else WholeBody(), FLAVOURS[expected["endpoint"]])
        for start in range(0, len(body), CUT_BYTES):
            meter.feed(body[start : start + CUT_BYTES])
        read = found(meter, streamed=streamed)
        if read != billed(expected):
            wrong.append((expected["id"], read, billed(expected)))
    assert wrong == []
    assert len(metered) >= 1244, "fewer exchanges than when this was written"
