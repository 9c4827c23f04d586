"""Estimates of fine-tuning: what training on a file will cost, how sure that is, and what the model costs afterwards.

Billed are the tokens of the file × epochs × the model's training rate of the day; reinforcement by the second of
training, which no file tells. Nothing here is charged: a finished job's own `trained_tokens` are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from billing.model_names import parse
from billing.money import usd_from_pico
from billing.prices import STANDARD, Price, PriceBook
from billing.rating import Rate, cost
from billing.retirements import Retirement, retirement_of
from billing.training_data import Form, method_of
from billing.training_holds import LEAST_SEEN, MOST_EPOCHS, MOST_SEEN, default_epochs, training_name, training_price
from billing.training_models import Training
from billing.training_tallies import MISFIT, Report
from billing.usage import Unit
from billing.vocabularies import encoding_name

MILLION = 1_000_000
SECONDS_AN_HOUR = 3_600
_LISTED = {"input": Unit.INPUT_TEXT, "cached_input": Unit.INPUT_CACHED_TEXT, "output": Unit.OUTPUT_TEXT}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be trained. `epochs` is None where OpenAI is to choose; `seconds` of training, if someone knows them
    (reinforcement only)."""

    model: str
    at: datetime
    epochs: int | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job is expected to cost. Tokens and cost are None where nobody can know them, and never 0 for that.

    `tokens` are those of the file, `billable` those of all epochs, likely and as a range. `unpriced` says why there is
    no price. `warnings` come with the gravest first.
    """

    plan: Plan
    report: Report
    epochs: int | None
    billable: int | None
    billable_range: tuple[int, int] | None
    price: Price | None
    unpriced: str | None
    trainable: bool
    warnings: tuple[str, ...]

    @property
    def rate(self) -> Rate | None:
        """What a training token costs, or a second."""
        return self.price.rates[_unit(self.report.form)] if self.price else None

    @property
    def cost_pico(self) -> int | None:
        """The fee of all epochs."""
        if self.rate is None:
            return None
        quantity = self.plan.seconds if _by_time(self.report.form) else self.billable
        return None if quantity is None else cost(quantity, self.rate)


def estimate(
    plan: Plan, report: Report, book: PriceBook, training: Training, ends: Mapping[str, Retirement]
) -> Estimate:
    """The estimate of a job for a file whose tokens were all counted."""
    form, tokens = report.form, report.tokens
    price = training_price(plan.model, _unit(form), book, plan.at)
    epochs = plan.epochs
    billable = least_most = None
    if not _by_time(form):
        epochs = epochs or default_epochs(report.examples)
        billable, least_most = tokens.likely * epochs, (tokens.least * epochs, tokens.most * epochs)
    unpriced = None if price else _unpriced(plan, form, book)
    obstacles = tuple(_obstacles(plan, form, training, ends))
    warnings = (
        *((unpriced,) if unpriced else ()),
        *obstacles,
        *_prospects(plan, training, ends),
        *_doubts(plan, report, epochs, price),
        *(_told(kind.count, kind.line, kind.text) for kind in report.kinds if kind.kind != MISFIT),
    )
    trainable = price is not None and not obstacles
    return Estimate(plan, report, epochs, billable, least_most, price, unpriced, trainable, warnings)


def shown(made: Estimate, book: PriceBook) -> dict[str, Any]:
    """An estimate in fields for programs: money as decimal texts, what is not known null."""
    rate, plan, report = made.rate, made.plan, made.report
    by_time = _by_time(report.form)
    known = rate is not None and made.billable is not None and made.billable_range is not None
    per_epoch = cost(report.tokens.likely, rate) if rate is not None and not by_time else None
    return {
        "model": plan.model,
        "base_model": parse(plan.model).base_model,
        "method": method_of(report.form),
        "trainable": made.trainable,
        "examples": report.examples,
        "tokens": report.tokens.whole,
        "billable_tokens_per_epoch": None if by_time else report.tokens.likely,
        "epochs": made.epochs,
        "epochs_chosen_by": None if made.epochs is None else "you" if plan.epochs else "openai",
        "billable_tokens": made.billable,
        "price_usd_per_mtok": None if by_time or rate is None else usd_from_pico(cost(MILLION, rate)),
        "price_usd_per_hour": usd_from_pico(cost(SECONDS_AN_HOUR, rate)) if by_time and rate is not None else None,
        "training_seconds": plan.seconds if by_time else None,
        "cost_usd_per_epoch": _usd(per_epoch),
        "cost_usd": _usd(made.cost_pico),
        "uncertainty": {
            "billable_tokens": made.billable_range,
            "cost_usd": [_usd(cost(tokens, rate)) for tokens in made.billable_range or ()]
            if known and rate is not None
            else None,
            "approximate_examples": report.tokens.approximate,
        },
        "inference": list(_inference(plan, book)),
        "unpriced": made.unpriced,
        "errors": report.errors,
        "unread_examples": report.unread,
        "priced_on": plan.at.date().isoformat(),
        "price_source": made.price.source if made.price else None,
        "price_verified_on": str(made.price.verified_on) if made.price and made.price.verified_on else None,
        "price_book": book.version,
        "warnings": list(made.warnings),
    }


def _by_time(form: Form) -> bool:
    return form is Form.REINFORCEMENT


def _unit(form: Form) -> Unit:
    return Unit.TRAINING_SECONDS if _by_time(form) else Unit.TRAINING_TOKENS


def _usd(pico: int | None) -> str | None:
    return None if pico is None else usd_from_pico(pico)


def _told(count: int, line: int | None, text: str) -> str:
    if line is None:
        return text
    return f"line {line}: {text}" if count == 1 else f"line {line} and {count - 1:,} more: {text}"


# Why there is no price, or no use in one


def _unpriced(plan: Plan, form: Form, book: PriceBook) -> str:
    other = Unit.TRAINING_TOKENS if _by_time(form) else Unit.TRAINING_SECONDS
    if training_price(plan.model, other, book, plan.at):
        way = "by tokens only, not by reinforcement" if _by_time(form) else "by reinforcement only"
        return f"{plan.model} is trained {way}: {method_of(form)} training of it has no price"
    day = plan.at.date()
    near = [name for name in _trained(book, plan.at) if name.startswith(f"{plan.model}-20")]
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return (
        f"no training price is known for {plan.model} on {day}: it cannot be fine-tuned, or not at a known price{meant}"
    )


def _trained(book: PriceBook, at: datetime) -> list[str]:
    """The base models with a training price that day, under every name that the book has for them."""
    names = {name for prices in book.lists for name in (*(price.model for price in prices.prices), *prices.aliases)}
    return sorted(
        name.removeprefix("ft:")
        for name in names
        if name.startswith("ft:") and training_price(name.removeprefix("ft:"), Unit.TRAINING_TOKENS, book, at)
    )


def endings(plan: Plan, form: Form, training: Training, ends: Mapping[str, Retirement]) -> tuple[str, ...]:
    """What has ended or is going to end before a job is worth much: training itself, the model, its method."""
    return (*_obstacles(plan, form, training, ends), *_prospects(plan, training, ends))


def _obstacles(plan: Plan, form: Form, training: Training, ends: Mapping[str, Retirement]) -> Iterator[str]:
    end, closing = retirement_of(plan.model, ends), training.closing
    base = parse(plan.model).base
    if end and plan.at >= end.at:
        yield f"{base} was shut down on {end.at.date()}, with all models trained from it"
    if plan.at.date() > closing.last_day:
        yield f"OpenAI ended fine-tuning: {closing.last_day} was the last day to create a job"
    known = training.of(plan.model)
    if known and method_of(form) not in known.methods:
        yield f"{base} takes {' or '.join(known.methods)} training, not {method_of(form)}"


def _prospects(plan: Plan, training: Training, ends: Mapping[str, Retirement]) -> Iterator[str]:
    """What is going to end, and when."""
    end, closing, today = retirement_of(plan.model, ends), training.closing, plan.at.date()
    if end and plan.at < end.at:
        left = (end.at - datetime.combine(today, time.min, UTC)).days
        base = parse(plan.model).base
        yield f"the trained model can be used for {left} days: {base} is shut down on {end.at.date()}"
    past = [f"{whom} (since {on})" for on, whom in closing.earlier if on <= today]
    if past and today <= closing.last_day:
        yield f"OpenAI takes no new jobs after {closing.last_day}, and none of {' and '.join(past)}"


def _doubts(plan: Plan, report: Report, epochs: int | None, price: Price | None) -> Iterator[str]:
    tokens = report.tokens
    if _by_time(report.form):
        if plan.seconds is None:
            yield "reinforcement is billed by the hour of training, which no file tells: say --hours for a figure"
        yield "graders that are models are billed besides, at their own rates"
    elif plan.epochs is None:
        yield (
            f"epochs are OpenAI's to choose: {epochs} by its published rule ({LEAST_SEEN} to {MOST_SEEN:,} examples × "
            f"epochs), which is an estimate; at most {MOST_EPOCHS}"
        )
    if report.unread:
        yield f"{report.unread:,} lines could not be read and are not in the figures"
    if tokens.approximate:
        yield f"{tokens.approximate:,} examples have tools, images or files, whose tokens are approximate"
    if report.form is Form.PREFERENCE:
        yield "whether a prompt with two answers counts once or twice is not said: once is likely, twice in the range"
    if not encoding_name(plan.model)[1]:
        yield f"the encoding of {plan.model} is not known: its tokens were counted as o200k_base"
    if price and price.note:
        yield f"of the price: {price.note}"


def _inference(plan: Plan, book: PriceBook) -> Iterator[dict[str, Any]]:
    """What calls to the trained model cost, and what those to its base cost, per 1M tokens."""
    tuned = training_name(plan.model)
    for name, tier in ((tuned, STANDARD), (tuned, "batch"), (parse(plan.model).base, STANDARD)):
        price = book.find(name, tier, plan.at)
        if price is not None:
            rates = {
                f"{word}_usd_per_mtok": _usd(cost(MILLION, rate)) if (rate := price.rates.get(unit)) else None
                for word, unit in _LISTED.items()
            }
            yield {"model": name, "tier": tier, **rates}
