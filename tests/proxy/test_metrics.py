from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from billing.attribution import Attribution
from billing.budgets import Budget, Position
from billing.charges import Basis, Call, Charge, Outcome, charge
from billing.money import PICO_PER_USD
from billing.prices import Price, PriceBook, PriceList
from billing.rating import Rate
from billing.usage import Reading, Unit, Usage
from proxy.metrics import COST_LABELS, TOKEN_LABELS, Bounded, Metrics

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PRICES = PriceList(
    "test",
    tuple(
        Price(model, tier, date.min, {Unit.INPUT_TEXT: Rate(pico), Unit.OUTPUT_TEXT: Rate(4 * pico)})
        for model, tier, pico in [
            ("gpt-4o", "default", 2_500_000),
            ("gpt-4o", "flex", 1_250_000),
            ("ft:gpt-4o", "default", 3_750_000),
        ]
    ),
)
BOOK = PriceBook((PRICES,), "book-1")


CONTRACT: dict[str, tuple[str, tuple[str, ...]]] = {
    "farebox_cost_usd": ("counter", ("team", "project", "key", "base_model", "model", "operation", "service_tier")),
    "farebox_training_cost_usd": ("counter", ("team", "model")),
    "farebox_tokens": ("counter", ("team", "base_model", "model", "type")),
    "farebox_spend_usd": ("gauge", ("window", "team", "base_model")),
    "farebox_requests": ("counter", ("operation", "model", "status", "basis")),
    "farebox_request_duration_seconds": ("histogram", ("operation",)),
    "farebox_time_to_first_byte_seconds": ("histogram", ("operation",)),
    "farebox_overhead_seconds": ("histogram", ("operation",)),
    "farebox_inflight_requests": ("gauge", ()),
    "farebox_open_streams": ("gauge", ()),
    "farebox_unpriced_requests": ("counter", ("model",)),
    "farebox_unmetered_requests": ("counter", ("path",)),
    "farebox_estimated_requests": ("counter", ("reason",)),
    "farebox_journal_pending_records": ("gauge", ()),
    "farebox_journal_lag_seconds": ("gauge", ()),
    "farebox_journal_aside_records": ("gauge", ()),
    "farebox_journal_bytes": ("gauge", ()),
    "farebox_budget_limit_usd": ("gauge", ("budget",)),
    "farebox_budget_spent_usd": ("gauge", ("budget",)),
    "farebox_budget_held_usd": ("gauge", ("budget",)),
    "farebox_budget_overrun_usd": ("gauge", ("budget",)),
    "farebox_budget_reset_timestamp_seconds": ("gauge", ("budget",)),
    "farebox_budget_refusals": ("counter", ("budget",)),
    "farebox_alerts": ("counter", ("alert", "channel", "result")),
    "farebox_model_retires_timestamp_seconds": ("gauge", ("model",)),
    "farebox_build_info": ("gauge", ("version", "price_book")),
}
"""The promised metrics: their kind and labels."""


def charged(
    model: str | None = "gpt-4o",
    tokens: tuple[int, int] = (1000, 100),
    *,
    basis: Basis = Basis.REPORTED,
    reason: str | None = None,
    operation: str = "chat",
    **who: Any,
) -> Charge:
    """A charge for so many input and output tokens."""
    attribution = Attribution(**({"key": "fp_1", "team": "search", "project": "proj_1"} | who))
    call = Call("fbx_1", NOW, operation, "POST", "/v1/chat/completions", attribution, "test", model)
    usage = Usage({Unit.INPUT_TEXT: tokens[0], Unit.OUTPUT_TEXT: tokens[1]})
    reading = None if basis in {Basis.UNKNOWN, Basis.FREE} else Reading(usage, model)
    return charge(call, Outcome(NOW, basis, 200, reading, reason=reason), BOOK)


def position(name: str = "search", limit: int = 100, spent: int = 0, held: int = 0) -> Position:
    """Where a budget stands, in dollars."""
    until = datetime(2026, 12, 1, tzinfo=UTC)
    return Position(Budget(name, limit * PICO_PER_USD), NOW, until, spent * PICO_PER_USD, held * PICO_PER_USD)


def fresh(label_values: int = 200) -> Metrics:
    return Metrics(label_values, "0.1.0", "book-1")


