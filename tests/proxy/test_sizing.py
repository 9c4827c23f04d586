"""Batches and training jobs at a running replica, before an upstream that has their files."""

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from replica import Replica, until
from scripted_upstream import ScriptedUpstream, Seen, chunked, reset, scripted

from billing.budgets import Budget
from billing.charges import Basis, Charge
from billing.holds import FRAMING
from billing.money import pico_from_usd
from billing.scopes import Scope
from proxy import file_lines, sizing

BATCH = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
JOB = {"model": "gpt-4.1-2025-04-14", "training_file": "file-1", "hyperparameters": {"n_epochs": 2}}
MINI_IN, MINI_OUT = 75_000, 300_000  # gpt-4o-mini in a batch: $0.075 and $0.30 per 1M tokens
TRAINING = 25_000_000  # gpt-4.1: $25 per 1M tokens

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"


def request_line(cap: int | None = 100, text: str = "hello", model: str = "gpt-4o-mini") -> bytes:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
    if cap is not None:
        body["max_completion_tokens"] = cap
    return json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": body}).encode()


def body_bytes(line: bytes) -> int:
    return len(json.dumps(json.loads(line)["body"]).encode())


def bound(*lines: bytes, cap: int = 100) -> int:
    return sum((body_bytes(line) + FRAMING) * MINI_IN + cap * MINI_OUT for line in lines)


def post(path: str, fields: dict[str, Any]) -> bytes:
    body = json.dumps(fields).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-test\r\nOpenAI-Project: proj_1\r\n"
        f"OpenAI-Organization: org-1\r\nCookie: no\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def batch(**more: Any) -> bytes:
    return post("/v1/batches", {**BATCH, **more})


def job(**more: Any) -> bytes:
    return post("/v1/fine_tuning/jobs", {**JOB, **more})


def whole(content: bytes, *headers: bytes) -> bytes:
    more = b"".join(header + b"\r\n" for header in headers)
    return HEAD + more + b"Content-Length: %d\r\n\r\n" % len(content) + content


@dataclass
class Files:
    """An upstream that has files, and takes whatever is posted to it."""

    raw: dict[str, bytes]
    pieces: Iterable[bytes] = ()
    break_off: bool = False
    fetched: list[Seen] = field(default_factory=list)
    posted: list[Seen] = field(default_factory=list)

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        method, path, _ = seen.first_line.decode().split()
        if method == "POST":
            self.posted.append(seen)
            writer.write(
                b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"id":"job_1"}'[:-1]
            )
            return
        self.fetched.append(seen)
        file_id = path.removeprefix("/v1/files/").removesuffix("/content")
        if file_id == "file-streamed":
            writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for piece in self.pieces:
                writer.write(chunked(piece)[:-5])
                await writer.drain()
            if self.break_off:
                reset(writer)
            writer.write(b"0\r\n\r\n")
            return
        writer.write(self.raw.get(file_id, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))


@asynccontextmanager
async def before(
    files: Files, replica: Any, *budgets: Budget, **more: str
) -> AsyncIterator[tuple[Replica, ScriptedUpstream]]:
    async with scripted(files) as upstream, replica(upstream.url, **more) as farebox:
        await farebox.define(*budgets)
        yield farebox, upstream


def status(raw: bytes) -> int:
    return int(raw.split(b" ", 2)[1])


