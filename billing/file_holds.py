"""Holds from a file: what the sizes of batches and of training jobs, whose input is a file of lines, have in common.

A file is fed in any cuts and never kept: a line at most, and that one only up to a bound.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from billing.charges import Call
from billing.expectations import Expectations
from billing.holds import Ask, Hold, Policy
from billing.prices import PriceBook

LINE_CEILING_BYTES = 16 * 2**20
"""A longer line is not read, as is no longer body of a request."""

_BLANK = b" \t\r"


@dataclass(frozen=True, slots=True)
class Figures:
    """What holds are reckoned with."""

    book: PriceBook
    expectations: Expectations
    policy: Policy


@dataclass(frozen=True, slots=True)
class Sized:
    """The hold of a call whose input is in a file. `ask` is None where nothing bounds it and the policy is strict.

    `open_ends` say why it is no bound; `model` is the one that the file names, where the call does not.
    """

    ask: Ask | None
    open_ends: tuple[str, ...] = ()
    model: str | None = None


def unsized(call: Call, why: tuple[str, ...], figures: Figures) -> Sized:
    """The hold of a call of which no more is known than that it is one: what such calls cost, or none."""
    if figures.policy.strict:
        return Sized(None, why)
    usual = figures.expectations.whole_pico(call.operation, call.requested_model or "")
    return Sized(Ask(figures.policy.expected_pico if usual is None else usual, Hold.EXPECTED), why)


class Lines:
    """Cuts a file into its lines, without blank ones and line ends. Of one over the ceiling only the size is told.
    `raw`: every line is told as it is, also a blank one, so that lines can be numbered."""

    def __init__(self, ceiling_bytes: int = LINE_CEILING_BYTES, *, raw: bool = False) -> None:
        self._ceiling = ceiling_bytes
        self._raw = raw
        self._begun: list[bytes] = []
        self._begun_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes | int]:
        """The lines that end in these bytes. It must be read to its end before the next bytes are fed."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._add(data[start:end])
            yield from self._end()
            start = end + 1
        self._add(data[start:])

    def close(self) -> Iterator[bytes | int]:
        """The line that has begun, if any, as one that ends here."""
        if self._begun_bytes:
            yield from self._end()

    def _end(self) -> Iterator[bytes | int]:
        pieces, size = self._begun, self._begun_bytes
        self._begun, self._begun_bytes = [], 0
        if size > self._ceiling:
            yield size
        elif self._raw:
            yield b"".join(pieces)
        elif line := b"".join(pieces).strip(_BLANK):
            yield line

    def _add(self, piece: bytes) -> None:
        if not piece:
            return
        self._begun_bytes += len(piece)
        if self._begun_bytes > self._ceiling:
            self._begun = []
        else:
            self._begun.append(piece)
