"""`farebox finetune calendar`: what ends, what of it is in use, and what could take its place."""

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
from billing.charges import Basis, Call, Charge, Outcome
from billing.money import pico_from_usd
from billing.store import Store
from billing.usage import Unit, Usage
from proxy.cli.commands import app
from proxy.cli.endings import NOTHING_ENDS
from proxy.settings import TABLE

Run = Callable[..., Result]

ENDED = "gpt-4-0613"
"""On 2026-10-23, so that these tests do not depend on the day they run on."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("--past", …)` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)

    def ran(*arguments: str) -> Result:
        result = CliRunner().invoke(app, ["finetune", "calendar", *arguments])
        assert "Traceback" not in result.output
        return result

    return ran


@pytest.fixture
def traffic(run: Run) -> None:
    """Two calls of 1,000 tokens of input and 500 of output, at $.06 each, one of them 40 days ago; one that goes on."""
    usage = Usage({Unit.INPUT_TEXT: 1000, Unit.OUTPUT_TEXT: 500})
    charges = []
    for number, (model, days) in enumerate([(ENDED, 1), (ENDED, 40), ("gpt-6-luna", 1)]):
        at = datetime.now(UTC) - timedelta(days=days)
        call = Call(f"c{number}", at, "chat", "POST", "/v1/x", Attribution(), "one", model)
        outcome, cost = Outcome(at, Basis.REPORTED, 200), pico_from_usd("0.06")
        charges.append(Charge(call, outcome, model, model, None, usage, (), Usage(), cost, "test"))

    async def posted() -> None:
        store = Store("sqlite:///farebox.db")
        try:
            await store.create()
            await store.post(charges)
        finally:
            await store.close()

    asyncio.run(posted())


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("traffic")
def test_your_own_models_with_replacements_then_the_calendar(run: Run) -> None:
    said = run("--past").stdout
    row = next(line for line in said.splitlines() if line.startswith(ENDED))
    assert row.split()[1:5:2] == ["2026-10-23", "1"]
    assert "$" in row
    assert " %)" in row
    assert "gpt-6-luna  " not in said, "it goes on"
    assert "* Only prices are compared" in said
    assert "2027-01-06" in said
    assert "last day for new fine-tuning jobs" in said


@pytest.mark.usefixtures("traffic")
def test_json_is_one_object(run: Run) -> None:
    found = answer(run("--past", "--format", "json"))
    [row] = found["in_use"]
    assert (row["model"], row["ends_on"], row["calls"], row["cost_usd"]) == (ENDED, "2026-10-23", 1, "0.06")
    assert row["days_left"] < 0
    costs = [float(one["cost_usd"]) for one in row["replacements"]]
    assert costs == sorted(costs)
    since = (datetime.now(UTC) - timedelta(days=60)).date().isoformat()
    assert answer(run("--from", since, "--format", "json"))["in_use"][0]["calls"] == 2


@pytest.mark.usefixtures("traffic")
def test_replacements_can_be_left_out(run: Run) -> None:
    assert "replacements" not in run("--no-replacements").stdout
    assert answer(run("--no-replacements", "--format", "json"))["in_use"][0]["replacements"] == []


def test_without_such_traffic_it_says_so(run: Run) -> None:
    assert NOTHING_ENDS in run().stdout


def test_what_has_ended_is_left_out_unless_asked_for(run: Run) -> None:
    assert all(row["days_left"] > 0 for row in answer(run("--format", "json"))["calendar"])
    assert "2026-05-07" in {row["on"] for row in answer(run("--past", "--format", "json"))["calendar"]}


def test_csv_is_the_calendar(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("--past", "--format", "csv").stdout)))
    [last] = [row for row in rows if row["what"] == "last day for new fine-tuning jobs"]
    assert (last["on"], last["whom"], last["models"]) == ("2027-01-06", "everyone", "")


def test_wrong_usage_is_one_clear_line(run: Run) -> None:
    result = run("--from", "soon")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "'soon' is neither a date" in result.stderr
