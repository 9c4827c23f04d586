"""What a request asks for: the few fields of its JSON body that accounting needs. Never fails on a bad body."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

BODY_CEILING_BYTES = 16 * 2**20
"""A larger body is passed on unread, as it comes in: it costs no memory and its call is metered by its answer."""

_TEXT_CEILING = 256


class _Body(msgspec.Struct):
    model: Any = None
    stream: Any = None
    stream_options: Any = None
    service_tier: Any = None
    background: Any = None
    user: Any = None
    safety_identifier: Any = None
    metadata: Any = None


_BODY = msgspec.json.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class Asked:
    """The fields of a request. `readable` is false when the body was not (all of) a JSON object."""

    readable: bool = False
    model: str | None = None
    stream: bool = False
    include_usage: bool = False
    has_stream_options: bool = False
    service_tier: str | None = None
    background: bool = False
    user: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


NOTHING = Asked()


def read(body: bytes) -> Asked:
    """Read a JSON body."""
    try:
        fields = _BODY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NOTHING
    options = fields.stream_options
    return Asked(
        readable=True,
        model=_text(fields.model),
        stream=fields.stream is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        has_stream_options=options is not None,
        service_tier=_text(fields.service_tier),
        background=fields.background is True,
        user=_text(fields.safety_identifier) or _text(fields.user),
        metadata=fields.metadata if isinstance(fields.metadata, dict) else {},
    )


def _text(value: object) -> str | None:
    """A field as text for the ledger: without NULs and lone surrogates, which no database takes, and not too long."""
    if not isinstance(value, str) or not value:
        return None
    return printable(value)


def printable(value: str) -> str:
    """Text that is safe to store and to show."""
    cut = value[:_TEXT_CEILING]
    if cut.isprintable() and cut.isascii():
        return cut
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cut)
