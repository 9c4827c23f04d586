"""Holds of fine-tuning jobs: tokens of the training file × epochs × the model's training rate.

What is billed (OpenAI's fine-tuning and pricing pages): the tokens of the file times the epochs, for supervised and
preference training alike. Whether validation tokens are billed is not said, so they are held for like those of the
training file; and since nobody says how often the prompt that two preferred answers share is counted, it is counted
twice. Reinforcement is billed by the hour of training, which nothing bounds beforehand.

A text is bounded by its bytes, as in `holds`; an example is framed as a chat is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec

from billing.charges import Call
from billing.file_holds import Figures, Sized, unsized
from billing.holds import Ask, Hold, counted_input, most_input
from billing.model_names import parse
from billing.prices import STANDARD, Price, PriceBook
from billing.rating import cost
from billing.tokens import image_ceiling
from billing.usage import Unit
from billing.wanted import Wanted

TARGET_EPOCHS = 3
MOST_EPOCHS = 25
LEAST_SEEN, MOST_SEEN = 100, 25_000
"""Epochs that OpenAI chooses by itself, and between how many examples × epochs (OpenAI cookbook, "Data preparation and
analysis for chat model fine-tuning"). It is an estimate there and no promise."""

_EPOCHS_CEILING = 1_000
_BY_TOKENS = frozenset({"supervised", "dpo"})
PREFERENCES = "dpo"


@dataclass(frozen=True, slots=True)
class Job:
    """What a request for a fine-tuning job says. `epochs` is None where OpenAI is to choose, 0 where what was given
    is no number to go by."""

    training_file: str | None = None
    validation_file: str | None = None
    method: str = "supervised"
    epochs: int | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """One example of a training file, as its line says it: a conversation, of which `wanted` tells what its bytes do
    not bound. `plain`: nothing but messages and tools, so that it can be counted. Not kept."""

    wanted: Wanted
    plain: bool
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Examples:
    """What a file of examples comes to: at most so many tokens, where there are no `open_ends`."""

    count: int = 0
    tokens: int = 0
    open_ends: tuple[str, ...] = ()


class ExampleSum:
    """Sums up a file of examples line by line. `exact`: the text is counted, which takes time."""

    def __init__(
        self, call: Call, method: str, read: Callable[[bytes], Example | None], *, exact: bool = False
    ) -> None:
        """`call` is that of the job; `read` reads one line of its file (None: it is no example)."""
        self._call = replace(call, operation="chat")
        self._seen_each = 2 if method == PREFERENCES else 1
        self._read = read
        self._exact = exact
        self._count = self._tokens = 0
        self._ends: dict[str, None] = {}

    def add(self, line: bytes | int) -> None:
        """The next line; of one that is too long to be read, its size. One that is no example fails the job: its
        bytes bound it all the same."""
        self._count += 1
        example = self._read(line) if isinstance(line, bytes) else None
        if example is None:
            self._ends["a line that is no example"] = None
            self._tokens += (len(line) if isinstance(line, bytes) else line) * self._seen_each
            return
        self._ends.update(dict.fromkeys(example.wanted.elsewhere))
        if example.wanted.images and image_ceiling(self._call.requested_model or "") is None:
            self._ends["images of any size"] = None
        if self._exact and example.plain:
            tokens = counted_input(self._call, example.wanted, example.body)
        else:
            tokens = most_input(self._call, example.wanted, len(example.body))
        self._tokens += tokens * self._seen_each

    def examples(self) -> Examples:
        """All lines so far."""
        return Examples(self._count, self._tokens, tuple(self._ends))


def read_job(body: bytes) -> Job:
    """The job that a request's body asks for; never fails on a bad one."""
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Job(epochs=0)
    fields = _object(fields)
    method = _object(fields.get("method"))
    kind = method.get("type", "supervised")
    given = (fields, _object(method.get(kind)) if isinstance(kind, str) else {})
    epochs = [_epochs(_object(place.get("hyperparameters")).get("n_epochs")) for place in given]
    named = [number for number in epochs if number is not None]
    return Job(
        _text(fields.get("training_file")),
        _text(fields.get("validation_file")),
        kind if isinstance(kind, str) else "",
        (max(named) if all(named) else 0) if named else None,
    )


def by_tokens(job: Job) -> bool:
    """Whether a job is billed by the tokens of its files, so that reading them tells what it costs."""
    return job.method in _BY_TOKENS


def default_epochs(examples: int) -> int:
    """The epochs that OpenAI chooses for so many examples, rounded up where the rule does not say."""
    least, most = -(-LEAST_SEEN // max(examples, 1)), -(-MOST_SEEN // max(examples, 1))
    return min(MOST_EPOCHS, max(least, min(TARGET_EPOCHS, most)))


def training_name(model: str) -> str:
    """The name under which the price list has what is trained from a model: `ft:…`, or its own if it is one already."""
    return model if parse(model).fine_tuned else f"ft:{model}"


def training_price(model: str, unit: Unit, book: PriceBook, at: datetime) -> Price | None:
    """The row that says what training a model costs by tokens or by seconds (`unit`) on that day, if there is one."""
    for name in (training_name(model), f"{model}:ft-legacy"):  # the latter: the generation of `/fine-tunes`
        price = book.find(name, STANDARD, at)
        if price and unit in price.rates:
            return price
    return None


def training_sized(call: Call, job: Job, training: Examples, validation: Examples, figures: Figures) -> Sized:
    """The hold of a job by its files: a bound where its epochs are given. Where OpenAI chooses them, what its rule
    chooses; when the policy is strict, the most that the rule ever does."""
    if not by_tokens(job):
        return unsized(call, ("training that is billed by the hour",), figures)
    model = call.requested_model or ""
    price = training_price(model, Unit.TRAINING_TOKENS, figures.book, call.started_at)
    if price is None:
        return unsized(call, (f"no training price for {model or 'a job without a model'}",), figures)
    ends = (*training.open_ends, *validation.open_ends)
    if job.epochs == 0:
        ends = (*ends, "no plausible number of epochs")
    if ends and figures.policy.strict:
        return Sized(None, ends)
    epochs, basis = _epochs_held(job, training, figures)
    pico = cost((training.tokens + validation.tokens) * epochs, price.rates[Unit.TRAINING_TOKENS])
    if ends:
        return Sized(Ask(max(pico, figures.policy.expected_pico), Hold.EXPECTED, pico), ends)
    return Sized(Ask(pico, basis, pico), () if basis is Hold.BOUND else ("no number of epochs",))


def _epochs_held(job: Job, training: Examples, figures: Figures) -> tuple[int, Hold]:
    if job.epochs:
        return job.epochs, Hold.BOUND
    if figures.policy.strict:
        return MOST_EPOCHS, Hold.MAXIMUM
    return default_epochs(training.count), Hold.EXPECTED


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _epochs(value: object) -> int | None:
    """A number of epochs: None where OpenAI is to choose, 0 for what is no number to go by."""
    if value is None or value == "auto":
        return None
    return value if type(value) is int and 0 < value <= _EPOCHS_CEILING else 0
