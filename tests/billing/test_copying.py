"""A ledger moves from any database to any other, and is the same there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import NOON, answers, fill, some_charge
from postgres import Server
from sqlalchemy import text

from billing import copying
from billing.attribution import Attribution
from billing.budgets import Budget
from billing.copying import CopyDiffers, LedgerNotEmpty, Page, Tally
from billing.store import Narrowing, Store

CHARGES = 1300


@pytest.fixture
def fresh(postgres_server: Server, tmp_path: Path) -> Callable[[str, str], str]:
    return lambda kind, name: postgres_server.fresh() if kind == "postgresql" else f"sqlite:///{tmp_path}/{name}.db"


async def copied(source: Store, target: Store) -> Tally:
    await target.create()
    async with copying.snapshot(source.engine) as connection:
        return await copying.fill(target.engine, copying.pages(connection), lambda _: None)


@pytest.mark.parametrize("to", ["sqlite", "postgresql"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_copy_answers_every_question_as_its_source_does_and_goes_on(
    fresh: Callable[[str, str], str], kind: str, to: str
) -> None:
    urls = fresh(kind, "source"), fresh(to, "target")

    async def scene() -> None:
        source, target = map(Store, urls)
        await fill(source, CHARGES)
        before = await answers(source)
        tally = await copied(source, target)
        assert tally.tables["charges"][0] == CHARGES
        assert await answers(target) == before == await answers(source)
        for store in (source, target):  # the same day goes on in both
            await store.post([some_charge(number) for number in range(CHARGES - 5, CHARGES + 50)])
            await store.registry.define([Budget("later", 7)], NOON)
            await store.registry.withdraw(Budget, "all", NOON)
        after = await answers(target)
        assert after == await answers(source)
        assert len(after["charges"]) == CHARGES + 50
        await source.close()
        await target.close()

    asyncio.run(scene())


def test_sums_come_along_whose_charges_are_dropped(fresh: Callable[[str, str], str]) -> None:
    urls = fresh("sqlite", "source"), fresh("postgresql", "")

    async def scene() -> None:
        source, target = map(Store, urls)
        await fill(source, 300)
        await source.drop(NOON)
        await copied(source, target)
        assert sum(total.requests for total in await target.totals((), Narrowing())) == 300
        assert await answers(target) == await answers(source)
        await source.close()
        await target.close()

    asyncio.run(scene())


def test_what_postgresql_cannot_keep_is_replaced(fresh: Callable[[str, str], str]) -> None:
    urls = fresh("sqlite", "source"), fresh("postgresql", "")

    async def scene() -> None:
        source, target = map(Store, urls)
        await source.create()
        charge = some_charge(1)
        who = Attribution(team="a\0b", tags={"t": "c\0d"})
        await source.post([replace(charge, call=replace(charge.call, attribution=who))])
        await copied(source, target)
        (row,) = [row async for row in target.charges(Narrowing())]
        assert (row["team"], row["tags"], row["cost_pico"]) == ("a\ufffdb", {"t": "c\ufffdd"}, charge.cost_pico)
        (total,) = await target.totals(("team",), Narrowing())
        assert total.group == ("a\ufffdb",)
        await source.close()
        await target.close()

    asyncio.run(scene())


def test_nothing_is_mixed_into_a_ledger_that_is_there(fresh: Callable[[str, str], str]) -> None:
    urls = fresh("sqlite", "source"), fresh("sqlite", "target")

    async def scene() -> None:
        source, target = map(Store, urls)
        await fill(source, 10)
        await target.create()
        await target.registry.define([Budget("own", 7)], NOON)
        before = await answers(target)
        with pytest.raises(LedgerNotEmpty):
            await copied(source, target)
        assert await answers(target) == before
        await source.close()
        await target.close()

    asyncio.run(scene())


async def broken_off(pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
    async for name, rows in pages:
        yield name, rows
        if name == "charges":
            raise ConnectionResetError


@pytest.mark.parametrize("to", ["sqlite", "postgresql"])
def test_a_copy_that_breaks_off_has_copied_nothing(fresh: Callable[[str, str], str], to: str) -> None:
    urls = fresh("sqlite", "source"), fresh(to, "target")

    async def scene() -> None:
        source, target = map(Store, urls)
        await fill(source, 10)
        await target.create()
        empty = await answers(target)
        async with copying.snapshot(source.engine) as connection:
            with pytest.raises(ConnectionResetError):
                await copying.fill(target.engine, broken_off(copying.pages(connection)), lambda _: None)
        assert await answers(target) == empty
        await copied(source, target)
        assert await answers(target) == await answers(source)
        await source.close()
        await target.close()

    asyncio.run(scene())


def test_a_copy_that_reads_back_otherwise_is_none(fresh: Callable[[str, str], str]) -> None:
    urls = fresh("sqlite", "source"), fresh("sqlite", "target")

    async def scene() -> None:
        source, target = map(Store, urls)
        await fill(source, 10)
        await target.create()
        async with target.engine.begin() as connection:
            await connection.execute(
                text(
                    "CREATE TRIGGER lossy AFTER INSERT ON charges WHEN new.id = 'fbx_000003'"
                    " BEGIN UPDATE charges SET cost_pico = cost_pico + 1 WHERE id = new.id; END"
                )
            )
        empty = await answers(target)
        with pytest.raises(CopyDiffers, match=r"^charges: "):
            await copied(source, target)
        assert await answers(target) == empty
        await source.close()
        await target.close()

    asyncio.run(scene())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_copy_is_of_one_moment(fresh: Callable[[str, str], str], kind: str) -> None:
    """What is posted while it is made is in none of its tables."""
    urls = fresh(kind, "source"), fresh("sqlite", "target")

    async def scene() -> None:
        source, target = map(Store, urls)
        await fill(source, 20)
        before = await answers(source)
        await target.create()

        async def meanwhile(pages: AsyncIterator[Page]) -> AsyncIterator[Page]:
            async for name, rows in pages:
                yield name, rows
                if name == "definitions":
                    await source.post([some_charge(number) for number in range(20, 40)])

        async with copying.snapshot(source.engine) as connection:
            await copying.fill(target.engine, meanwhile(copying.pages(connection)), lambda _: None)
        assert await answers(target) == before
        assert len((await answers(source))["charges"]) == 40
        await source.close()
        await target.close()

    asyncio.run(scene())