def families(metrics: Metrics) -> dict[str, Metric]:
    """The exposition as Prometheus reads it, by family."""
    return {family.name: family for family in text_string_to_metric_families(metrics.text().decode())}


def series(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """The series of a metric: the values of its labels, in the order promised, and its own."""
    family = name.removesuffix("_total")
    _, labels = CONTRACT[family]
    samples = [sample for sample in families(metrics)[family].samples if sample.name == name]
    return {tuple(sample.labels[label] for label in labels): sample.value for sample in samples}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    sample: float | None = metrics.registry.get_sample_value(name, labels)
    return sample


# ── the names and labels that dashboards rely on ────────────────────────────────


def everything() -> Metrics:
    """Metrics in which every family has a series."""
    metrics = fresh()
    metrics.charged(charged())
    metrics.charged(charged("nobody-knows"))
    metrics.charged(charged(operation="fine_tuning"))
    metrics.charged(charged(basis=Basis.UNKNOWN, reason="no_usage"))
    metrics.show_spend("day", [(("search", "gpt-4o"), 1)])
    metrics.requests.labels("chat", "gpt-4o", "200", "reported").inc()
    metrics.unmetered.labels("/v1/new").inc()
    metrics.show_budgets([position()])
    metrics.budget_refusals.labels("search").inc()
    metrics.alerts.labels("budget_threshold", "ops", "delivered").inc()
    metrics.show_retiring({"gpt-4o": NOW})
    for histogram in (metrics.duration, metrics.first_byte, metrics.overhead):
        histogram.labels("chat").observe(0.1)
    return metrics


@pytest.mark.parametrize("name", CONTRACT)
def test_a_metric_has_the_name_kind_and_labels_that_are_promised(name: str) -> None:
    kind, labels = CONTRACT[name]
    family = families(everything())[name]
    samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    assert family.type == kind
    assert samples
    for sample in samples:
        assert {*sample.labels} - {"le"} == {*labels}
        if kind == "counter":
            assert sample.name == f"{name}_total"


def test_there_is_no_metric_that_is_not_promised() -> None:
    assert {name for name in families(everything()) if not name.endswith("_created")} == {*CONTRACT}


# ── charges ─────────────────────────────────────────────────────────────────────


def test_a_charge_counts_as_money_and_tokens() -> None:
    metrics = fresh()
    metrics.charged(charged("ft:gpt-4o-2024-08-06:acme::abc", (1_000_000, 10)))
    name = "ft:gpt-4o-2024-08-06:acme::abc"
    labels = ("search", "proj_1", "fp_1", "gpt-4o", name, "chat", "default")
    assert series(metrics, "farebox_cost_usd_total") == {labels: 3.75015}
    assert series(metrics, "farebox_tokens_total") == {
        ("search", "gpt-4o", name, "input_text_tokens"): 1_000_000,
        ("search", "gpt-4o", name, "output_text_tokens"): 10,
    }


def test_what_is_not_said_is_an_empty_label() -> None:
    metrics = fresh()
    metrics.charged(charged(key=None, team=None, project=None))
    assert [*series(metrics, "farebox_cost_usd_total")] == [("", "", "", "gpt-4o", "gpt-4o", "chat", "default")]


@given(
    st.lists(st.tuples(st.sampled_from(["gpt-4o", "ft:gpt-4o:acme::1"]), st.integers(0, 10**9), st.integers(0, 10**6)))
)
def test_the_sum_over_the_series_is_the_ledger_s_to_the_picodollar(calls: list[tuple[str, int, int]]) -> None:
    metrics = fresh()
    charges = [charged(model, (read, written)) for model, read, written in calls]
    for one in charges:
        metrics.charged(one)
    assert sum(metrics.cost.values.values()) == sum(one.cost_pico or 0 for one in charges)
    assert sum(metrics.tokens.values.values()) == sum(read + written for _, read, written in calls)
    assert all(type(amount) is int for amount in metrics.cost.values.values())
    # shown as the nearest float
    shown = series(metrics, "farebox_cost_usd_total")
    assert shown == {labels: amount / 10**12 for labels, amount in metrics.cost.values.items()}


def test_a_million_charges_of_a_picodollar_do_not_get_lost() -> None:
    """As floats they would: 1,000,000 USD and 10⁻¹² USD have no sum."""
    metrics = fresh()
    labels = ("",) * len(COST_LABELS)
    metrics.cost.add(labels, 10**18)
    for _ in range(1000):
        metrics.cost.add(labels, 1)
    assert metrics.cost.values[labels] == 10**18 + 1000


@pytest.mark.parametrize(
    ("case", "cost", "unpriced", "estimated"),
    [
        (charged(), 1, {}, {}),
        (charged("nobody-knows"), 0, {("nobody-knows",): 1}, {}),
        (charged(None), 0, {("",): 1}, {}),
        (charged(basis=Basis.ESTIMATED, reason="cancelled"), 1, {}, {("cancelled",): 1}),
        (charged(basis=Basis.UNKNOWN, reason="no_usage"), 0, {}, {("no_usage",): 1}),
        (charged(basis=Basis.UNKNOWN), 0, {}, {("unknown",): 1}),
        (charged(basis=Basis.UNKNOWN, reason="unmetered", operation="unmetered"), 0, {}, {}),
        (charged(basis=Basis.FREE), 1, {}, {}),
    ],
)
def test_unknown_is_not_zero(
    case: Charge, cost: int, unpriced: dict[tuple[str], int], estimated: dict[tuple[str], int]
) -> None:
    metrics = fresh()
    metrics.charged(case)
    assert len(series(metrics, "farebox_cost_usd_total")) == cost
    assert series(metrics, "farebox_unpriced_requests_total") == unpriced
    assert series(metrics, "farebox_estimated_requests_total") == estimated


# ── labels that a client can invent ─────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ceiling", "asked", "shown"),
    [
        (2, ["a", "b", "c", "a", "d", "b"], ["a", "b", "other", "a", "other", "b"]),
        (1, ["a", "", None, "a"], ["a", "", "", "a"]),
        (0, ["a", ""], ["other", ""]),
    ],
)
def test_the_first_values_keep_their_names(ceiling: int, asked: list[str | None], shown: list[str]) -> None:
    bounded = Bounded(ceiling)
    assert [bounded("model", name) for name in asked] == shown


