"""A charge: what one exchange cost, why, and who pays. Immutable, and free of any content."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from billing.attribution import Attribution
from billing.model_names import parse
from billing.prices import PriceBook, tier_name
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
    """What is known of an exchange when it is admitted, before its first byte leaves. No content.

    `path` is the endpoint's template; `requested_tier` what the body asked for, before OpenAI chose.
    """

    id: str
    started_at: datetime
    operation: str
    method: str
    path: str
    attribution: Attribution
    replica: str
    requested_model: str | None = None
    requested_tier: str | None = None
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an exchange ended. `reason` says why its figures are not reported ones (`no_usage`, `cancelled`, …)."""

    ended_at: datetime
    basis: Basis
    status: int | None = None
    reading: Reading | None = None
    client_gone: bool = False
    upstream_request_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """One row of the ledger.

    `cost_pico` is the sum of the lines; None when the cost is not known. Where `unpriced` is not empty the cost
    is that of the priced units only, and None when nothing could be priced at all.
    """

    call: Call
    outcome: Outcome
    model: str | None
    base_model: str | None
    service_tier: str | None
    usage: Usage
    lines: tuple[Line, ...]
    unpriced: Usage
    cost_pico: int | None
    price_book: str
    remarks: Mapping[str, int] = field(default_factory=dict)


def charge(call: Call, outcome: Outcome, book: PriceBook) -> Charge:
    """The charge for an ended exchange: its reading at the price of the model that answered, at the tier that
    was served (both as requested where the answer does not say), on the UTC day the call was admitted."""
    reading = outcome.reading or Reading(Usage())
    model = reading.model or call.requested_model
    tier = tier_name(reading.service_tier or call.requested_tier)
    rated = book.rate(reading.usage, model or "", tier, call.started_at)
    return Charge(
        call,
        outcome,
        model=model,
        base_model=parse(model).base_model if model else None,
        service_tier=tier,
        usage=reading.usage,
        lines=rated.lines,
        unpriced=rated.unpriced,
        cost_pico=_cost(outcome.basis, rated.cost_pico, nothing_priced=bool(rated.unpriced) and not rated.lines),
        price_book=book.version,
        remarks={"reasoning_tokens": reading.reasoning_tokens} if reading.reasoning_tokens else {},
    )


def _cost(basis: Basis, cost_pico: int, *, nothing_priced: bool) -> int | None:
    if basis is Basis.UNKNOWN or (basis is not Basis.FREE and nothing_priced):
        return None
    return cost_pico
