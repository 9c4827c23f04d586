"""Every exchange ends in exactly one of three ways, and the last bytes leave when its charge is in the journal."""

import asyncio
import gzip
import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from replica import Replica, until
from scripted_upstream import Script, Seen, answering, chunked, reset, scripted

from billing.records import CLOSE, OPEN, RELEASE

CHAT = b"/v1/chat/completions"
ASK = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010},
    "service_tier": "default",
}
COST = "0.000156"  # 1,000 × $0.15/1M + 10 × $0.60/1M


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST %s HTTP/1.1" % path, b"Host: x", b"Content-Length: %d" % len(body), *headers, b"Connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def ask(**more: Any) -> bytes:
    return json.dumps(ASK | more).encode()


def whole(answer: Any, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    body = answer if isinstance(answer, bytes) else json.dumps(answer, indent=2).encode()
    lines = [b"HTTP/1.1 " + status, b"Content-Type: application/json", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(**fields: Any) -> bytes:
    chunk = {"id": "chatcmpl-2", "object": "chat.completion.chunk", "model": "gpt-4o-mini-2024-07-18", **fields}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def delta(text: str, **fields: Any) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}], **fields)


USAGE = event(choices=[], usage={"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010})
DONE = b"data: [DONE]\n\n"


def as_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def run(replica: Any, script: Script, scenario: Any, **settings: str) -> Any:
    async def scene() -> Any:
        async with scripted(script) as upstream, replica(upstream.url, **settings) as farebox:
            return await scenario(farebox, upstream)

    return asyncio.run(scene())


def the_charge(replica: Any, script: Script, raw: bytes, **settings: str) -> tuple[bytes, dict[str, Any] | None]:
    """Send one request; the answer, and the one charge it left, if any."""

    async def scenario(farebox: Replica, _upstream: Any) -> tuple[bytes, dict[str, Any] | None]:
        answer = await farebox.send(raw)
        charges = await farebox.charges()
        assert len(charges) <= 1
        return answer, charges[0] if charges else None

    result: tuple[bytes, dict[str, Any] | None] = run(replica, script, scenario, **settings)
    return result


def header(answer: bytes, name: bytes) -> str | None:
    for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        key, _, value = line.partition(b": ")
        if key == name:
            return value.decode()
    return None


def test_a_reported_call_costs_the_same_in_header_ledger_and_metrics(replica: Any) -> None:
    async def scenario(farebox: Replica, _upstream: Any) -> None:
        answer = await farebox.send(post(CHAT, ask(), b"Authorization: Bearer sk-test"))
        assert answer.endswith(json.dumps(ANSWER, indent=2).encode())
        (charge,) = await farebox.charges()
        assert header(answer, b"x-farebox-cost-usd") == charge["cost_usd"] == COST
        assert header(answer, b"x-farebox-id") == charge["id"]
        assert charge["basis"] == "reported"
        assert charge["usage"] == {"input_text_tokens": 1000, "output_text_tokens": 10}
        assert charge["model"] == "gpt-4o-mini-2024-07-18"
        assert charge["base_model"] == charge["requested_model"] == "gpt-4o-mini"
        assert charge["response_id"] == "chatcmpl-1"
        assert charge["key"].startswith("fp_")
        assert sum(Decimal(line["cost_usd"]) for line in charge["lines"]) == Decimal(COST)
        assert sum(farebox.app.metrics.cost.values.values()) == charge["cost_pico"]

    run(replica, answering(whole(ANSWER)), scenario)


@pytest.mark.parametrize("coding", ["gzip", "chunked"])
def test_coded_answers_are_metered_and_pass_as_they_are(replica: Any, coding: str) -> None:
    plain = json.dumps(ANSWER).encode()
    if coding == "gzip":
        body = gzip.compress(plain)
        raw = whole(body, b"Content-Encoding: gzip")
    else:
        body = plain
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw = head + chunked(plain[:100], plain[100:])
    answer, charge = the_charge(replica, answering(raw), post(CHAT, ask(), b"Accept-Encoding: gzip"))
    assert answer.endswith(b"\r\n\r\n" + body)
    assert charge is not None
    assert (charge["basis"], charge["cost_usd"]) == ("reported", COST)


def test_usage_is_asked_for_in_streams_and_undone_on_the_way_back(replica: Any) -> None:
    with_usage = [delta("Hel", usage=None), delta("lo", usage=None), USAGE, DONE]
    without = b"".join([delta("Hel"), delta("lo"), DONE])

    async def scenario(farebox: Replica, upstream: Any) -> None:
        body = ask(stream=True)
        answer = await farebox.send(post(CHAT, body, b"Accept-Encoding: gzip"))
        pieces = answer.partition(b"\r\n\r\n")[2]
        assert b"".join(as_chunk(part) for part in (delta("Hel"), delta("lo"), DONE)) + b"0\r\n\r\n" == pieces, without
        sent = upstream.seen[0]
        assert json.loads(sent.body) == {**json.loads(body), "stream_options": {"include_usage": True}}
        assert dict(sent.headers)[b"Accept-Encoding"] == b"identity"
        assert dict(sent.headers)[b"Content-Length"] == b"%d" % len(sent.body)
        (charge,) = await farebox.charges()
        assert (charge["basis"], charge["cost_usd"], charge["streamed"]) == ("reported", COST, True)

    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE)
        for part in with_usage:
            writer.write(as_chunk(part))
            await writer.drain()
            await asyncio.sleep(0.01)  # one read each, so that the app's chunks can be compared too
        writer.write(b"0\r\n\r\n")

    run(replica, script, scenario)


def test_usage_is_undone_also_where_the_upstream_names_its_identity_coding(replica: Any) -> None:
    head = SSE.replace(b"\r\n\r\n", b"\r\nContent-Encoding: identity\r\n\r\n")
    raw = head + chunked(delta("Hi", usage=None) + USAGE + DONE)
    answer, charge = the_charge(replica, answering(raw), post(CHAT, ask(stream=True)))
    assert answer.endswith(as_chunk(delta("Hi") + DONE) + b"0\r\n\r\n")
    assert charge is not None
    assert charge["cost_usd"] == COST


def test_a_stream_whose_app_asked_for_usage_is_not_touched(replica: Any) -> None:
    stream = b"".join([delta("Hi", usage=None), USAGE, DONE])

    async def scenario(farebox: Replica, upstream: Any) -> None:
        body = ask(stream=True, stream_options={"include_usage": True})
        answer = await farebox.send(post(CHAT, body))
        assert answer.endswith(as_chunk(stream) + b"0\r\n\r\n")
        assert upstream.seen[0].body == body
        assert (await farebox.charges())[0]["cost_usd"] == COST

    run(replica, answering(SSE + chunked(stream)), scenario)


@pytest.mark.parametrize("sync", ["process", "power"])
def test_the_end_of_a_stream_leaves_after_its_charge_is_recorded(replica: Any, sync: str) -> None:
    """The upstream keeps the connection open after [DONE]: the charge must be there when the app reads [DONE]."""

    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE + as_chunk(delta("Hi", usage=None) + USAGE + DONE))
        await seen.reader.read()

    async def scenario(farebox: Replica, _upstream: Any) -> None:
        reader, writer = await farebox.connect()
        writer.write(post(CHAT, ask(stream=True)))
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(DONE)
        ident = header(head, b"x-farebox-id")
        assert ident is not None
        assert ident in on_disk(farebox, CLOSE) or await farebox.app.store.charge(ident) is not None
        writer.close()

    run(replica, script, scenario, on_disconnect="cancel", journal_sync=sync)


