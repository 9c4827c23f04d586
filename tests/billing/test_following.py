"""Following the registry: what operators decide is in force, with what was spent on it, each charge once."""

import asyncio
import logging
import re
import sqlite3
import stat
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from billing.attribution import Attribution
from billing.balances import Balances
from billing.budgets import Budget
from billing.cashier import Cashier
from billing.charges import Basis, Call, Charge, Outcome
from billing.following import Follower, folds
from billing.journal import Journal
from billing.keys import Key, Terms, issue
from billing.limits import Limit
from billing.poster import Poster
from billing.prices import PriceBook
from billing.registry import Directory
from billing.scopes import EVERYTHING, Scope
from billing.store import Spent, Store
from billing.usage import Usage

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def charged(
    ident: str, cost: int | None, when: datetime = NOON, *, held: int = 0, model: str | None = "gpt-4o",
    tags: dict[str, str] | None = None, **who: str,
) -> Charge:  # fmt: skip
    """A charge for a call that asked for `model`, and was answered by another."""
    said = Attribution(**who, tags=tags or {})
    call = Call(ident, when, "chat", "POST", "/v1/chat/completions", said, "one", model, held_pico=held)
    outcome = Outcome(when + timedelta(seconds=2), Basis.UNKNOWN if cost is None else Basis.REPORTED)
    return Charge(call, outcome, "gpt-served", "gpt-served", "default", Usage(), (), Usage(), cost, "test")


def scope(**wanted: str) -> Scope:
    """`team="a,b"`, `tag_env="prod"`."""
    return Scope({name.replace("tag_", "tag:"): tuple(value.split(",")) for name, value in wanted.items()})


