import asyncio
import gzip
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from proxy.simulator.server import Running, in_thread, serve, start
from proxy.simulator.simulator import Simulator

HELLO: Any = [{"role": "user", "content": "hello"}]


class Ticket(BaseModel):
    zone: int
    name: str
    stops: list[str]


class Clock:
    """A `sleep` that only writes down how long."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def running(clock: Clock) -> Iterator[Running]:
    with in_thread(Simulator(seed=5, clock=lambda: 1_795_000_000.5), sleep=clock.sleep) as listening:
        yield listening


@pytest.fixture
def client(running: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sk-test", base_url=f"{running.url}/v1", max_retries=0) as sdk:
        yield sdk


def said(text: str) -> dict[str, str]:
    return {"x-simulate": text}


# ── with the real SDK ───────────────────────────────────────────────────────────


def test_the_sdk_reads_what_the_bill_says(running: Running, client: openai.OpenAI) -> None:
    chat = client.chat.completions.create(model="gpt-4o", messages=HELLO, n=2)
    response = client.responses.create(model="gpt-6.1-sol", input="hello", service_tier="flex")
    compacted = client.responses.compact(model="gpt-5.4", input="hello")
    legacy = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert chat.usage
    assert response.usage
    assert legacy.usage
    rows = list(running.simulator.bill)
    assert [(row.id, row.usage.input, row.usage.output) for row in rows] == [
        (chat.id, chat.usage.prompt_tokens, chat.usage.completion_tokens),
        (response.id, response.usage.input_tokens, response.usage.output_tokens),
        (compacted.id, compacted.usage.input_tokens, compacted.usage.output_tokens),
        (legacy.id, legacy.usage.prompt_tokens, legacy.usage.completion_tokens),
        (None, vectors.usage.prompt_tokens, 0),
    ]
    assert rows[1].service_tier == response.service_tier
    assert len(vectors.data[1].embedding) == 1536


def test_the_sdk_streams_chat(running: Running, client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    stream = client.chat.completions.create(model="gpt-5.6", messages=HELLO, stream=True, stream_options=options)
    chunks = list(stream)
    (row,) = running.simulator.bill
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == row.usage.output
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])


def test_the_sdk_streams_responses(running: Running, client: openai.OpenAI) -> None:
    with client.responses.stream(model="gpt-5.6-sol", input="hello") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    (row,) = running.simulator.bill
    assert final.output_text == "".join(deltas)
    assert final.usage
    assert final.usage.output_tokens == row.usage.output


def test_the_sdk_parses_structured_outputs(client: openai.OpenAI) -> None:
    chat = client.chat.completions.parse(model="gpt-4o", messages=HELLO, response_format=Ticket)
    response = client.responses.parse(model="gpt-4o", input="hello", text_format=Ticket)
    assert chat.choices[0].message.parsed == response.output_parsed == Ticket(zone=0, name="", stops=[])


def test_the_sdk_works_asynchronously() -> None:
    async def ask() -> None:
        running = await start(Simulator(seed=5))
        async with openai.AsyncOpenAI(api_key="sk-test", base_url=f"{running.url}/v1") as client:
            calls = (client.chat.completions.create(model="gpt-4o", messages=HELLO) for _ in range(20))
            answers = await asyncio.gather(*calls)
            stream = await client.responses.create(model="o3", input="hello", stream=True)
            last = [event async for event in stream][-1]
        await running.stop()
        assert {answer.id for answer in answers} | {last.response.id} == {row.id for row in running.simulator.bill}  # type: ignore[union-attr]

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("told", "error", "code"),
    [
        ("status=401", openai.AuthenticationError, "invalid_api_key"),
        ("status=429", openai.RateLimitError, "rate_limit_exceeded"),
        ("status=429-quota", openai.RateLimitError, "insufficient_quota"),
        ("status=500", openai.InternalServerError, None),
        ("tier=flex", openai.BadRequestError, None),
    ],
)
def test_the_sdk_raises_openais_errors(
    client: openai.OpenAI, told: str, error: type[openai.APIStatusError], code: str | None
) -> None:
    with pytest.raises(error) as raised:
        client.chat.completions.create(model="gpt-4o", messages=HELLO, extra_headers=said(told))
    assert raised.value.code == code
    assert raised.value.request_id


def test_the_sdk_raises_an_error_in_the_middle_of_a_stream(client: openai.OpenAI) -> None:
    headers = said("error_midstream=2")
    with (
        client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True, extra_headers=headers) as stream,
        pytest.raises(openai.APIError, match="had an error"),
    ):
        list(stream)


def test_unknown_models_and_missing_keys(running: Running, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-9"):
        client.chat.completions.create(model="gpt-9", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="gpt-9"):
        client.responses.create(model="gpt-9", input="hello")
    assert exchange(running, key=None).status == 401


# ── byte by byte ────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Seen:
    """What came over the wire, and how it ended."""

    raw: bytes
    reset: bool

    @property
    def head(self) -> str:
        return self.raw.partition(b"\r\n\r\n")[0].decode()

    @property
    def rest(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    @property
    def chunks(self) -> list[bytes]:
        """The HTTP chunks, which are the server's writes; the last, empty one only if it came."""
        chunks, rest = [], self.rest
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            chunks.append(rest[: int(size, 16)])
            rest = rest[int(size, 16) + 2 :]
        return chunks


