"""How panels are laid out and worded in Grafana's model."""

from itertools import combinations
from typing import Any

import pytest

from dashboards.grafana.build import DASHBOARDS
from dashboards.grafana.panels import COUNT, MODEL, USD, Dashboard, Panel, Query, course, figure, ranking, table

ONE = Query("up", "{{instance}}")


def laid_out(*panels: Panel) -> list[tuple[str, int, int]]:
    """Title, x and y of the panels of a dashboard with one row."""
    page = Dashboard("one", "One", "One?", (), {"row": panels}).json([])
    places = [(panel["title"], panel["gridPos"]) for panel in page["panels"]]
    return [(title, place["x"], place["y"]) for title, place in places]


def test_panels_stand_side_by_side_until_the_row_is_full() -> None:
    panels = [course(title, "?", COUNT, ONE, width=12) for title in ("a", "b", "c")]
    assert laid_out(*panels) == [("row", 0, 0), ("a", 0, 1), ("b", 12, 1), ("c", 0, 9)]


def test_the_next_line_begins_below_the_tallest_panel() -> None:
    low, high, next_line = figure("low", "?", COUNT, "up"), course("high", "?", COUNT, ONE), ranking("n", "?", USD, ONE)
    assert laid_out(low, high, next_line)[1:] == [("low", 0, 1), ("high", 4, 1), ("n", 16, 1)]
    assert laid_out(low, high, course("n", "?", COUNT, ONE))[3] == ("n", 0, 9)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.uid)
def test_no_panel_stands_on_another_or_beside_the_grid(dashboard: Dashboard) -> None:
    places = [panel["gridPos"] for panel in dashboard.json(DASHBOARDS)["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def json_of(panel: Panel) -> dict[str, Any]:
    return panel.json(1, 0, 0)


def test_a_table_names_its_columns_as_grafana_does() -> None:
    two = json_of(table("t", "?", ("budget",), {"Limit": (USD, "a"), "Spent": (USD, "b")}))
    assert two["transformations"][1]["options"]["renameByName"] == {
        "Value #A": "Limit",
        "Value #B": "Spent",
        "budget": "Budget",
    }
    one = json_of(table("t", "?", ("price_book",), {"Replicas": (COUNT, "a")}))
    names = {"Value": "Replicas", "price_book": "Price book"}  # a single query's values have no letter
    assert one["transformations"][1]["options"]["renameByName"] == names
    assert {target["format"] for target in two["targets"]} == {"table"}


def test_thresholds_begin_with_what_is_calm() -> None:
    steps = json_of(figure("f", "?", COUNT, "up", steps=((5, "red"),)))["fieldConfig"]["defaults"]["thresholds"]
    assert steps["steps"] == [{"value": None, "color": "green"}, {"value": 5, "color": "red"}]


def test_all_of_a_variable_also_means_series_without_the_label() -> None:
    assert MODEL.json()["allValue"] == ".*"
    assert MODEL.json()["query"]["query"] == "label_values(farebox_spend_usd, base_model)"


def test_links_lead_to_the_other_dashboards() -> None:
    for dashboard in DASHBOARDS:
        links = {link["url"] for link in dashboard.json(DASHBOARDS)["links"]}
        assert links == {f"/d/{other.uid}" for other in DASHBOARDS} - {f"/d/{dashboard.uid}"}