def on_disk(farebox: Replica, kind: int) -> list[str]:
    """The ids in the records of a kind that a crash could not take any more."""
    with closing(sqlite3.connect(farebox.app.journal.folder / "journal.db")) as db:
        return [ident for (ident,) in db.execute("SELECT id FROM records WHERE kind = ?", (kind,))]


@pytest.mark.parametrize("sync", ["process", "power"])
def test_a_call_leaves_after_it_is_recorded_also_one_of_many(replica: Any, sync: str) -> None:
    found: list[int] = []
    here: list[Replica] = []

    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        found.append(len(on_disk(here[0], OPEN)))
        await until(lambda: len(found) == 20)  # all at once
        writer.write(whole(ANSWER))

    async def scenario(farebox: Replica, upstream: Any) -> None:
        here.append(farebox)
        await asyncio.gather(*(farebox.send(post(CHAT, ask())) for _ in range(20)))
        assert len(upstream.seen) == len(found) == 20
        assert all(opened > seen for seen, opened in enumerate(found)), "each is there when it arrives"
        assert len(await farebox.charges()) == 20

    run(replica, script, scenario, journal_sync=sync)


@pytest.mark.parametrize(
    ("kind", "raw", "end"),
    [
        (CLOSE, SSE + chunked(delta("Hi", usage=None) + USAGE + DONE), DONE),
        (CLOSE, whole(ANSWER), b"}"),
        (RELEASE, whole({"error": {"message": "no"}}, status=b"400 Bad Request"), b"}"),
    ],
    ids=["a stream", "an answer", "a refusal"],
)
def test_nothing_that_ends_an_answer_leaves_while_the_journal_does_not_have_it(
    replica: Any, kind: int, raw: bytes, end: bytes
) -> None:
    held = asyncio.Event()

    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        writer.write(raw)

    async def scenario(farebox: Replica, upstream: Any) -> None:
        journal = farebox.app.journal
        reader, writer = await farebox.connect()
        writer.write(post(CHAT, ask(stream=True)))
        await until(lambda: bool(upstream.seen))
        reading = asyncio.create_task(reader.readuntil(end))
        async with farebox.app._poster.working, journal._commits.paused():  # a disk that takes its time
            held.set()
            await until(lambda: journal.pending() == 1)
            for _ in range(50):
                await asyncio.sleep(0)
            assert not reading.done()
            assert on_disk(farebox, kind) == []
        await reading
        writer.close()

    run(replica, script, scenario)


