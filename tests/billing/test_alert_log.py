import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from billing.alert_log import GIVE_UP_AFTER, NOBODY, AlertLog, Claim, Result
from billing.alerts import Alert, Kind, Level
from billing.store import Store

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=60)


def alert(number: int = 1, team: str | None = None) -> Alert:
    until = NOON + timedelta(days=1)
    text = "text “quoted”"
    return Alert(Kind.BUDGET_THRESHOLD, f"b{number}", NOON, until, Level.INFO, f"title {number}", text, "50", team)


def to(*channels: str) -> Callable[[Alert], tuple[str, ...]]:
    return lambda _: channels


def run(database: str, work: Callable[[AlertLog, AlertLog], Awaitable[None]]) -> None:
    """Work with the logs of two replicas on one database."""

    async def with_logs() -> None:
        stores = [Store(database) for _ in range(2)]
        try:
            await stores[0].create()
            await work(stores[0].alerts, stores[1].alerts)
        finally:
            for store in stores:
                await store.close()

    asyncio.run(with_logs())


async def taken(log: AlertLog, channel: str, at: datetime) -> Claim:
    claim = await log.claim(channel, at, LEASE)
    assert claim is not None
    return claim


def test_two_replicas_raise_once(database: str) -> None:
    async def work(one: AlertLog, other: AlertLog) -> None:
        flood = [alert(number % 300) for number in range(2000)]
        raised = await asyncio.gather(
            *(log.raise_alerts(flood, to("a"), NOON) for log in (one, other) for _ in range(3))
        )
        told = [alert.id for part in raised for alert in part]
        assert sorted(told) == sorted({alert.id for alert in flood})
        assert len(await one.listed(1000)) == len(told) == 300

    run(database, work)


def test_of_several_only_the_new_are_raised(database: str) -> None:
    async def work(one: AlertLog, other: AlertLog) -> None:
        await one.raise_alerts([alert(1), alert(2)], to("a"), NOON)
        assert await other.raise_alerts([alert(2), alert(3), alert(1)], to("a"), NOON) == [alert(3)]
        assert [len(row["deliveries"]) for row in await one.listed()] == [1, 1, 1]

    run(database, work)


def test_one_delivery_a_channel_and_replicas_never_take_the_same(database: str) -> None:
    async def work(one: AlertLog, other: AlertLog) -> None:
        await one.raise_alerts([alert(number) for number in range(40)], to("a", "b"), NOON)
        claims = await asyncio.gather(*(log.claim("a", NOON, LEASE) for log in (one, other) for _ in range(40)))
        found = [claim.alert.id for claim in claims if claim]
        assert sorted(found) == sorted(alert(number).id for number in range(40))
        assert await one.claim("b", NOON, LEASE) is not None

    run(database, work)


def test_a_claim_holds_the_alert_as_it_was_raised(database: str) -> None:
    async def work(one: AlertLog, other: AlertLog) -> None:
        await one.raise_alerts([alert(team="search")], to("a"), NOON)
        claim = await taken(other, "a", NOON)
        assert claim.alert == alert(team="search")
        assert (claim.channel, claim.attempt, claim.give_up_at) == ("a", 1, NOON + GIVE_UP_AFTER)

    run(database, work)


def test_what_a_replica_took_to_its_grave_is_due_again_when_its_lease_ends(database: str) -> None:
    async def work(one: AlertLog, other: AlertLog) -> None:
        await one.raise_alerts([alert()], to("a"), NOON)
        await taken(one, "a", NOON)
        assert await other.next_due("a") == NOON + LEASE
        assert await other.claim("a", NOON + LEASE - SECOND, LEASE) is None
        assert (await taken(other, "a", NOON + LEASE)).attempt == 2

    run(database, work)


@pytest.mark.parametrize(
    ("result", "error", "shown"),
    [
        (Result.DELIVERED, None, {"next_at": None, "ended_at": "2026-11-23T12:00:01Z"}),
        (Result.PENDING, "answered 500", {"next_at": "2026-11-23T12:00:06Z", "ended_at": None}),
        (Result.FAILED, "answered 500", {"next_at": None, "ended_at": "2026-11-23T12:00:01Z"}),
    ],
)
def test_how_an_attempt_ended_is_seen(database: str, result: Result, error: str | None, shown: dict[str, str]) -> None:
    async def work(one: AlertLog, other: AlertLog) -> None:
        await one.raise_alerts([alert()], to("a"), NOON)
        await one.record(await taken(one, "a", NOON), result, NOON + SECOND, error, NOON + 6 * SECOND)
        (row,) = await other.listed()
        assert row["deliveries"] == [{"channel": "a", "attempts": 1, "result": result.value, "error": error, **shown}]
        again = await other.claim("a", NOON + 6 * SECOND, LEASE)
        assert (again is not None) is (result is Result.PENDING)

    run(database, work)


def test_a_late_failure_does_not_undo_a_delivery(database: str) -> None:
    """The first attempt outlived its lease; the second delivered."""

    async def work(one: AlertLog, other: AlertLog) -> None:
        await one.raise_alerts([alert()], to("a"), NOON)
        first, second = await taken(one, "a", NOON), await taken(other, "a", NOON + LEASE)
        await other.record(second, Result.DELIVERED, NOON + LEASE, None, NOON)
        await one.record(first, Result.PENDING, NOON + LEASE, "too late", NOON)
        assert await one.claim("a", NOON + LEASE, LEASE) is None

    run(database, work)


def test_a_channel_that_is_gone_ends_visibly(database: str) -> None:
    async def work(one: AlertLog, _other: AlertLog) -> None:
        await one.raise_alerts([alert()], to("gone"), NOON)
        assert await one.abandon(NOON + 2 * GIVE_UP_AFTER) == 0
        assert await one.abandon(NOON + 2 * GIVE_UP_AFTER + SECOND) == 1
        ((delivery,),) = [row["deliveries"] for row in await one.listed()]
        assert (delivery["result"], delivery["error"]) == ("failed", NOBODY)

    run(database, work)


def test_the_newest_are_listed_first(database: str) -> None:
    async def work(one: AlertLog, _other: AlertLog) -> None:
        for number in range(5):
            await one.raise_alerts([alert(number)], to(), NOON + number * SECOND)
        assert [row["subject"] for row in await one.listed(3)] == ["b4", "b3", "b2"]
        assert (await one.listed(1))[0]["raised_at"] == "2026-11-23T12:00:04Z"
        assert await one.raise_alerts([], to(), NOON) == []

    run(database, work)


def test_an_alert_outlives_the_process(database: str) -> None:
    async def raising(one: AlertLog, _other: AlertLog) -> None:
        await one.raise_alerts([alert()], to("a"), NOON)

    async def asking(one: AlertLog, _other: AlertLog) -> None:
        assert await one.raise_alerts([alert()], to("a"), NOON) == []
        assert (await taken(one, "a", NOON)).alert == alert()
        assert [len(row["deliveries"]) for row in await one.listed()] == [1]

    run(database, raising)
    run(database, asking)
