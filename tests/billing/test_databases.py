"""The two kinds of database: what each does in its own way, and that both do what is asked."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from billing.databases import POSTGRESQL, SQLITE, Kind, engine_of, kind_of, kind_of_url, lock, writing


@pytest.mark.parametrize(
    ("url", "kind", "shared"),
    [
        ("sqlite:///farebox.db", SQLITE, False),
        ("postgresql://someone@db/farebox", POSTGRESQL, True),
        ("postgres://someone:secret@db:5432/farebox?ssl=require", POSTGRESQL, True),
    ],
)
def test_a_database_is_of_the_kind_that_its_address_says(url: str, kind: Kind, shared: bool) -> None:
    assert kind_of_url(url) is kind
    assert kind.shared is shared
    assert kind_of(engine_of(url)) is kind


def test_an_unknown_kind_is_none() -> None:
    with pytest.raises(KeyError):
        kind_of_url("mysql://someone@db/farebox")


async def raised(engine: AsyncEngine, by: int) -> None:
    """Read, think, write: what is read must hold until it is written."""
    async with writing(engine) as connection:
        await lock(connection, ["counter"])
        counted = (await connection.execute(text("SELECT n FROM counter"))).scalar_one()
        await asyncio.sleep(0)
        await connection.execute(text("UPDATE counter SET n = :n"), {"n": counted + by})


def test_writers_exclude_each_other_from_their_beginning(database: str) -> None:
    async def scene() -> int:
        engines = [engine_of(database) for _ in range(4)]
        async with writing(engines[0]) as connection:
            await connection.execute(text("CREATE TABLE counter (n INTEGER)"))
            await connection.execute(text("INSERT INTO counter VALUES (0)"))
        await asyncio.gather(*(raised(engine, 1) for engine in engines for _ in range(5)))
        async with engines[0].connect() as connection:
            counted: int = (await connection.execute(text("SELECT n FROM counter"))).scalar_one()
        for engine in engines:
            await engine.dispose()
        return counted

    assert asyncio.run(scene()) == 20


def test_what_fails_is_not_written(database: str) -> None:
    async def scene() -> int:
        engine = engine_of(database)
        async with writing(engine) as connection:
            await connection.execute(text("CREATE TABLE counter (n INTEGER)"))

        async def fails() -> None:
            async with writing(engine) as connection:
                await connection.execute(text("INSERT INTO counter VALUES (1)"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fails()
        async with engine.connect() as connection:
            counted: int = (await connection.execute(text("SELECT count(*) FROM counter"))).scalar_one()
        await engine.dispose()
        return counted

    assert asyncio.run(scene()) == 0


def test_locks_taken_in_any_order_are_no_circle(postgres: str) -> None:
    async def scene() -> None:
        engine = engine_of(postgres)

        async def takes(names: list[str]) -> None:
            async with writing(engine) as connection:
                await lock(connection, names)
                await asyncio.sleep(0)

        await asyncio.gather(*(takes(["a", "b", "c"]) for _ in range(5)), *(takes(["c", "b", "a"]) for _ in range(5)))
        await engine.dispose()

    asyncio.run(scene())


def test_what_postgresql_has_confirmed_survives_its_death(postgres: str) -> None:
    """The server of these tests confirms before it has written, as some are set up to."""

    async def scene() -> None:
        engine = engine_of(postgres)
        for write in (False, True):
            async with writing(engine) if write else engine.connect() as connection:
                waits = (await connection.execute(text("SHOW synchronous_commit"))).scalar_one()
                default = "SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'"
                assert (waits, (await connection.execute(text(default))).scalar_one()) == ("on", "off")
        await engine.dispose()

    asyncio.run(scene())
