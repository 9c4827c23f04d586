"""A journal is looked at without being touched: what is in it, and what is wrong with it."""

import contextlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from ledgers import some_charge

from billing import inspection
from billing.inspection import Contents, Entry
from billing.journal import Journal
from billing.records import encode


def of_some_day(folder: Path) -> Journal:
    """Three calls that ended with a charge (one of unknown cost), one without, one under way."""
    journal = Journal(folder)
    for number in (1, 7, 2, 3, 4):
        journal.open(some_charge(number).call)
        journal.flush()
    for number in (1, 7, 2):
        journal.close(some_charge(number))
        journal.flush()
    journal.release(some_charge(3).call.id)
    journal.flush()
    return journal


def changed(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            db.execute(statement)


def test_what_it_holds(tmp_path: Path) -> None:
    journal = of_some_day(tmp_path)
    first, second = some_charge(1), some_charge(2)
    known = (first.cost_pico or 0) + (second.cost_pico or 0)
    path = tmp_path / "journal.db"
    assert inspection.contents(path) == Contents(9, 1, 3, 0, 1, known, first.outcome.ended_at)
    records = list(inspection.entries(path))
    assert [(record.number, record.kind, record.id) for record in records] == [
        (1, "open", "fbx_000001"), (2, "open", "fbx_000007"), (3, "open", "fbx_000002"), (4, "open", "fbx_000003"),
        (5, "open", "fbx_000004"), (6, "close", "fbx_000001"), (7, "close", "fbx_000007"), (8, "close", "fbx_000002"),
        (9, "release", "fbx_000003"),
    ]  # fmt: skip
    assert records[7] == Entry(
        8, "close", "fbx_000002", len(encode(second)), second.outcome.ended_at, "chat", "gpt-4o", "reported",
        second.cost_pico,
    )  # fmt: skip
    assert records[6].cost_pico is None
    assert list(inspection.problems(path)) == []
    journal.shut()


def test_an_empty_one_is_sound(tmp_path: Path) -> None:
    Journal(tmp_path).shut()
    assert inspection.contents(tmp_path / "journal.db") == Contents(0, 0, 0, 0, 0, 0, None)
    assert list(inspection.problems(tmp_path / "journal.db")) == []


def test_it_stays_sound_through_a_replicas_life(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(tmp_path)
    for number in range(1, 2500):
        charge = some_charge(number)
        journal.open(charge.call)
        if number % 3:
            journal.close(charge)
        if number % 200 == 0:
            journal.flush()
            assert list(inspection.problems(path)) == []
        if number % 500 == 0:
            journal.forget(journal.closed(300).through)  # type: ignore[union-attr]
            assert list(inspection.problems(path)) == []
    waiting = journal.pending()
    journal.shut()
    assert list(inspection.problems(path)) == []
    assert inspection.contents(path).waiting == waiting


def test_nothing_is_written_by_looking(tmp_path: Path) -> None:
    of_some_day(tmp_path).shut()
    path = tmp_path / "journal.db"
    before = path.read_bytes()
    list(inspection.problems(path))
    list(inspection.entries(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("case", "statement", "said"),
    [
        (
            "a record of another kind",
            "UPDATE records SET kind = 9 WHERE seq = 9",
            "record 9 (call fbx_000003) cannot be read: there is no kind 9 of records",
        ),
        (
            "a damaged record",
            "UPDATE records SET body = substr(body, 5) WHERE seq = 6",
            "record 6 (call fbx_000001) cannot be read: ",
        ),
        (
            "another call's record",
            "UPDATE records SET id = 'fbx_x' WHERE seq = 6",
            "record 6 (call fbx_x) cannot be read: it tells of another call, fbx_000001",
        ),
        (
            "a release with something in it",
            "UPDATE records SET body = x'7b7d' WHERE seq = 9",
            "record 9 (call fbx_000003) cannot be read: a release says nothing, this one does",
        ),
        (
            "a second end",
            "INSERT INTO records SELECT 10, kind, id, body FROM records WHERE seq = 6",
            "record 10 (call fbx_000001) comes after the end of its call, record 6",
        ),
        (
            "a mark that counts more than there is",
            """INSERT INTO facts VALUES ('mark', '{"through":8,"pending":4,"open":[5]}')""",
            "its mark tells of 4 ended calls up to record 8, there are 3",
        ),
        (
            "a mark of what is gone",
            """INSERT INTO facts VALUES ('mark', '{"through":9,"pending":4,"open":[5,77]}')""",
            "its mark tells of records that are not there: 77",
        ),
        (
            "a record set aside",
            "INSERT INTO aside SELECT 10, kind, id, body, 'it is too much' FROM records WHERE seq = 6",
            "record 10 (call fbx_000001) is set aside: it is too much",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, case: str, statement: str, said: str) -> None:
    of_some_day(tmp_path).shut()
    changed(tmp_path / "journal.db", statement)
    (problem,) = inspection.problems(tmp_path / "journal.db")
    assert problem.startswith(said), case


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda body: body[:5000],
    "something else": lambda body: b"no database" * 1000,
    "overwritten": lambda body: body[:100] + b"\xff" * 900 + body[1000:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_told(tmp_path: Path, damage: str) -> None:
    of_some_day(tmp_path).shut()
    path = tmp_path / "journal.db"
    changed(path, "PRAGMA journal_mode = DELETE")
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    found: list[str] = []
    with contextlib.suppress(sqlite3.Error):
        found += inspection.problems(path)
        assert found


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        inspection.contents(tmp_path / "journal.db")
    assert not list(tmp_path.iterdir())
