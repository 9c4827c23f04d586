"""A seeded day with a hostile upstream: every call ends once, and header, ledger, metrics and bill agree."""

import asyncio
import json
import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from replica import Replica

from billing.money import pico_from_usd
from proxy.simulator.server import start
from proxy.simulator.simulator import Simulator

CALLS = 400
AT_ONCE = 16
FAULTS = (
    "0.05 cut=2",
    "0.05 reset=2",
    "0.04 drop",
    "0.04 no_usage",
    "0.04 status=500",
    "0.03 status=429",
    "0.03 error_midstream=2",
    "0.04 lie=usage_text",
    "0.05 trickle=11",
    "0.05 split=3",
    "0.05 merge=4",
    "0.03 chunk_lines=crlf",
)
MODELS = ("gpt-4o-mini", "gpt-5.6-terra", "gpt-6.1-sol", "ft:gpt-4o-mini-2024-07-18:acme:support:Ab12Cd34", "o3")


def body_of(luck: random.Random) -> tuple[str, dict[str, Any]]:
    """A call of the day: path and body."""
    words = " ".join(luck.choices(("fare", "zone", "exact", "change", "é", "票"), k=luck.randrange(3, 400)))
    stream = luck.random() < 0.5
    match luck.randrange(5):
        case 0:
            model = luck.choice(("gpt-5.6-sol", "gpt-4o"))
            return "/v1/responses", {"model": model, "input": words, "stream": stream}
        case 1:
            return "/v1/embeddings", {"model": "text-embedding-3-large", "input": [words, "two"]}
        case _:
            messages = [{"role": "user", "content": words}]
            return "/v1/chat/completions", {"model": luck.choice(MODELS), "messages": messages, "stream": stream}


async def call(farebox: Replica, luck: random.Random) -> tuple[str | None, str | None]:
    """Make a call, or leave in the middle of it; the id and the cost that its head carried."""
    path, body = body_of(luck)
    raw = json.dumps(body).encode()
    reader, writer = await farebox.connect()
    writer.write(
        b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-%d\r\n" % (path.encode(), luck.randrange(5))
        + b"Content-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(raw), raw)
    )
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        if luck.random() < 0.15:
            writer.transport.abort()
        await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError):
        head = ""
    finally:
        writer.close()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    return headers.get("x-farebox-id"), headers.get("x-farebox-cost-usd")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_hostile_day_ends_with_books_that_agree(replica: Any, seed: int) -> None:
    async def scene() -> None:
        simulator = await start(Simulator(seed, faults=FAULTS))
        gate = asyncio.Semaphore(AT_ONCE)
        try:
            async with replica(simulator.url) as farebox:

                async def one(number: int) -> tuple[str | None, str | None]:
                    async with gate:
                        return await call(farebox, random.Random(f"{seed} {number}"))

                heads = await asyncio.gather(*(one(number) for number in range(CALLS)))
                charges = await farebox.charges()
                compare(farebox, simulator.simulator, charges, heads)
        finally:
            await simulator.stop()

    asyncio.run(scene())


def compare(
    farebox: Replica, simulator: Simulator, charges: list[dict[str, Any]], heads: list[tuple[str | None, str | None]]
) -> None:
    bill = {row.request_id: row for row in simulator.bill}
    by_request = {charge["upstream_request_id"]: charge for charge in charges if charge["upstream_request_id"]}
    by_id = {charge["id"]: charge for charge in charges}
    assert len(by_id) == len(charges), "no call is charged twice"
    assert len(charges) == len(bill), "every billed call is charged, and nothing else"
    for charge in charges:
        assert charge["cost_usd"] is not None, "every model of the day has a price"
        lines = sum(Decimal(line["cost_usd"]) for line in charge["lines"])
        assert lines == Decimal(charge["cost_usd"]) == Decimal(charge["cost_pico"]).scaleb(-12)
        if charge["basis"] == "reported":
            assert Decimal(charge["cost_usd"]) == bill[charge["upstream_request_id"]].cost_usd
        else:
            assert charge["basis"] == "estimated"
            assert charge["reason"] in {"no_usage", "no_answer", "upstream_cut"}
    unseen = [row for row in bill.values() if row.request_id not in by_request]
    assert all("drop" in (row.fault or "") for row in unseen), "only calls without any answer are unknown to us by id"
    for ident, cost in heads:
        if cost is not None:
            assert by_id[ident]["cost_usd"] == cost
    assert sum(farebox.app.metrics.cost.values.values()) == sum(charge["cost_pico"] for charge in charges)
    bases = Counter(charge["basis"] for charge in charges)
    assert bases["reported"] > CALLS / 2
    assert bases["estimated"] > CALLS / 40, "the upstream was hostile"
    reported = sum(pico_from_usd(charge["cost_usd"]) for charge in charges if charge["basis"] == "reported")
    assert reported == sum(
        pico_from_usd(row.cost_usd) for row in bill.values() if row.request_id in by_request
        and by_request[row.request_id]["basis"] == "reported"
    )  # fmt: skip
