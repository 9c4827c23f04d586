"""A ledger with some of everything in it: what a copy of it must have too."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from billing.alerts import Alert, Kind, Level
from billing.attribution import Attribution
from billing.budgets import Budget
from billing.charges import Basis, Call, Charge, Made, Outcome
from billing.rating import Line, Rate
from billing.store import DIMENSIONS, Narrowing, Store
from billing.usage import Unit, Usage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TEXTS = (None, "plain", "", "Zürich 💶", '"quoted", \\ and\nbroken', "2026-11-24T12:00:00Z", "null", "AAEC")


def some_charge(number: int) -> Charge:
    """The charge of that number: costs and counts of all sizes, all texts, four months."""
    at = NOON - timedelta(days=number % 97, microseconds=number * 7919)
    text = TEXTS[number % len(TEXTS)]
    who = Attribution(team=text, user=TEXTS[number % 5], key=f"key{number % 3}", tags={"stage": text} if text else {})
    call = Call(f"fbx_{number:06}", at, "chat", "POST", "/v1/chat/completions", who, "one", held_pico=number * 10**9)
    made = (Made(f"file-{number}"),) if number % 10 == 0 else ()
    if number % 7 == 0:
        outcome = Outcome(at, Basis.UNKNOWN, None, reason="interrupted", made=made)
        return Charge(call, outcome, text, None, None, Usage(), (), Usage(), None, "book", {})
    cost = (0, 1, 10**12 + 1, 2**62)[number % 4]
    usage = Usage({Unit.INPUT_TEXT: number, Unit.OUTPUT_TEXT: 10**12 + number})
    line = Line(Unit.INPUT_TEXT, number, Rate(2_500_000, 1), cost)
    outcome = Outcome(at, Basis.REPORTED, 200, made=made)
    return Charge(call, outcome, "gpt-4o", "gpt-4o", "default", usage, (line,), Usage(), cost, "book", {"seen": 1})


async def fill(store: Store, charges: int) -> None:
    """Make the tables, and put in that many charges, definitions, withdrawals, an alert and its deliveries."""
    await store.create()
    for start in range(0, charges, 500):
        await store.post([some_charge(number) for number in range(start, min(charges, start + 500))])
    budget = Budget("all", 10**15)
    await store.registry.define([budget, replace(budget, name="gone")], NOON)
    await store.registry.withdraw(Budget, "gone", NOON)
    alert = Alert(Kind.BUDGET_THRESHOLD, "all", NOON, NOON + timedelta(days=1), Level.WARNING, "50 %", "half is gone")
    await store.alerts.raise_alerts([alert], lambda _: ["slack:1f3a9c", "alertmanager"], NOON)


async def answers(store: Store) -> dict[str, Any]:
    """All that one can ask of it."""
    asked: dict[str, Callable[[], Any]] = {
        f"by {name}": lambda name=name: store.totals((name,), Narrowing()) for name in DIMENSIONS
    }
    found: dict[str, Any] = {name: sorted(map(repr, await ask())) for name, ask in asked.items()}
    found["charges"] = [row async for row in store.charges(Narrowing())]
    found["units"] = await store.quantities(("team",), Narrowing())
    found["directory"] = await store.registry.directory()
    found["alerts"] = await store.alerts.listed()
    found["objects"] = sorted(await store.objects([f"file-{number}" for number in range(100)]))
    return found
