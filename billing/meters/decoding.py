"""Content codings: a decoder beside the relay, so that a compressed answer is metered while its bytes pass on.

What cannot be decoded (an unknown coding, a broken stream, a bomb) is not an error here: the decoder falls
silent and the call is estimated like any other that reported no usage.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard

DECODED_CEILING = 256 * 2**20
"""Decoded bytes after which a decoder gives up: no answer of the API is near it, a decompression bomb is."""


class Decoder(Protocol):
    """Turns coded bytes into plain ones, in any cuts."""

    def feed(self, data: bytes) -> bytes:
        """The plain bytes that can be told so far; empty from the moment the stream turns out broken."""


class Identity:
    """No coding."""

    def feed(self, data: bytes) -> bytes:
        return data


class Coded:
    """One content coding, decoded by `step`."""

    def __init__(self, step: Callable[[bytes], bytes]) -> None:
        self._step = step
        self._decoded_bytes = 0
        self._broken = False

    def feed(self, data: bytes) -> bytes:
        if self._broken:
            return b""
        try:
            plain = self._step(data)
        except (zlib.error, brotli.error, zstandard.ZstdError):
            self._broken = True
            return b""
        self._decoded_bytes += len(plain)
        self._broken = self._decoded_bytes > DECODED_CEILING
        return plain


class Undecodable:
    """A coding nobody here knows: nothing can be read."""

    def feed(self, data: bytes) -> bytes:  # noqa: ARG002
        return b""


class _Deflate:
    """`deflate` is zlib by the RFC and raw deflate in the wild: the first bytes tell."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()
        self._first = True

    def step(self, data: bytes) -> bytes:
        if self._first and data:
            self._first = False
            try:
                return self._stream.decompress(data)
            except zlib.error:
                self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._stream.decompress(data)


_CODINGS: dict[str, Callable[[], Decoder]] = {
    "": Identity,
    "identity": Identity,
    "gzip": lambda: Coded(zlib.decompressobj(16 + zlib.MAX_WBITS).decompress),
    "x-gzip": lambda: Coded(zlib.decompressobj(16 + zlib.MAX_WBITS).decompress),
    "deflate": lambda: Coded(_Deflate().step),
    "br": lambda: Coded(brotli.Decompressor().process),
    "zstd": lambda: Coded(zstandard.ZstdDecompressor().decompressobj().decompress),
}


def decoder(content_encoding: str | None) -> Decoder:
    """A fresh decoder for a `Content-Encoding` value; several codings at once are not read."""
    return _CODINGS.get((content_encoding or "").strip().lower(), Undecodable)()
