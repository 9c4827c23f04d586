"""Training tallies: what was found on the lines of a training file, summed up in its order and in bounded memory.

An `Examination` is all of it: bytes in, work for any thread out, what the work found in, a report out.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from billing.training_data import Form, method_of
from billing.training_files import Batch, Batches, Rules, Surveyed, rules_for, survey
from billing.training_messages import Problem
from billing.training_models import Training
from billing.training_tokens import Tokens

LEAST_EXAMPLES = 10
"""OpenAI's guide to supervised fine-tuning."""

MOST_IMAGE_EXAMPLES = 50_000
"""OpenAI's guide to vision fine-tuning."""

MOST_FILE_BYTES = 512 * 2**20
"""What `/v1/files` takes (OpenAI's API reference); `/v1/uploads` takes 8 GB, in parts."""

LISTED_CEILING = 10_000
"""Errors that are kept to be listed, and remarks; the rest is counted."""

REMEMBERED_LINES = 500_000
"""Different lines that are remembered to find copies of, in some 60 MB."""

REMEMBERED_ANSWERS = 1_000
FEW_ANSWERS = 50
"""So few different answers are labels, which are expected to be balanced."""

IMBALANCE = 10

_OF_THE_FILE = frozenset({"crlf"})
"""Kinds that are listed once, since they are on every line."""

MISFIT = "model"
"""The kind of a problem between a file and the model that is to be trained on it."""

Work = Callable[[], list[Surveyed]]


@dataclass(frozen=True, slots=True)
class Kind:
    """All problems of a kind: how many, and the first of them. `line` is None for one of the whole file."""

    kind: str
    serious: bool
    count: int
    line: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be said of a file. `listed` are the first errors and the first remarks, in the order of their lines;
    those of the whole file, with None for a line, come before."""

    form: Form
    bytes: int
    examples: int
    tokens: Tokens
    kinds: tuple[Kind, ...]
    listed: tuple[tuple[int | None, Problem], ...]

    @property
    def errors(self) -> int:
        """How many problems OpenAI would not take the file with."""
        return sum(kind.count for kind in self.kinds if kind.serious)

    @property
    def remarks(self) -> int:
        """How many others there are."""
        return sum(kind.count for kind in self.kinds if not kind.serious)

    @property
    def unread(self) -> int:
        """Lines with serious problems of their own, at least: what they cost is not known."""
        return sum(kind.count for kind in self.kinds if kind.serious and kind.kind in _UNREAD)


_UNREAD = frozenset({"json", "encoding", "too_large", "form"})


def problems_shown(report: Report) -> list[dict[str, Any]]:
    """The listed problems in fields for programs."""
    return [
        {"line": line, "severity": severity(problem.serious), "kind": problem.kind, "message": problem.text}
        for line, problem in report.listed
    ]


def severity(serious: bool) -> str:
    """The word for it."""
    return "error" if serious else "warning"


class Tally:
    """Sums up what was found, in the file's order, in bounded memory."""

    def __init__(self, rules: Rules, listed_ceiling: int = LISTED_CEILING) -> None:
        self._rules = rules
        self._ceiling = listed_ceiling
        self._kinds: dict[tuple[str, bool], Kind] = {}
        self._listed: dict[bool, list[tuple[int | None, Problem]]] = {True: [], False: []}
        self._lines: dict[int, int] = {}
        self._answers: dict[int, tuple[int, int]] = {}
        self._examples = self._instructed = self._illustrated = self._answered = 0
        self._tokens = Tokens()

    def add(self, found: Iterable[Surveyed]) -> None:
        """What was found on the next lines."""
        for one in found:
            for problem in one.problems:
                self.note(one.line, problem)
            if not one.is_example:
                continue
            self._examples += 1
            self._instructed += one.instructed
            self._illustrated += bool(one.images)
            self._tokens += one.tokens
            self._look_for_copy(one)
            self._count_answer(one)

    def note(self, line: int | None, problem: Problem) -> None:
        """A problem of a line, or of the whole file."""
        key = problem.kind, problem.serious
        known = self._kinds.get(key)
        self._kinds[key] = (
            replace(known, count=known.count + 1)
            if known
            else Kind(problem.kind, problem.serious, 1, line, problem.text)
        )
        listed = self._listed[problem.serious]
        if line is None or (len(listed) < self._ceiling and not (known and problem.kind in _OF_THE_FILE)):
            listed.append((line, problem))

    def report(self, batches: Batches) -> Report:
        """What is to be said of the file that was cut into these batches. To be called once, at its end."""
        for problem in (*_file_problems(batches), *self._problems_of_all()):
            self.note(None, problem)
        kinds = sorted(self._kinds.values(), key=lambda kind: (not kind.serious, kind.line or 0, kind.kind))
        listed = sorted((*self._listed[True], *self._listed[False]), key=lambda one: one[0] or 0)
        return Report(self._rules.form, batches.bytes, self._examples, self._tokens, tuple(kinds), tuple(listed))

    def _look_for_copy(self, one: Surveyed) -> None:
        earlier = self._lines.get(one.digest)
        if earlier is not None:
            self.note(one.line, Problem("duplicate", f"the same example as on line {earlier}", serious=False))
        elif len(self._lines) < REMEMBERED_LINES:
            self._lines[one.digest] = one.line

    def _count_answer(self, one: Surveyed) -> None:
        if one.answer is None:
            return
        self._answered += 1
        times, line = self._answers.get(one.answer, (0, one.line))
        if times or len(self._answers) < REMEMBERED_ANSWERS:
            self._answers[one.answer] = (times + 1, line)

    def _problems_of_all(self) -> Iterator[Problem]:
        count, bare = self._examples, self._examples - self._instructed
        if not count:
            yield Problem("empty", "the file has no example")
        elif count < LEAST_EXAMPLES:
            yield Problem("too_few", f"{count} examples: OpenAI takes {LEAST_EXAMPLES} or more")
        if self._illustrated > MOST_IMAGE_EXAMPLES:
            yield Problem("image", f"{self._illustrated:,} examples with images: {MOST_IMAGE_EXAMPLES:,} is the most")
        if self._instructed and bare:
            yield Problem("no_system", f"{bare:,} of {count:,} examples have no system message", serious=False)
        if len(self._lines) >= REMEMBERED_LINES:
            text = f"copies were looked for of the first {REMEMBERED_LINES:,} different examples only"
            yield Problem("duplicates_bounded", text, serious=False)
        if self._answered >= LEAST_EXAMPLES:
            yield from self._imbalance()

    def _imbalance(self) -> Iterator[Problem]:
        most, most_line = max(self._answers.values(), key=lambda answer: answer[0])
        least, least_line = min(self._answers.values(), key=lambda answer: answer[0])
        share = f"{100 * most // self._answered}% of the examples have the answer of line {most_line}"
        if 1 < len(self._answers) <= FEW_ANSWERS and most >= IMBALANCE * least:
            text = f"{share}, {most // least} times as many as that of line {least_line}"
            yield Problem("imbalance", text, serious=False)
        elif 2 * most > self._answered and len(self._answers) != 2:
            yield Problem("imbalance", share, serious=False)


