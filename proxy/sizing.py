"""Sizing: what a call may cost whose input is in a file at OpenAI. It is fetched and read as it comes, never kept.

It is fetched with what the call itself will be sent with, so that nobody sizes a file that they may not read. Of a
file that was read, only the sum is remembered: files do not change.
"""

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from billing import training_holds
from billing.batch_holds import BatchSum
from billing.charges import Call
from billing.estimates import is_long
from billing.file_holds import Figures, Lines, Sized, unsized
from billing.holds import Ask
from billing.meters.decoding import decoder
from billing.training_holds import Examples, ExampleSum, Job
from proxy import file_lines
from proxy import headers as http
from proxy.connection import BrokenOff
from proxy.outgoing import Outgoing
from proxy.upstream import Unreachable, Upstream

BATCH_CEILING_BYTES = 200 * 10**6
TRAINING_CEILING_BYTES = 512 * 2**20
"""The largest files that OpenAI takes (guides to batches and to fine-tuning)."""

READING_SECONDS = 120.0
"""How long reading a call's files may take, waiting for others included."""

TOGETHER = 4
"""Files read at the same time."""

REMEMBERED = 256

_SLICE_BYTES = 8 * 2**10
"""As much is read between two turns of the event loop, each line counting as `_LINE_BYTES` more: a millisecond or two.
And as much is decoded at once, so that a bomb is seen before it has gone off."""

_LINE_BYTES = 512

OBJECT_PATH = re.compile(r"[\w/-]{1,512}", re.ASCII)
OBJECT_ID = re.compile(r"[\w-]{1,128}", re.ASCII)
"""What may be asked for by itself, and what may become a part of that."""

SENT_ALONG = frozenset({b"host", b"authorization", b"openai-organization", b"openai-project"})
"""The headers that say who asks."""

log = logging.getLogger("farebox.proxy")

WorthCounting = Callable[[Call, Ask], bool]
"""Whether a free bound on the input is too much beside what is left."""

Size = Callable[[Call, Figures, WorthCounting], Awaitable[Sized]]
"""Finds out what to hold for a call. Never fails: a file that cannot be read is held for by policy."""

T = TypeVar("T")


class Unread(Exception):
    """A file could not be read; says why."""


class _Sum(Protocol):
    def add(self, line: bytes | int) -> None: ...


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a call: the field that names it, and the headers that the call will be sent with."""

    id: str | None
    called: str
    ceiling_bytes: int
    headers: http.Headers

    @property
    def sent_along(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers to fetch it with: who asks."""
        return tuple(header for header in self.headers if header[0].lower() in SENT_ALONG)

    @property
    def head(self) -> bytes:
        """The request for its content. Raises Unread for an id that is none, and might lead elsewhere."""
        if self.id is None or not OBJECT_ID.fullmatch(self.id):
            raise Unread(f"no file named by {self.called}")
        headers = [*self.sent_along, (b"Accept-Encoding", b"identity")]
        return http.head(b"GET /v1/files/%s/content HTTP/1.1" % self.id.encode(), headers)


