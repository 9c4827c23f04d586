import asyncio
import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

from billing.keys import Key, Name, digest
from billing.registry import Directory
from billing.store import Store
from proxy.cli import keys
from proxy.settings import TABLE

SECRET = re.compile(r"fb-[A-Za-z0-9_-]{43}")

farebox = Typer(rich_markup_mode=None)
farebox.add_typer(keys.app, name="keys")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(farebox, ["keys", *arguments])


def out(*arguments: str) -> str:
    """What a command that is done wrote to standard output."""
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def rows(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out(*arguments, "--format", "json").splitlines()]


def row(*arguments: str) -> dict[str, Any]:
    (only,) = rows(*arguments)
    return only


def directory() -> Directory:
    """What a replica would follow."""

    async def read() -> Directory:
        store = Store("sqlite:///farebox.db")
        try:
            return await store.registry.directory()
        finally:
            await store.close()

    return asyncio.run(read())


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a ledger."""
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)


# ── create ──────────────────────────────────────────────────────────────────────


def test_a_key_is_made_and_shown_once() -> None:
    made = row("create", "search-prod", "--team", "search", "--project", "web", "--tag", "env=prod", "--tag", "A=b=c")
    assert list(made)[:3] == ["id", "key", "name"]
    assert SECRET.fullmatch(made["key"])
    assert re.fullmatch(r"key_[0-9a-f]{16}", made["id"])
    assert {name: made[name] for name in ("name", "team", "project", "tags", "state")} == {
        "name": "search-prod",
        "team": "search",
        "project": "web",
        "tags": {"env": "prod", "a": "b=c"},
        "state": "in force",
    }
    (key,) = directory().all(Key)
    assert key.digest == digest(made["key"])
    assert (key.name, key.team, key.project, key.tags) == ("search-prod", "search", "web", {"env": "prod", "a": "b=c"})


def test_a_key_is_made_on_its_terms() -> None:
    before = datetime.now(UTC)
    row("create", "a", "--models", "gpt-4o, gpt-5*", "--endpoints", "chat,/v1/files*", "--rpm", "5", "--tpm", "9",
        "--expires", "30d")  # fmt: skip
    (key,) = directory().all(Key)
    assert (key.models, key.endpoints) == (("gpt-4o", "gpt-5*"), ("chat", "/v1/files*"))
    assert (key.requests_per_minute, key.tokens_per_minute) == (5, 9)
    assert timedelta(0) <= key.expires_at - timedelta(days=30) - before < timedelta(minutes=5)


def test_an_expiry_is_a_day_of_the_configured_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAREBOX_TIMEZONE", "Europe/Paris")
    assert row("create", "a", "--expires", "2999-12-31")["expires_at"] == "2999-12-30T23:00:00Z"


def test_people_are_told_that_they_see_it_once() -> None:
    result = run("create", "search-prod")
    assert result.exit_code == 0
    assert len(SECRET.findall(result.stdout)) == 1
    assert SECRET.search(result.stderr) is None
    assert "the only time" in result.stderr
    assert result.stdout.splitlines()[0].split()[:2] == ["name", "key"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create"], "Missing argument"),
        (["create", ""], "a name: 1 to 100 printable characters"),
        (["create", "a\nb"], "a name"),
        (["create", "sk-1"], "does not begin like a key"),
        (["create", "a", "--team", ""], "a team: 1 to 256"),
        (["create", "a", "--tag", "env"], "--tag env: write NAME=VALUE"),
        (["create", "a", "--tag", "=x"], "a tag's name"),
        (["create", "a", "--models", "g*t"], "a * stands at the end only"),
        (["create", "a", "--endpoints", "chats"], "chats: endpoints are paths"),
        (["create", "a", "--rpm", "0"], "greater than or equal to 1"),
        (["create", "a", "--tpm", "many"], "valid integer"),
        (["create", "a", "--expires", "soon"], "'soon' is neither a date"),
        (["create", "a", "--expires", "2020-01-01"], "cannot expire before it is made"),
        (["rotate", "a", "--grace", "long"], "'long' is no length of time"),
        (["name", "proj_1"], "say what to call it, or --forget"),
        (["name", "proj_1", "web", "--forget"], "say what to call it, or --forget"),
        (["name", "key_1", "web"], "fingerprints"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_is_2_and_says_what(arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_a_name_is_taken_while_its_key_is_in_force() -> None:
    first = row("create", "a")
    result = run("create", "a")
    assert result.exit_code == 2
    assert "a key named a is in force" in result.stderr
    out("revoke", "a")
    assert row("create", "a")["id"] != first["id"]


# ── list ────────────────────────────────────────────────────────────────────────


def test_the_list_never_shows_a_secret() -> None:
    secrets = [row("create", name, "--models", "gpt-4o,o3")["key"] for name in ("b", "a")]
    out("revoke", "b")
    for form in ("table", "json", "csv"):
        listed = out("list", "--format", form)
        assert SECRET.search(listed) is None
        assert not any(digest(secret) in listed or secret[3:-4] in listed for secret in secrets)
    assert [(each["name"], each["hint"], each["state"]) for each in rows("list")] == [
        ("b", f"fb-…{secrets[0][-4:]}", "revoked"),
        ("a", f"fb-…{secrets[1][-4:]}", "in force"),
    ]
    table = list(csv.DictReader(io.StringIO(out("list", "--format", "csv"))))
    assert table[0]["models"] == "gpt-4o,o3"


def test_an_empty_list_says_what_to_do() -> None:
    assert "farebox keys create" in out("list")
    assert rows("list") == []


# ── rotate and revoke ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("by", ["name", "id"])
def test_rotating_makes_another_secret(by: str) -> None:
    made = row("create", "a", "--team", "search")
    rotated = row("rotate", made[by])
    assert (rotated["id"], rotated["name"], rotated["team"]) == (made["id"], "a", "search")
    assert rotated["key"] != made["key"]
    (key,) = directory().all(Key)
    assert key.digest == digest(rotated["key"])


def test_a_grace_keeps_the_old_secret() -> None:
    made = row("create", "a")
    rotated = row("rotate", "a", "--grace", "1h")
    assert {key.digest for key in directory().all(Key)} == {digest(made["key"]), digest(rotated["key"])}
    old = next(each for each in rows("list") if "." in each["id"])
    assert (old["name"], old["hint"], old["state"]) == ("a", made["hint"], "in force")
    assert old["expires_at"] is not None
    assert len(rows("revoke", "a")) == 2
    assert {each["state"] for each in rows("list")} == {"revoked"}


@pytest.mark.parametrize("command", ["rotate", "revoke"])
def test_a_key_that_is_not_there_is_1(command: str) -> None:
    result = run(command, "nobody")
    assert result.exit_code == 1
    assert "there is no key nobody" in result.stderr


def test_a_revoked_key_stays_as_it_was() -> None:
    made = row("create", "a")
    first = row("revoke", "a")
    assert first["state"] == "revoked"
    assert row("revoke", made["id"]) == first  # once more changes nothing
    result = run("rotate", made["id"])
    assert (result.exit_code, result.stderr) == (1, "farebox: the key a is revoked: create another\n")


# ── names ───────────────────────────────────────────────────────────────────────


def test_fingerprints_and_projects_get_names_and_lose_them() -> None:
    assert row("name", "fp_0123456789ab", "ci", "--team", "infra", "--project", "builds") == {
        "id": "fp_0123456789ab",
        "name": "ci",
        "team": "infra",
        "project": "builds",
    }
    out("name", "proj_1", "web", "--team", "search")
    assert [each["name"] for each in rows("name")] == ["ci", "web"]
    assert directory().all(Name) == [Name("fp_0123456789ab", "ci", "infra", "builds"), Name("proj_1", "web", "search")]
    assert "fp_0123456789ab has no name now." in out("name", "fp_0123456789ab", "--forget")
    assert [name.id for name in directory().all(Name)] == ["proj_1"]
    assert run("name", "fp_0123456789ab", "--forget").exit_code == 1
