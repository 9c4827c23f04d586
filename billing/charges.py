"""A charge: what one exchange cost, why, and who pays. Immutable, and free of any content."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from billing.attribution import Attribution
from billing.model_names import parse
from billing.prices import PriceBook, Rated, tier_name
from billing.rating import Line
from billing.usage import Reading, Usage


class Basis(StrEnum):
    """Where a charge's figures come from. Unknown is never zero: its cost is None."""

    REPORTED = "reported"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Pending:
    """Usage that comes later: the path of the upstream's object that will tell it, and which `kind` of object it is
    (`billing.pending`)."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of an exchange when it is admitted, before its first byte leaves. No content.

    `path` is the endpoint's template; `requested_tier` what the body asked for, before OpenAI chose. `held_pico` is
    what was held for it on its budgets: what an unknown cost counts as there. `hold` says what that figure is: the
    most the call can cost (`bound`), what such calls cost (`expected`), or the model's own maximum (`maximum`).
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
    held_pico: int = 0
    hold: str | None = None
    pending: Pending | None = None
    """Where its usage will be told, once it is known that this comes after its answer."""


@dataclass(frozen=True, slots=True)
class Made:
    """An object that the upstream keeps (a file, a batch, a stored response): its id. It belongs to who made the
    call, or where it came into being by itself (a batch's output file), to who owns the object it came of."""

    id: str
    within: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an exchange ended. `reason` says why its figures are not reported ones (`no_usage`, `cancelled`, …);
    `made` are the objects that its answer tells of for the first time. With `pending` it has not ended: the answer is
    there, its usage comes later."""

    ended_at: datetime
    basis: Basis
    status: int | None = None
    reading: Reading | None = None
    client_gone: bool = False
    upstream_request_id: str | None = None
    reason: str | None = None
    made: tuple[Made, ...] = ()
    pending: Pending | None = None


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
    was served (both as requested where the answer does not say), on the UTC day the call was admitted. What other
    models used for the same answer is rated at theirs, and is part of the charge's usage and lines."""
    reading = outcome.reading or Reading(Usage())
    model = reading.model or call.requested_model
    tier = tier_name(reading.service_tier or call.requested_tier)
    parts = [rated(reading, model, tier, call, book)]
    parts += [rated(part, part.model, part.service_tier, call, book) for part in reading.besides]
    lines = tuple(line for each in parts for line in each.lines)
    unpriced = sum((each.unpriced for each in parts), Usage())
    return Charge(
        call,
        outcome,
        model=model,
        base_model=parse(model).base_model if model else None,
        service_tier=tier,
        usage=sum((part.usage for part in reading.besides), reading.usage),
        lines=lines,
        unpriced=unpriced,
        cost_pico=_cost(
            outcome.basis, sum(line.cost_pico for line in lines), nothing_priced=bool(unpriced) and not lines
        ),
        price_book=book.version,
        remarks={"reasoning_tokens": reading.reasoning_tokens} if reading.reasoning_tokens else {},
    )


ANNOUNCED = "announced"
"""Reason of what is no charge: it tells of the objects that a call has made whose usage comes later."""


def announcement(answered: Charge) -> Charge:
    """What tells of the objects that a call has made, before its own charge does."""
    call, outcome = replace(answered.call, id=f"{answered.call.id}:made", held_pico=0), answered.outcome
    told = Outcome(outcome.ended_at, Basis.FREE, reason=ANNOUNCED, made=outcome.made)
    return replace(answered, call=call, outcome=told, usage=Usage(), lines=(), unpriced=Usage(), cost_pico=0)


def rated(part: Reading, model: str | None, tier: str | None, call: Call, book: PriceBook) -> Rated:
    """A reading at its model's price; a variant has a row of its own, under the model's undated name."""
    name = f"{parse(model or '').base_model} {part.variant}" if part.variant else model or ""
    return book.rate(part.usage, name, tier, call.started_at, part.context_tokens)


def _cost(basis: Basis, cost_pico: int, *, nothing_priced: bool) -> int | None:
    if basis is Basis.UNKNOWN or (basis is not Basis.FREE and nothing_priced):
        return None
    return cost_pico
