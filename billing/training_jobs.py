"""Training jobs as the ledger has them: what each has cost and whom, what its model was used for since, and when that
pays back. Pure; whoever has the charges and the traffic asks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from billing.model_names import parse
from billing.prices import PriceBook
from billing.replacements import Used
from billing.usage import TOKEN_UNITS, Unit

MONTH_DAYS = Fraction(36525, 1200)
"""Days of a month, on average."""

_CHECKPOINT = ":ckpt-step-"


@dataclass(frozen=True, slots=True)
class Job:
    """One job: its id at OpenAI, the model that came of it, who pays. `fee_pico` is None where it is not known."""

    id: str | None
    model: str | None
    base_model: str | None
    ended_at: datetime
    basis: str
    reason: str | None
    team: str | None
    project: str | None
    key: str | None
    tokens: int
    seconds: int
    fee_pico: int | None

    @property
    def made_a_model(self) -> bool:
        """Whether a model came of it, that can be told from others."""
        return self.model is not None and parse(self.model).job is not None


@dataclass(frozen=True, slots=True)
class Use:
    """What models were used for: calls, tokens, what that has cost (but for `unknown` calls), and what the same would
    cost on another model, where one is named and has all the prices."""

    calls: int = 0
    tokens: int = 0
    cost_pico: int = 0
    unknown: int = 0
    instead_pico: int | None = None


def job_of(record: Mapping[str, Any]) -> Job:
    """The job of a charge's record (billing.tables) whose operation is `fine_tuning`: it starts to count as it ends."""
    usage = record["usage"]
    return Job(
        record["response_id"], record["model"], record["base_model"], datetime.fromisoformat(record["started_at"]),
        record["basis"], record["reason"], record["team"], record["project"], record["key"],
        usage.get(Unit.TRAINING_TOKENS, 0), usage.get(Unit.TRAINING_SECONDS, 0), record["cost_pico"],
    )  # fmt: skip


def is_of(model: str, name: str) -> bool:
    """Whether a name means a model, or one of the checkpoints of its training."""
    return name == model or name.startswith(model + _CHECKPOINT)


def use_of(model: str, used: Iterable[Used], instead: str | None, book: PriceBook, at: datetime) -> Use:
    """What a fine-tuned model was used for, its checkpoints too, and what the same tokens would cost on `instead`."""
    meant = [each for each in used if is_of(model, each.model)]
    parts = [part for each in meant for part in each.parts]
    instead_pico: int | None = None
    if instead is not None:
        rated = [book.rate(part.usage, instead, part.tier, at, 0) for part in parts]
        instead_pico = None if any(each.unpriced for each in rated) else sum(each.cost_pico for each in rated)
    return Use(
        sum(each.calls for each in meant),
        sum(quantity for part in parts for unit, quantity in part.usage.items() if unit in TOKEN_UNITS),
        sum(each.cost_pico for each in meant),
        sum(each.unknown for each in meant),
        instead_pico,
    )


def payback_months(fee_pico: int | None, use: Use, since: datetime, until: datetime) -> Fraction | None:
    """Months from the end of a job until its fee has come back, at the use since then; None where it never does, or
    where what it saves is not known."""
    days = Fraction(max(int((until - since).total_seconds()), 0), 86400)
    if fee_pico is None or use.instead_pico is None or not days or use.instead_pico <= use.cost_pico:
        return None
    return fee_pico * days / (use.instead_pico - use.cost_pico) / MONTH_DAYS


@dataclass(frozen=True, slots=True)
class Amortized:
    """A fine-tuned model's training spread over its use: `share_pico` is the part of all its fees that falls on the use
    looked at, by tokens; None where a fee is not known or nothing was used."""

    model: str
    jobs: int
    fees_pico: int | None
    use: Use
    share_pico: int | None

    def per_1k_pico(self, *, with_training: bool) -> int | None:
        """What 1K tokens have cost, in picodollars, rounded half up; None where nothing was used or it is not known."""
        share = self.share_pico if with_training else 0
        if not self.use.tokens or share is None:
            return None
        return (2 * 1000 * (self.use.cost_pico + share) + self.use.tokens) // (2 * self.use.tokens)


def amortized(
    jobs: Sequence[Job], looked_at: Sequence[Used], all_time: Sequence[Used], book: PriceBook, at: datetime
) -> list[Amortized]:
    """Each model that a job has made, in the order of the jobs: its fees over its use in the time looked at."""
    made: dict[str, list[Job]] = {}
    for job in jobs:
        if job.model is not None and job.made_a_model:
            made.setdefault(job.model, []).append(job)
    return [_amortized(model, its, looked_at, all_time, book, at) for model, its in made.items()]


def _amortized(
    model: str, jobs: Sequence[Job], looked_at: Sequence[Used], all_time: Sequence[Used], book: PriceBook, at: datetime
) -> Amortized:
    fees = [job.fee_pico for job in jobs if job.fee_pico is not None]
    fees_pico = sum(fees) if len(fees) == len(jobs) else None
    use, ever = use_of(model, looked_at, None, book, at), use_of(model, all_time, None, book, at)
    share = None
    if fees_pico is not None and ever.tokens:
        share = (2 * fees_pico * use.tokens + ever.tokens) // (2 * ever.tokens)
    return Amortized(model, len(jobs), fees_pico, use, share)