def error(raw: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(raw.partition(b"\r\n\r\n")[2])["error"]
    return fields


LINES = [request_line(), request_line(text="goodbye"), request_line(text="x" * 100)]
CONTENT = b"\n".join(LINES) + b"\n"
DOLLAR = Budget("b", pico_from_usd("1"))


async def held_for(farebox: Replica, raw: bytes) -> tuple[int, str | None]:
    """What a call was held at, once it has ended, and its basis."""
    settled: list[Charge] = []
    farebox.app.cashier.listeners.append(settled.append)
    assert status(await farebox.send(raw)) == 200
    await farebox.settled()
    (charge,), position = settled, farebox.position("b")
    assert (charge.outcome.basis, charge.outcome.reason, charge.cost_pico) == (Basis.UNKNOWN, "usage_later", None)
    assert (position.held_pico, position.spent_pico) == (0, position.unknown_pico)
    assert position.unknown_pico == charge.call.held_pico
    return position.unknown_pico, charge.call.hold


@pytest.mark.parametrize(
    "answer",
    [whole(CONTENT), whole(CONTENT.strip()), whole(gzip.compress(CONTENT), b"Content-Encoding: gzip")],
    ids=["plain", "no last line end", "gzip"],
)
def test_a_batch_is_held_at_what_its_file_can_cost(replica: Any, answer: bytes) -> None:
    async def scene() -> None:
        files = Files({"file-1": answer})
        async with before(files, replica, DOLLAR) as (farebox, _):
            assert await held_for(farebox, batch()) == (bound(*LINES), "bound")
            (charge,) = await farebox.charges()
            assert charge["requested_model"] == "gpt-4o-mini"
        async with replica("http://127.0.0.1:9") as farebox:  # after a restart it counts as before
            assert farebox.position("b").unknown_pico == bound(*LINES)

    asyncio.run(scene())


def test_a_file_is_asked_for_as_the_call_will_be_sent(replica: Any) -> None:
    async def scene() -> None:
        files = Files({"file-1": whole(CONTENT)})
        async with before(files, replica, DOLLAR) as (farebox, upstream):
            await farebox.send(batch())
            (seen,) = files.fetched
            assert seen.first_line == b"GET /v1/files/file-1/content HTTP/1.1"
            assert {name.lower(): value for name, value in seen.headers} == {
                b"host": upstream.url.removeprefix("http://").encode(),
                b"authorization": b"Bearer sk-test",
                b"openai-project": b"proj_1",
                b"openai-organization": b"org-1",
                b"accept-encoding": b"identity",
            }

    asyncio.run(scene())


def test_a_batch_that_costs_too_much_never_reaches_the_upstream(replica: Any) -> None:
    async def scene() -> None:
        files = Files({"file-1": whole(CONTENT)})
        async with before(files, replica, Budget("b", 3 * 100 * MINI_OUT)) as (farebox, _):
            refused = await farebox.send(batch())
            assert (status(refused), error(refused)["code"]) == (429, "project_spend_limit_exceeded")
            assert (len(files.fetched) > 0, files.posted) == (True, [])
            assert await farebox.charges() == []

    asyncio.run(scene())


def test_near_the_limit_the_lines_are_counted(replica: Any) -> None:
    line = request_line(cap=10, text="the quick brown fox jumps over the lazy dog " * 600)  # 26 kB, 5,400 tokens
    room = 2 * (5_700 * MINI_IN + 10 * MINI_OUT)
    assert bound(line, line, cap=10) > 4 * room

    async def scene() -> None:
        files = Files({"file-1": whole(line + b"\n" + line)})
        async with before(files, replica, Budget("b", room)) as (farebox, _):
            held, basis = await held_for(farebox, batch())
            assert basis == "bound"
            assert held > 2 * 5_400 * MINI_IN
            assert len(files.fetched) == 2

    asyncio.run(scene())


def test_a_file_is_read_once_for_who_may_read_it(replica: Any) -> None:
    async def scene() -> None:
        files = Files({"file-1": whole(CONTENT)})
        async with before(files, replica, DOLLAR) as (farebox, _):
            await farebox.send(batch())
            await farebox.send(batch())
            assert (len(files.fetched), len(files.posted)) == (1, 2)
            await farebox.send(batch().replace(b"sk-test", b"sk-text"))
            assert len(files.fetched) == 2
            await until(lambda: farebox.position("b").unknown_pico == 3 * bound(*LINES))

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("scope", "fetched"),
    [({"team": ("nobody",)}, 0), ({"model": ("gpt-4o-mini",)}, 1), ({"model": ("gpt-4o",), "team": ("nobody",)}, 0)],
)
def test_a_file_is_fetched_only_where_a_budget_is_about_it(replica: Any, scope: Any, fetched: int) -> None:
    async def scene() -> None:
        files = Files({"file-1": whole(CONTENT)})
        budget = Budget("b", pico_from_usd("1"), scope=Scope(scope))
        async with before(files, replica, budget) as (farebox, _):
            assert status(await farebox.send(batch())) == 200
            await farebox.settled()
            assert (len(files.fetched), len(files.posted)) == (fetched, 1)
            assert farebox.position("b").unknown_pico == fetched * bound(*LINES)

    asyncio.run(scene())


def test_a_soft_budget_wants_to_know_as_well(replica: Any) -> None:
    async def scene() -> None:
        files = Files({"file-1": whole(CONTENT)})
        async with before(files, replica, Budget("b", 1, hard=False)) as (farebox, _):
            assert await held_for(farebox, batch()) == (bound(*LINES), "bound")

    asyncio.run(scene())


UNREADABLE = {
    "not there": ("file-2", "404"),
    "no such id": ("../models", "no file named by input_file_id"),
    "no id": (None, "no file named by input_file_id"),
    "broken off": ("file-streamed", "broke off"),
    "wrongly coded": ("file-coded", "cannot be decoded"),
    "coded unheard of": ("file-odd", "cannot be decoded"),
    "too large": ("file-large", "larger than"),
}


