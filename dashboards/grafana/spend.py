"""The dashboard *Spend*: how much, who, on what, and is it normal."""

from dashboards.grafana.panels import MODEL, SECONDS, SHARE, TEAM, USD, Dashboard, Query, course, figure, ranking

_CHOSEN = 'team=~"$team", base_model=~"$model"'
_COST = f"farebox_cost_usd_total{{{_CHOSEN}}}"
_TOKENS = f'farebox_tokens_total{{{_CHOSEN}, type=~"(input|output)_.*tokens"}}'
_INPUT = f'farebox_tokens_total{{{_CHOSEN}, type=~"input_.*tokens"}}'
_CACHED = f'farebox_tokens_total{{{_CHOSEN}, type=~"input_cached_.*tokens"}}'
_ALL_REPLICAS_SAY_THE_SAME = "max by (team, base_model)"


def _spent(window: str, offset: str = "") -> str:
    """Spent in a window, from the ledger, by team and base model."""
    chosen = f'farebox_spend_usd{{window="{window}", {_CHOSEN}}}{offset}'
    return f"{_ALL_REPLICAS_SAY_THE_SAME} ({chosen})"


def _named(label: str, expr: str) -> str:
    """With a word where calls have no such label."""
    return f'label_replace({expr}, "{label}", "(no {label})", "{label}", "")'


def _top(label: str) -> str:
    return f"topk(10, {_named(label, f'sum by ({label}) (increase({_COST}[$__range]))')} > 0)"


_BY_TEAM = f"sum by (team) ({_spent('month')})"
_DAYS_GONE = "(day_of_month() - 1 + hour() / 24 + minute() / 1440)"

DASHBOARD = Dashboard(
    "farebox-spend",
    "Farebox: Spend",
    "How much is spent, by whom, on what, and is it normal?",
    (TEAM, MODEL),
    {
        "How much?": (
            figure(
                "Spent today",
                "Since midnight of the configured zone, from the ledger. Calls whose cost is not known are not in it; "
                "the dashboard of traffic counts them.",
                USD,
                f"sum({_spent('day')})",
            ),
            figure(
                "Spent this month",
                "Since the first of the month in the configured zone, from the ledger.",
                USD,
                f"sum({_spent('month')})",
            ),
            figure(
                "Forecast to the end of the month",
                "This month's spend, carried on at its own mean pace to the end of the (UTC) month. On the first day "
                "the pace is taken as if the day were over.",
                USD,
                f"sum({_spent('month')}) / scalar(clamp_min({_DAYS_GONE}, 1)) * scalar(days_in_month())",
            ),
            figure(
                "Spend per hour, now",
                "The rate of the last minutes, as dollars per hour, over all replicas.",
                USD,
                f"sum(rate({_COST}[$__rate_interval])) * 3600",
            ),
            figure(
                "Price of 1K tokens",
                "All that was charged in the chosen time, by all text, audio and image tokens in and out.",
                USD,
                f"1000 * sum(increase({_COST}[$__range])) / sum(increase({_TOKENS}[$__range]))",
            ),
            figure(
                "Ledger behind by",
                "How long ended calls have waited for the ledger: the figures from it are this old.",
                SECONDS,
                "max(farebox_journal_lag_seconds)",
                steps=((15, "orange"), (60, "red")),
            ),
        ),
        "Is it normal?": (
            course(
                "Is today like yesterday?",
                "What has been spent since midnight, beside the same hours of yesterday and of a week ago.",
                USD,
                Query(f"sum({_spent('day')})", "today"),
                Query(f"sum({_spent('day', ' offset 1d')})", "yesterday"),
                Query(f"sum({_spent('day', ' offset 1w')})", "a week ago"),
            ),
            course(
                "Which team is spending?",
                "Dollars per hour by team, over all replicas.",
                USD,
                Query(_named("team", f"sum by (team) (rate({_COST}[$__rate_interval])) * 3600"), "{{team}}"),
                stacked=True,
            ),
        ),
        "Who, and on what?": (
            ranking(
                "Which teams spent this month?",
                "This month's spend by team, from the ledger.",
                USD,
                Query(f"sort_desc({_named('team', _BY_TEAM)})", "{{team}}"),
            ),
            ranking(
                "Which models cost most this month?",
                "This month's spend by base model (fine-tuned models count to theirs), from the ledger.",
                USD,
                Query(f"topk(10, sum by (base_model) ({_spent('month')}))", "{{base_model}}"),
            ),
            ranking(
                "Which projects spend?",
                "The ten that cost most in the chosen time, from the replicas' counters.",
                USD,
                Query(_top("project"), "{{project}}"),
            ),
            ranking(
                "Which keys spend?",
                "The ten that cost most in the chosen time, by name or fingerprint, from the replicas' counters.",
                USD,
                Query(_top("key"), "{{key}}"),
                width=12,
            ),
            ranking(
                "Which operations spend?",
                "Cost by kind of call in the chosen time, from the replicas' counters.",
                USD,
                Query(f"sort_desc(sum by (operation) (increase({_COST}[$__range])) > 0)", "{{operation}}"),
                width=12,
            ),
        ),
        "What does caching bring?": (
            figure(
                "Cached share of input",
                "Input tokens that OpenAI read from its cache, of all input tokens in the chosen time.",
                SHARE,
                f"sum(increase({_CACHED}[$__range])) / sum(increase({_INPUT}[$__range]))",
                highest=1,
                calm="blue",
            ),
            course(
                "Which models read from the cache?",
                "Cached share of the input tokens, by base model.",
                SHARE,
                Query(
                    f"sum by (base_model) (rate({_CACHED}[$__rate_interval]))"
                    f" / (sum by (base_model) (rate({_INPUT}[$__rate_interval])) > 0)",
                    "{{base_model}}",
                ),
                width=20,
                highest=1,
            ),
        ),
    },
)
