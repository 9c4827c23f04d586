"""A meter: a decoder, a framing and a flavour. It does no I/O and cannot tell a socket from a fixture."""

from typing import Any

import msgspec

from billing.meters.decoding import Decoder, Identity
from billing.meters.flavours import Answered, Flavour, Payload, reasoning_tokens, split
from billing.meters.framings import Framing
from billing.usage import Reading

TEXT_BACKLOG_BYTES = 64 * 2**10
"""Payload bytes kept unread before the visible text is taken out of them: text is a small part of its event."""

TEXT_CEILING_CHARACTERS = 8 * 2**20

_PAYLOAD = msgspec.json.Decoder(Payload)
_ANY = msgspec.json.Decoder(dict[str, Any])
_BAD_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Meter:
    """Reads one answer as its bytes pass by.

    `feed` takes them in any cuts; `finished` turns true with the event that ends a stream (the last bytes may
    leave once the charge is recorded); `close` gives the Reading, or None when the answer reported no usage.
    """

    def __init__(self, framing: Framing, flavour: Flavour, decoder: Decoder | None = None) -> None:
        self._framing = framing
        self._flavour = flavour
        self._decoder = decoder or Identity()
        self._reading: Reading | None = None
        self._first = b""
        self._last = b""
        self._backlog: list[bytes] = []
        self._backlog_bytes = 0
        self._texts: list[str] = []
        self._text_characters = 0
        self.finished = False

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the answer."""
        for payload in self._framing.feed(self._decoder.feed(data)):
            self._read(payload)

    def close(self) -> Reading | None:
        """The answer has ended, wherever it was: what it reported."""
        for payload in self._framing.close():
            self._read(payload)
        return self._reading

    def seen(self) -> Answered:
        """Who answered, as far as the answer got: for a charge that must be estimated."""
        if self._reading:
            return Answered(self._reading.response_id, self._reading.model, self._reading.service_tier)
        said = {**_said(self._first), **_said(self._last)}  # deltas and errors do not say it
        return Answered(said.get("id"), said.get("model"), said.get("service_tier"))

    def text(self) -> str:
        """The visible output so far (what an estimate counts). Errors of the upstream are not output."""
        self._take_texts()
        return "".join(self._texts)

    def _read(self, payload: bytes) -> None:
        if b'"usage"' in payload and (self._flavour.final or not _says_null(payload)):
            self._read_usage(payload)
        if payload == b"[DONE]":
            self.finished = True
        elif self._reading is None:
            self._first = self._first or payload
            self._last = payload
            self._backlog.append(payload)
            self._backlog_bytes += len(payload)
            if self._backlog_bytes > TEXT_BACKLOG_BYTES:
                self._take_texts()
        elif self._backlog:
            self._backlog, self._texts = [], []

    def _read_usage(self, payload: bytes) -> None:
        try:
            outer = _PAYLOAD.decode(payload)
        except _BAD_JSON:
            return
        self.finished = self.finished or outer.type in self._flavour.final
        answered = outer if outer.usage is not None else outer.response
        if answered is None or answered.usage is None:
            return
        usage = split(answered.usage)
        if usage is not None:
            self._reading = Reading(
                usage, answered.model, answered.service_tier, answered.id, reasoning_tokens(answered.usage)
            )

    def _take_texts(self) -> None:
        backlog, self._backlog, self._backlog_bytes = self._backlog, [], 0
        for payload in backlog:
            if self._text_characters > TEXT_CEILING_CHARACTERS:
                return
            for text in self._flavour.texts(_fields(payload)):
                if isinstance(text, str) and text:
                    self._texts.append(text)
                    self._text_characters += len(text)


def _says_null(payload: bytes) -> bool:
    """Whether all that is called usage in a payload is null, as in every chunk of a chat's stream but one."""
    return payload.count(b'"usage"') == payload.count(b'"usage":null')


def _said(payload: bytes) -> dict[str, str]:
    """The strings in a payload's object, or in the one that it wraps as `response`."""
    outer = _fields(payload)
    wrapped = outer.get("response")
    fields = wrapped if isinstance(wrapped, dict) else outer
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _fields(payload: bytes) -> dict[str, Any]:
    try:
        return _ANY.decode(payload)
    except _BAD_JSON:
        return {}
