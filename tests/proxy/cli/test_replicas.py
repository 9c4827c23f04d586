"""`farebox replicas`: who is alive, who is dead, and what forgetting one frees."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from billing.budgets import Budget
from billing.databases import writing
from billing.escrow import MEMBERS, Member
from billing.leases import Account, Report, Slice, key
from billing.store import Store
from billing.windows import BEGINNING, END
from proxy.cli.replicas import app
from proxy.settings import TABLE

BUDGET = Budget("company", 10**12, "total")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)


def run(url: str, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*arguments, "--database", url])
    return result.exit_code, result.stdout, result.stderr


def on(url: str, act: Callable[[Store], Awaitable[None]]) -> None:
    async def scene() -> None:
        store = Store(url)
        await store.create()
        await act(store)
        await store.close()

    asyncio.run(scene())


async def two_replicas(store: Store) -> None:
    await store.registry.define([BUDGET], datetime.now(UTC))
    for name, granted in (("one", 3 * 10**11), ("two", 10**11)):
        member = Member(name, f"journal of {name}")
        number = await store.escrow.join(member)
        slice_ = Slice(granted, 10**10)
        report = Report(Account(key(BUDGET), BEGINNING), END, BUDGET.limit_pico, slice_)
        await store.escrow.exchange(member, number + 1, 1, [report])


async def one_has_died(store: Store) -> None:
    async with writing(store.engine) as connection:
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        await connection.execute(update(MEMBERS).where(MEMBERS.c.name == "one").values(leased_until=long_ago))


def test_nobody_is_there(database: str) -> None:
    assert "PostgreSQL" in run(database, "list")[1]
    assert run(database, "forget", "one") == (1, "", "farebox: there is no replica one\n")


def test_a_dead_one_is_told_and_forgotten(postgres: str) -> None:
    on(postgres, two_replicas)
    on(postgres, one_has_died)
    status, out, _ = run(postgres, "list", "--format", "json")
    one, two = map(json.loads, out.splitlines())
    assert (status, one["state"], one["held_back_usd"], one["instance"]) == (0, "dead", "0.29", "journal of one")
    assert (two["state"], two["held_back_usd"]) == ("alive", "0.09")
    assert "one" in run(postgres, "list")[1]
    assert run(postgres, "forget", "one") == (0, "forgot one, which held back $0.29\n", "")
    assert [json.loads(line)["name"] for line in run(postgres, "list", "--format", "json")[1].splitlines()] == ["two"]


def test_a_living_one_is_not_forgotten_by_mistake(postgres: str) -> None:
    on(postgres, two_replicas)
    status, out, error = run(postgres, "forget", "two")
    assert (status, out) == (1, "")
    assert "two is alive, its lease lasts until 20" in error
    assert run(postgres, "forget", "two", "--force")[0] == 0


def test_a_database_that_is_not_there_is_said_without_its_password() -> None:
    status, _, error = run("postgresql://me:hidden@127.0.0.1:1/farebox", "list")
    assert status == 1
    assert "postgresql://me:***@127.0.0.1:1/farebox cannot be read" in error
    assert "hidden" not in error
