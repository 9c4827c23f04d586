"""Lives of replicas: several on one port, the end of one, and a start behind a large journal. Nothing is lost."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from e2e.served import Answer, ask, charges_of, free_port, serve, until
from ledgers import some_charge

from billing.journal import Journal
from billing.journals import claim
from billing.store import Narrowing, Store
from proxy.simulator.server import start
from proxy.simulator.simulator import Simulator

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
STREAM = CHAT | {"stream": True}
LARGE = 20_000


def test_two_share_a_port_and_a_third_adopts_what_one_that_dies_has_left(tmp_path: Path, postgres: str) -> None:
    async def scene() -> None:
        simulator = await start(Simulator(1))
        bill = simulator.simulator.bill
        alone = {"FAREBOX_UPSTREAM": simulator.url, "FAREBOX_DATABASE": postgres}
        shared = {**alone, "FAREBOX_LISTEN": f"127.0.0.1:{free_port()}", "FAREBOX_REUSE_PORT": "true"}
        async with serve(tmp_path, shared) as one, serve(tmp_path, shared) as two:
            assert one.port == two.port
            answers = await asyncio.gather(*(ask(one.port, CHAT) for _ in range(40)))
            slow = [asyncio.create_task(ask(one.port, CHAT, told="delay=2")) for _ in range(40)]
            await until(lambda: len(bill) == 80)
            await one.kill()
            answers += await asyncio.gather(*slow)
            answers += await asyncio.gather(*(ask(two.port, CHAT) for _ in range(40)))
            broken = sum(answer is None for answer in answers)
            assert 0 < broken < 40, "both had some of the calls"
            async with serve(tmp_path, {**alone, "FAREBOX_REPLICA": "third"}) as third:
                await charges_of(postgres, 120)
                assert await third.stop() == 0
            assert await two.stop() == 0
        await simulator.stop()
        charges = {row["id"]: row for row in await charges_of(postgres)}
        assert len(charges) == len(bill) == 120
        assert len({row["replica"] for row in charges.values()}) == 2
        assert sum(row["reason"] == "interrupted" for row in charges.values()) == broken
        cost = {row.request_id: row.cost_usd for row in bill}
        for answer in filter(None, answers):
            assert answer.status == 200
            charge = charges[answer.headers["x-farebox-id"]]
            assert Decimal(charge["cost_usd"]) == cost[answer.headers["x-request-id"]]

    asyncio.run(scene())


@pytest.mark.parametrize(("grace", "whole"), [("60", True), ("0.2", False)])
def test_open_streams_have_a_grace_time(tmp_path: Path, database: str, grace: str, whole: bool) -> None:
    async def scene() -> None:
        simulator = await start(Simulator(2))
        environ = {
            "FAREBOX_UPSTREAM": simulator.url, "FAREBOX_DATABASE": database, "FAREBOX_SHUTDOWN_SECONDS": grace,
        }  # fmt: skip
        async with serve(tmp_path, environ) as served:
            told = "words=10; interval=0.1" if whole else "words=1000; interval=0.5"
            streams = [asyncio.create_task(ask(served.port, STREAM, told=told)) for _ in range(20)]
            await until(lambda: len(simulator.simulator.bill) == 20)
            assert await served.stop() == 0
            answers = await asyncio.gather(*streams)
        await simulator.stop()
        charges = await charges_of(database)
        assert len(charges) == 20
        assert {isinstance(answer, Answer) and b"[DONE]" in answer.body for answer in answers} == {whole}
        assert {row["basis"] for row in charges} == {"reported" if whole else "estimated"}

    asyncio.run(scene())


def test_it_serves_before_a_large_journal_is_posted_and_posts_all_of_it(tmp_path: Path, database: str) -> None:
    """Kept by a database that was away for long, then by a process that died."""
    journal = claim(tmp_path / "journal", "large", 0, Journal).journal
    for number in range(LARGE):
        charge = some_charge(number)
        journal.open(charge.call)
        journal.close(charge)
        if number % 500 == 0:
            journal.flush()
    journal.shut()

    async def scene() -> None:
        simulator = await start(Simulator(3))
        environ = {"FAREBOX_UPSTREAM": simulator.url, "FAREBOX_DATABASE": database, "FAREBOX_REPLICA": "large"}
        async with serve(tmp_path, environ) as served:
            answer = await ask(served.port, CHAT)
            assert answer is not None
            assert answer.status == 200
            await charges_of(database, LARGE + 1)
            assert await served.stop() == 0
        await simulator.stop()
        store = Store(database)
        (total,) = await store.totals((), Narrowing())
        assert total.requests == LARGE + 1
        kept = {row["id"]: row["cost_pico"] for row in await charges_of(database)}
        assert all(kept[f"fbx_{number:06}"] == some_charge(number).cost_pico for number in range(LARGE))
        await store.close()

    asyncio.run(scene())
