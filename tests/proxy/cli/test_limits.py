"""`farebox limits` beside a ledger: what is set, shown, replaced and deleted, and what is refused."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from billing.keys import Key
from billing.store import Store
from proxy.cli.limits import app
from proxy.settings import TABLE


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def out(*arguments: str) -> str:
    """What a command that is done wrote; nothing may stand on standard error."""
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def listed() -> list[dict[str, Any]]:
    return [json.loads(line) for line in out("list", "--format", "json").splitlines()]


def test_set_list_replace_delete() -> None:
    assert "farebox limits set" in out("list")
    assert "team=search" in out("set", "a", "--rpm", "60", "--tpm", "10000", "--concurrent", "5", "--team", "search")
    out("set", "b", "--concurrent", "1")
    measures = {"requests_per_minute": 60, "tokens_per_minute": 10_000, "concurrent_requests": 5}
    assert listed()[0] == {"name": "a", "scope": {"team": ["search"]}} | measures
    shown = json.loads(out("set", "a", "--rpm", "5", "--tag", "env=prod", "--format", "json"))
    assert shown == listed()[0]
    assert shown == {"name": "a", "scope": {"tag:env": ["prod"]}} | dict.fromkeys(measures) | {"requests_per_minute": 5}
    assert out("delete", "a") == "deleted limit a\n"
    assert [row["name"] for row in listed()] == ["b"]
    again = run("delete", "a")
    assert (again.exit_code, again.stdout, again.stderr) == (1, "", "farebox: there is no limit a\n")


def test_those_of_keys_are_listed_too() -> None:
    async def create_key() -> None:
        store = Store("sqlite:///farebox.db")
        await store.create()
        now = datetime(2026, 11, 23, tzinfo=UTC)
        await store.registry.define([Key("key_1", "app", "", "", now, requests_per_minute=9)], now)
        await store.close()

    asyncio.run(create_key())
    assert [(row["name"], row["scope"], row["requests_per_minute"]) for row in listed()] == [
        ("key/app", {"key": ["app"]}, 9)
    ]
    assert run("delete", "key/app").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a"], "--rpm: at least one of"),
        (["a", "--rpm", "0"], "--rpm: a whole number from 1 on"),
        (["a", "--tpm", "-5"], "--tpm: a whole number from 1 on"),
        (["a", "--concurrent", "0"], "--concurrent: a whole number from 1 on"),
        (["a", "--rpm", "many"], "rpm"),
        (["a", "--rpm", "1", "--tag", "env"], "--tag: 'env' is not of the form name=value"),
        ([" a", "--rpm", "1"], "NAME: 1 to 100 printable characters"),
    ],
)
def test_wrong_usage_is_told_in_the_words_of_the_options(arguments: list[str], words: str) -> None:
    result = run("set", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert not Path("farebox.db").exists()
