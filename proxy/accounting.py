"""Accounting: what one exchange used. A meter reads the answer as it passes; an estimate speaks where it is silent."""

import asyncio

from billing import jobs, media_bounds
from billing.cashier import LATER, UNMETERED
from billing.charges import Basis, Made, Pending
from billing.estimates import estimated_usage, is_long
from billing.meters.decoding import decoder
from billing.meters.flavours import SILENT, Answered
from billing.meters.framings import EventStream, WholeBody
from billing.meters.meter import Meter
from billing.usage import Reading, Usage
from proxy import headers as http
from proxy import ownership
from proxy.connection import Answer
from proxy.endpoints import Billing
from proxy.outgoing import Outgoing
from proxy.sizing import OBJECT_ID, OBJECT_PATH

_COUNTED = frozenset({"chat", "text_completion", "responses", "compact", "embeddings", "decision"})
"""Operations whose tokens can be counted from what was sent and seen."""

_VARIANTS = {"decision": "decisions"}
"""Operations with a tariff of their own."""


Account = tuple[Basis, Reading | None, str | None]
"""What an exchange used, where that is known from, and why it is not reported if it is not."""


class Accounting:
    """The accounting of one exchange."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._meter: Meter | None = None

    def begin(self, answer: Answer, *, streamed: bool) -> None:
        """The head of an answer that will be billed has come."""
        endpoint, asked = self._outgoing.endpoint, self._outgoing.asked
        mark = ownership.mark(endpoint, asked)
        if endpoint.flavour is not None or mark:
            flavour = endpoint.flavour or SILENT
            coding = decoder(http.text(answer.headers, b"content-encoding"))
            framing = EventStream() if streamed else WholeBody()
            self._meter = Meter(framing, flavour, coding, self._outgoing.requested, mark)

    def feed(self, piece: bytes) -> None:
        """The next bytes of the answer."""
        if self._meter is not None:
            self._meter.feed(piece)

    @property
    def finished(self) -> bool:
        """Whether the usage has been read: what follows in a stream is its end."""
        return self._meter is not None and self._meter.finished

    @property
    def visible_characters(self) -> int:
        """How much text has been seen, some events behind."""
        return self._meter.text_characters if self._meter is not None else 0

    async def close(self, why: str) -> Account:
        """The exchange has ended; `why` is told where its usage was not reported."""
        endpoint = self._outgoing.endpoint
        reading = self._meter.close() if self._meter is not None else None
        if endpoint.billing is Billing.FREE:
            return Basis.FREE, self._started(), None
        if endpoint.billing is Billing.UNMETERED:
            return Basis.UNKNOWN, None, UNMETERED
        if reading is not None:
            return Basis.REPORTED, reading, None
        if self._outgoing.asked.background or endpoint.billing is Billing.LATER:
            return Basis.UNKNOWN, self._started(), LATER
        reading = await self._estimate()
        return (Basis.ESTIMATED if reading else Basis.UNKNOWN), reading, why

    def pending(self, reason: str | None) -> Pending | None:
        """What is to be waited for, where the reason that no usage was reported is that it comes later."""
        if reason != LATER or self._meter is None or not (ident := self._meter.seen().id):
            return None
        if not (OBJECT_ID.fullmatch(ident) and OBJECT_PATH.fullmatch(self._outgoing.path)):
            return None
        return jobs.pending(self._outgoing.endpoint.operation, self._outgoing.path, ident)

    @property
    def payload(self) -> bytes:
        """The payload of the answer that tells of objects."""
        return self._meter.marked if self._meter is not None else b""

    def made(self) -> tuple[Made, ...]:
        """The objects that the answer tells of, as far as it has come."""
        endpoint, asked = self._outgoing.endpoint, self._outgoing.asked
        if self._meter is None or not (self._meter.marked or ownership.makes(endpoint, asked)):
            return ()
        return ownership.told(endpoint, asked, self._meter.marked, self._meter.seen().id)

    def _started(self) -> Reading | None:
        """No usage, but the id of what the call made: a file, or a job whose usage comes later."""
        if self._meter is None or not ownership.makes(self._outgoing.endpoint, self._outgoing.asked):
            return None
        ident = self._meter.seen().id
        return Reading(Usage(), response_id=ident) if ident else None

    async def _estimate(self) -> Reading | None:
        seen = self._meter.seen() if self._meter is not None else Answered()
        output = self._meter.text() if self._meter is not None else ""
        asked, body, operation = self._outgoing.asked, self._outgoing.kept, self._outgoing.endpoint.operation
        if self._outgoing.endpoint.by_request:
            return await asyncio.to_thread(media_bounds.used, operation, self._outgoing.requested, output)
        model = seen.model or asked.model
        if model is None or not asked.readable or operation not in _COUNTED:
            return None
        if is_long(body, output):
            usage = await asyncio.to_thread(estimated_usage, operation, body, output, model)
        else:
            usage = estimated_usage(operation, body, output, model)
        if usage is None:
            return None
        return Reading(usage, model, seen.service_tier, seen.id, variant=_VARIANTS.get(operation, ""))
