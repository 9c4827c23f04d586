"""Files of examples: cut into numbered lines however they come, each looked at by the file's rules."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.training_data import Form
from billing.training_files import BATCH_BYTES, BATCH_LINES, METHODS, Batch, Batches, Rules, rules_for, survey
from billing.training_models import known

CHAT = {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]}
PREFERENCE = {"input": {"messages": CHAT["messages"][:1]}, "preferred_output": [], "non_preferred_output": []}
GRADED = {"messages": CHAT["messages"][:1], "answer": 7}
PROMPT = {"prompt": "a", "completion": "b"}
MINI = "gpt-4o-mini-2024-07-18"


def line(fields: Any) -> bytes:
    return json.dumps(fields).encode()


def cut(*pieces: bytes) -> tuple[list[tuple[int, bytes | int]], Batches]:
    batches = Batches()
    found = [one for piece in pieces for batch in batches.feed(piece) for one in batch]
    return found + [one for batch in batches.close() for one in batch], batches


def begun(*fields: Any) -> Batch:
    return [(number, one if isinstance(one, bytes) else line(one)) for number, one in enumerate(fields, 1)]


@pytest.mark.parametrize(
    ("file", "lines", "mark"),
    [(b"", [], False), (b"a\n\nb", [(1, b"a"), (2, b""), (3, b"b")], False),
     (b"\xef\xbb\xbfa\r\n", [(1, b"a\r")], True),
     (b"\xef\xbb\xbf", [], True), (b"\xef\xbb", [(1, b"\xef\xbb")], False),
     (b"a\n\xef\xbb\xbfb", [(1, b"a"), (2, b"\xef\xbb\xbfb")], False)],
)  # fmt: skip
def test_a_file_is_cut_into_numbered_lines_however_it_comes(file: bytes, lines: Batch, mark: bool) -> None:
    found, batches = cut(file)
    assert (found, batches.byte_order_mark, batches.bytes) == (lines, mark, len(file))
    by_byte, slowly = cut(*(file[place : place + 1] for place in range(len(file))))
    assert (by_byte, slowly.byte_order_mark, slowly.bytes) == (lines, mark, len(file))


def test_batches_are_bounded_by_their_lines_and_their_bytes() -> None:
    batches = Batches()
    many = list(batches.feed(b"x\n" * (2 * BATCH_LINES + 1)))
    assert [len(batch) for batch in many] == [BATCH_LINES, BATCH_LINES]
    long = Batches()
    assert [len(batch) for batch in long.feed((b"x" * BATCH_BYTES + b"\n") * 3)] == [1, 1, 1]


RULES: dict[str, tuple[Any, str | None, str | None, Form, int | None]] = {
    "a chat": (CHAT, None, None, Form.SUPERVISED, None),
    "a chat for a model": (CHAT, MINI, None, Form.SUPERVISED, 65_536),
    "a preference": (PREFERENCE, MINI, None, Form.PREFERENCE, 65_536),
    "a graded question": (GRADED, None, None, Form.REINFORCEMENT, None),
    "prompts": (PROMPT, None, None, Form.COMPLETION, None),
    "prompts, said to be supervised": (PROMPT, None, "supervised", Form.COMPLETION, None),
    "prompts for a model of chats": (PROMPT, MINI, None, Form.SUPERVISED, 65_536),
    "a chat for a model of prompts": (CHAT, "davinci-002", None, Form.COMPLETION, 16_384),
    "a chat for a model that reasons": (CHAT, "o4-mini-2025-04-16", None, Form.REINFORCEMENT, None),
    "said otherwise": (CHAT, MINI, "dpo", Form.PREFERENCE, 65_536),
    "nothing that can be read": (b"{", None, None, Form.SUPERVISED, None),
}


@pytest.mark.parametrize(("first", "model", "method", "form", "context"), RULES.values(), ids=RULES)
def test_the_first_line_tells_the_rules(
    first: Any, model: str | None, method: str | None, form: Form, context: int | None
) -> None:
    assert rules_for(begun(first), known(), model, method) == Rules(form, model, context)


def test_the_first_that_can_be_read_tells() -> None:
    assert rules_for(begun(b"{", b"", PREFERENCE), known(), None, None).form is Form.PREFERENCE
    assert {*METHODS.values()} == {*Form} - {Form.COMPLETION}


def test_a_right_line() -> None:
    (found,) = survey(begun(CHAT), Rules(Form.SUPERVISED, MINI, 65_536))
    assert (found.line, found.problems, found.is_example, found.tokens.likely) == (1, (), True, 0)
    assert not found.instructed
    (counted,) = survey(begun(CHAT), Rules(Form.SUPERVISED, MINI, 65_536, count_all=True))
    assert counted.tokens.likely == 4 + 1 + 4 + 1 + 3


def test_only_what_may_be_too_long_is_counted_unless_all_is_to_be() -> None:
    long = {"messages": [{"role": "user", "content": "hello " * 300}, {"role": "assistant", "content": "hi"}]}
    short, cut_off = survey(begun(CHAT, long), Rules(Form.SUPERVISED, MINI, 100))
    assert ([problem.kind for problem in cut_off.problems], cut_off.tokens.likely) == (["too_long"], 100)
    assert not cut_off.problems[0].serious
    assert "313 tokens" in cut_off.problems[0].text
    assert survey(begun(long), Rules(Form.SUPERVISED, MINI, 313))[0].problems == ()
    assert (short.problems, short.tokens.likely) == ((), 0)


def test_what_is_wrong_with_a_line_comes_with_its_number() -> None:
    batch: Batch = [(7, line(CHAT) + b"\r"), (8, b"{"), (9, b""), (10, 10**8), (11, line({"messages": []}))]
    found = survey(batch, Rules(Form.SUPERVISED))
    assert [(one.line, [problem.kind for problem in one.problems], one.is_example) for one in found] == [
        (7, ["crlf"], True), (8, ["json"], False), (9, ["blank_line"], False), (10, ["too_large"], False),
        (11, ["field"], True)]  # fmt: skip
    assert [one.problems[0].serious for one in found] == [True, True, False, True, True]


def test_equal_lines_and_answers_have_equal_digests_whatever_ends_them() -> None:
    other = {"messages": [{"role": "user", "content": "?"}, CHAT["messages"][1]]}
    one, two, three = survey([(1, line(CHAT)), (2, line(CHAT) + b"\r"), (3, line(other))], Rules(Form.SUPERVISED))
    assert one.digest == two.digest != three.digest
    assert one.answer == two.answer == three.answer


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_no_line_makes_a_survey_fail(lines: list[bytes]) -> None:
    for form in Form:
        assert len(survey([*enumerate(lines, 1)], Rules(form, MINI, 10, count_all=True))) == len(lines)