def _file_problems(batches: Batches) -> Iterator[Problem]:
    if batches.byte_order_mark:
        yield Problem("bom", "the file begins with a byte order mark: save it as UTF-8 without one")
    if batches.bytes > MOST_FILE_BYTES:
        size = f"{batches.bytes / 2**20:,.0f} MiB"
        yield Problem("file_size", f"{size}: over 512 MB a file is taken in parts only, by /v1/uploads")


class Examination:
    """One training file from its first byte to its report.

    Feed it the bytes in order, do the work that comes of them (in any thread), and add what was found in the same
    order. `method` is one of `METHODS`, or None: then the file tells. `count_all`: count every example's tokens.
    """

    def __init__(self, training: Training, model: str | None, method: str | None, *, count_all: bool) -> None:
        self._training = training
        self._model = model
        self._method = method
        self._count_all = count_all
        self._batches = Batches()
        self._tally: Tally | None = None
        self._rules: Rules | None = None

    def feed(self, data: bytes) -> Iterator[Work]:
        """The work of the batches that these bytes fill. To be read to its end before the next bytes are fed."""
        for batch in self._batches.feed(data):
            yield self._work(batch)

    def close(self) -> Iterator[Work]:
        """The last of it."""
        for batch in self._batches.close():
            yield self._work(batch)

    def add(self, found: Iterable[Surveyed]) -> None:
        """What the next work found."""
        self._begun([]).add(found)

    def report(self) -> Report:
        """What is to be said of the file. To be called once, when all was added."""
        return self._begun([]).report(self._batches)

    def _work(self, batch: Batch) -> Work:
        self._begun(batch)
        assert self._rules is not None
        return partial(survey, batch, self._rules)

    def _begun(self, first: Batch) -> Tally:
        if self._tally is None:
            rules = rules_for(first, self._training, self._model, self._method)
            self._rules = replace(rules, count_all=self._count_all)
            self._tally = Tally(self._rules)
            if problem := self._misfit(self._rules.form):
                self._tally.note(None, problem)
        return self._tally

    def _misfit(self, form: Form) -> Problem | None:
        """Whether the model is not one to be trained with such a file."""
        if self._model is None:
            return None
        method, known = method_of(form), self._training.of(self._model)
        if known is None:
            return Problem(MISFIT, f"it is not known that {self._model} can be fine-tuned", serious=False)
        if method not in known.methods:
            return Problem(MISFIT, f"{self._model} takes {' or '.join(known.methods)} training, not {method}")
        return None
