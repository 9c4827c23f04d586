"""Wanted: what of a request decides the most that it can cost. No content."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a request decides the most it can cost. A number is 0 where what was given is no number to go by.

    `answers` are generated from one input; `elsewhere` names what of the input is not in the body, `tools` what runs
    at OpenAI and brings input of its own, `tool_calls` the most calls of those. `definitions_bytes` are the bytes of
    tools and schemas, `opaque_bytes` those of encrypted input, `prediction_bytes` those of a predicted output.
    `long_cache`: what is cached may be kept longer than 30 minutes.
    """

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    answers: int = 1
    elsewhere: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    tool_calls: int | None = None
    images: int = 0
    audio: bool = False
    definitions_bytes: int = 0
    opaque_bytes: int = 0
    prediction_bytes: int = 0
    long_cache: bool = False


UNREAD = Wanted(answers=0, elsewhere=("a body that is not read",))
"""Of a request whose body is no JSON object, or too large to be read."""
