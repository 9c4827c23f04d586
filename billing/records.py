"""What a journal's records hold: a call as it was opened, its charge, or that there is none. JSON, free of content."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from billing.charges import Call, Charge
from billing.usage import Unit, Usage

OPEN, CLOSE, RELEASE = 0, 1, 2
"""The kinds of records: a call is about to leave; it ended with a charge; it ended without one."""


class Record(NamedTuple):
    """One record: its number in the journal, what it says of which call, and the JSON that it holds."""

    seq: int
    kind: int
    id: str
    body: bytes


class _Ended(msgspec.Struct):
    ended_at: datetime


class _EndOf(msgspec.Struct):
    outcome: _Ended


def encode_call(call: Call) -> bytes:
    """A call as JSON: what an OPEN record holds."""
    return _ENCODER.encode(call)


def decode_call(body: bytes) -> Call:
    """The call in an OPEN record. Raises one of UNREADABLE."""
    return _CALLS.decode(body)


def encode(charge: Charge) -> bytes:
    """A charge as JSON: what a CLOSE record holds."""
    return _ENCODER.encode(charge)


def decode(body: bytes) -> Charge:
    """The charge in a CLOSE record. Raises one of UNREADABLE."""
    return _CHARGES.decode(body)


def ended_at(body: bytes) -> datetime:
    """When the call of a CLOSE record ended, without reading all of it. Raises one of UNREADABLE."""
    return _ENDS.decode(body).outcome.ended_at


def spelled(text: str) -> bytes:
    """A text as it stands in a record."""
    return _ENCODER.encode(text)


def _encode_usage(value: object) -> object:
    if isinstance(value, Usage):
        return dict(value)
    raise NotImplementedError(type(value).__name__)


def _decode_usage(kind: type[Any], value: Iterable[tuple[str, int]]) -> object:
    if kind is Usage:
        return Usage({Unit(unit): quantity for unit, quantity in dict(value).items()})
    raise NotImplementedError(kind.__name__)


UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError)
"""What the decoding of a damaged record raises, or of one of another version."""

_ENCODER = msgspec.json.Encoder(enc_hook=_encode_usage)
_CALLS = msgspec.json.Decoder(Call)
_CHARGES = msgspec.json.Decoder(Charge, dec_hook=_decode_usage)
_ENDS = msgspec.json.Decoder(_EndOf)
