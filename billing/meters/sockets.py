"""Sockets: what the messages of a WebSocket say was used. One socket carries many things that are billed by themselves.

A socket meter does no I/O: messages of the upstream in (whole, as text or bytes), `Step`s out. A step says that
something which costs money has begun or ended, and what it used. Wording: OpenAI's SDK
types (realtime, live, responses).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from billing.meters.flavours import DECISIONS, RESPONSES
from billing.meters.meter import Meter
from billing.meters.readers import Answered, an_object, fields, read_as, reported_in
from billing.meters.spellings import split, split_realtime, timed
from billing.requested import NOTHING_REQUESTED
from billing.usage import Reading, Unit

TYPE_WINDOW_BYTES = 4096
"""Where a message is searched for its type before it is decoded; sound has a long tail that says nothing."""


class Thing(StrEnum):
    """What is billed by itself on a socket."""

    RESPONSE = "response"
    TRANSCRIPTION = "transcription"
    DECISION = "decision"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Begun:
    """Something that will be billed is under way; `key` names it on its socket."""

    thing: Thing
    key: str


@dataclass(frozen=True, slots=True)
class Ended:
    """It is over. `reading` is None where its usage was not reported: an estimate or unknown, never free. `seen` and
    `text` are who answered and the visible output until then, for the estimate. One without a `Begun` is whole."""

    thing: Thing
    key: str
    reading: Reading | None
    seen: Answered | None = None
    text: str = ""


Step = Begun | Ended


class SocketMeter(Protocol):
    """Reads one socket. `received` takes each message of the upstream; `close` ends what is still under way when the
    socket has lasted so many seconds, and is called once."""

    def received(self, message: bytes) -> list[Step]: ...

    def close(self, seconds: Decimal) -> list[Step]: ...


class Messages:
    """The framing of sockets: every piece is a payload."""

    def feed(self, data: bytes) -> list[bytes]:
        return [data]

    def close(self) -> list[bytes]:
        return []


class RealtimeMeter:
    """`/v1/realtime`: each response by `response.done`, and beside it each transcription of the input.

    Neither names its model: that of responses is the session's (at first the address's, `model`), that of
    transcriptions stands in the session's audio settings, as they are in force when the event comes.
    """

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._transcriber: str | None = None
        self._open: dict[str, None] = {}

    def received(self, message: bytes) -> list[Step]:
        if not any(name in message for name in _REALTIME):
            return []
        event = fields(message)
        response = an_object(event.get("response"))
        match event.get("type"):
            case (
                "session.created"
                | "session.updated"
                | "transcription_session.created"
                | "transcription_session.updated"
            ):
                self._follow(an_object(event.get("session")))
            case "response.created" if key := _text(response.get("id")):
                self._open[key] = None
                return [Begun(Thing.RESPONSE, key)]
            case "response.done":
                key = _text(response.get("id"))
                self._open.pop(key or "", None)
                return [Ended(Thing.RESPONSE, key or "", self._reading(response), Answered(key, self._model))]
            case "conversation.item.input_audio_transcription.completed":
                return [self._transcribed(event)]
        return []

    def close(self, seconds: Decimal) -> list[Step]:
        opened, self._open = self._open, {}
        return [Ended(Thing.RESPONSE, key, None, Answered(key, self._model)) for key in opened]

    def _follow(self, session: dict[str, Any]) -> None:
        self._model = _text(session.get("model")) or self._model
        listening = an_object(an_object(session.get("audio")).get("input")) or session
        settings = listening.get("transcription", listening.get("input_audio_transcription"))
        self._transcriber = _text(an_object(settings).get("model")) or self._transcriber

    def _reading(self, response: dict[str, Any]) -> Reading | None:
        reported = reported_in(response.get("usage"))
        usage = split_realtime(reported) if reported is not None else None
        return (
            None if usage is None else read_as(Answered(_text(response.get("id")), self._model, None, reported), usage)
        )

    def _transcribed(self, event: dict[str, Any]) -> Ended:
        """Its id is its item's and its content part's: an item may have several."""
        key = f"{event.get('item_id')}/{event.get('content_index', 0)}"
        reported = reported_in(event.get("usage"))
        usage = split(reported) or timed(reported.seconds, Unit.AUDIO_SECONDS) if reported is not None else None
        reading = None if usage is None else Reading(usage, self._transcriber)
        text = _text(event.get("transcript")) or ""
        return Ended(Thing.TRANSCRIPTION, key, reading, Answered(model=self._transcriber), text)


_REALTIME = (
    b'"response.done"',
    b'"response.created"',
    b'session.created"',
    b'session.updated"',
    b'.input_audio_transcription.completed"',
)
"""Types of which a realtime message is worth decoding; a message that only quotes one is seen to be of another type."""


class ResponsesMeter:
    """`/v1/responses`: one response after the other, each as in a stream of server-sent events."""

    def __init__(self) -> None:
        self._meter: Meter | None = None
        self._key = ""

    def received(self, message: bytes) -> list[Step]:
        steps: list[Step] = []
        if b'"response.created"' in message[:TYPE_WINDOW_BYTES] or self._meter is None:
            event = fields(message)
            if event.get("type") == "response.created" or _is_end(event):
                steps += self._end()  # should one have gone without its end
                self._meter, self._key = _response_meter(), _text(an_object(event.get("response")).get("id")) or ""
                steps.append(Begun(Thing.RESPONSE, self._key))
        if self._meter is not None:
            self._meter.feed(message)
            if self._meter.finished:
                steps += self._end()
        return steps

    def close(self, seconds: Decimal) -> list[Step]:
        return list(self._end())

    def _end(self) -> Iterator[Step]:
        meter, self._meter = self._meter, None
        if meter is not None:
            yield _ended(meter, self._key)


class TranslationMeter:
    """`/v1/realtime/translations`: nothing is reported. Billed by the minute of the session: what is read is how long
    the socket lasted, and that is an estimate. Nothing where no session came to be."""

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._began = False

    def received(self, message: bytes) -> list[Step]:
        if self._began or b'"session.created"' not in message:
            return []
        event = fields(message)
        if event.get("type") != "session.created":
            return []
        self._began = True
        self._model = _text(an_object(event.get("session")).get("model")) or self._model
        return [Begun(Thing.SESSION, "")]

    def close(self, seconds: Decimal) -> list[Step]:
        usage = timed(seconds, Unit.SESSION_SECONDS)
        reading = None if usage is None else Reading(usage, self._model)
        return [Ended(Thing.SESSION, "", reading, Answered(model=self._model))] if self._began else []


class LiveMeter:
    """`/v1/live/sessions`: the session by its seconds, which are cumulative (the most counts, not the sum), and by
    themselves the responses and decisions that it delegated."""

    def __init__(self, model: str | None) -> None:
        self._model = model
        self._session: str | None = None
        self._seconds: Decimal | None = None
        self._closed = False
        self._delegated: dict[str, ResponsesMeter] = {}

    def received(self, message: bytes) -> list[Step]:
        if not any(name in message for name in _LIVE):
            return []
        event = fields(message)
        match event.get("type"):
            case "session.started":
                session = an_object(event.get("session"))
                self._model, self._session = _text(session.get("model")) or self._model, _text(session.get("id")) or ""
                return [Begun(Thing.SESSION, self._session)]
            case "session.usage.updated":
                self._count(event)
            case "session.closed":
                self._count(event)
                return self._end()
            case "response.event":
                nested = self._delegated.setdefault(str(event.get("delegation_id")), ResponsesMeter())
                return nested.received(_ENCODE(event.get("event")))
            case "decision.event":
                decision = an_object(an_object(event.get("event")).get("decision"))
                meter = DECISIONS.reader(NOTHING_REQUESTED)
                meter.read(_ENCODE(decision))
                seen = Answered(_text(decision.get("id")), _text(decision.get("model")))
                return [Ended(Thing.DECISION, seen.id or "", meter.reading, seen)]
        return []

    def close(self, seconds: Decimal) -> list[Step]:
        steps = [step for meter in self._delegated.values() for step in meter.close(seconds)]
        return steps + self._end()

    def _count(self, event: dict[str, Any]) -> None:
        reported = reported_in(event.get("usage"))
        if reported is not None and reported.seconds is not None and reported.seconds.is_finite():
            self._seconds = max(reported.seconds, self._seconds or Decimal(0))

    def _end(self) -> list[Step]:
        if self._closed or (self._session is None and self._seconds is None):
            return []
        self._closed = True
        usage = timed(self._seconds, Unit.SESSION_SECONDS)
        reading = None if usage is None else Reading(usage, self._model, response_id=self._session or None)
        return [Ended(Thing.SESSION, self._session or "", reading, Answered(self._session or None, self._model))]


_LIVE = (
    b'"session.started"',
    b'"session.usage.updated"',
    b'"session.closed"',
    b'"response.event"',
    b'"decision.event"',
)
_ENCODE = msgspec.json.encode


def _response_meter() -> Meter:
    return Meter(Messages(), RESPONSES)


def _is_end(event: dict[str, Any]) -> bool:
    return an_object(event.get("response")).get("usage") is not None


def _ended(meter: Meter, key: str) -> Ended:
    return Ended(Thing.RESPONSE, key, meter.close(), meter.seen(), meter.text())


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
