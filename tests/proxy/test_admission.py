"""Admission: what is let through, what is refused before anything leaves, and what is counted of it."""

import asyncio
import contextlib
import json
import resource
from collections.abc import Iterator
from typing import Any

import pytest
from replica import Replica
from scripted_upstream import answering, chunked, scripted

from billing.budgets import Budget
from billing.limits import Limit
from billing.money import pico_from_usd

USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
BODY = json.dumps({"id": "x", "model": "gpt-4o", "choices": [], "usage": USAGE}).encode()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
ASK = b'{"model":"gpt-4o","messages":[]}'


def post(*headers: bytes, path: bytes = b"/v1/chat/completions", body: bytes = ASK) -> bytes:
    lines = [b"POST %s HTTP/1.1" % path, b"Host: x", b"Content-Length: %d" % len(body), *headers, b"Connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def play(replica: Any, scenario: Any, **settings: str) -> None:
    async def scene() -> None:
        async with scripted(answering(OK)) as upstream, replica(upstream.url, **settings) as farebox:
            await scenario(farebox, upstream)

    asyncio.run(scene())


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def code(answer: bytes) -> str:
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"])


@contextlib.contextmanager
def disk_full() -> Iterator[None]:
    """No file of this process can grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


REQUIRED, REFUSED = {"require_keys": "true"}, {"unknown_routes": "refuse"}


@pytest.mark.parametrize(
    ("case", "chosen", "raw", "expected"),
    [
        ("our keys that nobody issued", {}, post(b"Authorization: Bearer fb-abc"), (401, "invalid_api_key")),
        ("other keys when ours are required", REQUIRED, post(b"Authorization: Bearer sk-a"), (401, "invalid_api_key")),
        ("no key when ours are required", REQUIRED, post(), (401, "invalid_api_key")),
        ("unknown routes when refused", REFUSED, post(path=b"/v1/new/thing"), (404, "unknown_url")),
        ("what is not under /v1", {}, post(path=b"/chat/completions"), (404, "unknown_url")),
        ("paths that climb", {}, post(path=b"/v1/%2e%2e/admin"), (404, "unknown_url")),
    ],
)
def test_refusals_leave_nothing_behind(
    replica: Any, case: str, chosen: dict[str, str], raw: bytes, expected: tuple[int, str]
) -> None:
    async def scenario(farebox: Replica, upstream: Any) -> None:
        answer = await farebox.send(raw)
        assert (status(answer), code(answer)) == expected
        assert b"\r\nx-farebox-id: fbx_" in answer
        assert b"\r\nx-should-retry: false" in answer
        assert upstream.seen == []
        assert await farebox.charges() == []

    play(replica, scenario, **chosen)


def test_a_key_is_never_shown_in_a_refusal(replica: Any) -> None:
    async def scenario(farebox: Replica, _upstream: Any) -> None:
        answer = await farebox.send(post(b"Authorization: Bearer sk-secret-of-an-app"))
        assert b"secret" not in answer

    play(replica, scenario, require_keys="true")


def test_a_replica_that_stops_takes_no_new_calls(replica: Any) -> None:
    async def scenario(farebox: Replica, upstream: Any) -> None:
        farebox.app.stop_admitting()
        answer = await farebox.send(post())
        assert (status(answer), code(answer)) == (503, "shutting_down")
        assert upstream.seen == []

    play(replica, scenario)


def test_a_call_that_cannot_be_recorded_does_not_leave(replica: Any) -> None:
    async def scenario(farebox: Replica, upstream: Any) -> None:
        assert status(await farebox.send(post())) == 200
        await farebox.settled()
        with disk_full():
            answer = await farebox.send(post())
            assert (status(answer), code(answer)) == (503, "journal_unwritable")
            assert len(upstream.seen) == 1
        assert status(await farebox.send(post())) == 200
        assert len(await farebox.charges()) == 2

    play(replica, scenario)


def test_a_call_that_cannot_be_recorded_holds_nothing_afterwards(replica: Any) -> None:
    async def scenario(farebox: Replica, upstream: Any) -> None:
        await farebox.define(Budget("all", pico_from_usd("1")), Limit("all", concurrent_requests=1))
        with disk_full():
            for _ in range(2):
                assert code(await farebox.send(post())) == "journal_unwritable"
        assert (farebox.position("all").held_pico, upstream.seen) == (0, [])
        assert status(await farebox.send(post())) == 200

    play(replica, scenario)


def test_a_journal_at_its_ceiling_takes_no_call_until_the_ledger_has_what_it_holds(replica: Any) -> None:
    async def scenario(farebox: Replica, _upstream: Any) -> None:
        async with farebox.app._poster.working:  # the database is away
            while status(answer := await farebox.send(post())) == 200:
                pass
            assert code(answer) == "journal_unwritable"
        await farebox.settled()
        assert status(await farebox.send(post())) == 200

    play(replica, scenario, journal_bytes="64KiB")


def test_who_pays_is_read_from_headers_and_body(replica: Any) -> None:
    body = json.dumps(
        {
            "model": "gpt-4o",
            "messages": [],
            "user": "old",
            "safety_identifier": "new",
            "metadata": {"env": "prod", "x": "y"},
        }
    ).encode()

    async def scenario(farebox: Replica, upstream: Any) -> None:
        headers = (
            b"Authorization: Bearer sk-a", b"OpenAI-Project: proj_1", b"OpenAI-Organization: org-1",
            b"X-Farebox-Tag-Feature: search",
        )  # fmt: skip
        await farebox.send(post(*headers, body=body))
        (charge,) = await farebox.charges()
        assert (charge["project"], charge["organization"], charge["user"]) == ("proj_1", "org-1", "new")
        assert charge["tags"] == {"env": "prod", "feature": "search"}
        assert charge["key"].startswith("fp_")
        assert not any(name.lower().startswith(b"x-farebox") for name, _ in upstream.seen[0].headers)

    play(replica, scenario, metadata_tags="env")


@pytest.mark.parametrize(
    ("case", "headers", "body", "framing"),
    [
        ("a sized body stays sized", [b"Content-Length: %d" % len(ASK)], ASK, b"Content-Length"),
        ("a read chunked body is sized", [b"Transfer-Encoding: chunked"], chunked(ASK[:5], ASK[5:]), b"content-length"),
    ],
)
def test_bodies_that_were_read_leave_whole(
    replica: Any, case: str, headers: list[bytes], body: bytes, framing: bytes
) -> None:
    async def scenario(farebox: Replica, upstream: Any) -> None:
        lines = [b"POST /v1/chat/completions HTTP/1.1", b"Host: x", *headers, b"Connection: close"]
        assert status(await farebox.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)) == 200
        assert upstream.seen[0].body == ASK
        assert framing in dict(upstream.seen[0].headers)

    play(replica, scenario)


def test_ended_requests_are_counted_with_their_status_and_basis(replica: Any) -> None:
    async def scenario(farebox: Replica, _upstream: Any) -> None:
        await farebox.send(post())
        await farebox.send(post(path=b"/v1/moderations"))
        await farebox.send(post(path=b"/v1/new/thing_123"))
        await farebox.send(post(b"Authorization: Bearer fb-abc"))
        await farebox.settled()
        shown = farebox.app.metrics.text().decode()
        for line in (
            'farebox_requests_total{basis="reported",model="gpt-4o",operation="chat",status="200"} 1.0',
            'farebox_requests_total{basis="free",model="gpt-4o",operation="moderation",status="200"} 1.0',
            'farebox_requests_total{basis="unknown",model="",operation="unmetered",status="200"} 1.0',
            'farebox_requests_total{basis="free",model="",operation="chat",status="401"} 1.0',
            'farebox_unmetered_requests_total{path="/v1/new/{id}"} 1.0',
            'farebox_overhead_seconds_count{operation="chat"} 1.0',
            'farebox_time_to_first_byte_seconds_count{operation="chat"} 1.0',
            "farebox_inflight_requests 0.0",
        ):
            assert line in shown

    play(replica, scenario)
