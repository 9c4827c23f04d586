"""The lookout of a running replica: what happens is told once, and counted."""

import asyncio
from typing import Any

from replica import until
from scripted_upstream import answering, scripted

from billing.budgets import Budget
from billing.money import pico_from_usd

BODY = b'{"id":"x","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":8,"completion_tokens":3,"total_tokens":11}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
ASK = b'{"model":"gpt-4o","messages":[],"max_tokens":10}'
POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(ASK) + ASK
)


def test_what_a_replica_sees_becomes_an_alert(replica: Any) -> None:
    async def scene() -> None:
        async with scripted(answering(ANSWER)) as upstream, replica(upstream.url) as farebox:
            await farebox.define(Budget("small", pico_from_usd("0.00005"), hard=False))
            await farebox.send(POST)
            counted = 'farebox_alerts_total{alert="budget_threshold",channel="",result="raised"} 3.0'
            await until(lambda: counted in farebox.app.metrics.text().decode())
            raised = await farebox.app.store.alerts.listed(10)
            assert sorted(row["kind"] for row in raised) == ["budget_threshold"] * 3

    asyncio.run(scene())