def request(
    told: str,
    *,
    stream: bool = False,
    key: str | None = "sk-test",
    path: str = "/v1/chat/completions",
    **headers: str,
) -> bytes:
    body = json.dumps({"model": "gpt-4o", "messages": HELLO, "input": "hello", "stream": stream}).encode()
    fields = {
        "Host": "simulator",
        "Connection": "close",
        "Content-Length": str(len(body)),
        "x-simulate": told,
    }
    fields |= {"Authorization": f"Bearer {key}"} if key else {}
    lines = [f"{name}: {value}" for name, value in (fields | headers).items()]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + body


def exchange(running: Running, told: str = "", **asked: Any) -> Seen:
    with socket.create_connection((running.host, running.port), timeout=10) as connection:
        connection.sendall(request(f"draw=a; words=4; {told}", **asked))
        raw = b""
        try:
            while piece := connection.recv(65_536):
                raw += piece
        except ConnectionResetError:
            return Seen(raw, reset=True)
        return Seen(raw, reset=False)


def test_a_stream_is_one_chunk_an_event(running: Running) -> None:
    seen = exchange(running, stream=True)
    *events, done, end = seen.chunks
    assert re.search("(?i)content-type: text/event-stream; charset=utf-8", seen.head)
    assert len(events) == 6
    assert all(event.startswith(b"data: {") and event.endswith(b"}\n\n") for event in events)
    assert (done, end) == (b"data: [DONE]\n\n", b"")


def test_a_whole_answer_says_its_length_and_sets_two_cookies(running: Running) -> None:
    seen = exchange(running)
    assert f"content-length: {len(seen.rest)}" in seen.head.lower()
    assert seen.head.lower().count("\r\nset-cookie: ") == 2
    assert "\r\nserver: cloudflare" in seen.head.lower()
    assert seen.rest.startswith(b'{\n  "id": "chatcmpl-')
    assert seen.rest.endswith(b"\n}\n")


def test_a_cut_ends_the_connection_but_not_the_message(running: Running) -> None:
    whole, cut = exchange(running, stream=True), exchange(running, "cut=2", stream=True)
    assert cut.chunks == whole.chunks[:2]
    assert not cut.reset
    short, full = exchange(running, "cut=50"), exchange(running)
    assert short.rest == full.rest[:50]
    assert f"content-length: {len(full.rest)}" in short.head.lower()


def test_a_reset_is_a_reset(running: Running) -> None:
    whole, broken = exchange(running, stream=True), exchange(running, "reset=2", stream=True)
    assert broken.reset
    assert broken.chunks == whole.chunks[:2]


def test_an_early_end_is_a_proper_end(running: Running) -> None:
    whole, early = exchange(running, stream=True), exchange(running, "end=2", stream=True)
    assert early.chunks == [*whole.chunks[:2], b""]
    short, full = exchange(running, "end=50"), exchange(running)
    assert short.rest == full.rest[:50]
    assert "content-length: 50\r\n" in short.head.lower()


def test_a_dropped_call_is_billed_and_not_answered(running: Running) -> None:
    seen = exchange(running, "drop; prompt_tokens=1000; completion_tokens=100")
    assert seen == Seen(b"", reset=False)
    (row,) = running.simulator.bill
    assert (row.cost_usd, row.fault, row.disconnected) == (Decimal("0.0035"), "drop", False)


def test_waiting_is_left_to_sleep(running: Running, clock: Clock) -> None:
    whole = exchange(running, stream=True)
    assert exchange(running, "delay=60; stall=30@2; interval=7", stream=True).chunks == whole.chunks
    assert clock.slept == [60, 7, 7, 30, *[7] * 5]


