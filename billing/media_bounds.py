"""Bounds on media: the most that a request for images, sound or video can use, and what it used where the answer
does not say.

Both are readings (a usage, and the variant it is listed under) from the request's fields alone, so that holds and
estimates of media are one table. Figures: OpenAI's guides where a source is named, else inferences that are marked.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from billing.durations import seconds_of
from billing.meters.media import PARTIAL_IMAGE_TOKENS
from billing.meters.spellings import timed
from billing.requested import Requested, resolution
from billing.tokens import count_output
from billing.usage import Reading, Unit, Usage

USER_AUDIO_TOKENS_PER_SECOND = 10
SPOKEN_AUDIO_TOKENS_PER_SECOND = 20
"""One token per 100 ms of a user's sound and per 50 ms of the assistant's (realtime costs guide)."""

TRANSCRIPT_TOKENS_PER_SECOND = 10
"""More than the fastest speaker says: about 5 words a second. Inferred."""

LEAST_BYTES_PER_SECOND = 750
"""Opus' lowest bit rate, 6 kbit/s (RFC 6716, section 2): no file that speech can be told from is denser."""

SPOKEN_CHARACTERS_PER_SECOND = 15
SLOWEST_CHARACTERS_PER_SECOND = 5
"""Read English: about 150 words a minute; and a third of that for a bound. Inferred."""

INPUT_IMAGE_TOKENS = 65 + 4 * 129 + 6_240
"""A picture to be edited: its base, four tiles at a short side of 512, and the most that high fidelity adds
(vision guide, gpt-image-1)."""

_SQUARE_TOKENS = {"low": 272, "medium": 1_056, "high": 4_160}
_TALL_FACTOR = {"low": (408, 272), "medium": (1_584, 1_056), "high": (6_240, 4_160)}
"""Output tokens of one image by quality at 1024x1024, and how much more at 1024x1536 (image generation guide, models
before gpt-image-2)."""

_NEWER_TOKENS = {"low": 200, "medium": 1_767, "high": 7_034, "xhigh": 14_068, "max": 28_136}
"""The same for gpt-image-2 and later, from its guide prices per image ($0.006, 0.053, 0.211) at $30 per million;
`xhigh` and `max` have none, so each is taken for twice the one before. Inferred."""

_OLDER = ("gpt-image-1", "chatgpt-image")
_PER_IMAGE = ("dall-e",)
_PER_CHARACTER = ("tts-1",)
_BY_TOKENS_HEARD = ("gpt-4o-transcribe", "gpt-4o-mini-transcribe")
_SQUARE_PIXELS = 1024 * 1024
_VIDEO_SECONDS, _VIDEO_SIZE = 4, "720x1280"
"""What a video is when its request does not say (API reference)."""


@dataclass(frozen=True, slots=True)
class _Table:
    most: Callable[[Requested], Reading | None]
    used: Callable[[Requested, str], Reading | None]


def most(operation: str, requested: Requested) -> Reading | None:
    """The most a request can use, or None for an operation that is no media or one that cannot be bounded.

    Takes time in proportion to an uploaded audio file. Input text is bounded by its bytes: a token is one at least.
    """
    table = _TABLES.get(operation)
    return table.most(requested) if table else None


def used(operation: str, requested: Requested, output: str = "") -> Reading | None:
    """What a request used whose answer did not say, or None when that cannot be told.

    `output` is the visible text of the answer. Exact for characters and for images that are priced each; a measured
    file for seconds; an approximation for tokens. Counting takes time: call it from a thread for long texts.
    """
    table = _TABLES.get(operation)
    return table.used(requested, output) if table else None


def image_tokens(model: str | None, quality: str | None, size: str | None) -> int:
    """The output tokens of one image; without a quality the model chooses: up to `high`."""
    older = (model or "").startswith(_OLDER)
    quality = quality if quality in _NEWER_TOKENS else "high"
    if older:
        quality = quality if quality in _SQUARE_TOKENS else "high"
        tall, square = _TALL_FACTOR[quality]
        return _SQUARE_TOKENS[quality] if size == "1024x1024" else math.ceil(_SQUARE_TOKENS[quality] * tall / square)
    sides = (size or "").split("x")
    pixels = _SQUARE_PIXELS
    if len(sides) == 2 and all(side.isdecimal() and len(side) <= 5 for side in sides):
        pixels = int(sides[0]) * int(sides[1])
    return math.ceil(_NEWER_TOKENS[quality] * max(pixels, _SQUARE_PIXELS) / _SQUARE_PIXELS)


