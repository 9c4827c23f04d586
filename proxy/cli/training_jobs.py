"""`farebox finetune jobs` and `farebox report --amortize`: what training has cost, and what came of it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import typer

from billing.money import usd_from_pico
from billing.price_sources import price_book
from billing.prices import PriceBook
from billing.replacements import Used
from billing.store import Narrowing, Store
from billing.traffic import TRAINING, used
from billing.training_jobs import Amortized, Job, Use, amortized, job_of, payback_months, use_of
from billing.windows import BEGINNING, END
from proxy.cli.listing import Format, Row, moment_text, show
from proxy.cli.session import DatabaseOption, FormatOption, FromOption, ToOption, ask_ledger, fail, narrowed, settings
from proxy.settings import Settings

JOBS = (
    "job", "ended_at", "model", "outcome", "training_tokens", "fee_usd", "team", "project", "key", "calls", "tokens",
    "use_usd", "instead_usd", "payback_months",
)  # fmt: skip
AMORTIZED = (
    "model", "jobs", "training_usd", "calls", "tokens", "use_usd", "training_share_usd", "use_usd_per_1k",
    "effective_usd_per_1k",
)  # fmt: skip

_NO_JOBS = "No training job has ended yet. POST /v1/fine_tuning/jobs through Farebox starts one."
_NO_MODELS = "No training job that went through Farebox has made a model yet."


def jobs(
    since: FromOption = None,
    until: ToOption = None,
    team: Annotated[str | None, typer.Option(help="only this team's jobs")] = None,
    instead_of: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="what would be used otherwise: what is saved, and when it pays back"),
    ] = None,
    form: FormatOption = Format.TABLE,
    database: DatabaseOption = None,
) -> None:
    """List training jobs that have ended: fees, what their models were used for since, months until that pays back.

    What is saved is told beside another model (--instead-of), for the same tokens at its prices of today.
    """
    chosen = settings(database=database)
    book = _book(chosen)
    now = datetime.now(UTC)
    if instead_of is not None and book.find(instead_of, None, now) is None:
        fail(f"--instead-of {instead_of}: no price is known for it", 2)
    narrowing = narrowed(chosen, since, until, {"team": team})

    async def listed(store: Store) -> None:
        found = await _jobs(store, narrowing)
        ever = await used(store, BEGINNING, END)
        rows = [_row(job, _use(job, ever, instead_of, book, now), now) for job in found]
        show(rows, JOBS, form, empty=_NO_JOBS)

    ask_ledger(chosen, listed)


async def show_amortized(store: Store, narrowing: Narrowing, chosen: Settings, form: Format) -> None:
    """Write what the models that were trained have cost in an interval, their training spread over all their use."""
    book, found = _book(chosen), await _jobs(store, Narrowing())
    ever = await used(store, BEGINNING, END)
    within = await used(store, narrowing.since or BEGINNING, narrowing.until or END)
    rows = [_spread(each) for each in amortized(found, within, ever, book, datetime.now(UTC))]
    show(rows, AMORTIZED, form, empty=_NO_MODELS)


async def _jobs(store: Store, narrowing: Narrowing) -> list[Job]:
    meant = Narrowing(narrowing.since, narrowing.until, (*narrowing.equal, ("operation", TRAINING)))
    return [job_of(record) async for record in store.charges(meant) if record["method"] == "POST"]


def _use(job: Job, ever: Iterable[Used], instead: str | None, book: PriceBook, now: datetime) -> Use:
    return use_of(job.model, ever, instead, book, now) if job.model is not None and job.made_a_model else Use()


def _row(job: Job, use: Use, now: datetime) -> Row:
    months = payback_months(job.fee_pico, use, job.ended_at, now)
    return {
        "job": job.id,
        "ended_at": moment_text(job.ended_at),
        "model": job.model,
        "base_model": job.base_model,
        "outcome": job.reason or ("trained" if job.made_a_model else "ended without a model"),
        "basis": job.basis,
        "training_tokens": job.tokens or None,
        "training_seconds": job.seconds or None,
        "fee_usd": _usd(job.fee_pico),
        "team": job.team,
        "project": job.project,
        "key": job.key,
        "calls": use.calls,
        "tokens": use.tokens,
        "use_usd": _usd(use.cost_pico),
        "unknown_calls": use.unknown,
        "instead_usd": _usd(use.instead_pico),
        "payback_months": None if months is None else str(round(Decimal(months.numerator) / months.denominator, 1)),
    }


def _spread(each: Amortized) -> Row:
    return {
        "model": each.model,
        "jobs": each.jobs,
        "training_usd": _usd(each.fees_pico),
        "calls": each.use.calls,
        "tokens": each.use.tokens,
        "use_usd": _usd(each.use.cost_pico),
        "unknown_calls": each.use.unknown,
        "training_share_usd": _usd(each.share_pico),
        "use_usd_per_1k": _usd(each.per_1k_pico(with_training=False)),
        "effective_usd_per_1k": _usd(each.per_1k_pico(with_training=True)),
    }


def _usd(pico: int | None) -> str | None:
    return None if pico is None else usd_from_pico(pico)


def _book(chosen: Settings) -> PriceBook:
    try:
        return price_book(chosen.prices, chosen.upstream_host)
    except (OSError, ValueError) as error:
        fail(str(error), 2)
