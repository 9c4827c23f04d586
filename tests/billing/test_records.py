"""Records: what is written comes back as it was, and what cannot be read says so in one way."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Made, Outcome
from billing.rating import Line, Rate
from billing.records import UNREADABLE, decode, decode_call, encode, encode_call, ended_at, spelled
from billing.usage import Reading, Unit, Usage

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

words = st.none() | st.text(max_size=8)
moments = st.datetimes(timezones=st.just(UTC))
numbers = st.integers(0, 10**9)
usages = st.dictionaries(st.sampled_from(list(Unit)), numbers, max_size=5).map(Usage)
lines = st.builds(
    Line, st.sampled_from(list(Unit)), numbers, st.builds(Rate, st.integers(0, 10**15), st.integers(1, 10**6)), numbers
)
tags = st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3)
calls = st.builds(
    Call,
    st.text(max_size=8),
    moments,
    st.text(max_size=8),
    st.text(max_size=4),
    st.text(max_size=8),
    st.builds(Attribution, words, words, words, words, words, tags),
    st.text(max_size=8),
    words,
    words,
    st.booleans(),
    st.integers(0, 10**20),
    words,
)
charges = st.builds(
    Charge,
    calls,
    st.builds(
        Outcome,
        moments,
        st.sampled_from(Basis),
        st.none() | st.integers(100, 599),
        st.none() | st.builds(Reading, usages, words, words, words, numbers),
        st.booleans(),
        words,
        words,
        st.lists(st.builds(Made, st.text(max_size=8), words), max_size=2).map(tuple),
    ),
    words,
    words,
    words,
    usages,
    st.lists(lines, max_size=4).map(tuple),
    usages,
    st.none() | st.integers(0, 10**24),
    st.text(max_size=8),
    st.dictionaries(st.text(max_size=4), numbers, max_size=3),
)


@given(charges)
def test_a_charge_comes_back_as_it_was_written(charge: Charge) -> None:
    back = decode(encode(charge))
    assert back == charge
    assert encode(back) == encode(charge)
    assert isinstance(back.usage, Usage)
    assert back.outcome.basis is charge.outcome.basis
    assert ended_at(encode(charge)) == charge.outcome.ended_at


@given(calls)
def test_a_call_comes_back_as_it_was_written(call: Call) -> None:
    assert decode_call(encode_call(call)) == call


def charged(user: str) -> Charge:
    call = Call("a", NOON, "chat", "POST", "/v1/chat/completions", Attribution(user=user), "one")
    outcome = Outcome(NOON + timedelta(seconds=1), Basis.UNKNOWN)
    return Charge(call, outcome, None, None, None, Usage({Unit.IMAGES: 1}), (), Usage(), None, "test")


@pytest.mark.parametrize("text", ["plain", 'with "quotes"', "a\\b", "Größe", "\x00\n"])
def test_a_text_is_found_as_it_stands_in_a_record(text: str) -> None:
    assert spelled(text) in encode(charged(text))


@pytest.mark.parametrize(
    ("case", "damage"),
    [
        ("nothing", lambda body: b""),
        ("half of it", lambda body: body[: len(body) // 2]),
        ("bytes that are no text", lambda body: b"\xff" + body),
        ("another shape", lambda body: b'{"call": 1}'),
        ("a unit that is not known", lambda body: body.replace(b'"images"', b'"holograms"')),
        ("a quantity below zero", lambda body: body.replace(b'"images":1', b'"images":-1')),
        ("no bag of units", lambda body: body.replace(b'{"images":1}', b'"images"')),
        ("a bag that is a list", lambda body: body.replace(b'{"images":1}', b"[7]")),
    ],
)
def test_what_cannot_be_read_says_so_in_one_way(case: str, damage: object) -> None:
    body = encode(charged("x"))
    damaged = damage(body)  # type: ignore[operator]
    assert damaged != body
    with pytest.raises(UNREADABLE):
        decode(damaged)
