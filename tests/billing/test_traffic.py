"""How many calls a model had, how large and in how long a time, from the ledger."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from billing.assumptions import Recorded
from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.model_names import parse
from billing.replacements import Part, Used
from billing.store import Store
from billing.traffic import recorded, used
from billing.usage import Unit, Usage

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINI = "gpt-4o-mini-2024-07-18"
TUNED = f"ft:{MINI}:acme::Ab1"


def call(days_ago: float, model: str = MINI, basis: Basis = Basis.REPORTED, operation: str = "chat") -> Charge:
    """1,000 tokens of input, 400 of them from the cache, and 100 of output; nothing known of an unknown one."""
    at = NOW - timedelta(days=days_ago)
    usage = Usage({Unit.INPUT_TEXT: 600, Unit.INPUT_CACHED_TEXT: 400, Unit.OUTPUT_TEXT: 100})
    if basis is Basis.UNKNOWN:
        usage = Usage()
    made = Call(f"{days_ago} {model} {basis} {operation}", at, operation, "POST", "/v1/x", Attribution(), "one", model)
    cost = None if basis is Basis.UNKNOWN else 1
    return Charge(made, Outcome(at, basis, 200), model, parse(model).base_model, None, usage, (), Usage(), cost, "test")


def seen(folder: Path, charges: list[Charge], model: str = MINI, since: datetime | None = None) -> Recorded:
    async def looked_up() -> Recorded:
        store = Store(f"sqlite:///{folder}/farebox.db")
        try:
            await store.create()
            await store.post(charges)
            return await recorded(store, model, since, NOW)
        finally:
            await store.close()

    return asyncio.run(looked_up())


def test_calls_and_their_tokens(tmp_path: Path) -> None:
    found = seen(tmp_path, [call(1), call(2), call(3, basis=Basis.ESTIMATED)], since=NOW - timedelta(days=10))
    assert found == Recorded(MINI, Fraction(10), 3, 3, 3000, 1200, 300)


def test_a_call_whose_tokens_are_not_known_is_a_call_of_mean_size(tmp_path: Path) -> None:
    found = seen(tmp_path, [call(1), call(2, basis=Basis.UNKNOWN)], since=NOW - timedelta(days=10))
    assert (found.calls, found.counted, found.input_tokens) == (2, 1, 1000)


def test_without_a_beginning_it_is_the_last_30_days_or_since_the_day_of_the_first_call(tmp_path: Path) -> None:
    assert seen(tmp_path, [call(31), call(29.7), call(1)]) == Recorded(MINI, Fraction(30), 2, 2, 2000, 800, 200)
    (tmp_path / "new").mkdir()
    assert seen(tmp_path / "new", [call(3.1), call(1)]).days == Fraction(7, 2), "since the midnight before it"


@pytest.mark.parametrize(
    ("asked", "calls"), [(MINI, 1), ("gpt-4o-mini", 2), (TUNED, 1), ("gpt-4o", 1), ("gpt-4o-2024-08-06", 1)]
)
def test_a_model_is_meant_by_its_name_or_without_its_date_and_never_a_neighbour(
    tmp_path: Path, asked: str, calls: int
) -> None:
    other = [call(2, "gpt-4o-mini"), call(3, TUNED), call(4, "gpt-4o-2024-08-06")]
    assert seen(tmp_path, [call(1), *other], asked).calls == calls


@pytest.mark.parametrize("operation", ["batch", "fine_tuning", "evaluation"])
def test_what_is_many_calls_or_none_does_not_count(tmp_path: Path, operation: str) -> None:
    assert seen(tmp_path, [call(1), call(2, operation=operation)]).calls == 1


@pytest.mark.parametrize("charges", [[], [call(1, "gpt-4o")], [call(40)], [call(1, basis=Basis.UNKNOWN)]])
def test_no_traffic_is_told(tmp_path: Path, charges: list[Charge]) -> None:
    with pytest.raises(ValueError, match=f"no calls to {MINI} with known tokens"):
        seen(tmp_path, charges)


def test_all_that_was_used_by_model_and_tier(tmp_path: Path) -> None:
    each = {Unit.INPUT_TEXT: 600, Unit.INPUT_CACHED_TEXT: 400, Unit.OUTPUT_TEXT: 100}
    fast = replace(call(4), call=replace(call(4).call, id="fast"), service_tier="priority")
    charges = [
        call(1), call(2), call(3, operation="responses"), fast, call(5, basis=Basis.UNKNOWN), call(1, TUNED),
        call(1, MINI, operation="fine_tuning"), call(40),
    ]  # fmt: skip

    async def looked_up() -> list[Used]:
        store = Store(f"sqlite:///{tmp_path}/farebox.db")
        try:
            await store.create()
            await store.post(charges)
            return await used(store, NOW - timedelta(days=30), NOW)
        finally:
            await store.close()

    found = {it.model: it for it in asyncio.run(looked_up())}
    assert found.keys() == {MINI, TUNED}
    mini = found[MINI]
    assert (mini.calls, mini.cost_pico, mini.unknown) == (5, 4, 1)
    assert {part.tier: part for part in mini.parts} == {
        None: Part(None, 4, Usage({unit: 3 * count for unit, count in each.items()})),
        "priority": Part("priority", 1, Usage(each)),
    }
