import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.listing import Format
from proxy.cli.pricing import list_prices, show_price
from proxy.settings import Settings, load

OWN = """
[[price]]
model = "house-model"
effective_from = 2026-01-01
source = "our contract"
verified_on = 2026-01-02
standard = { input = "2.5", cached = "0.25", output = "15" }
long = { input = "5", cached = "0.5", output = "22.5" }
flex = "1/2"

[[price]]
model = "house-model"
effective_from = 2026-06-01
source = "our contract"
standard = { input = "2", cached = "0.2", output = "12" }

[[price]]
model = "ft:house-model"
effective_from = 2026-01-01
source = "our contract"
standard = { input = "0.3", output = "1.2" }
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with prices of the user's own."""
    (tmp_path / "own.toml").write_text(OWN)
    return load({"FAREBOX_PRICES": str(tmp_path / "own.toml")}, default_file="/nonexistent")


@pytest.fixture
def ours() -> Settings:
    """Settings with the prices that ship."""
    return load({}, default_file="/nonexistent")


def listed(
    capsys: pytest.CaptureFixture[str], settings: Settings, on: str | None = "2026-03-01", tier: str = "default"
) -> list[dict[str, Any]]:
    list_prices(settings, on, tier, Format.JSON)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def shown(capsys: pytest.CaptureFixture[str], settings: Settings, model: str) -> list[dict[str, Any]]:
    assert show_price(settings, model, Format.JSON)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# ── the list ────────────────────────────────────────────────────────────────────


