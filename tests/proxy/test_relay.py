"""Byte transparency: what an app sends is what the upstream gets, what it answers is what the app gets."""

import asyncio
import gzip
from typing import Any

import pytest
from scripted_upstream import Seen, answering, chunked, read_request, reset, scripted

UPLOAD = b"POST /v1/files HTTP/1.1\r\nHost: x\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def request(target: bytes = b"/v1/files", *headers: bytes, method: bytes = b"GET", body: bytes = b"") -> bytes:
    lines = [b"%s %s HTTP/1.1" % (method, target), b"Host: farebox", *headers, b"Connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def head_and_body(answer: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/models",
        b"/v1/models?",
        b"/v1/models?a=1&a=2&b=%20+%2B&c",
        b"/v1/models?q=%7B%22x%22%3A1%7D&empty=&%zz",
        b"/v1/files/a%2Fb%20c/content?x=%E2%82%AC",
        b"/v1//double//slashes/",
        b"/v1/a;b=c/d:e@f!$&'()*,=~",
    ],
)
def test_the_target_reaches_the_upstream_as_it_was_sent(replica: Any, target: bytes) -> None:
    async def scenario() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url) as farebox:
            assert (await farebox.send(request(target))).startswith(b"HTTP/1.1 200 OK\r\n")
            assert upstream.seen[0].first_line == b"GET " + target + b" HTTP/1.1"

    run(scenario())


def test_request_headers_keep_order_spelling_and_repeats(replica: Any) -> None:
    sent = [
        (b"X-Client-Request-Id", b"abc"),
        (b"authorization", b"Bearer sk-test"),
        (b"X-Twice", b"1"),
        (b"OpenAI-Beta", b"assistants=v2"),
        (b"X-Twice", b"2"),
        (b"x-StaInless-Retry-Count", b"0"),
        (b"Cookie", b"a=b; c=d"),
        (b"X-Latin", b"caf\xe9"),
        (b"X-Utf8", "café ✓".encode()),
        (b"X-Empty", b""),
        (b"Accept-Encoding", b"gzip, deflate, br, zstd"),
        (b"User-Agent", b"OpenAI/Python 3.54.0"),
    ]

    async def scenario() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url) as farebox:
            await farebox.send(request(b"/v1/models", *(name + b": " + value for name, value in sent)))
            got = upstream.seen[0].headers
            assert got[0] == (b"Host", b"127.0.0.1:%d" % upstream.port)
            assert got[1:] == sent

    run(scenario())


def test_headers_of_the_connection_and_our_own_do_not_cross(replica: Any) -> None:
    dropped = [b"Connection: close, X-Private", b"X-Private: 1", b"TE: trailers", b"Proxy-Authorization: Basic x"]
    own = [b"X-Farebox-Tag-Team: red", b"x-farebox-anything: 1"]

    async def scenario() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url) as farebox:
            raw = (
                b"GET /v1/models HTTP/1.1\r\nHost: farebox\r\nX-Kept: 1\r\n"
                + b"\r\n".join([*dropped, *own])
                + b"\r\n\r\n"
            )
            await farebox.send(raw)
            assert upstream.seen[0].headers[1:] == [(b"X-Kept", b"1")]

    run(scenario())


def test_answer_heads_come_back_as_received_plus_the_id(replica: Any) -> None:
    raw = (
        b"HTTP/1.1 200 Fine By Me\r\nset-cookie: a=1; Path=/\r\nX-Request-ID: req_1\r\nSet-Cookie: b=2\r\n"
        b"x-latin: caf\xe9\r\nX-Empty:\r\nContent-Length: 2\r\nConnection: keep-alive\r\nKeep-Alive: a=5\r\n\r\nok"
    )

    async def scenario() -> None:
        async with scripted(answering(raw)) as upstream, replica(upstream.url) as farebox:
            lines, body = head_and_body(await farebox.send(request(b"/v1/files/f/content")))
            assert lines[0] == b"HTTP/1.1 200 Fine By Me"
            assert lines[1:6] == [
                b"set-cookie: a=1; Path=/",
                b"X-Request-ID: req_1",
                b"Set-Cookie: b=2",
                b"x-latin: caf\xe9",
                b"X-Empty: ",
            ]
            assert lines[6] == b"Content-Length: 2"
            assert lines[7].startswith(b"x-farebox-id: fbx_")
            assert lines[8:] == [b"Connection: close"]
            assert body == b"ok"

    run(scenario())


