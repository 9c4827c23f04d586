"""*Models and fine-tuning*: base and fine-tuned are told apart by the model's name."""

from billing.model_names import parse
from dashboards.grafana.models import DASHBOARD

EXPRESSIONS = {panel.title: panel.queries[0].expr for panel in DASHBOARD.panels}


def test_fine_tuned_models_are_those_whose_name_says_so() -> None:
    assert parse("ft:gpt-4o-mini-2024-07-18:acme:support:Ab12Cd34").fine_tuned
    for title in ("Fine-tuned share of spend", "Fine-tuned share of tokens"):
        some, _, whole = EXPRESSIONS[title].rpartition(" / ")
        assert 'model=~"ft:.*"' in some
        assert "ft:" not in whole


def test_a_price_is_cost_by_tokens_of_the_same_models() -> None:
    cost, tokens = EXPRESSIONS["What do 1M tokens really cost?"].split(" / ")
    assert "farebox_cost_usd_total" in cost
    assert "farebox_tokens_total" in tokens
    assert cost.count("sum by (model)") == tokens.count("sum by (model)") == 1


def test_only_tokens_are_counted_as_tokens() -> None:
    """The metric also has images, seconds and calls of tools, by their units."""
    for title, expression in EXPRESSIONS.items():
        assert expression.count("farebox_tokens_total{") == expression.count('type=~"(input|output)_.*tokens"'), title
