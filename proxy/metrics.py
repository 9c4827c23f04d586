"""Metrics for Prometheus. Money is summed in integer picodollars and becomes a float only when it is shown."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from billing.budgets import Position
from billing.charges import Basis, Charge
from billing.money import PICO_PER_USD

OTHER = "other"

COST_LABELS = ("team", "project", "key", "base_model", "model", "operation", "service_tier")
TOKEN_LABELS = ("team", "base_model", "model", "type")
SPEND_LABELS = ("window", "team", "base_model")

TRAINING = "fine_tuning"
"""The operation whose cost is that of training."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_OVERHEAD_SECONDS = (0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1)


class Bounded:
    """Label values that a client can invent: the first so many are kept, the rest is `other`."""

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._known: dict[str, set[str]] = {}

    def __call__(self, label: str, value: str | None) -> str:
        """The value to show for a label."""
        if not value:
            return ""
        known = self._known.setdefault(label, set())
        if value not in known:
            if len(known) >= self._ceiling:
                return OTHER
            known.add(value)
        return value


class Sums(Collector):
    """Integer sums by labels, shown as one counter or gauge. `per` is what one unit of the metric is made of."""

    def __init__(self, name: str, text: str, labels: tuple[str, ...], *, per: int = 1, gauge: bool = False) -> None:
        self._family = GaugeMetricFamily if gauge else CounterMetricFamily
        self._name, self._text, self._labels, self._per = name, text, labels, per
        self.values: dict[tuple[str, ...], int] = {}

    def add(self, labels: tuple[str, ...], amount: int) -> None:
        """Add to one series."""
        self.values[labels] = self.values.get(labels, 0) + amount

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """What prometheus-client asks for at a scrape."""
        family = self._family(self._name, self._text, labels=self._labels)
        for labels, amount in self.values.items():
            family.add_metric(labels, amount / self._per)
        yield family


