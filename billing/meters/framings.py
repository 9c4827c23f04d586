"""Framings: how payloads (JSON objects) are cut out of an answer's bytes, whatever cuts the network made."""

from typing import Protocol

WHOLE_CEILING = 16 * 2**20
"""Bytes of a whole body that are kept to be read; of a longer one only the end is, where usage stands."""

TAIL_BYTES = 64 * 2**10
EVENT_CEILING = 16 * 2**20
"""Bytes of one event that are kept; a longer one is passed over."""


class Framing(Protocol):
    """Cuts payloads from bytes. `feed` and `close` return the payloads that are complete by then."""

    def feed(self, data: bytes) -> list[bytes]: ...

    def close(self) -> list[bytes]: ...


class WholeBody:
    """The answer is one JSON object. Past the ceiling its beginning is let go, and `truncated` says so; of one that
    does not begin as an object (sound, subtitles, a film) nothing is kept."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._kept_bytes = 0
        self._is_object: bool | None = None
        self.truncated = False

    def feed(self, data: bytes) -> list[bytes]:
        if self._is_object is None and (begun := data.lstrip()):
            self._is_object = begun.startswith(b"{")
        if not self._is_object:
            return []
        self._parts.append(data)
        self._kept_bytes += len(data)
        if self._kept_bytes > WHOLE_CEILING:
            self.truncated = True
            tail = b"".join(self._parts)[-TAIL_BYTES:]
            self._parts, self._kept_bytes = [tail], len(tail)
        return []

    def close(self) -> list[bytes]:
        body = b"".join(self._parts)
        self._parts = []
        return [_from_usage_on(body[-TAIL_BYTES:]) if self.truncated else body] if body else []


def _from_usage_on(tail: bytes) -> bytes:
    """The end of a long object as an object of its own, from its last `usage` member on.

    A quotation mark inside a JSON string is always escaped, so `"usage"` in the bytes is a member's name.
    """
    start = tail.rfind(b'"usage"')
    return b"{" + tail[start:] if start >= 0 else b""


class EventStream:
    """Server-sent events, after the HTML standard: lines end in LF, CRLF or CR, a blank line ends an event."""

    def __init__(self) -> None:
        self._pending = b""
        self._after_cr = False
        self._dropping = False

    def feed(self, data: bytes) -> list[bytes]:
        if self._after_cr or b"\r" in data:
            data = self._with_lf_only(data)
        pending = self._pending + data if self._pending else data
        *events, self._pending = pending.split(b"\n\n")
        if self._dropping and events:
            del events[0]
            self._dropping = False
        if len(self._pending) > EVENT_CEILING + 1:  # the last byte may be half of the event's end
            self._pending = self._pending[-1:]
            self._dropping = True
        return [payload for event in events if len(event) <= EVENT_CEILING and (payload := _payload(event))]

    def close(self) -> list[bytes]:
        event, self._pending = self._pending, b""
        payload = b"" if self._dropping else _payload(event)
        return [payload] if payload else []

    def _with_lf_only(self, data: bytes) -> bytes:
        if not data:
            return data
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _payload(event: bytes) -> bytes:
    """The event's data: its `data` lines, joined by line feeds."""
    event = event.lstrip(b"\n")
    if event.startswith(b"data: ") and b"\n" not in event:  # as OpenAI writes chat chunks
        return event[6:]
    lines = (line for line in event.split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)