def _most_images(requested: Requested) -> Reading:
    if (requested.model or "").startswith(_PER_IMAGE):
        return _images_each(requested)
    text_bytes = len(requested.text.encode(errors="replace"))
    return Reading(_image_usage(requested, text_bytes), requested.model)


def _used_images(requested: Requested, output: str) -> Reading | None:
    if requested.model is None:
        return None
    if requested.model.startswith(_PER_IMAGE):
        return _images_each(requested)
    return Reading(_image_usage(requested, count_output(requested.text, requested.model)), requested.model)


def _image_usage(requested: Requested, text_tokens: int) -> Usage:
    each = image_tokens(requested.model, requested.quality, requested.size)
    each += requested.partial_images * PARTIAL_IMAGE_TOKENS
    return Usage(
        {
            Unit.INPUT_TEXT: text_tokens,
            Unit.INPUT_IMAGE: requested.uploads * INPUT_IMAGE_TOKENS,
            Unit.OUTPUT_IMAGE: requested.images * each,
        }
    )


def _images_each(requested: Requested) -> Reading:
    return Reading(Usage({Unit.IMAGES: requested.images}), requested.model, variant=requested.image_variant)


def _most_transcript(requested: Requested) -> Reading | None:
    heard = _heard_seconds(requested)
    if heard is None:
        if requested.upload_bytes is None:
            return None
        heard = math.ceil(requested.upload_bytes / LEAST_BYTES_PER_SECOND)
    prompt = len(requested.text.encode(errors="replace"))
    return _transcript(requested, heard, prompt, heard * TRANSCRIPT_TOKENS_PER_SECOND)


def _used_transcript(requested: Requested, output: str) -> Reading | None:
    heard, model = _heard_seconds(requested), requested.model
    if heard is None or model is None:
        return None
    by_tokens = model.startswith(_BY_TOKENS_HEARD)
    prompt, said = (count_output(requested.text, model), count_output(output, model)) if by_tokens else (0, 0)
    return _transcript(requested, heard, prompt, said)


def _transcript(requested: Requested, seconds: int, prompt_tokens: int, said_tokens: int) -> Reading:
    if not (requested.model or "").startswith(_BY_TOKENS_HEARD):
        return Reading(Usage({Unit.AUDIO_SECONDS: seconds}), requested.model)
    heard = {Unit.INPUT_AUDIO: seconds * USER_AUDIO_TOKENS_PER_SECOND, Unit.INPUT_TEXT: prompt_tokens}
    return Reading(Usage({**heard, Unit.OUTPUT_TEXT: said_tokens}), requested.model)


def _heard_seconds(requested: Requested) -> int | None:
    measured = timed(seconds_of(requested.upload) if requested.upload else None, Unit.AUDIO_SECONDS)
    return None if measured is None else measured[Unit.AUDIO_SECONDS]


def _most_speech(requested: Requested) -> Reading:
    text_bytes = len(requested.text.encode(errors="replace"))
    return _speech(requested, text_bytes, SLOWEST_CHARACTERS_PER_SECOND)


def _used_speech(requested: Requested, output: str) -> Reading | None:
    if requested.model is None or not requested.text:
        return None
    by_character = requested.model.startswith(_PER_CHARACTER)
    tokens = 0 if by_character else count_output(requested.text, requested.model)
    return _speech(requested, tokens, SPOKEN_CHARACTERS_PER_SECOND)


def _speech(requested: Requested, text_tokens: int, characters_per_second: int) -> Reading:
    characters = len(requested.text)
    if (requested.model or "").startswith(_PER_CHARACTER):
        return Reading(Usage({Unit.INPUT_CHARACTERS: characters}), requested.model)
    spoken = math.ceil(characters * SPOKEN_AUDIO_TOKENS_PER_SECOND / characters_per_second)
    return Reading(Usage({Unit.INPUT_TEXT: text_tokens, Unit.OUTPUT_AUDIO: spoken}), requested.model)


def _video(requested: Requested) -> Reading:
    seconds = _VIDEO_SECONDS if requested.seconds is None else requested.seconds
    variant = resolution(requested.size or _VIDEO_SIZE)
    return Reading(Usage({Unit.VIDEO_SECONDS: seconds}), requested.model or "sora-2", variant=variant)


_IMAGE = _Table(_most_images, _used_images)
_HEARD = _Table(_most_transcript, _used_transcript)
_TABLES = {
    "image_generation": _IMAGE,
    "image_edit": _IMAGE,
    "image_variation": _IMAGE,
    "transcription": _HEARD,
    "translation": _HEARD,
    "speech": _Table(_most_speech, _used_speech),
    "video": _Table(_video, lambda requested, output: _video(requested)),
}
