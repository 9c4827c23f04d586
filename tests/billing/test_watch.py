import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event

from billing.alerts import Alert, Kind
from billing.attribution import Attribution
from billing.budgets import Budget, Position, Shortage
from billing.cashier import UNMETERED
from billing.charges import Basis, Call, Charge, Outcome
from billing.keys import Key
from billing.notify import Routes
from billing.registry import Directory
from billing.store import Store
from billing.survey import Survey
from billing.usage import Unit, Usage
from billing.watch import GAPS_CEILING, OTHERS, Watch

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ZONE = ZoneInfo("UTC")
DAY = timedelta(days=1)


class Pager:
    name = "pager"

    async def send(self, alert: Alert) -> None:
        raise AssertionError("the watch delivers nothing")


@dataclass
class Scene:
    """Two replicas that watch, the time, and what the database was asked."""

    store: Store
    other_store: Store
    now: datetime = NOON
    asked: list[str] = field(default_factory=list)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    nudges: int = 0

    def __post_init__(self) -> None:
        event.listen(
            self.store.engine.sync_engine, "before_cursor_execute", lambda *said: self.asked.append(said[2])
        )  # fmt: skip

    def watch(self, store: Store | None = None) -> Watch:
        def nudge() -> None:
            self.nudges += 1

        tell = lambda *said: self.told.append(said)  # noqa: E731
        chosen = store or self.store
        survey = Survey(chosen, ZONE, lambda: self.now, {})
        return Watch(chosen.alerts, survey, Routes([Pager()]), ZONE, lambda: self.now, nudge, tell)


def run(folder: Path, work: Callable[[Scene], Awaitable[None]], *, there: bool = True) -> None:
    async def watched() -> None:
        stores = [Store(f"sqlite:///{folder}/farebox.db") for _ in range(2)]
        try:
            if there:
                await stores[0].create()
            await work(Scene(*stores))
        finally:
            for store in stores:
                await store.close()

    asyncio.run(watched())


def position(spent: int, name: str = "b", limit: int = 100, at: datetime = NOON) -> Position:
    budget = Budget(name, limit, "day")
    return Position(budget, *budget.window_at(at, ZONE), spent, 0)


def charge(*, model: str = "gpt-9", path: str = "/v1/new", unpriced: bool = False, reason: str | None = None) -> Charge:
    call = Call("fbx_1", NOON, "chat", "POST", path, Attribution(), "one", model)
    outcome = Outcome(NOON, Basis.REPORTED, 200, reason=reason)
    gap = Usage({Unit.INPUT_TEXT: 1}) if unpriced else Usage()
    return Charge(call, outcome, model, model, None, Usage(), (), gap, 0, "test")


def marks(alerts: list[Alert]) -> list[str]:
    return [alert.mark.split("%")[0] for alert in alerts]


# ── budgets ─────────────────────────────────────────────────────────────────────


