"""The store: every charge once, every sum exact, and nothing unknown among the zeros."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres import Server
from sqlalchemy.exc import SQLAlchemyError

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.store import DIMENSIONS, PAGE_ROWS, Narrowing, Spent, Store, Total, fold
from billing.tables import QUARTER_HOUR_SECONDS, record_of, row_of
from billing.usage import Reading, Unit, Usage
from billing.windows import BEGINNING, END

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVERYTHING = Narrowing()

T = TypeVar("T")


def charged(
    ident: str,
    *,
    at: datetime = NOON,
    cost_pico: int | None = 1000,
    basis: Basis = Basis.REPORTED,
    team: str | None = "harbour",
    user: str | None = None,
    model: str | None = "gpt-4.1",
    status: int | None = 200,
    held: int = 0,
    usage: Usage = Usage({Unit.INPUT_TEXT: 10, Unit.OUTPUT_TEXT: 4}),  # noqa: B008 -- it is immutable
) -> Charge:
    who = Attribution(team=team, user=user, tags={"stage": "test"})
    call = Call(ident, at, "chat", "POST", "/v1/chat/completions", who, "one", model)
    call = replace(call, held_pico=held, hold="expected" if held else None)
    outcome = Outcome(at + timedelta(seconds=3), basis, status, Reading(usage))
    return Charge(call, outcome, model, model, "default", usage, (), Usage(), cost_pico, "2026-11-23.test")


_address: dict[Path, str] = {}
_fresh: list[Callable[[], str] | None] = [None]


@pytest.fixture(autouse=True, params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Every test here is played on both kinds of database: a path stands for one."""
    server: Server | None = None if request.param == "sqlite" else request.getfixturevalue("postgres_server")
    _fresh[0] = server.fresh if server else None
    _address.clear()
    return str(request.param)


def with_store(path: Path, charges: Iterable[Charge], ask: Callable[[Store], Awaitable[T]]) -> T:
    url = _address.setdefault(path, fresh() if (fresh := _fresh[0]) else f"sqlite:///{path}")

    async def run() -> T:
        store = Store(url)
        try:
            await store.create()
            if posted := list(charges):
                await store.post(posted)
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def ids(store: Store, narrowing: Narrowing = EVERYTHING, **how: Any) -> list[str]:
    return [record["id"] async for record in store.charges(narrowing, **how)]


def test_a_charge_comes_back_as_it_was(tmp_path: Path) -> None:
    one = charged("fbx-1")

    async def ask(store: Store) -> tuple[Any, Any]:
        return await store.charge("fbx-1"), await store.charge("fbx-2")

    assert with_store(tmp_path / "ledger.db", [one, charged("fbx-3")], ask) == (record_of(row_of(one)), None)


def test_posting_twice_changes_nothing(tmp_path: Path) -> None:
    async def ask(store: Store) -> tuple[list[Total], Any]:
        await store.post([charged("a", cost_pico=7), charged("c")])
        return await store.totals([], EVERYTHING), await store.charge("a")

    (total,), kept = with_store(tmp_path / "ledger.db", [charged("a"), charged("b")], ask)
    assert (total.requests, total.cost_pico) == (3, 3000)
    assert kept["cost_pico"] == 1000, "what was posted first stays"


def test_a_batch_is_posted_whole_or_not_at_all(tmp_path: Path) -> None:
    async def ask(store: Store) -> tuple[list[str], list[Total]]:
        impossible = charged("c", usage=Usage({Unit.INPUT_TEXT: 2**64}))
        with pytest.raises((SQLAlchemyError, OverflowError)):
            await store.post([charged("b"), impossible, charged("d")])
        return await ids(store), await store.totals([], EVERYTHING)

    found, (total,) = with_store(tmp_path / "ledger.db", [charged("a")], ask)
    assert (found, total.requests) == (["a"], 1)


def test_an_empty_ledger_has_spent_nothing(tmp_path: Path) -> None:
    async def ask(store: Store) -> Any:
        return await store.totals([], EVERYTHING), await store.totals(["team"], EVERYTHING), await ids(store)

    assert with_store(tmp_path / "ledger.db", [], ask) == ([Total((), None, 0, 0, 0, 0, 0, 0, 0)], [], [])


