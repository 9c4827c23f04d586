"""A charge: what one exchange cost, why, and who pays. Immutable, and free of any content."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from billing.attribution import Attribution
from billing.prices import PriceBook
from billing.rating import Line
from billing.usage import Reading, Usage


class Basis(StrEnum):
    """Where a charge's figures come from. Unknown is never zero: its cost is None."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of an exchange when it is admitted, before its first byte leaves. No content."""

    id: str
    started_at: datetime
    operation: str
    method: str
    path: str
    requested_model: str | None
    requested_tier: str | None
    streamed: bool
    attribution: Attribution
    replica: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an exchange ended. `reason` says why a figure is not a reported one (`cancelled`, `no_usage`, …)."""

    ended_at: datetime
    basis: Basis
    status: int | None = None
    reading: Reading | None = None
    client_gone: bool = False
    upstream_request_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """One row of the ledger. `cost_pico` is None when the cost is not known."""

    call: Call
    outcome: Outcome
    model: str | None
    base_model: str | None
    service_tier: str | None
    lines: tuple[Line, ...]
    unpriced: Usage
    cost_pico: int | None
    price_book: str
    remarks: Mapping[str, int] = field(default_factory=dict)
