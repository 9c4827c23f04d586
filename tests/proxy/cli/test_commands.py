import asyncio
import csv
import io
import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome, charge
from billing.prices import Price, PriceBook, PriceList
from billing.rating import Rate
from billing.store import Store
from billing.usage import Reading, Unit, Usage
from proxy.cli.commands import app
from proxy.settings import TABLE

START = datetime(2026, 10, 31, 22, 30, tzinfo=UTC)
BOOK = PriceBook(
    (
        PriceList(
            "test",
            tuple(
                Price(model, "default", date.min, {Unit.INPUT_TEXT: Rate(pico), Unit.OUTPUT_TEXT: Rate(4 * pico)})
                for model, pico in [("gpt-4o", 2_500_000), ("gpt-4o-mini", 150_000)]
            ),
        ),
    ),
    "test-1",
)


def made(number: int, model: str, *, hours: int = 0, basis: Basis = Basis.REPORTED, **who: Any) -> Charge:
    """A charge of 1,000 input and 10 output tokens, so many hours after the start."""
    at = START + timedelta(hours=hours)
    call = Call(f"fbx_{number}", at, "chat", "POST", "/v1/chat/completions", Attribution(**who), "test", model)
    reading = Reading(Usage({Unit.INPUT_TEXT: 1000, Unit.OUTPUT_TEXT: 10}), model, response_id=f"chatcmpl-{number}")
    known = basis is not Basis.UNKNOWN
    return charge(call, Outcome(at, basis, 200, reading if known else None, reason=None if known else "cut"), BOOK)


LEDGER = (
    made(1, "gpt-4o", key="fp_1", project="proj_1", user="u-1"),
    made(2, "gpt-4o", hours=1, key="fp_1", project="proj_2"),
    made(3, "gpt-4o-mini", hours=2, key="fp_2", project="proj_1", tags={"job": "nightly"}),
    made(4, "gpt-4o-mini", hours=30, key="fp_2", basis=Basis.UNKNOWN),
    made(5, "[/]", hours=31, key="fp_2"),  # a name that nobody knows, and no markup
)


class Farebox:
    """The command line, beside a ledger."""

    def run(self, *arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(app, arguments, env=environment)

    def out(self, *arguments: str, **environment: str) -> str:
        """What a command that is done wrote; nothing may stand on standard error."""
        result = self.run(*arguments, **environment)
        assert (result.exit_code, result.stderr) == (0, "")
        return result.stdout

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out(*arguments, "--format", "json").splitlines()]

    def ids(self, *arguments: str) -> list[int]:
        """The charges that are listed, by their numbers."""
        return [int(row["id"].removeprefix("fbx_")) for row in self.json("charges", *arguments)]


@pytest.fixture
def farebox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Farebox:
    """The command line in a folder of its own, without a ledger."""
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)
    return Farebox()


@pytest.fixture
def filled(farebox: Farebox) -> Farebox:
    """The command line beside a ledger with charges."""

    async def fill() -> None:
        store = Store("sqlite:///farebox.db")
        await store.create()
        await store.post(LEDGER)
        await store.close()

    asyncio.run(fill())
    return farebox


# ── config ──────────────────────────────────────────────────────────────────────


def test_config_says_what_is_in_force_and_where_it_came_from(farebox: Farebox) -> None:
    Path("farebox.toml").write_text('timezone = "Europe/Paris"\nreplica = "file"')
    environment = {"OPENAI_API_KEY": "sk-canary", "FAREBOX_ADMIN_TOKEN": "canary", "FAREBOX_REPLICA": "environment"}
    out = farebox.out("config", "--format", "json", **environment)
    rows = {row["setting"]: row for row in map(json.loads, out.splitlines())}
    assert list(rows) == [setting.variable for setting in TABLE]
    assert {name: (row["value"], row["source"]) for name, row in rows.items() if row["source"] != "default"} == {
        "OPENAI_API_KEY": ("***", "environment"),
        "FAREBOX_ADMIN_TOKEN": ("***", "environment"),
        "FAREBOX_REPLICA": ("environment", "environment"),
        "FAREBOX_TIMEZONE": ("Europe/Paris", "farebox.toml"),
    }
    assert "canary" not in out
    table = farebox.out("config", **environment)
    assert "canary" not in table
    assert len(table.splitlines()) == len(TABLE) + 1


