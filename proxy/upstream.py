"""The upstream side: connections to one origin, kept alive and reused. Nothing is retried."""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohappyeyeballs

from proxy.connection import Answer, Connection, Informational

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0
"""How long an unused connection is kept: shorter than servers keep theirs, so that they rarely close first."""


class Unreachable(Exception):
    """No connection could be made: nothing was sent."""


class Upstream:
    """The origin all calls go to, and its idle connections."""

    def __init__(self, origin: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(origin)
        assert parts.hostname is not None
        self.origin = origin
        self.host_header = parts.netloc.encode()
        self._host = parts.hostname
        self._secure = parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._tls = (tls or ssl.create_default_context()) if self._secure else None
        self._idle: deque[Connection] = deque()
        self._sweeper: asyncio.TimerHandle | None = None

    async def send(
        self,
        head: bytes,
        body: bytes | AsyncIterator[bytes] = b"",
        *,
        bodiless: bool = False,
        informational: Informational | None = None,
    ) -> Answer:
        """Send a request whose bytes are ready; wait for the answer with `begun`.

        `bodiless`: the answer has no body whatever its head says (HEAD). Raises Unreachable when nothing was sent.
        """
        connection = self._take() or await self._connect()
        return connection.call(head, body, bodiless=bodiless, informational=informational)

    @property
    def idle(self) -> int:
        """Connections that wait for a call."""
        return len(self._idle)

    def close(self) -> None:
        """Close the idle connections."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._idle:
            self._idle.pop().close()

    def keep(self, connection: Connection) -> None:
        """A connection has finished its call and can be used again."""
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep)

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection in self._idle:
            self._idle.remove(connection)

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()  # the one used last: the others age and are closed
            if connection.usable:
                return connection
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                addresses = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                connected = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=0.25)
                name = self._host if self._tls else None
                _, connection = await loop.create_connection(
                    lambda: Connection(self, loop), sock=connected, ssl=self._tls, server_hostname=name
                )
        except TimeoutError:
            raise Unreachable(f"no connection within {CONNECT_SECONDS:.0f} s") from None
        except (OSError, ssl.SSLError) as error:
            raise Unreachable(str(error)) from None
        return connection

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = None
        while self._idle and loop.time() - self._idle[0].idle_since >= IDLE_SECONDS:
            self._idle.popleft().close()
        if self._idle:
            self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep)