@pytest.mark.parametrize(("file_id", "why"), UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("uncapped", ["expected", "strict"])
def test_a_file_that_cannot_be_read_is_held_for_by_policy(
    replica: Any, monkeypatch: pytest.MonkeyPatch, file_id: str | None, why: str, uncapped: str
) -> None:
    monkeypatch.setattr(sizing, "BATCH_CEILING_BYTES", 10_000)
    raw = {
        "file-coded": whole(CONTENT, b"Content-Encoding: gzip"),
        "file-odd": whole(CONTENT, b"Content-Encoding: rot13"),
        "file-large": whole(CONTENT * 100),
    }

    async def scene() -> None:
        files = Files(raw, [CONTENT], break_off=True)
        async with before(files, replica, DOLLAR, uncapped=uncapped) as (farebox, _):
            if uncapped == "expected":
                assert await held_for(farebox, batch(input_file_id=file_id)) == (pico_from_usd("0.05"), "expected")
                return
            refused = await farebox.send(batch(input_file_id=file_id))
            assert (status(refused), error(refused)["code"]) == (403, "budget_unbounded_call")
            assert why in error(refused)["message"]
            assert files.posted == []

    asyncio.run(scene())


def test_a_file_that_takes_too_long_is_held_for_by_policy(replica: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "READING_SECONDS", 0.05)

    async def silent(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.first_line.startswith(b"POST"):
            await Files({})(seen, writer)
        else:
            await seen.reader.read()

    async def scene() -> None:
        async with scripted(silent) as upstream, replica(upstream.url) as farebox:
            await farebox.define(DOLLAR)
            assert await held_for(farebox, batch()) == (pico_from_usd("0.05"), "expected")

    asyncio.run(scene())


def test_a_training_job_is_held_at_tokens_times_epochs(replica: Any) -> None:
    example = json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})
    each = len(example) + FRAMING

    async def scene() -> None:
        raw = {"file-1": whole(f"{example}\n{example}\n".encode()), "file-2": whole(example.encode())}
        files = Files(raw)
        async with before(files, replica, Budget("b", pico_from_usd("100"))) as (farebox, _):
            assert await held_for(farebox, job(validation_file="file-2")) == (3 * each * 2 * TRAINING, "bound")
            assert [seen.first_line.split()[1] for seen in files.fetched] == [
                b"/v1/files/file-1/content", b"/v1/files/file-2/content"]  # fmt: skip

    asyncio.run(scene())


def test_a_training_job_that_costs_too_much_is_refused(replica: Any) -> None:
    example = json.dumps({"messages": [{"role": "user", "content": "a" * 1000}]}).encode()

    async def scene() -> None:
        files = Files({"file-1": whole(example)})
        async with before(files, replica, Budget("b", 100 * TRAINING)) as (farebox, _):
            assert status(await farebox.send(job())) == 429
            assert files.posted == []

    asyncio.run(scene())


def test_reinforcement_is_bounded_by_nothing_and_needs_no_file(replica: Any) -> None:
    method = {"method": {"type": "reinforcement"}, "model": "o4-mini-2025-04-16"}

    async def scene() -> None:
        files = Files({"file-1": whole(b"{}")})
        async with before(files, replica, DOLLAR, uncapped="strict") as (farebox, _):
            refused = await farebox.send(job(**method))
            assert "billed by the hour" in error(refused)["message"]
            assert (files.fetched, files.posted) == ([], [])

    asyncio.run(scene())


def test_a_large_file_is_read_in_little_memory(replica: Any) -> None:
    piece = (request_line(text="x" * 900) + b"\n") * 50
    pieces = 5 * 2**20 // len(piece)

    async def scene() -> None:
        files = Files({}, (piece for _ in range(pieces)))
        async with before(files, replica, Budget("b", pico_from_usd("1000"))) as (farebox, _):
            tracemalloc.start()
            try:
                held = await held_for(farebox, batch(input_file_id="file-streamed"))
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert held == (pieces * 50 * bound(request_line(text="x" * 900)), "bound")
            assert peak < 3 * 2**20

    asyncio.run(scene())


def test_the_loop_turns_while_many_lines_are_read(replica: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read = longest = 0

    def counted(line: bytes) -> None:
        nonlocal read
        read += 1

    async def scene() -> None:
        nonlocal longest
        before_turn = 0

        async def turning() -> None:
            nonlocal longest, before_turn
            while True:
                longest, before_turn = max(longest, read - before_turn), read
                await asyncio.sleep(0)

        files = Files({"file-1": whole(b"x\n" * 20_000)})
        async with before(files, replica, Budget("b", pico_from_usd("10000"))) as (farebox, _):
            beside = asyncio.create_task(turning())
            assert status(await farebox.send(batch())) == 200
            beside.cancel()

    monkeypatch.setattr(file_lines, "request", counted)
    asyncio.run(scene())
    assert read == 20_000
    assert 0 < longest <= 20


def test_nothing_of_a_file_is_recorded(replica: Any) -> None:
    canary = "zanzibar-canary"

    async def scene() -> None:
        files = Files({"file-1": whole(request_line(text=canary))})
        async with before(files, replica, DOLLAR) as (farebox, _):
            await farebox.send(batch())
            (charge,) = await farebox.charges()
            assert canary not in json.dumps(charge, default=str)

    asyncio.run(scene())
