"""Lines of a file, however it is cut; and the hold of a call of which a file told nothing."""

import tracemalloc
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.attribution import Attribution
from billing.charges import Call
from billing.expectations import Expectations
from billing.file_holds import Figures, Lines, Sized, unsized
from billing.holds import Ask, Hold, Policy
from billing.prices import PriceBook

CALL = Call("1", datetime(2026, 11, 23, tzinfo=UTC), "batch", "POST", "/v1/batches", Attribution(), "r", "gpt-4o")
BOOK = PriceBook((), "none")


def cut(pieces: list[bytes], ceiling: int = 10) -> list[bytes | int]:
    lines = Lines(ceiling)
    return [line for piece in pieces for line in lines.feed(piece)] + list(lines.close())


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        (b"", []),
        (b"one", [b"one"]),
        (b"one\n", [b"one"]),
        (b"one\r\ntwo\r\n", [b"one", b"two"]),
        (b"\n\n one \n\t\n\ntwo", [b"one", b"two"]),
        (b"one\n" + b"x" * 11 + b"\ntwo", [b"one", 11, b"two"]),
        (b"x" * 10 + b"\n" + b"x" * 12, [b"x" * 10, 12]),
    ],
)
def test_a_file_is_cut_into_lines(file: bytes, lines: list[bytes | int]) -> None:
    assert cut([file]) == lines


@given(st.binary(max_size=200).map(lambda file: file.replace(b"x", b"\n")), st.lists(st.integers(0, 200)))
def test_its_lines_do_not_depend_on_how_it_is_cut(file: bytes, places: list[int]) -> None:
    starts = [0, *sorted(places), len(file)]
    pieces = [file[start:end] for start, end in pairwise(starts)]
    assert cut(pieces) == cut([file])


@pytest.mark.parametrize(
    ("file", "lines"),
    [(b"", []), (b"a", [b"a"]), (b"a\n", [b"a"]), (b"a\r\n\n b \nc", [b"a\r", b"", b" b ", b"c"]), (b"\n", [b""]),
     (b"x" * 9 + b"\ny", [9, b"y"])],
)  # fmt: skip
def test_raw_lines_are_all_there_as_they_are(file: bytes, lines: list[bytes | int]) -> None:
    whole, by_byte = Lines(8, raw=True), Lines(8, raw=True)
    assert [*whole.feed(file), *whole.close()] == lines
    pieces = [line for place in range(len(file)) for line in by_byte.feed(file[place : place + 1])]
    assert [*pieces, *by_byte.close()] == lines


def test_a_line_without_end_takes_no_memory() -> None:
    lines, piece = Lines(2**16), b"x" * 2**14
    tracemalloc.start()
    try:
        for _ in range(1000):
            assert list(lines.feed(piece)) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert list(lines.close()) == [1000 * 2**14]
    assert peak < 2**18


def test_what_no_file_told_is_held_at_what_such_calls_cost() -> None:
    known, figures = Expectations(), Policy(expected_pico=5)
    assert unsized(CALL, ("why",), Figures(BOOK, known, figures)) == Sized(Ask(5, Hold.EXPECTED), ("why",))
    for _ in range(200):
        known.learn_row(
            {"operation": "batch", "requested_model": "gpt-4o", "hold": "expected", "cost_pico": 1000, "lines": []}
        )
    held = unsized(CALL, ("why",), Figures(BOOK, known, figures)).ask
    assert held
    assert 1000 <= held.pico <= 1000 * 17 // 16


def test_strict_holds_nothing_for_it_and_says_why() -> None:
    assert unsized(CALL, ("why",), Figures(BOOK, Expectations(), Policy(strict=True))) == Sized(None, ("why",))
