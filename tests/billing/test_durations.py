"""Durations: what a file's own header says; nothing, when it says nothing that can be meant. Files are made here."""

import io
import struct
import wave
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.durations import LONGEST_SECONDS, seconds_of


def wav(seconds: float, rate: int = 8000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(2 * int(seconds * rate)))
    return file.getvalue()


def mp3(frames: int) -> bytes:
    """MPEG-1 Layer III, 128 kbit/s, 44.1 kHz: 417 bytes and 1,152 samples a frame."""
    return (b"\xff\xfb\x90\xc4" + bytes(413)) * frames


def flac(seconds: int, rate: int = 44_100) -> bytes:
    """A STREAMINFO block: 20 bits of rate, 3 of channels, 5 of sample size, 36 of samples."""
    packed = rate << 44 | 0 << 41 | 15 << 36 | seconds * rate
    return b"fLaC" + b"\x80\x00\x00\x22" + bytes(10) + packed.to_bytes(8, "big") + bytes(16)


def ogg_page(payload: bytes, position: int, kind: int, number: int) -> bytes:
    return b"OggS\0" + struct.pack("<BqIIIB", kind, position, 7, number, 0, 1) + bytes([len(payload)]) + payload


def opus(seconds: int) -> bytes:
    head = b"OpusHead" + struct.pack("<BBHIHB", 1, 1, 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", 0)
    return ogg_page(head, 0, 2, 0) + ogg_page(tags, 0, 0, 1) + ogg_page(b"sound", seconds * 48_000, 4, 2)


def atom(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def m4a(seconds: int) -> bytes:
    header = atom(b"mvhd", bytes(12) + struct.pack(">II", 1000, seconds * 1000) + bytes(80))
    return atom(b"ftyp", b"M4A \0\0\0\0M4A mp42") + atom(b"moov", header) + atom(b"mdat", bytes(64))


def webm(seconds: float, *, double: bool = True, scale: int | None = 1_000_000) -> bytes:
    ticks = seconds * 1e9 / (scale or 1_000_000)
    length = b"\x44\x89\x88" + struct.pack(">d", ticks) if double else b"\x44\x89\x84" + struct.pack(">f", ticks)
    scaled = b"\x2a\xd7\xb1\x83" + scale.to_bytes(3, "big") if scale else b""
    return b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x15\x49\xa9\x66\x90" + scaled + length + b"\x1f\x43\xb6\x75"


@pytest.mark.parametrize(
    ("file", "seconds"),
    [
        (wav(2.5), "2.5"),
        (wav(0.25, 44_100), "0.25"),
        (mp3(1000), "26.122"),
        (flac(7), "7.0"),
        (opus(12), "12.0"),
        (m4a(42), "42.0"),
        (webm(3.25), "3.25"),
        (webm(3.25, double=False), "3.25"),
        (webm(3.25, scale=500_000), "3.25"),
        (webm(3.25, scale=None), "3.25"),
    ],
    ids=["wav", "wav 44.1", "mp3", "flac", "opus", "m4a", "webm", "webm float", "webm scale", "webm default"],
)
def test_every_format_says_how_long_it_plays(file: bytes, seconds: str) -> None:
    found = seconds_of(file)
    assert found is not None
    assert abs(found - Decimal(seconds)) <= Decimal("0.03")
    assert seconds_of(memoryview(file)) == found


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"no sound at all",
        b"\x1a\x45\xdf\xa3 no duration",
        b"\x1a\x45\xdf\xa3\x44\x89\x83abc",
        b"\x1a\x45\xdf\xa3\x44\x89",
        b"RIFF",
        webm(float("nan")),
        webm(-1),
        webm(0),
        webm(LONGEST_SECONDS + 1),
    ],
)
def test_what_says_nothing_that_can_be_meant_is_not_known(file: bytes) -> None:
    assert seconds_of(file) is None


@given(st.sampled_from([wav(0.01), mp3(3), flac(7), opus(1), m4a(4), webm(3)]), st.data())
def test_no_damage_raises(file: bytes, data: st.DataObject) -> None:
    damaged = bytearray(file[: data.draw(st.integers(0, len(file)))])
    for _ in range(data.draw(st.integers(0, 4)) if damaged else 0):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    found = seconds_of(bytes(damaged))
    assert found is None or 0 < found <= LONGEST_SECONDS
