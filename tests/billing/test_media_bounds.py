"""Bounds on media: by the request alone, the most it can use, and what it used where the answer did not say."""

import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.media_bounds import (
    INPUT_IMAGE_TOKENS,
    LEAST_BYTES_PER_SECOND,
    image_tokens,
    most,
    used,
)
from billing.requested import Requested
from billing.usage import Reading, Unit, Usage

TEXT, HEARD, SEEN = Unit.INPUT_TEXT, Unit.INPUT_AUDIO, Unit.INPUT_IMAGE
SAID, SPOKEN, DRAWN = Unit.OUTPUT_TEXT, Unit.OUTPUT_AUDIO, Unit.OUTPUT_IMAGE


def wav(seconds: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(1000)
        sound.writeframes(bytes(1000 * seconds))
    return file.getvalue()


def sound(model: str, file: bytes | None, size: int | None = None, text: str = "") -> Requested:
    return Requested(model, text=text, uploads=1, upload=file, upload_bytes=size)


@pytest.mark.parametrize(
    ("model", "quality", "size", "tokens"),
    [
        ("gpt-image-1", "low", "1024x1024", 272),
        ("gpt-image-1-mini", "low", "1024x1536", 408),
        ("gpt-image-1.5", "medium", "1024x1024", 1056),
        ("gpt-image-1.5", "medium", "1536x1024", 1584),
        ("chatgpt-image-latest", "high", "1024x1024", 4160),
        ("gpt-image-1", "high", "1024x1536", 6240),
        ("gpt-image-1", None, None, 6240),
        ("gpt-image-1", "auto", "auto", 6240),
        ("gpt-image-1", "max", "1024x1024", 4160),
        ("gpt-image-2", "high", "1024x1024", 7034),
        ("gpt-image-2", "high", "512x512", 7034),
        ("gpt-image-2", "low", "2048x2048", 800),
        ("gpt-image-2.5-sunburst", "max", None, 28136),
        ("gpt-image-2", None, "1x1x1", 7034),
        (None, None, None, 7034),
    ],
)
def test_an_image_has_so_many_tokens(model: str | None, quality: str | None, size: str | None, tokens: int) -> None:
    assert image_tokens(model, quality, size) == tokens


@pytest.mark.parametrize(
    ("operation", "requested", "usage", "variant"),
    [
        (
            "image_generation",
            Requested("gpt-image-1", 2, quality="low", size="1024x1024", text="ab"),
            {TEXT: 2, DRAWN: 544},
            "",
        ),
        ("image_generation", Requested("gpt-image-1", 1, 3, "1024x1024", "low", text="é"), {TEXT: 2, DRAWN: 572}, ""),
        (
            "image_edit",
            Requested("gpt-image-1", quality="low", size="1024x1024", uploads=2),
            {SEEN: 2 * INPUT_IMAGE_TOKENS, DRAWN: 272},
            "",
        ),
        (
            "image_generation",
            Requested("dall-e-3", 2, quality="hd", size="1024x1792", text="ab"),
            {Unit.IMAGES: 2},
            "hd 1024x1792",
        ),
        ("image_variation", Requested("dall-e-2", 3, size="256x256", uploads=1), {Unit.IMAGES: 3}, "256x256"),
        ("transcription", sound("whisper-1", wav(90)), {Unit.AUDIO_SECONDS: 90}, ""),
        ("translation", sound("whisper-1", wav(90)), {Unit.AUDIO_SECONDS: 90}, ""),
        (
            "transcription",
            sound("whisper-1", b"no sound", 7500),
            {Unit.AUDIO_SECONDS: 7500 // LEAST_BYTES_PER_SECOND},
            "",
        ),
        ("transcription", sound("gpt-transcribe", None, 7501), {Unit.AUDIO_SECONDS: 11}, ""),
        ("transcription", sound("gpt-4o-transcribe", wav(90), text="ab"), {HEARD: 900, TEXT: 2, SAID: 900}, ""),
        ("speech", Requested("tts-1", text="naïve"), {Unit.INPUT_CHARACTERS: 5}, ""),
        ("speech", Requested("tts-1-hd", text="a" * 100), {Unit.INPUT_CHARACTERS: 100}, ""),
        ("speech", Requested("gpt-4o-mini-tts", text="é" * 10), {TEXT: 20, SPOKEN: 40}, ""),
        ("video", Requested("sora-2-pro", size="1792x1024", seconds=12), {Unit.VIDEO_SECONDS: 12}, "1024p"),
        ("video", Requested("sora-2"), {Unit.VIDEO_SECONDS: 4}, "720p"),
    ],
)
def test_the_most_that_a_request_can_use(
    operation: str, requested: Requested, usage: dict[Unit, int], variant: str
) -> None:
    assert most(operation, requested) == Reading(Usage(usage), requested.model, variant=variant)


@pytest.mark.parametrize(
    ("operation", "requested", "output", "usage"),
    [
        ("speech", Requested("tts-1", text="naïve"), "", {Unit.INPUT_CHARACTERS: 5}),
        ("speech", Requested("gpt-4o-mini-tts", text="Hello world, hello."), "", {TEXT: 5, SPOKEN: 26}),
        ("transcription", sound("whisper-1", wav(7)), "heard", {Unit.AUDIO_SECONDS: 7}),
        ("transcription", sound("gpt-4o-mini-transcribe", wav(7)), "Hello world", {HEARD: 70, SAID: 2}),
        ("image_generation", Requested("dall-e-2", 2, size="512x512"), "", {Unit.IMAGES: 2}),
        (
            "image_generation",
            Requested("gpt-image-1", size="1024x1024", quality="low", text="Hello world"),
            "",
            {TEXT: 2, DRAWN: 272},
        ),
        ("video", Requested("sora-2", seconds=8), "", {Unit.VIDEO_SECONDS: 8}),
    ],
)
def test_what_was_used_where_the_answer_does_not_say(
    operation: str, requested: Requested, output: str, usage: dict[Unit, int]
) -> None:
    found = used(operation, requested, output)
    assert found is not None
    assert (found.usage, found.model) == (Usage(usage), requested.model)


@pytest.mark.parametrize(
    ("operation", "requested"),
    [
        ("speech", Requested("tts-1")),  # a body that was not read
        ("speech", Requested(text="a")),
        ("transcription", sound("whisper-1", b"no sound")),
        ("transcription", sound("whisper-1", None, 7500)),
        ("transcription", Requested(upload=wav(1))),
        ("image_generation", Requested()),
        ("chat", Requested("gpt-4.1", text="a")),
    ],
)
def test_what_cannot_be_told_is_not_told(operation: str, requested: Requested) -> None:
    assert used(operation, requested) is None


def test_what_has_no_bound_has_none() -> None:
    assert most("transcription", Requested("whisper-1")) is None
    assert most("chat", Requested("gpt-4.1")) is None


requests = st.builds(
    Requested,
    st.sampled_from(
        ["gpt-image-1", "gpt-image-2", "dall-e-3", "tts-1", "gpt-4o-mini-tts", "whisper-1", "gpt-4o-transcribe"]
    ),
    st.integers(1, 10),
    st.integers(0, 3),
    st.sampled_from([None, "auto", "1024x1024", "1536x1024", "3840x2160", "odd"]),
    st.sampled_from([None, "auto", "low", "medium", "high", "max", "hd"]),
    st.none() | st.integers(1, 12),
    st.text(max_size=30),
    st.integers(0, 3),
    st.sampled_from([None, wav(3), b"odd"]),
    st.none() | st.integers(0, 5000),
)
operations = ["image_generation", "image_edit", "image_variation", "transcription", "translation", "speech", "video"]


@given(st.sampled_from(operations), requests)
def test_nothing_is_estimated_above_its_bound(operation: str, requested: Requested) -> None:
    found, bound = used(operation, requested), most(operation, requested)
    if found is not None:
        assert bound is not None
        assert (found.model, found.variant) == (bound.model, bound.variant)
        assert all(quantity <= bound.usage[unit] for unit, quantity in found.usage.items())
