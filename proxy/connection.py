"""One HTTP/1.1 connection to the upstream, framed by llhttp: a request goes out, an `Answer` is read from it.

The answer is read piece by piece with back-pressure. Nothing is decoded or normalised here; header bytes come back
as they were received.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

import httptools

HIGH_WATER_BYTES = 256 * 2**10
"""Answer bytes held for a slow reader before the upstream is told to wait."""

HEAD_CEILING_BYTES = 256 * 2**10


class BrokenOff(Exception):
    """The upstream ended the connection before its answer was whole; `reset`: by a TCP reset."""

    reset = False


class Pool(Protocol):
    """Where connections go when they are free, and that must know when they are gone."""

    def keep(self, connection: "Connection") -> None: ...

    def forget(self, connection: "Connection") -> None: ...


Informational = Callable[[int, bytes, list[tuple[bytes, bytes]]], None]


@dataclass(slots=True, eq=False)
class Answer:
    """One answer: its head, and its body as `read` gives it. `ended` is true once nothing more will come."""

    connection: "Connection"
    status: int = 0
    reason: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    waiting_bytes: int = 0
    has_head: bool = False
    complete: bool = False
    error: BrokenOff | None = None

    @property
    def ended(self) -> bool:
        """Whether the whole body has been read."""
        return self.complete and not self.pieces

    async def read(self) -> bytes:
        """The bytes that have come since the last call; empty at the end. Raises BrokenOff where it breaks off."""
        while not self.pieces:
            if self.complete:
                return b""
            if self.error:
                raise self.error
            await self.connection.wait()
        piece = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        self.pieces.clear()
        self.waiting_bytes = 0
        self.connection.resume()
        return piece

    async def begun(self) -> None:
        """Until its head is there. Raises BrokenOff when none comes."""
        while not self.has_head:
            if self.error:
                raise self.error
            await self.connection.wait()

    def abort(self) -> None:
        """Give the answer up; what is being read breaks off. Does nothing to a whole one."""
        if not self.complete:
            self.connection.fail("given up")


class Connection(asyncio.Protocol):
    """One connection to the upstream: at most one call at a time."""

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self._head_bytes = 0
        self._bodiless = False
        self._interim = False
        self._until_close = False
        self._sending: asyncio.Task[None] | None = None
        self._informational: Informational | None = None
        self.idle_since = 0.0

    # What the pool and the answer ask of it

    @property
    def usable(self) -> bool:
        """Whether a new call can be sent on it."""
        return self._transport is not None and not self._transport.is_closing() and self._answer is None

    def call(
        self, head: bytes, body: bytes | AsyncIterator[bytes], *, bodiless: bool, informational: Informational | None
    ) -> Answer:
        """Send a request; its answer is on the way."""
        assert self._transport is not None
        answer = self._answer = Answer(self)
        self._bodiless, self._informational, self._head_bytes = bodiless, informational, 0
        if isinstance(body, bytes):
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._sending = self._loop.create_task(self._send(body))
        return answer

    async def wait(self) -> None:
        """Until something has happened on the connection."""
        self._waiter = self._loop.create_future()
        await self._waiter

    def resume(self) -> None:
        """The reader has caught up."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def fail(self, why: str, cause: OSError | None = None) -> None:
        """Break the call off and close the connection at once."""
        if self._answer is not None and not self._answer.complete and self._answer.error is None:
            self._answer.error = BrokenOff(why)
            self._answer.error.__cause__ = cause
        if self._sending is not None:
            self._sending.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def close(self) -> None:
        """Close the connection once what was written is out."""
        if self._transport is not None:
            self._transport.close()

    async def _send(self, body: AsyncIterator[bytes]) -> None:
        try:
            async for piece in body:
                if self._transport is None or self._transport.is_closing():
                    return
                self._transport.write(piece)
                if self._writable is not None:
                    await self._writable
        except OSError as error:  # the app broke its upload off: the call cannot be finished
            self.fail("the request's body ended early", error)
        finally:
            self._sending = None

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # What the event loop tells it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in {socket.AF_INET, socket.AF_INET6}:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a silent stream may last minutes

    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nobody asked: never let it answer the next call
            self.fail("unasked data")
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.fail(f"its answer is not HTTP ({error})")
            return
        answer = self._answer
        if answer is not None and answer.waiting_bytes > HIGH_WATER_BYTES and not self._paused:
            self._paused = True
            if self._transport is not None:
                self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._pool.forget(self)
        answer = self._answer
        if answer is not None and not answer.complete:
            if self._until_close and answer.has_head and exc is None:
                answer.complete = True
            else:
                answer.error = answer.error or BrokenOff(str(exc) if exc else "closed")
                answer.error.reset = isinstance(exc, ConnectionResetError)
        if self._sending is not None:
            self._sending.cancel()
        self.resume_writing()
        self._wake()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # What llhttp tells it

    def on_message_begin(self) -> None:
        if self._answer is None:
            raise httptools.HttpParserError("more than was asked for")

    def on_status(self, reason: bytes) -> None:
        if self._answer is not None:
            self._answer.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._answer is None:
            return
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_CEILING_BYTES:
            raise httptools.HttpParserError("its head is too large")
        if not self._answer.has_head:  # else a trailer: part of the framing
            self._answer.headers.append((name, value))

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None:
            return
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        if self._interim:
            if self._informational is not None and status not in {100, 101}:
                self._informational(status, answer.reason, answer.headers)
            answer.reason, answer.headers = b"", []
            return
        answer.status, answer.has_head = status, True
        names = {name.lower() for name, _ in answer.headers}
        self._until_close = not names & {b"content-length", b"transfer-encoding"} and status not in {204, 304}
        if self._bodiless:  # llhttp cannot be told and would wait for the body that the head announces
            answer.complete = True
            self._answer = None
            self.close()

    def on_body(self, piece: bytes) -> None:
        answer = self._answer
        if answer is not None and answer.has_head and not answer.complete:
            answer.pieces.append(piece)
            answer.waiting_bytes += len(piece)

    def on_message_complete(self) -> None:
        answer = self._answer
        if self._interim or answer is None:
            self._interim = False
            return
        answer.complete = True
        self._answer = None
        self.resume()  # what is left of the answer is in memory: it must not hold up the next one
        # llhttp can tell only now whether the connection may be used again
        if self._sending is not None:  # it answered before it had read the request
            self.fail("answered early")
        elif self._parser.should_keep_alive():
            self._pool.keep(self)
        else:
            self.close()
