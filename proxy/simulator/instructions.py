"""What the simulator can be told: figures to answer with, and faults to suffer.

A call tells it in the header `x-simulate`, the operator as shares of all calls; the language is the same:
`prompt_tokens=300000; tier=default; stall=2.5@3; drop`. A call that says anything suffers only what it says.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

HEADER = "x-simulate"


class Stall(NamedTuple):
    """A pause after so many events (of a stream) or bytes (of a whole answer)."""

    seconds: float
    after: int


@dataclass(frozen=True, slots=True)
class Instruction:
    """Everything one call can be told. Positions count events of a stream, or bytes of a whole answer.

    Figures
        prompt_tokens, cached_tokens, cache_write_tokens, cache_write_12h_tokens, completion_tokens,
        reasoning_tokens, tier: what the answer reports and the bill charges. `words`: length of the text.
        `draw`: a name for the call's luck. Calls that share it get the same answer, response id included.
    Faults
        delay    seconds before the head                 cut      FIN at a position, the body unfinished
        stall    SECONDS@POSITION                        reset    TCP RST at a position
        interval seconds between writes                  end      a proper end, but too early, at a position
        trickle  writes of that many bytes               drop     billed, then closed without any answer
        merge    that many events in one write           status   refused with that status, not billed
        split    every event in that many writes         no_usage an answer that does not say its usage
        gzip     compressed, if the client accepts it    lie      `usage_text`: a text full of false usage
        chunk_lines  `crlf`: event lines end in CR LF    error_midstream  an error event at a position
    """

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_12h_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    tier: str | None = None
    words: int | None = None
    draw: str | None = None

    delay: float = 0
    stall: Stall | None = None
    interval: float = 0
    trickle: int | None = None
    merge: int = 1
    split: int = 1
    cut: int | None = None
    reset: int | None = None
    end: int | None = None
    drop: bool = False
    status: str | None = None
    no_usage: bool = False
    lie: str | None = None
    gzip: bool = False
    chunk_lines: str | None = None
    error_midstream: int | None = None

    fault: str | None = None
    """The part of the instruction that is faults, as it was said; None if there is none."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError, naming the part that cannot be understood."""
        said: dict[str, Any] = {}
        faults = []
        for part in filter(None, map(str.strip, text.split(";"))):
            key, given, value = (piece.strip() for piece in part.partition("="))
            if key not in _READERS:
                raise ValueError(f"unknown instruction {part!r}")
            try:
                said[key] = _READERS[key](value if given else _UNSAID.get(key, ""))
            except ValueError:
                raise ValueError(f"cannot understand the instruction {part!r}") from None
            if key not in _FIGURES:
                faults.append(part)
        return cls(**said, fault="; ".join(faults) or None)


def _flag(text: str) -> bool:
    if text not in {"", "true"}:
        raise ValueError(text)
    return True


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,12}", text):
        raise ValueError(text)
    return int(text)


def _size(text: str) -> int:
    if not (size := _count(text)):
        raise ValueError(text)
    return size


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?|\.\d{1,6}", text):
        raise ValueError(text)
    return float(text)


def _stall(text: str) -> Stall:
    seconds, _, after = text.partition("@")
    return Stall(_seconds(seconds), _count(after or "0"))


def _name(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _only(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return text

    return read


REFUSED_WITH = ("400", "401", "403", "429", "429-quota", "500", "503")
"""What `status` can ask for; `429-quota` is the 429 that no retry helps."""

_FIGURES: dict[str, Callable[[str], Any]] = {
    "prompt_tokens": _count,
    "cached_tokens": _count,
    "cache_write_tokens": _count,
    "cache_write_12h_tokens": _count,
    "completion_tokens": _count,
    "reasoning_tokens": _count,
    "tier": _name,
    "words": _count,
    "draw": _name,
}
_READERS: dict[str, Callable[[str], Any]] = _FIGURES | {
    "delay": _seconds,
    "stall": _stall,
    "interval": _seconds,
    "trickle": _size,
    "merge": _size,
    "split": _size,
    "cut": _count,
    "reset": _count,
    "end": _count,
    "drop": _flag,
    "status": _only(*REFUSED_WITH),
    "no_usage": _flag,
    "lie": _only("usage_text"),
    "gzip": _flag,
    "chunk_lines": _only("crlf"),
    "error_midstream": _count,
}
_UNSAID = {"merge": "4", "split": "3", "trickle": "1", "error_midstream": "1", "lie": "usage_text"}
"""What a bare word means."""


class Share(NamedTuple):
    """A fault that a share of all calls suffers."""

    share: float
    instruction: Instruction


def read_shares(lines: Iterable[str]) -> tuple[Share, ...]:
    """Read lines such as `0.05 cut=3; interval=0.1`. Raises ValueError, also for shares that exceed 1."""
    shares = []
    for line in lines:
        share, _, text = line.strip().partition(" ")
        if not re.fullmatch(r"[01]|[01]?\.\d+", share):
            raise ValueError(f"{line!r} does not begin with a share between 0 and 1")
        shares.append(Share(float(share), Instruction.read(text)))
    if sum(share for share, _ in shares) > 1:
        raise ValueError("the shares of the faults add up to more than 1")
    return tuple(shares)


def pick(shares: Sequence[Share], luck: float) -> Instruction:
    """The instruction for a call whose luck is a number in [0, 1): most calls suffer nothing."""
    for share, instruction in shares:
        luck -= share
        if luck < 0:
            return instruction
    return Instruction()
