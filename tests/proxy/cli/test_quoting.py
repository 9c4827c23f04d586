"""`farebox quote`: a file or standard input in, a table or the API's answer out."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from billing.budgets import Budget
from billing.keys import Key
from billing.scopes import Scope
from billing.store import Store
from proxy.cli.quoting import quote

HELLO = {"model": "gpt-4o", "max_completion_tokens": 100, "messages": [{"role": "user", "content": "hello"}]}
NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEY = Key("key_1", "frontend", "0" * 64, "abcd", NOW, team="search")

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("--team", "search", body=…, budgets=[…])`, with a ledger of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAREBOX_DATABASE", f"sqlite:///{tmp_path}/farebox.db")
    app = typer.Typer()
    app.command()(quote)
    (tmp_path / "body.json").write_text(json.dumps(HELLO))

    def ran(*arguments: str, file: str = "body.json", typed: str = "", budgets: tuple[Budget, ...] = ()) -> Result:
        async def define() -> None:
            store = Store(f"sqlite:///{tmp_path}/farebox.db")
            await store.create()
            await store.registry.define([KEY, *budgets], NOW)
            await store.close()

        asyncio.run(define())
        return CliRunner().invoke(app, [file, *arguments], input=typed)

    return ran


def answer(result: Result) -> Any:
    assert result.exit_code in {0, 1}, result.output
    return json.loads(result.stdout)


def test_json_is_the_apis_answer(run: Run) -> None:
    found = answer(run("--format", "json"))
    assert (found["at_most_usd"], found["input_tokens"], found["admitted"]) == ("0.0011", 8, True)
    assert len(found["models"]) > 1


def test_a_request_can_be_piped_in(run: Run) -> None:
    found = answer(run("--format", "json", "--model", "gpt-4o-mini", file="-", typed=json.dumps(HELLO)))
    assert [other["model"] for other in found["models"]] == ["gpt-4o-mini"]


def test_a_table_has_a_row_for_each_model_and_a_verdict(run: Run) -> None:
    result = run("--model", "gpt-4o-mini")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[-3:-1]] == ["gpt-4o", "gpt-4o-mini"]
    assert lines[-1] == "Would be admitted now; what it costs at most is known."


def test_csv_has_the_columns(run: Run) -> None:
    lines = run("--format", "csv", "--model", "gpt-4o-mini").stdout.splitlines()
    assert lines[0].startswith("model,at_most_usd,typical_usd")
    assert lines[1].startswith("gpt-4o,0.0011,")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("options", "status"),
    [((), 0), (("--team", "ads"), 0), (("--team", "search"), 1), (("--key", "frontend"), 1)],
)
def test_a_budget_without_the_money_ends_with_status_1(run: Run, options: tuple[str, ...], status: int) -> None:
    empty = Budget("search", 1_000_000, "month", Scope({"team": ("search",)}))
    result = run(*options, budgets=(empty,))
    assert result.exit_code == status
    refused = "Would be refused now: the budget search has $0.000001 left of $0.000001" in result.stdout
    assert refused is bool(status)


def test_strict_is_as_configured(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "open.json").write_text(json.dumps({"model": "gpt-4o", "input": "x", "tools": [{"type": "shell"}]}))
    assert answer(run("--format", "json", file="open.json"))["hold_basis"] == "expected"
    monkeypatch.setenv("FAREBOX_UNCAPPED", "strict")
    assert answer(run("--format", "json", file="open.json"))["hold_basis"] is None


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("missing.json", None, "missing.json"),
        ("bad.json", "{", "not a JSON object"),
        ("shapeless.json", "{}", "name the path"),
    ],
)
def test_wrong_usage_is_one_clear_line(run: Run, tmp_path: Path, file: str, content: str | None, problem: str) -> None:
    if content is not None:
        (tmp_path / file).write_text(content)
    result = run(file=file)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1
