"""The cashier: every exchange ends once, and no charge is lost to a journal that cannot be written just now."""

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from billing.attribution import Attribution
from billing.balances import Balances
from billing.budgets import Budget
from billing.cashier import INTERRUPTED, UNMETERED, Cashier
from billing.charges import Basis, Call, Charge, Outcome
from billing.journal import Journal, JournalUnwritable
from billing.prices import Price, PriceBook, PriceList
from billing.rating import Rate
from billing.records import decode
from billing.usage import Reading, Unit, Usage

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")
PRICE = Price("gpt-4.1", "default", date(2026, 1, 1), {Unit.INPUT_TEXT: Rate(2_000_000)})
BOOK = PriceBook((PriceList("ours", (PRICE,)),), "2026-11-23.test")
SPENT = Outcome(NOON + timedelta(seconds=2), Basis.REPORTED, 200, Reading(Usage({Unit.INPUT_TEXT: 10}), "gpt-4.1"))


def call(ident: str) -> Call:
    return Call(ident, NOON, "chat", "POST", "/v1/chat/completions", Attribution(team="harbour"), "one", "gpt-4.1")


def fill_disk(journal: Journal) -> None:
    _sql(journal, "CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")


def make_room(journal: Journal) -> None:
    _sql(journal, "DROP TRIGGER full")


def _sql(journal: Journal, statement: str) -> None:
    with closing(sqlite3.connect(journal.folder / "journal.db", isolation_level=None)) as db:
        db.execute(statement)


def ended(journal: Journal) -> list[str]:
    closed = journal.closed(10**6)
    return [charge.call.id for charge in closed.charges] if closed else []


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "one")
    yield opened
    opened.shut()


def on_a_budget(limit: int) -> Balances:
    balances = Balances(UTC_ZONE)
    balances.put([Budget("b", limit)], {"b": ()})
    return balances


def standing(balances: Balances) -> tuple[int, int]:
    (position,) = balances.positions(NOON)
    return position.spent_pico, position.held_pico


def test_a_call_is_held_until_it_is_settled_and_the_book_is_told_when_holds_go(journal: Journal) -> None:
    balances, freed = on_a_budget(50_000_000), list[tuple[int, int]]()
    cashier = Cashier(journal, BOOK, balances)
    cashier.freed.append(lambda: freed.append(standing(balances)))
    held = replace(call("a"), held_pico=40_000_000)
    assert cashier.open(held) is None
    assert (standing(balances), freed) == ((0, 40_000_000), [])
    assert journal.unfinished() == [held]
    cashier.settle(held, SPENT)
    assert freed == [(20_000_000, 0)]
    other = replace(call("b"), held_pico=30_000_000)
    cashier.open(other)
    cashier.release(other)
    assert freed == [(20_000_000, 0), (20_000_000, 0)]


def test_a_call_that_no_budget_affords_is_neither_held_nor_recorded(journal: Journal) -> None:
    balances = on_a_budget(50)
    shortage = Cashier(journal, BOOK, balances).open(replace(call("a"), held_pico=51))
    assert shortage
    assert (shortage.position.budget.name, shortage.ask_pico) == ("b", 51)
    assert standing(balances) == (0, 0)
    assert journal.unfinished() == []


def test_a_call_that_cannot_be_recorded_holds_nothing(journal: Journal) -> None:
    balances = on_a_budget(50)
    fill_disk(journal)
    with pytest.raises(JournalUnwritable):
        Cashier(journal, BOOK, balances).open(replace(call("a"), held_pico=50))
    assert standing(balances) == (0, 0)


def test_a_raised_hold_is_what_an_unknown_cost_counts_as_also_after_a_crash(journal: Journal) -> None:
    balances = on_a_budget(100)
    cashier = Cashier(journal, BOOK, balances)
    held = replace(call("a"), held_pico=60)
    cashier.open(held)
    raised = cashier.top_up(held, 70)
    assert standing(balances) == (0, 130)
    assert journal.unfinished() == [raised]
    after = on_a_budget(100)
    assert Cashier(journal, BOOK, after).settle_interrupted(NOON) == 1
    assert standing(after) == (130, 0)


def test_a_settled_exchange_is_priced_recorded_and_told_once(journal: Journal) -> None:
    cashier, told = Cashier(journal, BOOK, Balances(UTC_ZONE)), list[Charge]()
    cashier.listeners += [told.append, lambda charge: seen.append(journal.find(charge.call.id))]
    seen: list[Charge | None] = []
    cashier.open(call("a"))
    assert told == []
    settled = cashier.settle(call("a"), SPENT)
    assert settled.cost_pico == 20_000_000
    assert settled.price_book == "2026-11-23.test"
    assert told == [settled]
    assert seen == [settled], "listeners hear of what is in the journal already"
    assert journal.unfinished() == []
    assert ended(journal) == ["a"]


