import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import event

from billing.alerts import Kind
from billing.attribution import Attribution
from billing.budgets import Budget, Position
from billing.charges import Basis, Call, Charge, Outcome
from billing.keys import Key
from billing.model_names import parse
from billing.money import pico_from_usd
from billing.registry import Directory
from billing.retirements import Retirement
from billing.scopes import Scope
from billing.store import Store
from billing.survey import TRAILING_DAYS, Survey
from billing.usage import Usage

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ZONE = ZoneInfo("UTC")
DAY = timedelta(days=1)
ENDS = {"gpt-4o-mini": Retirement(datetime(2027, 1, 14, tzinfo=UTC), "a page")}
NOBODY = Directory()


def charge(ident: str, days_ago: int, usd: str, *, team: str = "search", key: str = "k", model: str = "m") -> Charge:
    at = NOW - days_ago * DAY
    call = Call(ident, at, "chat", "POST", "/v1/x", Attribution(key=key, team=team), "one", model)
    outcome = Outcome(at, Basis.REPORTED, 200)
    base = parse(model).base_model
    return Charge(call, outcome, model, base, None, Usage(), (), Usage(), pico_from_usd(usd), "test")


def daily(usd: str, days: Iterable[int], times: int = 1, **who: str) -> list[Charge]:
    return [charge(f"{who}{day}-{n}", day, usd, **who) for day in days for n in range(times)]


def run(folder: Path, charges: list[Charge], work: Callable[[Store, Survey], Awaitable[None]]) -> None:
    async def surveyed() -> None:
        store = Store(f"sqlite:///{folder}/farebox.db")
        try:
            await store.create()
            if charges:
                await store.post(charges)
            await work(store, Survey(store, ZONE, lambda: NOW, ENDS))
        finally:
            await store.close()

    asyncio.run(surveyed())


def told(
    folder: Path, charges: list[Charge], positions: Iterable[Position] = (), directory: Directory = NOBODY
) -> list:  # type: ignore[type-arg]
    found = []

    async def work(_store: Store, survey: Survey) -> None:
        found.extend((alert.kind, alert.subject) for alert in await survey.alerts(list(positions), directory))

    run(folder, charges, work)
    return found


def test_an_empty_ledger_tells_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, []) == []


def test_unusual_spend_of_a_team_and_of_its_model_is_told_of_each(tmp_path: Path) -> None:
    usual = daily("10", range(1, 15)) + daily("10", range(15), team="ads", model="n")
    assert told(tmp_path, [*usual, charge("today", 0, "50")]) == [
        (Kind.UNUSUAL_SPEND, "team search"),
        (Kind.UNUSUAL_SPEND, "model m"),
    ]


def test_a_key_with_many_requests_is_told(tmp_path: Path) -> None:
    usual = daily("0.01", range(1, 9), 3) + daily("0.01", range(9), 3, key="other")
    assert told(tmp_path, usual + daily("0.01", [0], 99)) == []
    (tmp_path / "more").mkdir()
    assert told(tmp_path / "more", usual + daily("0.01", [0], 100)) == [(Kind.KEY_LEAKING, "k")]


def test_models_in_traffic_that_retire_are_told_and_shown(tmp_path: Path) -> None:
    snapshot, tuned = "gpt-4o-mini-2024-07-18", "ft:gpt-4o-mini:acme::1"
    charges = [
        charge("1", 3, "1", model=snapshot),
        charge("2", 0, "1", model=tuned),
        charge("3", 0, "1", model="gpt-5"),
    ]
    charges.append(charge("4", TRAILING_DAYS + 1, "1", model="gpt-4o-mini"))  # used no more

    async def work(_store: Store, survey: Survey) -> None:
        found = [(it.kind, it.subject) for it in await survey.alerts([], NOBODY)]
        assert found == [(Kind.RETIRING_MODEL, tuned), (Kind.RETIRING_MODEL, snapshot)]
        assert survey.retiring == {tuned: ENDS["gpt-4o-mini"].at, snapshot: ENDS["gpt-4o-mini"].at}

    run(tmp_path, charges, work)


def test_issued_keys_that_nobody_uses_are_told(tmp_path: Path) -> None:
    def key(ident: str, name: str) -> Key:
        return Key(ident, name, ident, "abcd", NOW - 60 * DAY)

    issued = [key("key_1", "busy"), key("key_2", "idle"), key("key_3", "long-ago"), key("key_2.old", "idle")]
    directory = Directory(1, {("key", it.id): it for it in issued})
    charges = [charge("1", 20, "1", key="busy"), charge("2", 40, "1", key="long-ago")]
    assert told(tmp_path, charges, (), directory) == [(Kind.KEY_IDLE, "key_2"), (Kind.KEY_IDLE, "key_3")]


def position(budget: Budget, spent: str) -> Position:
    return Position(budget, *budget.window_at(NOW, ZONE), pico_from_usd(spent), 0)


def test_budgets_that_will_be_over_are_told_by_the_recent_spend_of_their_own_calls(tmp_path: Path) -> None:
    search = Budget("search", pico_from_usd("100"), scope=Scope({"team": ("search",)}))
    ads = Budget("ads", pico_from_usd("100"), scope=Scope({"team": ("ads",)}))
    young = Budget("young", pico_from_usd("1000"))
    charges = daily("5", range(1, 15)) + daily("0.5", range(1, 15), team="ads")
    positions = [position(search, "70"), position(ads, "70"), position(young, "77")]
    assert told(tmp_path, charges, positions) == [(Kind.BUDGET_FORECAST, "search")]


def test_the_past_is_asked_for_once(tmp_path: Path) -> None:
    async def work(store: Store, survey: Survey) -> None:
        asked = []
        event.listen(store.engine.sync_engine, "before_cursor_execute", lambda *said: asked.append(said[2]))

        def sums() -> int:
            return sum(said.startswith("SELECT") for said in asked)

        await survey.alerts([], NOBODY)
        assert sums() == TRAILING_DAYS + 1
        await survey.alerts([], NOBODY)
        assert sums() == TRAILING_DAYS + 2

    run(tmp_path, [], work)
