"""Readers: what one answer's payloads say was used, by the rule that its API follows.

One rule finds the usage of text everywhere: the payload is the object with a non-null `usage`, or the one that
wraps it as `response`. APIs that say more, or say it otherwise, have readers of their own beside this one.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from billing.meters.spellings import Reported, reasoning_tokens, split
from billing.usage import Reading, Usage

BAD_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not JSON or not of the shape that was asked for."""

_ANY = msgspec.json.Decoder(dict[str, Any])


class Answered(msgspec.Struct):
    """Who answered, and what it used: the fields shared by every API's objects."""

    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    usage: Reported | None = None


class Payload(Answered):
    """One payload of an answer: the object itself, or an event that wraps it as `response`."""

    type: str | None = None
    response: Answered | None = None


class Reader(Protocol):
    """Reads the payloads of one answer, in order. `reading` is what they have reported so far; `finished` turns
    true with a stream's last event."""

    reading: Reading | None
    finished: bool

    def read(self, payload: bytes) -> None: ...


_PAYLOAD = msgspec.json.Decoder(Payload)


class TextReader:
    """The one rule. `splits` words its counts as quantities; `final` are the types of a stream's last events."""

    def __init__(
        self, final: frozenset[str] = frozenset(), splits: Callable[[Reported], Usage | None] = split, variant: str = ""
    ) -> None:
        self._final = final
        self._splits = splits
        self._variant = variant
        self.reading: Reading | None = None
        self.finished = False

    def read(self, payload: bytes) -> None:
        if b'"usage"' not in payload or not (self._final or not _says_null(payload)):
            return
        try:
            outer = _PAYLOAD.decode(payload)
        except BAD_JSON:
            return
        self.finished = self.finished or outer.type in self._final
        answered = outer if outer.usage is not None else outer.response
        if answered is None or answered.usage is None:
            return
        usage = self._splits(answered.usage)
        if usage is not None:
            self.reading = read_as(answered, usage, self._variant)


class SilentReader:
    """Reads no usage: for answers that tell of other things."""

    def __init__(self) -> None:
        self.reading: Reading | None = None
        self.finished = False

    def read(self, payload: bytes) -> None:
        """Nothing in it is usage."""


def read_as(answered: Answered, usage: Usage, variant: str = "") -> Reading:
    """The reading of a usage, with who served it."""
    reasoning = reasoning_tokens(answered.usage) if answered.usage is not None else 0
    return Reading(usage, answered.model, answered.service_tier, answered.id, reasoning, variant)


def _says_null(payload: bytes) -> bool:
    """Whether all that is called usage in a payload is null, as in every chunk of a chat's stream but one."""
    return payload.count(b'"usage"') == payload.count(b'"usage":null')


def fields(payload: bytes) -> dict[str, Any]:
    """A payload as an object; empty when it is none."""
    try:
        return _ANY.decode(payload)
    except BAD_JSON:
        return {}


def objects(value: object) -> list[dict[str, Any]]:
    """The objects in what should be a list of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def an_object(value: object) -> dict[str, Any]:
    """What should be an object; empty when it is none."""
    return value if isinstance(value, dict) else {}


def reported_in(value: object) -> Reported | None:
    """What should be a `usage` object; None when it is none."""
    try:
        return msgspec.convert(value, Reported) if isinstance(value, dict) else None
    except msgspec.ValidationError:
        return None
