"""Parts of quarter hours are summed from the charges themselves, and only while they are kept."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from billing import edges
from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.databases import writing
from billing.edges import CHARGES, KeptAsSums
from billing.store import Store
from billing.sums import HOUR_SECONDS, Narrowing, Total
from billing.usage import Unit, Usage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
QUARTER = int(NOON.timestamp()) // 900


def charge(minute: int, cost_pico: int | None) -> Charge:
    at = NOON + timedelta(minutes=minute)
    call = Call(f"fbx_{minute}", at, "chat", "POST", "/v1/chat/completions", Attribution(team=f"t{minute % 2}"), "one")
    usage = Usage({Unit.INPUT_TEXT: minute})
    basis = Basis.UNKNOWN if cost_pico is None else Basis.REPORTED
    return Charge(call, Outcome(at, basis, 200), None, None, None, usage, (), Usage(), cost_pico, "book", {})


def on(url: str, act: Callable[[AsyncConnection], Awaitable[Any]]) -> Any:
    async def scene() -> Any:
        store = Store(url)
        await store.create()
        await store.post([charge(3, 10), charge(5, None), charge(16, 2**62), charge(18, 2**62)])
        try:
            async with writing(store._engine) as connection:
                return await act(connection)
        finally:
            await store.close()

    return asyncio.run(scene())


def edge(first: int, last: int, *equal: tuple[str, str]) -> Narrowing:
    return Narrowing(NOON + timedelta(minutes=first), NOON + timedelta(minutes=last), equal)


@pytest.mark.parametrize(
    ("by", "meant", "time", "expected"),
    [
        ((), edge(0, 4), None, [Total((), None, 1, 10, 3, 0, 0, 0, 0)]),
        ((), edge(3, 5), 900, [Total((), QUARTER, 1, 10, 3, 0, 0, 0, 0)]),
        (("team",), edge(2, 9), None, [Total(("t1",), None, 2, 10, 8, 0, 0, 0, 1)]),
        (("team",), edge(16, 29), HOUR_SECONDS, [Total(("t0",), QUARTER, 2, 2**63, 34, 0, 0, 0, 0)]),
        ((), edge(2, 9, ("team", "t0")), None, []),
        ((), edge(6, 14), None, []),
    ],
)
def test_totals(database: str, by: tuple[str, ...], meant: Narrowing, time: int | None, expected: list[Total]) -> None:
    assert on(database, lambda connection: edges.totals(connection, by, meant, time)) == expected


def test_quantities(database: str) -> None:
    found = on(database, lambda connection: edges.quantities(connection, ("team",), edge(5, 17)))
    assert sorted(found) == [(("t0", "input_text_tokens"), 16), (("t1", "input_text_tokens"), 5)]


def test_where_only_sums_are_kept_that_is_said(database: str) -> None:
    async def act(connection: AsyncConnection) -> None:
        await connection.execute(delete(CHARGES).where(CHARGES.c.quarter_hour == QUARTER))
        with pytest.raises(KeptAsSums, match="of 2026-11-24 12:01 only sums are kept"):
            await edges.kept(connection, edge(1, 2))
        assert await edges.kept(connection, edge(16, 17)) == QUARTER + 1
        assert await edges.kept(connection, edge(46, 47)) == QUARTER + 3, "there never was a charge"

    on(database, act)
