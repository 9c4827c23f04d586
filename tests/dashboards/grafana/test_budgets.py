"""*Budgets*: what is left, and the same pace that the alerts go by."""

import re

from promql import RULES

from dashboards.grafana.budgets import DASHBOARD


def test_the_first_panel_says_all_of_every_budget() -> None:
    first = next(iter(DASHBOARD.panels))
    headings = [query.legend for query in first.queries]
    assert headings == ["Limit", "Spent", "Held", "Left", "Per hour", "Runs out in", "Resets"]


def test_pace_and_exhaustion_are_those_of_the_alerts() -> None:
    alerts = RULES.read_text().partition("- alert: FareboxBudgetBurnsFast")[2]
    shown = " ".join(query.expr for panel in DASHBOARD.panels for query in panel.queries)
    assert "farebox:budget_exhausted_in_seconds:rate1h" in shown
    assert "farebox:budget_exhausted_in_seconds:rate1h" in alerts
    assert not re.search(r"rate\(farebox_budget_spent", shown), "a gauge is read like a counter in one place only"


def test_a_budget_without_refusals_shows_zero_of_them() -> None:
    panel = next(panel for panel in DASHBOARD.panels if panel.title == "Which budgets refuse calls?")
    assert panel.queries[0].expr.endswith('or 0 * max by (budget) (farebox_budget_limit_usd{budget=~"$budget"})')
