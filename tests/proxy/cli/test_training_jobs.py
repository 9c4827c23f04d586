"""`farebox finetune jobs` and `farebox report --amortize`: fees, use since, and when it pays back."""

import asyncio
import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from billing.attribution import Attribution
from billing.charges import Basis, Call, Outcome, charge
from billing.jobs import BLOCKED
from billing.price_sources import price_book
from billing.store import Store
from billing.usage import Reading, Unit, Usage
from proxy.cli.commands import app
from proxy.cli.training_jobs import JOBS
from proxy.settings import TABLE

Run = Callable[..., Result]

TUNED = "ft:gpt-4o-mini-2024-07-18:acme::x1"
BASE = "ft:gpt-4o-mini-2024-07-18"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)

    def ran(*arguments: str) -> Result:
        result = CliRunner().invoke(app, list(arguments))
        assert "Traceback" not in result.output
        return result

    return ran


@pytest.fixture
def ledger(run: Run) -> None:
    """A job of 1M tokens ($3) ten days ago, one that moderation blocked, one that is unknown; 1M tokens of the first
    one's model five days ago and 3M of its checkpoint yesterday ($0.30 per 1M), and of others."""
    book, now = price_book(), datetime.now(UTC)

    def some(number: int, days: int, operation: str, model: str, unit: Unit, quantity: int, **more: Any) -> Any:
        at, team = now - timedelta(days=days), more.get("team", "a")
        call = Call(f"c{number}", at, operation, "POST", "/v1/x", Attribution(team=team, key="k"), "one", model)
        reading = Reading(Usage({unit: quantity}), model, None, more.get("id"))
        return charge(call, Outcome(now, more.get("basis", Basis.REPORTED), 200, reading, reason=more.get("why")), book)

    training, text = Unit.TRAINING_TOKENS, Unit.INPUT_TEXT
    charges = [
        some(1, 10, "fine_tuning", TUNED, training, 10**6, id="ftjob-1"),
        some(2, 9, "fine_tuning", BASE, training, 0, id="ftjob-2", why=BLOCKED),
        some(3, 8, "fine_tuning", BASE, training, 0, id="ftjob-3", basis=Basis.UNKNOWN, why="never_told", team="b"),
        some(4, 5, "chat", TUNED, text, 10**6),
        some(5, 1, "chat", f"{TUNED}:ckpt-step-20", text, 3 * 10**6),
        some(6, 1, "chat", f"{TUNED}2", text, 10**6),
        some(7, 1, "chat", "gpt-4o", text, 10**6),
    ]

    async def posted() -> None:
        store = Store("sqlite:///farebox.db")
        try:
            await store.create()
            await store.post(charges)
        finally:
            await store.close()

    asyncio.run(posted())


def listed(run: Run, *arguments: str) -> list[dict[str, Any]]:
    result = run(*arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("ledger")
def test_jobs_are_listed_with_their_fees_and_what_came_of_them(run: Run) -> None:
    first, blocked, unknown = listed(run, "finetune", "jobs")
    assert [first[name] for name in ("job", "model", "outcome", "training_tokens", "fee_usd", "team")] == [
        "ftjob-1", TUNED, "trained", 10**6, "3", "a",
    ]  # fmt: skip
    assert [first[name] for name in ("calls", "tokens", "use_usd", "payback_months")] == [2, 4 * 10**6, "1.2", None]
    assert (blocked["outcome"], blocked["fee_usd"], blocked["calls"]) == (BLOCKED, "0", 0)
    assert (unknown["outcome"], unknown["fee_usd"]) == ("never_told", None)
    assert [row["job"] for row in listed(run, "finetune", "jobs", "--team", "b")] == ["ftjob-3"]


@pytest.mark.usefixtures("ledger")
def test_it_pays_back_beside_a_dearer_model(run: Run) -> None:
    """On gpt-4o 4M tokens of input are $10, so $8.80 in ten days are saved, and $3 come back in 3.4 days."""
    first, *_ = listed(run, "finetune", "jobs", "--instead-of", "gpt-4o")
    assert (first["instead_usd"], first["payback_months"]) == ("10", "0.1")
    first, *_ = listed(run, "finetune", "jobs", "--instead-of", "gpt-4o-mini")
    assert (first["instead_usd"], first["payback_months"]) == ("0.6", None)  # never
    wrong = run("finetune", "jobs", "--instead-of", "gpt-99")
    assert (wrong.exit_code, "no price is known" in wrong.stderr) == (2, True)


@pytest.mark.usefixtures("ledger")
def test_training_is_spread_over_the_use(run: Run) -> None:
    (row,) = listed(run, "report", "--amortize")
    assert (row["model"], row["jobs"], row["training_usd"], row["training_share_usd"]) == (TUNED, 1, "3", "3")
    assert (row["use_usd_per_1k"], row["effective_usd_per_1k"]) == ("0.0003", "0.00105")
    since = (datetime.now(UTC) - timedelta(days=3)).strftime("%Y-%m-%d")
    (row,) = listed(run, "report", "--amortize", "--from", since)  # three of the four million tokens
    assert (row["tokens"], row["use_usd"], row["training_share_usd"]) == (3 * 10**6, "0.9", "2.25")
    assert row["effective_usd_per_1k"] == "0.00105"


@pytest.mark.usefixtures("ledger")
def test_tables_and_csv_show_the_same(run: Run) -> None:
    table = run("finetune", "jobs")
    assert "ftjob-1" in table.stdout
    assert BLOCKED in table.stdout
    rows = list(csv.DictReader(io.StringIO(run("finetune", "jobs", "--format", "csv").stdout)))
    assert tuple(rows[0]) == JOBS
    assert [row["fee_usd"] for row in rows] == ["3", "0", ""]
    assert TUNED in run("report", "--amortize").stdout


@pytest.mark.parametrize("command", [("finetune", "jobs"), ("report", "--amortize")])
def test_nothing_yet_is_said(run: Run, command: tuple[str, ...]) -> None:
    result = run(*command)
    assert (result.exit_code, result.stdout.startswith("No training job")) == (0, True)
