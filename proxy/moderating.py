"""Moderating: training examples before OpenAI's moderation, as its screening does it when a job has been created.

Texts go many at a time, several requests at once, images each by itself; a rate limit makes all wait. Results come in
the file's order, so that a record of how far it got (`Progress`) is enough to go on after an interruption. The record
has line numbers, categories and scores, and no text.
"""

import asyncio
import contextlib
import hashlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import openai
from openai import AsyncOpenAI
from openai.types import ModerationMultiModalInputParam

from billing.training_data import images_of, read, texts_of

MODEL = "omni-moderation-latest"

TEXTS_A_REQUEST = 32
CHARACTERS_A_REQUEST = 20_000
"""Some 5,000 tokens: the smallest accounts have 10,000 a minute."""

CHARACTERS_A_TEXT = 10_000
"""A longer text is screened in parts."""

REQUESTS_AT_ONCE = 4
MOST_ATTEMPTS = 8
MOST_RATE_LIMITS = 40
"""How often a request is sent again after errors, and after rate limits."""

LONGEST_WAIT_SECONDS = 600.0
"""Whoever is told to wait longer stops, and goes on another time."""

NOT_SCREENED = "not screened"
"""Stands for the categories of an image that the endpoint cannot read."""

_LONGEST_STEP_SECONDS = 60.0

Line = tuple[int, bytes | int]


class ModerationFailed(Exception):
    """The screening cannot go on; says why in one line. What was screened is in the record."""


class Flagged(msgspec.Struct, frozen=True):
    """An example that is likely to be blocked: its line, the categories, and the highest score of those."""

    line: int
    categories: tuple[str, ...]
    score: float


class Screened(msgspec.Struct, frozen=True):
    """What was found up to a line (inclusive). `digest` is that of all lines so far."""

    upto: int
    digest: str
    examples: int
    flagged: tuple[Flagged, ...] = ()


@dataclass(frozen=True, slots=True)
class Portion:
    """Lines that are screened together: their texts and images, each with its line."""

    upto: int
    digest: str
    examples: int
    texts: tuple[tuple[int, str], ...]
    images: tuple[tuple[int, str], ...]


def portions(lines: Iterable[Line], after: int = 0) -> Iterator[Portion]:
    """The lines after one, in portions. What is no example is left out: the format check tells of it."""
    hasher = hashlib.sha256()
    texts: list[tuple[int, str]] = []
    images: list[tuple[int, str]] = []
    examples = characters = last = 0
    for number, line in lines:
        _digest_line(hasher, line)
        if number <= after:
            continue
        last = number
        fields = read(line)
        if isinstance(fields, dict):
            examples += 1
            parts = [part for text in texts_of(fields) for part in _parts(text)]
            texts += ((number, part) for part in parts)
            images += ((number, url) for url in images_of(fields) if url)
            characters += sum(map(len, parts))
        if len(texts) >= TEXTS_A_REQUEST or characters >= CHARACTERS_A_REQUEST or images:
            yield Portion(last, hasher.hexdigest(), examples, tuple(texts), tuple(images))
            texts, images, examples, characters = [], [], 0, 0
    if last and (texts or examples):
        yield Portion(last, hasher.hexdigest(), examples, tuple(texts), tuple(images))


def digest_upto(lines: Iterable[Line], upto: int) -> str:
    """The digest of the lines up to one."""
    hasher = hashlib.sha256()
    for _, line in itertools.takewhile(lambda one: one[0] <= upto, lines):
        _digest_line(hasher, line)
    return hasher.hexdigest()


@dataclass
class Progress:
    """A record of how far a screening got, in a file of JSON lines beside the data."""

    path: Path

    def load(self) -> list[Screened]:
        """What was screened; nothing where there is no record. A last line that was cut off is left out.

        Raises OSError when it cannot be read.
        """
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_bytes().splitlines():
            try:
                found.append(msgspec.json.decode(line, type=Screened))
            except (msgspec.DecodeError, UnicodeDecodeError):
                break
        return found

    def begin(self, screened: Iterable[Screened]) -> None:
        """Write the record anew. Raises OSError."""
        self.path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in screened))

    def add(self, screened: Screened) -> None:
        """Append to the record. Raises OSError."""
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(screened) + b"\n")

    def end(self) -> None:
        """All is screened: the record goes."""
        self.path.unlink(missing_ok=True)


