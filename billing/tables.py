"""The ledger's tables (SQLModel), and how a charge becomes a row and a row the record that users see."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import JSON, BigInteger, Column, DateTime, Dialect, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from billing.charges import Charge
from billing.money import usd_from_pico
from billing.sums import QUARTER_HOUR_SECONDS
from billing.usage import INPUT_TOKENS, Unit, Usage

DOCUMENT = JSON().with_variant(JSONB(), "postgresql")
"""An object or a list, as JSON."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets the zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Into the database."""
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Out of the database."""
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


class ChargeRow(SQLModel, table=True):
    """One charge. Money is picodollars (null: not known); `lines` say how it came about."""

    __tablename__ = "charges"

    id: str = Field(primary_key=True)
    started_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    ended_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))
    quarter_hour: int = Field(sa_column=Column(BigInteger, nullable=False, index=True))
    operation: str
    method: str
    path: str
    requested_model: str | None = None
    model: str | None = None
    base_model: str | None = None
    service_tier: str | None = None
    status: int | None = None
    streamed: bool = False
    client_gone: bool = False
    basis: str
    reason: str | None = None
    input_tokens: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    cached_tokens: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    output_tokens: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    usage: dict[str, int] = Field(default_factory=dict, sa_column=Column(DOCUMENT, nullable=False))
    lines: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(DOCUMENT, nullable=False))
    unpriced: dict[str, int] = Field(default_factory=dict, sa_column=Column(DOCUMENT, nullable=False))
    remarks: dict[str, int] = Field(default_factory=dict, sa_column=Column(DOCUMENT, nullable=False))
    cost_pico: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    price_book: str
    key: str | None = None
    team: str | None = None
    project: str | None = None
    organization: str | None = None
    user: str | None = None
    tags: dict[str, str] = Field(default_factory=dict, sa_column=Column(DOCUMENT, nullable=False))
    response_id: str | None = None
    upstream_request_id: str | None = None
    replica: str
    held_pico: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    hold: str | None = None


ROW: tuple[str, ...] = tuple(ChargeRow.__table__.columns.keys())  # type: ignore[attr-defined]
"""The columns of a charge, in order."""


class ObjectRow(SQLModel, table=True):
    """An object that the upstream keeps, and whose it is: its maker's, or the owner's of the object `within`."""

    __tablename__ = "objects"

    id: str = Field(primary_key=True)
    within: str | None = None
    team: str | None = None
    key: str | None = None
    made_at: datetime = Field(sa_column=Column(UtcDateTime, nullable=False))


def objects_of(charge: Charge) -> list[dict[str, Any]]:
    """The values of the rows of the objects that a charge tells of."""
    who = charge.call.attribution
    return [
        {
            "id": made.id,
            "within": made.within,
            "team": None if made.within else who.team,
            "key": None if made.within else who.key,
            "made_at": charge.call.started_at,
        }
        for made in charge.outcome.made
    ]


_OUTPUT_TOKENS = frozenset({Unit.OUTPUT_TEXT, Unit.OUTPUT_AUDIO, Unit.OUTPUT_IMAGE})
_CACHED_TOKENS = frozenset({Unit.INPUT_CACHED_TEXT, Unit.INPUT_CACHED_AUDIO, Unit.INPUT_CACHED_IMAGE})


def row_of(charge: Charge) -> dict[str, Any]:
    """The values of a charge's row."""
    call, outcome, usage = charge.call, charge.outcome, charge.usage
    who = call.attribution
    return {
        "id": call.id,
        "started_at": call.started_at,
        "ended_at": outcome.ended_at,
        "quarter_hour": int(call.started_at.timestamp()) // QUARTER_HOUR_SECONDS,
        "operation": call.operation,
        "method": call.method,
        "path": call.path,
        "requested_model": call.requested_model,
        "model": charge.model,
        "base_model": charge.base_model,
        "service_tier": charge.service_tier,
        "status": outcome.status,
        "streamed": call.streamed,
        "client_gone": outcome.client_gone,
        "basis": outcome.basis.value,
        "reason": outcome.reason,
        "input_tokens": _sum(usage, INPUT_TOKENS),
        "cached_tokens": _sum(usage, _CACHED_TOKENS),
        "output_tokens": _sum(usage, _OUTPUT_TOKENS),
        "usage": _quantities(usage),
        "lines": [
            {
                "unit": line.unit.value,
                "quantity": line.quantity,
                "rate_pico": line.rate.pico,
                "per": line.rate.per,
                "cost_pico": line.cost_pico,
            }
            for line in charge.lines
        ],
        "unpriced": _quantities(charge.unpriced),
        "remarks": dict(charge.remarks),
        "cost_pico": charge.cost_pico,
        "price_book": charge.price_book,
        "key": who.key,
        "team": who.team,
        "project": who.project,
        "organization": who.organization,
        "user": who.user,
        "tags": dict(who.tags),
        "response_id": outcome.reading.response_id if outcome.reading else None,
        "upstream_request_id": outcome.upstream_request_id,
        "replica": call.replica,
        "held_pico": call.held_pico,
        "hold": call.hold,
    }


def stored(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of a charge's row in the order of its columns, as SQLite keeps them: moments as text in UTC, objects
    as JSON. What the columns' types would make of each value, without asking forty types for each row."""
    values = [row[name] for name in ROW]
    return tuple(keep(value) if (keep := _STORED.get(type(value))) else value for value in values)


def clean(body: bytes) -> bytes:
    """JSON without NUL characters in its texts, which PostgreSQL cannot keep: U+FFFD takes their place."""
    return body if NUL not in body else _NUL.sub(rb"\1\\ufffd", body)


NUL = b"\\u0000"
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


_STORED: Mapping[type, Callable[[Any], Any]] = {
    datetime: lambda moment: moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
    dict: _json,
    list: _json,
    bool: int,
}


def _sum(usage: Usage, units: frozenset[Unit]) -> int:
    return sum(quantity for unit, quantity in usage.items() if unit in units)


def _quantities(usage: Usage) -> dict[str, int]:
    return {unit.value: quantity for unit, quantity in usage.items()}


RECORD = (
    "id", "started_at", "ended_at", "operation", "method", "path", "requested_model", "model", "base_model",
    "service_tier", "status", "streamed", "client_gone", "basis", "reason", "usage", "lines", "unpriced", "remarks",
    "cost_usd", "cost_pico", "price_book", "key", "team", "project", "organization", "user", "tags", "response_id",
    "upstream_request_id", "replica",
)  # fmt: skip


def record_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as users see it: moments in ISO 8601, money as exact decimal strings beside the picodollars."""
    shown = dict(row)
    shown["started_at"] = _moment(row["started_at"])
    shown["ended_at"] = _moment(row["ended_at"])
    shown["cost_usd"] = None if row["cost_pico"] is None else usd_from_pico(row["cost_pico"])
    shown["lines"] = [
        {
            "unit": line["unit"],
            "quantity": line["quantity"],
            "rate_usd": usd_from_pico(line["rate_pico"]),
            "per": line["per"],
            "cost_usd": usd_from_pico(line["cost_pico"]),
        }
        for line in row["lines"]
    ]
    return {name: shown[name] for name in RECORD}


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