WRONG_SETTINGS = [
    ({"FAREBOX_LISTEN": "8080"}, "", "FAREBOX_LISTEN='8080' (environment): must be HOST:PORT"),
    ({"FAREBOX_UPSTREEM": "x"}, "", "FAREBOX_UPSTREEM is not a setting; did you mean FAREBOX_UPSTREAM?"),
    ({"FAREBOX_CONFIG": "none.toml"}, "", "FAREBOX_CONFIG: there is no file none.toml"),
    ({}, "listne = 1", "farebox.toml: listne is not a setting; did you mean listen?"),
    ({"FAREBOX_CONSOLE": "0.0.0.0:1"}, "", "FAREBOX_CONSOLE=0.0.0.0:1 can be reached from other machines: set"),
]


@pytest.mark.parametrize(("environment", "file", "says"), WRONG_SETTINGS)
@pytest.mark.parametrize("command", ["config", "charges", "report", "prices list", "prices show gpt-4o", "serve"])
def test_a_wrong_setting_stops_every_command_with_one_clear_line(
    farebox: Farebox, command: str, environment: dict[str, str], file: str, says: str
) -> None:
    Path("farebox.toml").write_text(file)
    result = farebox.run(*command.split(), **environment)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"farebox: {says}")
    assert result.stderr.count("\n") == 1
    assert not Path("farebox.db").exists()


# ── charges ─────────────────────────────────────────────────────────────────────


def test_an_empty_ledger_says_how_to_begin(farebox: Farebox) -> None:
    for command in ("charges", "report"):
        assert (
            farebox.out(command).strip().startswith("No charges yet. Point an app at Farebox: OPENAI_BASE_URL=http://")
        )
        assert farebox.out(command, "--format", "json") == ""
        assert len(farebox.out(command, "--format", "csv").splitlines()) == 1


def test_charges_as_json_lines_oldest_first(filled: Farebox) -> None:
    rows = filled.json("charges")
    assert [row["id"] for row in rows] == ["fbx_1", "fbx_2", "fbx_3", "fbx_4", "fbx_5"]
    promised = {
        "id", "started_at", "ended_at", "operation", "method", "path", "requested_model", "model", "base_model",
        "service_tier", "status", "streamed", "client_gone", "basis", "usage", "lines", "unpriced", "cost_usd",
        "cost_pico", "price_book", "key", "team", "project", "user", "tags", "response_id", "upstream_request_id",
        "replica",
    }  # fmt: skip
    assert promised <= {*rows[0]}
    assert (rows[0]["cost_usd"], rows[0]["cost_pico"], rows[0]["response_id"]) == (
        "0.0026",
        2_600_000_000,
        "chatcmpl-1",
    )
    assert rows[0]["usage"] == {"input_text_tokens": 1000, "output_text_tokens": 10}
    assert rows[2]["tags"] == {"job": "nightly"}
    assert (rows[3]["basis"], rows[3]["cost_usd"], rows[3]["cost_pico"]) == ("unknown", None, None)
    assert (rows[4]["cost_usd"], rows[4]["unpriced"]) == (None, rows[0]["usage"])


