"""`farebox budgets` beside a ledger: what is set, shown, replaced and deleted, and what is refused."""

import asyncio
import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from billing.attribution import Attribution
from billing.budgets import Budget
from billing.charges import Basis, Call, Outcome, charge
from billing.prices import PriceBook
from billing.registry import Change
from billing.scopes import Scope
from billing.store import Store
from proxy.cli.budgets import app
from proxy.settings import TABLE


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, env=environment)


def out(*arguments: str, **environment: str) -> str:
    """What a command that is done wrote; nothing may stand on standard error."""
    result = run(*arguments, **environment)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def listed(**environment: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out("list", "--format", "json", **environment).splitlines()]


def in_store(act: Callable[[Store], Any]) -> Any:
    async def opened() -> Any:
        store = Store("sqlite:///farebox.db")
        try:
            await store.create()
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def log() -> list[Change]:
    changes: list[Change] = in_store(lambda store: store.registry.changes())
    return changes


def spend(number: int, held_pico: int, **who: Any) -> None:
    """A call of now whose cost is not known: it counts as what was held for it."""
    now = datetime.now(UTC)
    call = Call(f"fbx_{number}", now, "chat", "POST", "/v1/x", Attribution(**who), "r", "gpt-4o", held_pico=held_pico)
    in_store(lambda store: store.post([charge(call, Outcome(now, Basis.UNKNOWN), PriceBook((), "0"))]))


def test_a_budget_with_every_option() -> None:
    out(
        "set", "search", "--limit", "50.25", "--window", "week", "--mode", "soft", "--alert", "90, 10",
        "--team", "search", "--team", "ads", "--key", "k", "--project", "p", "--user", "u", "--model", "gpt-4o",
        "--tag", "env=prod", "--tag", "env=dev", "--tag", "job=a=b",
    )  # fmt: skip
    scope = {
        "team": ("search", "ads"), "key": ("k",), "project": ("p",), "user": ("u",), "model": ("gpt-4o",),
        "tag:env": ("prod", "dev"), "tag:job": ("a=b",),
    }  # fmt: skip
    budget = Budget("search", 50_250_000_000_000, "week", Scope(scope), hard=False, alert_percents=(10, 90))
    assert [change.definition for change in log()] == [budget]


def test_only_the_limit_must_be_given() -> None:
    shown = json.loads(out("set", "all", "--limit", "0.000000000001", "--format", "json"))
    assert [change.definition for change in log()] == [Budget("all", 1)]
    assert shown | {"since": "", "resets_at": ""} == {
        "name": "all", "scope": {}, "window": "month", "mode": "hard", "limit_usd": "0.000000000001",
        "alert": [50, 80, 100], "spent_usd": "0", "left_usd": "0.000000000001", "unknown_usd": "0", "percent": 0.0,
        "since": "", "resets_at": "",
    }  # fmt: skip


def test_alerts_may_be_none() -> None:
    out("set", "quiet", "--limit", "1", "--alert", "")
    assert listed()[0]["alert"] == []


def test_setting_again_replaces_and_keeps_what_was_spent() -> None:
    spend(1, 7 * 10**11, team="search")
    spend(2, 10**12, team="ads")
    out("set", "search", "--limit", "1", "--team", "search")
    out("set", "search", "--limit", "2", "--team", "search", "--window", "total")
    assert len(log()) == 2
    [row] = listed()
    assert (row["limit_usd"], row["spent_usd"], row["unknown_usd"], row["left_usd"]) == ("2", "0.7", "0.7", "1.3")
    assert (row["percent"], row["since"], row["resets_at"]) == (35.0, None, None)


def test_what_is_over_is_shown_so() -> None:
    spend(1, 3 * 10**12)
    out("set", "all", "--limit", "2")
    [row] = listed()
    assert (row["left_usd"], row["percent"]) == ("-1", 150.0)
    assert "held_usd" not in row  # nobody here knows


def test_windows_are_of_the_configured_zone() -> None:
    out("set", "all", "--limit", "2", "--window", "day")
    [row] = listed(FAREBOX_TIMEZONE="Asia/Kolkata")
    assert row["since"].endswith("T18:30:00Z")
    assert row["resets_at"].endswith("T18:30:00Z")


def test_a_table_for_people_and_csv_for_spreadsheets() -> None:
    assert "farebox budgets set" in out("list")
    out("set", "b", "--limit", "2", "--team", "search", "--team", "ads")
    table = out("set", "a", "--limit", "1", "--window", "total")
    assert "everything" in table
    rows = list(csv.DictReader(io.StringIO(out("list", "--format", "csv"))))
    assert [row["name"] for row in rows] == ["a", "b"]
    assert (rows[0]["scope"], rows[0]["resets_at"]) == ("everything", "")
    assert rows[1]["scope"] == "team=search team=ads"
    assert [*rows[0]] == [
        "name", "scope", "window", "mode", "limit_usd", "spent_usd", "left_usd", "percent", "resets_at",
    ]  # fmt: skip
    assert "team=search team=ads" in out("list")


def test_deleting() -> None:
    out("set", "a", "--limit", "1")
    out("set", "b", "--limit", "1")
    assert out("delete", "a") == "deleted budget a\n"
    assert [row["name"] for row in listed()] == ["b"]
    again = run("delete", "a")
    assert (again.exit_code, again.stdout, again.stderr) == (1, "", "farebox: there is no budget a\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a"], "--limit"),
        (["a", "--limit", "-1"], "--limit: from 0 to"),
        (["a", "--limit", "nan"], "--limit: nan is not an amount in US dollars"),
        (["a", "--limit", "$5"], "--limit: $5 is not an amount"),
        (["a", "--limit", "0.0000000000001"], "at most 12 decimals"),
        (["a", "--limit", "1", "--window", "year"], "--window: one of day, week, month, total"),
        (["a", "--limit", "1", "--mode", "firm"], "--mode: one of hard, soft"),
        (["a", "--limit", "1", "--alert", "half"], "--alert: whole percents"),
        (["a", "--limit", "1", "--alert", "0"], "--alert: whole percents"),
        (["a", "--limit", "1", "--tag", "env"], "--tag: 'env' is not of the form name=value"),
        (["a", "--limit", "1", "--tag", "env="], "--tag: every value"),
        (["a", "--limit", "1", "--team", ""], "--team: every value"),
        (["a/b", "--limit", "1"], "NAME: it stands in addresses"),
    ],
)
def test_wrong_usage_is_told_in_the_words_of_the_options(arguments: list[str], words: str) -> None:
    result = run("set", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert not Path("farebox.db").exists()
