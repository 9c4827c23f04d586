"""Where alerts go: both configurations are whole, and every alert has somebody who gets it."""

from pathlib import Path

import pytest
from programs import program, said

FOLDER = Path(__file__).parent.parent.parent / "dashboards" / "alertmanager"


@pytest.mark.parametrize("name", ["alertmanager.yml", "slack.yml"])
def test_alertmanager_understands_it(name: str) -> None:
    assert "SUCCESS" in said(program("amtool"), "check-config", FOLDER / name)


@pytest.mark.parametrize(
    ("configuration", "alert", "severity", "receiver"),
    [
        ("alertmanager.yml", "FareboxBudgetSpent", "critical", "webhook"),
        ("alertmanager.yml", "FareboxUnpricedModel", "warning", "webhook"),
        ("slack.yml", "FareboxBudgetNearlySpent", "warning", "budgets"),
        ("slack.yml", "FareboxDown", "critical", "platform"),
        ("slack.yml", "FareboxUnpricedModel", "warning", "platform"),
    ],
)
def test_who_gets_an_alert(configuration: str, alert: str, severity: str, receiver: str) -> None:
    file = f"--config.file={FOLDER / configuration}"
    labels = (f"alertname={alert}", f"severity={severity}")
    assert said(program("amtool"), "config", "routes", "test", file, *labels).split()[-1] == receiver


def test_no_secret_stands_in_them() -> None:
    for path in FOLDER.iterdir():
        assert "hooks.slack.com" not in path.read_text()
