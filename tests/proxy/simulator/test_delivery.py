import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.simulator.delivery import Close, Head, Reset, Step, Wait, Write, encoded, script
from proxy.simulator.instructions import Instruction

EVENTS = (b"one", b"two", b"three")
BODY = (b"0123456789",)


def told(text: str) -> Instruction:
    return Instruction.read(text)


def writes(*parts: bytes) -> list[Step]:
    return [Write(part) for part in parts]


@pytest.mark.parametrize(
    ("instruction", "steps"),
    [
        ("", [Head(), *writes(b"one", b"two", b"three")]),
        ("delay=2", [Wait(2), Head(), *writes(b"one", b"two", b"three")]),
        ("drop", [Close()]),
        ("drop; delay=2", [Wait(2), Close()]),
        ("stall=5@0", [Head(), Wait(5), *writes(b"one", b"two", b"three")]),
        ("stall=5@2", [Head(), *writes(b"one", b"two"), Wait(5), *writes(b"three")]),
        ("stall=5@3", [Head(), *writes(b"one", b"two", b"three"), Wait(5)]),
        ("interval=1; end=2", [Head(), Wait(1), Write(b"one"), Wait(1), Write(b"two")]),
        ("cut=0", [Head(), Close()]),
        ("cut=2", [Head(), *writes(b"one", b"two"), Close()]),
        ("cut=9", [Head(), *writes(b"one", b"two", b"three")]),
        ("reset=1", [Head(), *writes(b"one"), Reset()]),
        ("stall=5@1; cut=1", [Head(), *writes(b"one"), Wait(5), Close()]),
        ("end=1", [Head(), *writes(b"one")]),
        ("merge=2", [Head(), *writes(b"onetwo", b"three")]),
        ("merge=2; cut=1", [Head(), *writes(b"one"), Close()]),
        ("split=2", [Head(), *writes(b"on", b"e", b"tw", b"o", b"thr", b"ee")]),
        ("trickle=4", [Head(), *writes(b"onet", b"woth", b"ree")]),
        ("trickle=4; cut=1", [Head(), *writes(b"one"), Close()]),
    ],
)
def test_how_a_stream_leaves(instruction: str, steps: list[Step]) -> None:
    assert script(EVENTS, told(instruction), streamed=True) == steps


@pytest.mark.parametrize(
    ("instruction", "steps"),
    [
        ("", [Head(), *writes(b"0123456789")]),
        ("stall=5@4", [Head(), *writes(b"0123"), Wait(5), *writes(b"456789")]),
        ("cut=4", [Head(), *writes(b"0123"), Close()]),
        ("cut=0", [Head(), Close()]),
        ("reset=9; stall=1@2", [Head(), *writes(b"01"), Wait(1), *writes(b"2345678"), Reset()]),
        ("end=4", [Head(), *writes(b"0123")]),
        ("trickle=4", [Head(), *writes(b"0123", b"4567", b"89")]),
        ("split=3", [Head(), *writes(b"0123", b"4567", b"89")]),
    ],
)
def test_how_a_whole_answer_leaves(instruction: str, steps: list[Step]) -> None:
    assert script(BODY, told(instruction), streamed=False) == steps


SHAPES = st.sampled_from(["", "merge=2", "merge=5", "split=2", "split=7", "trickle=1", "trickle=3", "stall=1@2"])


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=9), SHAPES, st.booleans())
def test_a_shape_changes_the_pieces_but_no_byte(units: list[bytes], shape: str, streamed: bool) -> None:
    steps = script(units, told(shape), streamed=streamed)
    assert b"".join(step.data for step in steps if isinstance(step, Write)) == b"".join(units)
    assert all(step.data for step in steps if isinstance(step, Write)) or shape in {"", "stall=1@2"}


def test_line_ends_can_be_those_of_windows() -> None:
    units = encoded([b"data: 1\n\n"], told("chunk_lines=crlf"), accepts_gzip=False)
    assert units == [b"data: 1\r\n\r\n"]


def test_compression_only_for_who_accepts_it() -> None:
    assert encoded(BODY, told("gzip"), accepts_gzip=False) == list(BODY)
    (squeezed,) = encoded(BODY, told("gzip"), accepts_gzip=True)
    assert gzip.decompress(squeezed) == BODY[0]


def test_every_compressed_event_can_be_read_when_it_arrives() -> None:
    reader = zlib.decompressobj(wbits=31)
    units = encoded(EVENTS, told("gzip"), accepts_gzip=True)
    assert [reader.decompress(unit) for unit in units] == list(EVENTS)
    assert reader.eof
