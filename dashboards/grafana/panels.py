"""The words that dashboards are written in: a question with its query, and how it is shown. Pure: values in, JSON out.

The JSON is Grafana's classic model, schema 41 (Grafana 11.6 and later). Colours are Grafana's own names and palettes,
which follow the theme, so that everything can be read in dark and in light.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 41
COLUMNS = 24
"""How wide Grafana's grid is."""

USD, SHARE, SECONDS, COUNT, PER_SECOND, PER_MINUTE, DURATION, FROM_NOW = (
    "currencyUSD", "percentunit", "s", "short", "reqps", "reqpm", "dtdurations", "dateTimeFromNow",
)  # fmt: skip

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
TAG = "farebox"

Json = dict[str, Any]
Steps = Sequence[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and what its series are called: text, with labels in double braces."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One question. `steps` are (from this value on, colour); what is below the first is `calm`. `nothing` is what
    stands there when no series answers."""

    title: str
    description: str
    kind: str
    unit: str
    queries: tuple[Query, ...]
    width: int
    height: int = 8
    steps: Steps = ()
    calm: str = "green"
    instant: bool = False
    stacked: bool = False
    lowest: float | None = 0
    highest: float | None = None
    nothing: str = "Nothing in this time"
    overrides: tuple[Json, ...] = ()
    transformations: tuple[Json, ...] = ()

    def json(self, ident: int, x: int, y: int) -> Json:
        """The panel with an id, at a place of the grid."""
        style, options = _STYLES[self.kind](self)
        thresholds = [{"value": None, "color": self.calm}, *({"value": at, "color": hue} for at, hue in self.steps)]
        defaults: Json = {
            "unit": self.unit,
            "color": {"mode": "thresholds" if self.kind != "timeseries" else "palette-classic-by-name"},
            "thresholds": {"mode": "absolute", "steps": thresholds},
            "noValue": self.nothing,
            "custom": style,
        }
        bounds = {"min": self.lowest, "max": self.highest}
        defaults |= {name: value for name, value in bounds.items() if value is not None}
        return {
            "id": ident,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": [self._target(query, chr(ord("A") + at)) for at, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": defaults, "overrides": list(self.overrides)},
            "options": options,
            "transformations": list(self.transformations),
        }

    def _target(self, query: Query, letter: str) -> Json:
        return {
            "refId": letter,
            "datasource": SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            "editorMode": "code",
            "format": "table" if self.kind == "table" else "time_series",
            "instant": self.instant,
            "range": not self.instant,
        }


def figure(title: str, description: str, unit: str, expr: str, *, width: int = 4, **more: Any) -> Panel:
    """One number, with its course behind it."""
    return Panel(title, description, "stat", unit, (Query(expr, title),), width, 5, nothing="–", **more)


def course(title: str, description: str, unit: str, *queries: Query, width: int = 12, **more: Any) -> Panel:
    """Lines over time; `stacked` where they add up to something."""
    return Panel(title, description, "timeseries", unit, queries, width, **more)


def ranking(title: str, description: str, unit: str, query: Query, *, width: int = 8, **more: Any) -> Panel:
    """Bars, one a series, as they are now."""
    return Panel(title, description, "bargauge", unit, (query,), width, instant=True, **more)


def table(
    title: str, description: str, by: Sequence[str], columns: Mapping[str, tuple[str, str]], **more: Any
) -> Panel:
    """Rows by labels. `columns` are heading → (unit, expression)."""
    values = [f"Value #{chr(ord('A') + at)}" for at in range(len(columns))] if len(columns) > 1 else ["Value"]
    headings = dict(zip(values, columns, strict=True))
    names = [*by, *headings]
    organize = {
        "excludeByName": {"Time": True},
        "indexByName": {name: at for at, name in enumerate(names)},
        "renameByName": headings | {name: name.replace("_", " ").capitalize() for name in by},
    }
    units = tuple(_override(heading, "unit", unit) for heading, (unit, _) in columns.items())
    return Panel(
        title,
        description,
        "table",
        COUNT,
        tuple(Query(expr, heading) for heading, (_, expr) in columns.items()),
        COLUMNS,
        instant=True,
        lowest=None,
        overrides=units,
        transformations=({"id": "merge", "options": {}}, {"id": "organize", "options": organize}),
        **more,
    )


@dataclass(frozen=True, slots=True)
class Variable:
    """What can be chosen above a dashboard: the values of a label; everything unless something is chosen."""

    name: str
    title: str
    metric: str
    label: str

    def json(self) -> Json:
        """The variable; `All` also stands for series without the label."""
        query = {"qryType": 1, "query": f"label_values({self.metric}, {self.label})"}  # 1: values of a label
        return {
            "type": "query",
            "name": self.name,
            "label": self.title,
            "datasource": SOURCE,
            "query": query | {"refId": "PrometheusVariableQueryEditor-VariableQuery"},
            "refresh": 2,  # whenever the time range changes
            "sort": 1,  # by name
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        }


TEAM = Variable("team", "Team", "farebox_spend_usd", "team")
MODEL = Variable("model", "Base model", "farebox_spend_usd", "base_model")
BUDGET = Variable("budget", "Budget", "farebox_budget_limit_usd", "budget")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of panels under headings. `uid` is its address and its file's name."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: Mapping[str, tuple[Panel, ...]] = field(default_factory=dict)
    since: str = "now-6h"

    @property
    def panels(self) -> Iterable[Panel]:
        """Its panels, in their order."""
        return (panel for panels in self.rows.values() for panel in panels)

    def json(self, others: Iterable["Dashboard"]) -> Json:
        """Grafana's model, with links to the other dashboards."""
        source: Json = {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"}
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "timezone": "browser",
            "graphTooltip": 1,  # one cross-hair for all panels
            "refresh": "30s",
            "time": {"from": self.since, "to": "now"},
            "templating": {"list": [source, *(variable.json() for variable in self.variables)]},
            "annotations": {"list": []},
            "links": [_link(other) for other in others if other.uid != self.uid],
            "panels": list(self._laid_out()),
        }

    def _laid_out(self) -> Iterable[Json]:
        ident, y = 1, 0
        for heading, panels in self.rows.items():
            place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
            yield {"id": ident, "type": "row", "title": heading, "collapsed": False, "gridPos": place, "panels": []}
            ident, x, y, tallest = ident + 1, 0, y + 1, 0
            for panel in panels:
                if x + panel.width > COLUMNS:
                    x, y, tallest = 0, y + tallest, 0
                yield panel.json(ident, x, y)
                ident, x, tallest = ident + 1, x + panel.width, max(tallest, panel.height)
            y += tallest


def _link(to: Dashboard) -> Json:
    return {
        "type": "link",
        "title": to.title.removeprefix("Farebox: "),
        "tooltip": to.description,
        "icon": "dashboard",
        "url": f"/d/{to.uid}",
        "tags": [],
        "asDropdown": False,
        "targetBlank": False,
        "includeVars": True,
        "keepTime": True,
    }


def _override(heading: str, what: str, value: str) -> Json:
    return {"matcher": {"id": "byName", "options": heading}, "properties": [{"id": what, "value": value}]}


_LAST: Json = {"values": False, "calcs": ["lastNotNull"], "fields": ""}


def _stat(panel: Panel) -> tuple[Json, Json]:
    graph = "none" if panel.instant else "area"
    return {}, {"graphMode": graph, "colorMode": "value", "reduceOptions": _LAST, "textMode": "value"}


def _bars(_: Panel) -> tuple[Json, Json]:
    options = {"orientation": "horizontal", "displayMode": "basic", "valueMode": "text", "reduceOptions": _LAST}
    return {}, options | {"showUnfilled": True, "namePlacement": "left", "minVizHeight": 16, "minVizWidth": 8}


def _lines(panel: Panel) -> tuple[Json, Json]:
    style = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1 if panel.stacked else 2,
        "fillOpacity": 40 if panel.stacked else 0,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
    }
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    return style, {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _cells(_: Panel) -> tuple[Json, Json]:
    return {"align": "auto", "filterable": False}, {"showHeader": True, "cellHeight": "sm"}


_STYLES = {"stat": _stat, "bargauge": _bars, "timeseries": _lines, "table": _cells}
