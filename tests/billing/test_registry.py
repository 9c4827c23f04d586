"""The log of what operators decide: what is in force is its fold."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import registry
from billing.budgets import Budget
from billing.keys import Key, Name
from billing.limits import Limit
from billing.registry import Change, Definition, Directory, Registry
from billing.scopes import Scope
from billing.store import Store

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)

EACH: tuple[Definition, ...] = (
    Budget("b", 50 * 10**12, "week", Scope({"team": ("search", "ads"), "tag:env": ("prod",)}), False, (10, 99)),
    Key("key_1", "ci", "ab" * 32, "wxyz", AT, "search", "web", {"env": "ci"}, ("gpt-4o",), ("chat",), 10, 1000, AT, AT),
    Name("fp_0123456789ab", "legacy app", "ops"),
    Limit("l", Scope({"key": ("ci",)}), 60, None, 4),
)


@pytest.fixture
def with_registry(database: str) -> Callable[[Callable[[Registry], Awaitable[None]]], None]:
    def run(question: Callable[[Registry], Awaitable[None]]) -> None:
        async def scene() -> None:
            store = Store(database)
            await store.create()
            try:
                await question(store.registry)
            finally:
                await store.close()

        asyncio.run(scene())

    return run


def test_what_is_defined_comes_back_as_it_was(with_registry) -> None:  # type: ignore[no-untyped-def]
    async def scene(log: Registry) -> None:
        await log.define(EACH, AT)
        directory = await log.directory()
        assert [directory.all(kind) for kind in (Budget, Key, Name, Limit)] == [[each] for each in EACH]
        assert await log.revision() == directory.revision == len(EACH)

    with_registry(scene)


def test_the_last_word_counts_and_nothing_is_edited(with_registry) -> None:  # type: ignore[no-untyped-def]
    async def scene(log: Registry) -> None:
        await log.define([Budget("b", 1), Limit("b")], AT)
        await log.define([Budget("b", 2)], AT)
        assert (await log.directory()).all(Budget) == [Budget("b", 2)]
        await log.withdraw(Budget, "b", AT)
        directory = await log.directory()
        assert (directory.all(Budget), directory.all(Limit)) == ([], [Limit("b")])
        assert len(await log.changes()) == 4
        await log.define([], AT)
        assert await log.revision() == 4

    with_registry(scene)


def test_a_follower_asks_only_for_what_is_new(with_registry) -> None:  # type: ignore[no-untyped-def]
    async def scene(log: Registry) -> None:
        await log.define([Budget("b", 1)], AT)
        first = await log.directory()
        assert await log.changes(first.revision) == []
        await log.define([Budget("c", 2)], AT)
        (change,) = await log.changes(first.revision)
        assert change.definition == Budget("c", 2)
        assert first.after([change]).all(Budget) == [Budget("b", 1), Budget("c", 2)]
        assert first.all(Budget) == [Budget("b", 1)]

    with_registry(scene)


def test_a_long_log_is_read_page_by_page(with_registry, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(registry, "CHANGES_PAGE", 3)

    async def scene(log: Registry) -> None:
        await log.define([Limit(f"{number:02}") for number in range(10)], AT)
        assert [limit.name for limit in (await log.directory()).all(Limit)] == [f"{number:02}" for number in range(10)]

    with_registry(scene)


def test_replicas_that_are_here_are_counted(with_registry) -> None:  # type: ignore[no-untyped-def]
    async def scene(log: Registry) -> None:
        assert await log.present("a", AT) == 1
        assert await log.present("b", AT + timedelta(seconds=9)) == 2
        assert await log.present("a", AT + timedelta(seconds=9)) == 2
        assert await log.present("a", AT + timedelta(seconds=20)) == 1, "b has said nothing for too long"
        assert await log.present("b", AT + timedelta(seconds=20)) == 2
        await log.left("b")
        assert await log.present("a", AT + timedelta(seconds=20)) == 1

    with_registry(scene)


changes = st.lists(
    st.builds(
        lambda name, limit: ("budget", name, Budget(name, limit) if limit is not None else None),
        st.sampled_from("abc"), st.none() | st.integers(0, 9),
    )
).map(lambda found: [Change(number + 1, *each) for number, each in enumerate(found)])  # fmt: skip


@given(changes, st.integers(0, 20))
def test_reading_in_parts_is_reading_at_once(log: list[Change], cut: int) -> None:
    assert Directory().after(log[:cut]).after(log[cut:]) == Directory().after(log)
