"""What is written of a training file, for people and for programs."""

import json
from typing import Any

import pytest

from billing.training_data import Form
from billing.training_messages import Problem
from billing.training_tallies import Kind, Report
from billing.training_tokens import Tokens
from proxy.cli.listing import Format
from proxy.cli.training_reports import show_check, show_estimate
from proxy.moderating import Flagged

RIGHT = Report(Form.SUPERVISED, 100, 20, Tokens(), (), ())
REPORT = Report(
    Form.SUPERVISED, 100, 20, Tokens(),
    (Kind("json", True, 1, 9, "no JSON"), Kind("duplicate", False, 3, 2, "the same")),
    ((2, Problem("duplicate", "the same", serious=False)), (3, Problem("duplicate", "the same", serious=False)),
     (9, Problem("json", "no JSON"))),
)  # fmt: skip
ESTIMATE: dict[str, Any] = {
    "model": "m", "method": "supervised", "examples": 20, "tokens": 300, "epochs": 2, "billable_tokens": 600,
    "price_usd_per_mtok": "3", "price_usd_per_hour": None, "cost_usd_per_epoch": "0.0009", "cost_usd": "0.0018",
    "uncertainty": {"billable_tokens": (500, 700), "cost_usd": ["0.0015", "0.0021"]}, "inference": [],
    "warnings": ["w"],
}  # fmt: skip


def checked(
    capsys: pytest.CaptureFixture[str], report: Report = REPORT, flagged: list[Flagged] | None = None, limit: int = 20,
    form: Format = Format.TABLE,
) -> str:  # fmt: skip
    show_check("data.jsonl", "m", report, flagged, limit, form)
    return capsys.readouterr().out


def test_errors_come_before_warnings_and_what_is_not_listed_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    text = checked(capsys, limit=2)
    lines = [line.split() for line in text.splitlines()]
    assert [line[:2] for line in lines[2:4]] == [["9", "error"], ["2", "warning"]]
    assert "In all (2 more are not listed)" in text
    assert ["3", "warning", "duplicate", "2", "the", "same"] in lines
    assert text.endswith("1 error, 3 warnings.\n")


def test_nothing_is_summed_up_that_is_all_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "In all" not in checked(capsys, Report(Form.SUPERVISED, 1, 1, Tokens(), REPORT.kinds[:1], REPORT.listed[2:]))


def test_a_right_file_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(capsys, RIGHT).startswith("data.jsonl: supervised, 20 examples: nothing is wrong.\n")


def test_what_is_likely_to_be_blocked_is_listed_and_counted_by_category(capsys: pytest.CaptureFixture[str]) -> None:
    flagged = [Flagged(5, ("hate", "violence"), 0.91), Flagged(8, ("hate",), 0.5)]
    text = checked(capsys, RIGHT, flagged)
    assert "5  flagged   hate, violence  score 0.91" in text
    assert text.endswith("0 errors, 0 warnings. 2 examples likely to be blocked: hate 2, violence 1.\n")
    assert checked(capsys, RIGHT, []).endswith("0 examples likely to be blocked.\n")


def test_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(checked(capsys, flagged=[Flagged(5, ("hate",), 0.9)], form=Format.JSON))
    assert (found["file"], found["model"], found["format"], found["errors"], found["warnings"]) == (
        "data.jsonl", "m", "supervised", 1, 3)  # fmt: skip
    assert found["kinds"][0] == {
        "kind": "json", "severity": "error", "count": 1, "first_line": 9, "message": "no JSON"}  # fmt: skip
    assert [problem["line"] for problem in found["problems"]] == [2, 3, 9]
    assert (found["flagged"][0]["line"], found["flagged_by_category"]) == (5, {"hate": 1})
    assert json.loads(checked(capsys, form=Format.JSON))["flagged"] is None


def test_an_estimate_in_a_table_says_its_range_and_its_doubts(capsys: pytest.CaptureFixture[str]) -> None:
    show_estimate(ESTIMATE, Format.TABLE)
    text = capsys.readouterr().out
    assert "price usd per hour" not in text
    assert "Between 500 and 700 tokens: $0.0015 to $0.0021." in text
    assert text.endswith("* w\n")


def test_what_is_not_known_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    show_estimate({**ESTIMATE, "cost_usd": None, "uncertainty": {"cost_usd": None}}, Format.TABLE)
    text = capsys.readouterr().out
    assert text.splitlines()[1].endswith("–")
    assert "Between" not in text