@pytest.mark.parametrize(
    ("case", "framing", "expected"),
    [
        ("sized", b"Content-Length: 5\r\n\r\nhello", b"hello"),
        ("chunked", b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"he", b"llo"), chunked(b"he", b"llo")),
        ("empty and sized", b"Content-Length: 0\r\n\r\n", b""),
        ("empty and chunked", b"Transfer-Encoding: chunked\r\n\r\n" + chunked(), chunked()),
        (
            "chunked with a trailer",
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
            chunked(b"hello"),
        ),
        ("binary", b"Content-Length: 4\r\n\r\n\x00\xff\r\n", b"\x00\xff\r\n"),
    ],
)
def test_bodies_of_every_framing(replica: Any, case: str, framing: bytes, expected: bytes) -> None:
    async def scenario() -> None:
        raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n" + framing
        async with scripted(answering(raw)) as upstream, replica(upstream.url) as farebox:
            _, body = head_and_body(await farebox.send(request(b"/v1/files/f/content")))
            if expected.endswith(b"0\r\n\r\n"):
                assert unchunked(body) == unchunked(expected)
            else:
                assert body == expected

    run(scenario())


def unchunked(body: bytes) -> bytes:
    whole = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        if not int(size, 16):
            assert rest == b"\r\n"
            return whole
        whole, body = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]


def test_a_body_that_ends_with_the_connection(replica: Any) -> None:
    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
        writer.close()

    async def scenario() -> None:
        async with scripted(script) as upstream, replica(upstream.url) as farebox:
            _, body = head_and_body(await farebox.send(request(b"/v1/files/f/content")))
            assert unchunked(body) == b"until the end"

    run(scenario())


@pytest.mark.parametrize(
    ("method", "status", "raw"),
    [
        (b"HEAD", b"200 OK", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nETag: x\r\n\r\n"),
        (b"OPTIONS", b"204 No Content", b"HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n"),
        (b"GET", b"304 Not Modified", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n"),
        (b"DELETE", b"204 No Content", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"DELETE", b"204 No Content", b"HTTP/1.1 204 No Content\r\nContent-Type: application/json\r\n\r\n"),
    ],
)
def test_answers_without_a_body(replica: Any, method: bytes, status: bytes, raw: bytes) -> None:
    async def scenario() -> None:
        async with scripted(answering(raw)) as upstream, replica(upstream.url) as farebox:
            for _ in range(2):  # the connections of both sides are still in step afterwards
                lines, body = head_and_body(await farebox.send(request(b"/v1/models/m", method=method)))
                assert lines[0] == b"HTTP/1.1 " + status
                assert body == b""
                wanted = raw.split(b"\r\n\r\n", maxsplit=1)[0].split(b"\r\n")[1:]
                assert lines[1 : 1 + len(wanted)] == wanted
                assert not any(line.lower().startswith(b"transfer-encoding") for line in lines)
                lengths = [line for line in lines if line.lower().startswith(b"content-length")]
                assert len(lengths) == raw.count(b"Content-Length")

    run(scenario())


def test_informational_answers_pass_before_the_final_one(replica: Any) -> None:
    raw = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + OK

    async def scenario() -> None:
        async with scripted(answering(raw)) as upstream, replica(upstream.url) as farebox:
            answer = await farebox.send(request(b"/v1/models"))
            assert answer.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n")

    run(scenario())


@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_request_bodies_pass_unchanged(replica: Any, framing: str) -> None:
    body = bytes(range(256)) * 300

    async def scenario() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url) as farebox:
            if framing == "sized":
                raw = request(b"/v1/files", b"Content-Length: %d" % len(body), method=b"POST", body=body)
            else:
                raw = request(
                    b"/v1/files", b"Transfer-Encoding: chunked", method=b"POST", body=chunked(body[:7], body[7:])
                )
            await farebox.send(raw)
            seen = upstream.seen[0].body
            assert (unchunked(seen) if framing == "chunked" else seen) == body

    run(scenario())


@pytest.mark.parametrize("path", [b"/v1/files", b"/v1/chat/completions"])
def test_an_app_that_expects_100_continue_gets_it_and_is_answered(replica: Any, path: bytes) -> None:
    async def scenario() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url) as farebox:
            reader, writer = await farebox.connect()
            writer.write(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n" % path)
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"{}")
            assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"
            assert upstream.seen[0].body == b"{}"
            writer.close()

    run(scenario())


def test_a_compressed_request_body_stays_compressed(replica: Any) -> None:
    body = gzip.compress(b'{"model":"gpt-4o"}')

    async def scenario() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url) as farebox:
            headers = (b"Content-Encoding: gzip", b"Content-Length: %d" % len(body))
            await farebox.send(request(b"/v1/chat/completions", *headers, method=b"POST", body=body))
            assert upstream.seen[0].body == body

    run(scenario())


def test_chunks_pass_one_by_one_without_waiting_for_the_next(replica: Any) -> None:
    """Each chunk is only written once the app has received the one before: a buffering relay would hang here."""
    turn = asyncio.Event

    async def scenario() -> None:
        received = [turn() for _ in range(5)]

        async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for number in range(5):
                writer.write(b"9\r\ndata: %d\n\n\r\n" % number)
                await writer.drain()
                await asyncio.wait_for(received[number].wait(), 10)
            writer.write(b"0\r\n\r\n")

        async with scripted(script) as upstream, replica(upstream.url) as farebox:
            reader, writer = await farebox.connect()
            writer.write(request(b"/v1/responses", b"Content-Length: 2", method=b"POST", body=b"{}"))
            await reader.readuntil(b"\r\n\r\n")
            for number in range(5):
                assert await asyncio.wait_for(reader.readexactly(14), 10) == b"9\r\ndata: %d\n\n\r\n" % number
                received[number].set()
            assert await reader.readexactly(5) == b"0\r\n\r\n"
            writer.close()

    run(scenario())