def test_every_label_has_its_own_ceiling() -> None:
    bounded = Bounded(1)
    assert (bounded("model", "a"), bounded("key", "b"), bounded("key", "a")) == ("a", "b", "other")


def test_ten_thousand_invented_names_make_a_bounded_exposition() -> None:
    metrics = fresh(label_values=50)
    for number in range(10_000):
        one = charged(f"ft:gpt-4o:acme::{number}", key=f"fp_{number}", project=f"proj_{number}", team=None)
        metrics.charged(one)
        metrics.charged(charged(f"junk-{number}"))
    cost, tokens = series(metrics, "farebox_cost_usd_total"), series(metrics, "farebox_tokens_total")
    assert len(cost) <= 51
    assert len(tokens) <= 2 * 2 * 52
    assert len(series(metrics, "farebox_unpriced_requests_total")) <= 51
    assert cost[("", "other", "other", "gpt-4o", "other", "chat", "default")] > 0
    assert sum(metrics.cost.values.values()) == 10_000 * (1000 * 3_750_000 + 100 * 15_000_000)
    assert len(metrics.text()) < 100_000


# ── after a restart ─────────────────────────────────────────────────────────────


def test_counters_go_on_where_they_were() -> None:
    before, after = fresh(), fresh()
    charges = [charged(), charged("ft:gpt-4o:acme::1", (5, 7)), charged("junk"), charged(team=None, project=None)]
    for one in charges:
        before.charged(one)
    # as the ledger has them: what was not said is null
    costs = [(tuple(name or None for name in labels), amount) for labels, amount in before.cost.values.items()]
    tokens = [(tuple(name or None for name in labels), amount) for labels, amount in before.tokens.values.items()]
    after.resume(costs, tokens)
    for name in ("farebox_cost_usd_total", "farebox_tokens_total"):
        assert series(after, name) == series(before, name)
    after.charged(charged())
    before.charged(charged())
    assert after.cost.values == before.cost.values


