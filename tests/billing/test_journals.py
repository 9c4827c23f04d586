"""The folder of journals: each replica keeps its own, and what the dead have left is settled once."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.journal import Journal, JournalLocked
from billing.journals import Adoption, claim, folder_of, replica_of
from billing.prices import PriceBook
from billing.store import Narrowing, Store
from billing.usage import Usage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BOOK = PriceBook((), "book")


def call(ident: str, replica: str) -> Call:
    return Call(ident, NOON, "chat", "POST", "/v1/chat/completions", Attribution(), replica, held_pico=5)


def charge(ident: str, replica: str) -> Charge:
    outcome = Outcome(NOON, Basis.REPORTED, 200)
    return Charge(call(ident, replica), outcome, None, None, None, Usage(), (), Usage(), 7, "book", {})


def left_behind(journals: Path, replica: str) -> None:
    """A replica that died with one charge posted to nobody and one call in flight."""
    claimed = claim(journals, replica, 0, Journal)
    claimed.journal.open(call(f"{replica}-1", replica))
    claimed.journal.close(charge(f"{replica}-1", replica))
    claimed.journal.open(call(f"{replica}-2", replica))
    claimed.journal.flush()
    claimed.journal.shut()


def test_a_replica_has_the_journal_of_its_name(tmp_path: Path) -> None:
    claimed = claim(tmp_path, "host:8080/a b", 0, Journal)
    assert (claimed.replica, claimed.number) == ("host:8080/a b", 0)
    assert claimed.journal.folder == folder_of(tmp_path, "host:8080/a b") == tmp_path / "host_8080_a_b"
    assert replica_of(claimed.journal.folder) == "host:8080/a b"
    with pytest.raises(JournalLocked):
        claim(tmp_path, "host:8080/a b", 0, Journal)
    claimed.journal.shut()


def test_those_that_share_an_address_take_the_first_number_that_is_free(tmp_path: Path) -> None:
    first, second = (claim(tmp_path, "host", 2, Journal) for _ in range(2))
    assert [(it.replica, it.number) for it in (first, second)] == [("host-0", 0), ("host-1", 1)]
    with pytest.raises(JournalLocked):
        claim(tmp_path, "host", 2, Journal)
    first.journal.shut()
    again = claim(tmp_path, "host", 2, Journal)
    assert again.replica == "host-0"
    again.journal.shut()
    second.journal.shut()


def test_what_the_dead_have_left_is_posted_under_their_names_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        for replica in ("gone", "lost"):
            left_behind(tmp_path / "j", replica)
        alive = claim(tmp_path / "j", "alive", 0, Journal)
        alive.journal.open(call("alive-1", "alive"))
        own = claim(tmp_path / "j", "own", 0, Journal)
        store = Store(f"sqlite:///{tmp_path}/farebox.db")
        await store.create()
        told: list[str] = []

        async def adopted(name: str) -> None:
            with pytest.raises(JournalLocked):  # nobody can come back before it is told
                claim(tmp_path / "j", name, 0, Journal)
            told.append(name)

        adoption = Adoption(own.journal.folder, store, BOOK, lambda: NOON, adopted)
        with caplog.at_level(logging.WARNING, "farebox.journals"):
            assert await adoption.step() == told == ["gone", "lost"]
        assert "the journal of gone, which has ended, was adopted: 1 charges posted, 1 calls" in caplog.text
        charges = {row["id"]: row async for row in store.charges(Narrowing())}
        assert {ident: (row["replica"], row["cost_pico"], row["reason"]) for ident, row in charges.items()} == {
            "gone-1": ("gone", 7, None), "gone-2": ("gone", None, "interrupted"),
            "lost-1": ("lost", 7, None), "lost-2": ("lost", None, "interrupted"),
        }  # fmt: skip
        assert await adoption.step() == []
        left_behind(tmp_path / "j", "gone")  # it came back, and died again
        assert await adoption.step() == ["gone"]
        alive.journal.shut()
        own.journal.shut()
        await store.close()

    asyncio.run(scene())


def test_while_the_database_is_away_what_is_left_stays(tmp_path: Path) -> None:
    async def scene() -> None:
        left_behind(tmp_path / "j", "gone")
        own = claim(tmp_path / "j", "own", 0, Journal)
        store = Store(f"sqlite:///{tmp_path}/none/farebox.db")
        told: list[str] = []

        async def adopted(name: str) -> None:
            told.append(name)

        adoption = Adoption(own.journal.folder, store, BOOK, lambda: NOON, adopted)
        with pytest.raises(Exception, match="unable to open"):
            await adoption.step()
        (tmp_path / "none").mkdir()
        await store.create()
        assert await adoption.step() == told == ["gone"]
        assert len([row async for row in store.charges(Narrowing())]) == 2
        own.journal.shut()
        await store.close()

    asyncio.run(scene())