def test_a_slow_reader_holds_the_upstream_back(replica: Any) -> None:
    """An endless answer to an app that does not read: the upstream's writes stop, memory does not grow."""

    async def scenario() -> None:
        written = 0

        async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000000\r\n\r\n"
            )
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                written += 65536

        async with scripted(script) as upstream, replica(upstream.url, on_disconnect="cancel") as farebox:
            _reader, writer = await farebox.connect()
            writer.transport.pause_reading()
            writer.write(request(b"/v1/files/f/content"))
            stable = 0
            before = -1
            while stable < 20:
                await asyncio.sleep(0.01)
                stable = stable + 1 if written == before and written else 0
                before = written
            assert written < 32 * 2**20
            writer.transport.abort()
            await farebox.settled()

    run(scenario())


def test_a_large_upload_streams_through(replica: Any) -> None:
    """The upstream has the beginning of an upload before the app has sent its end."""

    async def scenario() -> None:
        begun = asyncio.Event()

        async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
            await seen.reader.readexactly(65536)
            begun.set()
            await seen.reader.readexactly(2**20 - 65536)
            writer.write(OK)

        async with scripted(script, read_body=False) as upstream, replica(upstream.url) as farebox:
            reader, writer = await farebox.connect()
            writer.write(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % 2**20)
            writer.write(b"x" * 2**19)
            await asyncio.wait_for(begun.wait(), 10)
            writer.write(b"x" * 2**19)
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)) == b"HTTP/1.1 200 OK\r\n"
            writer.close()

    run(scenario())


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
@pytest.mark.parametrize("how", ["reset", "closed"])
def test_an_upstream_that_breaks_off_is_passed_on_as_broken(replica: Any, how: str, kind: str) -> None:
    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % kind.encode())
        writer.write(b"9\r\ndata: 0\n\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)  # so that a reset does not overtake the data
        if how == "reset":
            reset(writer)
        writer.close()

    async def scenario() -> None:
        async with scripted(script) as upstream, replica(upstream.url) as farebox:
            reader, writer = await farebox.connect()
            writer.write(request(b"/v1/responses", b"Content-Length: 2", method=b"POST", body=b"{}"))
            received, ended = b"", "closed"
            try:
                while piece := await reader.read(65536):
                    received += piece
            except ConnectionResetError:
                ended = "reset"
            assert ended == how
            assert not received.endswith(b"0\r\n\r\n"), "a broken answer must not look whole"
            if how == "closed":
                assert received.endswith(b"9\r\ndata: 0\n\n\r\n")
            writer.close()

    run(scenario())


def test_keep_alive_connections_are_used_again_on_both_sides(replica: Any) -> None:
    async def scenario() -> None:
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            try:
                while True:
                    await read_request(reader)
                    writer.write(OK)
            except asyncio.IncompleteReadError:
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with replica(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as farebox:
            reader, writer = await farebox.connect()
            for _ in range(5):
                writer.write(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(2) == b"ok"
            assert connections == 1
            writer.close()
        server.close()

    run(scenario())


def test_http_1_0_apps_are_answered_until_the_connection_closes(replica: Any) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"he", b"llo")

    async def scenario() -> None:
        async with scripted(answering(raw)) as upstream, replica(upstream.url) as farebox:
            lines, body = head_and_body(await farebox.send(b"GET /v1/files/f/content HTTP/1.0\r\nHost: x\r\n\r\n"))
            assert lines[0] == b"HTTP/1.0 200 OK"
            assert body == b"hello"

    run(scenario())


@pytest.mark.parametrize(
    ("case", "raw", "status"),
    [
        ("not HTTP", b"hello there\r\n\r\n", b"400"),
        ("two lengths", UPLOAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", b"400"),
        ("length and chunks", UPLOAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        ("NUL in a header", b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n", b"400"),
        ("a header without end", b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n", b"400"),
        ("bytes that no URL has", b"GET /v1/models?q=\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        ("not under /v1", b"GET /v2/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404"),
        ("a URL as target", b"GET http://elsewhere/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404"),
        ("up and out of /v1", b"GET /v1/../admin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404"),
    ],
)  # fmt: skip
def test_bad_requests_get_an_error_in_openais_shape(replica: Any, case: str, raw: bytes, status: bytes) -> None:
    async def scenario() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url) as farebox:
            lines, body = head_and_body(await farebox.send(raw))
            assert lines[0].split()[1] == status
            assert body.lstrip().startswith(b'{\n  "error": {\n    "message": "Farebox')
            assert upstream.seen == []

    run(scenario())