@pytest.mark.parametrize(
    "status", [b"400 Bad Request", b"401 Unauthorized", b"429 Too Many Requests", b"500 Oops", b"302 Found"]
)
def test_what_openai_refuses_is_released_and_passes_unchanged(replica: Any, status: bytes) -> None:
    error = b'{"error":{"message":"no","type":"x","param":null,"code":null,"usage":{"prompt_tokens":5}}}'
    answer, charge = the_charge(
        replica, answering(whole(error, b"retry-after-ms: 7", status=status)), post(CHAT, ask())
    )
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(error)
    assert header(answer, b"retry-after-ms") == "7"
    assert header(answer, b"x-farebox-id")
    assert charge is None


def test_an_upstream_that_cannot_be_reached_is_a_502_and_a_release(replica: Any) -> None:
    async def scene() -> None:
        async with scripted(answering(b"")) as upstream:
            gone = upstream.url
        async with replica(gone) as farebox:
            answer = await farebox.send(post(CHAT, ask()))
            assert answer.startswith(b"HTTP/1.1 502 Bad Gateway")
            error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
            assert error["code"] == "upstream_unreachable"
            assert gone in error["message"]
            assert await farebox.charges() == []

    asyncio.run(scene())


@pytest.mark.parametrize("how", ["closed", "reset", "not HTTP"])
def test_a_call_that_was_sent_and_never_answered_is_an_estimate(replica: Any, how: str) -> None:
    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        if how == "reset":
            reset(writer)
        elif how == "not HTTP":
            writer.write(b"SSH-2.0-nonsense\r\n\r\n")
        writer.close()

    answer, charge = the_charge(replica, script, post(CHAT, ask()))
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway")
    assert charge is not None
    assert (charge["basis"], charge["reason"]) == ("estimated", "no_answer")
    assert charge["usage"] == {"input_text_tokens": 10}  # 3 + user + "Say hello." (3) + 3
    assert Decimal(charge["cost_usd"]) > 0


