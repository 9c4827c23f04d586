"""Roll-ups say what the charges say: whoever asks, whatever was posted twice, and when the charges are gone."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres import Server
from sqlalchemy import delete, func, select

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.databases import writing
from billing.edges import CHARGES, KeptAsSums
from billing.rollups import ROLLUPS
from billing.store import Narrowing, Store, Total
from billing.sums import DETAIL_GRAINS, GRAINS, HOUR_SECONDS, QUARTER_HOUR_SECONDS
from billing.tables import row_of
from billing.usage import Unit, Usage
from billing.windows import BEGINNING, END

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

words = st.sampled_from(["a", "b", None])
moments = st.integers(-40 * 96, 40).map(lambda quarters: NOON + timedelta(minutes=15 * quarters))


@st.composite
def charges(draw: Callable[[Any], Any], ident: int) -> Charge:
    basis = draw(st.sampled_from(list(Basis)))
    cost = None if basis is Basis.UNKNOWN else draw(st.sampled_from([0, 1, 999_999, 10**6, 10**15 + 7, 2**62]))
    tags = {"env": value} if (value := draw(words)) else {}
    who = Attribution(team=draw(words), user=draw(words), key=draw(words), tags=tags)
    call = Call(
        f"fbx_{ident}", draw(moments) + timedelta(seconds=draw(st.sampled_from([0, 0.000001, 450, 899.999999]))),
        "chat", "POST", "/v1/chat/completions", who, draw(st.sampled_from(["one", "two"])), draw(words),
        held_pico=draw(st.sampled_from([0, 5, 10**13])),
    )  # fmt: skip
    usage = Usage({Unit.INPUT_TEXT: draw(st.integers(0, 9)), Unit.OUTPUT_TEXT: draw(st.integers(0, 9))})
    model, status = draw(words), draw(st.sampled_from([200, 429]))
    outcome = Outcome(call.started_at, basis, status)
    return Charge(call, outcome, model, model, "default", usage, (), Usage(), cost, "book", {})


ledgers = st.integers(0, 12).flatmap(lambda size: st.tuples(*(charges(ident) for ident in range(size))))
intervals = st.tuples(st.none() | moments, st.none() | moments, st.integers(-1000, 1000)).map(
    lambda drawn: tuple(moment and moment + timedelta(seconds=drawn[2]) for moment in drawn[:2])
)
questions = st.sampled_from([(), ("team",), ("user", "team"), ("status", "model"), ("replica",), ("basis", "key")])


def totals_of(rows: list[dict[str, Any]], by: tuple[str, ...], time: int | None) -> dict[Any, Total]:
    """By the plainest means."""
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        quarter = int(row["started_at"].timestamp()) // time * time // QUARTER_HOUR_SECONDS if time else None
        groups[tuple(row[name] for name in by), quarter].append(row)
    return {
        place: Total(
            *place, len(members), sum(row["cost_pico"] or 0 for row in members),
            *(sum(row[name] for row in members) for name in ("input_tokens", "cached_tokens", "output_tokens")),
            sum(row["basis"] == "estimated" for row in members), sum(row["cost_pico"] is None for row in members),
        )
        for place, members in groups.items()
    }  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Makes addresses of databases that nobody has used."""
    if request.param == "sqlite":
        return lambda: f"sqlite:///{tmp_path_factory.mktemp('rollups')}/ledger.db"
    server: Server = request.getfixturevalue("postgres_server")
    return server.fresh


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ledgers, questions, intervals, st.sampled_from([None, QUARTER_HOUR_SECONDS, HOUR_SECONDS]),
    st.lists(st.integers(1, 5)), st.sampled_from([(), (("team", "a"),), (("user", "b"),), (("status", "200"),)]),
)  # fmt: skip
def test_every_question_is_answered_as_the_charges_would(
    fresh: Callable[[], str], ledger: tuple[Charge, ...], by: tuple[str, ...], interval: Any, time: int | None,
    batches: list[int], equal: tuple[tuple[str, str], ...],
) -> None:  # fmt: skip
    rows = [row_of(charge) for charge in ledger]
    since, until = interval
    if since and until and since > until:
        since, until = until, since
    meant = [
        row
        for row in rows
        if (since is None or row["started_at"] >= since)
        and (until is None or row["started_at"] < until)
        and all(str(row[name]) == value for name, value in equal)
    ]
    ends = [int(end.timestamp()) for end in (since, until) if end]
    finer = "user" in by or equal[:1] == (("user", "b"),) or (time and any(end % time for end in ends))
    grain = QUARTER_HOUR_SECONDS if time and finer else time

    url = fresh()

    async def ask() -> None:
        store = Store(url)
        await store.create()
        rest = list(ledger)
        for size in batches:  # in batches, and some of them twice
            await store.post(rest[:size])
            await store.post(list(reversed(rest[: size + 1])))
            rest = rest[size:]
        await store.post(ledger)
        narrowing = Narrowing(since, until, equal)
        found = {(each.group, each.quarter_hour): each for each in await store.totals(by, narrowing, time=time)}
        assert {place: each for place, each in found.items() if each.requests} == totals_of(meant, by, grain)
        quantities: Counter[Any] = Counter()
        for row in meant:
            quantities.update({(*(row[name] for name in by), unit): n for unit, n in row["usage"].items()})
        assert await store.quantities(by, narrowing) == dict(quantities)
        await store.close()

    asyncio.run(ask())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ledgers, st.sets(st.sampled_from(["team", "user", "tags", "model", "replica"])), intervals)
