"""A nearly spent budget under a thousand calls at once: never over, and no money left that could have been spent.

The simulator bills; its own bill is what the budget is held to.
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from e2e.served import serve
from replica import Replica, until

from billing.budgets import Budget
from billing.charges import Charge
from billing.money import pico_from_usd
from billing.store import Store
from billing.tokens import count_input
from proxy.settings import Settings
from proxy.simulator.server import Running, start
from proxy.simulator.simulator import Simulator

CALLS = 1000
AFFORDABLE = 30
"""How many holds the budget has room for."""

MODEL = "gpt-4o"
INPUT, OUTPUT = 2_500_000, 10_000_000
MOST_OUTPUT = 16384
MESSAGES = [{"role": "user", "content": "hello"}]
ALL_INPUT = count_input("chat", {"model": MODEL, "messages": MESSAGES}, MODEL).tokens + 32
"""All the input tokens that are held for near the limit."""


@dataclass(frozen=True)
class Kind:
    """How calls are made, and by what policy their holds are sized."""

    asked: dict[str, Any]
    output: int
    uncapped: str = "expected"


KINDS = {
    "capped": Kind({"max_completion_tokens": 8000}, 8000),
    "streamed": Kind({"max_completion_tokens": 8000, "stream": True}, 8000),
    "uncapped, strict": Kind({}, MOST_OUTPUT, "strict"),
}


def post(port: int, body: dict[str, Any], told: str = "words=1") -> bytes:
    raw = json.dumps(body).encode()
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer sk-a\r\n"
        f"X-Simulate: {told}\r\nConnection: close\r\nContent-Length: {len(raw)}\r\n\r\n"
    ).encode() + raw


def status_of(answer: bytes) -> tuple[int, str | None]:
    """The status, and whether it may be tried again where it was refused."""
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    return int(head.split()[1]), headers.get("x-should-retry") if "429" in head.split("\r\n")[0] else None


@asynccontextmanager
async def simulated() -> AsyncIterator[Running]:
    """The simulator, inside the block."""
    simulator = await start(Simulator(20261123))
    try:
        yield simulator
    finally:
        await simulator.stop()


def billed(simulator: Running, only: Collection[str | None] | None = None) -> int:
    """What the upstream bills in picodollars: for all calls, or for those of some request ids."""
    bill = simulator.simulator.bill
    return sum(pico_from_usd(str(row.cost_usd)) for row in bill if only is None or row.request_id in only)


async def flood(farebox: Replica, kind: Kind, told: str) -> tuple[Counter[tuple[int, str | None]], list[Charge]]:
    """A thousand calls at once on a budget that a first call has spent a part of; how they ended, and their charges."""
    hold = (MOST_OUTPUT if not kind.asked else kind.output) * OUTPUT
    first = 1_000 * INPUT
    await farebox.define(Budget("nearly spent", AFFORDABLE * hold + first))
    asked = {"model": MODEL, "messages": MESSAGES, **kind.asked}
    await farebox.send(post(farebox.port, asked, "prompt_tokens=1000; completion_tokens=0"))
    await farebox.settled()
    assert farebox.position("nearly spent").spent_pico == first
    charges: list[Charge] = []
    farebox.app.cashier.listeners.append(charges.append)
    call = post(farebox.port, asked, told)
    answers = await asyncio.gather(*(farebox.send(call) for _ in range(CALLS)))
    await farebox.settled()
    return Counter(status_of(answer) for answer in answers), charges


@pytest.mark.parametrize("kind", KINDS)
def test_where_charges_equal_their_holds_less_than_a_hold_is_left(replica: Any, kind: str) -> None:
    chosen = KINDS[kind]
    told = f"words=1; prompt_tokens={ALL_INPUT}; completion_tokens={chosen.output}"

    async def scene() -> None:
        async with simulated() as simulator, replica(simulator.url, hold_wait="0", uncapped=chosen.uncapped) as farebox:
            endings, charges = await flood(farebox, chosen, told)
            position = farebox.position("nearly spent")
            assert (position.spent_pico, position.held_pico) == (billed(simulator), 0)
            assert position.overrun_pico == 0
            smallest = min(charge.call.held_pico for charge in charges)
            unspent = sum(charge.call.held_pico - (charge.cost_pico or 0) for charge in charges)
            assert 0 <= unspent < smallest // 10, "charges equal their holds"
            assert position.left_pico < smallest + unspent
            assert endings[200, None] == len(charges) == len(simulator.simulator.bill) - 1
            assert AFFORDABLE - 2 <= len(charges) <= AFFORDABLE
            assert set(endings) <= {(200, None), (429, "true"), (429, "false")}

    asyncio.run(scene())


@pytest.mark.parametrize("kind", KINDS)
def test_where_charges_are_a_tenth_all_money_is_spent_by_those_who_wait(replica: Any, kind: str) -> None:
    chosen = KINDS[kind]
    told = f"words=1; prompt_tokens={ALL_INPUT // 10}; completion_tokens={chosen.output // 10}"

    async def scene() -> None:
        async with (
            simulated() as simulator,
            replica(simulator.url, hold_wait="120", uncapped=chosen.uncapped) as farebox,
        ):
            endings, charges = await flood(farebox, chosen, told)
            position = farebox.position("nearly spent")
            assert (position.spent_pico, position.held_pico) == (billed(simulator), 0)
            assert position.overrun_pico == 0
            assert position.left_pico < max(charge.call.held_pico for charge in charges), "nobody went while it fitted"
            assert (AFFORDABLE - 1) * 10 - 5 < len(charges) == endings[200, None] < AFFORDABLE * 10
            assert endings == {(200, None): len(charges), (429, "false"): CALLS - len(charges)}, "it is really spent"

    asyncio.run(scene())


# Kills under load

KILLS = int(os.environ.get("FAREBOX_TEST_KILLS", "2"))
APPS = 8
CAPS = (20, 200, 1000)


def capped(port: int, cap: int, luck: random.Random) -> bytes:
    body = {"model": MODEL, "messages": MESSAGES, "max_completion_tokens": cap, "stream": luck.random() < 0.5}
    told = f"words=1; prompt_tokens=9; completion_tokens={luck.randint(1, cap)}; delay=0.00{luck.randrange(1, 10)}"
    return post(port, body, told)


async def calls_until_the_end(port: int, luck: random.Random) -> None:
    """One app: capped calls, whole and streamed, until nobody listens."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(capped(port, luck.choice(CAPS), luck))
            await reader.read()
            writer.close()
        except ConnectionError:
            return