def test_a_model_s_row_says_its_rates_per_million_and_where_they_were_read(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    rows = [row for row in listed(capsys, settings) if row["model"] == "house-model"]
    row = {
        "model": "house-model",
        "tier": "default",
        "input_per_1m": "2.5",
        "cached_per_1m": "0.25",
        "write_30m_per_1m": None,
        "write_12h_per_1m": None,
        "output_per_1m": "15",
        "over": "",
        "since": "2026-01-01",
        "verified": "2026-01-02",
        "source": "our contract",
        "note": "",
    }
    long = {"input_per_1m": "5", "cached_per_1m": "0.5", "output_per_1m": "22.5", "over": "over 272,000 input tokens"}
    assert [{name: found[name] for name in row} for found in rows] == [row, row | long]
    assert rows[0]["list"] == rows[1]["list"] != "farebox"


@pytest.mark.parametrize(
    ("on", "tier", "expected"),
    [
        ("2025-12-31", "default", []),
        ("2026-05-31", "default", ["15", "22.5"]),
        ("2026-06-01", "default", ["12"]),
        ("2026-03-01", "flex", ["7.5", "11.25"]),
        ("2026-03-01", "priority", []),
        (None, "default", ["12"]),
    ],
)
def test_the_prices_of_a_day_and_a_tier(
    capsys: pytest.CaptureFixture[str], settings: Settings, on: str | None, tier: str, expected: list[str]
) -> None:
    rows = [row for row in listed(capsys, settings, on, tier) if row["model"] == "house-model"]
    assert [row["output_per_1m"] for row in rows] == expected


def test_the_user_s_own_price_is_the_one_in_force(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN.replace("house-model", "gpt-4o"))
    own = load({"FAREBOX_PRICES": str(tmp_path / "own.toml")}, default_file="/nonexistent")
    rows = {row["model"]: row for row in listed(capsys, own)}
    assert rows["gpt-4o"]["source"] == rows["ft:gpt-4o"]["source"] == "our contract"
    assert rows["gpt-4o-mini"]["list"] == "farebox"


def test_what_ships_lists_models_once_each_in_order_with_their_source(
    capsys: pytest.CaptureFixture[str], ours: Settings
) -> None:
    rows = listed(capsys, ours, "2026-11-01")
    plain = [row["model"] for row in rows if not row["over"]]
    assert plain == sorted({*plain})
    assert {"gpt-4o", "gpt-4o-mini", "gpt-5.4", "text-embedding-3-small", "ft:gpt-4o-mini"} <= {*plain}
    assert all(row["source"] and row["list"] for row in rows)
    gpt_4o = next(row for row in rows if row["model"] == "gpt-4o")
    assert (gpt_4o["input_per_1m"], gpt_4o["cached_per_1m"], gpt_4o["output_per_1m"]) == ("2.5", "1.25", "10")


def test_a_table_and_csv_have_the_same_rows(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    rows = listed(capsys, settings)
    list_prices(settings, "2026-03-01", "default", Format.CSV)
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["model"] for row in table] == [row["model"] for row in rows]
    assert [row["output_per_1m"] for row in table] == [row["output_per_1m"] or "" for row in rows]
    list_prices(settings, "2026-03-01", "default", Format.TABLE)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(rows) + 1
    assert next(line for line in lines if line.startswith("house-model")).split()[1:6] == [
        "2.5",
        "0.25",
        "–",
        "–",
        "15",
    ]


def test_a_tier_that_nobody_has(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    list_prices(settings, None, "gold", Format.TABLE)
    assert capsys.readouterr().out.strip() == "No model has a price at tier gold on that day."


# ── one model ───────────────────────────────────────────────────────────────────


def test_a_rate_is_shown_per_thousand_and_per_million(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    rows = shown(capsys, settings, "house-model")
    prices = {(row["since"], row["tier"], row["unit"], row["context"]): row for row in rows}
    over = "over 272,000 input tokens"
    expected = {
        ("2026-01-01", "default", "input_text_tokens", ""): ("0.0025", "2.5"),
        ("2026-01-01", "default", "input_cached_text_tokens", ""): ("0.00025", "0.25"),
        ("2026-01-01", "default", "output_text_tokens", ""): ("0.015", "15"),
        ("2026-01-01", "default", "output_text_tokens", over): ("0.0225", "22.5"),
        ("2026-01-01", "flex", "output_text_tokens", ""): ("0.0075", "7.5"),
        ("2026-06-01", "default", "output_text_tokens", ""): ("0.012", "12"),
    }
    for row, (per_1k, per_1m) in expected.items():
        assert (prices[row]["usd_per_1k"], prices[row]["usd_per_1m"]) == (per_1k, per_1m), row
        assert prices[row]["source"] == "our contract"


@pytest.mark.parametrize(
    ("name", "stands_for"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("ft:gpt-4o-mini-2024-07-18:acme:support:Ab12Cd34", "ft:gpt-4o-mini-2024-07-18"),
        ("ft:house-model-2026-02-03:acme::1", "ft:house-model"),
    ],
)
def test_a_name_as_openai_spells_it_finds_its_price(
    capsys: pytest.CaptureFixture[str], settings: Settings, name: str, stands_for: str
) -> None:
    rows = shown(capsys, settings, name)
    assert stands_for.startswith(rows[0]["model"])
    assert rows[0]["model"].startswith("ft:") == name.startswith("ft:")


def test_what_is_not_counted_in_tokens_shows_its_own_measure(
    capsys: pytest.CaptureFixture[str], ours: Settings
) -> None:
    assert show_price(ours, "whisper-1", Format.TABLE)
    title, heads, row, *_ = capsys.readouterr().out.splitlines()
    assert title.startswith("whisper-1, price book ")
    assert "rate usd" in heads
    assert row.split()[2:8] == ["audio_seconds", "–", "–", "–", "0.006", "60"]


def test_a_model_that_nobody_knows_is_said_so(capsys: pytest.CaptureFixture[str], ours: Settings) -> None:
    for form in Format:
        assert not show_price(ours, "gpt-9-imaginary", form)
        assert "gpt-9" not in capsys.readouterr().out


def test_prices_are_those_of_the_upstream_s_host(capsys: pytest.CaptureFixture[str]) -> None:
    regional = load({"FAREBOX_UPSTREAM": "https://EU.api.openai.com:443"}, default_file="/nonexistent")
    row = next(row for row in listed(capsys, regional, "2026-10-30") if row["model"] == "gpt-5.4")
    assert (row["input_per_1m"], row["output_per_1m"]) == ("2.75", "16.5")
    assert row["terms"].startswith("11/10 × list: regional processing; https://")
    assert row["unverified"] is True
    assert show_price(regional, "gpt-5.4", Format.TABLE)
    assert "11/10 × list: regional processing" in capsys.readouterr().out


def test_what_is_open_about_a_price_is_said(capsys: pytest.CaptureFixture[str], ours: Settings) -> None:
    def sol(on: str) -> dict[str, Any]:
        return next(row for row in listed(capsys, ours, on) if row["model"] == "gpt-5.6-sol" and not row["over"])

    assert (sol("2026-11-21")["unverified"], sol("2026-11-21")["promised_until"]) == (False, "2026-11-21")
    assert (sol("2026-11-22")["unverified"], sol("2026-08-20")["unverified"]) == (True, False)
    rows = [row for row in shown(capsys, ours, "gpt-4o-2024-08-06") if row["list"] == "farebox"]
    assert {(row["tier"], row["unverified"]) for row in rows} == {
        ("default", False), ("batch", True), ("priority", False),
    }  # fmt: skip
    assert show_price(ours, "gpt-4o", Format.TABLE)
    assert "unverified: no cached price is listed for batch (batch)" in capsys.readouterr().out
    assert show_price(ours, "gpt-4o", Format.CSV)
    table = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert {row["unverified_reason"] for row in table} == {"", "no cached price is listed for batch"}


def test_the_day_on_which_a_model_retires_is_shown(capsys: pytest.CaptureFixture[str], ours: Settings) -> None:
    rows = {row["model"]: row["retires"] for row in listed(capsys, ours, "2026-10-30")}
    assert (rows["gpt-4o-mini"], rows["ft:gpt-4.1"], rows["gpt-5.4"]) == ("2027-01-14", "2027-01-14", None)
    assert show_price(ours, "whisper-1", Format.TABLE)
    assert capsys.readouterr().out.splitlines()[0].rstrip().endswith(", retires on 2027-02-26")


# ── what is wrong ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("on", ["yesterday", "2026-13-01", "2026"])
def test_a_day_that_is_none(ours: Settings, on: str) -> None:
    with pytest.raises(ValueError, match=f"^{on!r} is not a date"):
        list_prices(ours, on, "default", Format.JSON)


@pytest.mark.parametrize("content", ["not toml", '[[price]]\nmodel = "a"', '[[price]]\nmodel = "a"\nstandard = 1.5'])
def test_a_price_file_that_is_wrong_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "own.toml").write_text(content)
    wrong = load({"FAREBOX_PRICES": str(tmp_path / "own.toml")}, default_file="/nonexistent")
    with pytest.raises(ValueError, match=r"own\.toml"):
        show_price(wrong, "a", Format.JSON)
