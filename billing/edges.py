"""The parts of quarter hours at an interval's ends, summed from the charges themselves: no roll-up is that fine."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Integer, Table, and_, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.rollups import MICRO, ROLLUPS, equals
from billing.sums import QUARTER_HOUR_SECONDS, Narrowing, Total
from billing.tables import ChargeRow

CHARGES: Table = ChargeRow.__table__  # type: ignore[attr-defined]


class KeptAsSums(ValueError):
    """An interval ends within a quarter hour of which the single charges are no longer kept."""


def conditions(narrowing: Narrowing) -> list[Any]:
    """Which charges are meant, as SQL."""
    found: list[Any] = [equals(CHARGES.c[name], value) for name, value in narrowing.equal]
    if narrowing.since is not None:
        found.append(CHARGES.c.quarter_hour >= _quarter(narrowing.since))
        found.append(CHARGES.c.started_at >= narrowing.since)
    if narrowing.until is not None:
        found.append(CHARGES.c.quarter_hour <= _quarter(narrowing.until))
        found.append(CHARGES.c.started_at < narrowing.until)
    return found


async def totals(connection: AsyncConnection, by: Sequence[str], edge: Narrowing, time: int | None) -> list[Total]:
    """The totals of one part of a quarter hour, by dimensions. Raises KeptAsSums."""
    quarter = await kept(connection, edge)
    columns = [CHARGES.c[name] for name in by]
    cost = func.coalesce(CHARGES.c.cost_pico, 0)
    sums = (
        func.count(),
        func.sum(cost // MICRO),
        func.sum(cost % MICRO),
        func.sum(CHARGES.c.input_tokens),
        func.sum(CHARGES.c.cached_tokens),
        func.sum(CHARGES.c.output_tokens),
        func.sum(cast(CHARGES.c.basis == "estimated", Integer)),
        func.sum(cast(CHARGES.c.cost_pico.is_(None), Integer)),
    )
    query = select(*columns, *sums).where(and_(True, *conditions(edge))).group_by(*columns)
    begin = quarter * QUARTER_HOUR_SECONDS // time * time // QUARTER_HOUR_SECONDS if time else None
    found = []
    for row in await connection.execute(query):
        if row[len(by)]:  # without dimensions there is a row even of nothing
            requests, whole, micro, *others = map(int, row[len(by) :])
            found.append(Total(tuple(row[: len(by)]), begin, requests, whole * MICRO + micro, *others))
    return found


async def quantities(
    connection: AsyncConnection, by: Sequence[str], meant: Narrowing
) -> list[tuple[tuple[str | None, ...], int]]:
    """The quantities of every unit: (…values, unit) and the quantity of each charge."""
    query = select(*(CHARGES.c[name] for name in by), CHARGES.c.usage).where(and_(True, *conditions(meant)))
    return [
        ((*row[:-1], unit), int(quantity))
        for row in await connection.execute(query)
        for unit, quantity in row[-1].items()
    ]


async def kept(connection: AsyncConnection, edge: Narrowing) -> int:
    """The quarter hour that an edge is a part of, of which charges are kept if there were any. Raises KeptAsSums."""
    assert edge.since is not None
    quarter = _quarter(edge.since)
    single = select(CHARGES.c.id).where(CHARGES.c.quarter_hour == quarter).limit(1)
    summed = select(ROLLUPS.c.group_id).where(ROLLUPS.c.grain == QUARTER_HOUR_SECONDS, ROLLUPS.c.bucket == quarter)
    if (await connection.execute(single)).first() is None and (await connection.execute(summed.limit(1))).first():
        raise KeptAsSums(
            f"of {edge.since:%Y-%m-%d %H:%M} only sums are kept: an interval must begin and end on a quarter hour there"
        )
    return quarter


def _quarter(moment: Any) -> int:
    return int(moment.timestamp() // QUARTER_HOUR_SECONDS)
