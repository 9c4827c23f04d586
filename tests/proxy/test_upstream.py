"""Connections to the upstream: made, kept, given up, verified."""

import asyncio
import ssl

import pytest
import trustme
from scripted_upstream import GET, OK, answered, answering, read_request, scripted

from proxy.upstream import Unreachable, Upstream


def test_connections_are_kept_and_one_that_closed_is_not_used() -> None:
    async def scene() -> None:
        opened = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal opened
            opened += 1
            try:
                for _ in range(2):  # every connection serves two calls and is then closed by the server
                    await read_request(reader)
                    writer.write(OK)
            except asyncio.IncompleteReadError:
                pass
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        upstream = Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for call in range(6):
            assert await answered(upstream) == (200, b"ok")
            if call % 2:
                while upstream.idle:
                    await asyncio.sleep(0.001)
        assert opened == 3
        upstream.close()
        server.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("case", "raw"),
    [
        ("asked not to", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
        ("a second answer behind it", OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"),
        ("half a second answer behind it", OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npo"),
        ("the beginning of one", OK + b"HTTP/1."),
    ],
)
def test_connections_that_must_not_be_used_again_are_not(case: str, raw: bytes) -> None:
    async def scene() -> None:
        async with scripted(answering(raw)) as server:
            upstream = Upstream(server.url)
            for _ in range(3):
                assert await answered(upstream) == (200, b"ok")
                assert upstream.idle == 0
            upstream.close()

    asyncio.run(scene())


def test_nobody_listening_is_unreachable() -> None:
    async def scene() -> None:
        async with scripted(answering(OK)) as server:
            url = server.url
        with pytest.raises(Unreachable):
            await Upstream(url).send(GET)

    asyncio.run(scene())


def test_tls_is_verified_against_the_name() -> None:
    authority = trustme.CA()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_tls)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await read_request(reader)
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls)
        port = server.sockets[0].getsockname()[1]
        upstream = Upstream(f"https://localhost:{port}", trusting)
        for _ in range(2):
            assert await answered(upstream) == (200, b"ok")
        upstream.close()
        for url, tls in ((f"https://localhost:{port}", None), (f"https://127.0.0.1:{port}", trusting)):
            with pytest.raises(Unreachable):
                await Upstream(url, tls).send(GET)
        server.close()

    asyncio.run(scene())