def test_charges_as_a_table_and_as_csv(filled: Farebox) -> None:
    head, *lines = filled.out("charges").splitlines()
    assert head.split()[:4] == ["started", "at", "operation", "model"]
    assert [line.split()[2] for line in lines] == ["gpt-4o", "gpt-4o", "gpt-4o-mini", "gpt-4o-mini", "[/]"]
    assert "0.0026" in lines[0]
    assert lines[3].split()[-2:] == ["–", "fbx_4"]
    rows = list(csv.DictReader(io.StringIO(filled.out("charges", "--format", "csv"))))
    assert [row["cost_usd"] for row in rows] == ["0.0026", "0.0026", "0.000156", "", ""]
    assert rows[0]["usage"] == "input_text_tokens=1000 output_text_tokens=10"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--limit 2", [4, 5]),
        ("--limit 99", [1, 2, 3, 4, 5]),
        ("--model gpt-4o", [1, 2]),
        ("--model gpt-4o --limit 1", [2]),
        ("--key fp_2 --basis reported", [3, 5]),
        ("--basis unknown", [4]),
        ("--project proj_1", [1, 3]),
        ("--user u-1", [1]),
        ("--operation embeddings", []),
        ("--team nobody", []),
        ("--from 2026-11-01", [3, 4, 5]),
        ("--to 2026-11-01", [1, 2]),
        ("--from 2026-10-31T23:30 --to 2026-11-01T00:30", [2]),
        ("--from 2026-10-31T23:30:00.000001Z --to 2026-11-02", [3]),
    ],
)
def test_charges_are_narrowed(filled: Farebox, options: str, expected: list[int]) -> None:
    assert filled.ids(*options.split()) == expected


def test_dates_are_those_of_the_configured_zone(filled: Farebox) -> None:
    Path("farebox.toml").write_text('timezone = "Asia/Tokyo"')
    assert filled.ids("--to", "2026-11-02") == [1, 2, 3]
    assert filled.ids("--from", "2026-11-01") == [1, 2, 3, 4, 5]
    rows = filled.json("report", "--by", "", "--interval", "day")
    assert [(row["day"], row["requests"]) for row in rows] == [("2026-11-01", 3), ("2026-11-02", 2)]


def test_another_ledger_can_be_named(filled: Farebox) -> None:
    assert filled.ids("--database", "sqlite:///other.db") == []
    assert len(filled.json("report", "--database", "sqlite:///farebox.db")) == 3


# ── report ──────────────────────────────────────────────────────────────────────


def test_a_report_sums_up_by_model(filled: Farebox) -> None:
    head, *lines = filled.out("report").splitlines()
    figures = ["requests", "input tokens", "cached tokens", "output tokens", "cost usd", "estimated", "unknown"]
    assert head.split() == " ".join(["model", *figures]).split()
    assert [line.split() for line in lines] == [
        ["gpt-4o", "2", "2,000", "0", "20", "0.0052", "0", "0"],
        ["gpt-4o-mini", "2", "1,000", "0", "10", "0.000156", "0", "1"],
        ["[/]", "1", "1,000", "0", "10", "0", "0", "1"],
        ["total", "5", "4,000", "0", "40", "0.005356", "0", "2"],
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--by key", [(("fp_1",), 2, "0.0052"), (("fp_2",), 3, "0.000156")]),
        ("--by project,model", [
            (("proj_1", "gpt-4o"), 1, "0.0026"), (("proj_2", "gpt-4o"), 1, "0.0026"),
            (("proj_1", "gpt-4o-mini"), 1, "0.000156"), ((None, "[/]"), 1, "0"), ((None, "gpt-4o-mini"), 1, "0"),
        ]),
        ("--by basis --interval month", [
            (("2026-10", "reported"), 2, "0.0052"), (("2026-11", "reported"), 2, "0.000156"),
            (("2026-11", "unknown"), 1, "0"),
        ]),
        ("--by basis --interval hour --to 2026-11-01", [
            (("2026-10-31T22:00", "reported"), 1, "0.0026"), (("2026-10-31T23:00", "reported"), 1, "0.0026"),
        ]),
        ("--by key --from 2026-11-01", [(("fp_2",), 3, "0.000156")]),
    ],
)  # fmt: skip
def test_a_report_by_dimensions_and_interval(
    filled: Farebox, options: str, expected: list[tuple[tuple[str | None, ...], int, str]]
) -> None:
    rows = filled.json("report", *options.split())
    found = [(tuple(row.values())[: len(expected[0][0])], row["requests"], row["cost_usd"]) for row in rows]
    assert found == expected


def test_a_report_as_csv_has_a_row_for_every_group_and_no_total(filled: Farebox) -> None:
    rows = list(csv.DictReader(io.StringIO(filled.out("report", "--by", "key", "--format", "csv"))))
    assert [(row["key"], row["cost_usd"]) for row in rows] == [("fp_1", "0.0052"), ("fp_2", "0.000156")]


