import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from proxy.cli.commands import app
from proxy.cli.listing import Format
from proxy.cli.price_checks import check_prices, diff_prices
from proxy.settings import Settings, load

MAP = {
    "gpt-5": {"litellm_provider": "openai", "input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05},
    "gpt-5.1-codex-max": {"litellm_provider": "openai", "input_cost_per_token": 1.25e-06},
    "gpt-4o-mini-tts": {"litellm_provider": "openai", "output_cost_per_token": 1e-05},
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings without prices of the user's own, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for variable in ("FAREBOX_PRICES", "FAREBOX_UPSTREAM", "FAREBOX_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    return load({}, default_file="/nonexistent")


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def litellm(tmp_path: Path, **more: dict[str, Any]) -> Path:
    path = tmp_path / "map.json"
    path.write_text(json.dumps(MAP | more))
    return path


# ── check ───────────────────────────────────────────────────────────────────────


def test_what_ships_has_a_reason_for_each_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_prices(None, Format.JSON) == 0
    found = rows(capsys)
    assert {row["from"] for row in found} == {"genai-prices"}
    o3 = next(row for row in found if row["model"] == "o3")
    assert (o3["ours_usd"], o3["theirs_usd"], o3["per"], o3["since"]) == ("2.5", "0.5", "1M", "2025-04-16")
    assert "cut of 2025-06-10" in o3["reason"]
    assert o3["source"].startswith("https://")


def test_litellm_s_map_is_compared_when_its_file_is_given(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert check_prices(litellm(tmp_path), Format.JSON) == 0
    (found,) = (row for row in rows(capsys) if row["from"] == "litellm")
    assert (found["model"], found["ours_usd"], found["theirs_usd"]) == ("gpt-4o-mini-tts", "12", "10")


def test_a_difference_without_a_reason_is_status_1(settings: Settings, tmp_path: Path) -> None:
    wrong = litellm(tmp_path, **{"gpt-5.1": {"litellm_provider": "openai", "input_cost_per_token": 1.3e-06}})
    result = CliRunner().invoke(app, ["prices", "check", "--litellm", str(wrong), "--format", "csv"])
    assert result.exit_code == 1
    assert "1 without a reason: look at OpenAI's list" in result.stderr
    (unexplained,) = (row for row in csv.DictReader(io.StringIO(result.stdout)) if not row["reason"])
    assert (unexplained["model"], unexplained["ours_usd"], unexplained["theirs_usd"]) == ("gpt-5.1", "1.25", "1.3")
    table = CliRunner().invoke(app, ["prices", "check", "--litellm", str(wrong)])
    assert "differences, 1 without a reason" in table.stdout


@pytest.mark.parametrize(("content", "says"), [("{}", "not LiteLLM's map"), (None, "No such file")])
def test_a_map_that_is_none(settings: Settings, tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "map.json"
    if content is not None:
        path.write_text(content)
    result = CliRunner().invoke(app, ["prices", "check", "--litellm", str(path)])
    assert result.exit_code == 2
    assert says in result.stderr
    assert "map.json" in result.stderr


# ── diff ────────────────────────────────────────────────────────────────────────


def diff(
    capsys: pytest.CaptureFixture[str], settings: Settings, one: str, other: str
) -> dict[tuple[str, str, str, str], tuple[str | None, str | None, str]]:
    diff_prices(settings, one, other, Format.JSON)
    return {
        (row["model"], row["tier"], row["unit"], row["over"]): (row["before_usd"], row["after_usd"], row["change"])
        for row in rows(capsys)
    }


def test_two_days(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    found = diff(capsys, settings, "2026-07-29", "2026-07-30")
    assert {model.replace("5-6", "5.6") for model, *_ in found} == {"gpt-5.6-luna", "gpt-5.6-terra"}
    assert found["gpt-5.6-luna", "default", "input_text_tokens", ""] == ("1", "0.2", "-80.0%")
    assert found["gpt-5.6-terra", "batch", "output_text_tokens", ""] == ("7.5", "6", "-20.0%")
    over = "over 272,000 input tokens"
    assert found["gpt-5.6-terra", "default", "input_text_tokens", over] == ("5", "4", "-20.0%")
    back = diff(capsys, settings, "2026-07-30", "2026-07-29")
    assert back["gpt-5.6-luna", "default", "input_text_tokens", ""] == ("0.2", "1", "+400.0%")


def test_a_model_comes_and_a_day_like_another(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    found = diff(capsys, settings, "2026-09-02", "2026-09-03")
    assert found["gpt-6-astra", "ultrafast", "output_text_tokens", ""] == (None, "300", "new")
    gone = diff(capsys, settings, "2026-09-03", "2026-09-02")
    assert gone["gpt-6-astra", "ultrafast", "output_text_tokens", ""] == ("300", None, "gone")
    diff_prices(settings, "2026-09-03", "2026-09-04", Format.TABLE)
    assert capsys.readouterr().out.strip() == "No price differs."


def test_two_files(capsys: pytest.CaptureFixture[str], settings: Settings, tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text('price = [{ model = "our-own", standard = { input = "1", audio_minute = "0.006" } }]')
    other.write_text(
        'price = [{ model = "our-own", standard = { input = "1", audio_minute = "0.009" } }]\n'
        'discount = [{ models = ["gpt-5"], percent = 10, effective_from = 2027-01-01 }]\n'
    )
    found = diff(capsys, settings, str(one), str(other))
    assert {model for model, *_ in found} == {"our-own", "gpt-5"}
    assert found["our-own", "default", "audio_seconds", ""] == ("0.006", "0.009", "+50.0%")
    assert found["gpt-5", "flex", "output_text_tokens", ""] == ("5", "4.5", "-10.0%")
    assert found["gpt-5", "default", "web_search_calls", ""] == ("10", "9", "-10.0%")
    diff_prices(settings, str(one), str(other), Format.CSV)
    assert {row["since"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))} == {"", "2027-01-01"}


def test_files_are_compared_at_the_upstream_s_host(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    regional = load({"FAREBOX_UPSTREAM": "https://eu.api.openai.com"}, default_file="/nonexistent")
    Path("one.toml").write_text("")
    Path("other.toml").write_text('discount = [{ models = ["gpt-5.4"], percent = 10 }]')
    found = diff(capsys, regional, "one.toml", "other.toml")
    assert found["gpt-5.4", "default", "input_text_tokens", ""] == ("2.75", "2.475", "-10.0%")


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ("2026-07-29", "own.toml", "2026-07-29 and own.toml: compare two days, or two price files"),
        ("nowhere.toml", "own.toml", "'nowhere.toml' is neither a date (2026-11-23) nor a price file"),
        ("2026-13-01", "yesterday", "'2026-13-01' is neither a date"),
        ("own.toml", "wrong.toml", "wrong.toml, line 1, price 1 (m): no tier has a price"),
    ],
)
def test_what_cannot_be_compared(settings: Settings, one: str, other: str, says: str) -> None:
    Path("own.toml").write_text("")
    Path("wrong.toml").write_text('[[price]]\nmodel = "m"\n')
    result = CliRunner().invoke(app, ["prices", "diff", one, other])
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize("command", [["list"], ["show", "gpt-5"], ["diff", "2026-01-01", "2026-02-01"]])
def test_a_price_file_that_is_not_there_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("FAREBOX_PRICES", "nowhere.toml")
    result = CliRunner().invoke(app, ["prices", *command])
    assert result.exit_code == 2
    assert "nowhere.toml" in result.stderr
