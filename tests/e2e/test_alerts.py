"""Alerts of a running replica: one each under a flood, and a webhook that fails or hangs troubles nobody else."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import ClientSession
from replica import Replica, until
from scripted_upstream import Seen, answering, scripted
from webhook import Webhook, webhook

from billing.budgets import Budget
from proxy.app import running, system_clock
from proxy.settings import Settings

MODEL = "gpt-4o"
COST = 8 * 2_500_000 + 3 * 10_000_000
"""What a call costs."""

CALLS = 500
BODY = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}).encode()
USED = {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}
ANSWER = json.dumps({"id": "x", "model": MODEL, "choices": [], "usage": USED}).encode()
OPENAI = answering(
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
)


async def calls(farebox: Replica, number: int) -> None:
    """So many calls at once, all answered."""
    raw = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-a\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    )
    for answer in await asyncio.gather(*(farebox.send(raw) for _ in range(number))):
        assert answer.startswith(b"HTTP/1.1 200 OK")
    await farebox.settled()


def soft(name: str, calls: int) -> Budget:
    """A budget for so many calls that only tells."""
    return Budget(name, calls * COST, hard=False)


def titles(hook: Webhook) -> list[str]:
    """What the webhook was told, without the amounts."""
    return [" ".join(said["title"].split()[:4]) for _, said in hook.got]


async def listed(farebox: Replica) -> list[dict[str, Any]]:
    """Alerts and deliveries as the console shows them, the oldest first."""
    console = f"http://{farebox.app.console_listening}/api/v1/alerts"
    async with ClientSession() as http, http.get(console) as answer:
        assert answer.status == 200
        return list(reversed((await answer.json())["alerts"]))


def test_a_flood_is_one_alert_for_each_threshold_also_after_a_restart(replica: Any) -> None:
    async def scene() -> None:
        async with webhook() as hook, scripted(OPENAI) as upstream:
            alerts = f"json://127.0.0.1:{hook.port}/"
            each = [f"Budget flooded: {percent} %" for percent in (50, 80, 100)]
            async with replica(upstream.url, alerts=alerts) as farebox:
                await farebox.define(soft("flooded", CALLS))
                for part, told in ((0.5, each[:1]), (0.3, each[:2]), (0.2, each)):
                    await calls(farebox, round(CALLS * part))
                    await until(lambda told=told: titles(hook) == told)  # type: ignore[misc]
                await farebox.define(soft("a later one", 1))
                await until(lambda: "Budget a later one:" in titles(hook))
            async with replica(upstream.url, alerts=alerts) as farebox:
                await farebox.define(soft("of another life", 1))
                await calls(farebox, 10)
                await until(lambda: sum("of another life" in title for title in titles(hook)) == 3)
                assert Counter(titles(hook)) & Counter(each * 9) == Counter(each)
                shown = [row for row in await listed(farebox) if row["subject"] == "flooded"]
                assert [row["title"].split(" of ")[0] for row in shown] == each
                assert {row["deliveries"][0]["result"] for row in shown} == {"delivered"}
                assert {row["deliveries"][0]["attempts"] for row in shown} == {1}

    asyncio.run(scene())


@dataclass
class Watch:
    """The time of day, in the test's hand."""

    now: datetime = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_a_failing_webhook_is_tried_again_and_can_be_seen(settings: Callable[..., Settings]) -> None:
    watch = Watch()

    async def scene() -> None:
        async with webhook(500) as hook, scripted(OPENAI) as upstream:
            chosen = settings(upstream.url, alerts=f"json://127.0.0.1:{hook.port}/")
            async with running(chosen, replace(system_clock(), now=lambda: watch.now)) as app:
                farebox = Replica(app)
                await farebox.define(soft("b", 10))
                for spent, attempts in ((5, [1]), (3, [2, 1])):
                    await calls(farebox, spent)
                    await until(lambda attempts=attempts: len(hook.got) == sum(attempts))  # type: ignore[misc]
                    await until(lambda: "retried" in app.metrics.text().decode())
                    deliveries = [row["deliveries"][0] for row in await listed(farebox)]
                    assert [it["attempts"] for it in deliveries] == attempts
                    assert {(it["result"], it["error"]) for it in deliveries} == {("pending", "answered 500")}
                    assert all(it["next_at"] for it in deliveries)
                    watch.now += timedelta(minutes=1)
                hook.status = 200
                await calls(farebox, 2)
                await until(lambda: len(hook.got) == 6)
                await until(lambda: app.metrics.text().decode().count('result="delivered"} 3.0') == 1)
                deliveries = [row["deliveries"][0] for row in await listed(farebox)]
                assert [(it["result"], it["attempts"], it["error"]) for it in deliveries] == [
                    ("delivered", 3, None), ("delivered", 2, None), ("delivered", 1, None)
                ]  # fmt: skip

    asyncio.run(scene())


def test_a_webhook_that_hangs_holds_up_no_call(replica: Any) -> None:
    async def scene() -> None:
        end = asyncio.Event()

        async def hang(_seen: Seen, _writer: asyncio.StreamWriter) -> None:
            await end.wait()

        async with scripted(hang) as hook, scripted(OPENAI) as upstream:
            async with replica(upstream.url, alerts=f"json://127.0.0.1:{hook.port}/?rto=60") as farebox:
                await farebox.define(soft("b", 1))
                await calls(farebox, 1)
                await until(lambda: len(hook.seen) == 1)
                await calls(farebox, 50)
                deliveries = [row["deliveries"][0] for row in await listed(farebox)]
                assert {it["result"] for it in deliveries} == {"pending"}
                assert sorted(it["attempts"] for it in deliveries) == [0, 0, 1]
                assert len(hook.seen) == 1
            end.set()

    asyncio.run(scene())