@dataclass
class Moderator:
    """Screens portions with a client whose own retries are off. `sleep` and `waiting` (told of every wait, in seconds)
    are for those who watch."""

    client: AsyncOpenAI
    at_once: int = REQUESTS_AT_ONCE
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    waiting: Callable[[float], None] = lambda seconds: None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waits: int = 0

    async def screen(self, given: Iterable[Portion]) -> AsyncIterator[Screened]:
        """What is found in each portion, in their order. Raises ModerationFailed."""
        source = iter(given)
        running: deque[asyncio.Task[Screened]] = deque()
        try:
            while True:
                while len(running) < self.at_once and (portion := next(source, None)):
                    running.append(asyncio.create_task(self._screened(portion)))
                if not running:
                    return
                yield await running[0]
                running.popleft()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _screened(self, portion: Portion) -> Screened:
        worst: dict[int, dict[str, float]] = {}
        for number, found in [*await self._texts(portion), *await self._images(portion)]:
            for category, score in found.items():
                held = worst.setdefault(number, {})
                held[category] = max(score, held.get(category, 0.0))
        flagged = tuple(
            Flagged(number, tuple(sorted(found)), max(found.values())) for number, found in sorted(worst.items())
        )
        return Screened(portion.upto, portion.digest, portion.examples, flagged)

    async def _texts(self, portion: Portion) -> list[tuple[int, dict[str, float]]]:
        found: list[tuple[int, dict[str, float]]] = []
        for some in _requests(portion.texts):
            results = await self._ask([text for _, text in some], portion.upto)
            found += ((number, result) for (number, _), result in zip(some, results, strict=True) if result)
        return found

    async def _images(self, portion: Portion) -> list[tuple[int, dict[str, float]]]:
        found: list[tuple[int, dict[str, float]]] = []
        for number, url in portion.images:
            image: ModerationMultiModalInputParam = {"type": "image_url", "image_url": {"url": url}}
            try:
                found += ((number, result) for result in await self._ask([image], number) if result)
            except openai.BadRequestError:
                found.append((number, {NOT_SCREENED: 0.0}))
        return found

    async def _ask(self, given: list[str] | list[ModerationMultiModalInputParam], line: int) -> list[dict[str, float]]:
        """For each input the categories that it is flagged for, with their scores. Tries again where that may help.

        Raises ModerationFailed, and BadRequestError for an image that the endpoint does not take."""
        for attempt in itertools.count(1):
            async with self._turn:  # closed while someone waits for a rate limit, so that all do
                waits = self._waits
            try:
                answer = await self.client.moderations.create(model=MODEL, input=given)
            except openai.APIStatusError as error:
                if error.status_code == 400 and not isinstance(given[0], str):
                    raise
                most = MOST_RATE_LIMITS if error.status_code == 429 else MOST_ATTEMPTS
                seconds = _wait_seconds(error, attempt) if attempt < most else None
                if seconds is None:
                    raise ModerationFailed(f"line {line}: {_reason(error)}") from None
            except openai.APIConnectionError as error:
                seconds = _growing(attempt)
                if attempt >= MOST_ATTEMPTS:
                    raise ModerationFailed(f"{error} {error.__cause__ or ''}".strip()) from None
            else:
                if len(answer.results) != len(given):
                    raise ModerationFailed(f"line {line}: {len(given)} inputs and {len(answer.results)} answers")
                return [_categories(result) if result.flagged else {} for result in answer.results]
            async with self._turn:
                if waits == self._waits:  # else another has waited since this was sent
                    self.waiting(seconds)
                    await self.sleep(seconds)
                    self._waits += 1
        raise AssertionError


def _requests(texts: Iterable[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    """The texts in as many as one request takes."""
    some: list[tuple[int, str]] = []
    characters = 0
    for number, text in texts:
        if some and (len(some) >= TEXTS_A_REQUEST or characters + len(text) > CHARACTERS_A_REQUEST):
            yield some
            some, characters = [], 0
        some.append((number, text))
        characters += len(text)
    if some:
        yield some


def _categories(result: openai.types.Moderation) -> dict[str, float]:
    flagged = result.categories.model_dump(by_alias=True)
    scores = result.category_scores.model_dump(by_alias=True)
    return {name: float(scores.get(name) or 0.0) for name, yes in flagged.items() if yes} or {"unnamed": 0.0}


def _wait_seconds(error: openai.APIStatusError, attempt: int) -> float | None:
    """How long to wait after a refusal; None where trying again does not help."""
    if error.status_code not in (408, 409, 429) and error.status_code < 500:
        return None
    if "insufficient_quota" in (error.code, error.type):
        return None
    for header, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with contextlib.suppress(KeyError, ValueError):
            seconds = float(error.response.headers[header]) * unit
            if seconds >= 0:
                return seconds if seconds <= LONGEST_WAIT_SECONDS else None
    return _growing(attempt)


def _growing(attempt: int) -> float:
    return min(_LONGEST_STEP_SECONDS, 0.5 * 2.0**attempt)


def _reason(error: openai.APIStatusError) -> str:
    return f"the moderations endpoint answers {error.status_code}: {str(error).replace(chr(10), ' ')[:300]}"


def _parts(text: str) -> Iterator[str]:
    for start in range(0, len(text), CHARACTERS_A_TEXT):
        yield text[start : start + CHARACTERS_A_TEXT]


def _digest_line(hasher: "hashlib._Hash", line: bytes | int) -> None:
    hasher.update(line if isinstance(line, bytes) else str(line).encode())
    hasher.update(b"\n")