def test_a_released_exchange_costs_nothing_and_nobody_is_told(journal: Journal) -> None:
    cashier, told = Cashier(journal, BOOK, Balances(UTC_ZONE)), list[Charge]()
    cashier.listeners.append(told.append)
    cashier.open(call("a"))
    cashier.release(call("a"))
    assert (told, journal.unfinished(), ended(journal)) == ([], [], [])


def test_no_call_leaves_that_cannot_be_recorded(journal: Journal) -> None:
    cashier = Cashier(journal, BOOK, Balances(UTC_ZONE))
    fill_disk(journal)
    with pytest.raises(JournalUnwritable):
        cashier.open(call("a"))
    make_room(journal)
    cashier.open(call("b"))
    assert journal.unfinished() == [call("b")]


def test_charges_wait_in_memory_and_are_written_in_order_before_the_next_call(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    cashier, told = Cashier(journal, BOOK, Balances(UTC_ZONE)), list[Charge]()
    cashier.listeners.append(told.append)
    for ident in "abc":
        cashier.open(call(ident))
    fill_disk(journal)
    with caplog.at_level(logging.CRITICAL, "farebox.journal"):
        settled = [cashier.settle(call(ident), SPENT) for ident in "ba"]
    assert [decode(record.args[1].encode()) for record in caplog.records] == settled, "and the log has them too"  # type: ignore[index,union-attr]
    assert told == settled
    assert list(cashier.waiting()) == settled, "budgets that are summed up just now must not miss them"
    with pytest.raises(JournalUnwritable):
        cashier.open(call("d"))
    assert ended(journal) == []
    make_room(journal)
    cashier.open(call("e"))
    assert [each.call.id for each in cashier.waiting()] == ["b", "a"]
    assert ended(journal) == ["b", "a"]
    assert [each.id for each in journal.unfinished()] == ["c", "e"]
    assert told == settled, "each was told once"
    cashier.settle(call("c"), SPENT)
    assert ended(journal) == ["b", "a", "c"]


def test_a_later_charge_takes_the_waiting_ones_along(journal: Journal) -> None:
    cashier = Cashier(journal, BOOK, Balances(UTC_ZONE))
    cashier.open(call("a"))
    cashier.open(call("b"))
    fill_disk(journal)
    cashier.settle(call("a"), SPENT)
    make_room(journal)
    cashier.settle(call("b"), SPENT)
    assert ended(journal) == ["a", "b"]


def test_a_release_that_cannot_be_written_waits_like_a_charge(journal: Journal) -> None:
    cashier = Cashier(journal, BOOK, Balances(UTC_ZONE))
    cashier.open(call("a"))
    fill_disk(journal)
    cashier.release(call("a"))
    assert journal.unfinished() == [call("a")]
    make_room(journal)
    cashier.open(call("b"))
    assert journal.unfinished() == [call("b")]


# In the event loop, where calls share a commit


def test_a_call_may_leave_once_it_is_on_disk(journal: Journal) -> None:
    cashier = Cashier(journal, BOOK, on_a_budget(100))

    async def scene() -> None:
        held = [replace(call(ident), held_pico=40) for ident in "abc"]
        assert [bool(cashier.open(each)) for each in held] == [False, False, True]
        assert journal.unfinished() == []
        await asyncio.gather(*(cashier.opened(each) for each in held[:2]))
        assert journal.unfinished() == held[:2]
        cashier.settle(held[0], SPENT)
        assert ended(journal) == []
        await cashier.recorded()
        assert ended(journal) == ["a"]
        await cashier.recorded()

    asyncio.run(scene())


def test_a_call_that_does_not_come_to_the_disk_is_undone(journal: Journal) -> None:
    balances, freed = on_a_budget(100), list[tuple[int, int]]()
    cashier = Cashier(journal, BOOK, balances)
    cashier.freed.append(lambda: freed.append(standing(balances)))

    async def scene() -> None:
        earlier, later = replace(call("a"), held_pico=40), replace(call("b"), held_pico=50)
        cashier.open(earlier)
        await cashier.opened(earlier)
        fill_disk(journal)
        assert cashier.open(later) is None
        assert standing(balances) == (0, 90)
        with pytest.raises(JournalUnwritable):
            await cashier.opened(later)
        assert freed == [(0, 40)]
        cashier.release(earlier)
        await cashier.recorded()
        make_room(journal)
        assert cashier.open(later) is None
        await cashier.opened(later)
        assert journal.unfinished() == [later]

    asyncio.run(scene())


def test_a_call_that_nobody_waits_for_any_more_is_released(journal: Journal) -> None:
    balances = on_a_budget(100)
    cashier = Cashier(journal, BOOK, balances)

    async def scene() -> None:
        async def leave() -> None:
            held = replace(call("a"), held_pico=40)
            cashier.open(held)
            await cashier.opened(held)

        opening = asyncio.create_task(leave())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await cashier.recorded()

    asyncio.run(scene())
    assert standing(balances) == (0, 0)
    assert (journal.unfinished(), journal.pending()) == ([], 1)


def test_what_an_earlier_life_left_in_flight_is_charged_as_unknown_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "one")
    earlier = Cashier(journal, BOOK, Balances(UTC_ZONE))
    for ident in "abcd":
        earlier.open(call(ident))
    earlier.settle(call("b"), SPENT)
    earlier.release(call("c"))
    journal.shut()

    journal = Journal(tmp_path / "one")
    cashier, told = Cashier(journal, BOOK, Balances(UTC_ZONE)), list[Charge]()
    cashier.listeners.append(told.append)
    later = NOON + timedelta(hours=1)
    assert cashier.settle_interrupted(later) == 2
    assert cashier.settle_interrupted(later) == 0
    assert [charge.call for charge in told] == [call("a"), call("d")]
    assert {charge.outcome for charge in told} == {Outcome(later, Basis.UNKNOWN, reason=INTERRUPTED)}
    assert {charge.cost_pico for charge in told} == {None}
    assert ended(journal) == ["b", "a", "d"]
    journal.shut()