async def killed_under_load(simulator: Running, configured: Settings, folder: Path, luck: random.Random) -> None:
    """Several lives of `farebox serve`, each killed amid its calls."""
    environ = {
        "FAREBOX_UPSTREAM": simulator.url,
        "FAREBOX_REPLICA": configured.replica or "",
        "FAREBOX_DATABASE": configured.database,
        "FAREBOX_JOURNAL": str(configured.journal),
    }
    bill = simulator.simulator.bill
    for kill in range(KILLS):
        async with serve(folder, environ) as served:
            apps = [
                asyncio.create_task(calls_until_the_end(served.port, random.Random(f"{kill} {n}"))) for n in range(APPS)
            ]
            enough = len(bill) + luck.randrange(20, 60)
            await until(lambda enough=enough: len(bill) >= enough)  # type: ignore[misc]
            await served.kill()
        await asyncio.gather(*apps)


def test_kills_never_put_capped_calls_over_their_budget(replica: Any, settings: Any, tmp_path: Path) -> None:
    """What was in flight counts as what was held for it: not less than the upstream bills, and never over."""
    limit, luck = pico_from_usd("0.15") * (1 + KILLS), random.Random(20261123)

    async def scene() -> None:
        async with simulated() as simulator:
            configured = settings(simulator.url)
            store = Store(configured.database)
            await store.create()
            await store.registry.define([Budget("b", limit)], datetime.now(UTC))
            await store.close()
            await killed_under_load(simulator, configured, tmp_path, luck)
            async with replica(simulator.url) as farebox:
                before = farebox.position("b")
                assert before.held_pico == 0
                assert billed(simulator) <= before.spent_pico <= limit
                charged = {charge["upstream_request_id"] for charge in await farebox.charges()}
                assert before.spent_pico - before.unknown_pico == billed(simulator, charged), "to the picodollar"
                for cap in reversed(CAPS):
                    while status_of(await farebox.send(capped(farebox.port, cap, luck)))[0] == 200:
                        pass
                await farebox.settled()
                after = farebox.position("b")
                assert billed(simulator) <= after.spent_pico <= limit
                assert after.left_pico < ALL_INPUT * INPUT + CAPS[0] * OUTPUT, "less than one hold is left"

    asyncio.run(scene())


# Nobody who can pay is refused

PROMPT = "the quick brown fox jumps over the lazy dog " * 200
LONG = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
COUNTED = (count_input("chat", LONG, MODEL).tokens + 32) * INPUT
"""What is held for the long prompt when it is counted; its bytes alone would say five times as much."""


def test_a_prompt_is_counted_before_it_is_refused(replica: Any) -> None:
    """Its bytes are one part in twenty of what is left, and yet they make the difference."""
    cap = 60_000

    async def scene() -> None:
        async with simulated() as simulator, replica(simulator.url) as farebox:
            await farebox.define(Budget("b", COUNTED + cap * OUTPUT))
            call = post(farebox.port, {**LONG, "max_completion_tokens": cap})
            assert status_of(await farebox.send(call)) == (200, None)

    asyncio.run(scene())


def test_a_prompt_is_counted_also_where_others_hold_all_there_is(replica: Any) -> None:
    """The first call holds more than a limit that has been lowered meanwhile; it ends, and the second can pay."""

    async def scene() -> None:
        async with simulated() as simulator, replica(simulator.url, hold_wait="60") as farebox:
            await farebox.define(Budget("b", 2 * COUNTED))
            told = "words=1; prompt_tokens=1; completion_tokens=1; delay=1"
            first = asyncio.create_task(farebox.send(post(farebox.port, {**LONG, "max_completion_tokens": 100}, told)))
            await until(lambda: len(simulator.simulator.bill) == 1)
            await farebox.define(Budget("b", COUNTED + 20 * OUTPUT))
            assert farebox.position("b").left_pico < 0
            second = farebox.send(post(farebox.port, {**LONG, "max_completion_tokens": 10}))
            assert status_of(await second) == (200, None)
            await first

    asyncio.run(scene())
