"""Training files: many lines, of any size, in bounded memory. `Batches` cuts bytes into numbered lines; `survey` looks
at some of them by the rules of the file, and may run in any thread."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from billing.file_holds import Lines
from billing.model_names import parse
from billing.training_data import Form, examined, form_of, read, takes_prompts
from billing.training_messages import Problem
from billing.training_models import Training
from billing.training_tokens import Tokens, tokens_of

BATCH_BYTES, BATCH_LINES = 256 * 1024, 1_000

_BOM = b"\xef\xbb\xbf"

METHODS = {
    "supervised": Form.SUPERVISED,
    "preference": Form.PREFERENCE,
    "dpo": Form.PREFERENCE,  # OpenAI's own name for it
    "reinforcement": Form.REINFORCEMENT,
}

Batch = list[tuple[int, bytes | int]]
"""Lines by their number, from 1; of one that is too long only its size."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a file's lines are held against. `context`: tokens of an example that are trained on at most. `count_all`:
    count the tokens of every example, which takes time, and not only of those that may be too long."""

    form: Form
    model: str | None = None
    context: int | None = None
    count_all: bool = False


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What was found on one line. `digest` and `answer` are equal for equal lines and answers."""

    line: int
    problems: tuple[Problem, ...]
    digest: int
    is_example: bool = False
    answer: int | None = None
    instructed: bool = False
    images: int = 0
    tokens: Tokens = field(default_factory=Tokens)


def rules_for(first: Batch, training: Training, model: str | None, method: str | None) -> Rules:
    """The rules for a file that begins with these lines; the first that can be read tells the method that is not given.

    `method` is one of `METHODS`. Raises KeyError for another.
    """
    readable = (fields for _, line in first if isinstance(fields := read(line), dict))
    looks = form_of(next(readable, {}))
    known = training.of(model) if model else None
    form = looks if method is None else METHODS[method]
    if method is None and looks is Form.SUPERVISED and known and known.methods == (Form.REINFORCEMENT,):
        form = Form.REINFORCEMENT
    if form in (Form.SUPERVISED, Form.COMPLETION):
        prompts = takes_prompts(parse(model).base) if model else looks is Form.COMPLETION
        form = Form.COMPLETION if prompts else Form.SUPERVISED
    return Rules(form, model, known.context if known else None)


class Batches:
    """Cuts a file into batches of numbered lines. `byte_order_mark`: whether it begins with one; it is taken off."""

    def __init__(self) -> None:
        self.byte_order_mark = False
        self.bytes = 0
        self._lines = Lines(raw=True)
        self._number = 0
        self._held = b""
        self._batch: Batch = []
        self._batch_bytes = 0

    def feed(self, data: bytes) -> Iterator[Batch]:
        """The batches that these bytes fill. To be read to its end before the next bytes are fed."""
        begun = self.bytes == len(self._held)
        self.bytes += len(data)
        if begun:
            data = self._held + data
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._held = data
                return
            self._held = b""
            self.byte_order_mark = data.startswith(_BOM)
            data = data.removeprefix(_BOM)
        for line in self._lines.feed(data):
            yield from self._add(line)

    def close(self) -> Iterator[Batch]:
        """What is left at the end."""
        for line in (*self._lines.feed(self._held), *self._lines.close()):
            yield from self._add(line)
        if self._batch:
            yield self._batch

    def _add(self, line: bytes | int) -> Iterator[Batch]:
        self._number += 1
        self._batch.append((self._number, line))
        self._batch_bytes += len(line) if isinstance(line, bytes) else 0
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_LINES:
            yield self._batch
            self._batch, self._batch_bytes = [], 0


def survey(batch: Batch, rules: Rules) -> list[Surveyed]:
    """What is on each line of a batch. Raises RuntimeError where an encoding's file is missing."""
    return [_surveyed(number, line, rules) for number, line in batch]


def _surveyed(number: int, line: bytes | int, rules: Rules) -> Surveyed:
    problems: list[Problem] = []
    if isinstance(line, bytes) and line.endswith(b"\r"):
        problems.append(Problem("crlf", "lines end with CR LF: save the file with LF alone"))
        line = line[:-1]
    fields = read(line)
    if isinstance(fields, Problem):
        serious = fields.kind != "blank_line"
        return Surveyed(number, (*problems, replace(fields, serious=serious)), 0)
    example = examined(fields, rules.form)
    tokens = Tokens()
    size = len(line) if isinstance(line, bytes) else line
    if rules.count_all or (rules.context is not None and size > rules.context):
        tokens = tokens_of(fields, rules.form, rules.model or "", rules.context)
        if rules.context is not None and tokens.whole > rules.context and tokens.likely < tokens.whole:
            text = f"{tokens.whole:,} tokens: what is over {rules.context:,} is cut off in training"
            problems.append(Problem("too_long", text, serious=False))
    return Surveyed(
        number,
        (*problems, *example.problems),
        _digest(line if isinstance(line, bytes) else b""),
        True,
        None if example.answer is None else _digest(example.answer),
        example.instructed,
        example.images,
        tokens,
    )


def _digest(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest())