class Metrics:
    """All metrics of one replica, in a registry of their own."""

    def __init__(self, label_values: int, version: str, price_book: str) -> None:
        self.registry = CollectorRegistry()
        self.bounded = Bounded(label_values)
        self.cost = self._sums("farebox_cost_usd", "Cost of charges.", COST_LABELS, per=PICO_PER_USD)
        self.training = self._sums(
            "farebox_training_cost_usd", "Cost of training.", ("team", "model"), per=PICO_PER_USD
        )
        self.tokens = self._sums("farebox_tokens", "Tokens by unit.", TOKEN_LABELS)
        self.spend = self._sums(
            "farebox_spend_usd", "Spend in the current window, from the ledger.", SPEND_LABELS,
            per=PICO_PER_USD, gauge=True,
        )  # fmt: skip
        new = self.registry
        self.requests = Counter(
            "farebox_requests", "Ended requests.", ("operation", "model", "status", "basis"), registry=new
        )
        self.duration = Histogram(
            "farebox_request_duration_seconds", "From request to end of answer.", ("operation",),
            buckets=_SECONDS, registry=new,
        )  # fmt: skip
        self.first_byte = Histogram(
            "farebox_time_to_first_byte_seconds", "From request to first byte of the answer.", ("operation",),
            buckets=_SECONDS, registry=new,
        )  # fmt: skip
        self.overhead = Histogram(
            "farebox_overhead_seconds", "Time that Farebox itself added.", ("operation",),
            buckets=_OVERHEAD_SECONDS, registry=new,
        )  # fmt: skip
        self.inflight = Gauge("farebox_inflight_requests", "Requests under way.", registry=new)
        self.open_streams = Gauge("farebox_open_streams", "Event streams under way.", registry=new)
        self.unpriced = Counter(
            "farebox_unpriced_requests", "Charges with a unit that has no price.", ("model",), registry=new
        )
        self.unmetered = Counter(
            "farebox_unmetered_requests", "Calls of routes that no table knows.", ("path",), registry=new
        )
        self.estimated = Counter(
            "farebox_estimated_requests", "Charges without reported usage.", ("reason",), registry=new
        )
        self.pending = Gauge("farebox_journal_pending_records", "Ended calls that wait for the ledger.", registry=new)
        self.lag = Gauge("farebox_journal_lag_seconds", "Age of the oldest ended call that waits.", registry=new)
        self.aside = Gauge(
            "farebox_journal_aside_records", "Records that the ledger does not take, set aside in the journal.",
            registry=new,
        )  # fmt: skip
        self.journal_bytes = Gauge("farebox_journal_bytes", "What the journal's records take.", registry=new)
        self.budget_limit, self.budget_spent, self.budget_held, self.budget_overrun = (
            self._sums(f"farebox_budget_{what}_usd", text, ("budget",), per=PICO_PER_USD, gauge=True)
            for what, text in (
                ("limit", "The limit of a budget."),
                ("spent", "Spent in a budget's current window; what is not known counts as what was held for it."),
                ("held", "Held for calls under way."),
                ("overrun", "Spent past a budget's limit in its current window."),
            )
        )
        self.budget_reset = self._sums(
            "farebox_budget_reset_timestamp_seconds", "When a budget's next window begins.", ("budget",), gauge=True
        )
        self.budget_refusals = Counter(
            "farebox_budget_refusals", "Calls refused because a budget had not enough left.", ("budget",), registry=new
        )
        self.alerts = Counter(
            "farebox_alerts",
            "Alerts raised, and how their delivery went.",
            ("alert", "channel", "result"),
            registry=new,
        )
        self.retires = self._sums(
            "farebox_model_retires_timestamp_seconds",
            "When a model in your traffic is shut down.",
            ("model",),
            gauge=True,
        )
        Info("farebox_build", "This build.", registry=new).info({"version": version, "price_book": price_book})

    def charged(self, charge: Charge) -> None:
        """Count a charge (a listener of the cashier)."""
        call, who, bounded = charge.call, charge.call.attribution, self.bounded
        team, model = who.team or "", bounded("model", charge.model)
        base = bounded("base_model", charge.base_model)
        if charge.cost_pico is not None:
            labels = (
                team, bounded("project", who.project), bounded("key", who.key), base, model, call.operation,
                bounded("service_tier", charge.service_tier),
            )  # fmt: skip
            self._add_cost(labels, charge.cost_pico)
        for unit, quantity in charge.usage.items():
            self.tokens.add((team, base, model, unit.value), quantity)
        if charge.unpriced:
            self.unpriced.labels(model).inc()
        if charge.outcome.basis in {Basis.ESTIMATED, Basis.UNKNOWN} and call.operation != "unmetered":
            self.estimated.labels(charge.outcome.reason or "unknown").inc()

    def resume(
        self, costs: Iterable[tuple[tuple[str | None, ...], int]], tokens: Iterable[tuple[tuple[str | None, ...], int]]
    ) -> None:
        """Start the counters from this replica's part of the ledger, largest first so that these keep their names.

        `costs` are picodollars by COST_LABELS, `tokens` quantities by TOKEN_LABELS.
        """
        capped = {"project", "key", "base_model", "model", "service_tier"}
        for add, names, totals in ((self._add_cost, COST_LABELS, costs), (self.tokens.add, TOKEN_LABELS, tokens)):
            for values, amount in sorted(totals, key=lambda total: -total[1]):
                shown = (
                    self.bounded(name, value) if name in capped else value or ""
                    for name, value in zip(names, values, strict=True)
                )
                add(tuple(shown), amount)

    def _add_cost(self, labels: tuple[str, ...], pico: int) -> None:
        """Picodollars by COST_LABELS; those of training are shown apart, too."""
        self.cost.add(labels, pico)
        told = dict(zip(COST_LABELS, labels, strict=True))
        if told["operation"] == TRAINING:
            self.training.add((told["team"], told["model"]), pico)

    def show_spend(self, window: str, totals: Iterable[tuple[tuple[str | None, ...], int]]) -> None:
        """Set the spend of a window, picodollars by (team, base model)."""
        self.spend.values = {labels: amount for labels, amount in self.spend.values.items() if labels[0] != window}
        for (team, base), amount in totals:
            self.spend.add((window, team or "", self.bounded("base_model", base)), amount)

    def show_retiring(self, ends: Mapping[str, datetime]) -> None:
        """Set when models that are in the traffic retire."""
        self.retires.values = {(self.bounded("model", name),): int(end.timestamp()) for name, end in ends.items()}

    def show_budgets(self, positions: Iterable[Position]) -> None:
        """Set the budgets' gauges."""
        shown = {(position.budget.name,): position for position in positions}
        self.budget_limit.values = {name: position.budget.limit_pico for name, position in shown.items()}
        self.budget_spent.values = {name: position.spent_pico for name, position in shown.items()}
        self.budget_held.values = {name: position.held_pico for name, position in shown.items()}
        self.budget_overrun.values = {name: position.overrun_pico for name, position in shown.items()}
        self.budget_reset.values = {name: int(position.until.timestamp()) for name, position in shown.items()}

    def show_journal(
        self, pending: int, oldest: datetime | None, now: datetime, aside: int = 0, size_bytes: int = 0
    ) -> None:
        """Set the journal's gauges."""
        self.pending.set(pending)
        self.aside.set(aside)
        self.journal_bytes.set(size_bytes)
        self.lag.set((now - oldest).total_seconds() if oldest else 0)

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)

    def _sums(self, name: str, text: str, labels: tuple[str, ...], *, per: int = 1, gauge: bool = False) -> Sums:
        sums = Sums(name, text, labels, per=per, gauge=gauge)
        self.registry.register(sums)
        return sums