@pytest.mark.parametrize(
    ("told", "sizes"),
    [("trickle=100", {100}), ("merge=100", None), ("split=3", None)],
)
def test_shapes_change_the_writes_and_no_byte(running: Running, told: str, sizes: set[int] | None) -> None:
    plain, shaped = exchange(running, stream=True), exchange(running, told, stream=True)
    assert b"".join(shaped.chunks) == b"".join(plain.chunks)
    counts = {"trickle=100": -(-len(b"".join(plain.chunks)) // 100), "merge=100": 1, "split=3": 21}
    assert len(shaped.chunks) - 1 == counts[told]
    assert sizes is None or {len(chunk) for chunk in shaped.chunks[:-2]} == sizes


def test_line_ends_can_be_those_of_windows(running: Running) -> None:
    plain, windows = exchange(running, stream=True), exchange(running, "chunk_lines=crlf", stream=True)
    assert b"".join(windows.chunks) == b"".join(plain.chunks).replace(b"\n", b"\r\n")


@pytest.mark.parametrize("stream", [False, True])
def test_compression_for_who_accepts_it(running: Running, stream: bool) -> None:
    plain = exchange(running, stream=stream)
    refused = exchange(running, "gzip", stream=stream)
    squeezed = exchange(running, "gzip", stream=stream, **{"Accept-Encoding": "gzip, br"})
    assert refused.rest == plain.rest
    assert "content-encoding: gzip" in squeezed.head.lower()
    assert gzip.decompress(b"".join(squeezed.chunks)) == (b"".join(plain.chunks) if stream else plain.rest)


def test_a_lie_stays_inside_its_string(running: Running) -> None:
    seen = exchange(running, "lie=usage_text", stream=True)
    events = b"".join(seen.chunks).decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    deltas = [json.loads(event.removeprefix("data: "))["choices"][0]["delta"] for event in events[:-2]]
    assert '"prompt_tokens":999999' in "".join(delta.get("content", "") for delta in deltas)


def test_usage_can_be_hidden(running: Running) -> None:
    assert "usage" in json.loads(exchange(running).rest)
    assert "usage" not in json.loads(exchange(running, "no_usage").rest)


def test_refusals_carry_their_headers(running: Running) -> None:
    seen = exchange(running, "status=429")
    assert seen.status == 429
    assert "retry-after-ms: 20" in seen.head.lower()
    assert "x-ratelimit-remaining-requests: 0" in seen.head.lower()
    assert seen.head.lower().count("x-ratelimit-remaining-requests") == 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_a_client_that_leaves_pays_in_full(path: str) -> None:
    gone = threading.Event()

    async def sleep(_: float) -> None:
        await asyncio.get_running_loop().run_in_executor(None, gone.wait)

    with in_thread(Simulator(seed=5, clock=lambda: 1_795_000_000.5), sleep=sleep) as running:
        with socket.create_connection((running.host, running.port), timeout=10) as connection:
            told = "words=500; stall=1@2; prompt_tokens=1000; completion_tokens=100; interval=0.1"
            connection.sendall(request(told, stream=True, path=path))
            assert connection.recv(12) == b"HTTP/1.1 200"
        gone.set()
    (row,) = running.simulator.bill
    assert row.disconnected
    assert row.cost_usd == Decimal("0.0035")


# ── around it ───────────────────────────────────────────────────────────────────


def talk(running: Running, line: str) -> Seen:
    with socket.create_connection((running.host, running.port), timeout=10) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: simulator\r\nConnection: close\r\n\r\n".encode())
        return Seen(b"".join(iter(lambda: connection.recv(65_536), b"")), reset=False)


def test_the_bill_is_shown_and_reset(running: Running) -> None:
    exchange(running, "prompt_tokens=1000; completion_tokens=100")
    shown = json.loads(talk(running, "GET /_simulator/bill").rest)
    assert (shown["total_usd"], shown["requests"], len(shown["rows"])) == ("0.0035", 1, 1)
    assert talk(running, "POST /_simulator/reset").status == 204
    assert json.loads(talk(running, "GET /_simulator/bill").rest)["requests"] == 0


def test_a_taken_port_is_an_error(running: Running) -> None:
    with pytest.raises(OSError, match="in use"), in_thread(Simulator(), port=running.port):
        pass


def test_serving_until_cancelled() -> None:
    async def run() -> None:
        listening: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(serve("127.0.0.1:0", seed=1, faults=["1 status=500"], ready=listening.set_result))
        running = await listening
        assert (await asyncio.to_thread(lambda: exchange(running))).status == 200
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{running.url}/v1", max_retries=0) as client:
            with pytest.raises(openai.InternalServerError):
                await client.chat.completions.create(model="gpt-4o", messages=HELLO)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(running.host, running.port)

    asyncio.run(run())


@pytest.mark.parametrize("listen", ["8080", "127.0.0.1:", "127.0.0.1:http"])
def test_addresses_that_make_no_sense(listen: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        asyncio.run(serve(listen))