@pytest.mark.parametrize(
    ("case", "outcome", "said"),
    [
        (
            "a unit without price",
            Outcome(NOON, Basis.REPORTED, 200, Reading(Usage({Unit.INPUT_TEXT: 1, Unit.OUTPUT_TEXT: 1}), "gpt-4.1")),
            "no price for output_text_tokens of gpt-4.1 at tier default: recorded as unpriced",
        ),
        (
            "a route that no table knows",
            Outcome(NOON, Basis.UNKNOWN, 200, reason=UNMETERED),
            "no meter for POST /v1/chat/completions: relayed, recorded with cost unknown",
        ),
        ("nothing missing", SPENT, None),
    ],
)
def test_a_gap_is_told_once(
    journal: Journal, caplog: pytest.LogCaptureFixture, case: str, outcome: Outcome, said: str | None
) -> None:
    cashier = Cashier(journal, BOOK, Balances(UTC_ZONE))
    with caplog.at_level(logging.WARNING, "farebox.cashier"):
        for ident in "abc":
            cashier.open(call(ident))
            cashier.settle(call(ident), outcome)
    assert caplog.messages == ([said] if said else [])


class Desk(RuleBasedStateMachine):
    """Calls come and end while the disk fills up and is cleared, and the process dies and starts again."""

    factory: pytest.TempPathFactory

    @initialize()
    def begin(self) -> None:
        self.folder = self.factory.mktemp("desk") / "one"
        self.number = 0
        self.full = False
        self.open_calls: list[Call] = []
        self.must_be_charged: set[str] = set()
        self.told: list[str] = []
        self._start()

    def _start(self) -> None:
        self.journal = Journal(self.folder)
        self.cashier = Cashier(self.journal, BOOK, Balances(UTC_ZONE))
        self.cashier.listeners.append(lambda charge: self.told.append(charge.call.id))

    @rule()
    def admit(self) -> None:
        admitted = call(str(self.number))
        self.number += 1
        try:
            self.cashier.open(admitted)
        except JournalUnwritable:
            assert self.full
        else:
            assert not self.full
            self.open_calls.append(admitted)

    @rule(which=st.integers(0, 9))
    def settle(self, which: int) -> None:
        if self.open_calls:
            ending = self.open_calls.pop(which % len(self.open_calls))
            self.cashier.settle(ending, SPENT)
            self.must_be_charged.add(ending.id)

    @rule(which=st.integers(0, 9))
    def release(self, which: int) -> None:
        if self.open_calls:
            self.cashier.release(self.open_calls.pop(which % len(self.open_calls)))

    @rule()
    def disk(self) -> None:
        (make_room if self.full else fill_disk)(self.journal)
        self.full = not self.full

    @rule()
    def start_again(self) -> None:
        in_flight = {each.id for each in self.journal.unfinished()}
        if not self.full:
            self.disk()
        self.journal.shut()  # as a kill does: nothing more is written
        self.disk()
        self._start()
        self.told = [ident for ident in self.told if ident not in in_flight]
        self.cashier.settle_interrupted(NOON)
        self.must_be_charged |= in_flight
        self.open_calls = []

    @invariant()
    def every_exchange_ends_once(self) -> None:
        recorded = ended(self.journal)
        assert len(recorded) == len(set(recorded))
        assert set(recorded) <= self.must_be_charged
        in_memory = self.must_be_charged - set(recorded)
        assert in_memory <= {each.id for each in self.journal.unfinished()}, "after a crash they are interrupted"
        assert sorted(self.told) == sorted(self.must_be_charged), "each was told once"

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.shut()


def test_every_exchange_ends_once_whatever_happens(tmp_path_factory: pytest.TempPathFactory) -> None:
    Desk.factory = tmp_path_factory
    run_state_machine_as_test(Desk, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))  # type: ignore[no-untyped-call]
