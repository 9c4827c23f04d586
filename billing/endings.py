"""Endings: the calendar of what OpenAI shuts down, fine-tuning and models, in the order of days."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from billing.retirements import Retirement
from billing.training_models import Training


@dataclass(frozen=True, slots=True)
class Ending:
    """One day of the calendar: what ends on it, for whom, and where that was read. `models` are those that are shut
    down, and with them all that is trained from them; empty where it is not about models."""

    on: date
    what: str
    whom: str
    source: str
    models: tuple[str, ...] = ()


def calendar(training: Training, ends: Mapping[str, Retirement]) -> list[Ending]:
    """All that is known, the earliest first."""
    return sorted(
        (*_of_training(training), *_of_models(training, ends)),
        key=lambda ending: (ending.on, ending.what, ending.models),
    )


def _of_training(training: Training) -> Iterator[Ending]:
    closing = training.closing
    for on, whom in closing.earlier:
        yield Ending(on, "no new fine-tuning jobs", whom, closing.source)
    yield Ending(closing.last_day, "last day for new fine-tuning jobs", "everyone", closing.source)


def _of_models(training: Training, ends: Mapping[str, Retirement]) -> Iterator[Ending]:
    together: dict[tuple[date, str], list[str]] = {}
    for model, end in ends.items():
        together.setdefault((end.at.date(), end.source), []).append(model)
    for (on, source), models in together.items():
        trained = sorted(model for model in models if training.of(model))
        if trained:
            yield Ending(on, "shut down, with all models trained from them", "everyone", source, tuple(trained))
        if others := tuple(sorted(set(models) - set(trained))):
            yield Ending(on, "shut down", "everyone", source, others)


def rows(endings: Iterable[Ending], now: datetime) -> list[dict[str, Any]]:
    """The calendar in fields for programs. `days_left` is 0 or less for what has ended."""
    return [
        {
            "on": ending.on.isoformat(),
            "days_left": (ending.on - now.date()).days,
            "what": ending.what,
            "whom": ending.whom,
            "models": list(ending.models),
            "source": ending.source,
        }
        for ending in endings
    ]