def test_what_counts_on_budgets_is_the_cost_or_what_was_held(
    fresh: Callable[[], str], ledger: tuple[Charge, ...], by: set[str], interval: Any
) -> None:
    since, until = interval[0] or BEGINNING, interval[1] or END
    wanted: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for row in map(row_of, ledger):
        if since <= row["started_at"] < until:
            columns = {name: row["requested_model" if name == "model" else name] for name in sorted(by)}
            wanted[str(columns)] += row["held_pico"] if row["cost_pico"] is None else row["cost_pico"]
            unknown[str(columns)] += row["held_pico"] if row["cost_pico"] is None else 0

    url = fresh()

    async def ask() -> None:
        store = Store(url)
        await store.create()
        await store.post(ledger)
        found: Counter[str] = Counter()
        found_unknown: Counter[str] = Counter()
        for each in await store.spent(by, since, until):
            place = str({name: each.values[name] for name in sorted(by)})
            found[place] += each.spent_pico
            found_unknown[place] += each.unknown_pico
        assert (found, found_unknown) == (wanted, unknown)
        await store.close()

    asyncio.run(ask())


def one(ident: str, at: datetime, **more: Any) -> Charge:
    call = Call(ident, at, "chat", "POST", "/v1/chat/completions", Attribution(team="a", **more), "one", "m")
    usage = Usage({Unit.INPUT_TEXT: 3})
    return Charge(call, Outcome(at, Basis.REPORTED, 200), "m", "m", "default", usage, (), Usage(), 7, "book", {})


def test_sums_outlive_the_charges(database: str) -> None:
    async def ask() -> None:
        store = Store(database)
        await store.create()
        await store.post([one(f"f{n}", NOON + timedelta(minutes=n), user=f"u{n % 2}") for n in range(60)])
        async with writing(store.engine) as connection:
            await connection.execute(delete(CHARGES))
        assert [total.requests for total in await store.totals((), Narrowing())] == [60]
        assert sorted(total.requests for total in await store.totals(("user",), Narrowing(NOON))) == [30, 30]
        assert await store.quantities(("team",), Narrowing(NOON)) == {("a", "input_text_tokens"): 180}
        with pytest.raises(KeptAsSums, match="of 2026-11-24 12:07 only sums are kept"):
            await store.totals((), Narrowing(NOON + timedelta(minutes=7)))
        assert await store.totals((), Narrowing(NOON - timedelta(minutes=7), NOON)) == [
            Total((), None, 0, 0, 0, 0, 0, 0, 0)
        ]
        await store.close()

    asyncio.run(ask())


