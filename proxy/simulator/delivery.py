"""In which pieces an answer's bytes leave, where they pause, where they break off. A script, no I/O."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from proxy.simulator.instructions import Instruction


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Head:
    """Send status and headers, now."""


@dataclass(frozen=True, slots=True)
class Write:
    """Send these bytes in one write."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection with FIN, whatever the framing still promised. The last step."""


@dataclass(frozen=True, slots=True)
class Reset:
    """End the connection with RST. The last step."""


Step = Wait | Head | Write | Close | Reset


def encoded(units: Sequence[bytes], told: Instruction, *, accepts_gzip: bool) -> list[bytes]:
    """The units as they go over the wire: with the line ends asked for, compressed if asked for and accepted.

    Each compressed unit is flushed, so that it can be read when it arrives.
    """
    if told.chunk_lines == "crlf":
        units = [unit.replace(b"\n", b"\r\n") for unit in units]
    if not (told.gzip and accepts_gzip):
        return list(units)
    if len(units) == 1:
        return [gzip.compress(units[0], mtime=0)]
    press = zlib.compressobj(wbits=31)
    pressed = [press.compress(unit) + press.flush(zlib.Z_SYNC_FLUSH) for unit in units]
    return [*pressed[:-1], pressed[-1] + press.flush()]


def script(units: Sequence[bytes], told: Instruction, *, streamed: bool) -> list[Step]:
    """The steps that send an answer. `units` are a stream's events, or one whole body.

    Positions in the instruction count units if `streamed`, else bytes. One beyond the end never comes.
    """
    steps: list[Step] = [Wait(told.delay)] if told.delay else []
    if told.drop:
        return [*steps, Close()]
    steps.append(Head())
    incidents = _incidents(told)
    if not streamed:
        units = _cut_at(b"".join(units), incidents | ({} if told.end is None else {told.end: []}))
    held: list[bytes] = []
    position = 0
    for unit in (*units, b""):
        if told.end is not None and position >= told.end:
            break
        if incident := incidents.get(position):
            steps += _writes(held, told)
            steps += incident
            held = []
            if not isinstance(incident[-1], Wait):
                return steps
        held.append(unit)
        position += 1 if streamed else len(unit)
    return steps + _writes(held, told)


def _incidents(told: Instruction) -> dict[int, list[Step]]:
    """What happens at which position."""
    incidents: dict[int, list[Step]] = {}
    if told.stall:
        incidents.setdefault(told.stall.after, []).append(Wait(told.stall.seconds))
    if told.cut is not None:
        incidents.setdefault(told.cut, []).append(Close())
    if told.reset is not None:
        incidents.setdefault(told.reset, []).append(Reset())
    return incidents


def _cut_at(body: bytes, positions: dict[int, list[Step]]) -> list[bytes]:
    """A body in parts that begin where something happens."""
    edges = sorted({0, len(body), *(position for position in positions if position < len(body))})
    return [body[start:end] for start, end in pairwise(edges)]


def _writes(units: list[bytes], told: Instruction) -> list[Step]:
    """The writes that send these units, with a pause before each if one was asked for."""
    writes: list[Step] = []
    for data in _shaped(units, told):
        if told.interval:
            writes.append(Wait(told.interval))
        writes.append(Write(data))
    return writes


def _shaped(units: list[bytes], told: Instruction) -> Iterator[bytes]:
    """The same bytes in other pieces: `merge` units in one, each in `split` parts, or by `trickle` bytes."""
    if told.trickle:
        yield from _by(told.trickle, b"".join(units))
        return
    for start in range(0, len(units), told.merge):
        together = b"".join(units[start : start + told.merge])
        yield from _by(-(-len(together) // told.split), together)


def _by(size: int, data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), max(size, 1)):
        yield data[start : start + size]