def test_after_a_restart_the_largest_keep_their_names() -> None:
    metrics = fresh(label_values=2)

    def labels(model: str) -> tuple[str | None, ...]:
        return (None, None, "fp_1", "gpt-4o", model, "chat", "default")

    metrics.resume([(labels("small"), 1), (labels("large"), 100), (labels("tiny"), 0), (labels("middle"), 50)], [])
    assert {named[4]: amount for named, amount in metrics.cost.values.items()} == {
        "large": 100,
        "middle": 50,
        "other": 1,
    }


def test_resuming_takes_every_label() -> None:
    metrics = fresh()
    with pytest.raises(ValueError, match="zip"):
        metrics.resume([(("a",) * (len(COST_LABELS) - 1), 1)], [])
    with pytest.raises(ValueError, match="zip"):
        metrics.resume([], [(("a",) * (len(TOKEN_LABELS) + 1), 1)])


# ── gauges ──────────────────────────────────────────────────────────────────────


def test_the_spend_of_a_window_replaces_what_was_shown_for_it() -> None:
    metrics = fresh()
    metrics.show_spend("day", [(("search", "gpt-4o"), 2 * 10**12), ((None, None), 5)])
    metrics.show_spend("month", [(("search", "gpt-4o"), 9 * 10**12)])
    metrics.show_spend("day", [(("search", "gpt-5.4"), 10**12)])
    assert series(metrics, "farebox_spend_usd") == {
        ("day", "search", "gpt-5.4"): 1.0,
        ("month", "search", "gpt-4o"): 9.0,
    }


def test_a_budgets_gauges_are_where_it_stands_now() -> None:
    metrics = fresh()
    metrics.show_budgets([position("gone", 1, 2, 3), position("search", limit=100, spent=40, held=5)])
    metrics.show_budgets([position("search", limit=100, spent=130, held=7), position("ads", limit=10, spent=4)])
    shown = {
        what: series(metrics, f"farebox_budget_{what}")
        for what in ("limit_usd", "spent_usd", "held_usd", "overrun_usd")
    }
    assert shown == {
        "limit_usd": {("search",): 100, ("ads",): 10},
        "spent_usd": {("search",): 130, ("ads",): 4},
        "held_usd": {("search",): 7, ("ads",): 0},
        "overrun_usd": {("search",): 30, ("ads",): 0},
    }
    begins = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert series(metrics, "farebox_budget_reset_timestamp_seconds") == {("search",): begins, ("ads",): begins}


def test_models_that_retire_are_shown_while_they_are_in_the_traffic() -> None:
    metrics = fresh()
    metrics.show_retiring({"gpt-4o": NOW, "o3": NOW + timedelta(days=1)})
    metrics.show_retiring({"gpt-4o": NOW})
    assert series(metrics, "farebox_model_retires_timestamp_seconds") == {("gpt-4o",): NOW.timestamp()}


def test_the_journal_s_gauges() -> None:
    metrics = fresh()
    metrics.show_journal(3, NOW - timedelta(seconds=90), NOW, aside=2, size_bytes=4096)
    assert value(metrics, "farebox_journal_aside_records") == 2
    assert value(metrics, "farebox_journal_bytes") == 4096
    assert value(metrics, "farebox_journal_pending_records") == 3
    assert value(metrics, "farebox_journal_lag_seconds") == 90
    metrics.show_journal(0, None, NOW)
    assert value(metrics, "farebox_journal_lag_seconds") == 0


@given(st.text(max_size=40))
def test_a_hostile_name_cannot_break_the_exposition(name: str) -> None:
    metrics = fresh()
    metrics.charged(charged(name, project=name))
    metrics.unmetered.labels(name).inc()
    assert [*series(metrics, "farebox_unmetered_requests_total")] == [(name,)]


def test_the_build_says_its_version_and_price_book() -> None:
    assert series(fresh(), "farebox_build_info") == {("0.1.0", "book-1"): 1}


def test_training_is_counted_apart_too_and_after_a_start() -> None:
    metrics = fresh()
    row = {"team": "a", "model": "ft:x", "operation": "fine_tuning"}
    trained = tuple(row.get(name, "") for name in COST_LABELS)
    called = tuple({**row, "operation": "chat"}.get(name, "") for name in COST_LABELS)
    metrics.resume([(trained, 3 * 10**12), (called, 10**12)], [])
    assert series(metrics, "farebox_training_cost_usd_total") == {("a", "ft:x"): 3.0}
    assert sum(series(metrics, "farebox_cost_usd_total").values()) == 4.0
