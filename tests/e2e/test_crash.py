"""SIGKILL at any instant: what an app received whole is charged once at its exact cost, the rest is marked."""

import asyncio
import json
import os
import random
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from e2e.served import serve

from billing.store import Narrowing, Store
from proxy.simulator.server import start
from proxy.simulator.simulator import Simulator

KILLS = int(os.environ.get("FAREBOX_TEST_KILLS", "4"))
"""`FAREBOX_TEST_KILLS=200 make test` tries harder."""

APPS = 8
SEED = 20261123


@dataclass
class Received:
    """What the apps have: whole answers by their Farebox id, with the upstream's id and the cost in the head."""

    whole: dict[str, tuple[str, str | None]] = field(default_factory=dict)


async def app_until_the_end(port: int, received: Received, luck: random.Random) -> None:
    """One app: call after call on one connection, until it breaks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            stream = luck.random() < 0.5
            body = json.dumps(
                {"model": "gpt-4o-mini", "stream": stream, "messages": [{"role": "user", "content": "Hello"}]}
            ).encode()
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-a\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
            if "content-length" in headers:
                await reader.readexactly(int(headers["content-length"]))
            else:
                await reader.readuntil(b"data: [DONE]\n\n")
                received.whole[headers["x-farebox-id"]] = (headers["x-request-id"], None)  # whole for every SDK
                await reader.readuntil(b"0\r\n\r\n")
            received.whole[headers["x-farebox-id"]] = (headers["x-request-id"], headers.get("x-farebox-cost-usd"))
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def scene(folder: Path, database: str) -> tuple[Received, list[dict[str, Any]], Simulator]:
    simulator = await start(Simulator(SEED))
    environ = {
        "FAREBOX_UPSTREAM": simulator.url, "FAREBOX_REPLICA": "crashing", "FAREBOX_DATABASE": database,
    }  # fmt: skip
    received, luck = Received(), random.Random(SEED)
    for kill in range(KILLS):
        async with serve(folder, environ) as served:
            if kill % 4 != 3:  # else it dies while it replays what the last life left
                apps = [
                    asyncio.create_task(app_until_the_end(served.port, received, random.Random(f"{kill} {n}")))
                    for n in range(APPS)
                ]
                enough = len(received.whole) + luck.randrange(5, 150)
                while len(received.whole) < enough:
                    await asyncio.sleep(luck.random() / 100)
            await served.kill()
        if kill % 4 != 3:
            await asyncio.gather(*apps)
    async with serve(folder, environ) as served:
        assert await served.stop() == 0
    await simulator.stop()
    store = Store(database)
    charges = [charge async for charge in store.charges(Narrowing())]
    (total,) = await store.totals((), Narrowing())
    assert (total.requests, total.cost_pico) == (len(charges), sum(charge["cost_pico"] or 0 for charge in charges))
    await store.close()
    return received, charges, simulator.simulator


@pytest.mark.timeout(3600)
def test_kills_lose_nothing_and_double_nothing(tmp_path: Path, database: str) -> None:
    received, charges, simulator = asyncio.run(scene(tmp_path, database))
    by_id = {charge["id"]: charge for charge in charges}
    assert len(by_id) == len(charges)
    billed = {row.request_id: row.cost_usd for row in simulator.bill}
    for ident, (request_id, cost) in received.whole.items():
        charge = by_id[ident]
        assert charge["basis"] == "reported"
        assert charge["upstream_request_id"] == request_id
        assert Decimal(charge["cost_usd"]) == billed[request_id]
        assert cost is None or cost == charge["cost_usd"]
    known = [charge["upstream_request_id"] for charge in charges if charge["upstream_request_id"]]
    assert len(known) == len(set(known)), "a billed call is charged once"
    interrupted = [charge for charge in charges if charge["reason"] == "interrupted"]
    assert all(charge["basis"] == "unknown" and charge["cost_usd"] is None for charge in interrupted)
    assert len(billed) <= len(charges) <= len(billed) + KILLS * APPS, (
        "every billed call is in the ledger, or more marked"
    )
    assert len(received.whole) > KILLS * 5
