"""Training models: which can be fine-tuned by what method, on how long an example, and until when. Dated data with its
sources, in `model_data/training.toml`."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources

from billing.model_names import parse


@dataclass(frozen=True, slots=True)
class Trainable:
    """How a model can be trained. `context` is the most tokens of an example that are trained on; None: not known."""

    methods: tuple[str, ...]
    context: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of fine-tuning: the last day on which anyone can create a job, and who could not from which day on."""

    last_day: date
    earlier: tuple[tuple[date, str], ...]
    source: str


@dataclass(frozen=True, slots=True)
class Training:
    """All that is known of fine-tuning apart from its prices."""

    models: Mapping[str, Trainable]
    closing: Closing

    def of(self, model: str) -> Trainable | None:
        """How a model, or what is already trained from it, can be trained; None where that is not known."""
        base = parse(model).base
        return self.models.get(base) or self.models.get(parse(model).base_model)


@cache
def known() -> Training:
    """What ships with Farebox. Raises ValueError when the table is wrong."""
    return read((resources.files("billing") / "model_data" / "training.toml").read_text(encoding="utf-8"))


def read(text: str) -> Training:
    """Read such a table. Raises ValueError for a model that is in it twice, without methods, or without a source."""
    table = tomllib.loads(text)
    models: dict[str, Trainable] = {}
    for row in table.get("model", []):
        if not row.get("models") or not row.get("methods") or not row.get("source"):
            raise ValueError(f"a model needs models, methods and source: {row}")
        for model in row["models"]:
            if model in models:
                raise ValueError(f"{model} is trained twice")
            models[model] = Trainable(tuple(row["methods"]), row.get("context"), row["source"])
    closing = table.get("closing")
    if not closing or not isinstance(closing.get("last_day"), date) or not closing.get("source"):
        raise ValueError("the closing needs last_day and source")
    earlier = tuple((row["on"], row["whom"]) for row in closing.get("earlier", []))
    return Training(models, Closing(closing["last_day"], earlier, closing["source"]))
