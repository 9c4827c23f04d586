"""Every ledger that a released version made becomes one of this version, and nothing of it is lost."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlmodel import SQLModel

from billing import migrations
from billing.budgets import Budget
from billing.databases import engine_of
from billing.migrations import SchemaTooNew
from billing.store import Narrowing, Store
from billing.sums import Spent, Total
from billing.windows import BEGINNING, END

SCHEMAS = Path(__file__).parent / "schemas"
RELEASED = {"0001": 0, "0002": 1500}
"""The schemas of released versions, as dumps of ledgers with twelve charges; what was held for their unknown ones."""

KNOWN_PICO = 1000 * (1 + 2 + 4 + 5 + 6 + 8 + 9 + 10 + 12)


def old_ledger(folder: Path, version: str) -> str:
    file = folder / f"{version}.db"
    with closing(sqlite3.connect(file)) as db:
        db.executescript((SCHEMAS / f"{version}.sql").read_text())
    return f"sqlite:///{file}"


def on(url: str, act: Callable[[Store], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        store = Store(url)
        try:
            await store.create()
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(run())


def differences(url: str) -> list[Any]:
    """Between the schema that is there and the one that the code means."""

    def compared(connection: Connection) -> list[Any]:
        options = {"include_name": lambda name, kind, _: not (kind == "table" and name.startswith("charges_"))}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, SQLModel.metadata))

    async def run() -> list[Any]:
        engine = engine_of(url)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(compared)
        finally:
            await engine.dispose()

    return asyncio.run(run())


async def nothing(_store: Store) -> None:
    """It was opened: that is all."""


@pytest.mark.parametrize("version", RELEASED)
def test_a_released_ledger_goes_on_with_all_it_had(tmp_path: Path, version: str) -> None:
    async def ask(store: Store) -> None:
        charges = [charge async for charge in store.charges(Narrowing())]
        assert [charge["id"] for charge in charges] == [f"fbx_{number}" for number in range(1, 13)]
        (total,) = await store.totals((), Narrowing())
        assert total == Total((), None, 12, KNOWN_PICO, 780, 0, 78, 0, 3)
        counted = KNOWN_PICO + RELEASED[version]
        assert await store.spent([], BEGINNING, END) == [Spent({}, counted, RELEASED[version])]
        assert {total.group: total.requests for total in await store.totals(("user",), Narrowing())} == {
            ("u0",): 4, ("u1",): 4, ("u2",): 4
        }  # fmt: skip
        assert await store.quantities((), Narrowing()) == {("input_text_tokens",): 780, ("output_text_tokens",): 78}
        budgets = (await store.registry.directory()).all(Budget)
        assert [budget.name for budget in budgets] == (["company"] if version == "0002" else [])

    url = old_ledger(tmp_path, version)
    for _ in range(2):  # the second time it is a ledger of this version
        on(url, ask)


@pytest.mark.parametrize("version", RELEASED)
def test_a_ledger_that_grew_has_the_schema_that_the_code_means(tmp_path: Path, version: str) -> None:
    url = old_ledger(tmp_path, version)
    on(url, nothing)
    assert differences(url) == []


def test_a_new_ledger_has_the_schema_that_the_code_means(database: str) -> None:
    on(database, nothing)
    assert differences(database) == []


def test_several_that_start_at_once_make_one_ledger(database: str) -> None:
    async def start() -> list[str | None]:
        stores = [Store(database) for _ in range(4)]
        await asyncio.gather(*(store.create() for store in stores))
        engine = engine_of(database)
        async with engine.connect() as connection:
            found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars().all()
        for store in stores:
            await store.close()
        await engine.dispose()
        return list(found)

    assert asyncio.run(start()) == [migrations.newest()]


def test_who_stops_waiting_does_not_break_it_off(database: str) -> None:
    async def start() -> None:
        store = Store(database)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await store.create()
        await store.create()
        assert await store.registry.revision() == 0
        await store.close()

    asyncio.run(start())


def test_a_ledger_of_a_later_version_is_left_alone(database: str) -> None:
    async def later(store: Store) -> None:
        async with store.engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    on(database, later)
    with pytest.raises(SchemaTooNew, match=f"version 9999, .*its own is {migrations.newest()}"):
        on(database, nothing)


def test_a_day_is_a_day_after_it_grew(tmp_path: Path) -> None:
    async def ask(store: Store) -> list[Total]:
        noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
        return await store.totals((), Narrowing(noon, noon.replace(hour=13)))

    (total,) = on(old_ledger(tmp_path, "0001"), ask)
    assert total.requests == 8
