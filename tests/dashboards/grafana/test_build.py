"""The dashboards as Grafana reads them: the committed JSON is what is generated, and keeps to the house's rules."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard as Model
from promql import exposed, named, recorded

from dashboards.grafana.build import DASHBOARDS, FOLDER, text, write

COMMITTED = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
PANELS = [
    pytest.param(panel, id=f"{uid}: {panel['title']}")
    for uid, dashboard in COMMITTED.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
UNITS = {"currencyUSD", "percentunit", "s", "short", "reqps", "reqpm", "dtdurations"}
THEME_COLOURS = {"green", "orange", "red", "blue"}


def test_the_committed_dashboards_are_those_that_are_generated(tmp_path: Path) -> None:
    """When this fails: `python -m dashboards.grafana.build`."""
    write(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in FOLDER.iterdir()
    }


@pytest.mark.parametrize("uid", COMMITTED)
def test_grafana_s_own_model_understands_every_word(uid: str) -> None:
    """The SDK's models drop what they do not know: all that was written must come back."""
    register_default_plugins()
    again = json.loads(json.dumps(Model.from_json(json.loads(json.dumps(COMMITTED[uid]))), cls=JSONEncoder))
    assert lost(COMMITTED[uid], again) == []


def lost(written: Any, again: Any, at: str = "") -> list[str]:
    """Where something that was written did not come back."""
    if isinstance(written, dict) and isinstance(again, dict):
        return [
            place
            for name, value in written.items()
            for place in (lost(value, again[name], f"{at}.{name}") if name in again else [f"{at}.{name}"])
        ]
    if isinstance(written, list) and isinstance(again, list) and len(written) == len(again):
        pairs = enumerate(zip(written, again, strict=True))
        return [place for number, pair in pairs for place in lost(*pair, f"{at}[{number}]")]
    return [] if written == again else [at]


@pytest.mark.parametrize("uid", COMMITTED)
def test_a_dashboard_says_what_it_is_and_chooses_its_source(uid: str) -> None:
    dashboard = COMMITTED[uid]
    assert dashboard["uid"] == uid
    assert dashboard["schemaVersion"] == 41
    assert dashboard["title"].startswith("Farebox: ")
    assert dashboard["description"].endswith("?")
    source, *variables = dashboard["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    for variable in variables:
        assert named(variable["query"]["query"]) <= exposed()
        assert variable["includeAll"]
    used = set(re.findall(r"\$(\w+)", json.dumps([panel.get("targets") for panel in dashboard["panels"]])))
    assert used - {"__range", "__rate_interval"} == {variable["name"] for variable in variables}


@pytest.mark.parametrize("uid", COMMITTED)
def test_ids_are_unique_and_so_are_questions(uid: str) -> None:
    panels = COMMITTED[uid]["panels"]
    assert Counter(panel["id"] for panel in panels).most_common(1)[0][1] == 1
    questions = [panel["title"] for panel in panels if panel["type"] != "row"]
    assert len({*questions}) == len(questions)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_asks_one_question_and_explains_it(panel: dict[str, Any]) -> None:
    assert len(panel["title"]) > 5
    assert len(panel["description"]) > 20
    assert panel["description"] != panel["title"]
    assert panel["datasource"]["uid"] == "${datasource}"
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"] in UNITS
    assert defaults["noValue"]
    assert {step["color"] for step in defaults["thresholds"]["steps"]} <= THEME_COLOURS


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_names_only_metrics_that_there_are(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert named(target["expr"])
        assert named(target["expr"]) <= exposed() | recorded()


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_s_windows_follow_the_view(panel: dict[str, Any]) -> None:
    """A number over time looks back by `$__rate_interval`; one figure for the chosen time by `$__range`."""
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        windows = set(re.findall(r"\[(.*?)\]", re.sub(r'"[^"]*"', "", target["expr"])))
        assert windows <= ({"$__rate_interval"} if panel["type"] == "timeseries" else {"$__rate_interval", "$__range"})
        counters = {name for name in named(target["expr"]) if name.endswith(("_total", "_bucket"))}
        assert not counters or windows, "a counter's height says nothing"


@pytest.mark.parametrize("panel", PANELS)
def test_series_are_called_by_what_they_are_grouped_by(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert re.search(rf"by \([^)]*\b{label}\b", target["expr"])
        assert target["legendFormat"]


@pytest.mark.parametrize("panel", PANELS)
def test_gauges_that_are_equal_on_every_replica_are_not_added_up(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        for metric in re.findall(r"farebox_(?:spend|budget_(?!refusals))\w+", target["expr"]):
            before = target["expr"].split(metric)[0]
            assert re.search(r"max by \([^)]*\) \($", before), metric


def test_every_dashboard_is_generated() -> None:
    assert {*COMMITTED} == {dashboard.uid for dashboard in DASHBOARDS}
    assert all(text(dashboard).endswith("}\n") for dashboard in DASHBOARDS)


def test_provisioning_points_at_what_compose_mounts() -> None:
    root = FOLDER.parent.parent.parent
    compose = (root / "docker-compose.yml").read_text()
    provider = (FOLDER.parent / "provisioning" / "dashboards" / "farebox.yml").read_text()
    path = re.search(r"path: (\S+)", provider)
    assert path is not None
    assert f"./dashboards/grafana/json:{path[1]}:ro" in compose
    home = re.search(rf"DEFAULT_HOME_DASHBOARD_PATH: {path[1]}/([\w-]+)\.json", compose)
    assert home is not None
    assert home[1] in COMMITTED
