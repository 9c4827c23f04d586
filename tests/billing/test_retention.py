"""The ledger is kept short where that is wanted, and whole where it is not."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.retention import Retention
from billing.store import Narrowing, Store
from billing.usage import Usage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def charge(ident: str, at: datetime) -> Charge:
    call = Call(ident, at, "chat", "POST", "/v1/chat/completions", Attribution(team="a"), "r")
    return Charge(call, Outcome(at, Basis.REPORTED, 200), None, None, None, Usage(), (), Usage(), 7, "book", {})


@pytest.mark.parametrize(
    ("days", "kept"), [(0, ["long ago", "lately"]), (90, ["lately"]), (400, ["long ago", "lately"])]
)
def test_charges_stay_for_as_long_as_is_wanted(database: str, days: int, kept: list[str]) -> None:
    async def scene() -> None:
        store = Store(database)
        await store.create()
        await store.post([charge("long ago", NOON - timedelta(days=200)), charge("lately", NOON - timedelta(days=30))])
        retention = Retention(store, days, lambda: NOON)
        for _ in range(2):
            await retention.step()
            assert {row["id"] async for row in store.charges(Narrowing())} == set(kept)
            (total,) = await store.totals(("team",), Narrowing())
            assert (total.requests, total.cost_pico) == (2, 14), "sums are kept for ever"
        await store.close()

    asyncio.run(scene())
