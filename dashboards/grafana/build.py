"""Writes the dashboards' JSON, which Grafana reads: `python -m dashboards.grafana.build`."""

import json
from pathlib import Path

from dashboards.grafana import budgets, models, spend, traffic
from dashboards.grafana.panels import Dashboard

DASHBOARDS: tuple[Dashboard, ...] = (spend.DASHBOARD, budgets.DASHBOARD, models.DASHBOARD, traffic.DASHBOARD)
FOLDER = Path(__file__).parent / "json"


def text(dashboard: Dashboard) -> str:
    """A dashboard as its file has it."""
    return json.dumps(dashboard.json(DASHBOARDS), indent=1, ensure_ascii=False) + "\n"


def write(folder: Path = FOLDER) -> None:
    """Write every dashboard into a folder."""
    folder.mkdir(exist_ok=True)
    for dashboard in DASHBOARDS:
        (folder / f"{dashboard.uid}.json").write_text(text(dashboard), encoding="utf-8")


if __name__ == "__main__":
    write()