def test_what_is_not_known_is_counted_as_such_and_never_as_zero(tmp_path: Path) -> None:
    ledger = [
        charged("a", cost_pico=1000),
        charged("b", cost_pico=500, basis=Basis.ESTIMATED),
        charged("c", cost_pico=0, basis=Basis.FREE),
        charged("d", cost_pico=None, basis=Basis.UNKNOWN),
        charged("e", cost_pico=None, basis=Basis.ESTIMATED),
        charged("f", cost_pico=None, basis=Basis.REPORTED),
    ]
    (total,) = with_store(tmp_path / "ledger.db", ledger, lambda store: store.totals([], EVERYTHING))
    assert (total.requests, total.cost_pico, total.estimated, total.unknown) == (6, 1500, 2, 3)


def test_sums_are_exact_beyond_what_a_column_holds(tmp_path: Path) -> None:
    """2**63 - 1 picodollars are $9.2M, which many charges together may well exceed."""
    most = 2**63 - 1
    ledger = [charged(str(n), cost_pico=most) for n in range(5)] + [
        charged("x", cost_pico=1),
        charged("y", cost_pico=999_999),
    ]
    (total,) = with_store(tmp_path / "ledger.db", ledger, lambda store: store.totals([], EVERYTHING))
    assert total.cost_pico == 5 * most + 1_000_000


def test_an_unheard_of_dimension_is_refused(tmp_path: Path) -> None:
    async def ask(store: Store) -> None:
        for sums in (store.totals, store.quantities):
            with pytest.raises(KeyError, match="cost_pico"):
                await sums(["team", "cost_pico"], EVERYTHING)

    with_store(tmp_path / "ledger.db", [], ask)


def test_every_dimension_can_be_grouped_and_narrowed_by(tmp_path: Path) -> None:
    async def ask(store: Store) -> None:
        for name in DIMENSIONS:
            (total,) = await store.totals([name], EVERYTHING)
            (value,) = total.group
            if value is not None:
                assert await ids(store, Narrowing(equal=((name, str(value)),))) == ["a"], name
            assert await ids(store, Narrowing(equal=((name, "another"),))) == [], name

    with_store(tmp_path / "ledger.db", [charged("a")], ask)


@pytest.mark.parametrize(
    ("narrowing", "expected"),
    [
        (Narrowing(), ["before", "noon", "later", "end"]),
        (Narrowing(since=NOON), ["noon", "later", "end"]),
        (Narrowing(until=NOON + timedelta(minutes=20)), ["before", "noon", "later"]),
        (Narrowing(NOON, NOON + timedelta(minutes=20)), ["noon", "later"]),
        (Narrowing(NOON, NOON), []),
        (Narrowing(NOON + timedelta(microseconds=1)), ["later", "end"]),
        (Narrowing(equal=(("team", "ferry"),)), ["later"]),
        (Narrowing(equal=(("team", "harbour"), ("status", "429"))), ["end"]),
        (Narrowing(NOON, None, (("model", "gpt-4.1"), ("team", "harbour"))), ["noon", "end"]),
        (Narrowing(equal=(("user", "' OR 1=1 --"),)), []),
    ],
)
def test_charges_are_narrowed_to_half_open_times_and_equal_dimensions(
    narrowing: Narrowing, expected: list[str], tmp_path: Path
) -> None:
    ledger = [
        charged("end", at=NOON + timedelta(minutes=20), status=429),
        charged("noon", at=NOON),
        charged("later", at=NOON + timedelta(minutes=20, microseconds=-1), team="ferry"),
        charged("before", at=NOON - timedelta(microseconds=1)),
    ]

    async def ask(store: Store) -> tuple[list[str], int, dict[Any, int]]:
        (total,) = await store.totals([], narrowing)
        return await ids(store, narrowing), total.requests, await store.quantities([], narrowing)

    found, requests, quantities = with_store(tmp_path / "ledger.db", ledger, ask)
    assert found == expected
    assert requests == len(expected)
    assert quantities.get(("input_text_tokens",), 0) == 10 * len(expected)


