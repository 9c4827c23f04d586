"""What Prometheus is told: its configuration, the rules, and what the rules say of made-up courses."""

import re

import pytest
from programs import program, said
from promql import RULES, exposed, named, recorded

from dashboards.grafana.build import DASHBOARDS

FOLDER = RULES.parent
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())


def test_prometheus_understands_its_configuration() -> None:
    assert "SUCCESS" in said(program("promtool"), "check", "config", FOLDER / "prometheus.yml")


def test_rules_say_of_made_up_courses_what_they_should() -> None:
    assert "SUCCESS" in said(program("promtool"), "test", "rules", FOLDER / "rules_test.yml")


def test_rules_name_only_metrics_that_there_are() -> None:
    expressions = re.findall(r"expr: (.*?)\n(?:        \w|      -|\n)", RULES.read_text() + "\n\n", re.DOTALL)
    assert len(expressions) == len(ALERTS) + len(recorded())
    for expression in expressions:
        assert named(expression) <= exposed() | recorded(), expression


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_tested_both_silent_and_firing(alert: str) -> None:
    tests = (FOLDER / "rules_test.yml").read_text()
    firing = re.findall(rf"alertname: {alert}\n +exp_alerts", tests)
    silent = re.findall(rf"\{{eval_time: \w+, alertname: {alert}\}}", tests)
    assert firing
    assert silent or alert in {"FareboxManyEstimates", "FareboxErrors"}  # silent for the labels that are not expected


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_how_bad_it_is_and_what_to_do(alert: str) -> None:
    text = re.split(r"\n *- alert: ", RULES.read_text())[1 + ALERTS.index(alert)]
    assert re.search(r"labels: \{severity: (critical|warning|info)\}", text)
    assert "summary: " in text
    assert "description: " in text
    for uid in re.findall(r"dashboard: /d/([\w-]+)", text):
        assert uid in {dashboard.uid for dashboard in DASHBOARDS}


def test_the_data_source_knows_the_scrape_interval() -> None:
    """Grafana makes `$__rate_interval` of it: one that is too long hides what happens, a shorter one shows gaps."""
    scraped = re.search(r"scrape_interval: (\S+)", (FOLDER / "prometheus.yml").read_text())
    source = FOLDER.parent / "grafana" / "provisioning" / "datasources" / "prometheus.yml"
    told = re.search(r"timeInterval: (\S+)", source.read_text())
    assert scraped is not None
    assert told is not None
    assert scraped[1] == told[1]
