"""Spellings: reported counts become disjoint quantities that add up to what was reported, however they are spelled."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.meters.spellings import (
    Cached,
    CacheWrites,
    Details,
    Reported,
    reasoning_tokens,
    split,
    split_images,
    split_speech,
    timed,
)
from billing.usage import Unit, Usage

counts = st.none() | st.integers(0, 5000) | st.integers(0, 10**9)
details = st.none() | st.builds(
    Details,
    cached_tokens=counts,
    cache_write_tokens=counts,
    cache_write_tokens_details=st.none() | st.builds(CacheWrites, ttl_30m_tokens=counts, ttl_12h_tokens=counts),
    audio_tokens=counts,
    image_tokens=counts,
    reasoning_tokens=counts,
)
new_spelling = st.builds(
    Reported, input_tokens=counts, input_tokens_details=details, output_tokens=counts, output_tokens_details=details
)
old_spelling = st.builds(
    Reported,
    prompt_tokens=counts,
    prompt_tokens_details=details,
    completion_tokens=counts,
    completion_tokens_details=details,
)
OUTPUT = (Unit.OUTPUT_TEXT, Unit.OUTPUT_AUDIO, Unit.OUTPUT_IMAGE)


@given(old_spelling | new_spelling)
def test_the_parts_add_up_to_what_was_reported(reported: Reported) -> None:
    usage = split(reported)
    of_input = reported.prompt_tokens if reported.input_tokens is None else reported.input_tokens
    of_output = reported.completion_tokens if reported.output_tokens is None else reported.output_tokens
    if of_input is None:
        assert usage is None
    else:
        assert usage is not None
        assert usage.input_tokens == of_input
        assert sum(usage[unit] for unit in OUTPUT) == (of_output or 0)
        assert usage.input_tokens + (of_output or 0) == sum(usage.values()), "and nothing else is in the bag"


@given(new_spelling)
def test_both_spellings_mean_the_same(reported: Reported) -> None:
    old = Reported(
        prompt_tokens=reported.input_tokens,
        prompt_tokens_details=reported.input_tokens_details,
        completion_tokens=reported.output_tokens,
        completion_tokens_details=reported.output_tokens_details,
    )
    assert split(old) == split(reported)
    assert reasoning_tokens(old) == reasoning_tokens(reported)


TEXT, CACHED, AUDIO = Unit.INPUT_TEXT, Unit.INPUT_CACHED_TEXT, Unit.INPUT_AUDIO
HALF_HOUR, HALF_DAY = Unit.INPUT_CACHE_WRITE_30M, Unit.INPUT_CACHE_WRITE_12H


@pytest.mark.parametrize(
    ("of_input", "expected"),
    [
        ({}, {TEXT: 1000}),
        ({"cached_tokens": 600}, {TEXT: 400, CACHED: 600}),
        ({"cached_tokens": 1000}, {CACHED: 1000}),
        ({"cached_tokens": 1001}, {CACHED: 1000}),
        ({"audio_tokens": 69, "cached_tokens": 0}, {TEXT: 931, AUDIO: 69}),
        ({"cache_write_tokens": 300}, {TEXT: 700, HALF_HOUR: 300}),
        ({"cache_write_tokens": 300, "cache_write_tokens_details": {}}, {TEXT: 700, HALF_HOUR: 300}),
        (
            {"cache_write_tokens": 300, "cache_write_tokens_details": {"ttl_30m_tokens": 100, "ttl_12h_tokens": 200}},
            {TEXT: 700, HALF_HOUR: 100, HALF_DAY: 200},
        ),
        (
            {"cache_write_tokens": 300, "cache_write_tokens_details": {"ttl_12h_tokens": 200}},
            {TEXT: 700, HALF_HOUR: 100, HALF_DAY: 200},
        ),
        ({"cache_write_tokens_details": {"ttl_30m_tokens": 100}}, {TEXT: 900, HALF_HOUR: 100}),
        ({"cache_write_tokens_details": {"ttl_12h_tokens": 100}}, {TEXT: 900, HALF_DAY: 100}),
        (
            {"cached_tokens": 500, "cache_write_tokens": 400, "audio_tokens": 50},
            {TEXT: 50, CACHED: 500, HALF_HOUR: 400, AUDIO: 50},
        ),
        ({"cached_tokens": 800, "cache_write_tokens": 800}, {CACHED: 200, HALF_HOUR: 800}),
    ],
)
def test_what_input_is_made_of(of_input: dict[str, Any], expected: dict[Unit, int]) -> None:
    reported = msgspec.convert({"input_tokens": 1000, "input_tokens_details": of_input}, Reported)
    assert split(reported) == Usage(expected)


def test_reasoning_is_a_remark_and_part_of_the_output() -> None:
    reported = Reported(input_tokens=1, output_tokens=500, output_tokens_details=Details(reasoning_tokens=448))
    assert split(reported) == Usage({TEXT: 1, Unit.OUTPUT_TEXT: 500})
    assert reasoning_tokens(reported) == 448
    assert reasoning_tokens(Reported(input_tokens=1, output_tokens=500)) == 0


def test_a_reported_zero_is_a_usage_and_nothing_reported_is_none() -> None:
    assert split(Reported(prompt_tokens=0, completion_tokens=0)) == Usage()
    assert split(Reported()) is None
    assert split(Reported(completion_tokens=5)) is None


cached = st.none() | st.builds(Cached, cached_image_tokens=counts, cached_text_tokens=counts)
drawing = st.builds(
    Reported,
    input_tokens=counts,
    output_tokens=counts,
    cached_tokens=counts,
    cached_tokens_details=cached,
    input_tokens_details=st.none()
    | st.builds(Details, image_tokens=counts, text_tokens=counts, cached_tokens=counts, cached_tokens_details=cached),
    output_tokens_details=st.none() | st.builds(Details, image_tokens=counts, text_tokens=counts),
)


@given(drawing)
def test_the_parts_of_an_image_add_up_too(reported: Reported) -> None:
    usage = split_images(reported)
    if reported.input_tokens is None:
        assert usage is None
    else:
        assert usage is not None
        assert usage.input_tokens == reported.input_tokens
        assert sum(usage[unit] for unit in OUTPUT) == (reported.output_tokens or 0)


IMAGE, CACHED_IMAGE, DRAWN = Unit.INPUT_IMAGE, Unit.INPUT_CACHED_IMAGE, Unit.OUTPUT_IMAGE


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({"input_tokens": 50, "output_tokens": 1056}, {TEXT: 50, DRAWN: 1056}),
        (
            {"input_tokens": 432, "input_tokens_details": {"image_tokens": 388, "text_tokens": 44}, "output_tokens": 9},
            {TEXT: 44, IMAGE: 388, DRAWN: 9},
        ),
        (
            {
                "input_tokens": 9,
                "output_tokens": 600,
                "output_tokens_details": {"image_tokens": 544, "text_tokens": 56},
            },
            {TEXT: 9, DRAWN: 544, Unit.OUTPUT_TEXT: 56},
        ),
        (  # of what modality the cached tokens are is not said: text first
            {"input_tokens": 100, "input_tokens_details": {"image_tokens": 60, "cached_tokens": 50}},
            {CACHED: 40, IMAGE: 50, CACHED_IMAGE: 10},
        ),
        (
            {
                "input_tokens": 100,
                "input_tokens_details": {"image_tokens": 60},
                "cached_tokens": 50,
                "cached_tokens_details": {"cached_image_tokens": 45, "cached_text_tokens": 5},
            },
            {TEXT: 35, CACHED: 5, IMAGE: 15, CACHED_IMAGE: 45},
        ),
        ({"input_tokens": 0, "output_tokens": 0}, {}),
    ],
)
def test_what_an_image_is_made_of(reported: dict[str, Any], expected: dict[Unit, int]) -> None:
    assert split_images(msgspec.convert(reported, Reported)) == Usage(expected)


def test_speech_is_text_in_and_sound_out() -> None:
    assert split_speech(Reported(input_tokens=14, output_tokens=101)) == Usage({TEXT: 14, Unit.OUTPUT_AUDIO: 101})
    assert split_speech(Reported()) is None


@pytest.mark.parametrize("details", ["input_tokens_details", "input_token_details"])
def test_a_transcripts_sound_is_found_in_either_spelling(details: str) -> None:
    reported = msgspec.convert({"input_tokens": 14, details: {"audio_tokens": 10}, "output_tokens": 3}, Reported)
    assert split(reported) == Usage({TEXT: 4, AUDIO: 10, Unit.OUTPUT_TEXT: 3})


def test_a_runs_and_an_evaluations_cached_tokens_are_found() -> None:
    run = msgspec.convert({"prompt_tokens": 10, "prompt_token_details": {"cached_tokens": 4}}, Reported)
    evaluation = msgspec.convert({"prompt_tokens": 10, "cached_tokens": 4}, Reported)
    assert split(run) == split(evaluation) == Usage({TEXT: 6, CACHED: 4})


@pytest.mark.parametrize(
    ("seconds", "whole"),
    [
        ("0", 0),
        ("0.4", 0),
        ("0.5", 1),
        ("12.499", 12),
        ("12.5", 13),
        ("13.5", 14),
        ("8.470000267028809", 8),
        ("-1", None),
        ("NaN", None),
        ("Infinity", None),
        ("1e9", None),
    ],
)
def test_seconds_are_rounded_once_and_half_up(seconds: str, whole: int | None) -> None:
    expected = None if whole is None else Usage({Unit.AUDIO_SECONDS: whole})
    assert timed(Decimal(seconds), Unit.AUDIO_SECONDS) == expected


def test_no_seconds_are_no_duration() -> None:
    assert timed(None, Unit.AUDIO_SECONDS) is None
