"""`farebox journal`: beside a replica and after it, without a database."""

import json
from pathlib import Path

import pytest
from ledgers import some_charge
from typer.testing import CliRunner

from billing.journal import Journal
from billing.journals import claim
from billing.money import usd_from_pico
from proxy.cli.journals import app
from proxy.settings import TABLE


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def written(replica: str, *numbers: int) -> Journal:
    journal = claim(Path("farebox-journal"), replica, 0, Journal).journal
    for number in numbers:
        journal.open(some_charge(number).call)
        journal.close(some_charge(number))
    journal.flush()
    return journal


def test_journals_are_shown_in_use_and_left() -> None:
    written("left", 7, 1).shut()
    used = written("host:8080", 2)
    used.open(some_charge(3).call)
    used.flush()
    status, said, _ = run("show", "--format", "json")
    assert status == 0
    busy, left = map(json.loads, said.splitlines())
    assert (busy["replica"], busy["state"], busy["under_way"], busy["waiting"]) == ("host:8080", "in use", 1, 1)
    assert busy["waiting_usd"] == usd_from_pico(some_charge(2).cost_pico or 0)
    assert (left["replica"], left["state"], left["waiting"], left["waiting_unknown"]) == ("left", "left", 2, 1)
    assert left["oldest"] == "2026-11-17T11:59:59Z"
    assert left["bytes"] > 0
    status, said, _ = run("verify")
    assert (status, said) == (0, "2 journals are sound.\n")
    used.shut()


def test_records_are_shown_one_by_one() -> None:
    written("r", 1, 7).shut()
    status, said, _ = run("show", "--records", "--format", "json")
    assert status == 0
    assert [(row["number"], row["kind"], row["id"]) for row in map(json.loads, said.splitlines())] == [
        (1, "open", "fbx_000001"), (2, "close", "fbx_000001"), (3, "open", "fbx_000007"), (4, "close", "fbx_000007"),
    ]  # fmt: skip
    assert "sk-" not in said
    _, said, _ = run("show", "--records")
    assert said.splitlines()[0].split() == [
        "replica",
        "number",
        "kind",
        "at",
        "operation",
        "model",
        "basis",
        "cost",
        "usd",
        "id",
    ]


def test_only_one_replicas(tmp_path: Path) -> None:
    written("a", 1).shut()
    written("b", 2).shut()
    status, said, _ = run("show", "--replica", "b", "--format", "json")
    assert (status, [json.loads(line)["replica"] for line in said.splitlines()]) == (0, ["b"])
    status, said, heard = run("show", "--replica", "c")
    assert (status, said) == (1, "")
    assert heard.endswith("there is no journal of c in farebox-journal, but of: a, b\n")


def test_without_journals_it_says_where_they_would_be() -> None:
    for command in ("show", "verify"):
        status, said, _ = run(command)
        assert status == 0
        assert "There are no journals here. FAREBOX_JOURNAL" in said


def test_what_is_wrong_is_an_exit_status() -> None:
    written("good", 1).shut()
    written("bad", 1).shut()
    Path("farebox-journal/bad/journal.db").write_bytes(b"nothing of the kind" * 300)
    status, said, _ = run("verify", "--format", "json")
    (row,) = map(json.loads, said.splitlines())
    assert (status, row["replica"]) == (1, "bad")
    assert row["problem"] == "the file: file is not a database"
    status, said, heard = run("show")
    assert (status, said) == (1, "")
    assert "farebox journal verify" in heard
