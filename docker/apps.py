"""Apps that never stop: traffic through a Farebox to its simulator, so that the dashboards have something to show.

`OPENAI_BASE_URL=http://127.0.0.1:8080/v1 python docker/apps.py [CALLS_A_SECOND]`
"""

# ruff: noqa: INP001 - a script beside the image, no package

import asyncio
import itertools
import random
import sys
from typing import Any

from openai import APIError, AsyncOpenAI

KEYS = ("sk-demo-helpdesk", "sk-demo-search", "sk-demo-research")
"""docker-compose.yml names them by their fingerprints."""

FINE_TUNED = "ft:gpt-4o-mini-2024-07-18:acme:support:Ab12Cd34"
MANUAL = "Answer from this manual. " + " ".join(f"§{number}. Whoever pays more gets the rest." for number in range(200))
"""A system prompt long enough to be cached."""

KINDS: tuple[tuple[int, str, dict[str, Any]], ...] = (
    (30, "chat", {"model": "gpt-4o-mini"}),
    (20, "chat", {"model": "gpt-5.4", "stream": True}),
    (20, "chat", {"model": FINE_TUNED}),
    (10, "chat", {"model": "gpt-4.1", "stream": True}),
    (12, "response", {"model": "gpt-5.6-sol", "service_tier": "flex"}),
    (6, "embedding", {"model": "text-embedding-3-small"}),
    (1, "chat", {"model": "gpt-4o", "extra_headers": {"x-simulate": "no_usage"}}),
    (1, "chat", {"model": "gpt-4o", "extra_headers": {"x-simulate": "status=500"}}),
    (1, "chat", {"model": "gpt-9-imaginary"}),
    (1, "unmetered", {}),
)
"""Share, kind of call, and what it asks for."""


async def call(client: AsyncOpenAI, kind: str, more: dict[str, Any], question: str) -> None:
    """One call, read to its end. What is refused is part of the day."""
    messages: Any = [{"role": "system", "content": MANUAL}, {"role": "user", "content": question}]
    try:
        match kind:
            case "chat":
                answer: Any = await client.chat.completions.create(messages=messages, **more)
                if more.get("stream"):
                    async for _ in answer:
                        pass
            case "response":
                await client.responses.create(input=question, **more)
            case "embedding":
                await client.embeddings.create(input=question, **more)
            case "unmetered":
                await client.get("/not/in/any/table", cast_to=object)
    except APIError:
        pass


async def main(calls_a_second: float) -> None:
    """Call until stopped."""
    clients = [AsyncOpenAI(api_key=key, max_retries=0) for key in KEYS]
    luck, under_way = random.Random(1), set[asyncio.Task[None]]()  # noqa: S311 - a script of traffic, not a secret
    weights = [share for share, _, _ in KINDS]
    for number in itertools.count():
        _, kind, more = luck.choices(KINDS, weights)[0]
        task = asyncio.create_task(call(luck.choice(clients), kind, more, f"What is the fare of zone {number}?"))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        await asyncio.sleep(luck.expovariate(calls_a_second))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0))
