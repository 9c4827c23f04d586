"""The life of a request. Every decision of the request path is an `if` here.

An exchange ends in exactly one of three ways: settled by what OpenAI reported, settled by an estimate (or as
unknown) and marked so, or released because OpenAI never took it. A client that hangs up changes nothing of that:
aiohttp does not cancel its handlers, and the answer is read on.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from billing.allowances import Allowance
from billing.cashier import Cashier
from billing.charges import Basis, Call, Charge, Outcome
from billing.money import usd_from_pico
from proxy import errors
from proxy import headers as http
from proxy.accounting import Accounting
from proxy.asked import printable
from proxy.authorisation import Authorisation
from proxy.connection import Answer, BrokenOff
from proxy.endpoints import Billing
from proxy.followups import Followups
from proxy.isolation import Isolation
from proxy.metrics import Metrics
from proxy.outgoing import Outgoing
from proxy.relay import Client, ClientBrokeOff
from proxy.rewriting import UsageRemover
from proxy.settings import Settings
from proxy.upstream import Unreachable, Upstream

HELD_CEILING_BYTES = 2**20
"""Up to this size a JSON answer waits to be priced, so that its head can carry the cost."""

DRAIN_CEILING = 1000
"""Answers whose client has left that are read on at the same time; one more is given up and estimated."""

CLIENT_CLOSED = 499
"""The status counted for an app that hung up before its request was whole (nginx's number for it)."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time and ids come from: arguments, so that tests decide them. `seconds` is monotonic."""

    now: Callable[[], datetime]
    seconds: Callable[[], float]
    new_id: Callable[[], str]


@dataclass(slots=True, eq=False)
class Surroundings:
    """What every exchange of a replica shares, and what it can see of the others."""

    settings: Settings
    clock: Clock
    upstream: Upstream
    cashier: Cashier
    metrics: Metrics
    authorisation: Authorisation
    isolation: Isolation
    followups: Followups
    open: "set[Exchange]" = field(default_factory=set)
    draining: int = 0


class Exchange:
    """One request and its answer, from admission to settlement."""

    def __init__(
        self, around: Surroundings, client: Client, outgoing: Outgoing, call: Call, allowance: Allowance | None = None
    ) -> None:
        self._around = around
        self._client = client
        self._outgoing = outgoing
        self._call = call
        self._accounting = Accounting(outgoing)
        self._allowance = allowance
        self._answer: Answer | None = None
        self._paid_characters = allowance.step_characters if allowance else 0
        self._charge: Charge | None = None
        self._released = False
        self._given_up: str | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.arrived_at: float | None = None
        """When the answer's head had come, or all of an answer that was held."""

    @property
    def charge(self) -> Charge | None:
        """What was charged, once it was."""
        return self._charge

    @property
    def basis(self) -> Basis:
        """The basis of what was charged; a released call was free."""
        return self._charge.outcome.basis if self._charge else Basis.FREE

    async def run(self) -> int:
        """Send the request, relay the answer, settle. Returns the status that was answered."""
        client, upstream = self._client, self._around.upstream
        self._around.open.add(self)
        try:
            answer = self._answer = await upstream.send(
                self._outgoing.head,
                self._outgoing.body,
                bodiless=client.method == "HEAD",
                informational=client.inform,
            )
            client.when_gone(self._client_left)
            if client.gone:  # while the connection was made
                self._client_left()
            await answer.begun()
            await self._relay(answer)
        except Unreachable as error:
            await self._release()
            return self._refuse(errors.upstream_unreachable(upstream.origin, str(error)))
        except BrokenOff as error:
            return await self._broken_off(error)
        else:
            return answer.status
        finally:
            self._around.open.discard(self)
            client.when_gone(None)
            if self._deadline is not None:
                self._deadline.cancel()
                self._around.draining -= 1

    def give_up(self, why: str) -> None:
        """Stop waiting for the answer: it will be settled by an estimate."""
        if self._answer is not None:
            self._given_up = self._given_up or why
            self._answer.abort()

    # The answer

    async def _relay(self, answer: Answer) -> None:
        """Pass the answer on; its last bytes leave when its charge is in the journal."""
        self.arrived_at = self._around.clock.seconds()
        billed = 200 <= answer.status < 300
        content_type = (http.text(answer.headers, b"content-type") or "").partition(";")[0].strip().lower()
        streamed = content_type == "text/event-stream"
        if billed:
            self._accounting.begin(answer, streamed=streamed)
        else:
            await self._release()
        headers = http.without_own(http.end_to_end(answer.headers))
        headers.append((http.CALL_ID, self._call.id.encode()))
        if self._outgoing.output_cap is not None:
            headers.append((http.OUTPUT_CAP, b"%d" % self._outgoing.output_cap))
        if billed and self._outgoing.lists_for is not None:
            await self._send_list(answer, headers)
        elif billed and content_type == "application/json" and not self._client.empty_answer(answer.status):
            held = await self._hold(answer, headers)
            if answer.ended:
                await self._send_held(answer, headers, held)
            else:
                await self._stream(answer, headers, held, billed=True)
        elif streamed:
            with self._around.metrics.open_streams.track_inprogress():
                await self._stream(answer, headers, b"", billed=billed)
        else:
            await self._stream(answer, headers, b"", billed=billed)

    async def _hold(self, answer: Answer, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Read an answer until it ends or is too long to be held. One that breaks off is passed on as it is."""
        held = bytearray()
        try:
            while not answer.ended and len(held) <= HELD_CEILING_BYTES:
                piece = await answer.read()
                self._feed(piece)
                held += piece
        except BrokenOff:
            self._client.start(answer.status, answer.reason, headers, bytes(held))
            raise
        return bytes(held)

    async def _send_held(self, answer: Answer, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.arrived_at = self._around.clock.seconds()
        charge = await self._settle(answer)
        if charge.cost_pico is not None:
            headers.append((http.COST, usd_from_pico(charge.cost_pico).encode()))
        headers = http.replaced(headers, b"content-length", b"%d" % len(body))
        self._client.start(answer.status, answer.reason, headers, body)

    async def _send_list(self, answer: Answer, headers: list[tuple[bytes, bytes]]) -> None:
        """A list goes on without what belongs to others; one that cannot be read does not go on."""
        listed = await self._around.isolation.narrowed(self._around.upstream, answer, self._outgoing)
        if isinstance(listed, bytes):
            self._feed(listed)
            await self._send_held(answer, headers, listed)
        else:
            await self._settle(answer)
            self._refuse(listed)

    async def _stream(self, answer: Answer, headers: list[tuple[bytes, bytes]], held: bytes, *, billed: bool) -> None:
        client = self._client
        plain = http.find(headers, b"content-encoding") in {None, b"identity"}
        noting = self._around.isolation.on
        remover = UsageRemover() if self._outgoing.usage_added and billed and plain else None
        if billed and answer.ended:  # its head is its last bytes
            await self._settle(answer)
        if self._allowance is not None:  # it may end early
            headers = [header for header in headers if header[0].lower() != b"content-length"]
        client.start(answer.status, answer.reason, headers, held)
        while not answer.ended:
            try:
                piece = await answer.read()
            except BrokenOff:
                if remover is not None and (rest := remover.close()):
                    await client.send(rest)
                raise
            self._feed(piece)
            if noting and (made := self._accounting.made()):  # its app may use it before the stream has ended
                noting = False
                self._around.isolation.note(made, self._call.attribution)
            if remover is not None:
                piece = remover.feed(piece) + (remover.close() if answer.ended else b"")
            if billed and (answer.ended or self._accounting.finished):
                await self._settle(answer)
            if self._outgrown() and (end := piece.rfind(b"\n\n")) >= 0:
                await self._cut(answer, piece[: end + 2])
                break
            if piece:
                await client.send(piece)
        if billed:
            await self._settle(answer)
        client.finish()

    def _outgrown(self) -> bool:
        """Whether the answer has outgrown its hold and may not go on; where it may, the hold is raised."""
        allowance = self._allowance
        if allowance is None or self._charge or self._accounting.visible_characters <= self._paid_characters:
            return False
        raised = self._around.authorisation.raise_hold(self._call, allowance.step_pico)
        if raised is None:
            return True
        self._call = raised
        self._paid_characters += allowance.step_characters
        return False

    async def _cut(self, answer: Answer, last: bytes) -> None:
        """End a stream after a whole event because its budget is spent: with an error that SDKs understand."""
        answer.abort()
        await self._settle(answer, "budget_spent")
        await self._client.send(last + errors.budget_spent().event(self._call.operation))

    def _feed(self, piece: bytes) -> None:
        if self._charge is None:
            self._accounting.feed(piece)

    # The end

    async def _settle(self, answer: Answer, why: str = "no_usage") -> Charge:
        """Record the charge, once; every later call gets the same one. It is in the journal when this returns."""
        if self._charge is not None:
            return self._charge
        basis, reading, reason = await self._accounting.close(why)
        charge = self._charged(
            Outcome(
                self._around.clock.now(), basis, status=answer.status or None, reading=reading,
                client_gone=self._client.gone, upstream_request_id=_upstream_id(answer), reason=reason,
                made=self._accounting.made(), pending=self._accounting.pending(reason),
            )
        )  # fmt: skip
        self._around.followups.seen(self._outgoing, self._accounting.payload)
        await self._around.cashier.recorded()
        return charge

    def _charged(self, outcome: Outcome) -> Charge:
        self._charge = self._around.cashier.settle(self._call, outcome)
        return self._charge

    async def _release(self) -> None:
        self._around.cashier.release(self._call)
        self._released = True
        await self._around.cashier.recorded()

    def fail(self) -> int:
        """Farebox itself failed: nothing is lost by it, and the app gets an error it understands."""
        if self._charge is None and not self._released:
            self._charged(
                Outcome(self._around.clock.now(), Basis.UNKNOWN, client_gone=self._client.gone, reason="internal_error")
            )
        if self._answer is not None:
            self._answer.abort()
        if self._client.started:
            self._client.break_off()
            return 500
        return self._refuse(errors.internal())

    def _refuse(self, refusal: errors.Refusal) -> int:
        self._client.refuse(refusal, [(http.CALL_ID, self._call.id.encode())])
        return refusal.status

    async def _broken_off(self, error: BrokenOff) -> int:
        """The answer will not be whole. What was sent may be billed: silence is an estimate and not a release."""
        answer = self._answer
        assert answer is not None
        if isinstance(error.__cause__, ClientBrokeOff):  # its own upload never arrived: nothing to bill
            await self._release()
            self._client.break_off()
            return CLIENT_CLOSED
        if answer.has_head:
            if 200 <= answer.status < 300:
                await self._settle(answer, self._given_up or "upstream_cut")
            self._client.break_off(reset=error.reset)
            return answer.status
        if self._outgoing.endpoint.billing is Billing.FREE:
            await self._release()
        else:
            await self._settle(answer, self._given_up or "no_answer")
        return self._refuse(errors.upstream_broke_off(self._around.upstream.origin, str(error)))

    def _client_left(self) -> None:
        """The app hung up in the middle: read on for the upstream's own figures, within bounds, or give up."""
        around = self._around
        if around.settings.on_disconnect == "cancel":
            self.give_up("cancelled")
        elif around.draining >= DRAIN_CEILING:
            self.give_up("drain_exceeded")
        elif self._deadline is None:
            around.draining += 1
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(around.settings.drain_seconds, self.give_up, "drain_exceeded")


def _upstream_id(answer: Answer) -> str | None:
    value = http.text(answer.headers, b"x-request-id")
    return printable(value) if value else None
