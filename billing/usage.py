"""Usage: what a call consumed, as a bag of disjoint quantities.

Units carry the names of OpenAI's own Usage API. They never overlap: `input_text_tokens` excludes what was
read from or written to the cache, so adding usages is adding bags and pricing them is linear.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Unit(StrEnum):
    """What is counted. Text output includes reasoning tokens."""

    INPUT_TEXT = "input_text_tokens"
    INPUT_CACHED_TEXT = "input_cached_text_tokens"
    INPUT_CACHE_WRITE_30M = "input_cache_write_30m_tokens"
    INPUT_CACHE_WRITE_12H = "input_cache_write_12h_tokens"
    INPUT_AUDIO = "input_audio_tokens"
    INPUT_CACHED_AUDIO = "input_cached_audio_tokens"
    INPUT_IMAGE = "input_image_tokens"
    INPUT_CACHED_IMAGE = "input_cached_image_tokens"
    OUTPUT_TEXT = "output_text_tokens"
    OUTPUT_AUDIO = "output_audio_tokens"
    OUTPUT_IMAGE = "output_image_tokens"
    INPUT_CHARACTERS = "input_characters"
    AUDIO_SECONDS = "audio_seconds"
    SESSION_SECONDS = "session_seconds"
    IMAGES = "images"
    VIDEO_SECONDS = "video_seconds"
    WEB_SEARCH_CALLS = "web_search_calls"
    WEB_SEARCH_PREVIEW_CALLS = "web_search_preview_calls"
    FILE_SEARCH_CALLS = "file_search_calls"
    CONTAINER_MINUTES = "container_minutes"
    STORAGE_GIB_DAYS = "storage_gib_days"
    TRAINING_TOKENS = "training_tokens"
    TRAINING_SECONDS = "training_seconds"


INPUT_TOKENS = frozenset(
    {
        Unit.INPUT_TEXT,
        Unit.INPUT_CACHED_TEXT,
        Unit.INPUT_CACHE_WRITE_30M,
        Unit.INPUT_CACHE_WRITE_12H,
        Unit.INPUT_AUDIO,
        Unit.INPUT_CACHED_AUDIO,
        Unit.INPUT_IMAGE,
        Unit.INPUT_CACHED_IMAGE,
    }
)
"""The units that add up to the input tokens OpenAI reports (what the long-context threshold looks at)."""

TOKEN_UNITS = INPUT_TOKENS | {Unit.OUTPUT_TEXT, Unit.OUTPUT_AUDIO, Unit.OUTPUT_IMAGE, Unit.TRAINING_TOKENS}
"""The units that are tokens; at every list price one of them costs a whole number of picodollars."""


class Usage(Mapping[Unit, int]):
    """An immutable bag of quantities by unit. A unit that is not in the bag has quantity 0.

    Zeros are not kept: two usages are equal when they would cost the same at every price. Whether a zero was
    reported or nothing was known is not the bag's to say; that is the charge's `basis`.
    """

    __slots__ = ("_quantities",)

    def __init__(self, quantities: Mapping[Unit, int] | None = None) -> None:
        """Raises ValueError for a negative quantity."""
        kept = {unit: quantity for unit, quantity in (quantities or {}).items() if quantity}
        if kept and min(kept.values()) < 0:
            raise ValueError(f"negative quantity in {kept}")
        self._quantities = kept

    def __getitem__(self, unit: Unit) -> int:
        return self._quantities.get(unit, 0)

    def __iter__(self) -> Iterator[Unit]:
        return iter(self._quantities)

    def __len__(self) -> int:
        return len(self._quantities)

    def __contains__(self, unit: object) -> bool:
        return unit in self._quantities

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Usage) and self._quantities == other._quantities

    def __hash__(self) -> int:
        return hash(frozenset(self._quantities.items()))

    def __add__(self, other: Self) -> "Usage":
        return Usage({unit: self[unit] + other[unit] for unit in {**self._quantities, **other._quantities}})

    def __repr__(self) -> str:
        return f"Usage({', '.join(f'{unit}={quantity}' for unit, quantity in self._quantities.items())})"

    @property
    def input_tokens(self) -> int:
        """All input tokens of every kind, as OpenAI's inclusive `input_tokens` counts them."""
        return sum(quantity for unit, quantity in self._quantities.items() if unit in INPUT_TOKENS)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter read from one answer: the usage, and who OpenAI says served it.

    `model` and `service_tier` are None where the answer does not say; `reasoning_tokens` is a remark (they
    are part of the text output already). `variant` is what else the list prices by: an image's quality and size
    (`hd 1024x1792`), a video's resolution (`1080p`), an endpoint with a tariff of its own (`decisions`); its rates
    stand in a row of the model's name and the variant. `besides` is what other models used for the same answer
    (an image made inside a response, the graders of an evaluation).
    """

    usage: Usage
    model: str | None = None
    service_tier: str | None = None
    response_id: str | None = None
    reasoning_tokens: int = 0
    variant: str = ""
    besides: "tuple[Reading, ...]" = ()
    context_tokens: int | None = None
    """Where the usage is that of many calls: the input tokens of the longest, by which a long context is told."""
