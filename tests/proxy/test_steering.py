"""What operators change reaches a running replica; stale holds go; replicas are counted."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from replica import until
from scripted_upstream import answering, scripted

from billing.attribution import Attribution
from billing.budgets import Budget
from billing.charges import Call

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_changed_and_a_deleted_budget_are_in_force_on_a_running_replica(replica: Any) -> None:
    async def scene() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url) as farebox:
            await farebox.define(Budget("b", 5))
            await farebox.define(Budget("b", 7))
            assert farebox.position("b").budget.limit_pico == 7
            await farebox.app.store.registry.withdraw(Budget, "b", datetime.now(UTC))
            await until(lambda: not farebox.app.balances)

    asyncio.run(scene())


def test_a_stale_hold_goes(replica: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url, hold_seconds="3600") as farebox:
            await farebox.define(Budget("b", 5, "total"))
            long_ago = datetime.now(UTC) - timedelta(hours=2)
            stuck = Call("stuck", long_ago, "chat", "POST", "/", Attribution(), "r", "gpt-4o", held_pico=5)
            young = Call("young", datetime.now(UTC), "chat", "POST", "/", Attribution(), "r", "gpt-4o")
            farebox.app.balances.authorise(stuck)
            farebox.app.balances.authorise(young)
            await until(lambda: farebox.position("b").held_pico == 0)
            assert "1 holds expired, the first of call stuck" in caplog.text

    asyncio.run(scene())


def test_a_second_replica_on_the_ledger_is_noticed_and_its_going_too(
    replica: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url) as farebox:
            desk, registry = farebox.app.authorisation, farebox.app.store.registry
            await registry.present("another", datetime.now(UTC))
            await until(lambda: desk.replicas == 2)
            assert caplog.text.count("2 replicas share this ledger") == 1
            await registry.left("another")
            await until(lambda: desk.replicas == 1)
        async with scripted(answering(OK)) as upstream, replica(upstream.url, replica="other") as farebox:
            assert await farebox.app.store.registry.present("a third", datetime.now(UTC)) <= 2, (
                "the first has said goodbye"
            )

    asyncio.run(scene())
