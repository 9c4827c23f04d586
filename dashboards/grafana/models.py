"""The dashboard *Models and fine-tuning*: what each model costs, and fine-tuned ones beside their base."""

from dashboards.grafana.panels import (
    COUNT,
    MODEL,
    PER_MINUTE,
    PER_SECOND,
    SHARE,
    TEAM,
    USD,
    Dashboard,
    Query,
    course,
    figure,
    ranking,
)

_CHOSEN = 'team=~"$team", base_model=~"$model"'
_COST = f"farebox_cost_usd_total{{{_CHOSEN}}}"
_TOKENS = f'farebox_tokens_total{{{_CHOSEN}, type=~"(input|output)_.*tokens"}}'
_FINE_TUNED = 'model=~"ft:.*", '


def _of_fine_tuned(selector: str) -> str:
    return selector.replace("{", "{" + _FINE_TUNED, 1)


def _by_kind(expr: str, by: str = "") -> str:
    """Summed by `kind`: base or fine-tuned."""
    base = f'label_replace({expr}, "kind", "base", "", "")'
    return f'sum by ({by}kind) (label_replace({base}, "kind", "fine-tuned", "model", "ft:.*"))'


def _price(by: str, tokens: int) -> str:
    """What so many tokens cost on average in the chosen time."""
    cost, count = f"increase({_COST}[$__range])", f"increase({_TOKENS}[$__range])"
    return f"{tokens} * sum by ({by}) ({cost}) / (sum by ({by}) ({count}) > 0)"


DASHBOARD = Dashboard(
    "farebox-models",
    "Farebox: Models and fine-tuning",
    "What does each model cost, and what do fine-tuned models cost beside their base?",
    (TEAM, MODEL),
    {
        "What does each model cost?": (
            ranking(
                "Which base models cost most this month?",
                "This month's spend by base model, from the ledger; fine-tuned models count to theirs.",
                USD,
                Query(
                    "topk(15, sum by (base_model) (max by (team, base_model)"
                    f' (farebox_spend_usd{{window="month", {_CHOSEN}}})))',
                    "{{base_model}}",
                ),
            ),
            ranking(
                "Which models cost most?",
                "Cost by the model that answered, in the chosen time.",
                USD,
                Query(f"topk(15, sum by (model) (increase({_COST}[$__range])) > 0)", "{{model}}"),
            ),
            ranking(
                "What do 1M tokens really cost?",
                "All that was charged for a model by all its tokens, in and out: with its caching, tiers and mix.",
                USD,
                Query(f"sort_desc({_price('model', 1_000_000)})", "{{model}}"),
            ),
        ),
        "Does fine-tuning pay?": (
            figure(
                "Fine-tuned share of spend",
                "What fine-tuned models cost, of all spend in the chosen time.",
                SHARE,
                f"(sum(increase({_of_fine_tuned(_COST)}[$__range])) or vector(0)) / sum(increase({_COST}[$__range]))",
                highest=1,
                calm="blue",
            ),
            figure(
                "Fine-tuned share of tokens",
                "What went through fine-tuned models, of all tokens in and out in the chosen time.",
                SHARE,
                f"(sum(increase({_of_fine_tuned(_TOKENS)}[$__range])) or vector(0))"
                f" / sum(increase({_TOKENS}[$__range]))",
                highest=1,
                calm="blue",
            ),
            course(
                "What do base and fine-tuned models cost?",
                "Dollars per hour of base and of fine-tuned models.",
                USD,
                Query(f"{_by_kind(f'rate({_COST}[$__rate_interval])')} * 3600", "{{kind}}"),
                width=8,
                height=10,
                stacked=True,
            ),
            ranking(
                "What do 1M fine-tuned tokens cost beside their base?",
                "Average price of a base model's tokens and of its fine-tuned models' tokens, in the chosen time.",
                USD,
                Query(
                    f"1e6 * {_by_kind(f'increase({_COST}[$__range])', 'base_model, ')}"
                    f" / ({_by_kind(f'increase({_TOKENS}[$__range])', 'base_model, ')} > 0)",
                    "{{base_model}}, {{kind}}",
                ),
                height=10,
            ),
        ),
        "What goes through them?": (
            course(
                "Which models are called?",
                "Requests per second by the model asked for. What no table of prices knows is here too.",
                PER_SECOND,
                Query(
                    'topk(15, sum by (model) (rate(farebox_requests_total{model!=""}[$__rate_interval])))', "{{model}}"
                ),
            ),
            course(
                "Which kinds of tokens?",
                "Tokens per second by OpenAI's own units.",
                COUNT,
                Query(f"sum by (type) (rate({_TOKENS}[$__rate_interval]))", "{{type}}"),
                stacked=True,
            ),
            course(
                "Which service tiers are paid for?",
                "Dollars per hour by the tier that was served.",
                USD,
                Query(
                    f'label_replace(sum by (service_tier) (rate({_COST}[$__rate_interval])) * 3600, "service_tier",'
                    ' "(none said)", "service_tier", "")',
                    "{{service_tier}}",
                ),
                stacked=True,
            ),
            course(
                "Which models have no price?",
                "Calls a minute with a unit that no price list knows: their cost is unknown, not zero. Name a price in "
                "FAREBOX_PRICES.",
                PER_MINUTE,
                Query("60 * sum by (model) (rate(farebox_unpriced_requests_total[$__rate_interval]))", "{{model}}"),
                nothing="Every model in this time has a price",
            ),
        ),
    },
)
