"""Spellings: how OpenAI's APIs write a `usage`, and the disjoint quantities in it.

Reported counts are inclusive (cached tokens are part of the input) and spelled in several ways; `split` and its
sisters make them disjoint, in this one place. Spellings: OpenAI's SDK types and recorded answers.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated

import msgspec

from billing.usage import Unit, Usage

Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)] | None
"""A count that can be meant: a call of more tokens than this is an error, and its cost would not fit the ledger."""

_SECONDS_CEILING = 10**7


class CacheWrites(msgspec.Struct):
    """How long the written cache entries live."""

    ttl_30m_tokens: Count = None
    ttl_12h_tokens: Count = None


class Cached(msgspec.Struct):
    """Of which modality the cached tokens are, as image generation spells it, and as realtime does."""

    cached_image_tokens: Count = None
    cached_text_tokens: Count = None
    audio_tokens: Count = None
    image_tokens: Count = None
    text_tokens: Count = None


class Details(msgspec.Struct):
    """What an inclusive count is made of."""

    cached_tokens: Count = None
    cached_tokens_details: Cached | None = None
    cache_write_tokens: Count = None
    cache_write_tokens_details: CacheWrites | None = None
    audio_tokens: Count = None
    image_tokens: Count = None
    text_tokens: Count = None
    reasoning_tokens: Count = None


class Reported(msgspec.Struct):
    """A `usage` object: chat's, completions' and embeddings' spelling, that of all newer APIs, of transcripts and
    runs (`…_token_details`), of evaluations (`cached_tokens` beside the counts), and of what is timed."""

    prompt_tokens: Count = None
    prompt_tokens_details: Details | None = None
    prompt_token_details: Details | None = None
    completion_tokens: Count = None
    completion_tokens_details: Details | None = None
    input_tokens: Count = None
    input_tokens_details: Details | None = None
    input_token_details: Details | None = None
    output_tokens: Count = None
    output_tokens_details: Details | None = None
    output_token_details: Details | None = None
    cached_tokens: Count = None
    cached_tokens_details: Cached | None = None
    reasoning_tokens: Count = None
    seconds: Decimal | None = None

    @property
    def of_input(self) -> Details:
        """What the input is made of."""
        return (
            self.input_tokens_details
            or self.prompt_tokens_details
            or self.input_token_details
            or self.prompt_token_details
            or Details(cached_tokens=self.cached_tokens, cached_tokens_details=self.cached_tokens_details)
        )

    @property
    def of_output(self) -> Details:
        """What the output is made of."""
        return (
            self.output_tokens_details
            or self.completion_tokens_details
            or self.output_token_details
            or Details(reasoning_tokens=self.reasoning_tokens)
        )

    @property
    def totals(self) -> tuple[int | None, int]:
        """Input (None when it is not reported) and output tokens."""
        input_tokens = self.prompt_tokens if self.input_tokens is None else self.input_tokens
        output_tokens = self.completion_tokens if self.output_tokens is None else self.output_tokens
        return input_tokens, output_tokens or 0


def split(reported: Reported) -> Usage | None:
    """The disjoint usage in a reported one of text and audio, or None when it reports no input at all.

    The parts always add up to what was reported: parts that claim more than their whole are cut to fit.
    """
    input_tokens, output_tokens = reported.totals
    if input_tokens is None:
        return None
    of_input, of_output = reported.of_input, reported.of_output
    ttl = of_input.cache_write_tokens_details or CacheWrites()
    written_12h = ttl.ttl_12h_tokens or 0
    written_30m = max((of_input.cache_write_tokens or 0) - written_12h, ttl.ttl_30m_tokens or 0)
    input_parts = _parts(
        input_tokens,
        (
            (Unit.INPUT_CACHE_WRITE_12H, written_12h),
            (Unit.INPUT_CACHE_WRITE_30M, written_30m),
            (Unit.INPUT_CACHED_TEXT, of_input.cached_tokens),
            (Unit.INPUT_AUDIO, of_input.audio_tokens),
        ),
        rest=Unit.INPUT_TEXT,
    )
    output_parts = _parts(
        output_tokens,
        ((Unit.OUTPUT_AUDIO, of_output.audio_tokens),),
        rest=Unit.OUTPUT_TEXT,
    )
    return Usage({**input_parts, **output_parts})


def split_images(reported: Reported) -> Usage | None:
    """The same for making images: input is text but for its image tokens, output is images but for its text.

    Cached tokens of no stated modality are taken for text as far as there is text: that never makes them cheaper
    than they are listed.
    """
    input_tokens, output_tokens = reported.totals
    if input_tokens is None:
        return None
    of_input, of_output = reported.of_input, reported.of_output
    images = min(of_input.image_tokens or 0, input_tokens)
    text = input_tokens - images
    cached = of_input.cached_tokens_details or reported.cached_tokens_details
    if cached is None:
        all_cached = of_input.cached_tokens or reported.cached_tokens or 0
        cached = Cached(max(all_cached - text, 0), min(all_cached, text))
    return Usage(
        {
            **_parts(text, ((Unit.INPUT_CACHED_TEXT, cached.cached_text_tokens),), rest=Unit.INPUT_TEXT),
            **_parts(images, ((Unit.INPUT_CACHED_IMAGE, cached.cached_image_tokens),), rest=Unit.INPUT_IMAGE),
            **_parts(output_tokens, ((Unit.OUTPUT_TEXT, of_output.text_tokens),), rest=Unit.OUTPUT_IMAGE),
        }
    )


def split_realtime(reported: Reported) -> Usage | None:
    """The same for a realtime response: text, audio and images in, each of them cached in part; text and audio out.

    Cached tokens of no stated modality are taken for text first, then images, then audio: the dearest go last.
    """
    input_tokens, output_tokens = reported.totals
    if input_tokens is None:
        return None
    of_input = reported.of_input
    audio = min(of_input.audio_tokens or 0, input_tokens)
    images = min(of_input.image_tokens or 0, input_tokens - audio)
    text = input_tokens - audio - images
    cached = of_input.cached_tokens_details
    if cached is None:
        left = of_input.cached_tokens or 0
        of_text, of_images = min(left, text), min(max(left - text, 0), images)
        cached = Cached(text_tokens=of_text, image_tokens=of_images, audio_tokens=left - of_text - of_images)
    return Usage(
        {
            **_parts(text, ((Unit.INPUT_CACHED_TEXT, cached.text_tokens),), rest=Unit.INPUT_TEXT),
            **_parts(audio, ((Unit.INPUT_CACHED_AUDIO, cached.audio_tokens),), rest=Unit.INPUT_AUDIO),
            **_parts(images, ((Unit.INPUT_CACHED_IMAGE, cached.image_tokens),), rest=Unit.INPUT_IMAGE),
            **_parts(output_tokens, ((Unit.OUTPUT_AUDIO, reported.of_output.audio_tokens),), rest=Unit.OUTPUT_TEXT),
        }
    )


def split_speech(reported: Reported) -> Usage | None:
    """The same for speech: text in, sound out."""
    input_tokens, output_tokens = reported.totals
    if input_tokens is None:
        return None
    return Usage({Unit.INPUT_TEXT: input_tokens, Unit.OUTPUT_AUDIO: output_tokens})


def timed(seconds: Decimal | None, unit: Unit) -> Usage | None:
    """A duration as a quantity, or None for what is no duration.

    Rounded once, half up, to the whole second, as OpenAI's price list said of whisper-1 ("rounded to the nearest
    second"); no source rounds otherwise.
    """
    if seconds is None or not seconds.is_finite() or not 0 <= seconds <= _SECONDS_CEILING:
        return None
    return Usage({unit: int(seconds.to_integral_value(ROUND_HALF_UP))})


def _parts(total: int, parts: Iterable[tuple[Unit, int | None]], rest: Unit) -> dict[Unit, int]:
    """Share `total` out among the named parts in order; what is left is `rest`."""
    shared: dict[Unit, int] = {}
    for unit, wanted in parts:
        shared[unit] = min(wanted or 0, total)
        total -= shared[unit]
    return {**shared, rest: total}


def reasoning_tokens(reported: Reported) -> int:
    """Reasoning tokens, a remark: they are part of the output already."""
    return reported.of_output.reasoning_tokens or 0
