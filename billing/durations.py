"""Durations: how long an audio file plays, for APIs that bill seconds and do not report them.

`tinytag` reads wav, mp3, m4a, mp4, ogg, opus and flac; WebM (Matroska), which it does not know, is read here, from
the Duration that its Info element states.
"""

import struct
from decimal import Decimal
from io import BytesIO

from tinytag import TinyTag
from tinytag.tinytag import TinyTagException

_EBML = b"\x1a\x45\xdf\xa3"
_TIMESTAMP_SCALE = b"\x2a\xd7\xb1"
_DURATION = b"\x44\x89"
_INFO_WITHIN_BYTES = 64 * 2**10
"""How far into a WebM file its Info element is looked for: writers put it first."""

LONGEST_SECONDS = 24 * 3600
"""A longer duration is a damaged header: the API takes files of at most 25 MB."""


def seconds_of(upload: bytes | memoryview) -> Decimal | None:
    """How long an audio or video file plays, or None where it does not say or is not known. Never raises.

    Takes time in proportion to an mp3 without a Xing header (about a millisecond per megabyte).
    """
    try:
        seconds = _webm_seconds(upload) if upload[:4] == _EBML else _tagged_seconds(upload)
    except (TinyTagException, ArithmeticError, LookupError, ValueError, struct.error, OSError):
        return None
    if seconds is None or not 0.001 <= seconds <= LONGEST_SECONDS:
        return None
    return Decimal(str(round(seconds, 3)))


def _tagged_seconds(upload: bytes | memoryview) -> float | None:
    return TinyTag.get(file_obj=BytesIO(upload), tags=False).duration


def _webm_seconds(upload: bytes | memoryview) -> float | None:
    head = bytes(upload[:_INFO_WITHIN_BYTES])
    at = head.find(_DURATION)
    if at < 0:
        return None
    size = head[at + 2] & 0x7F
    stated = head[at + 3 : at + 3 + size]
    ticks: float = struct.unpack({4: ">f", 8: ">d"}[size], stated)[0]
    scale_at = head.find(_TIMESTAMP_SCALE)
    scale = 1_000_000
    if scale_at >= 0:
        width = head[scale_at + 3] & 0x7F
        scale = int.from_bytes(head[scale_at + 4 : scale_at + 4 + width], "big")
    return ticks * scale / 1e9
