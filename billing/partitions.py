"""PostgreSQL's partitions of the charges, a month each by the day of admission: what is no longer kept goes at once."""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from billing.databases import POSTGRESQL, kind_of, lock, writing

PREFIX = "charges_"


class Partitions:
    """The months that charges can be added to. It remembers which are there."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._there: set[str] = set()

    async def make(self, moments: Iterable[datetime]) -> None:
        """Make the partitions that charges of these moments go to. Where there are no partitions, nothing."""
        if kind_of(self._engine) is not POSTGRESQL:
            return
        for month in sorted(months(moments) - self._there):
            async with writing(self._engine) as connection:
                await make(connection, [month])
            self._there.add(month)

    async def drop(self, before: datetime) -> list[str]:
        """Drop the months that lie wholly before a moment; their names."""
        async with writing(self._engine) as connection:
            await lock(connection, ["partitions"])
            found = (await connection.execute(_PARTITIONS)).scalars().all()
            old = [name for name in found if _next(*map(int, name.removeprefix(PREFIX).split("_"))) <= before]
            for name in old:
                await connection.execute(text(f"DROP TABLE {name}"))
        self._there.clear()
        return old


def months(moments: Iterable[datetime]) -> set[str]:
    """The months of these moments, as partitions name them."""
    return {f"{moment.astimezone(UTC):%Y_%m}" for moment in moments}


async def make(connection: AsyncConnection, names: Iterable[str]) -> None:
    """Make the partitions of these months that are not there. Where there are no partitions, nothing."""
    if kind_of(connection) is not POSTGRESQL:
        return
    await lock(connection, ["partitions"])
    for month in sorted(names):
        year, number = map(int, month.split("_"))
        since, until = datetime(year, number, 1, tzinfo=UTC), _next(year, number)
        await connection.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS {PREFIX}{month} PARTITION OF charges"
                f" FOR VALUES FROM ('{since.isoformat()}') TO ('{until.isoformat()}')"
            )
        )


def _next(year: int, month: int) -> datetime:
    """When the month after begins."""
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


_PARTITIONS = text(
    "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
    " WHERE inhparent = 'charges'::regclass ORDER BY child.relname"
)
