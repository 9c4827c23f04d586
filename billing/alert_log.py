"""The log of alerts: what was raised, once over all replicas, and how each delivery stands.

Once is the primary key: whoever inserts an alert's id raised it. A delivery is claimed with a lease by one atomic
update, so no two replicas send it at once; one whose replica died in between is sent again when the lease has ended.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, Integer, Table, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import Field, SQLModel

from billing.alerts import Alert, Kind, Level
from billing.databases import kind_of, writing
from billing.tables import UtcDateTime


class Result(StrEnum):
    """How a delivery stands. A pending one that was attempted is tried again."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class AlertRow(SQLModel, table=True):
    """One alert."""

    __tablename__ = "alerts"

    id: str = Field(primary_key=True)
    raised_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    kind: str
    subject: str
    mark: str
    team: str | None = None
    level: str
    title: str
    text: str
    window_since: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    window_until: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


class DeliveryRow(SQLModel, table=True):
    """One alert through one channel. `error` says why the last attempt failed, in our words: no address, no secret."""

    __tablename__ = "deliveries"

    alert_id: str = Field(primary_key=True)
    channel: str = Field(primary_key=True)
    result: str
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    next_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False, index=True))
    give_up_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime, nullable=True))
    error: str | None = None


ALERTS: Table = AlertRow.__table__  # type: ignore[attr-defined]
DELIVERIES: Table = DeliveryRow.__table__  # type: ignore[attr-defined]

