"""The ends of intervals: what no roll-up is fine enough for is asked of the charges, as long as they are kept."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.databases import writing
from billing.edges import CHARGES, KeptAsSums
from billing.store import Narrowing, Store
from billing.sums import Spent
from billing.usage import Unit, Usage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def charged(minutes: int, **known: Any) -> Charge:
    call = Call(f"f{minutes}", at(minutes), "chat", "POST", "/v1/x", Attribution(team="a", **known), "one", held_pico=5)
    cost = None if minutes == 20 else 2**62
    usage = Usage({Unit.INPUT_TEXT: 1})
    return Charge(call, Outcome(at(minutes), Basis.ESTIMATED, 200), "m", "m", "default", usage, (), Usage(), cost, "b")


def asked(url: str, ask: Callable[[Store], Awaitable[None]]) -> None:
    """Of a charge each ten minutes: 12:00, 12:10, 12:20 (its cost not known) … 13:50."""

    async def run() -> None:
        store = Store(url)
        await store.create()
        await store.post([charged(10 * number, user=f"u{number % 2}") for number in range(12)])
        await ask(store)
        await store.close()

    asyncio.run(run())


def test_parts_of_quarter_hours_are_counted_to_the_microsecond(database: str) -> None:
    async def ask(store: Store) -> None:
        for since, until, requests in (
            (0, 120, 12), (0.0001, 120, 11), (0, 110, 11), (0, 110.0001, 12), (10, 20, 1), (11, 14, 0), (5, 25, 2),
            (20, 20, 0), (-3, 7, 1),
        ):  # fmt: skip
            (total,) = await store.totals((), Narrowing(at(since), at(until)))
            assert (total.requests, total.estimated) == (requests, requests), (since, until)
            by_user = await store.totals(("user",), Narrowing(at(since), at(until)))
            assert sum(each.requests for each in by_user) == requests
            found = await store.quantities((), Narrowing(at(since), at(until)))
            assert found.get(("input_text_tokens",), 0) == requests

    asked(database, ask)


def test_edges_fall_into_their_buckets(database: str) -> None:
    async def ask(store: Store) -> None:
        found = await store.totals(("team",), Narrowing(at(1), at(119)), time=3600)
        first = int(NOON.timestamp()) // 900
        assert {total.quarter_hour: total.requests for total in found} == {
            first: 1, first + 1: 1, first + 2: 2, first + 3: 1, first + 4: 2, first + 5: 1, first + 6: 2, first + 7: 1
        }  # fmt: skip

    asked(database, ask)


def test_what_counts_on_budgets_may_be_asked_of_any_interval(database: str) -> None:
    async def ask(store: Store) -> None:
        found = await store.spent(["team"], at(5), at(25))
        assert sum(each.spent_pico for each in found) == 2**62 + 5
        assert sum(each.unknown_pico for each in found) == 5
        assert await store.spent(["team"], at(30), at(45)) == [Spent({"team": "a"}, 2 * 2**62, 0)]

    asked(database, ask)


@pytest.mark.parametrize("gone", ["all", "some"])
def test_of_what_is_not_kept_only_whole_quarter_hours_are_told(database: str, gone: str) -> None:
    async def ask(store: Store) -> None:
        async with writing(store.engine) as connection:
            old = delete(CHARGES).where(CHARGES.c.quarter_hour == int(NOON.timestamp()) // 900)
            await connection.execute(old if gone == "all" else old.where(CHARGES.c.id == "f0"))
        (whole,) = await store.totals((), Narrowing(at(0), at(30)))
        assert whole.requests == 3
        for part in (Narrowing(at(5), at(30)), Narrowing(at(-15), at(5))):
            for question in (store.totals, store.quantities):
                with pytest.raises(KeptAsSums, match="only sums are kept: an interval must begin and end on a quarter"):
                    await question(("team",), part)
        with pytest.raises(KeptAsSums):
            await store.spent(["team"], at(5), at(30))
        (total,) = await store.totals((), Narrowing(at(-5), at(20)))
        assert total.requests == 2, "nothing was there before 12:00, and 12:15 is kept"

    asked(database, ask)
