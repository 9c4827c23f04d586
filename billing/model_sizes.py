"""Model sizes: how much a model can read and write in one run, where that is known."""

import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any

from billing.model_names import parse


@dataclass(frozen=True, slots=True)
class Size:
    """A model's size in tokens: `context` is the most that input and output can be together, `output` the most that
    one answer can be, reasoning included.

    `source` says where the figures were seen and `seen_on` when; `verified` whether that was OpenAI itself.
    """

    context: int
    output: int
    source: str
    seen_on: date
    verified: bool = False


def size_of(model: str | None) -> Size | None:
    """The size of a model, in any spelling (a fine-tune is as large as its base); None where it is not known."""
    if not model:
        return None
    name = parse(model)
    sizes = _sizes()
    return sizes.get(name.base) or sizes.get(name.base_model)


@cache
def _sizes() -> dict[str, Size]:
    return read_sizes((resources.files("billing") / "model_data" / "sizes.toml").read_text(encoding="utf-8"))


def read_sizes(text: str) -> dict[str, Size]:
    """The sizes in a TOML document, by model. Raises ValueError for a model that is in it twice, a size that is no
    number of tokens, and a source that is not cited."""
    table = tomllib.loads(text)
    sizes: dict[str, Size] = {}
    for row in table["size"]:
        size = _size(row, table["sources"])
        for model in row["models"]:
            if model in sizes:
                raise ValueError(f"{model} has two sizes")
            sizes[model] = size
    return sizes


def _size(row: dict[str, Any], sources: dict[str, Any]) -> Size:
    source = sources.get(row["source"])
    if source is None:
        raise ValueError(f"{row['models']}: there is no source {row['source']!r}")
    context, output = row["context"], row["output"]
    if type(context) is not int or type(output) is not int or not 0 < output <= context:
        raise ValueError(f"{row['models']}: an answer of {output} in a context of {context}")
    return Size(context, output, source["text"], source["seen_on"], source.get("verified", False))
