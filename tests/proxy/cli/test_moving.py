"""`farebox export` and `farebox import`: for others to read, to keep, to move."""

import asyncio
import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ledgers import answers, fill
from typer.testing import CliRunner

from billing.store import Narrowing, Store
from proxy.cli.commands import app
from proxy.settings import TABLE

CHARGES = 30


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)
    asyncio.run(_filled())


async def _filled() -> None:
    store = Store("sqlite:///farebox.db")
    await fill(store, CHARGES)
    await store.close()


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def all_of(url: str) -> dict[str, Any]:
    async def asked() -> dict[str, Any]:
        store = Store(url)
        found = await answers(store)
        await store.close()
        return found

    return asyncio.run(asked())


def charges() -> list[dict[str, Any]]:
    async def asked() -> list[dict[str, Any]]:
        store = Store("sqlite:///farebox.db")
        found = [row async for row in store.charges(Narrowing())]
        await store.close()
        return found

    return asyncio.run(asked())


# Charges


def test_charges_are_written_whole_oldest_first() -> None:
    status, said, heard = run("export", "charges")
    assert (status, heard) == (0, "")
    assert [json.loads(line) for line in said.splitlines()] == charges()


def test_charges_are_written_to_a_file_as_csv() -> None:
    assert run("export", "charges", "--format", "csv", "--out", "charges.csv") == (0, "", "")
    with Path("charges.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, charge in zip(rows, charges(), strict=True):
        assert row.keys() == charge.keys()
        assert (row["id"], row["team"]) == (charge["id"], charge["team"] or "")
        assert row["cost_usd"] == (charge["cost_usd"] or "")
        assert json.loads(row["lines"]) == charge["lines"]


def test_charges_are_narrowed() -> None:
    status, said, _ = run("export", "charges", "--team", "plain", "--from", "2026-10-01")
    wanted = [row for row in charges() if row["team"] == "plain" and row["started_at"] >= "2026-10-01"]
    assert status == 0
    assert [json.loads(line) for line in said.splitlines()] == wanted
    assert 0 < len(wanted) < CHARGES


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("export", "charges", "--format", "table"), 2, "as json or csv"),
        (("export", "charges", "--from", "soon"), 2, "soon"),
        (("export", "charges", "--out", "no/such/folder"), 1, "no/such/folder cannot be written: No such file"),
        (("export", "ledger", "--out", "farebox.db"), 2, "farebox.db is there already"),
        (("export", "ledger", "--out", "no/such/folder"), 1, "no/such/folder cannot be written: No such file"),
        (("import", "sqlite:///farebox.db"), 2, "this is the ledger that is in use"),
        (("import", "postgresql://nowhere"), 2, "postgresql://nowhere must be"),
        (("import", "no-such-file", "--database", "sqlite:///new.db"), 1, "no-such-file cannot be read: No such file"),
        (("import", "farebox.db", "--database", "sqlite:///new.db"), 1, "line 1: this is no backup of a ledger"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(arguments: tuple[str, ...], status: int, said: str) -> None:
    got, out, heard = run(*arguments)
    assert (got, out) == (status, "")
    assert said in heard
    assert heard.startswith("farebox: ")
    assert heard.count("\n") == 1


# The whole ledger


def test_a_ledger_moves_to_another_database(database: str) -> None:
    before = all_of("sqlite:///farebox.db")
    status, said, heard = run("import", "sqlite:///farebox.db", "--database", database)
    assert (status, heard) == (0, "")
    assert ": 3 definitions, 1 alerts, 30 charges" in said
    assert "read back and equal" in said
    assert all_of(database) == before == all_of("sqlite:///farebox.db")
    status, said, heard = run("import", "sqlite:///farebox.db", "--database", database)
    assert (status, said) == (1, "")
    assert "has a ledger already" in heard


def test_a_ledger_is_kept_in_a_file_and_comes_back() -> None:
    status, said, _ = run("export", "ledger", "--out", "ledger.jsonl.gz")
    assert status == 0
    assert "in ledger.jsonl.gz: 3 definitions, 1 alerts, 30 charges" in said
    status, said, _ = run("import", "ledger.jsonl.gz", "--database", "sqlite:///new.db")
    assert status == 0
    assert all_of("sqlite:///new.db") == all_of("sqlite:///farebox.db")


def test_a_ledger_that_is_at_work_is_not_moved_unawares() -> None:
    async def work() -> None:
        store = Store("sqlite:///farebox.db")
        await store.registry.present("busy", datetime.now(UTC))
        await store.close()

    asyncio.run(work())
    status, _, heard = run("import", "sqlite:///farebox.db", "--database", "sqlite:///new.db")
    assert status == 1
    assert "busy still work on this ledger" in heard
    status, said, _ = run("import", "sqlite:///farebox.db", "--live", "--database", "sqlite:///new.db")
    assert status == 0
    assert "30 charges" in said
