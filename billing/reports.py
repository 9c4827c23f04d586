"""Reports: the ledger's sums as users read them. The same rows stand in the terminal, the API and the page."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from billing.money import usd_from_pico
from billing.sums import QUARTER_HOUR_SECONDS, Total, fold
from billing.windows import interval_label


def rows(totals: Iterable[Total], by: Sequence[str], interval: str | None, zone: ZoneInfo) -> list[dict[str, Any]]:
    """One row per group (and interval), the dearest first within an interval, intervals in order.

    `totals` come grouped by time, finely enough, where there is an interval.
    """
    grouped: dict[tuple[str, tuple[str | None, ...]], list[Total]] = {}
    begins: dict[str, int] = {}  # an hour that a clock goes through twice is not in its name's order
    for total in totals:
        label, begin = _label(total, interval, zone), total.quarter_hour or 0
        begins[label] = min(begin, begins.get(label, begin))
        grouped.setdefault((label, total.group), []).append(total)
    folded = [(label, group, fold(members)) for (label, group), members in grouped.items()]
    folded.sort(key=lambda item: (begins[item[0]], -item[2].cost_pico, tuple(str(value or "") for value in item[1])))
    return [
        {**({interval: label} if interval else {}), **dict(zip(by, group, strict=True)), **sums(total)}
        for label, group, total in folded
    ]


def sums(total: Total) -> dict[str, Any]:
    """The figures of a total. `cost_usd` is exact; `unknown` says how many calls it does not include."""
    return {
        "requests": total.requests,
        "input_tokens": total.input_tokens,
        "cached_tokens": total.cached_tokens,
        "output_tokens": total.output_tokens,
        "cost_usd": usd_from_pico(total.cost_pico),
        "estimated": total.estimated,
        "unknown": total.unknown,
    }


def _label(total: Total, interval: str | None, zone: ZoneInfo) -> str:
    if interval is None or total.quarter_hour is None:
        return ""
    return interval_label(datetime.fromtimestamp(total.quarter_hour * QUARTER_HOUR_SECONDS, UTC), interval, zone)
