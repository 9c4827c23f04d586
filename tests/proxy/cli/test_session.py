import sqlite3
from pathlib import Path

import pytest
import typer

from billing.store import Store
from proxy.cli.session import ask_ledger, fail, settings
from proxy.settings import TABLE


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without settings."""
    monkeypatch.chdir(tmp_path)
    for setting in TABLE:
        monkeypatch.delenv(setting.variable, raising=False)


def test_a_flag_is_a_setting() -> None:
    assert settings(database="sqlite:///mine.db").database == "sqlite:///mine.db"
    assert settings(database=None).database == "sqlite:///farebox.db"


def test_a_wrong_setting_ends_the_command_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        settings(listen="nowhere")
    assert ended.value.exit_code == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("farebox: FAREBOX_LISTEN='nowhere' (flag): ")


@pytest.mark.parametrize("status", [1, 2])
def test_a_failure_has_its_status(status: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        fail("it is so", status)
    assert ended.value.exit_code == status
    assert capsys.readouterr().err == "farebox: it is so\n"


def test_the_ledger_is_made_where_it_is_not_there_yet_and_asked() -> None:
    found = []

    async def question(store: Store) -> None:
        found.append(await store.registry.revision())

    ask_ledger(settings(), question)
    assert found == [0]
    assert Path("farebox.db").is_file()


def test_a_question_may_end_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    async def question(_: Store) -> None:
        fail("there is none", 1)

    with pytest.raises(typer.Exit):
        ask_ledger(settings(), question)
    assert capsys.readouterr().err == "farebox: there is none\n"
    sqlite3.connect("farebox.db", isolation_level=None).close()


def test_a_ledger_that_cannot_be_read_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("farebox.db").write_text("this is no database, and long enough to be seen as none" * 50)

    async def question(_: Store) -> None:
        raise AssertionError("it is not asked")

    with pytest.raises(typer.Exit) as ended:
        ask_ledger(settings(), question)
    assert ended.value.exit_code == 1
    assert "the ledger sqlite:///farebox.db cannot be read" in capsys.readouterr().err