GIVE_UP_AFTER = timedelta(hours=24)
NOBODY = "no replica has this channel any more"
ID_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery to attempt now, until the lease ends. `attempt` counts from 1."""

    alert: Alert
    channel: str
    attempt: int
    give_up_at: datetime


class AlertLog:
    """The log in the ledger's database. `working` is held while the database is at work."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.working = asyncio.Lock()

    async def raise_alerts(
        self, alerts: Sequence[Alert], channels: Callable[[Alert], Iterable[str]], at: datetime
    ) -> list[Alert]:
        """Raise alerts and plan their deliveries, together; those that nobody has raised before."""
        by_id = {alert.id: alert for alert in alerts}
        if not by_id:
            return []
        insert = kind_of(self._engine).insert
        statement = insert(ALERTS).on_conflict_do_nothing(index_elements=["id"]).returning(ALERTS.c.id)
        rows = [_row_of(alert) | {"raised_at": at} for alert in by_id.values()]
        async with self.working, writing(self._engine) as connection:
            raised = [by_id[ident] for ident in (await connection.execute(statement, rows)).scalars()]
            if planned := [_planned(alert.id, channel, at) for alert in raised for channel in channels(alert)]:
                await connection.execute(DELIVERIES.insert(), planned)
        return raised

    async def claim(self, channel: str, now: datetime, lease: timedelta) -> Claim | None:
        """The delivery that is due longest on a channel, for this replica alone until the lease ends; None: none is."""
        due = (
            (DELIVERIES.c.channel == channel)
            & (DELIVERIES.c.result == Result.PENDING.value)
            & (DELIVERIES.c.next_at <= now)
        )
        oldest = select(DELIVERIES.c.alert_id).where(due).order_by(DELIVERIES.c.next_at, DELIVERIES.c.alert_id).limit(1)
        taken = (
            update(DELIVERIES)
            .where(due, DELIVERIES.c.alert_id == oldest.scalar_subquery())
            .values(next_at=now + lease, attempts=DELIVERIES.c.attempts + 1)
            .returning(DELIVERIES.c.alert_id, DELIVERIES.c.attempts, DELIVERIES.c.give_up_at)
        )
        async with self.working, writing(self._engine) as connection:
            row = (await connection.execute(taken)).first()
            if row is None:
                return None
            ident, attempt, give_up_at = row
            found = (await connection.execute(select(ALERTS).where(ALERTS.c.id == ident))).mappings().one()
        return Claim(_alert_of(dict(found)), channel, attempt, give_up_at)

    async def record(self, claim: Claim, result: Result, at: datetime, error: str | None, next_at: datetime) -> None:
        """Write down how an attempt ended. `next_at`: when a pending one is tried again."""
        ended = None if result is Result.PENDING else at
        values = {"result": result.value, "error": error, "next_at": next_at, "ended_at": ended}
        mine = (DELIVERIES.c.alert_id == claim.alert.id) & (DELIVERIES.c.channel == claim.channel)
        still = DELIVERIES.c.result != Result.DELIVERED.value
        async with self.working, writing(self._engine) as connection:
            await connection.execute(update(DELIVERIES).where(mine, still).values(values))

    async def next_due(self, channel: str) -> datetime | None:
        """When the next delivery of a channel is due."""
        waiting = (DELIVERIES.c.channel == channel) & (DELIVERIES.c.result == Result.PENDING.value)
        query = select(DELIVERIES.c.next_at).where(waiting).order_by(DELIVERIES.c.next_at).limit(1)
        async with self.working, self._engine.connect() as connection:
            moment: datetime | None = (await connection.execute(query)).scalar_one_or_none()
        return moment

    async def abandon(self, now: datetime) -> int:
        """Mark as failed what is long past its time: deliveries of channels that no replica has any more."""
        late = (DELIVERIES.c.result == Result.PENDING.value) & (DELIVERIES.c.give_up_at < now - GIVE_UP_AFTER)
        values = {"result": Result.FAILED.value, "ended_at": now, "error": func.coalesce(DELIVERIES.c.error, NOBODY)}
        async with self.working, writing(self._engine) as connection:
            return int((await connection.execute(update(DELIVERIES).where(late).values(values))).rowcount)

    async def listed(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest alerts as users see them, each with its deliveries."""
        newest = select(ALERTS).order_by(ALERTS.c.raised_at.desc(), ALERTS.c.id).limit(limit)
        async with self.working, self._engine.connect() as connection:
            rows = [dict(row) for row in (await connection.execute(newest)).mappings()]
            deliveries: dict[str, list[dict[str, Any]]] = {row["id"]: [] for row in rows}
            idents = list(deliveries)
            for at in range(0, len(idents), ID_CHUNK):
                wanted = DELIVERIES.c.alert_id.in_(idents[at : at + ID_CHUNK])
                found = select(DELIVERIES).where(wanted).order_by(DELIVERIES.c.channel)
                for row in (await connection.execute(found)).mappings():
                    deliveries[row["alert_id"]].append(_delivery_record(dict(row)))
        return [_record(row) | {"deliveries": deliveries[row["id"]]} for row in rows]


def _planned(alert_id: str, channel: str, at: datetime) -> dict[str, Any]:
    due = {"next_at": at, "give_up_at": at + GIVE_UP_AFTER}
    return {"alert_id": alert_id, "channel": channel, "result": Result.PENDING.value, "attempts": 0, **due}


def _row_of(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "kind": alert.kind.value,
        "subject": alert.subject,
        "mark": alert.mark,
        "team": alert.team,
        "level": alert.level.value,
        "title": alert.title,
        "text": alert.text,
        "window_since": alert.window_since,
        "window_until": alert.window_until,
    }


def _alert_of(row: dict[str, Any]) -> Alert:
    moments = (row["window_since"], row["window_until"])
    told = (Level(row["level"]), row["title"], row["text"], row["mark"], row["team"])
    return Alert(Kind(row["kind"]), row["subject"], *moments, *told)


def _record(row: dict[str, Any]) -> dict[str, Any]:
    moments = {name: _moment(row[name]) for name in ("raised_at", "window_since", "window_until")}
    names = ("id", "raised_at", "kind", "subject", "mark", "team", "level", "title", "text")
    return {name: row[name] for name in (*names, "window_since", "window_until")} | moments


def _delivery_record(row: dict[str, Any]) -> dict[str, Any]:
    waits = row["result"] == Result.PENDING
    return {
        "channel": row["channel"],
        "result": row["result"],
        "attempts": row["attempts"],
        "next_at": _moment(row["next_at"]) if waits else None,
        "ended_at": _moment(row["ended_at"]) if row["ended_at"] else None,
        "error": row["error"],
    }


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
