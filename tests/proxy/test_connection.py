"""One upstream connection alone: framing, failure, back-pressure. What the relay makes of it is in test_relay."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from scripted_upstream import GET, OK, Seen, answered, answering, chunked, reset, scripted

from proxy.connection import HIGH_WATER_BYTES, BrokenOff
from proxy.upstream import Upstream


@pytest.mark.parametrize(
    ("case", "raw", "expected"),
    [
        ("sized", OK, (200, b"ok")),
        ("chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"a", b"bc"), (200, b"abc")),
        ("empty", b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
        ("not modified, with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", (304, b"")),
        ("after 100 Continue", b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"ok")),
        ("after two hints", b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" * 2 + OK, (200, b"ok")),
        ("HTTP/1.0 and sized", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", (200, b"ok")),
    ],
)
def test_answers_of_every_framing_leave_the_next_call_in_step(
    case: str, raw: bytes, expected: tuple[int, bytes]
) -> None:
    async def scene() -> None:
        async with scripted(answering(raw)) as server:
            upstream = Upstream(server.url)
            for _ in range(3):
                assert await answered(upstream) == expected
            upstream.close()

    asyncio.run(scene())


def test_every_cut_of_an_answer_reads_the_same() -> None:
    raw = b"HTTP/1.1 200 OK\r\nX: 1\r\nX: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello ", b"world")

    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        cut = int(seen.first_line.split()[1].rpartition(b"/")[2])
        writer.write(raw[:cut])
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(raw[cut:])

    async def scene() -> None:
        async with scripted(script) as server:
            upstream = Upstream(server.url)
            for cut in range(len(raw)):
                head = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % cut
                assert await answered(upstream, head) == (200, b"hello world")
            upstream.close()

    asyncio.run(scene())


def test_the_head_of_a_head_answer_is_all_of_it() -> None:
    async def scene() -> None:
        async with scripted(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")) as server:
            upstream = Upstream(server.url)
            for _ in range(2):
                assert await answered(upstream, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", bodiless=True) == (200, b"")
            upstream.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        b"220 mail.example SMTP\r\n",
    ],
)
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_broken_answers_are_never_taken_for_whole_ones(raw: bytes, how: str) -> None:
    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        if how == "reset":
            reset(writer)
        writer.close()

    async def scene() -> None:
        async with scripted(script) as server:
            upstream = Upstream(server.url)
            with pytest.raises(BrokenOff):
                await answered(upstream)
            upstream.close()

    asyncio.run(scene())


def test_an_answer_given_up_breaks_off_where_it_is_read() -> None:
    async def script(seen: Seen, _writer: asyncio.StreamWriter) -> None:
        await seen.reader.read()

    async def scene() -> None:
        async with scripted(script) as server:
            answer = await Upstream(server.url).send(GET)
            waiting = asyncio.create_task(answer.begun())
            await asyncio.sleep(0)
            answer.abort()
            with pytest.raises(BrokenOff, match="given up"):
                await waiting

    asyncio.run(scene())


def test_an_answer_that_nobody_reads_is_held_back() -> None:
    async def scene() -> None:
        blocked = asyncio.Event()

        async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * 2**20))
            writer.write(b"x" * (64 * 2**20))
            blocked.set()
            await writer.drain()

        async with scripted(script) as server:
            upstream = Upstream(server.url)
            answer = await upstream.send(GET)
            await answer.begun()
            await blocked.wait()
            before = -1
            while answer.waiting_bytes != before:
                before = answer.waiting_bytes
                await asyncio.sleep(0.02)
            assert 0 < answer.waiting_bytes <= HIGH_WATER_BYTES + 2**20
            size = 0
            while not answer.ended:
                size += len(await answer.read())
            assert size == 64 * 2**20
            upstream.close()

    asyncio.run(scene())


def test_an_early_answer_ends_the_upload() -> None:
    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    async def scene() -> None:
        async with scripted(script, read_body=False) as server:
            upstream = Upstream(server.url)
            head = b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
            assert await answered(upstream, head, body=endless()) == (413, b"")
            assert upstream.idle == 0, "its upload never ended: the connection cannot be used again"
            upstream.close()

    asyncio.run(scene())
