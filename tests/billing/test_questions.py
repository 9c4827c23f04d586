"""The ledger's questions: what they are asked of, and how an answer is read."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine
from sqlmodel import SQLModel

from billing import questions
from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.databases import SQLITE
from billing.rollups import statements
from billing.sums import Cover, Spent, Total, cover
from billing.tables import row_of
from billing.usage import Unit, Usage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def charged(ident: str, minutes: int, cost_pico: int | None, **who: Any) -> Charge:
    at = NOON + timedelta(minutes=minutes)
    call = Call(ident, at, "chat", "POST", "/v1/chat/completions", Attribution(**who), "one", "m", held_pico=5)
    usage = Usage({Unit.INPUT_TEXT: 3, Unit.OUTPUT_TEXT: 1})
    return Charge(call, Outcome(at, Basis.REPORTED, 200), "m", "m", "default", usage, (), Usage(), cost_pico, "book")


CHARGES = [
    charged("1", 0, 10**12 + 1, team="a", user="ann"),
    charged("2", 14, 2, team="a", user="bob", tags={"env": "test"}),
    charged("3", 15, None, team="a", user="ann"),
    charged("4", 24 * 60, 4, team="b", user="ann"),
]


@pytest.fixture(scope="module")
def ledger() -> Iterator[Connection]:
    """A database in memory in which the charges are counted."""
    engine = create_engine("sqlite://")
    SQLModel.metadata.create_all(engine)
    with engine.begin() as connection:
        for statement, values in statements(SQLITE, map(row_of, CHARGES)):
            connection.execute(statement, values)
        yield connection
    engine.dispose()


def asked(ledger: Connection, over: Cover, by: tuple[str, ...], *equal: tuple[str, str]) -> dict[Any, tuple[int, int]]:
    source = questions.rolled_up(over, detail=questions.detailed(by, equal))
    rows = ledger.execute(questions.sums(source, by, questions.TOTALS, equal))
    totals = [questions.total(row, None) for row in rows]
    return {total.group: (total.requests, total.cost_pico) for total in totals}


QUARTER, HOUR, DAY = (cover(NOON, NOON + timedelta(minutes=minutes)) for minutes in (15, 60, 24 * 60))
ALWAYS = cover(NOON - timedelta(days=1), NOON + timedelta(days=2))


@pytest.mark.parametrize(
    ("over", "by", "equal", "expected"),
    [
        (ALWAYS, (), (), {(): (4, 10**12 + 7)}),
        (DAY, (), (), {(): (3, 10**12 + 3)}),
        (QUARTER, (), (), {(): (2, 10**12 + 3)}),
        (Cover((), ()), (), (), {(): (0, 0)}),
        (Cover((), ()), ("team",), (), {}),
        (ALWAYS, ("team",), (), {("a",): (3, 10**12 + 3), ("b",): (1, 4)}),
        (ALWAYS, ("team",), (("user", "ann"),), {("a",): (2, 10**12 + 1), ("b",): (1, 4)}),
        (HOUR, ("user",), (("team", "a"),), {("ann",): (2, 10**12 + 1), ("bob",): (1, 2)}),
        (ALWAYS, (), (("status", "200"),), {(): (4, 10**12 + 7)}),
        (ALWAYS, (), (("status", "no number"),), {(): (0, 0)}),
    ],
)
def test_sums(
    ledger: Connection, over: Cover, by: tuple[str, ...], equal: tuple[tuple[str, str], ...], expected: Any
) -> None:
    if by == ("user",):  # of users there are no hours
        over = cover(NOON, NOON + timedelta(hours=1), (900,))
    assert asked(ledger, over, by, *equal) == expected


def test_sums_by_time(ledger: Connection) -> None:
    over = cover(NOON, NOON + timedelta(hours=1), (900,))
    query = questions.sums(questions.rolled_up(over, detail=False), ("team", questions.BUCKET), questions.TOTALS)
    found = [questions.total(row, 900) for row in ledger.execute(query)]
    first = int(NOON.timestamp()) // 900
    assert {total.quarter_hour: (total.group, total.requests, total.unknown) for total in found} == {
        first: (("a",), 2, 0), first + 1: (("a",), 1, 1)
    }  # fmt: skip


def test_an_unknown_cost_counts_as_what_was_held(ledger: Connection) -> None:
    query = questions.sums(questions.rolled_up(ALWAYS, detail=False), ("team",), questions.SPENT)
    found = [questions.spent(row, ("team",)) for row in ledger.execute(query)]
    assert sorted(found, key=str) == [Spent({"team": "a"}, 10**12 + 8, 5), Spent({"team": "b"}, 4, 0)]


def test_quantities(ledger: Connection) -> None:
    rows = ledger.execute(questions.quantities(("team",), DAY, (("model", "m"),)))
    assert {tuple(row) for row in rows} == {("a", "input_text_tokens", 9), ("a", "output_text_tokens", 3)}


@pytest.mark.parametrize(
    ("by", "equal", "expected"),
    [((), (), False), (("team",), (("key", "k"),), False), (("user",), (), True), (("tags",), (), True),
     (("team",), (("user", "u"),), True)],
)  # fmt: skip
def test_only_who_names_users_or_tags_asks_for_details(by: Any, equal: Any, expected: bool) -> None:
    assert questions.detailed(by, equal) is expected


def test_an_answer_is_read() -> None:
    assert questions.total(("a", 3, 1, 2, 3, 4, 5, 6, 7, 8), 3600) == Total(("a",), 12, 1, 2 * 10**6 + 3, 4, 5, 6, 7, 8)