class Sizer:
    """Sizes the calls of one replica, by files of its upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._known: OrderedDict[Hashable, Any] = OrderedDict()
        self._turns = asyncio.Semaphore(TOGETHER)

    def of(self, outgoing: Outgoing) -> Size | None:
        """How to size a request; None for one whose input is in no file."""
        steps = {"batch": self._batch, "fine_tuning": self._training}
        step = steps.get(outgoing.endpoint.operation)
        return None if step is None else partial(self._sized, partial(step, outgoing))

    async def _sized(
        self,
        step: Callable[[Call, Figures, bool], Awaitable[Sized]],
        call: Call,
        figures: Figures,
        worth_counting: WorthCounting,
    ) -> Sized:
        """By a free bound where that will do, else with the input counted: that reads the file once more."""
        sized: Sized | None = None
        try:
            async with asyncio.timeout(READING_SECONDS):
                sized = await step(call, figures, False)
                named = replace(call, requested_model=call.requested_model or sized.model)
                if sized.ask is not None and worth_counting(named, sized.ask):
                    sized = await step(call, figures, True)
        except TimeoutError:
            why = f"a file that is not read within {READING_SECONDS:.0f} s"
        except Unread as error:
            why = str(error)
        else:
            return sized
        if sized is None:
            log.warning("call %s could not be sized: %s", call.id, why)
            return unsized(call, (why,), figures)
        return sized

    async def _batch(self, outgoing: Outgoing, call: Call, figures: Figures, exact: bool) -> Sized:
        file = _File(file_lines.batch_file(outgoing.kept), "input_file_id", BATCH_CEILING_BYTES, outgoing.headers)
        total = BatchSum(call, figures, file_lines.request, exact=exact)
        return await self._once(file, ("batch", exact, call.started_at.date()), total, total.sized)

    async def _training(self, outgoing: Outgoing, call: Call, figures: Figures, exact: bool) -> Sized:
        job = training_holds.read_job(outgoing.kept)
        if not training_holds.by_tokens(job):  # no file tells what it costs
            return training_holds.training_sized(call, job, Examples(), Examples(), figures)
        read = partial(self._examples, outgoing, call, job, exact)
        training = await read(job.training_file, "training_file")
        validation = await read(job.validation_file, "validation_file") if job.validation_file else Examples()
        return training_holds.training_sized(call, job, training, validation, figures)

    async def _examples(
        self, outgoing: Outgoing, call: Call, job: Job, exact: bool, file_id: str | None, called: str
    ) -> Examples:
        file = _File(file_id, called, TRAINING_CEILING_BYTES, outgoing.headers)
        total = ExampleSum(call, job.method, file_lines.EXAMPLES[job.method], exact=exact)
        return await self._once(file, (job.method, exact, call.requested_model), total, total.examples)

    async def _once(self, file: _File, how: Hashable, total: _Sum, result: Callable[[], T]) -> T:
        """The result of a file, read or remembered for who asks. Raises Unread."""
        key = hash(file.sent_along), file.id, how
        if key in self._known:
            self._known.move_to_end(key)
            found: T = self._known[key]
            return found
        async with self._turns:
            await self._read(file, total)
        self._known[key] = read = result()
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return read

    async def _read(self, file: _File, total: _Sum) -> None:
        lines, done = Lines(), 0
        async with aclosing(self._content(file)) as content:
            async for piece in content:
                for line in lines.feed(piece):
                    await _add(total, line)
                    done = await _turned(done + _LINE_BYTES)
                done = await _turned(done + len(piece))
        for line in lines.close():
            await _add(total, line)

    async def _content(self, file: _File) -> AsyncGenerator[bytes]:
        """The bytes of a file, in pieces. Raises Unread."""
        try:
            answer = await self._upstream.send(file.head)
        except Unreachable as error:
            raise Unread(f"the file of {file.called} cannot be fetched: {error}") from None
        try:
            await answer.begun()
            if answer.status != 200:
                raise Unread(f"the file of {file.called} cannot be fetched: status {answer.status}")
            coding, size = decoder(http.text(answer.headers, b"content-encoding")), 0
            while not answer.ended:
                for coded in _slices(await answer.read()):
                    plain = coding.feed(coded)
                    size += len(plain)
                    if coding.broken:
                        raise Unread(f"the file of {file.called} cannot be decoded")
                    if size > file.ceiling_bytes:
                        raise Unread(f"the file of {file.called} is larger than {file.ceiling_bytes} bytes")
                    for piece in _slices(plain):
                        yield piece
        except BrokenOff as error:
            raise Unread(f"the file of {file.called} broke off: {error}") from None
        finally:
            answer.abort()


def _slices(data: bytes) -> Iterator[bytes]:
    return (data[start : start + _SLICE_BYTES] for start in range(0, len(data), _SLICE_BYTES))


async def _add(total: _Sum, line: bytes | int) -> None:
    if isinstance(line, bytes) and is_long(line, ""):
        await asyncio.to_thread(total.add, line)
    else:
        total.add(line)


async def _turned(done: int) -> int:
    """Let the loop turn if that is due; how much was read since it last did."""
    if done < _SLICE_BYTES:
        return done
    await asyncio.sleep(0)
    return 0
