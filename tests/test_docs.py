"""The documents name every setting, route, metric and command, and their commands are the real ones."""

import re
from pathlib import Path

import pytest
import typer

from proxy import endpoints, settings
from proxy.cli.commands import app
from proxy.metrics import Metrics

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SIZES_OF_TESTS = re.compile(r"environ\.get\(\"(FAREBOX_TEST_[A-Z]+)\"")


def commands() -> list[str]:
    root = typer.main.get_command(app)
    names = []
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        names += [f"{name} {sub}" for sub in below] if below else [name]
    return names


def endpoint_table(rows: tuple[endpoints.Endpoint, ...]) -> str:
    """Rows of the endpoint table as the documents show them."""
    lines = ["| method | route | operation | billing |", "|---|---|---|---|"]
    lines += [f"| {row.method} | `{row.template}` | {row.operation} | {row.billing.value} |" for row in rows]
    return "\n".join(lines) + "\n\n"


def test_the_tables_of_routes_are_the_endpoint_table() -> None:
    assert endpoint_table(endpoints.COSTLY) in README
    assert endpoint_table(endpoints.TABLE) in (ROOT / "docs" / "endpoints.md").read_text() + "\n"


@pytest.mark.parametrize("setting", settings.TABLE, ids=lambda setting: setting.variable)
def test_every_setting_is_in_the_readme_with_its_default(setting: settings.Setting) -> None:
    row = next((line for line in README.splitlines() if line.startswith(f"| `{setting.variable}` |")), None)
    assert row is not None
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == (f"`{setting.default}`" if setting.default else "–")
    assert cells[2] == setting.meaning


def test_no_setting_is_in_the_readme_that_does_not_exist() -> None:
    known = {setting.variable for setting in settings.TABLE} | {settings.CONFIG_VARIABLE}
    tests = {name for path in (ROOT / "tests").rglob("*.py") for name in SIZES_OF_TESTS.findall(path.read_text())}
    assert set(re.findall(r"\bFAREBOX_[A-Z_]+\b", README)) <= known | tests


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"`farebox {command}" in README


def test_no_command_is_in_the_readme_that_does_not_exist() -> None:
    known = commands()
    for found in re.findall(r"`farebox ([a-z]+(?: [a-z]+)?)", README):
        assert any(command == found or command == found.split()[0] for command in known), found


def test_every_metric_is_in_the_readme() -> None:
    shown = {family.name for family in Metrics(10, "0", "0").registry.collect()}
    named = set(re.findall(r"`(farebox_[a-z_]+)", README))
    for name in shown:
        assert name in {metric.removesuffix("_total").removesuffix("_info") for metric in named}, name
    for metric in named:
        assert metric.removesuffix("_total").removesuffix("_info") in shown, metric


def test_the_two_commands_are_the_makefiles() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in ("run", "test", "demo"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_lock_files_carry_hashes_and_no_address() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock", "tests/e2e/openai-1.lock"):
        text = (ROOT / lock).read_text()
        assert "://" not in text
        pins = re.findall(r"^[a-z0-9._-]+(?:\[[\w,-]+\])?==\S+.*$", text, re.MULTILINE)
        assert pins
        assert all(pin.endswith("\\") for pin in pins), "every pin is followed by its hashes"


def test_every_dependency_earns_its_line() -> None:
    text = (ROOT / "pyproject.toml").read_text().partition("dependencies = [")[2].partition("\n]")[0]
    for name in re.findall(r'"([a-zA-Z0-9-]+)', text):
        assert f"| `{name}` |" in README, name


def test_the_changelog_has_this_version() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()
