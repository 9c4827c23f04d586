import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from billing.alert_log import GIVE_UP_AFTER, AlertLog
from billing.alerts import Alert, Kind, Level, trial
from billing.notify import FIRST_RETRY, LAST_RETRY, Notifier, Routes, Undelivered, attempt, pause_after, tried
from billing.store import Store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class Pager:
    """A channel that fails as often as it is told."""

    name: str
    failures: float = 0
    trouble: Exception = field(default_factory=lambda: Undelivered("answered 500"))
    got: list[Alert] = field(default_factory=list)
    tries: int = 0

    async def send(self, alert: Alert) -> None:
        self.tries += 1
        if self.tries <= self.failures:
            raise self.trouble
        self.got.append(alert)


class Silent(Pager):
    async def send(self, alert: Alert) -> None:
        await asyncio.Event().wait()


def alert(number: int = 1, team: str | None = None) -> Alert:
    return Alert(
        Kind.BUDGET_THRESHOLD, f"b{number}", NOON, NOON + timedelta(days=1), Level.INFO, "t", "x", team=team
    )  # fmt: skip


@dataclass
class Scene:
    """A log, the time, and what was told to the metrics."""

    log: AlertLog
    now: datetime = NOON
    told: list[tuple[str, str, str]] = field(default_factory=list)

    def notifier(self, *channels: Pager, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> Notifier:
        tell = lambda *said: self.told.append(said)  # noqa: E731
        return Notifier(self.log, Routes(channels), lambda: self.now, sleep, tell)

    async def raised(self, *alerts: Alert, through: tuple[str, ...]) -> None:
        await self.log.raise_alerts(alerts, lambda _: through, self.now)


def run(folder: Path, work: Callable[[Scene], Awaitable[None]]) -> None:
    async def with_log() -> None:
        store = Store(f"sqlite:///{folder}/farebox.db")
        try:
            await store.create()
            await work(Scene(store.alerts))
        finally:
            await store.close()

    asyncio.run(with_log())


async def ended(running: asyncio.Task[None], log: AlertLog) -> None:
    """End a notifier, not in the middle of the database's work."""
    async with log.working:
        running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_a_flood_is_delivered_once_each(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        pager = Pager("pager")
        await scene.raised(*map(alert, range(200)), through=("pager",))
        one, other = scene.notifier(pager), scene.notifier(pager)
        await asyncio.gather(one.deliver("pager"), other.deliver("pager"))
        assert sorted(it.id for it in pager.got) == sorted(alert(number).id for number in range(200))
        assert scene.told == [("budget_threshold", "pager", "delivered")] * 200

    run(tmp_path, work)


def test_a_dead_channel_is_tried_again_at_growing_intervals_and_fails_visibly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(scene: Scene) -> None:
        pager = Pager("pager", failures=float("inf"))
        await scene.raised(alert(), through=("pager",))
        notifier = scene.notifier(pager)
        at = [scene.now]
        while (due := await notifier.deliver("pager")) is not None:
            assert due > scene.now
            scene.now = due
            at.append(due)
        pauses = [later - earlier for earlier, later in pairwise(at)]
        assert pauses[:3] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
        assert at[-1] == NOON + GIVE_UP_AFTER
        assert [it[2] for it in scene.told] == ["retried"] * (pager.tries - 1) + ["failed"]
        (row,) = await scene.log.listed()
        (delivery,) = row["deliveries"]
        assert (delivery["result"], delivery["error"], delivery["attempts"]) == ("failed", "answered 500", pager.tries)
        assert pager.tries < 40

    run(tmp_path, work)
    assert sum(record.levelno == logging.ERROR for record in caplog.records) == 1
    assert sum(record.levelno == logging.WARNING for record in caplog.records) == 1  # not one an attempt


def test_a_channel_that_comes_back_gets_what_waited_also_from_an_earlier_life(tmp_path: Path) -> None:
    async def first(scene: Scene) -> None:
        await scene.raised(alert(1), alert(2), through=("pager",))
        await scene.notifier(Pager("pager", failures=9)).deliver("pager")

    async def second(scene: Scene) -> None:
        pager = Pager("pager")
        scene.now += FIRST_RETRY
        assert await scene.notifier(pager).deliver("pager") is None
        assert len(pager.got) == 2

    run(tmp_path, first)
    run(tmp_path, second)


def test_a_dead_channel_holds_up_no_other(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        silent, pager = Silent("silent"), Pager("pager")
        await scene.raised(alert(), through=("silent", "pager"))
        running = asyncio.create_task(scene.notifier(silent, pager).run())
        async with asyncio.timeout(10):
            while not scene.told:
                await asyncio.sleep(0)
        await ended(running, scene.log)
        assert pager.got == [alert()]

    run(tmp_path, work)


def test_news_wake_a_channel_that_sleeps(tmp_path: Path) -> None:
    async def work(scene: Scene) -> None:
        asleep = asyncio.Event()

        async def for_ever(_seconds: float) -> None:
            asleep.set()
            await asyncio.Event().wait()

        pager = Pager("pager")
        notifier = scene.notifier(pager, sleep=for_ever)
        running = asyncio.create_task(notifier.run())
        async with asyncio.timeout(10):
            await asleep.wait()
            await scene.raised(alert(), through=("pager",))
            notifier.nudge()
            while not scene.told:
                await asyncio.sleep(0)
        await ended(running, scene.log)
        assert pager.got == [alert()]

    run(tmp_path, work)


def test_while_the_database_cannot_be_asked_alerts_wait(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        store, slept = Store(f"sqlite:///{tmp_path}/farebox.db"), asyncio.Event()

        async def noted(_seconds: float) -> None:
            slept.set()
            await asyncio.Event().wait()

        running = asyncio.create_task(Scene(store.alerts).notifier(Pager("pager"), sleep=noted).run())
        async with asyncio.timeout(10):
            await slept.wait()
        await ended(running, store.alerts)
        await store.close()

    asyncio.run(work())
    assert "alerts wait: the ledger's database is away" in caplog.text


@pytest.mark.parametrize(
    ("case", "channel", "says"),
    [
        ("it arrives", Pager("p"), None),
        ("it says why not", Pager("p", failures=1), "answered 500"),
        ("its library quotes the address", Pager("p", 1, ValueError("json://canary")), "could not be sent: ValueError"),
        ("it hangs", Silent("p"), "no answer within 0.01 seconds"),
    ],
)
def test_one_attempt(case: str, channel: Pager, says: str | None) -> None:
    assert asyncio.run(attempt(channel, alert(), 0.01)) == says


def test_a_test_tries_every_channel_once() -> None:
    channels = [Pager("good"), Pager("bad", failures=9)]
    assert asyncio.run(tried(channels, trial(NOON))) == {"good": None, "bad": "answered 500"}
    assert [it.tries for it in channels] == [1, 1]


@pytest.mark.parametrize(("team", "names"), [(None, ["all"]), ("ads", ["all"]), ("search", ["all", "s"])])
def test_a_team_s_alerts_go_to_everyone_and_the_team(team: str | None, names: list[str]) -> None:
    everyone, own = Pager("all"), Pager("s")
    routes = Routes([everyone], {"search": [own, everyone]})
    assert routes.names(alert(team=team)) == names
    assert set(routes.channels) == {"all", "s"}


def test_pauses_double_up_to_an_hour() -> None:
    pauses = [pause_after(number) for number in range(1, 1000)]
    assert pauses[:3] == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LAST_RETRY
