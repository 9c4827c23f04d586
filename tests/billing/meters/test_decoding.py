"""Decoders give the plain bytes whatever cuts the coded ones came in, and fall silent where there are none."""

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from billing.meters import decoding
from billing.meters.decoding import decoder


def raw_deflate(plain: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(plain) + stream.flush()


def several_zstd_frames(plain: bytes) -> bytes:
    return zstandard.compress(plain[:10]) + zstandard.compress(plain[10:])


def quick_brotli(plain: bytes) -> bytes:
    coded: bytes = brotli.compress(plain, quality=4)
    return coded


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate (zlib)": ("deflate", zlib.compress),
    "deflate (raw)": ("deflate", raw_deflate),
    "brotli": ("br", quick_brotli),
    "zstd": ("zstd", zstandard.compress),
    "zstd, several frames": ("zstd", several_zstd_frames),
}
each_coding = pytest.mark.parametrize(("name", "encode"), CODINGS.values(), ids=CODINGS)

ANSWER = b'data: {"id":"chatcmpl-1","choices":[{"delta":{"content":"ferry"}}],"usage":null}\n\n' * 20
LONG = bytes(random.Random(7).choices(b'{"usage":0.123456789,}', k=3_000_000))


def decoded(name: str | None, pieces: list[bytes]) -> bytes:
    stream = decoder(name)
    return b"".join([stream.feed(piece) for piece in pieces])


@each_coding
def test_every_cut_gives_the_same_bytes(name: str, encode: Callable[[bytes], bytes]) -> None:
    coded = encode(ANSWER)
    for place in range(len(coded) + 1):
        assert decoded(name, [coded[:place], b"", coded[place:]]) == ANSWER, place
    assert decoded(name, [coded[i : i + 1] for i in range(len(coded))]) == ANSWER


@each_coding
@pytest.mark.parametrize("plain", [b"", b"x", LONG, b"ab" * 2**20, bytes(2**22)], ids=["0", "1", "long", "ab", "zeros"])
def test_short_long_and_monotonous_answers(name: str, encode: Callable[[bytes], bytes], plain: bytes) -> None:
    coded = encode(plain)
    for size in (999, 2**16, 2**40):
        assert decoded(name, [coded[start : start + size] for start in range(0, len(coded), size)]) == plain


@each_coding
@pytest.mark.parametrize("beyond", [1, 50, 130, 257])
def test_nothing_stays_inside_when_the_coded_bytes_are_used_up(
    name: str, encode: Callable[[bytes], bytes], beyond: int
) -> None:
    """The last coded byte may hold a few hundred plain ones, more than was asked for at once."""
    plain = bytes(decoding._STEP_BYTES + beyond)
    assert decoded(name, [encode(plain)]) == plain


@pytest.mark.parametrize("coding", ["gzip", "deflate (zlib)", "deflate (raw)"])
@pytest.mark.parametrize("plain", [ANSWER, LONG], ids=["short", "long"])
def test_what_follows_the_end_is_no_part_of_the_answer(coding: str, plain: bytes) -> None:
    name, encode = CODINGS[coding]
    assert decoded(name, [encode(plain) + b"junk", b"more"]) == plain


@given(st.binary(max_size=400), st.sampled_from(list(CODINGS)), st.lists(st.integers(0, 400), max_size=8))
def test_any_bytes_in_any_cuts(plain: bytes, coding: str, places: list[int]) -> None:
    name, encode = CODINGS[coding]
    coded = encode(plain)
    ends = sorted({0, len(coded), *(place % (len(coded) + 1) for place in places)})
    assert decoded(name, [coded[start:end] for start, end in pairwise(ends)]) == plain


@each_coding
def test_a_broken_stream_falls_silent(name: str, encode: Callable[[bytes], bytes]) -> None:
    """What comes out is the beginning of the answer; after the break, nothing, whatever is fed."""
    coded = encode(LONG[:5000])
    for size in (1, 50, 10_000):
        stream = decoder(name)
        assert not stream.broken
        pieces = [coded[start : start + size] for start in range(0, len(coded) // 2, size)]
        first = b"".join([stream.feed(piece[: len(coded) // 2]) for piece in pieces])
        assert first in (LONG[: len(first)], b"")
        for _ in range(3):  # enough for every coding to notice
            stream.feed(b"\xff\x00\xfe\x07" * 64_000)
        assert stream.feed(coded) == b""
        assert stream.feed(b"") == b""
        assert stream.broken


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
def test_plain_bytes_under_a_codings_name_are_nothing(name: str) -> None:
    assert decoded(name, [b'{"usage":{"prompt_tokens":1}}' * 10, b"}"]) == b""


@each_coding
def test_a_bomb_is_seen_before_it_has_gone_off(
    name: str, encode: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "DECODED_CEILING", 2**21)
    bomb = encode(bytes(2**27))
    assert len(bomb) < 2**18
    tracemalloc.start()
    try:
        stream = decoder(name)
        assert stream.feed(bomb) == b""
        assert stream.feed(bomb) == b""
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**25, "sixteen times the ceiling is a quarter of what the bomb holds"


@each_coding
def test_an_answer_of_just_the_ceiling_is_whole(
    name: str, encode: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    coded = encode(ANSWER)
    monkeypatch.setattr(decoding, "DECODED_CEILING", len(ANSWER))
    assert decoded(name, [coded]) == ANSWER
    monkeypatch.setattr(decoding, "DECODED_CEILING", len(ANSWER) - 1)
    assert len(decoded(name, [coded])) < len(ANSWER)


@pytest.mark.parametrize("name", [None, "", "identity", " Identity "])
def test_without_a_coding_bytes_are_as_they_are(name: str | None) -> None:
    assert decoded(name, [ANSWER[:5], b"", ANSWER[5:]]) == ANSWER
    assert not decoder(name).broken


def test_names_are_read_as_http_reads_them() -> None:
    assert decoded(" GZip ", [gzip.compress(ANSWER)]) == ANSWER


@pytest.mark.parametrize("name", ["compress", "gzip, br", "dcz", "exi"])
def test_an_unknown_coding_says_nothing(name: str) -> None:
    assert decoded(name, [gzip.compress(ANSWER), ANSWER]) == b""
    assert decoder(name).broken
