"""`farebox finetune`: files in, reports and figures out, with the exit status that says what was found."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from moderations import moderations
from typer.testing import CliRunner, Result

from proxy.cli.finetune import app

MINI = "gpt-4o-mini-2024-07-18"
ON = ("--on", "2026-11-23")

Run = Callable[..., Result]


def chat(text: str) -> bytes:
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": f"{text}!"}]
    return json.dumps({"messages": messages}).encode() + b"\n"


GOOD = b"".join(chat(f"question {number}") for number in range(20))
BROKEN = {
    "bad JSON far down": GOOD * 200 + b'{"messages": [}\n' + GOOD,
    "a mark": b"\xef\xbb\xbf" + GOOD,
    "CR LF": GOOD.replace(b"\n", b"\r\n"),
    "not UTF-8": GOOD + chat("x").replace(b"x", b"\xe9", 1),
    "empty": b"",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("check", file=…)` in a folder of its own, without a key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def ran(command: str, *arguments: str, file: bytes | None = GOOD, typed: bytes = b"") -> Result:
        if file is not None:
            (tmp_path / "data.jsonl").write_bytes(file)
        name = "-" if typed else "data.jsonl"
        return CliRunner().invoke(app, [command, name, *arguments], input=typed)

    return ran


def answer(result: Result, status: int = 0) -> Any:
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def test_a_right_file(run: Run) -> None:
    result = run("check")
    assert result.exit_code == 0
    assert "data.jsonl: supervised, 20 examples: nothing is wrong." in result.stdout
    assert "0 errors, 0 warnings." in result.stdout
    assert result.stderr == "", "no progress in a pipe"


@pytest.mark.parametrize("file", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_ends_with_status_1_and_a_clear_report(run: Run, file: bytes) -> None:
    result = run("check", file=file)
    assert result.exit_code == 1
    assert "error" in result.stdout
    assert "Traceback" not in result.output
    found = answer(run("check", "--format", "json", file=file), 1)
    assert found["errors"] >= 1
    assert any(problem["severity"] == "error" for problem in found["problems"])


def test_the_line_is_named_however_far_down(run: Run) -> None:
    assert "4,001  error" in run("check", file=BROKEN["bad JSON far down"]).stdout
    found = answer(run("check", "--format", "json", file=BROKEN["bad JSON far down"]), 1)
    assert {
        "line": 4001,
        "severity": "error",
        "kind": "json",
        "message": "no JSON: invalid character (byte 14)",
    } in found["problems"]


def test_a_table_lists_the_first_and_counts_all(run: Run) -> None:
    result = run("check", "--limit", "3", file=b"{}\n" * 50 + GOOD)
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["1", "2", "3"]
    assert "In all" in result.stdout
    assert "50 errors, 49 warnings." in result.stdout
    assert len(answer(run("check", "--limit", "3", "--format", "json", file=b"{}\n" * 50 + GOOD), 1)["problems"]) == 99


def test_csv_is_every_problem_and_nothing_else(run: Run) -> None:
    rows = list(csv.reader(io.StringIO(run("check", "--format", "csv", file=b"{}\n" * 50 + GOOD).stdout)))
    assert rows[0] == ["line", "severity", "kind", "message"]
    assert len(rows) == 1 + 99


def test_the_model_tells_how_long_an_example_may_be(run: Run) -> None:
    long = GOOD + chat("word " * 70_000)
    assert "too_long" not in run("check", file=long).stdout
    result = run("check", "--model", MINI, file=long)
    assert result.exit_code == 0
    assert "too_long" in result.stdout
    assert "65,536" in result.stdout


def test_what_of_training_a_model_has_ended_is_said(run: Run) -> None:
    said = "gpt-3.5-turbo-0125 was shut down on 2026-10-23, with all models trained from it"
    assert f"* {said}\n" in run("check", "--model", "gpt-3.5-turbo-0125").stdout
    assert said in answer(run("check", "--model", "gpt-3.5-turbo-0125", "--format", "json"))["endings"]
    assert answer(run("check", "--format", "json"))["endings"] == []


def test_a_file_can_be_piped_in(run: Run) -> None:
    assert "- : " not in run("check", typed=GOOD).stdout
    assert answer(run("check", "--format", "json", typed=GOOD))["examples"] == 20


@pytest.mark.parametrize(
    ("command", "arguments", "text"),
    [
        ("check", ("--method", "osmosis"), "--method osmosis: one of supervised"),
        ("check", ("--moderate",), "set OPENAI_API_KEY"),
        ("estimate", ("--model", MINI, "--on", "soon"), "--on soon"),
        ("estimate", ("--model", MINI, "--hours", "many"), "--hours many"),
        ("estimate", ("--model", MINI, "--hours", "-1"), "--hours -1"),
    ],
)
def test_wrong_usage_is_one_clear_line(run: Run, command: str, arguments: tuple[str, ...], text: str) -> None:
    result = run(command, *arguments)
    assert result.exit_code == 2
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [("check",), ("estimate", "--model", MINI)])
def test_a_file_that_is_not_there(run: Run, command: tuple[str, ...]) -> None:
    result = run(*command, file=None)
    assert result.exit_code == 2
    assert result.stderr == "farebox: data.jsonl: No such file or directory\n"


def test_an_estimate_has_what_is_promised(run: Run) -> None:
    found = answer(run("estimate", "--model", MINI, "--epochs", "2", *ON, "--format", "json"))
    promised = ("examples", "tokens", "billable_tokens", "epochs", "price_usd_per_mtok", "cost_usd", "warnings")
    assert all(name in found for name in promised)
    assert (found["examples"], found["epochs"], found["price_usd_per_mtok"]) == (20, 2, "3")
    assert found["billable_tokens"] == 2 * found["tokens"] == 2 * 20 * (4 + 3 + 4 + 4 + 3)
    assert found["cost_usd"] == "0.00216"
    assert any("2027-01-14" in warning for warning in found["warnings"])


def test_an_estimate_for_people(run: Run) -> None:
    result = run("estimate", "--model", MINI, *ON)
    assert result.exit_code == 0
    for text in (
        "0.0054",
        "Between 1,500 and 1,800 tokens",
        "ft:gpt-4o-mini",
        "batch",
        "* the trained model can be used",
    ):
        assert text in result.stdout, text


@pytest.mark.parametrize(
    ("model", "on", "usd"),
    [
        ("gpt-3.5-turbo-0613", "2023-08-22", "8"),
        ("davinci", "2023-06-01", "30"),
        ("gpt-4.1-2025-04-14", "2025-06-01", "25"),
    ],
)
def test_prices_are_those_of_the_day(run: Run, model: str, on: str, usd: str) -> None:
    file = GOOD if model != "davinci" else b'{"prompt": "a", "completion": "b"}\n' * 12
    found = answer(run("estimate", "--model", model, "--on", on, "--format", "json", file=file))
    assert found["price_usd_per_mtok"] == usd


def test_a_model_without_a_price_ends_with_status_1_and_no_cost(run: Run) -> None:
    found = answer(run("estimate", "--model", "gpt-5.4", *ON, "--format", "json"), 1)
    assert found["cost_usd"] is None
    assert "no training price is known for gpt-5.4" in found["warnings"][0]
    table = run("estimate", "--model", "gpt-5.4", *ON)
    assert table.stdout.splitlines()[1].split()[-1] == "–"


def test_a_file_with_unreadable_lines_is_estimated_as_far_as_it_goes(run: Run) -> None:
    found = answer(run("estimate", "--model", MINI, *ON, "--format", "json", file=GOOD + b"{\n"), 1)
    assert (found["examples"], found["unread_examples"]) == (20, 1)
    assert found["cost_usd"]


def test_few_examples_are_estimated_all_the_same(run: Run) -> None:
    found = answer(run("estimate", "--model", MINI, *ON, "--format", "json", file=chat("one")))
    assert any("OpenAI takes 10 or more" in warning for warning in found["warnings"])


def test_reinforcement_wants_hours(run: Run) -> None:
    graded = b'{"messages": [{"role": "user", "content": "7?"}], "answer": 7}\n' * 12
    model = ("--model", "o4-mini-2025-04-16", "--on", "2026-01-01", "--format", "json")
    assert answer(run("estimate", *model, file=graded))["cost_usd"] is None
    assert answer(run("estimate", *model, "--hours", "2.55", file=graded))["cost_usd"] == "255"


def test_your_own_prices_go_first(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prices.toml").write_text(
        f'[[price]]\nmodel = "ft:{MINI}"\neffective_from = 2026-01-01\nsource = "ours"\n'
        'standard = { input = "1", output = "1", training = "2" }\n'
    )
    monkeypatch.setenv("FAREBOX_PRICES", str(tmp_path / "prices.toml"))
    assert answer(run("estimate", "--model", MINI, *ON, "--format", "json"))["price_usd_per_mtok"] == "2"


def test_moderation_names_what_is_likely_to_be_blocked_and_goes_on_after_an_end(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = b"".join(chat("hate" if number in (5, 70) else f"calm {number}") for number in range(1, 101))
    record = tmp_path / "data.jsonl.moderation"
    with moderations() as endpoint:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("FAREBOX_UPSTREAM", endpoint.url)
        endpoint.unreadable = "calm 60"
        ended = run("check", "--moderate", file=file)
        assert ended.exit_code == 1
        assert "Run the command again to go on" in ended.stderr
        assert record.exists()
        asked = len(endpoint.texts)
        endpoint.unreadable = "unreadable"
        found = answer(run("check", "--moderate", "--format", "json", file=file), 1)
        assert found["flagged"] == [{"line": line, "categories": ["hate"], "score": 0.9} for line in (5, 70)]
        assert found["flagged_by_category"] == {"hate": 2}
        assert asked > 0
        assert "calm 1" not in endpoint.texts[asked:], "what was screened is not screened again"
        assert not record.exists()
        assert "2 examples likely to be blocked: hate 2." in run("check", "--moderate", file=file).stdout


def test_a_record_of_another_file_counts_for_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.jsonl.moderation").write_text('{"upto":3,"digest":"of another","examples":3}\n')
    with moderations() as endpoint:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        monkeypatch.setenv("FAREBOX_UPSTREAM", endpoint.url)
        assert run("check", "--moderate").exit_code == 0
        assert len(endpoint.texts) == 40