def test_charges_come_page_by_page_in_order_and_none_twice(tmp_path: Path) -> None:
    """Many were admitted at the same moment, so that pages end among them."""
    moments = [NOON + timedelta(seconds=number % 3) for number in range(2 * PAGE_ROWS + 7)]
    ledger = [charged(f"{number * 7919 % 10_007:05}", at=at) for number, at in enumerate(moments)]
    in_order = [each.call.id for each in sorted(ledger, key=lambda each: (each.call.started_at, each.call.id))]

    async def ask(store: Store) -> None:
        assert await ids(store) == in_order
        assert await ids(store, newest_first=True) == in_order[::-1]
        for limit in (0, 1, 5, PAGE_ROWS - 1, PAGE_ROWS, PAGE_ROWS + 1, 2 * PAGE_ROWS, 5 * PAGE_ROWS):
            assert await ids(store, limit=limit) == in_order[:limit]
        assert await ids(store, limit=PAGE_ROWS + 3, newest_first=True) == in_order[::-1][: PAGE_ROWS + 3]

    with_store(tmp_path / "ledger.db", ledger, ask)


units = st.dictionaries(st.sampled_from(list(Unit)), st.integers(0, 10**9), max_size=4).map(Usage)
some_charges = st.lists(
    st.builds(
        charged,
        st.just(""),
        at=st.integers(0, 5000).map(lambda seconds: NOON + timedelta(seconds=seconds)),
        cost_pico=st.none() | st.integers(0, 10**18),
        basis=st.sampled_from(Basis),
        team=st.sampled_from([None, "", "harbour", "ferry"]),
        model=st.sampled_from([None, "gpt-4.1", "o3"]),
        status=st.sampled_from([None, 200, 429]),
        usage=units,
    ),
    max_size=12,
).map(lambda found: [numbered(each, str(number)) for number, each in enumerate(found)])


def numbered(each: Charge, ident: str) -> Charge:
    call, outcome = each.call, each.outcome
    return charged(
        ident,
        at=call.started_at,
        cost_pico=each.cost_pico,
        basis=outcome.basis,
        team=call.attribution.team,
        model=each.model,
        status=outcome.status,
        usage=each.usage,
    )


def total_of(charges: list[Charge], group: tuple[Any, ...], quarter_hour: int | None) -> Total:
    rows = [row_of(each) for each in charges]
    return Total(
        group,
        quarter_hour,
        len(rows),
        sum(row["cost_pico"] or 0 for row in rows),
        sum(row["input_tokens"] for row in rows),
        sum(row["cached_tokens"] for row in rows),
        sum(row["output_tokens"] for row in rows),
        sum(row["basis"] == "estimated" for row in rows),
        sum(row["cost_pico"] is None for row in rows),
    )


@settings(max_examples=25, deadline=None)
@given(some_charges, st.sampled_from([(), ("team",), ("status", "model"), ("basis", "team")]), st.booleans())
def test_totals_are_the_fold_of_the_charges(
    tmp_path_factory: pytest.TempPathFactory, ledger: list[Charge], by: tuple[str, ...], by_time: bool
) -> None:
    async def ask(store: Store) -> tuple[list[Total], dict[tuple[str | None, ...], int]]:
        return await store.totals(
            by, EVERYTHING, time=QUARTER_HOUR_SECONDS if by_time else None
        ), await store.quantities(by, EVERYTHING)

    totals, quantities = with_store(tmp_path_factory.mktemp("store") / "ledger.db", ledger, ask)
    groups: dict[Any, list[Charge]] = {}
    sums: Counter[tuple[Any, ...]] = Counter()
    for each in ledger:
        row = row_of(each)
        group = tuple(row[name] for name in by)
        groups.setdefault((group, row["quarter_hour"] if by_time else None), []).append(each)
        sums.update({(*group, unit): quantity for unit, quantity in row["usage"].items()})
    if ledger:
        assert {(total.group, total.quarter_hour): total for total in totals} == {
            key: total_of(members, *key) for key, members in groups.items()
        }
    assert quantities == dict(sums)
    assert fold(totals) == total_of(ledger, (), None)


