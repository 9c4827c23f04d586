"""Owners: who made an object is known from memory, from the journal and from the ledger, and always the same."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Made, Outcome
from billing.journal import Journal
from billing.owners import Owner, Owners
from billing.store import Store
from billing.usage import Usage

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BLUE, RED, LONER = Attribution(key="b", team="blue"), Attribution(key="r", team="red"), Attribution(key="loner")


def charged(ident: str, who: Attribution, *made: Made) -> Charge:
    call = Call(ident, NOON, "create", "POST", "/v1/files", who, "one")
    outcome = Outcome(NOON, Basis.FREE, 200, made=made)
    return Charge(call, outcome, None, None, None, Usage(), (), Usage(), 0, "test")


def with_owners(
    path: Path, database: str, scenario: Callable[[Owners, Journal, Store], Awaitable[None]], ceiling: int = 100
) -> None:
    async def run() -> None:
        journal, store = Journal(path / "journal"), Store(database)
        try:
            await store.create()
            await scenario(Owners(journal, store, ceiling), journal, store)
        finally:
            await store.close()
            journal.shut()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("viewer", "owner", "may"),
    [
        (Owner("blue", "b"), Owner("blue", "other"), True),
        (Owner("blue", "b"), Owner("red", "b"), False),
        (Owner("blue", "b"), Owner(None, "b"), True),
        (Owner(None, "b"), Owner("blue", "b"), False),
        (Owner(None, "a"), Owner(None, "b"), False),
        (Owner(None, None), Owner(None, None), False),
        (Owner("blue", "b"), None, False),
    ],
)
def test_who_may_use_what(viewer: Owner, owner: Owner | None, may: bool) -> None:
    assert viewer.may_use(owner) is may


def test_an_owner_is_known_from_wherever_its_charge_is(tmp_path: Path, database: str) -> None:
    async def scenario(owners: Owners, journal: Journal, store: Store) -> None:
        owners.charged(charged("1", BLUE, Made("in memory")))
        journal.close(charged("2", RED, Made("in the journal"), Made('odd "id"')))
        await store.post([charged("3", LONER, Made("in the ledger"))])
        expected = {
            "in memory": Owner("blue", "b"),
            "in the journal": Owner("red", "r"),
            'odd "id"': Owner("red", "r"),
            "in the ledger": Owner(None, "loner"),
        }
        assert await owners.of([*expected, "unknown", "in the"]) == expected

    with_owners(tmp_path, database, scenario)


def test_what_came_of_an_object_belongs_with_it(tmp_path: Path, database: str) -> None:
    async def scenario(owners: Owners, journal: Journal, store: Store) -> None:
        await store.post([charged("1", BLUE, Made("batch"))])
        journal.close(charged("2", RED, Made("output", "batch")))  # whoever was the first to see it
        owners.charged(charged("3", RED, Made("detail", "output"), Made("orphan", "unknown")))
        owners.charged(charged("4", RED, Made("a", "b"), Made("b", "a")))
        assert await owners.of(["output", "detail", "orphan", "a"]) == dict.fromkeys(
            ("output", "detail"), Owner("blue", "b")
        )

    with_owners(tmp_path, database, scenario)


def test_an_object_belongs_to_who_made_it_first(tmp_path: Path, database: str) -> None:
    async def scenario(owners: Owners, _journal: Journal, store: Store) -> None:
        await store.post([charged("1", BLUE, Made("x")), charged("2", RED, Made("x"))])
        await store.post([charged("3", RED, Made("x"))])
        assert await owners.of(["x"]) == {"x": Owner("blue", "b")}
        owners.charged(charged("4", RED, Made("x")))
        assert await owners.of(["x"]) == {"x": Owner("blue", "b")}

    with_owners(tmp_path, database, scenario)


def test_memory_is_bounded_and_what_leaves_it_is_looked_up_again(tmp_path: Path, database: str) -> None:
    async def scenario(owners: Owners, journal: Journal, store: Store) -> None:
        for number in range(10):
            settled = charged(str(number), BLUE, Made(f"made {number}"))
            journal.close(settled)
            owners.charged(settled)
        assert len(owners._remembered) == 3
        assert len(await owners.of([f"made {number}" for number in range(10)])) == 10
        assert len(owners._remembered) == 3

    with_owners(tmp_path, database, scenario, ceiling=3)


def test_many_are_asked_for_at_once(tmp_path: Path, database: str) -> None:
    async def scenario(owners: Owners, _journal: Journal, store: Store) -> None:
        made = [Made(f"file-{number}") for number in range(2500)]
        await store.post([charged("1", BLUE, *made)])
        assert len(await owners.of([each.id for each in made])) == 2500

    with_owners(tmp_path, database, scenario, ceiling=5000)
