"""Followups: calls whose usage comes later, and Farebox's own calls to ask for it.

Whoever sees an object's end first settles its call: an app that fetches it through this replica, or the task here,
which asks with the upstream key of the configuration. Only the replica that holds a call settles it, so it is settled
once whoever asks how often; and after a crash the ledger takes one charge of an id.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from billing import jobs
from billing.cashier import Cashier
from billing.charges import Basis, Call, Outcome, rated
from billing.file_holds import Lines
from billing.jobs import KINDS, NEVER_TOLD, Final, Results
from billing.meters.decoding import decoder
from billing.usage import Reading
from proxy import endpoints
from proxy import headers as http
from proxy.connection import Answer, BrokenOff
from proxy.headers import Headers
from proxy.outgoing import Outgoing
from proxy.sizing import BATCH_CEILING_BYTES, OBJECT_PATH, SENT_ALONG, Unread
from proxy.upstream import Unreachable, Upstream

OBJECT_CEILING_BYTES = 16 * 2**20
ASKING_SECONDS = 120.0
"""How long one object may take to be asked for, with the file of its results."""

TOGETHER = 4
"""Objects asked for at the same time."""

IDLE_SECONDS = 60.0

log = logging.getLogger("farebox.followups")


@dataclass(slots=True, eq=False)
class _Wait:
    """A call that waits for its usage: when to ask next, after how many tries, and as whom where an app has shown it
    an end that is told in a file."""

    call: Call
    due: datetime
    tries: int = 0
    asker: Headers = ()


class Followups:
    """The calls of one replica whose usage comes later."""

    def __init__(self, cashier: Cashier, upstream: Upstream, key: str | None, now: Callable[[], datetime]) -> None:
        """`key` is the upstream's that Farebox asks with; without one only the apps' own questions tell."""
        self._cashier = cashier
        self._upstream = upstream
        self._own: Headers = ((b"Authorization", b"Bearer " + key.encode()),) if key else ()
        self._now = now
        self._waits: dict[str, _Wait] = {}
        self._news = asyncio.Event()

    @property
    def waiting(self) -> list[Call]:
        """The calls whose usage has not come yet."""
        return [wait.call for wait in self._waits.values()]

    def wait_for(self, call: Call) -> None:
        """A call's usage comes later (a listener of the cashier's `deferred`)."""
        if call.pending is not None and call.pending.path not in self._waits:
            due = self._now() + timedelta(seconds=KINDS[call.pending.kind].first)
            self._waits[call.pending.path] = _Wait(call, due)
            self._news.set()

    def seen(self, outgoing: Outgoing, payload: bytes) -> None:
        """An app was told something: perhaps of an end that is waited for."""
        if not self._waits or not payload or (wait := self._waits.get(outgoing.path)) is None:
            return
        final = jobs.judge(_kind(wait), payload)
        if final is not None and final.file is None:
            self._settle(wait, final)
        elif final is not None:  # its file is fetched as whoever asked
            wait.asker = tuple(header for header in outgoing.headers if header[0].lower() in SENT_ALONG)
            wait.due = self._now()
            self._news.set()

    async def run(self) -> None:
        """Ask for ever for what is due; ends by being cancelled."""
        while True:
            self._news.clear()
            await self.step()
            due = min((wait.due for wait in self._waits.values()), default=None)
            seconds = IDLE_SECONDS if due is None else min(max((due - self._now()).total_seconds(), 0.0), IDLE_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()

    async def step(self) -> None:
        """Ask for all that is due, once."""
        now, turns = self._now(), asyncio.Semaphore(TOGETHER)

        async def ask(wait: _Wait) -> None:
            async with turns:
                await self._ask(wait)

        await asyncio.gather(*(ask(wait) for wait in list(self._waits.values()) if wait.due <= now))

    async def _ask(self, wait: _Wait) -> None:
        kind, asker = KINDS[_kind(wait)], wait.asker or self._own
        wait.tries, wait.asker = wait.tries + 1, ()
        wait.due = self._now() + timedelta(seconds=kind.wait(wait.tries))
        if asker:
            try:
                async with asyncio.timeout(ASKING_SECONDS):
                    if final := await self._final(wait, asker):
                        self._settle(wait, final)
                        return
            except (Unread, Unreachable, BrokenOff, TimeoutError) as error:
                log.info("call %s: its usage cannot be asked for now: %s", wait.call.id, error)
        if self._now() - wait.call.started_at > kind.patience:
            log.warning("call %s: its usage did not come; charged as unknown", wait.call.id)
            self._settle(wait, Final(Basis.UNKNOWN, None, NEVER_TOLD))

    async def _final(self, wait: _Wait, asker: Headers) -> Final | None:
        """The end of the work, with what its results say; None while it goes on. Raises Unread, Unreachable,
        BrokenOff."""
        assert wait.call.pending is not None
        payload = bytearray()
        await self._fetch(wait.call.pending.path, asker, OBJECT_CEILING_BYTES, payload.extend)
        final = jobs.judge(_kind(wait), bytes(payload))
        if final is None or final.file is None:
            return final
        endpoint = endpoints.find("POST", final.endpoint)
        if endpoint.flavour is None:
            return final
        results, lines = Results(endpoint.flavour, lambda part: self._is_long(wait.call, part)), Lines()

        def feed(piece: bytes) -> None:
            for line in lines.feed(piece):
                results.add(line if isinstance(line, bytes) else b"")

        try:
            await self._fetch(f"/v1/files/{final.file}/content", asker, BATCH_CEILING_BYTES, feed)
        except Unread as error:
            log.warning("call %s: the results are not there (%s): charged by the sum", wait.call.id, error)
            return final
        for line in lines.close():
            results.add(line if isinstance(line, bytes) else b"")
        return results.final(final)

    async def _fetch(self, path: str, asker: Headers, ceiling_bytes: int, feed: Callable[[bytes], object]) -> None:
        """Feed what the upstream has at a path. Raises Unread where it has nothing, or for what is no path."""
        if not OBJECT_PATH.fullmatch(path):
            raise Unread("what names it is no id")
        headers = [(b"Host", self._upstream.host_header), *_without_host(asker), (b"Accept-Encoding", b"identity")]
        answer = await self._upstream.send(http.head(b"GET %s HTTP/1.1" % path.encode(), headers))
        try:
            await answer.begun()
            if answer.status != 200:
                raise Unread(f"status {answer.status}")
            await _read(answer, ceiling_bytes, feed)
        finally:
            answer.abort()

    def _is_long(self, call: Call, part: Reading) -> bool:
        price = rated(part, part.model, part.service_tier, call, self._cashier.book).price
        return price is not None and price.long_from is not None and part.usage.input_tokens > price.long_from

    def _settle(self, wait: _Wait, final: Final) -> None:
        """Settle a call, unless somebody else just has."""
        call = wait.call
        assert call.pending is not None
        if self._waits.pop(call.pending.path, None) is not wait:
            return
        if final.ended_at is not None:  # jobs and batches belong to the day they ended
            call = replace(call, started_at=max(final.ended_at, call.started_at))
        self._cashier.settle(
            call, Outcome(max(self._now(), call.started_at), final.basis, 200, final.reading, reason=final.reason)
        )


def _kind(wait: _Wait) -> str:
    assert wait.call.pending is not None
    return wait.call.pending.kind


def _without_host(asker: Headers) -> list[tuple[bytes, bytes]]:
    return [header for header in asker if header[0].lower() != b"host"]


async def _read(answer: Answer, ceiling_bytes: int, feed: Callable[[bytes], object]) -> None:
    coding, size = decoder(http.text(answer.headers, b"content-encoding")), 0
    while not answer.ended:
        plain = coding.feed(await answer.read())
        size += len(plain)
        if coding.broken or size > ceiling_bytes:
            raise Unread("it cannot be decoded" if coding.broken else f"it is larger than {ceiling_bytes} bytes")
        feed(plain)
        await asyncio.sleep(0)
