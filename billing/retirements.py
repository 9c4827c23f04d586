"""Retirements: when OpenAI stops serving a model. Dated data with its sources, in `model_data/retirements.toml`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from importlib import resources

from billing.model_names import parse, undated


@dataclass(frozen=True, slots=True)
class Retirement:
    """The end of a model: the beginning (UTC) of the day on which it is shut down, and where that was read."""

    at: datetime
    source: str


@cache
def announced() -> Mapping[str, Retirement]:
    """What is known, by model. Raises ValueError when the shipped table is wrong."""
    return read((resources.files("billing") / "model_data" / "retirements.toml").read_text(encoding="utf-8"))


def read(text: str) -> dict[str, Retirement]:
    """Retirements by model. Raises ValueError for a row without day, models or source, and for a model named twice."""
    found: dict[str, Retirement] = {}
    for row in tomllib.loads(text).get("retirement", []):
        if not isinstance(row.get("on"), date) or not row.get("models") or not row.get("source"):
            raise ValueError(f"a retirement needs on, models and source: {row}")
        for model in row["models"]:
            if model in found:
                raise ValueError(f"{model} retires twice")
            found[model] = Retirement(datetime.combine(row["on"], time.min, UTC), row["source"])
    return found


def retirement_of(model: str, known: Mapping[str, Retirement]) -> Retirement | None:
    """The end of a model: by its own name, else by its name without a snapshot's date. A fine-tuned model ends with
    its base, or on a day of its own."""
    parsed = parse(model)
    names = (parsed.price_name, parsed.undated_price_name, parsed.base, undated(parsed.base))
    return next((known[name] for name in names if name in known), None)