class Ledger(Store):
    """A store in whose questions about spend something happens, after they were answered."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def spent(self, by: Collection[str], since: datetime, until: datetime) -> list[Spent]:
        found = await super().spent(by, since, until)
        if self.meanwhile is not None:
            await self.meanwhile()
        return found


BOOK = PriceBook((), "2026-11-23.test")


@dataclass
class Replica:
    """What follows the registry, and all it works with."""

    store: Ledger
    journal: Journal
    poster: Poster
    balances: Balances
    follower: Follower

    def stands(self, budget: str, when: datetime = NOON) -> tuple[int, int]:
        """What is spent on a budget, and how much of it stands for what is not known."""
        position = next(each for each in self.balances.positions(when) if each.budget.name == budget)
        return position.spent_pico, position.unknown_pico

    def questions(self, about: str) -> list[str]:
        """What the database will be asked of a table."""
        asked: list[str] = []

        def note(*seen: Any) -> None:
            if re.search(rf"FROM [\w, \n]*\b{about}\b", seen[2]):
                asked.append(seen[2])

        event.listen(self.store.engine.sync_engine, "before_cursor_execute", note)
        return asked


def play(folder: Path, act: Callable[[Replica], Awaitable[None]], zone: ZoneInfo = BERLIN) -> None:
    async def scene() -> None:
        store, journal, balances = Ledger(f"sqlite:///{folder}/farebox.db"), Journal(folder / "one"), Balances(zone)
        poster = Poster(journal, store)
        memory = folder / "one" / "directory.json"
        follower = Follower(store, Cashier(journal, BOOK, balances), poster, balances, zone, lambda: NOON, memory)
        try:
            await store.create()
            await act(Replica(store, journal, poster, balances, follower))
        finally:
            await store.close()
            journal.shut()

    asyncio.run(scene())


# ── what the ledger says was spent ──────────────────────────────────────────────

IN_TIME = [
    charged("noon", 1),
    charged("first of today", 10, at("2026-11-22T23:00")),
    charged("last of yesterday", 100, at("2026-11-22T22:59:59.999999")),
    charged("first of yesterday", 1_000, at("2026-11-21T23:00")),
    charged("the day before", 10_000, at("2026-11-21T22:59:59.999999")),
    charged("last of October", 100_000, at("2026-10-31T22:59:59.999999")),
    charged("an old one", 1_000_000, at("2020-01-01T00:00")),
    charged("nobody knows", None, NOON, held=7),
    charged("nobody knew yesterday", None, at("2026-11-22T12:00"), held=70),
    charged("nobody knows, and nothing was held", None, NOON),
]


@pytest.mark.parametrize(
    ("window", "sums"),
    [
        ("day", [(18, 7), (1_170, 70)]),
        ("week", [(18, 7), (11_170, 70)]),
        ("month", [(11_188, 77), (100_000, 0)]),
        ("total", [(1_111_188, 77)]),
    ],
)
def test_the_current_window_and_the_last_one(tmp_path: Path, window: str, sums: list[tuple[int, int]]) -> None:
    async def act(on: Replica) -> None:
        await on.store.post(IN_TIME)
        budget = Budget("b", 1, window)
        found = await folds(on.store, [budget], NOON, BERLIN)
        assert [(fold.spent_pico, fold.unknown_pico) for fold in found["b"]] == sums
        since, until = budget.window_at(NOON, BERLIN)
        assert (found["b"][0].since, found["b"][0].until) == (since, until)
        assert [fold.until for fold in found["b"][1:]] == [since] * (len(sums) - 1)

    play(tmp_path, act)


CALLERS = [
    charged("1", 1, team="search", key="ci", project="web", user="ann", tags={"env": "prod"}),
    charged("2", 2, team="ads", key="batch", model="gpt-4o-2024-08-06", tags={"env": "dev", "stage": "prod"}),
    charged("4", 4, team="search", key="ci", model="ft:gpt-4o-mini-2024-07-18:acme::abc"),
    charged("8", 8, model=None),
    charged("16", 16, team="", project="web", user="bob", model="gpt-5", tags={"env": ""}),
    charged("32", None, held=32, team="ads", user="ann", tags={"stage": "prod", "env": "dev"}),
]


@pytest.mark.parametrize(
    ("wanted", "sum_of"),
    [
        (EVERYTHING, 63),
        (scope(team="search"), 1 + 4),
        (scope(team="search,ads"), 1 + 2 + 4 + 32),
        (scope(key="ci"), 1 + 4),
        (scope(project="web"), 1 + 16),
        (scope(user="ann"), 1 + 32),
        (scope(model="gpt-4o"), 1 + 2 + 32),  # as asked for; its snapshots too
        (scope(model="gpt-4o-2024-08-06"), 2),
        (scope(model="gpt-4o-mini"), 4),
        (scope(model="gpt-served"), 0),
        (scope(tag_env="dev"), 2 + 32),
        (scope(tag_env="prod", tag_stage="prod"), 0),
        (scope(tag_env="dev", tag_stage="prod", team="ads"), 2 + 32),
        (scope(team="search", model="gpt-4o"), 1),
        (scope(team="nobody"), 0),
    ],
    ids=str,
)
def test_a_budget_adds_up_the_charges_of_its_scope(tmp_path: Path, wanted: Scope, sum_of: int) -> None:
    async def act(on: Replica) -> None:
        await on.store.post(CALLERS)
        budgets = [Budget("b", 1, scope=wanted), Budget("beside it", 1, scope=scope(team="ads", tag_env="dev"))]
        found = await folds(on.store, budgets, NOON, BERLIN)
        assert (found["b"][0].spent_pico, found["b"][0].unknown_pico) == (sum_of, sum_of & 32)
        assert found["beside it"][0].spent_pico == 2 + 32

    play(tmp_path, act)


names = st.sampled_from(["a", "b", ""])
some_charges = st.lists(
    st.builds(
        charged,
        st.just(""),
        st.none() | st.integers(0, 2**62),
        st.integers(0, 9 * 24 * 60).map(lambda minutes: NOON - timedelta(minutes=minutes)),
        held=st.integers(0, 100),
        model=st.sampled_from([None, "gpt-4o", "gpt-4o-2024-08-06"]),
        team=names,
        user=names,
        tags=st.dictionaries(st.sampled_from(["env", "stage"]), names, max_size=2),
    ),
    max_size=10,
)
scopes = st.dictionaries(
    st.sampled_from(["team", "user", "model", "tag:env"]),
    st.lists(st.sampled_from(["a", "b", "gpt-4o"]), min_size=1, max_size=2, unique=True).map(tuple),
    max_size=2,
).map(Scope)
some_budgets = st.lists(st.tuples(st.sampled_from(["day", "week", "month", "total"]), scopes), max_size=4)


@settings(max_examples=25, deadline=None)
@given(some_charges, some_budgets)
def test_sums_of_the_ledger_are_the_sums_of_its_charges(
    tmp_path_factory: pytest.TempPathFactory, found: list[Charge], rules: list[tuple[str, Scope]]
) -> None:
    """What a replica that was there all the time knows, one that starts now is told."""
    budgets = [Budget(str(number), 1, window, wanted) for number, (window, wanted) in enumerate(rules)]
    there = Balances(BERLIN)
    there.put(budgets, {budget.name: () for budget in budgets})
    numbered = [replace(each, call=replace(each.call, id=str(number))) for number, each in enumerate(found)]
    for each in numbered:
        there.settle(each)

    async def act(on: Replica) -> None:
        if numbered:
            await on.store.post(numbered)
        await on.store.registry.define([*budgets, Limit("so that there is a change")], NOON)
        await on.follower.step()
        for when in (NOON, NOON - timedelta(days=1)):
            known = {each.budget.name: each for each in there.positions(when)}
            assert {each.budget.name: each for each in on.balances.positions(when)} == known

    play(tmp_path_factory.mktemp("following"), act)


def test_a_window_is_asked_about_once_however_many_budgets_share_it(tmp_path: Path) -> None:
    async def act(on: Replica) -> None:
        asked = on.questions("rollups")
        wanted = [EVERYTHING, scope(team="search"), scope(tag_env="prod"), scope(user="ann", model="gpt-4o")]
        days = [Budget(f"day {each}", 1, "day", each) for each in wanted]
        await folds(on.store, days, NOON, BERLIN)
        assert len(asked) == 2, "today, yesterday"
        more = [Budget(f"{window} {each}", 1, window, each) for each in wanted for window in ("month", "total")]
        await folds(on.store, [*days, *more], NOON, BERLIN)
        assert len(asked) == 2 + 5
        assert await folds(on.store, [], NOON, BERLIN) == {}
        assert len(asked) == 2 + 5

    play(tmp_path, act)


# ── in force ────────────────────────────────────────────────────────────────────


def test_what_is_decided_is_in_force_and_told_when_it_is(tmp_path: Path) -> None:
    async def act(on: Replica) -> None:
        told: list[tuple[int, list[Budget], tuple[int, int] | None]] = []

        def listen(directory: Directory) -> None:
            budgets = directory.all(Budget)
            told.append((directory.revision, budgets, on.stands("b") if budgets else None))

        on.follower.listeners.append(listen)
        await on.store.post([charged("1", 5, team="search"), charged("2", 3)])
        assert not on.follower.ready
        await on.follower.step()
        assert (told, on.follower.ready) == ([(0, [], None)], True), "that there is nothing is news as well"
        await on.follower.step()
        assert len(told) == 1

        first, changed = Budget("b", 10, scope=scope(team="search")), Budget("b", 20, scope=scope(team="search"))
        await on.store.registry.define([first], NOON)
        await on.follower.step()
        assert told[1:] == [(1, [first], (5, 0))]
        asked = on.questions("rollups")
        await on.store.registry.define([changed], NOON)
        await on.follower.step()
        assert (told[2:], asked) == ([(2, [changed], (5, 0))], []), "a changed limit needs no sums"
        assert on.balances.positions(NOON)[0].left_pico == 15

        await on.store.registry.define([Budget("b", 20, "day")], NOON)
        await on.follower.step()
        assert on.stands("b") == (8, 0)
        assert len(asked) == 2
        await on.store.registry.withdraw(Budget, "b", NOON)
        await on.follower.step()
        assert (on.balances.positions(NOON), on.follower.directory.all(Budget)) == ([], [])

    play(tmp_path, act)


# ── each charge once ────────────────────────────────────────────────────────────

YESTERDAY = NOON - timedelta(days=1)


def close(journal: Journal, charges: Iterable[Charge]) -> None:
    for each in charges:
        journal.open(each.call)
        journal.close(each)


async def follow_and_check(on: Replica) -> None:
    """The budget of a day is put in force; 11 were spent on it today, 4 of them unknown, and 100 yesterday."""
    await on.store.registry.define([Budget("b", 1_000, "day", scope(team="search"))], NOON)
    await on.follower.step()
    on.store.meanwhile = None
    assert (on.stands("b"), on.stands("b", YESTERDAY)) == ((11, 4), (100, 0))
    await on.poster.drain()
    assert (on.stands("b"), on.stands("b", YESTERDAY)) == ((11, 4), (100, 0))
    assert on.journal.pending() == 0


THREE = (
    charged("known", 7, team="search"),
    charged("unknown", None, held=4, team="search"),
    charged("yesterday's", 100, YESTERDAY, team="search"),
    charged("another's", 1_000, team="ads"),
    charged("of last week", 10_000, NOON - timedelta(days=7), team="search"),
)


def test_charges_that_wait_are_counted(tmp_path: Path) -> None:
    async def act(on: Replica) -> None:
        close(on.journal, THREE)
        on.journal.release("known too")
        await follow_and_check(on)

    play(tmp_path, act)


def test_charges_that_were_posted_and_not_forgotten_are_counted_once(tmp_path: Path) -> None:
    """A process was killed after the commit of a batch."""

    async def act(on: Replica) -> None:
        close(on.journal, THREE)
        await on.store.post(THREE[:3])
        await follow_and_check(on)

    play(tmp_path, act)


def test_charges_of_calls_that_end_while_sums_are_made_are_counted(tmp_path: Path) -> None:
    async def act(on: Replica) -> None:
        close(on.journal, THREE[:1])
        rest = list(THREE[1:])

        async def a_call_ends() -> None:
            if rest:
                close(on.journal, [rest[0]])
                on.balances.settle(rest.pop(0))

        on.store.meanwhile = a_call_ends
        await on.store.registry.define([Budget("another", 1, "month"), Budget("and another", 1, "week")], NOON)
        await follow_and_check(on)
        assert rest == []

    play(tmp_path, act)


def test_what_the_poster_would_post_while_sums_are_made_is_counted_once(tmp_path: Path) -> None:
    async def act(on: Replica) -> None:
        posting: set[asyncio.Task[int]] = set()

        async def the_poster_comes() -> None:
            """Calls end, and the poster has all the time it wants."""
            if not posting:
                close(on.journal, THREE)
                posting.add(asyncio.create_task(on.poster.drain()))
                await asyncio.wait(posting, timeout=0.2)

        on.store.meanwhile = the_poster_comes
        await follow_and_check(on)
        (posted,) = await asyncio.gather(*posting)
        assert posted == len(THREE)

    play(tmp_path, act)


# ── remembered ──────────────────────────────────────────────────────────────────


def test_the_directory_is_remembered_for_this_users_eyes_and_without_a_secret(tmp_path: Path) -> None:
    key, secret = issue(Terms("ci", "search"), [], ident="key_1", entropy=bytes(range(32)), now=NOON)
    budget, limit = Budget("b", 5, scope=scope(team="search")), Limit("l", scope(key="ci"), 60)

    async def act(on: Replica) -> None:
        assert on.follower.remembered() is None
        await on.store.registry.define([key, budget, limit], NOON)
        await on.follower.step()

    play(tmp_path, act)
    memory = tmp_path / "one" / "directory.json"
    assert stat.S_IMODE(memory.stat().st_mode) == 0o600
    assert {path.name for path in memory.parent.glob("directory*")} == {"directory.json"}
    assert secret.encode() not in memory.read_bytes()
    assert secret.removeprefix("fb-").encode() not in memory.read_bytes()

    async def next_life(on: Replica) -> None:
        found = on.follower.remembered()
        assert found is not None
        assert found.revision == 0, "so that all is asked for once the database is back"
        assert [found.all(kind) for kind in (Key, Budget, Limit)] == [[key], [budget], [limit]]
        assert on.follower.directory == Directory()
        await on.store.registry.withdraw(Budget, "b", NOON)
        await on.follower.step()
        latest = on.follower.remembered()
        assert latest is not None
        assert latest.all(Budget) == []

    play(tmp_path, next_life)


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{}", b'[["budget",{"na', b'[["budget",{"name":"b","limit_pico":-1}]]', b'[["key\xff",{}]]', b"[" * 9999],
)
def test_a_damaged_memory_is_none(tmp_path: Path, damaged: bytes) -> None:
    async def act(on: Replica) -> None:
        (on.journal.folder / "directory.json").write_bytes(damaged)
        assert on.follower.remembered() is None

    play(tmp_path, act)


def test_what_cannot_be_written_down_is_in_force_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def act(on: Replica) -> None:
        (on.journal.folder / "directory.new").mkdir()
        await on.store.registry.define([Budget("b", 5)], NOON)
        with caplog.at_level(logging.WARNING, "farebox.following"):
            await on.follower.step()
        assert on.follower.directory.all(Budget) == [Budget("b", 5)]
        assert "not written down" in caplog.text

    play(tmp_path, act)


# ── a database that is away ─────────────────────────────────────────────────────


@pytest.mark.parametrize("table", ["definitions", "rollups"])
@pytest.mark.parametrize("waiting", [(), THREE[:1]], ids=["nothing waits", "a charge waits"])
def test_while_the_database_is_away_all_stays_as_it_was(
    tmp_path: Path, table: str, waiting: tuple[Charge, ...]
) -> None:
    def rename(old: str, new: str) -> None:
        with closing(sqlite3.connect(tmp_path / "farebox.db", isolation_level=None)) as db:
            db.execute(f"ALTER TABLE {old} RENAME TO {new}")

    async def act(on: Replica) -> None:
        await on.store.post([charged("1", 5)])
        await on.store.registry.define([Budget("b", 10)], NOON)
        await on.follower.step()
        before = on.follower.directory
        memory = (on.journal.folder / "directory.json").read_bytes()
        told: list[Directory] = []
        on.follower.listeners.append(told.append)
        close(on.journal, waiting)
        for each in waiting:
            on.balances.settle(each)
        stood = on.balances.positions(NOON)

        await on.store.registry.define([Budget("b", 99), Budget("c", 20)], NOON)
        rename(table, "elsewhere")
        for _ in range(2):
            with pytest.raises(SQLAlchemyError):
                await on.follower.step()
            assert on.balances.positions(NOON) == stood
            assert (on.follower.directory, on.follower.ready, told) == (before, True, [])
            assert (on.journal.folder / "directory.json").read_bytes() == memory
            assert on.journal.pending() == len(waiting)

        rename("elsewhere", table)
        await on.follower.step()
        spent = 5 + 7 * len(waiting)
        assert (on.stands("b"), on.stands("c")) == ((spent, 0), (spent, 0))
        assert told == [on.follower.directory]

    play(tmp_path, act)


def test_a_replica_that_never_reached_its_database_is_not_ready(tmp_path: Path) -> None:
    async def scene() -> None:
        store, journal, balances = (
            Store(f"sqlite:///{tmp_path}/no/farebox.db"),
            Journal(tmp_path / "one"),
            Balances(BERLIN),
        )
        memory = journal.folder / "directory.json"
        follower = Follower(
            store, Cashier(journal, BOOK, balances), Poster(journal, store), balances, BERLIN, lambda: NOON, memory
        )
        with pytest.raises(SQLAlchemyError):
            await follower.step()
        assert (follower.ready, follower.directory, memory.exists()) == (False, Directory(), False)
        assert not follower.working.locked()
        await store.close()
        journal.shut()

    asyncio.run(scene())