# ── wrong usage ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("report --by colour", "--by colour: sums are grouped by team, project, key"),
        ("report --by model,colour", "--by colour: "),
        ("report --interval week", "--interval week: one of hour, day, month"),
        ("report --from yesterday", "'yesterday' is neither a date"),
        ("charges --to 2026-13-01", "'2026-13-01' is neither a date"),
        ("charges --from 0001-01-01T00:00+23:00", "'0001-01-01T00:00+23:00' is neither a date"),
        ("charges --database farebox.db", "FAREBOX_DATABASE='farebox.db' (flag): must be sqlite:///PATH"),
        ("serve --listen nowhere", "FAREBOX_LISTEN='nowhere' (flag): must be HOST:PORT"),
        ("prices list --on tomorrow", "'tomorrow' is not a date"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_clear_line(farebox: Farebox, arguments: str, says: str) -> None:
    result = farebox.run(*arguments.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"farebox: {says}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    ["charges --limit 0", "charges --limit x", "charges --format xml", "nonsense", "charges --nonsense", "prices"],
)
def test_what_is_no_command_ends_with_2_too(farebox: Farebox, arguments: str) -> None:
    assert farebox.run(*arguments.split()).exit_code == 2


@pytest.mark.parametrize(
    ("file", "says"), [("no/such/folder/x.db", "unable to open database file"), ("junk.db", "file is not a database")]
)
def test_a_ledger_that_cannot_be_read_ends_with_1(farebox: Farebox, file: str, says: str) -> None:
    Path("junk.db").write_text("this is no database, whatever its name says\n" * 100)
    for command in ("charges", "report"):
        result = farebox.run(command, "--database", f"sqlite:///{file}")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"farebox: the ledger sqlite:///{file} cannot be read: {says}\n"


# ── prices ──────────────────────────────────────────────────────────────────────


def test_the_price_of_a_model_per_thousand_and_per_million(farebox: Farebox) -> None:
    rows = farebox.json("prices", "show", "ft:gpt-4o-mini-2024-07-18:acme:support:Ab12Cd34")
    plain = {row["unit"]: row for row in rows if (row["tier"], row["list"]) == ("default", "farebox")}
    assert (plain["input_text_tokens"]["usd_per_1k"], plain["input_text_tokens"]["usd_per_1m"]) == ("0.0003", "0.3")
    assert (plain["output_text_tokens"]["usd_per_1k"], plain["output_text_tokens"]["usd_per_1m"]) == ("0.0012", "1.2")
    assert "price book" in farebox.out("prices", "show", "gpt-4o").splitlines()[0]


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_model_without_a_price_ends_with_1(farebox: Farebox, form: str) -> None:
    result = farebox.run("prices", "show", "gpt-9-imaginary", "--format", form)
    assert result.exit_code == 1
    assert "gpt-9-imaginary" not in result.stdout
    assert result.stderr.startswith("farebox: no price is known for gpt-9-imaginary: ")


def test_all_prices(farebox: Farebox) -> None:
    rows = {row["model"]: row for row in farebox.json("prices", "list", "--on", "2026-11-01") if not row["over"]}
    assert rows["gpt-4o"]["input_per_1m"] == "2.5"
    flex = {row["model"] for row in farebox.json("prices", "list", "--tier", "flex")}
    assert "gpt-5.4" in flex
    assert "gpt-4o" not in flex


def test_a_wrong_price_file_ends_with_2(farebox: Farebox) -> None:
    Path("own.toml").write_text("[[price]]\nmodel = 1.5")
    for command in (["prices", "list"], ["prices", "show", "gpt-4o"]):
        result = farebox.run(*command, FAREBOX_PRICES="own.toml")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "own.toml" in result.stderr


# ── as a process ────────────────────────────────────────────────────────────────


def test_a_process_writes_rows_to_standard_output_and_nothing_else(filled: Farebox) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "charges", "--format", "json"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [one.call.id for one in LEDGER]
