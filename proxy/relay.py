"""The apps' side: a request's bytes as they came, and an answer's bytes as they shall go.

Requests arrive through aiohttp's server. Answers are written to its transport directly: aiohttp's own responses
add headers (`Date`, `Server`, a default `Content-Type`) and re-encode those that are not UTF-8, and a relay may
do neither.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11

from proxy import errors
from proxy import headers as http
from proxy.errors import Refusal
from proxy.headers import Headers

HEAD_LINE_CEILING = 64 * 2**10
HEADERS_CEILING = 256
_EMPTY_STATUSES = frozenset({204, 304})


class ClientBrokeOff(OSError):
    """The client ended its connection, or its request's body, before it was whole."""


class AppRequest(web.BaseRequest):
    """An app's request that tells when the app hangs up. (aiohttp calls `_cancel` when the connection is lost.)"""

    on_gone: Callable[[], None] | None = None

    def _cancel(self, exc: BaseException) -> None:
        super()._cancel(exc)
        if self.on_gone is not None:
            self.on_gone()


class Written(web.StreamResponse):
    """What aiohttp is given once the answer has been written: it only decides on keeping the connection."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to send."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to send."""


class AppProtocol(web.RequestHandler):
    """One app's connection. What aiohttp cannot parse is answered in OpenAI's shape too."""

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The answer to a request that is not HTTP, or too large in its head."""
        refusal = errors.bad_http(status, (message or "").partition("\n")[0])
        response = web.Response(status=refusal.status, body=refusal.body(), content_type="application/json")
        response.force_close()
        return response


class AppServer(web.Server):
    """The apps' server: bodies stay as they are, heads may be long, nothing is logged per request."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(
            handler,
            request_factory=self._request,
            access_log=None,
            auto_decompress=False,
            max_line_size=HEAD_LINE_CEILING,
            max_field_size=HEAD_LINE_CEILING,
            max_headers=HEADERS_CEILING,
        )

    def __call__(self) -> AppProtocol:
        return AppProtocol(self, loop=self._loop, **self._kwargs)

    def _request(
        self,
        message: Any,
        payload: Any,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> AppRequest:
        return AppRequest(message, payload, protocol, writer, task, self._loop)


class Client:
    """One app waiting for one answer. `gone` is true from the moment it hangs up; writing is then a no-op."""

    def __init__(self, request: AppRequest, seconds: Callable[[], float]) -> None:
        self._request = request
        self._seconds = seconds
        self._protocol: Any = request.protocol
        self._chunked = False
        self._until_close = False
        self._keep_alive = request.keep_alive
        self._continue_expected = False
        self.method = request.method
        self.target: str = request._message.path  # as sent: `request.path` is decoded
        self.headers: Headers = request.raw_headers
        self.started = False
        self.first_byte_at: float | None = None

    @property
    def gone(self) -> bool:
        """Whether the app has hung up."""
        transport = self._protocol.transport
        return transport is None or transport.is_closing()

    def when_gone(self, callback: Callable[[], None] | None) -> None:
        """Call back when the app hangs up; None takes that back."""
        self._request.on_gone = callback

    # The request's body

    @property
    def has_body(self) -> bool:
        """Whether a body follows the request's head."""
        return self._request.body_exists

    async def body_up_to(self, ceiling_bytes: int) -> tuple[bytes, bool]:
        """The body, and True when that is all of it; or its beginning, a little over the ceiling, and False."""
        self._continue()
        content = self._request.content
        pieces: list[bytes] = []
        size = 0
        while not content.at_eof():
            piece = await self._piece()
            pieces.append(piece)
            size += len(piece)
            if size > ceiling_bytes:
                return b"".join(pieces), content.at_eof()
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), True

    async def body_pieces(self, beginning: bytes = b"") -> AsyncIterator[bytes]:
        """The body as it comes in, framed as it was sent; `beginning` is what was read of it before."""
        self._continue()
        chunked = http.find(self.headers, b"content-length") is None
        if beginning:
            yield _chunk(beginning) if chunked else beginning
        while not self._request.content.at_eof():
            if piece := await self._piece():
                yield _chunk(piece) if chunked else piece
        if chunked:
            yield b"0\r\n\r\n"

    async def _piece(self) -> bytes:
        try:
            return await self._request.content.readany()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # aiohttp has a dozen names for a body that breaks off or is malformed
            raise ClientBrokeOff(str(error)) from error

    def _continue(self) -> None:
        """Send `100 Continue`, once, to an app that waits for it with its body."""
        expect = http.find(self.headers, b"expect")
        if expect and expect.lower() == b"100-continue" and not self._continue_expected and not self.gone:
            self._continue_expected = True
            if self._request.content.total_raw_bytes == 0:
                self._protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # The answer

    def empty_answer(self, status: int) -> bool:
        """Whether an answer of that status has no body and so no framing (RFC 9112 §6.3)."""
        return self.method == "HEAD" or status in _EMPTY_STATUSES

    def inform(self, status: int, reason: bytes, headers: Headers) -> None:
        """Pass an informational (1xx) answer on."""
        if not self.gone and not self.started and self._request.version >= HttpVersion11:
            line = b"HTTP/1.1 %d %s" % (status, reason)
            self._protocol.transport.write(http.head(line, http.end_to_end(headers)))

    def start(self, status: int, reason: bytes, headers: Headers, first: bytes = b"") -> None:
        """Send the head of an answer whose length is in `headers`, or is not known, and the first of its body.

        `headers` are end-to-end ones; without a `Content-Length` the body is sent chunked (to an HTTP/1.0 app
        until the connection closes).
        """
        self.started = True
        if self.gone:
            return
        version = self._request.version
        framing: list[tuple[bytes, bytes]] = []
        if not self.empty_answer(status) and http.find(headers, b"content-length") is None:
            if version >= HttpVersion11:
                self._chunked = True
                framing.append((b"Transfer-Encoding", b"chunked"))
            else:
                self._keep_alive, self._until_close = False, True
        if not self._keep_alive:
            framing.append((b"Connection", b"close"))
        elif version < HttpVersion11:
            framing.append((b"Connection", b"keep-alive"))
        line = b"HTTP/%d.%d %d %s" % (version.major, version.minor, status, reason)
        head = http.head(line, [*headers, *framing])
        self._write(head + self._framed(first) if first else head)

    async def send(self, data: bytes) -> None:
        """Send the next bytes of the body; waits while the app does not read."""
        if self.gone:
            return
        self._write(self._framed(data))
        if self._protocol.writing_paused:
            try:
                await self._protocol._drain_helper()
            except ConnectionError:
                return  # it hung up meanwhile: `gone` says so

    def finish(self) -> None:
        """The body is whole."""
        if self._chunked and not self.gone:
            self._write(b"0\r\n\r\n")

    def break_off(self, *, reset: bool = False) -> None:
        """End the connection in the middle of the body: by a reset as the upstream did, or where a plain end
        would look like the body's own."""
        self._keep_alive = False
        transport = self._protocol.transport
        if transport is None:
            return
        if reset or self._until_close:
            raw = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()

    def refuse(self, refusal: Refusal, more: Headers = ()) -> None:
        """Answer with an error of Farebox's own."""
        body = refusal.body()
        length = (b"Content-Length", b"%d" % len(body))
        headers = [*refusal.headers(), length, *more]
        self.start(
            refusal.status, _REASONS.get(refusal.status, b"Error"), headers, b"" if self.method == "HEAD" else body
        )

    def written(self) -> web.StreamResponse:
        """What to return to aiohttp."""
        response = Written()
        if not self._keep_alive:
            response.force_close()
        else:
            response._keep_alive = True
        return response

    def _framed(self, data: bytes) -> bytes:
        return _chunk(data) if self._chunked else data

    def _write(self, data: bytes) -> None:
        if self.first_byte_at is None:
            self.first_byte_at = self._seconds()
        self._protocol.transport.write(data)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_REASONS = {
    400: b"Bad Request",
    401: b"Unauthorized",
    404: b"Not Found",
    413: b"Content Too Large",
    429: b"Too Many Requests",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
}
