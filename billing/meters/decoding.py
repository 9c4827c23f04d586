"""Content codings: a decoder beside the relay, so that a compressed answer is metered while its bytes pass on.

What cannot be decoded (an unknown coding, a broken stream, a bomb) is not an error here: the decoder falls
silent and the call is estimated like any other that reported no usage.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import brotli
import zstandard

DECODED_CEILING = 256 * 2**20
"""Decoded bytes after which a decoder gives up: no answer of the API is near it, a decompression bomb is."""

_STEP_BYTES = 2**20
"""Plain bytes asked of zlib or brotli at once, so that a bomb is seen before it has gone off."""

_SLICE_BYTES = 256
"""Coded bytes given to zstd at once, which takes no limit: they hold at most 64 blocks of 128 KiB."""


class Decoder(Protocol):
    """Turns coded bytes into plain ones, in any cuts."""

    @property
    def broken(self) -> bool:
        """Whether the stream turned out to be none that can be decoded: what is missing will not come."""

    def feed(self, data: bytes) -> bytes:
        """The plain bytes that can be told so far; empty from the moment the stream turns out broken."""


class Identity:
    """No coding."""

    broken = False

    def feed(self, data: bytes) -> bytes:
        return data


class Coded:
    """One content coding, decoded by `steps` a bounded piece at a time."""

    def __init__(self, steps: Callable[[bytes], Iterator[bytes]]) -> None:
        self._steps = steps
        self._decoded_bytes = 0
        self._broken = False

    @property
    def broken(self) -> bool:
        return self._broken

    def feed(self, data: bytes) -> bytes:
        if self._broken or not data:
            return b""
        pieces: list[bytes] = []
        try:
            for plain in self._steps(data):
                self._decoded_bytes += len(plain)
                if self._decoded_bytes > DECODED_CEILING:
                    self._broken = True
                    return b""
                pieces.append(plain)
        except (zlib.error, brotli.error, zstandard.ZstdError):
            self._broken = True
        return b"".join(pieces)


class Undecodable:
    """A coding nobody here knows: nothing can be read."""

    broken = True

    def feed(self, data: bytes) -> bytes:
        return b""


class _Zlib:
    """gzip, zlib and raw deflate, by `window_bits` (see zlib's manual)."""

    def __init__(self, window_bits: int) -> None:
        self._stream = zlib.decompressobj(window_bits)

    def steps(self, data: bytes) -> Iterator[bytes]:
        plain = b""
        while not self._stream.eof and (data or len(plain) == _STEP_BYTES):  # a full piece: more may wait inside
            plain = self._stream.decompress(data, _STEP_BYTES)
            data = self._stream.unconsumed_tail
            yield plain


class _Deflate:
    """`deflate` is zlib by the RFC and raw deflate in the wild: the first two bytes tell."""

    def __init__(self) -> None:
        self._head = b""
        self._stream: _Zlib | None = None

    def steps(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            data = self._head = self._head + data
            if len(data) < 2:
                return
            is_zlib = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0
            self._stream = _Zlib(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        yield from self._stream.steps(data)


class _Brotli:
    def __init__(self) -> None:
        self._stream: Any = brotli.Decompressor()

    def steps(self, data: bytes) -> Iterator[bytes]:
        while plain := self._stream.process(data, output_buffer_limit=_STEP_BYTES):
            data = b""
            yield plain


class _Zstd:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)

    def steps(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _SLICE_BYTES):
            yield self._stream.decompress(data[start : start + _SLICE_BYTES])


_CODINGS: dict[str, Callable[[], Decoder]] = {
    "": Identity,
    "identity": Identity,
    "gzip": lambda: Coded(_Zlib(16 + zlib.MAX_WBITS).steps),
    "x-gzip": lambda: Coded(_Zlib(16 + zlib.MAX_WBITS).steps),
    "deflate": lambda: Coded(_Deflate().steps),
    "br": lambda: Coded(_Brotli().steps),
    "zstd": lambda: Coded(_Zstd().steps),
}


def decoder(content_encoding: str | None) -> Decoder:
    """A fresh decoder for a `Content-Encoding` value; several codings at once are not read."""
    return _CODINGS.get((content_encoding or "").strip().lower(), Undecodable)()
