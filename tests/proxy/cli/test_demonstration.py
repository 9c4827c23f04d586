import asyncio
import dataclasses
import io
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from billing.money import pico_from_usd
from billing.store import Narrowing
from proxy.cli import demonstration
from proxy.cli.demonstration import FOLDER, play, stage
from proxy.settings import Settings

CALLS = 60


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Callable[..., Settings]) -> Settings:
    """Settings for a short demonstration in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demonstration, "CALLS", CALLS)
    budget = dataclasses.replace(demonstration._BUDGETS[1], limit_pico=pico_from_usd("0.02"))
    monkeypatch.setattr(demonstration, "_BUDGETS", (budget,))
    return settings("http://127.0.0.1:9")


def played(own: Settings, seed: int, spoil: Callable[[Any], None] = lambda _: None) -> tuple[bool, str, list[Any]]:
    """Whether the books agreed, what was printed, and the ledger's charges."""

    async def scenario() -> tuple[bool, str, list[Any]]:
        out = Console(file=io.StringIO(), width=200)
        async with stage(own, seed) as staged:
            assert own.upstream not in staged.app.settings.upstream
            spoil(staged)
            balanced = await play(staged, seed, out)
            charges = [charge async for charge in staged.app.store.charges(Narrowing())]
        assert isinstance(out.file, io.StringIO)
        return balanced, out.file.getvalue(), charges

    return asyncio.run(scenario())


def figure(out: str, name: str) -> str:
    """The amount on the line that begins so."""
    return next(line for line in out.splitlines() if line.startswith(name)).removeprefix(name).split()[0]


def test_the_books_agree_to_the_picodollar(own: Settings) -> None:
    balanced, out, charges = played(own, seed=1)
    assert balanced
    assert figure(out, "Difference") == "$0"
    total = sum(Decimal(charge["cost_usd"]) for charge in charges)
    assert figure(out, "Farebox's ledger") == f"${total.normalize():f}"
    assert total > 0
    assert all(charge["basis"] in {"reported", "free"} for charge in charges)
    assert {charge["operation"] for charge in charges} >= {"chat", "responses", "embeddings"}
    assert any(charge["streamed"] for charge in charges)
    assert any(charge["requested_model"].startswith("ft:") for charge in charges)
    assert {charge["replica"] for charge in charges} == {"demo"}


def test_every_demonstration_begins_with_empty_books(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstration, "_BUDGETS", ())  # which calls a budget refuses depends on the calls' timing
    FOLDER.mkdir()
    (FOLDER / "farebox.db").write_text("of another day")
    first = played(own, seed=1)
    again = played(own, seed=1)
    other = played(own, seed=2)
    assert len(first[2]) == len(again[2]) > CALLS - 5  # what the upstream refuses has no charge
    assert sum(charge["cost_pico"] for charge in first[2]) != sum(charge["cost_pico"] for charge in other[2])


def test_books_that_do_not_agree_are_said_so(own: Settings) -> None:
    def spoil(staged: Any) -> None:
        add = staged.bill.add

        def dearer(row: Any) -> None:
            add(dataclasses.replace(row, cost_usd=row.cost_usd + Decimal("0.000000000001")))

        staged.bill.add = dearer

    balanced, out, charges = played(own, seed=1, spoil=spoil)
    assert not balanced
    billed = len([charge for charge in charges if charge["basis"] == "reported"])
    assert figure(out, "Difference") == f"${Decimal(billed).scaleb(-12):f}"


def test_a_budget_trips_and_the_others_go_on(own: Settings) -> None:
    _, out, charges = played(own, seed=1)
    assert int(figure(out, "Refused for budget")) > 0
    spent = sum(Decimal(charge["cost_usd"]) for charge in charges if charge["team"] == "research")
    assert figure(out, "Budget research") == f"${spent.normalize():f}"
    assert Decimal("0.01") < spent <= Decimal("0.02")
    assert {charge["team"] for charge in charges} == {"support", "search", "research"}


def test_the_command_plays_it_all_and_ends(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FAREBOX_", "OPENAI_"))}
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "demo", "--no-stay", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0
    assert all(" farebox.alerts: " in line for line in done.stderr.splitlines())
    assert figure(done.stdout, "Difference") == "$0"
    assert figure(done.stdout, "The simulator's own bill") == figure(done.stdout, "Farebox's ledger") != "$0"
    assert (tmp_path / "farebox-demo" / "farebox.db").is_file()
    assert not (tmp_path / "farebox.db").exists()
