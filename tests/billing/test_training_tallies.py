"""A whole file: counts, copies, balance, what is listed and what only counted; from bytes to a report."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.training_data import Form
from billing.training_files import Batches, Rules, Surveyed
from billing.training_messages import Problem
from billing.training_models import known
from billing.training_tallies import (
    LEAST_EXAMPLES,
    MISFIT,
    MOST_IMAGE_EXAMPLES,
    REMEMBERED_ANSWERS,
    REMEMBERED_LINES,
    Examination,
    Kind,
    Report,
    Tally,
)
from billing.training_tokens import Tokens

SUPERVISED = Rules(Form.SUPERVISED)


def found(line: int, answer: int | None = None, *problems: Problem, **more: Any) -> Surveyed:
    return Surveyed(line, problems, more.pop("digest", line), True, line if answer is None else answer, **more)


def told(examples: Iterable[Surveyed], ceiling: int = 100) -> Report:
    tally = Tally(SUPERVISED, ceiling)
    tally.add(examples)
    return tally.report(Batches())


def kinds(report: Report) -> dict[str, int]:
    return {kind.kind: kind.count for kind in report.kinds}


def text_of(report: Report, kind: str) -> str:
    return next(one.text for one in report.kinds if one.kind == kind)


def examined(
    file: bytes, *, model: str | None = None, method: str | None = None, pieces: int = 1 << 16, count: bool = False
) -> Report:
    examination = Examination(known(), model, method, count_all=count)
    for start in range(0, len(file), pieces):
        for work in examination.feed(file[start : start + pieces]):
            examination.add(work())
    for work in examination.close():
        examination.add(work())
    return examination.report()


def chat(n: int) -> bytes:
    messages = [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}!"}]
    return json.dumps({"messages": messages}).encode() + b"\n"


def chats(count: int) -> bytes:
    return b"".join(chat(n) for n in range(count))


def test_a_file_that_is_right() -> None:
    report = examined(chats(LEAST_EXAMPLES))
    assert report == Report(Form.SUPERVISED, len(chats(LEAST_EXAMPLES)), LEAST_EXAMPLES, Tokens(), (), ())
    assert (report.errors, report.remarks, report.unread) == (0, 0, 0)


def test_its_tokens_are_the_sum_of_its_examples() -> None:
    ten = examined(chats(10), model="gpt-4o-mini-2024-07-18", count=True).tokens
    assert ten.likely == 10 * (4 + 2 + 4 + 2 + 3)
    assert ten.least == ten.likely - 30


@pytest.mark.parametrize("file", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_of_nothing(file: bytes) -> None:
    report = examined(file)
    assert (report.examples, kinds(report)["empty"]) == (0, 1)
    assert report.errors


@pytest.mark.parametrize(
    ("file", "kind", "line"),
    [
        (b"\xef\xbb\xbf" + chats(10), "bom", None),
        (chats(10).replace(b"\n", b"\r\n"), "crlf", 1),
        (chats(12) + b'{"messages": [}\n' + chats(1), "json", 13),
        (chats(12) + "{é}\n".encode("latin-1"), "encoding", 13),
        (chats(10).decode().encode("utf-16"), "encoding", 1),
        (chats(12) + b'{"messages": "' + b"x" * (17 * 2**20) + b'"}\n', "too_large", 13),
        (chats(9), "too_few", None),
        (b"PK\x03\x04" + bytes(range(256)) * 20, "encoding", 1),
    ],
    ids=["a mark", "CR LF", "JSON", "Latin-1", "UTF-16", "a long line", "nine", "a zip"],
)
def test_a_broken_file_is_told_with_its_line(file: bytes, kind: str, line: int | None) -> None:
    report = examined(file)
    assert report.errors
    assert next(one for one in report.kinds if one.kind == kind).line == line
    assert (line, kind) in [(number, problem.kind) for number, problem in report.listed]


def test_what_is_on_every_line_is_counted_and_listed_once() -> None:
    report = examined(chats(50).replace(b"\n", b"\r\n"))
    assert kinds(report)["crlf"] == 50
    assert len(report.listed) == 1
    assert report.unread == 0


def test_bad_json_far_down_is_found_however_many_remarks_come_before_it() -> None:
    copies = chats(1) * 30
    tally = Tally(SUPERVISED, 5)
    tally.add(found(line, digest=1) for line in range(1, 900_000) if line < 50 or line > 899_990)
    tally.add([Surveyed(900_000, (Problem("json", "no JSON"),), 0)])
    report = tally.report(Batches())
    assert (900_000, Problem("json", "no JSON")) in report.listed
    assert kinds(report)["duplicate"] == 49 + 9 - 1
    assert len([one for one in report.listed if one[1].kind == "duplicate"]) == 5
    assert kinds(examined(copies))["duplicate"] == 29


@given(st.integers(0, 300), st.integers(1, 9))
def test_all_errors_are_counted_and_the_first_are_listed(errors: int, ceiling: int) -> None:
    report = told((found(n + 1, None, Problem("role", f"{n}")) for n in range(errors)), ceiling)
    assert kinds(report).get("role", 0) == errors
    listed = [problem.text for _, problem in report.listed if problem.kind == "role"]
    assert listed == [str(n) for n in range(min(errors, ceiling))]
    if errors:
        assert Kind("role", True, errors, 1, "0") in report.kinds


def test_listed_in_the_order_of_the_lines_and_grave_kinds_first() -> None:
    report = told([found(1, None, Problem("odd", "a", serious=False)), found(2, None, Problem("role", "b"))])
    assert [line for line, _ in report.listed] == [None, 1, 2]
    assert [kind.serious for kind in report.kinds] == [True, True, False]
    assert (report.errors, report.remarks) == (2, 1)


def test_a_copy_names_the_line_that_it_is_one_of() -> None:
    report = told([found(n, digest=n % 10) for n in range(1, 16)])
    assert kinds(report) == {"duplicate": 5}
    assert "line 1" in text_of(report, "duplicate")


def test_copies_are_looked_for_among_so_many_lines_and_it_says_so() -> None:
    full = Tally(SUPERVISED)
    full.add(found(n, n % 7) for n in range(1, REMEMBERED_LINES + 10))
    full.add(found(n + 10**6, 1, digest=n) for n in (5, REMEMBERED_LINES, REMEMBERED_LINES + 1))
    counted = kinds(full.report(Batches()))
    assert (counted["duplicate"], counted["duplicates_bounded"]) == (2, 1)
    assert "duplicates_bounded" not in kinds(told(found(n) for n in range(1, 100)))


def test_so_many_different_answers_are_told_apart() -> None:
    different = [found(n) for n in range(1, REMEMBERED_ANSWERS + 1)]
    later = [found(n, 0) for n in range(REMEMBERED_ANSWERS + 1, 5 * REMEMBERED_ANSWERS)]
    assert "imbalance" in kinds(told(different[1:] + later))
    assert "imbalance" not in kinds(told(different + later)), "the answer came when no more are remembered"


BALANCE: dict[str, tuple[dict[int, int], str | None]] = {
    "all alike": ({1: 20}, "100% of the examples have the answer of line 1"),
    "one of many": (
        {1: 60, **dict.fromkeys(range(2, 42), 1)},
        "60% of the examples have the answer of line 1, 60 times",
    ),
    "labels in balance": ({1: 20, 2: 19, 3: 20}, None),
    "a rare label": ({1: 100, 2: 100, 3: 10}, "47% of the examples have the answer of line 1, 10 times"),
    "two, a little uneven": ({1: 60, 2: 40}, None),
    "two, very uneven": ({1: 95, 2: 5}, "95%"),
    "all different": (dict.fromkeys(range(100), 1), None),
    "half alike, the others different": ({0: 101, **dict.fromkeys(range(1, 100), 1)}, "50%"),
    "too few to tell": ({1: 9}, None),
}


@pytest.mark.parametrize(("answers", "text"), BALANCE.values(), ids=BALANCE)
def test_imbalance(answers: dict[int, int], text: str | None) -> None:
    each = [answer for answer, times in answers.items() for _ in range(times)]
    report = told(found(line, answer) for line, answer in enumerate(each, 1))
    assert (text_of(report, "imbalance") if "imbalance" in kinds(report) else "none").startswith(text or "none")


def test_missing_instructions_are_told_where_others_have_them() -> None:
    assert "no_system" not in kinds(told(found(n) for n in range(1, 20)))
    mixed = told(found(n, instructed=n % 4 == 0) for n in range(1, 21))
    assert text_of(mixed, "no_system") == "15 of 20 examples have no system message"


def test_so_many_examples_may_have_images() -> None:
    def report(count: int) -> Report:
        return told(found(n, n % 9, images=1) for n in range(1, count + 1))

    assert "image" not in kinds(report(MOST_IMAGE_EXAMPLES))
    assert "image" in kinds(report(MOST_IMAGE_EXAMPLES + 1))


def test_a_file_over_what_one_upload_takes() -> None:
    batches = Batches()
    batches.bytes = 2**30
    report = Tally(SUPERVISED).report(batches)
    assert text_of(report, "file_size").startswith("1,024 MiB")


@pytest.mark.parametrize(
    ("model", "method", "serious"),
    [(None, None, None), ("gpt-4.1-2025-04-14", None, None), ("gpt-5.4", None, False),
     ("gpt-4.1-2025-04-14", "reinforcement", True), ("o4-mini-2025-04-16", "supervised", True)],
)  # fmt: skip
def test_a_file_for_a_model_that_is_not_trained_with_such(
    model: str | None, method: str | None, serious: bool | None
) -> None:
    found_kinds = {kind.kind: kind.serious for kind in examined(chats(10), model=model, method=method).kinds}
    assert found_kinds.get(MISFIT) is serious


@given(st.integers(1, 500))
def test_a_report_does_not_depend_on_how_the_file_came(pieces: int) -> None:
    file = b"\xef\xbb\xbf" + chats(5) + b"{\r\n\n" + chats(5) + b'{"messages":[]}'
    assert examined(file, pieces=pieces) == examined(file)