def test_a_stream_that_breaks_off_is_estimated_from_what_was_seen(replica: Any) -> None:
    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE + as_chunk(delta("Hello", usage=None)) + as_chunk(delta(" there", usage=None)))
        await writer.drain()
        writer.close()

    answer, charge = the_charge(replica, script, post(CHAT, ask(stream=True)))
    assert not answer.endswith(b"0\r\n\r\n")
    assert charge is not None
    assert (charge["basis"], charge["reason"]) == ("estimated", "upstream_cut")
    assert charge["usage"] == {"input_text_tokens": 10, "output_text_tokens": 2}
    assert charge["model"] == "gpt-4o-mini-2024-07-18"
    assert charge["response_id"] == "chatcmpl-2"


def test_an_answer_without_usage_is_estimated_and_marked(replica: Any) -> None:
    answer, charge = the_charge(replica, answering(whole({**ANSWER, "usage": None})), post(CHAT, ask()))
    assert charge is not None
    assert (charge["basis"], charge["reason"]) == ("estimated", "no_usage")
    assert charge["usage"] == {"input_text_tokens": 10, "output_text_tokens": 2}
    assert header(answer, b"x-farebox-cost-usd") == charge["cost_usd"]


def test_a_reported_zero_stays_zero(replica: Any) -> None:
    zero = {**ANSWER, "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}
    answer, charge = the_charge(replica, answering(whole(zero)), post(CHAT, ask()))
    assert charge is not None
    assert (charge["basis"], charge["cost_usd"], charge["usage"]) == ("reported", "0", {})
    assert header(answer, b"x-farebox-cost-usd") == "0"


def test_a_model_without_price_is_unpriced_and_never_zero(replica: Any) -> None:
    unknown = {**ANSWER, "model": "gpt-4o-mini-super"}
    answer, charge = the_charge(replica, answering(whole(unknown)), post(CHAT, ask()))
    assert charge is not None
    assert (charge["basis"], charge["cost_usd"]) == ("reported", None)
    assert charge["unpriced"] == charge["usage"] == {"input_text_tokens": 1000, "output_text_tokens": 10}
    assert header(answer, b"x-farebox-cost-usd") is None


@pytest.mark.parametrize(
    ("case", "path", "basis", "cost"),
    [
        ("moderations are free but counted", b"/v1/moderations", "free", "0"),
        ("a route in no table is unmetered", b"/v1/brand/new", "unknown", None),
    ],
)
def test_routes_without_a_meter(replica: Any, case: str, path: bytes, basis: str, cost: str | None) -> None:
    answer, charge = the_charge(
        replica, answering(whole({"id": "modr-1", "results": []})), post(path, b'{"input":"x"}')
    )
    assert charge is not None
    assert (charge["basis"], charge["cost_usd"], charge["path"]) == (basis, cost, path.decode())
    assert header(answer, b"x-farebox-cost-usd") == cost


def test_work_whose_usage_comes_later_and_that_has_no_id_is_unknown(replica: Any) -> None:
    queued = {"object": "response", "status": "queued", "model": "gpt-5.4", "usage": None}
    body = json.dumps({"model": "gpt-5.4", "input": "x", "background": True}).encode()
    _, charge = the_charge(replica, answering(whole(queued)), post(b"/v1/responses", body))
    assert charge is not None
    assert (charge["basis"], charge["reason"], charge["cost_usd"]) == ("unknown", "usage_later", None)


def stream_until_told(go_on: asyncio.Event) -> Script:
    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(SSE + as_chunk(delta("Hello", usage=None)))
        await writer.drain()
        await go_on.wait()
        writer.write(as_chunk(USAGE + DONE) + b"0\r\n\r\n")

    return script


async def leave_after_the_first_chunk(farebox: Replica) -> None:
    reader, writer = await farebox.connect()
    writer.write(post(CHAT, ask(stream=True)))
    await reader.readuntil(b"Hello")
    writer.transport.abort()


def test_an_app_that_hangs_up_is_charged_what_openai_reports(replica: Any) -> None:
    go_on = asyncio.Event()

    async def scenario(farebox: Replica, _upstream: Any) -> None:
        await leave_after_the_first_chunk(farebox)
        await until(lambda: farebox.app.draining == 1)
        go_on.set()
        (charge,) = await farebox.charges()
        assert (charge["basis"], charge["cost_usd"], charge["client_gone"]) == ("reported", COST, True)
        assert farebox.app.draining == 0

    run(replica, stream_until_told(go_on), scenario)


def test_an_app_that_hangs_up_before_a_whole_answer_is_charged_for_it(replica: Any) -> None:
    go_on = asyncio.Event()

    async def script(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(whole(ANSWER))

    async def scenario(farebox: Replica, upstream: Any) -> None:
        _, writer = await farebox.connect()
        writer.write(post(CHAT, ask()))
        await until(lambda: bool(upstream.seen))
        writer.transport.abort()
        await until(lambda: farebox.app.draining == 1)
        go_on.set()
        (charge,) = await farebox.charges()
        assert (charge["basis"], charge["cost_usd"], charge["client_gone"]) == ("reported", COST, True)

    run(replica, script, scenario)


def test_with_cancel_the_upstream_is_given_up_and_the_call_estimated(replica: Any) -> None:
    async def scenario(farebox: Replica, _upstream: Any) -> None:
        await leave_after_the_first_chunk(farebox)
        (charge,) = await farebox.charges()
        assert (charge["basis"], charge["reason"], charge["client_gone"]) == ("estimated", "cancelled", True)
        assert charge["usage"] == {"input_text_tokens": 10, "output_text_tokens": 1}

    run(replica, stream_until_told(asyncio.Event()), scenario, on_disconnect="cancel")


def test_draining_is_bounded_in_time(replica: Any) -> None:
    async def scenario(farebox: Replica, _upstream: Any) -> None:
        await leave_after_the_first_chunk(farebox)
        (charge,) = await farebox.charges()
        assert (charge["basis"], charge["reason"]) == ("estimated", "drain_exceeded")

    run(replica, stream_until_told(asyncio.Event()), scenario, drain_seconds="0.05")


def test_an_upload_that_breaks_off_costs_nothing(replica: Any) -> None:
    async def scenario(farebox: Replica, _upstream: Any) -> None:
        for path in (CHAT, b"/v1/files"):
            _, writer = await farebox.connect()
            writer.write(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this" % path)
            await writer.drain()
            await until(lambda: farebox.app.metrics.inflight._value.get() == 1)
            writer.transport.abort()
            await until(lambda: farebox.app.metrics.inflight._value.get() == 0)
        assert await farebox.charges() == []

    run(replica, answering(whole(ANSWER)), scenario)


def test_shutting_down_settles_what_is_still_open(replica: Any) -> None:
    async def scene() -> None:
        async with scripted(stream_until_told(asyncio.Event())) as upstream:
            async with replica(upstream.url) as farebox:
                reader, writer = await farebox.connect()
                writer.write(post(CHAT, ask(stream=True)))
                await reader.readuntil(b"Hello")
            writer.close()
            assert farebox.app.open_calls == 0
        async with replica(upstream.url) as again:
            (charge,) = await again.charges()
            assert (charge["basis"], charge["reason"]) == ("estimated", "shutdown")

    asyncio.run(scene())
