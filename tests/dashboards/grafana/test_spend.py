"""*Spend*: its headline figures are the ledger's."""

from dashboards.grafana.spend import DASHBOARD

EXPRESSIONS = {panel.title: panel.queries[0].expr for panel in DASHBOARD.panels}


def test_what_was_spent_is_the_ledger_s_and_not_the_counters() -> None:
    for title in ("Spent today", "Spent this month", "Forecast to the end of the month"):
        assert "farebox_spend_usd{window=" in EXPRESSIONS[title]
        assert "farebox_cost_usd_total" not in EXPRESSIONS[title]


def test_today_stands_beside_the_same_hours_of_other_days() -> None:
    panel = next(panel for panel in DASHBOARD.panels if panel.title == "Is today like yesterday?")
    assert [query.legend for query in panel.queries] == ["today", "yesterday", "a week ago"]
    today, yesterday, last_week = (query.expr for query in panel.queries)
    assert yesterday.replace(" offset 1d", "") == last_week.replace(" offset 1w", "") == today


def test_every_figure_of_money_is_dollars() -> None:
    for panel in DASHBOARD.panels:
        money = "farebox_cost" in panel.queries[0].expr or "farebox_spend" in panel.queries[0].expr
        assert (panel.unit == "currencyUSD") == money, panel.title
