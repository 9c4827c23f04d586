"""Bad input passes through or gets a clear error; the charge is exact or marked; the process goes on."""

import asyncio
import json
from typing import Any

import pytest
from replica import Replica
from scripted_upstream import Seen, scripted

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
ANSWER = {"id": "chatcmpl-1", "model": "gpt-4o-2024-08-06", "choices": [], "usage": USAGE}
MIB = 2**20


def sized(body: bytes, kind: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body


async def accepting(_seen: Seen, writer: asyncio.StreamWriter) -> None:
    """An upstream that takes anything and says what it used."""
    writer.write(sized(json.dumps(ANSWER).encode()))


def post(body: bytes, *headers: bytes, path: bytes = b"/v1/chat/completions") -> bytes:
    lines = [b"POST %s HTTP/1.1" % path, b"Host: x", b"Content-Length: %d" % len(body), *headers, b"Connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "not JSON": b"hello",
    "half an object": b'{"model":"gpt-4o","messages":[',
    "a list": b"[1,2,3]",
    "a number": b"42",
    "deeply nested": b'{"model":"gpt-4o","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "wrong types": b'{"model":{"x":1},"stream":"yes","stream_options":7,"user":[],"metadata":3,"service_tier":false}',
    "NUL bytes": b'{"model":"gpt-4o\\u0000","user":"a\\u0000b","messages":[]}\x00',
    "broken UTF-8": b'{"model":"gpt-4o\xff\xfe","messages":[]}',
    "lone surrogates": b'{"model":"gpt-4o","user":"\\ud800","messages":[]}',
    "a byte order mark": b'\xef\xbb\xbf{"model":"gpt-4o"}',
    "an absurd model": json.dumps({"model": "x" * 100_000, "messages": []}).encode(),
    "the same key twice": b'{"model":"gpt-4o","stream":true,"stream":false,"messages":[]}',
    "streaming without messages": b'{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":{}}}',
}


@pytest.mark.parametrize("case", BODIES)
def test_strange_bodies_pass_and_are_charged_exactly(replica: Any, case: str) -> None:
    async def scene() -> None:
        async with scripted(accepting) as upstream, replica(upstream.url) as farebox:
            answer = await farebox.send(post(BODIES[case], b"Authorization: Bearer sk-x"))
            assert answer.startswith(b"HTTP/1.1 200 OK"), answer[:300]
            if case != "streaming without messages":
                assert upstream.seen[0].body == BODIES[case]
            (charge,) = await farebox.charges()
            assert charge["basis"] == "reported"
            assert charge["usage"] == {"input_text_tokens": 7, "output_text_tokens": 3}
            assert charge["cost_usd"] == "0.0000475"
            await still_serves(farebox)

    asyncio.run(scene())


async def still_serves(farebox: Replica) -> None:
    assert (await farebox.send(post(b'{"model":"gpt-4o","messages":[]}'))).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_of_100_megabytes(replica: Any, stream: bool) -> None:
    """Passed on as it comes in; exact where the answer reports its usage, marked where a stream does not."""
    beginning = json.dumps({"model": "gpt-4o", "stream": stream}).encode()[:-1] + b',"messages":[{"content":"'
    end = b'"}]}'
    filling = 100 * MIB
    length = len(beginning) + filling + len(end)

    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        left = length
        while left:
            left -= len(await seen.reader.read(min(left, MIB)))
        if stream:
            writer.write(sized(b'data: {"model":"gpt-4o","choices":[]}\n\ndata: [DONE]\n\n', b"text/event-stream"))
        else:
            await accepting(seen, writer)

    async def scene() -> None:
        async with scripted(script, read_body=False) as upstream, replica(upstream.url) as farebox:
            reader, writer = await farebox.connect()
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length)
            writer.write(beginning)
            for _ in range(filling // MIB):
                writer.write(b"x" * MIB)
                await writer.drain()
            writer.write(end)
            assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"
            (charge,) = await farebox.charges()
            assert charge["basis"] == ("unknown" if stream else "reported")
            assert charge["reason"] == ("no_usage" if stream else None)
            assert charge["requested_model"] is None, "too large to be read"
            assert charge["cost_usd"] == (None if stream else "0.0000475")
            writer.close()

    asyncio.run(scene())


LIES: dict[str, Any] = {
    "usage is text": {"usage": "lots"},
    "usage is a list": {"usage": [1, 2]},
    "usage is empty": {"usage": {}},
    "negative tokens": {"usage": {"prompt_tokens": -5, "completion_tokens": 3}},
    "absurd tokens": {"usage": {"prompt_tokens": 10**30, "completion_tokens": 3}},
    "tokens as text": {"usage": {"prompt_tokens": "7", "completion_tokens": "3"}},
    "model is a number": {"model": 5, "usage": None},
    "no object at all": [1, 2, 3],
}


@pytest.mark.parametrize("case", LIES)
def test_what_an_upstream_cannot_mean_is_estimated_and_marked(replica: Any, case: str) -> None:
    lie = LIES[case]
    body = json.dumps({**ANSWER, **lie} if isinstance(lie, dict) else lie).encode()

    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(sized(body))

    async def scene() -> None:
        async with scripted(script) as upstream, replica(upstream.url) as farebox:
            ask = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Say hello."}]}'
            assert (await farebox.send(post(ask))).endswith(body)
            (charge,) = await farebox.charges()
            assert (charge["basis"], charge["reason"]) == ("estimated", "no_usage")
            assert charge["usage"] == {"input_text_tokens": 10}
            assert charge["cost_usd"] is not None

    asyncio.run(scene())


def test_text_that_speaks_of_usage_is_only_text(replica: Any) -> None:
    lie = '"usage":{"prompt_tokens":999999,"completion_tokens":9}} data: [DONE] \n\ndata: {"usage":{"prompt_tokens":1}}'
    answer = {**ANSWER, "choices": [{"message": {"role": "assistant", "content": lie}}]}

    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(sized(json.dumps(answer).encode()))

    async def scene() -> None:
        async with scripted(script) as upstream, replica(upstream.url) as farebox:
            await farebox.send(post(json.dumps({"model": "gpt-4o", "messages": [{"content": lie}]}).encode()))
            (charge,) = await farebox.charges()
            assert charge["usage"] == {"input_text_tokens": 7, "output_text_tokens": 3}

    asyncio.run(scene())


def test_an_endless_event_and_an_endless_head_are_bounded(replica: Any) -> None:
    """An upstream that never ends a line: passed on while it goes, then estimated; a head without end is a 502."""

    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if b"head" in seen.body:
            writer.write(b"HTTP/1.1 200 OK\r\n")
            for _ in range(2000):
                writer.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ")
            for _ in range(40):
                writer.write(b"x" * MIB)
                await writer.drain()
        writer.close()

    async def scene() -> None:
        async with scripted(script) as upstream, replica(upstream.url) as farebox:
            for word, status in ((b"event", b"200"), (b"head", b"502")):
                ask = b'{"model":"gpt-4o","messages":[{"role":"user","content":"%b"}]}' % word
                answer = await farebox.send(post(ask))
                assert answer.split(b" ", 2)[1] == status
            assert [charge["basis"] for charge in await farebox.charges()] == ["estimated", "estimated"]

    asyncio.run(scene())


def test_a_million_spaces_neither_crash_nor_stall(replica: Any) -> None:
    """Counted off the loop: other calls go on meanwhile."""
    spaces = " " * 1_200_000

    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(sized(json.dumps({**ANSWER, "usage": None}).encode()))

    async def scene() -> None:
        async with scripted(script) as upstream, replica(upstream.url) as farebox:
            ask = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": spaces}]}).encode()
            long, *short = await asyncio.gather(
                farebox.send(post(ask)), *(farebox.send(post(b'{"model":"gpt-4o","messages":[]}')) for _ in range(5))
            )
            assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in (long, *short))
            charges = await farebox.charges()
            assert {charge["basis"] for charge in charges} == {"estimated"}
            assert max(charge["usage"]["input_text_tokens"] for charge in charges) > 1000

    asyncio.run(scene())
