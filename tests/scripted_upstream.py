"""Upstreams that do as they are told, byte for byte. The simulator is a whole OpenAI; these are single answers."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from proxy.upstream import Upstream

GET = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Script = Callable[["Seen", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Seen:
    """A request as the upstream saw it, byte for byte."""

    head: bytes
    body: bytes = b""
    reader: asyncio.StreamReader = field(repr=False, default_factory=asyncio.StreamReader)

    @property
    def first_line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        lines = self.head.split(b"\r\n")[1:]
        return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines if line)]


@dataclass
class ScriptedUpstream:
    """A server that reads whole requests and lets a script answer; `seen` are the requests in order."""

    port: int
    seen: list[Seen]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


async def read_request(reader: asyncio.StreamReader, *, body: bool = True) -> Seen:
    """One request from a connection; its body by Content-Length or chunks, still framed."""
    head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
    seen = Seen(head, reader=reader)
    names = {name.lower(): value for name, value in seen.headers}
    if not body:
        return seen
    if b"content-length" in names:
        seen.body = await reader.readexactly(int(names[b"content-length"]))
    elif b"transfer-encoding" in names:
        while not seen.body.endswith(b"0\r\n\r\n"):
            seen.body += await reader.read(65536)
    return seen


@asynccontextmanager
async def scripted(script: Script, *, read_body: bool = True) -> AsyncIterator[ScriptedUpstream]:
    """An upstream on loopback that answers every request by the script."""
    seen: list[Seen] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await read_request(reader, body=read_body)
                seen.append(request)
                await script(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    try:
        yield ScriptedUpstream(server.sockets[0].getsockname()[1], seen)
    finally:
        server.close()


def answering(raw: bytes) -> Script:
    """A script that writes the same bytes to every request."""

    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return script


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a TCP reset."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def chunked(*pieces: bytes) -> bytes:
    """Pieces as chunks of a chunked body, with its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


async def answered(upstream: Upstream, head: bytes = GET, **more: Any) -> tuple[int, bytes]:
    """Send, and read the whole answer."""
    answer = await upstream.send(head, **more)
    await answer.begun()
    body = b""
    while not answer.ended:
        body += await answer.read()
    return answer.status, body
