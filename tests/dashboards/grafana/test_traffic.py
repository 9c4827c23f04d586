"""*Traffic and health*: every way in which something may not be counted has its panel."""

import pytest

from dashboards.grafana.traffic import DASHBOARD

SHOWN = " ".join(query.expr for panel in DASHBOARD.panels for query in panel.queries)


@pytest.mark.parametrize(
    "metric",
    [
        "farebox_requests_total",
        "farebox_request_duration_seconds_bucket",
        "farebox_time_to_first_byte_seconds_bucket",
        "farebox_overhead_seconds_bucket",
        "farebox_inflight_requests",
        "farebox_open_streams",
        "farebox_unmetered_requests_total",
        "farebox_estimated_requests_total",
        "farebox_journal_pending_records",
        "farebox_journal_lag_seconds",
        "farebox_build_info",
    ],
)
def test_it_shows(metric: str) -> None:
    assert metric in SHOWN


def test_quiet_hours_have_no_quantile_instead_of_a_wrong_one() -> None:
    quantiles = [query.expr for panel in DASHBOARD.panels for query in panel.queries if "quantile" in query.expr]
    assert len(quantiles) == 10
    assert all(expression.endswith(">= 0") for expression in quantiles), "NaN is not zero or more"
