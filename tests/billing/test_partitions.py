"""PostgreSQL's months of charges: there when a charge comes, gone as a whole."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.databases import engine_of
from billing.partitions import Partitions
from billing.store import Narrowing, Store
from billing.usage import Usage

NOVEMBER = datetime(2026, 11, 24, 12, tzinfo=UTC)


def charge(ident: str, at: datetime) -> Charge:
    call = Call(ident, at, "chat", "POST", "/v1/chat/completions", Attribution(), "one")
    return Charge(call, Outcome(at, Basis.FREE, 200), None, None, None, Usage(), (), Usage(), 0, "book", {})


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        (datetime(2026, 11, 1, tzinfo=UTC), "charges_2026_11"),
        (datetime(2026, 11, 30, 23, 59, 59, 999_999, tzinfo=UTC), "charges_2026_11"),
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), "charges_2026_12"),
        (datetime(2027, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))), "charges_2026_12"),
        (datetime(2027, 1, 1, tzinfo=UTC), "charges_2027_01"),
    ],
)
def test_a_charge_lies_in_the_month_of_its_admission(postgres: str, moment: datetime, name: str) -> None:
    async def scene() -> str:
        store, engine = Store(postgres), engine_of(postgres)
        await store.create()
        await store.post([charge("fbx_1", moment)])
        async with engine.connect() as connection:
            found: str = (await connection.execute(text("SELECT tableoid::regclass::text FROM charges"))).scalar_one()
        await store.close()
        await engine.dispose()
        return found

    assert asyncio.run(scene()) == name


def test_months_go_that_lie_wholly_before(postgres: str) -> None:
    async def scene() -> None:
        store = Store(postgres)
        partitions = Partitions(store.engine)
        await store.create()
        months = [NOVEMBER - timedelta(days=days) for days in (0, 40, 80, 365)]
        await store.post([charge(f"fbx_{number}", moment) for number, moment in enumerate(months)])
        assert await partitions.drop(datetime(2026, 10, 31, 23, tzinfo=UTC)) == ["charges_2025_11", "charges_2026_09"]
        assert [row["id"] async for row in store.charges(Narrowing())] == ["fbx_1", "fbx_0"]
        assert await partitions.drop(datetime(2026, 11, 1, tzinfo=UTC)) == ["charges_2026_10"]
        await store.close()

    asyncio.run(scene())


def test_several_that_need_a_month_make_it_once(postgres: str) -> None:
    async def scene() -> int:
        stores = [Store(postgres) for _ in range(5)]
        await stores[0].create()
        await asyncio.gather(*(store.post([charge(f"fbx_{n}", NOVEMBER)]) for n, store in enumerate(stores)))
        found = len([row async for row in stores[0].charges(Narrowing())])
        for store in stores:
            await store.close()
        return found

    assert asyncio.run(scene()) == 5
