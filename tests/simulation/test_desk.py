"""Many thousand calls through a real desk in made-up time, with cancels, timeouts, crashes: the money is all there."""

import asyncio
import logging
import os
from pathlib import Path

import pytest
from simulation.desk import BERLIN, BOOKS, CAPPED, Ending
from simulation.life import Life

from billing.charges import Basis
from billing.store import Narrowing, Store

REQUESTS = int(os.environ.get("FAREBOX_TEST_REQUESTS", "12000"))
"""`FAREBOX_TEST_REQUESTS=100000 make test` tries harder."""

HAPPENINGS = ("_post", "_crash", "_crash_while_posting", "_fill_the_disk", "_redefine")

SEEDS = [int(seed) for seed in os.environ.get("FAREBOX_TEST_SEED", "20261123").split(",")]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_all_money_is_where_it_belongs(
    tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1, "farebox")  # a full disk says much
    life = Life(seed, tmp_path)
    try:
        asyncio.run(life.run(REQUESTS))
        nothing_is_held(life)
        asyncio.run(the_ledger_is_the_bill(life, f"sqlite:///{tmp_path}/farebox.db"))
    except AssertionError as error:
        error.add_note(f"to see it again: FAREBOX_TEST_SEED={seed} FAREBOX_TEST_REQUESTS={REQUESTS}")
        raise
    for happened in (*(ending.name for ending in Ending), "refused", "outgrown", "expired", "interrupted", *HAPPENINGS):
        assert life.seen[happened], f"{happened} never happened: this seed tests too little"


def nothing_is_held(life: Life) -> None:
    positions = life.desk.balances.positions(life.now)
    assert {position.held_pico for position in positions} == {0}
    capped = next(position for position in positions if position.budget == CAPPED)
    assert capped.overrun_pico == 0


async def the_ledger_is_the_bill(life: Life, database: str) -> None:
    """Row by row: what was reported is what was billed; what is not known counts as its hold, and a hold that is a
    bound is at least what was billed; what was not billed is not charged, unless nothing is known of its end."""
    store = Store(database)
    charges = {charge["id"]: charge async for charge in store.charges(Narrowing())}
    await store.close()
    assert set(life.bill) <= set(charges), "every billed call is in the ledger"
    assert len(charges) == len(set(life.bill) | life.unknown)
    counted = 0
    for ident, charge in charges.items():
        call, billed = life.calls[ident], life.bill.get(ident, 0)
        if charge["basis"] == Basis.REPORTED:
            assert charge["cost_pico"] == billed, ident
        elif charge["basis"] == Basis.UNKNOWN:
            assert charge["cost_pico"] is None
            assert ident in life.unknown
            assert call.hold == "expected" or billed <= call.held_pico, ident
        counted += call.held_pico if charge["cost_pico"] is None else charge["cost_pico"]
    positions = life.desk.balances.positions(life.now)
    books = next(position for position in positions if position.budget == BOOKS)
    assert (books.since, books.until) == BOOKS.window_at(life.now, BERLIN)
    assert books.spent_pico == counted, "the balance is what the ledger's rows count as"