def test_by_time_is_by_quarter_hours_of_the_admission(tmp_path: Path) -> None:
    offsets = (-1, 0, 899, 900)
    ledger = [charged(str(seconds), at=NOON + timedelta(seconds=seconds)) for seconds in offsets]
    totals = with_store(tmp_path / "ledger.db", ledger, lambda store: store.totals([], EVERYTHING, time=900))
    first = int(NOON.timestamp()) // QUARTER_HOUR_SECONDS
    assert {total.quarter_hour: total.requests for total in totals} == {first - 1: 1, first: 2, first + 1: 1}


def test_a_ledger_is_there_after_it_was_closed(tmp_path: Path) -> None:
    with_store(tmp_path / "ledger.db", [charged("a")], ids)
    assert with_store(tmp_path / "ledger.db", [charged("b", at=NOON + timedelta(1))], ids) == ["a", "b"]


# ── what was spent on budgets ───────────────────────────────────────────────────

SPENT = [
    charged("a", cost_pico=1),
    charged("b", cost_pico=2, team="ferry", user="ann"),
    charged("c", cost_pico=4, at=NOON + timedelta(minutes=20)),
    charged("d", cost_pico=8, at=NOON - timedelta(microseconds=1)),
    charged("e", cost_pico=0, basis=Basis.FREE, held=16),
    charged("f", cost_pico=None, basis=Basis.UNKNOWN, held=32),
    charged("g", cost_pico=None, basis=Basis.ESTIMATED, held=64, team="ferry"),
    charged("h", cost_pico=None, basis=Basis.UNKNOWN, team="ferry"),
    charged("i", cost_pico=128, held=256, model=None, team=None),
]
ALWAYS = (BEGINNING, END)


@pytest.mark.parametrize(
    ("by", "period", "expected"),
    [
        ((), ALWAYS, [((), 239, 96)]),
        ((), (NOON, END), [((), 231, 96)]),
        ((), (NOON - timedelta(hours=1), NOON), [((), 8, 0)]),
        ((), (NOON, NOON + timedelta(minutes=15)), [((), 227, 96)]),
        ((), (NOON, NOON), [((), 0, 0)]),
        (("team",), ALWAYS, [((None,), 128, 0), (("ferry",), 66, 64), (("harbour",), 45, 32)]),
        (("user", "team"), (NOON, NOON + timedelta(minutes=15)), [
            ((None, None), 128, 0), (("ferry", None), 64, 64), (("ferry", "ann"), 2, 0), (("harbour", None), 33, 32)
        ]),
        (("model",), ALWAYS, [((None,), 128, 0), (("gpt-4.1",), 111, 96)]),
        (("tags",), ALWAYS, [(({"stage": "test"},), 239, 96)]),
        (("cost_pico", "lines"), ALWAYS, [((), 239, 96)]),  # no scope can name these
        (("team",), (NOON + timedelta(days=1), END), []),
    ],
)  # fmt: skip
def test_what_charges_count_as_on_budgets(
    tmp_path: Path, by: tuple[str, ...], period: tuple[datetime, datetime], expected: list[tuple[Any, int, int]]
) -> None:
    """An unknown cost counts as what was held; a hold counts as nothing once the cost is known."""
    found = with_store(tmp_path / "ledger.db", SPENT, lambda store: store.spent(by, *period))
    rows = [(tuple(each.values[name] for name in each.values), each.spent_pico, each.unknown_pico) for each in found]
    assert sorted(rows, key=str) == sorted(expected, key=str)
    assert all({*each.values} <= {*by} for each in found)


def test_spend_goes_by_the_model_that_was_asked_for(tmp_path: Path) -> None:
    served = replace(charged("a"), model="gpt-4.1-2025-04-14", base_model="gpt-4.1-2025-04-14")
    found = with_store(tmp_path / "ledger.db", [served], lambda store: store.spent(["model"], *ALWAYS))
    assert found == [Spent({"model": "gpt-4.1"}, 1000, 0)]


def test_spend_is_exact_beyond_what_a_column_holds(tmp_path: Path) -> None:
    most = 2**63 - 1
    ledger = [charged(str(n), cost_pico=most) for n in range(3)] + [
        charged(f"u{n}", cost_pico=None, basis=Basis.UNKNOWN, held=most) for n in range(2)
    ]
    found = with_store(tmp_path / "ledger.db", ledger, lambda store: store.spent([], *ALWAYS))
    assert found == [Spent({}, 5 * most, 2 * most)]
