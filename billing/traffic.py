"""Traffic of models as the ledger has it: how many calls, how large, in how long a time, at what cost."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from billing.assumptions import Recorded
from billing.charges import Basis
from billing.model_names import undated
from billing.replacements import Part, Used
from billing.store import Narrowing, Store
from billing.sums import DAY_SECONDS, QUARTER_HOUR_SECONDS, Total, fold
from billing.usage import Unit, Usage

RECENT = timedelta(days=30)
"""What is looked at where nobody says since when."""

TRAINING = "fine_tuning"

NOT_CALLS = frozenset({"batch", TRAINING, "evaluation"})
"""Operations whose charge is for many calls, or for none."""

_BY = ("model", "operation", "basis")
_TIERED = ("model", "service_tier", "operation")
_DAY = timedelta(days=1)


async def recorded(store: Store, model: str, since: datetime | None, until: datetime) -> Recorded:
    """Calls to a model, or to any snapshot of it, admitted in [since, until). Without `since` of the last 30 days, or
    since the day of the first such call in them.

    Raises ValueError where there are none whose tokens are known, KeptAsSums as `Store.totals` does.
    """
    start = since or until - RECENT
    found = await store.totals(_BY, Narrowing(start, until), time=DAY_SECONDS)
    meant = [total for total in found if _is_call(total, model)]
    if since is None and meant:
        first = min(total.quarter_hour or 0 for total in meant) * QUARTER_HOUR_SECONDS
        start = max(start, datetime.fromtimestamp(first - first % DAY_SECONDS, UTC))
    told = [total for total in meant if total.group[2] != Basis.UNKNOWN]
    return Recorded(
        model,
        Fraction((until - start) // timedelta(microseconds=1), _DAY // timedelta(microseconds=1)),
        sum(total.requests for total in meant),
        sum(total.requests for total in told),
        sum(total.input_tokens for total in told),
        sum(total.cached_tokens for total in told),
        sum(total.output_tokens for total in told),
    )


async def used(store: Store, since: datetime, until: datetime) -> list[Used]:
    """All that was used in [since, until), by model and tier. Training is not use. Raises KeptAsSums."""
    narrowing = Narrowing(since, until)
    totals = await store.totals(_TIERED, narrowing)
    quantities: dict[tuple[str | None, ...], dict[Unit, int]] = {}
    for (*group, unit), quantity in (await store.quantities(_TIERED, narrowing)).items():
        quantities.setdefault(tuple(group), {})[Unit(str(unit))] = quantity
    by_model: dict[str, list[Total]] = {}
    for total in totals:
        model, _, operation = total.group
        if model is not None and operation != TRAINING:
            by_model.setdefault(model, []).append(total)
    return [_used(model, of_it, quantities) for model, of_it in by_model.items()]


def _used(model: str, totals: list[Total], quantities: Mapping[tuple[str | None, ...], Mapping[Unit, int]]) -> Used:
    tiers: dict[str | None, Part] = {}
    for total in totals:
        tier = total.group[1]
        before = tiers.get(tier, Part(tier, 0, Usage()))
        usage = before.usage + Usage(quantities.get(total.group, {}))
        tiers[tier] = Part(tier, before.calls + total.requests, usage)
    whole = fold(totals)
    return Used(model, whole.requests, whole.cost_pico, whole.unknown, tuple(tiers.values()))


def _is_call(total: Total, model: str) -> bool:
    served, operation, _ = total.group
    return served is not None and model in {served, undated(served)} and operation not in NOT_CALLS
