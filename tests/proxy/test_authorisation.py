"""Budgets and rate limits where apps meet them: at a running replica."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from replica import Replica, until
from scripted_upstream import ScriptedUpstream, Seen, answering, scripted

from billing.budgets import Budget
from billing.limits import Limit
from billing.money import pico_from_usd
from billing.scopes import Scope
from billing.tokens import count_input

MODEL = "gpt-4o"  # $2.50 and $10 per 1M: 2.5 and 10 microdollars a token
INPUT, OUTPUT = 2_500_000, 10_000_000
KEY = "fp_" + "00" * 6


def post(cap: int | None, *, key: str = "sk-test", path: str = "/v1/chat/completions", **more: Any) -> bytes:
    fields = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], **more}
    if cap is not None:
        fields["max_completion_tokens"] = cap
    body = json.dumps(fields).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
        f"X-Farebox-Tag-Env: prod\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def answer(tokens_in: int, tokens_out: int, model: str = MODEL) -> bytes:
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    body = json.dumps({"id": "x", "model": model, "choices": [], "usage": usage}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@dataclass
class Gate:
    """An upstream that answers when it is told to."""

    raw: bytes
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _seen: Seen, writer: asyncio.StreamWriter) -> None:
        await self.open.wait()
        writer.write(self.raw)


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    error: dict[str, Any]


def read(raw: bytes) -> Answered:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    fields = json.loads(body) if headers.get("content-type") == "application/json" else {}
    return Answered(int(first.split()[1]), headers, fields.get("error", {}))


@asynccontextmanager
async def before(
    script: Any, replica: Any, *definitions: Any, **more: str
) -> AsyncIterator[tuple[Replica, ScriptedUpstream]]:
    async with scripted(script) as upstream, replica(upstream.url, **more) as farebox:
        await farebox.define(*definitions)
        yield farebox, upstream


def test_a_call_within_its_budget_passes_and_is_spent(replica: Any) -> None:
    async def scene() -> None:
        async with before(answering(answer(8, 3)), replica, Budget("b", pico_from_usd("0.01"))) as (farebox, _):
            assert read(await farebox.send(post(100))).status == 200
            await farebox.settled()
            position = farebox.position("b")
            assert (position.spent_pico, position.held_pico) == (8 * INPUT + 3 * OUTPUT, 0)

    asyncio.run(scene())


def test_a_call_that_may_cost_more_than_is_left_never_reaches_the_upstream(replica: Any) -> None:
    async def scene() -> None:
        budget = Budget("team cap", pico_from_usd("0.001"), scope=Scope({"tag:env": ("prod",)}))
        async with before(answering(answer(8, 3)), replica, budget) as (farebox, upstream):
            refused = read(await farebox.send(post(1000)))  # its output alone may cost a cent
            assert (refused.status, refused.error["type"]) == (429, "insufficient_quota")
            assert refused.error["code"] == "project_spend_limit_exceeded"
            assert "'team cap'" in refused.error["message"]
            assert "$0.001" in refused.error["message"]
            assert refused.headers["x-should-retry"] == "false"
            assert refused.headers["x-farebox-id"].startswith("fbx_")
            assert upstream.seen == []
            assert read(await farebox.send(post(50))).status == 200
            assert len(await farebox.charges()) == 1
            assert 'farebox_budget_refusals_total{budget="team cap"} 1.0' in farebox.app.metrics.text().decode()

    asyncio.run(scene())


def test_near_the_limit_the_input_is_counted_exactly(replica: Any) -> None:
    content = "the quick brown fox jumps over the lazy dog " * 200
    message = {"messages": [{"role": "user", "content": content}]}
    tokens = count_input("chat", {"model": MODEL, **message}, MODEL).tokens
    assert len(content) > 4 * tokens

    async def scene() -> None:
        room = (tokens + 40) * pico_from_usd("0.0000025") * 5 // 4 + 10 * OUTPUT  # cache writes are the dearest input
        async with before(answering(answer(tokens, 10)), replica, Budget("b", room)) as (farebox, _):
            assert read(await farebox.send(post(10, **message))).status == 200

    asyncio.run(scene())


def test_what_costs_nothing_is_not_refused_when_the_money_is_gone(replica: Any) -> None:
    async def scene() -> None:
        raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        async with before(answering(raw), replica, Budget("b", 0)) as (farebox, _):
            get = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            assert read(await farebox.send(get)).status == 200
            assert read(await farebox.send(post(1))).status == 429

    asyncio.run(scene())


def test_a_call_that_only_holds_stand_in_the_way_of_waits_for_them(replica: Any) -> None:
    async def scene() -> None:
        gate = Gate(answer(8, 3))
        async with before(gate, replica, Budget("b", pico_from_usd("0.0015")), hold_wait="60") as (farebox, upstream):
            first = asyncio.create_task(farebox.send(post(100)))
            await until(lambda: len(upstream.seen) == 1)
            second = asyncio.create_task(farebox.send(post(100)))
            await until(lambda: farebox.app.authorisation.turnstile.waiting == 1)
            assert len(upstream.seen) == 1
            gate.open.set()
            assert read(await first).status == read(await second).status == 200

    asyncio.run(scene())


def test_a_call_that_has_waited_long_enough_may_be_tried_again(replica: Any) -> None:
    async def scene() -> None:
        gate = Gate(answer(8, 3))
        async with before(gate, replica, Budget("b", pico_from_usd("0.0015")), hold_wait="0.01") as (farebox, upstream):
            first = asyncio.create_task(farebox.send(post(100)))
            await until(lambda: len(upstream.seen) == 1)
            refused = read(await farebox.send(post(100)))
            assert (refused.status, refused.error["code"]) == (429, "project_spend_limit_exceeded")
            assert refused.headers["x-should-retry"] == "true"
            assert int(refused.headers["retry-after-ms"]) > 0
            gate.open.set()
            await first

    asyncio.run(scene())


def test_an_app_that_leaves_while_it_waits_is_not_sent(replica: Any) -> None:
    async def scene() -> None:
        gate = Gate(answer(8, 3))
        async with before(gate, replica, Budget("b", pico_from_usd("0.0015")), hold_wait="60") as (farebox, upstream):
            first = asyncio.create_task(farebox.send(post(100)))
            await until(lambda: len(upstream.seen) == 1)
            _, writer = await farebox.connect()
            writer.write(post(100))
            await until(lambda: farebox.app.authorisation.turnstile.waiting == 1)
            writer.transport.abort()
            gate.open.set()
            await first
            await until(lambda: farebox.app.authorisation.turnstile.waiting == 0)
            await farebox.settled()
            assert len(upstream.seen) == 1
            assert farebox.position("b").held_pico == 0

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 500),
        (b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", 429),
        (b"HTTP/1.1 302 There\r\nContent-Length: 0\r\n\r\n", 302),
    ],
)
def test_a_call_that_openai_refused_leaves_no_hold(replica: Any, raw: bytes, status: int) -> None:
    async def scene() -> None:
        async with before(answering(raw), replica, Budget("b", pico_from_usd("1"))) as (farebox, _):
            assert read(await farebox.send(post(100))).status == status
            await farebox.settled()
            assert (farebox.position("b").spent_pico, farebox.position("b").held_pico) == (0, 0)

    asyncio.run(scene())


def test_budgets_go_on_where_the_ledger_stands(replica: Any) -> None:
    async def scene() -> None:
        async with before(answering(answer(8, 3)), replica, Budget("b", pico_from_usd("1"))) as (farebox, upstream):
            await farebox.send(post(100))
            await farebox.settled()
            spent = farebox.position("b").spent_pico
        async with replica(upstream.url) as farebox:
            assert farebox.position("b").spent_pico == spent == 8 * INPUT + 3 * OUTPUT
            await farebox.define(Budget("new", 1, "day", Scope({"model": (MODEL,)})))
            assert farebox.position("new").spent_pico == spent
            await farebox.define(Budget("none", 1, "day", Scope({"team": ("nobody",)})))
            assert farebox.position("none").spent_pico == 0

    asyncio.run(scene())


@pytest.mark.parametrize(("cap", "status"), [(100, 200), (None, 403)])
def test_strict_refuses_what_nothing_bounds(replica: Any, cap: int | None, status: int) -> None:
    unheard_of = {"model": "not-in-any-list"} if cap is None else {}

    async def scene() -> None:
        budget = Budget("b", pico_from_usd("1000"))
        async with before(answering(answer(8, 3)), replica, budget, uncapped="strict") as (farebox, _):
            assert read(await farebox.send(post(cap, **unheard_of))).status == status

    asyncio.run(scene())


def test_an_unknown_cost_counts_as_what_was_held(replica: Any) -> None:
    async def scene() -> None:
        budget, unpriced = Budget("b", pico_from_usd("1")), answering(answer(8, 3, "not-in-any-list"))
        async with before(unpriced, replica, budget) as (farebox, _):
            await farebox.send(post(100, model="not-in-any-list"))
            await farebox.settled()
            position = farebox.position("b")
            assert position.spent_pico == position.unknown_pico == pico_from_usd("0.05")
        async with replica("http://127.0.0.1:9") as farebox:
            assert farebox.position("b") == position

    asyncio.run(scene())


def test_a_rate_limit_refuses_like_openai_does(replica: Any) -> None:
    async def scene() -> None:
        async with before(answering(answer(8, 3)), replica, Limit("l", requests_per_minute=2)) as (farebox, upstream):
            statuses = [read(await farebox.send(post(1))).status for _ in range(2)]
            refused = read(await farebox.send(post(1)))
            assert ([*statuses, refused.status], len(upstream.seen)) == ([200, 200, 429], 2)
            assert (refused.error["type"], refused.error["code"]) == ("requests", "rate_limit_exceeded")
            assert refused.headers["x-ratelimit-limit-requests"] == "2"
            assert 0 < int(refused.headers["retry-after-ms"]) <= 30_000

    asyncio.run(scene())


def test_rate_limits_are_shared_out_among_replicas(replica: Any) -> None:
    async def scene() -> None:
        async with before(answering(answer(8, 3)), replica, Limit("l", requests_per_minute=4)) as (farebox, _):
            await farebox.app.store.registry.present("another", datetime.now(UTC))
            await until(lambda: farebox.app.authorisation.replicas == 2)
            statuses = [read(await farebox.send(post(1))).status for _ in range(3)]
            assert statuses == [200, 200, 429]

    asyncio.run(scene())


def test_requests_at_a_time_are_let_go_however_they_end(replica: Any) -> None:
    async def scene() -> None:
        gate = Gate(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
        async with before(gate, replica, Limit("l", concurrent_requests=1)) as (farebox, upstream):
            first = asyncio.create_task(farebox.send(post(1)))
            await until(lambda: len(upstream.seen) == 1)
            assert read(await farebox.send(post(1))).status == 429
            gate.open.set()
            assert read(await first).status == 500
            await farebox.settled()
            assert read(await farebox.send(post(1))).status == 500
            await until(lambda: farebox.app.authorisation.limiter.open_calls == 0)

    asyncio.run(scene())


def test_without_its_database_hard_budgets_refuse_and_all_else_goes_on(replica: Any, tmp_path: Path) -> None:
    folder, away = tmp_path / "ledger", tmp_path / "away"
    folder.mkdir()
    database = f"sqlite:///{folder}/farebox.db"

    async def scene() -> None:
        prod = Budget("b", pico_from_usd("1"), scope=Scope({"tag:env": ("prod",)}))
        async with before(answering(answer(8, 3)), replica, prod, database=database) as (farebox, upstream):
            await until((tmp_path / "journal" / "test" / "directory.json").exists)
        folder.rename(away)
        async with scripted(answering(answer(8, 3))) as upstream:
            async with replica(upstream.url, database=database) as farebox:
                refused = read(await farebox.send(post(1)))
                assert (refused.status, refused.error["code"]) == (503, "budget_unavailable")
                assert refused.headers["x-should-retry"] == "true"
                other = post(1).replace(b"X-Farebox-Tag-Env: prod\r\n", b"")
                assert read(await farebox.send(other)).status == 200
                away.rename(folder)
                await until(lambda: farebox.app.directory.revision > 0)
                assert read(await farebox.send(post(1))).status == 200
                assert len(await farebox.charges()) == 2
            folder.rename(away)
            async with replica(upstream.url, database=database, database_away="continue") as farebox:
                assert read(await farebox.send(post(1))).status == 200
                away.rename(folder)
                await farebox.settled()

    asyncio.run(scene())


def events(*texts: str) -> bytes:
    def event(choices: list[Any], **more: Any) -> bytes:
        return b"data: " + json.dumps({"id": "x", "model": MODEL, "choices": choices, **more}).encode() + b"\n\n"

    usage = {"prompt_tokens": 8, "completion_tokens": len(texts), "total_tokens": 8 + len(texts)}
    deltas = b"".join(event([{"index": 0, "delta": {"content": text}}]) for text in texts)
    body = deltas + event([], usage=usage) + b"data: [DONE]\n\n"
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body) + body


LONG = tuple("lorem ipsum " * 50 for _ in range(300))  # 180,000 characters; what is held pays for 15,000


def test_a_stream_that_outgrows_its_hold_raises_it(replica: Any) -> None:
    async def scene() -> None:
        budget = Budget("b", pico_from_usd("0.06"))
        async with before(answering(events(*LONG)), replica, budget) as (farebox, _):
            raw = await farebox.send(post(None, stream=True, stream_options={"include_usage": True}))
            assert raw.count(b"lorem") == 50 * len(LONG)
            (charge,) = await farebox.charges()
            assert (charge["basis"], charge["cost_pico"]) == ("reported", 8 * INPUT + 300 * OUTPUT)
            assert farebox.position("b").held_pico == 0

    asyncio.run(scene())


def test_a_stream_may_be_cut_where_its_budget_is_spent(replica: Any) -> None:
    whole = events(*LONG)

    async def half(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(whole[: len(whole) // 2])

    async def scene() -> None:
        budget = Budget("b", pico_from_usd("0.06"))
        async with before(half, replica, budget, overrun="cut") as (farebox, _):
            raw = await farebox.send(post(None, stream=True, stream_options={"include_usage": True}))
            assert 0 < raw.count(b"lorem") <= 25 * len(LONG)
            assert b'"code":"project_spend_limit_exceeded"' in raw
            assert raw.endswith(b"}}\n\n\r\n0\r\n\r\n")
            sent = b"".join(raw.partition(b"\r\n\r\n")[2].split(b"\r\n")[1::2])
            for event in sent.removesuffix(b"\n\n").split(b"\n\n"):
                json.loads(event.removeprefix(b"data: "))
            (charge,) = await farebox.charges()
            assert (charge["basis"], charge["reason"]) == ("estimated", "budget_spent")
            assert farebox.position("b").held_pico == 0

    asyncio.run(scene())


def test_a_call_without_a_cap_may_be_given_one(replica: Any) -> None:
    async def scene() -> None:
        budget = Budget("b", pico_from_usd("0.02"))
        async with before(answering(answer(8, 3)), replica, budget, set_cap="true") as (farebox, upstream):
            answered = read(await farebox.send(post(None)))
            cap = int(answered.headers["x-farebox-output-cap"])
            assert json.loads(upstream.seen[0].body)["max_completion_tokens"] == cap
            assert pico_from_usd("0.018") < cap * OUTPUT <= pico_from_usd("0.02")
            assert "x-farebox-output-cap" not in read(await farebox.send(post(5))).headers

    asyncio.run(scene())
