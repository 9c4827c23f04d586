"""What lasts too long, grows too large, or finds no room: memory stays bounded, errors are clear, nothing is lost."""

import asyncio
import os
import resource
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from e2e.served import Answer, Served, ask, charges_of, free_port, serve, until
from scripted_upstream import Seen, scripted

from proxy.simulator.server import start
from proxy.simulator.simulator import Simulator

STREAMS = int(os.environ.get("FAREBOX_TEST_STREAMS", "200"))
"""`FAREBOX_TEST_STREAMS=5000 make test` opens more at once."""

REQUESTS = int(os.environ.get("FAREBOX_TEST_REQUESTS", "2000"))
"""`FAREBOX_TEST_REQUESTS=200000 make test` watches the memory for longer."""

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
STREAM = CHAT | {"stream": True}
MEBI = 2**20


def memory(served: Served) -> int:
    """What a replica keeps in memory, in bytes."""
    pages = Path(f"/proc/{served.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def ledger(folder: Path) -> str:
    return f"sqlite:///{folder}/farebox.db"


async def ready(console: int) -> tuple[int, str]:
    async with aiohttp.request("GET", f"http://127.0.0.1:{console}/readyz") as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("room", [32 * 1024, 0], ids=["the disk is full", "the disk takes nothing at all"])
def test_a_disk_without_room_refuses_new_calls_and_loses_no_old_one(tmp_path: Path, room: int) -> None:
    """Journal and ledger share the disk; streams that are open when it fills up go on to their end."""

    async def scene() -> None:
        simulator = await start(Simulator(11))
        console = free_port()
        database = ledger(tmp_path)
        environ = {
            "FAREBOX_UPSTREAM": simulator.url, "FAREBOX_DATABASE": database, "FAREBOX_CONSOLE": f"127.0.0.1:{console}",
        }  # fmt: skip
        answers: list[Answer | None] = []
        async with serve(tmp_path, environ) as served:
            disk = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE)
            streams = [asyncio.create_task(ask(served.port, STREAM, told="stall=2@3")) for _ in range(10)]
            await until(lambda: len(simulator.simulator.bill) == 10)
            largest = max(path.stat().st_size for path in (tmp_path / "journal").rglob("*") if path.is_file())
            resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (largest + room if room else 0, disk[1]))
            while (answer := await ask(served.port, CHAT)) and answer.status == 200:
                answers.append(answer)
            assert answer
            assert (answer.status, answer.code) == (503, "journal_unwritable")
            assert (await ready(console))[0] == 503
            billed = len(simulator.simulator.bill)
            streamed = await asyncio.gather(*streams)
            assert all(answer and b"[DONE]" in answer.body for answer in streamed)
            answers += streamed
            refused = await ask(served.port, CHAT)
            assert refused
            assert refused.code == "journal_unwritable"
            assert len(simulator.simulator.bill) == billed, "what is refused never leaves"
            resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, disk)
            while (answer := await ask(served.port, CHAT)) and answer.status != 200:
                assert answer.code == "journal_unwritable"
            answers.append(answer)
            async with asyncio.timeout(60):
                while (await ready(console))[0] != 200:
                    await asyncio.sleep(0.05)
            assert await served.stop() == 0
        cost = {row.request_id: row.cost_usd for row in simulator.simulator.bill}
        await simulator.stop()
        charges = {row["id"]: row for row in await charges_of(database)}
        assert len(charges) == len(answers) == len(cost)
        for answer in answers:
            assert answer
            charge = charges[answer.headers["x-farebox-id"]]
            assert Decimal(charge["cost_usd"]) == cost[answer.headers["x-request-id"]]

    asyncio.run(scene())


