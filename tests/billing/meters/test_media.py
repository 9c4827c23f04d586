"""Media: images, sound, videos and other work, by what their answers say and what was asked for."""

import json
from typing import Any

import pytest

from billing.meters.flavours import EVALUATIONS, IMAGES, RUNS, TRANSCRIPTS, VIDEOS, Flavour
from billing.requested import Requested
from billing.usage import Reading, Unit, Usage

DRAWN = {"input_tokens": 5, "output_tokens": 272}


def read(flavour: Flavour, *payloads: Any, requested: Requested | None = None) -> Reading | None:
    reader = flavour.reader(requested or Requested("asked"))
    for payload in payloads:
        reader.read(json.dumps(payload).encode())
    return reader.reading


def images(text: int, output: int) -> Reading:
    return Reading(Usage({Unit.INPUT_TEXT: text, Unit.OUTPUT_IMAGE: output}), "asked")


PARTIAL = {"type": "image_generation.partial_image", "b64_json": "AAAA"}
COMPLETED = {"type": "image_generation.completed", "usage": DRAWN}


@pytest.mark.parametrize(
    ("payloads", "reading"),
    [
        ([COMPLETED], images(5, 272)),
        ([PARTIAL, PARTIAL, COMPLETED], images(5, 472)),
        ([COMPLETED, COMPLETED], images(10, 544)),
        ([PARTIAL, COMPLETED, PARTIAL, COMPLETED], images(10, 744)),
        ([PARTIAL], None),
        ([COMPLETED, {"data": [{"url": "a"}]}], images(5, 272)),
        ([{"type": "error", "error": {"message": "usage"}}], None),
        ([{**COMPLETED, "model": "told"}], Reading(Usage({Unit.INPUT_TEXT: 5, Unit.OUTPUT_IMAGE: 272}), "told")),
    ],
)
def test_a_stream_of_images_adds_up(payloads: list[Any], reading: Reading | None) -> None:
    assert read(IMAGES, *payloads) == reading


@pytest.mark.parametrize(
    ("quality", "size", "variant"),
    [
        (None, None, "1024x1024"),
        ("auto", "auto", "1024x1024"),
        ("standard", "512x512", "512x512"),
        ("hd", "1792x1024", "hd 1792x1024"),
    ],
)
def test_images_without_usage_are_counted_as_asked(quality: str | None, size: str | None, variant: str) -> None:
    requested = Requested("dall-e-3", 9, size=size, quality=quality)
    counted = Reading(Usage({Unit.IMAGES: 2}), "dall-e-3", variant=variant)
    assert read(IMAGES, {"created": 1, "data": [{"url": "a"}, {"url": "b"}]}, requested=requested) == counted
    assert read(IMAGES, {"created": 1, "data": []}, requested=requested) is None
    assert read(IMAGES, {"created": 1, "data": "odd"}, requested=requested) is None


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"usage": {"type": "duration", "seconds": 7.5}}, {Unit.AUDIO_SECONDS: 8}),
        ({"usage": {"type": "duration", "seconds": 7.5}, "duration": 99}, {Unit.AUDIO_SECONDS: 8}),
        (
            {"usage": {"type": "tokens", "input_tokens": 9, "output_tokens": 2}, "duration": 9},
            {Unit.INPUT_TEXT: 9, Unit.OUTPUT_TEXT: 2},
        ),
        ({"duration": "2.95"}, {Unit.AUDIO_SECONDS: 3}),
        ({"duration": 0}, {}),
        ({"text": "a"}, None),
        ({"duration": -5}, None),
        ({"duration": "long"}, None),
    ],
)
def test_a_transcript_is_billed_by_tokens_or_seconds(answer: Any, usage: dict[Unit, int] | None) -> None:
    assert read(TRANSCRIPTS, answer) == (None if usage is None else Reading(Usage(usage), "asked"))


@pytest.mark.parametrize(
    ("size", "variant"),
    [
        ("1280x720", "720p"),
        ("720x1280", "720p"),
        ("1792x1024", "1024p"),
        ("1080x1920", "1080p"),
        ("big", ""),
        (None, ""),
    ],
)
def test_a_video_is_its_seconds_at_a_resolution(size: str | None, variant: str) -> None:
    video = {"id": "video_1", "object": "video", "model": "sora-2-pro", "seconds": "12", "size": size}
    expected = Reading(Usage({Unit.VIDEO_SECONDS: 12}), "sora-2-pro", None, "video_1", variant=variant)
    assert read(VIDEOS, video) == expected
    assert read(VIDEOS, {**video, "object": "video.deleted"}) is None


def test_a_run_is_not_billed_with_its_steps() -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 2}
    step, run = {"object": "thread.run.step", "usage": usage}, {"object": "thread.run", "model": "m", "usage": usage}
    assert read(RUNS, step) is None
    assert read(RUNS, run, step) == Reading(Usage({Unit.INPUT_TEXT: 4, Unit.OUTPUT_TEXT: 2}), "m")


def test_an_evaluation_of_which_one_model_cannot_be_read_is_not_read() -> None:
    good = {"model_name": "m", "prompt_tokens": 4, "completion_tokens": 2}
    assert read(EVALUATIONS, {"per_model_usage": [good]}) == Reading(
        Usage({Unit.INPUT_TEXT: 4, Unit.OUTPUT_TEXT: 2}), "m"
    )
    assert read(EVALUATIONS, {"per_model_usage": [good, {"model_name": "n"}]}) is None
    assert read(EVALUATIONS, {"per_model_usage": None}) is None
