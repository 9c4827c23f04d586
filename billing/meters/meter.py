"""A meter: a decoder, a framing and a flavour. It does no I/O and cannot tell a socket from a fixture."""

from billing.meters.decoding import Decoder, Identity
from billing.meters.flavours import Flavour
from billing.meters.framings import Framing
from billing.meters.readers import Answered, fields
from billing.requested import NOTHING_REQUESTED, Requested
from billing.usage import Reading

TEXT_BACKLOG_BYTES = 64 * 2**10
"""Payload bytes kept unread before the visible text is taken out of them: text is a small part of its event."""

TEXT_CEILING_CHARACTERS = 8 * 2**20


class Meter:
    """Reads one answer as its bytes pass by.

    `feed` takes them in any cuts; `finished` turns true with the event that ends a stream (the last bytes may
    leave once the charge is recorded); `close` gives the Reading, or None when the answer reported no usage.
    """

    def __init__(
        self,
        framing: Framing,
        flavour: Flavour,
        decoder: Decoder | None = None,
        requested: Requested = NOTHING_REQUESTED,
        mark: bytes = b"",
    ) -> None:
        self._framing = framing
        self._flavour = flavour
        self._decoder = decoder or Identity()
        self._reader = flavour.reader(requested)
        self._mark = mark
        self.marked = b""
        """The last payload that has `mark` in it: where an answer tells of more than its usage."""
        self._first = b""
        self._last = b""
        self._backlog: list[bytes] = []
        self._backlog_bytes = 0
        self._texts: list[str] = []
        self.text_characters = 0
        """How much visible text has been taken out so far: some events behind."""
        self.finished = False

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the answer."""
        for payload in self._framing.feed(self._decoder.feed(data)):
            self._read(payload)

    def close(self) -> Reading | None:
        """The answer has ended, wherever it was: what it reported."""
        for payload in self._framing.close():
            self._read(payload)
        return self._reader.reading

    def seen(self) -> Answered:
        """Who answered, as far as the answer got: for a charge that must be estimated."""
        if reading := self._reader.reading:
            return Answered(reading.response_id, reading.model, reading.service_tier)
        said = {**_said(self._first), **_said(self._last)}  # deltas and errors do not say it
        return Answered(said.get("id"), said.get("model"), said.get("service_tier"))

    def text(self) -> str:
        """The visible output so far (what an estimate counts). Errors of the upstream are not output."""
        self._take_texts()
        return "".join(self._texts)

    def _read(self, payload: bytes) -> None:
        if payload == b"[DONE]":
            self.finished = True
            return
        if self._mark and self._mark in payload:
            self.marked = payload
        self._reader.read(payload)
        self.finished = self.finished or self._reader.finished
        if self._reader.reading is None:
            self._first = self._first or payload
            self._last = payload
            self._backlog.append(payload)
            self._backlog_bytes += len(payload)
            if self._backlog_bytes > TEXT_BACKLOG_BYTES:
                self._take_texts()
        elif self._backlog:
            self._backlog, self._texts = [], []

    def _take_texts(self) -> None:
        backlog, self._backlog, self._backlog_bytes = self._backlog, [], 0
        for payload in backlog:
            if self.text_characters > TEXT_CEILING_CHARACTERS:
                return
            for text in self._flavour.texts(fields(payload)):
                if isinstance(text, str) and text:
                    self._texts.append(text)
                    self.text_characters += len(text)


def _said(payload: bytes) -> dict[str, str]:
    """The strings in a payload's object, or in the one that it wraps as `response`."""
    outer = fields(payload)
    wrapped = outer.get("response")
    said = wrapped if isinstance(wrapped, dict) else outer
    return {name: value for name, value in said.items() if isinstance(value, str)}