ENDLESS = {
    "events": b'data: {"choices":[{"index":0,"delta":{"content":"' + b"word " * 50 + b'"}}]}\n\n',
    "one line": b"word " * 50,
    "one answer": b'"' + b"word " * 50 + b'",',
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_upstream_that_never_ends_fills_no_memory_and_is_charged(tmp_path: Path, kind: str) -> None:
    """Until the app leaves, after more bytes than anything may be kept of."""
    much = 96 * MEBI
    first = {"events": b"", "one line": b"data: ", "one answer": b'{"choices":['}[kind]
    media = "application/json" if kind == "one answer" else "text/event-stream"

    async def pour(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        piece = ENDLESS[kind] * 64
        writer.write(b"%x\r\n%b\r\n" % (len(first), first) if first else b"")
        while True:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()

    async def scene() -> None:
        async with scripted(pour) as upstream:
            environ = {
                "FAREBOX_UPSTREAM": upstream.url, "FAREBOX_DATABASE": ledger(tmp_path), "FAREBOX_DRAIN_SECONDS": "0.5",
            }  # fmt: skip
            async with serve(tmp_path, environ) as served:
                before = memory(served)
                reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
                content = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hello"}]}'
                writer.write(
                    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-a\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
                )
                had = 0
                while had < much:
                    had += len(await reader.read(65536))
                assert memory(served) - before < 48 * MEBI
                writer.close()
                (charge,) = await charges_of(ledger(tmp_path), 1)
                assert charge["basis"] == "estimated"
                assert charge["cost_usd"]
                assert await served.stop() == 0

    asyncio.run(scene())


async def slowly(port: int, go: asyncio.Event) -> bytes:
    """A stream whose reader waits before it reads on, with little room of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    body = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hello"}]}'
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-a\r\nConnection: close\r\n"
        b"X-Simulate: words=2000\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    await reader.readexactly(16)
    await go.wait()
    whole = await reader.read()
    writer.close()
    return whole


@pytest.mark.timeout(180 + STREAMS)
def test_many_streams_with_slow_readers_take_little_memory_each_and_end_whole(tmp_path: Path) -> None:
    async def scene() -> None:
        simulator = await start(Simulator(12))
        environ = {"FAREBOX_UPSTREAM": simulator.url, "FAREBOX_DATABASE": ledger(tmp_path)}
        async with serve(tmp_path, environ) as served:
            assert await ask(served.port, STREAM)
            before, go = memory(served), asyncio.Event()
            readers = [asyncio.create_task(slowly(served.port, go)) for _ in range(STREAMS)]
            async with asyncio.timeout(600):
                while len(simulator.simulator.bill) < STREAMS + 1:
                    await asyncio.sleep(0.05)
            most = before + 8 * MEBI + STREAMS * 256 * 1024
            assert memory(served) < most
            go.set()
            answers = await asyncio.gather(*readers)
            assert all(b"data: [DONE]" in answer for answer in answers)
            assert memory(served) < most
            charges = await charges_of(ledger(tmp_path), STREAMS + 1)
            assert await served.stop() == 0
        assert sum(Decimal(row["cost_usd"]) for row in charges) == sum(row.cost_usd for row in simulator.simulator.bill)
        assert {row["basis"] for row in charges} == {"reported"}
        await simulator.stop()

    asyncio.run(scene())


@pytest.mark.timeout(180 + REQUESTS)
def test_memory_is_flat_however_many_calls_it_has_served(tmp_path: Path) -> None:
    async def scene() -> None:
        simulator = await start(Simulator(13))
        environ = {"FAREBOX_UPSTREAM": simulator.url, "FAREBOX_DATABASE": ledger(tmp_path)}
        async with serve(tmp_path, environ) as served, aiohttp.ClientSession() as session:

            async def calls(number: int) -> None:
                for turn in range(number):
                    body: dict[str, Any] = CHAT | {"stream": bool(turn % 2), "user": f"user {turn % 50}"}
                    async with session.post(
                        f"http://127.0.0.1:{served.port}/v1/chat/completions", json=body,
                        headers={"Authorization": f"Bearer sk-{turn % 20}"},
                    ) as answer:  # fmt: skip
                        assert answer.status == 200
                        await answer.read()

            async def many(number: int) -> None:
                await asyncio.gather(*(calls(number // 20) for _ in range(20)))
                simulator.simulator.bill.reset()

            await many(1000)
            before = memory(served)
            for _ in range(REQUESTS // 1000):
                await many(1000)
            assert memory(served) - before < 12 * MEBI
            await charges_of(ledger(tmp_path), 1)
            assert await served.stop() == 0
        await simulator.stop()

    asyncio.run(scene())