def test_old_charges_go_and_their_sums_stay(database: str) -> None:
    async def ask() -> None:
        store = Store(database)
        await store.create()
        old = [one(f"old{n}", datetime(2026, 9, 1, tzinfo=UTC) + timedelta(minutes=n)) for n in range(1200)]
        await store.post([*old, one("new", NOON), one("border", datetime(2026, 10, 1, tzinfo=UTC))])
        assert await store.drop(datetime(2026, 10, 1, 0, 14, tzinfo=UTC)) == (
            "1200 charges" if "sqlite" in database else "charges_2026_09"
        )
        assert [row["id"] async for row in store.charges(Narrowing())] == ["border", "new"]
        assert [total.requests for total in await store.totals((), Narrowing())] == [1202]
        assert await store.drop(datetime(2026, 10, 1, 0, 14, tzinfo=UTC)) == ""
        await store.post([one("late", datetime(2026, 9, 2, tzinfo=UTC))])  # of a replica that was away for long
        assert [total.requests for total in await store.totals((), Narrowing())] == [1203]
        await store.close()

    asyncio.run(ask())


def test_common_questions_do_not_grow_with_the_users(database: str) -> None:
    async def ask() -> None:
        store = Store(database)
        await store.create()
        await store.post([one(f"f{n}", NOON, user=f"u{n}") for n in range(50)])
        async with store.engine.connect() as connection:
            asked = select(ROLLUPS.c.detail, func.count()).group_by(ROLLUPS.c.detail)
            found = {bool(row[0]): row[1] for row in await connection.execute(asked)}
        assert found == {False: len(GRAINS), True: 50 * len(DETAIL_GRAINS)}
        await store.close()

    asyncio.run(ask())


def test_posters_at_once_count_each_charge_once(postgres: str) -> None:
    async def ask() -> None:
        stores = [Store(postgres) for _ in range(4)]
        await stores[0].create()
        ledger = [one(f"f{n}", NOON + timedelta(hours=n % 5), user=f"u{n % 7}") for n in range(200)]
        await asyncio.gather(
            *(store.post(ledger[start : start + 20]) for start in range(0, 200, 20) for store in stores),
            *(
                store.post(list(reversed(ledger[start : start + 50])))
                for start in range(0, 200, 50)
                for store in stores
            ),
        )
        (total,) = await stores[0].totals((), Narrowing())
        assert (total.requests, total.cost_pico) == (200, 1400)
        for store in stores:
            await store.close()

    asyncio.run(ask())


def test_what_was_not_posted_is_not_counted(tmp_path: Path) -> None:
    async def ask() -> None:
        store = Store(f"sqlite:///{tmp_path}/ledger.db")
        await store.create()
        impossible = replace(one("f2", NOON), usage=Usage({Unit.INPUT_TEXT: 2**64}))
        with pytest.raises(OverflowError):
            await store.post([one("f1", NOON), impossible])
        await store.post([one("f1", NOON)])
        (total,) = await store.totals(("team",), Narrowing())
        assert (total.group, total.requests) == (("a",), 1)
        await store.close()

    asyncio.run(ask())


def test_a_text_that_postgresql_cannot_keep_is_told_apart_and_counted(database: str) -> None:
    async def ask() -> None:
        store = Store(database)
        await store.create()
        await store.post([one("f1", NOON, user="a\0b", tags={"x": "\0"}), one("f2", NOON, user="ab")])
        found = {total.group: total.requests for total in await store.totals(("user",), Narrowing())}
        assert found == {("a\ufffdb",): 1, ("ab",): 1}
        (tagged,) = [spent.values for spent in await store.spent(["tags"], NOON, END) if spent.values["tags"]]
        assert tagged == {"tags": {"x": "\ufffd"}}
        await store.close()

    asyncio.run(ask())
