"""The parts of quarter hours at an interval's ends, of which no roll-up is so fine: asked of the charges themselves."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Integer, Table, case, cast, func, literal, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from billing.questions import BUCKET, Source, equals
from billing.rollups import MICRO, ROLLUPS
from billing.sums import QUARTER_HOUR_SECONDS, Narrowing
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


async def single(connection: AsyncConnection, edge: Narrowing, time: int | None = None) -> Source:
    """The charges of a part of a quarter hour, as what sums are taken of; `time` is the grain of their buckets. Raises
    KeptAsSums."""
    await kept(connection, edge)
    # not a parameter: what is selected must be recognised in what is grouped by
    bucket: ColumnElement[int] = literal_column(
        f"quarter_hour * {QUARTER_HOUR_SECONDS} / {time or QUARTER_HOUR_SECONDS}"
    )
    return Source({**CHARGES.c, BUCKET: bucket}, _FIGURES, conditions(edge))


async def quantities(
    connection: AsyncConnection, by: Sequence[str], meant: Narrowing
) -> list[tuple[tuple[str | None, ...], int]]:
    """The quantities of every unit: (…values, unit) and the quantity of each charge."""
    query = select(*(CHARGES.c[name] for name in by), CHARGES.c.usage).where(*conditions(meant))
    return [
        ((*row[:-1], unit), int(quantity))
        for row in await connection.execute(query)
        for unit, quantity in row[-1].items()
    ]


async def kept(connection: AsyncConnection, edge: Narrowing) -> None:
    """Raises KeptAsSums where of the quarter hour that an edge is a part of not all charges are there."""
    assert edge.since is not None
    quarter = _quarter(edge.since)
    single = select(func.count()).select_from(CHARGES).where(CHARGES.c.quarter_hour == quarter)
    summed = select(func.coalesce(func.sum(ROLLUPS.c.requests), 0)).where(
        ROLLUPS.c.detail.is_(False), ROLLUPS.c.grain == QUARTER_HOUR_SECONDS, ROLLUPS.c.bucket == quarter
    )
    there, counted = (await connection.execute(select(single.scalar_subquery(), summed.scalar_subquery()))).one()
    if there < counted:
        raise KeptAsSums(
            f"of {edge.since:%Y-%m-%d %H:%M} only sums are kept: an interval must begin and end on a quarter hour there"
        )


_COST = func.coalesce(CHARGES.c.cost_pico, 0)
_HELD = func.coalesce(CHARGES.c.held_pico, 0)
_COUNTED = func.coalesce(CHARGES.c.cost_pico, _HELD)
_UNSURE = case((CHARGES.c.cost_pico.is_(None), _HELD), else_=0)
_FIGURES = {
    "requests": literal(1),
    "cost_micro": _COST // MICRO,
    "cost_rest_pico": _COST % MICRO,
    "counted_micro": _COUNTED // MICRO,
    "counted_rest_pico": _COUNTED % MICRO,
    "unsure_micro": _UNSURE // MICRO,
    "unsure_rest_pico": _UNSURE % MICRO,
    "input_tokens": CHARGES.c.input_tokens,
    "cached_tokens": CHARGES.c.cached_tokens,
    "output_tokens": CHARGES.c.output_tokens,
    "estimated": cast(CHARGES.c.basis == "estimated", Integer),
    "unknown": cast(CHARGES.c.cost_pico.is_(None), Integer),
}
"""What a charge adds to sums, by their names (rollups.SUMS)."""


def _quarter(moment: Any) -> int:
    return int(moment.timestamp() // QUARTER_HOUR_SECONDS)
