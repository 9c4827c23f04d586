"""The dashboard *Budgets*: what is left of each, and when it is over."""

from dashboards.grafana.panels import (
    BUDGET,
    DURATION,
    FROM_NOW,
    PER_MINUTE,
    SHARE,
    USD,
    Dashboard,
    Query,
    course,
    ranking,
    table,
)

_CHOSEN = '{budget=~"$budget"}'
_NEARLY, _OVER = (0.8, "orange"), (1, "red")


def _gauge(name: str) -> str:
    """A budget's figure, which is the same on every replica."""
    return f"max by (budget) (farebox_budget_{name}{_CHOSEN})"


_LEFT = f"clamp_min({_gauge('limit_usd')} - {_gauge('spent_usd')} - {_gauge('held_usd')}, 0)"
_BURN = f"max by (budget) (farebox:budget_burn_usd:rate1h{_CHOSEN})"
_RUNS_OUT = f"max by (budget) (farebox:budget_exhausted_in_seconds:rate1h{_CHOSEN})"
_REFUSED = f"60 * sum by (budget) (rate(farebox_budget_refusals_total{_CHOSEN}[$__rate_interval]))"
_NO_REFUSAL = f"0 * {_gauge('limit_usd')}"

DASHBOARD = Dashboard(
    "farebox-budgets",
    "Farebox: Budgets",
    "What is left of each budget, how fast is it spent, and when is it over?",
    (BUDGET,),
    {
        "Where does each budget stand?": (
            table(
                "Where does each budget stand?",
                "Limit, spent and held in the current window; what is spent per hour by the last hour, when the budget "
                "runs out at that pace, and when its next window begins.",
                ("budget",),
                {
                    "Limit": (USD, _gauge("limit_usd")),
                    "Spent": (USD, _gauge("spent_usd")),
                    "Held": (USD, _gauge("held_usd")),
                    "Left": (USD, _LEFT),
                    "Per hour": (USD, f"{_BURN} * 3600"),
                    "Runs out in": (DURATION, _RUNS_OUT),
                    "Resets": (FROM_NOW, f"{_gauge('reset_timestamp_seconds')} * 1000"),
                },
                height=9,
                nothing="No budget is in force",
            ),
        ),
        "How near is the limit?": (
            ranking(
                "How much of each budget is spent?",
                "Spent in the current window, as a share of the limit.",
                SHARE,
                Query(f"sort_desc({_gauge('spent_usd')} / {_gauge('limit_usd')})", "{{budget}}"),
                width=12,
                highest=1,
                steps=(_NEARLY, _OVER),
            ),
            course(
                "How did it get there?",
                "Spent share of the limit over time. A fall to zero is a new window.",
                SHARE,
                Query(f"{_gauge('spent_usd')} / {_gauge('limit_usd')}", "{{budget}}"),
                steps=(_NEARLY, _OVER),
            ),
        ),
        "When is it over?": (
            course(
                "How fast is each budget spent?",
                "Dollars per hour, by the last hour.",
                USD,
                Query(f"{_BURN} * 3600", "{{budget}}"),
            ),
            ranking(
                "When is each budget over?",
                "How long the rest lasts at the pace of the last hour. A budget that nothing is spent on is not shown.",
                DURATION,
                Query(f"sort({_RUNS_OUT})", "{{budget}}"),
                width=12,
                calm="red",
                steps=((3600, "orange"), (86_400, "green")),
            ),
        ),
        "What does it stop?": (
            course(
                "Which budgets refuse calls?",
                "Calls a minute that were answered 429 because a budget had not enough left.",
                PER_MINUTE,
                Query(f"{_REFUSED} or {_NO_REFUSAL}", "{{budget}}"),
                width=8,
            ),
            course(
                "How much is held for calls under way?",
                "Holds end with their calls: they come down to zero when nothing is in flight.",
                USD,
                Query(_gauge("held_usd"), "{{budget}}"),
                width=8,
                stacked=True,
            ),
            course(
                "Was a limit overrun?",
                "Spent past the limit: soft budgets, and calls that cost more than could be known beforehand.",
                USD,
                Query(_gauge("overrun_usd"), "{{budget}}"),
                width=8,
                steps=((0.000001, "red"),),
            ),
        ),
    },
    since="now-24h",
)
