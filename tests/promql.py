"""What tests read out of PromQL, and which metrics there are to ask for."""

import re
from pathlib import Path

from proxy.metrics import Metrics

RULES = Path(__file__).parent.parent / "dashboards" / "prometheus" / "rules.yml"

_SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "info": ("_info",),
    "histogram": ("_bucket", "_sum", "_count"),
}


def exposed() -> set[str]:
    """The names of the samples that a replica can show."""
    families = Metrics(10, "0", "0").registry.collect()
    return {family.name + suffix for family in families for suffix in _SUFFIXES[family.type]}


def recorded() -> set[str]:
    """The names of the recording rules."""
    return set(re.findall(r"- record: (\S+)", RULES.read_text()))


def named(expression: str) -> set[str]:
    """The metrics of ours that an expression names."""
    return set(re.findall(r"\bfarebox[a-z0-9_]*[_:][a-z0-9_:]+", re.sub(r'"[^"]*"', "", expression)))
