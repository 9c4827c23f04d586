"""`farebox finetune breakeven`: from flags and from the ledger, as a table with its chart, JSON and CSV."""

import asyncio
import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from billing.assumptions import MEANINGS
from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.store import Store
from billing.usage import Unit, Usage
from proxy.cli.commands import app
from proxy.settings import TABLE

MINI = "gpt-4o-mini-2024-07-18"
GIVEN = ("--calls", "200000", "--model", MINI, "--input-tokens", "2000", "--output-tokens", "200", "--on", "2026-11-24")

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("--calls", …)` in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)

    def ran(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["finetune", "breakeven", *arguments])

    return ran


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_assumption_has_a_flag_and_says_what_it_is() -> None:
    command: Any = typer.main.get_command(app)
    options = {option.opts[0]: option.help for option in command.commands["finetune"].commands["breakeven"].params}
    assert options.items() >= {f"--{name.replace('_', '-')}": meaning for name, meaning in MEANINGS.items()}.items()


def test_a_table_with_crossings_chart_assumptions_and_warnings(run: Run) -> None:
    said = run(*GIVEN, "--tuned-setup-usd", "50").stdout
    assert "200000 calls a month for 12 months, prices of 2026-11-24" in said
    assert "fine-tuned is cheaper than longer prompt from 147,223 a month on." in said
    assert "At this volume the cheapest is: fine-tuned." in said
    assert "USD a month: L longer prompt, F fine-tuned, S stronger model, R retrieval, * several" in said
    assert "tuned_setup_usd         50                      given" in said
    assert "* fine-tuned: what it costs once comes back after 8.833 months, which is after its end" in said
    row = next(line for line in said.splitlines() if line.startswith("fine-tuned ")).split()
    assert row == ["fine-tuned", f"ft:{MINI}", "0.00039000", "53.00", "0.00", "82.42", "0.00041208", "989.00", "8.833"]


def test_json_is_exact_and_one_object(run: Run) -> None:
    found = answer(run(*GIVEN, "--tuned-setup-usd", "50", "--format", "json"))
    assert found["ways"][1]["monthly_usd"] == "82.416666666667"
    assert found["crossings"][0]["calls"] == 147_223


def test_csv_is_the_ways(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run(*GIVEN, "--format", "csv").stdout)))
    assert [row["way"] for row in rows] == ["longer prompt", "fine-tuned", "stronger model", "retrieval"]
    assert rows[0]["monthly_usd"] == "84"


def test_flags_change_what_is_assumed(run: Run) -> None:
    found = answer(run(*GIVEN, "--stronger", "gpt-4.1", "--storage-gib", "13", "--months", "1", "--format", "json"))
    assert found["ways"][2]["model"] == "gpt-4.1"
    assert found["ways"][3]["fixed_monthly_usd"] == "36.5"
    assert found["months"] == 1


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--calls", "1"), "--model: the base model: say it, or a --traffic that tells"),
        ((*GIVEN, "--months", "0"), "--months: Expected `int` >= 1"),
        ((*GIVEN, "--tuned-setup-usd", "many"), "--tuned-setup-usd: Expected `str` matching"),
        ((*GIVEN, "--tier", "fastest"), "--tier: Invalid enum value 'fastest'"),
        ((*GIVEN, "--cached-tokens", "2001"), "cached_tokens are part of input_tokens"),
        ((*GIVEN, "--on", "soon"), "--on soon: a date such as 2026-11-23"),
    ],
)
def test_wrong_usage_is_one_clear_line(run: Run, flags: tuple[str, ...], says: str) -> None:
    result = run(*flags)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def ledger(model: str) -> None:
    """Ten calls of 1,000 tokens of input and 100 of output, an hour ago."""
    at = datetime.now(UTC) - timedelta(hours=1)
    usage = Usage({Unit.INPUT_TEXT: 1000, Unit.OUTPUT_TEXT: 100})
    calls = [Call(f"c{number}", at, "chat", "POST", "/v1/x", Attribution(), "one", model) for number in range(10)]
    outcome = Outcome(at, Basis.REPORTED, 200)
    charges = [Charge(call, outcome, model, "gpt-4o-mini", None, usage, (), Usage(), 1, "test") for call in calls]

    async def posted() -> None:
        store = Store("sqlite:///farebox.db")
        try:
            await store.create()
            await store.post(charges)
        finally:
            await store.close()

    asyncio.run(posted())


def test_recorded_traffic_tells_calls_model_and_tokens(run: Run) -> None:
    ledger(MINI)
    since = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    found = answer(run("--traffic", "gpt-4o-mini", "--from", since, "--model", MINI, "--format", "json"))
    told = {it["name"]: (it["value"], it["source"]) for it in found["assumptions"]}
    assert (told["input_tokens"], told["output_tokens"]) == (("1000", "recorded"), ("100", "recorded"))
    assert (found["recorded"]["calls"], told["calls"][1]) == (10, "recorded")
    assert float(found["calls"]) == pytest.approx(10 * 365 / 12 / 3, rel=0.01)
    assert "Recorded: 10 calls to gpt-4o-mini in " in run("--traffic", "gpt-4o-mini").stdout


def test_traffic_on_a_fine_tuned_model_is_the_short_prompt(run: Run) -> None:
    ledger(f"ft:{MINI}:acme::Ab1")
    asked = ("--traffic", f"ft:{MINI}:acme::Ab1")
    refused = run(*asked)
    assert refused.exit_code == 2
    assert "--input-tokens: input of a call with the longer prompt" in refused.stderr
    found = answer(run(*asked, "--input-tokens", "3000", "--format", "json"))
    assert [way["model"] for way in found["ways"][:2]] == [MINI, f"ft:{MINI}:acme::Ab1"]


def test_without_such_traffic_it_says_so(run: Run) -> None:
    result = run("--traffic", "gpt-4.1")
    assert result.exit_code == 1
    assert "no calls to gpt-4.1 with known tokens are recorded there" in result.stderr