def test_each_threshold_is_told_at_the_tick_after_its_crossing_and_never_again(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        watch = scene.watch()
        said = [marks(await watch.tick([position(spent)])) for spent in (10, 50, 60, 79, 80, 85, 100, 130, 130)]
        assert said == [[], ["50"], [], [], ["80"], [], ["100"], [], []]
        assert scene.told == [("budget_threshold", "", "raised")] * 3
        assert scene.nudges == 3

    run(tmp_path, work)


def test_the_database_is_asked_nothing_while_nothing_changes(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        watch = scene.watch()
        await watch.tick([position(10), position(90, "c")])
        scene.asked.clear()
        for spent in range(10, 50):
            await watch.tick([position(spent), position(90, "c")])
        assert scene.asked == []
        await watch.tick([position(50), position(90, "c")])
        assert scene.asked != []

    run(tmp_path, work)


def test_a_flood_gives_one_alert_each_over_replicas_and_restarts(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        flood = [position(200, f"b{number}") for number in range(1000)]
        replicas = [scene.watch(), scene.watch(scene.other_store)]
        raised = await asyncio.gather(*(watch.tick(flood) for _ in range(3) for watch in replicas))
        raised.append(await scene.watch().tick(flood))  # after a restart
        assert sum(map(len, raised)) == 3 * len(flood)
        listed = await scene.store.alerts.listed(10_000)
        assert len({row["id"] for row in listed}) == len(listed) == 3 * len(flood)
        assert all([row["channel"] for row in it["deliveries"]] == ["pager"] for it in listed)

    run(tmp_path, work)


@pytest.mark.parametrize(
    ("case", "before", "after", "told"),
    [
        ("the next day", position(100), position(100, at=NOON + DAY), ["50", "80", "100"]),
        ("a higher limit, of which less is spent", position(100), position(100, limit=1000), []),
        ("a higher limit, of which half is spent", position(100), position(100, limit=200), ["50"]),
        ("a correction, and the same again", position(85), position(85), []),
    ],
)
def test_what_is_news(tmp_path: Path, case: str, before: Position, after: Position, told: list[str]) -> None:
    async def work(scene: Scene) -> None:
        watch = scene.watch()
        await watch.tick([before])
        await watch.tick([position(40)])
        assert marks(await watch.tick([after])) == told

    run(tmp_path, work)


def test_a_refusal_is_told_once_a_window(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        watch = scene.watch()
        for _ in range(1000):
            watch.refused(Shortage(position(45), 60))
        watch.refused(Shortage(position(0, "held"), 60))  # only holds stand in its way
        assert [it.kind for it in await watch.tick([])] == [Kind.BUDGET_REFUSING]
        scene.asked.clear()
        watch.refused(Shortage(position(45), 60))
        assert await watch.tick([]) == []
        assert scene.asked == []  # this replica remembers

    run(tmp_path, work)


# ── what the request path notes ─────────────────────────────────────────────────


def test_gaps_are_told_once_and_a_flood_of_invented_names_together(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        watch = scene.watch()
        watch.charged(charge())
        for _ in range(3):
            watch.charged(charge(unpriced=True))
            watch.charged(charge(reason=UNMETERED))
        assert {(it.kind, it.subject) for it in await watch.tick([])} == {
            (Kind.UNPRICED_MODEL, "gpt-9"),
            (Kind.UNMETERED_ROUTE, "POST /v1/new"),
        }
        for number in range(1000):
            watch.charged(charge(reason=UNMETERED, path=f"/v1/{number}"))
        raised = await watch.tick([])
        assert len(raised) == GAPS_CEILING
        assert OTHERS in {it.subject for it in raised}
        watch.charged(charge(unpriced=True))
        assert await watch.tick([]) == []
        scene.now += 7 * DAY
        watch.charged(charge(unpriced=True))
        assert len(await watch.tick([])) == 1

    run(tmp_path, work)


def test_a_dead_key_is_told_when_it_is_tried_often_in_a_day(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        watch = scene.watch()
        key = Key("key_1", "crawler", "d", "abcd", NOON - DAY, revoked_at=NOON)
        counts = []
        for _ in range(20):
            watch.dead_key_tried(key)
            counts.append(len(await watch.tick([])))
        assert counts == [0] * 9 + [1] + [0] * 10
        scene.now += DAY
        assert await watch.tick([]) == []
        for _ in range(9):
            watch.dead_key_tried(key)
        assert await watch.tick([]) == []
        watch.dead_key_tried(key)
        assert len(await watch.tick([])) == 1

    run(tmp_path, work)


# ── when things go wrong ────────────────────────────────────────────────────────


def test_what_happens_while_the_database_is_away_is_told_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(scene: Scene) -> None:
        watch = scene.watch()
        watch.charged(charge(unpriced=True))
        assert await watch.tick([position(90)]) == []
        assert await watch.tick([position(90)]) == []
        assert await watch.look([], Directory()) == []
        waits = [it.getMessage() for it in caplog.records if "wait for the ledger's database" in it.getMessage()]
        assert len(waits) == 1
        await scene.store.create()
        raised = await watch.tick([position(10, "another")])
        assert sorted(it.kind for it in raised) == ["budget_threshold", "budget_threshold", "unpriced_model"]

    with caplog.at_level(logging.WARNING):
        run(tmp_path, work, there=False)


def test_it_runs_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.watch.TICK_SECONDS", 0.001)

    async def work(scene: Scene) -> None:
        watch = scene.watch()
        failed = False

        def positions() -> list[Position]:
            nonlocal failed
            if not failed:
                failed = True
                raise RuntimeError("one look fails")
            return [position(60)]

        running = asyncio.create_task(watch.run(positions, Directory))
        async with asyncio.timeout(10):
            while not scene.told:
                await asyncio.sleep(0.001)
        async with scene.store.alerts.working, watch.working:
            running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run(tmp_path, work)
