"""Isolation: two teams behind one account, and what each of them is told of the other's things."""

import asyncio
import gzip
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from replica import Replica
from scripted_upstream import Seen, chunked, scripted

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Made, Outcome
from billing.journal import Journal
from billing.keys import SECRET_BYTES, Key, Terms, issue
from billing.usage import Usage
from proxy.app import running
from proxy.settings import Settings

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BLUE, BLUE_TOO, RED, LONER = "blue-app", "blue-batch", "red-app", "loner"
TEAMS = {BLUE: "blue", BLUE_TOO: "blue", RED: "red", LONER: None}
ISSUED: dict[str, tuple[Key, str]] = {
    name: issue(
        Terms(name, team),
        [],
        ident=f"key_{number}",
        entropy=bytes([number]) * SECRET_BYTES,
        now=datetime(2026, 11, 23, tzinfo=UTC),
    )
    for number, (name, team) in enumerate(TEAMS.items())
}
USAGE = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}

Play = Callable[["Account", Replica], Awaitable[None]]


@dataclass
class Account:
    """An upstream account: what is posted gets an id, and lists are paged, two a page."""

    made: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    stray: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Paths that answer otherwise: content type and body."""

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self.seen.append(seen)
        method, target, _ = seen.first_line.decode().split(" ")
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        kind, body = "application/json", b""
        if path in self.stray:
            kind, body = self.stray[path]
        elif method == "POST" and path.count("/") == 2:
            body = json.dumps(self.make(path)).encode()
        elif method == "GET" and path in self.made:
            body = json.dumps(self.page(path, query)).encode()
        else:
            collection, _, ident = path.rpartition("/")
            found = [each for each in self.made.get(collection, []) if each["id"] == ident]
            body = json.dumps(found[0] if found else {"id": ident}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)

    def make(self, path: str) -> dict[str, Any]:
        things = self.made.setdefault(path, [])
        things.append({"id": f"{path.rpartition('/')[2]}-{len(things) + 1}"})
        if path == "/v1/responses":
            things[-1] |= {"model": "gpt-5", "usage": USAGE, "output": [{"container_id": f"cntr-{len(things)}"}]}
        if path == "/v1/batches":
            things[-1] |= {"output_file_id": None}
        return things[-1]

    def page(self, path: str, query: dict[str, list[str]]) -> dict[str, Any]:
        things = self.made[path]
        ids = [each["id"] for each in things]
        start = ids.index(query["after"][0]) + 1 if "after" in query else 0
        end = ids.index(query["before"][0]) if "before" in query else len(ids)
        shown = things[max(start, end - 2) : end] if "before" in query else things[start : start + 2]
        more = start < end - 2 if "before" in query else start + 2 < end
        first, last = (shown[0]["id"], shown[-1]["id"]) if shown else (None, None)
        return {"object": "list", "data": shown, "has_more": more, "first_id": first, "last_id": last, "x": 1.50}


@dataclass
class Answered:
    status: int
    body: Any
    head: bytes


@asynccontextmanager
async def office(settings: Settings) -> AsyncIterator[Replica]:
    async with running(replace(settings, openai_api_key="sk-account")) as app:
        farebox = Replica(app)
        await farebox.define(*(key for key, _ in ISSUED.values()))
        yield farebox


def play(settings: Callable[..., Settings], scenario: Play, **more: str) -> None:
    async def scene() -> None:
        account = Account()
        async with (
            scripted(account) as upstream,
            office(settings(upstream.url, **{"isolate": "true", **more})) as farebox,
        ):
            await scenario(account, farebox)

    asyncio.run(scene())


async def ask(
    farebox: Replica, who: str, method: str, path: str, body: Any = None, *headers: str, raw: bytes | None = None
) -> Answered:
    secret = ISSUED[who][1] if who in ISSUED else who
    sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {secret}", *headers]
    lines += [f"Content-Length: {len(sent)}", "Connection: close"]
    answer = await farebox.send("\r\n".join(lines).encode() + b"\r\n\r\n" + sent)
    head, _, rest = answer.partition(b"\r\n\r\n")
    return Answered(int(head.split(b" ", 2)[1]), json.loads(rest) if rest else None, head)


async def make(farebox: Replica, who: str, path: str, body: Any = None) -> str:
    answered = await ask(farebox, who, "POST", path, body or {})
    assert answered.status == 200
    return str(answered.body["id"])


# ── by path ─────────────────────────────────────────────────────────────────────

MADE = ["files", "batches", "responses", "conversations", "vector_stores", "containers", "assistants", "threads",
        "evals", "videos", "skills", "uploads", "vaults"]  # fmt: skip


@pytest.mark.parametrize("kind", MADE)
def test_what_a_team_makes_is_its_own(settings: Callable[..., Settings], kind: str) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        ident = await make(farebox, BLUE, f"/v1/{kind}")
        sent = len(account.seen)
        for method, below in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/content")):
            foreign = await ask(farebox, RED, method, f"/v1/{kind}/{ident}{below}")
            assert foreign.status == 404
            assert foreign.body["error"]["type"] == "invalid_request_error"
        assert len(account.seen) == sent
        method = "POST" if kind == "uploads" else "GET"
        suffix = "/cancel" if kind == "uploads" else ""
        assert (await ask(farebox, BLUE, method, f"/v1/{kind}/{ident}{suffix}")).status == 200
        assert (await ask(farebox, BLUE_TOO, method, f"/v1/{kind}/{ident}{suffix}")).status == 200
        assert (await ask(farebox, LONER, method, f"/v1/{kind}/{ident}{suffix}")).status == 404

    play(settings, scenario)


def test_a_key_without_a_team_owns_what_it_makes(settings: Callable[..., Settings]) -> None:
    async def scenario(_account: Account, farebox: Replica) -> None:
        ident = await make(farebox, LONER, "/v1/files")
        assert (await ask(farebox, LONER, "GET", f"/v1/files/{ident}")).status == 200
        assert (await ask(farebox, BLUE, "GET", f"/v1/files/{ident}")).status == 404

    play(settings, scenario)


def test_what_was_made_past_farebox_is_nobodys(settings: Callable[..., Settings]) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        account.make("/v1/files")
        answered = await ask(farebox, BLUE, "GET", "/v1/files/files-1")
        assert answered.status == 404
        assert answered.body == {
            "error": {
                "message": "No such File object: files-1",
                "type": "invalid_request_error",
                "param": "id",
                "code": None,
            }
        }
        assert account.seen == []
        assert b"x-should-retry: false" in answered.head

    play(settings, scenario)


def test_routes_that_nobody_knows_are_refused_or_allowed(settings: Callable[..., Settings]) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        assert (await ask(farebox, BLUE, "GET", "/v1/novelties/novelty-1")).status == 404
        assert (await ask(farebox, BLUE, "GET", "/v1/Files/files-1")).status == 404
        assert account.seen == []
        assert (await ask(farebox, BLUE, "GET", "/v1/fine/thing")).status == 200
        assert (await ask(farebox, "sk-own", "GET", "/v1/novelties/novelty-1")).status == 200

    play(settings, scenario, allow_routes="/v1/fine")


def test_a_key_that_farebox_did_not_issue_has_an_account_of_its_own(settings: Callable[..., Settings]) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        ident = await make(farebox, BLUE, "/v1/files")
        assert (await ask(farebox, "sk-own", "GET", f"/v1/files/{ident}")).status == 200
        assert (await ask(farebox, "sk-own", "GET", "/v1/files")).body == account.page("/v1/files", {})

    play(settings, scenario)


def test_where_isolation_is_off_every_byte_passes(settings: Callable[..., Settings]) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        ident = await make(farebox, BLUE, "/v1/files")
        account.make("/v1/files")
        account.stray["/v1/batches"] = ("application/json", b'{ "data": [ {"id": "x"} ],\n "has_more": true }')
        for who in (BLUE, RED):
            assert (await ask(farebox, who, "GET", f"/v1/files/{ident}")).status == 200
            assert (await ask(farebox, who, "GET", "/v1/files")).body == account.page("/v1/files", {})
        odd = b"\xff not JSON"
        assert (await ask(farebox, RED, "POST", "/v1/conversations", None, raw=odd)).status == 200
        assert account.seen[-1].body == odd
        raw = (
            b"GET /v1/batches HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br\r\nConnection: close\r\nAuthorization: Bearer "
        )
        answer = await farebox.send(raw + ISSUED[RED][1].encode() + b"\r\n\r\n")
        assert answer.endswith(b"\r\n\r\n" + account.stray["/v1/batches"][1])
        assert (b"Accept-Encoding", b"br") in account.seen[-1].headers

    play(settings, scenario, isolate="false")


# ── in a body ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        ("responses", "/v1/responses", {"previous_response_id": "{}", "input": "go on"}),
        ("conversations", "/v1/responses", {"conversation": {"id": "{}"}}),
        ("files", "/v1/batches", {"input_file_id": "{}"}),
        ("files", "/v1/fine_tuning/jobs", {"training_file": "{}"}),
        ("files", "/v1/vector_stores", {"file_ids": ["{}"]}),
        ("files", "/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "{}"}]}]}),
        ("files", "/v1/chat/completions", {"messages": [{"content": [{"type": "file", "file": {"file_id": "{}"}}]}]}),
        ("vector_stores", "/v1/responses", {"tools": [{"type": "file_search", "vector_store_ids": ["{}"]}]}),
        ("containers", "/v1/responses", {"tools": [{"type": "code_interpreter", "container": "{}"}]}),
    ],
)
def test_another_teams_object_cannot_be_referred_to(
    settings: Callable[..., Settings], kind: str, path: str, body: dict[str, Any]
) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        ident = await make(farebox, BLUE, f"/v1/{kind}")
        sent, asked = len(account.seen), json.loads(json.dumps({"model": "gpt-5", **body}).replace("{}", ident))
        foreign = await ask(farebox, RED, "POST", path, asked)
        assert (foreign.status, ident in foreign.body["error"]["message"]) == (404, True)
        assert len(account.seen) == sent
        assert (await ask(farebox, BLUE_TOO, "POST", path, asked)).status == 200

    play(settings, scenario)


@pytest.mark.parametrize(
    ("case", "raw", "header"),
    [
        ("no JSON", b"file_id=files-1", "X-None: 1"),
        ("another coding", '{"file_id":"files-1"}'.encode("utf-16"), "X-None: 1"),
        ("compressed", gzip.compress(b'{"file_id":"files-1"}'), "Content-Encoding: gzip"),
        ("said to be compressed", b'{"input":"x"}', "Content-Encoding: deflate"),
        ("too large", b'{"input":"' + b"x" * 2**25 + b'","file_id":"files-1"}', "X-None: 1"),
    ],
)
def test_a_body_that_cannot_be_read_does_not_leave(
    settings: Callable[..., Settings], case: str, raw: bytes, header: str
) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        answered = await ask(farebox, BLUE, "POST", "/v1/responses", None, header, raw=raw)
        assert (answered.status, answered.body["error"]["code"]) == (400, "unreadable_body")
        assert account.seen == []

    play(settings, scenario)


def test_an_upload_may_be_of_any_kind(settings: Callable[..., Settings]) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        content = b"\0" * (2**24 + 1)
        assert (await ask(farebox, BLUE, "POST", "/v1/files", None, raw=content)).status == 200
        assert account.seen[-1].body == content

    play(settings, scenario)


# ── lists ───────────────────────────────────────────────────────────────────────


def test_a_list_shows_what_is_the_teams(settings: Callable[..., Settings]) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        for who in (BLUE, RED, RED, RED, RED, BLUE_TOO, RED):
            await make(farebox, who, "/v1/files")
        account.make("/v1/files")
        assert await everything(farebox, BLUE) == ["files-1", "files-6"]
        assert await everything(farebox, RED) == ["files-2", "files-3", "files-4", "files-5", "files-7"]
        assert await everything(farebox, LONER) == []
        assert await everything(farebox, BLUE, "before=files-8&limit=2") == ["files-6", "files-1"]
        assert await everything(farebox, RED, "before=files-8&limit=2") == [
            "files-7", "files-5", "files-4", "files-3", "files-2"
        ]  # fmt: skip

    play(settings, scenario)


async def everything(farebox: Replica, who: str, query: str = "limit=2") -> list[str]:
    """A list as SDKs read it to its end: a page with nothing on it is the last."""
    found: list[str] = []
    backwards, cursor = "before" in query, ""
    while True:
        page = (await ask(farebox, who, "GET", f"/v1/files?{cursor or query}")).body
        ids = [each["id"] for each in page["data"]]
        assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
        assert (page["object"], page["x"]) == ("list", 1.5)
        found += reversed(ids) if backwards else ids
        if not ids or not page["has_more"]:
            return found
        cursor = f"limit=2&before={ids[0]}" if backwards else f"limit=2&after={ids[-1]}"


def test_a_list_is_asked_for_in_plain_and_keeps_its_query(settings: Callable[..., Settings]) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        for who in (RED, RED, BLUE):
            await make(farebox, who, "/v1/files")
        page = await ask(farebox, BLUE, "GET", "/v1/files?purpose=fine%20tune&after=", None, "Accept-Encoding: gzip")
        assert [each["id"] for each in page.body["data"]] == ["files-3"]
        first, second = account.seen[-2:]
        assert (b"Accept-Encoding", b"identity") in first.headers
        assert second.first_line.startswith(b"GET /v1/files?purpose=fine+tune&after=files-2 ")
        assert first.headers == second.headers

    play(settings, scenario)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"[]"),
        ("application/json", b'{"data":{}}'),
        ("application/json", b'{"data":[{"object":"file"}]}'),
        ("application/json", b'{"data":[{"id":"x"},{"id":"x"}]}'),
        ("application/json", b'{"data":["x"]}'),
        ("application/json", b"not JSON"),
        ("text/plain", b'{"data":[]}'),
        ("text/event-stream", b'data: {"data":[]}\n\n'),
    ],
)
def test_a_list_that_cannot_be_read_is_not_shown(settings: Callable[..., Settings], kind: str, body: bytes) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        account.stray["/v1/files"] = (kind, body)
        answered = await ask(farebox, BLUE, "GET", "/v1/files")
        assert (answered.status, answered.body["error"]["code"]) == (502, "list_unreadable")

    play(settings, scenario)


# ── what comes of what a team made ──────────────────────────────────────────────


def test_what_a_batch_and_a_response_bring_forth_belongs_with_them(settings: Callable[..., Settings]) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        source = await make(farebox, BLUE, "/v1/files")
        batch = await make(farebox, BLUE, "/v1/batches", {"input_file_id": source})
        await make(farebox, BLUE, "/v1/responses", {"model": "gpt-5"})
        assert (await ask(farebox, RED, "GET", "/v1/containers/cntr-1/files/f/content")).status == 404
        assert (await ask(farebox, BLUE, "GET", "/v1/containers/cntr-1/files/f/content")).status == 200
        account.made["/v1/batches"][0]["output_file_id"] = "file-out"
        assert (await ask(farebox, BLUE, "GET", "/v1/files/file-out/content")).status == 404
        assert (await ask(farebox, BLUE_TOO, "GET", f"/v1/batches/{batch}")).status == 200
        assert (await ask(farebox, BLUE, "GET", "/v1/files/file-out/content")).status == 200
        assert (await ask(farebox, RED, "GET", "/v1/files/file-out/content")).status == 404
        account.made["/v1/batches"][0]["error_file_id"] = "file-err"
        assert (await ask(farebox, BLUE, "GET", "/v1/batches")).status == 200
        assert (await ask(farebox, BLUE, "GET", "/v1/files/file-err/content")).status == 200

    play(settings, scenario)


def test_a_stream_is_known_before_its_end(settings: Callable[..., Settings]) -> None:
    begun = json.dumps({"type": "response.created", "response": {"id": "resp_1"}}).encode()
    done = json.dumps({"type": "response.completed", "response": {"id": "resp_1", "usage": USAGE}}).encode()

    async def scene() -> None:
        go_on = asyncio.Event()

        async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
            if seen.first_line.startswith(b"GET"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
                return
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(chunked(b"data: %b\n\n" % begun).removesuffix(b"0\r\n\r\n"))
            await go_on.wait()
            writer.write(chunked(b"data: %b\n\n" % done))

        async with scripted(script) as upstream, office(settings(upstream.url, isolate="true")) as farebox:
            reader, writer = await farebox.connect()
            asked = b'{"model":"gpt-5","stream":true,"background":true}'
            head = "POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n"
            writer.write((head % (ISSUED[BLUE][1], len(asked))).encode() + asked)
            await reader.readuntil(b"resp_1")
            assert (await ask(farebox, BLUE, "GET", "/v1/responses/resp_1")).status == 200
            assert (await ask(farebox, RED, "GET", "/v1/responses/resp_1")).status == 404
            go_on.set()
            await reader.readuntil(b"0\r\n\r\n")
            writer.close()
            assert [charge["response_id"] for charge in await farebox.charges()] == ["resp_1", None]

    asyncio.run(scene())


# ── what is remembered ──────────────────────────────────────────────────────────


def test_owners_are_remembered_over_a_restart_and_from_before_isolation(settings: Callable[..., Settings]) -> None:
    async def scene() -> None:
        account = Account()
        async with scripted(account) as upstream:
            async with office(settings(upstream.url)) as farebox:
                file = await make(farebox, BLUE, "/v1/files")
                response = await make(farebox, RED, "/v1/responses", {"model": "gpt-5"})
                await make(farebox, RED, "/v1/responses", {"model": "gpt-5", "store": False})
                assert [(charge["basis"], charge["response_id"]) for charge in await farebox.charges()] == [
                    ("free", file), ("reported", response), ("reported", "responses-2")
                ]  # fmt: skip
            async with office(settings(upstream.url, isolate="true")) as farebox:
                assert (await ask(farebox, BLUE, "GET", f"/v1/files/{file}")).status == 200
                assert (await ask(farebox, RED, "GET", f"/v1/files/{file}")).status == 404
                assert (await ask(farebox, RED, "GET", f"/v1/responses/{response}")).status == 200
                assert (await ask(farebox, BLUE, "GET", f"/v1/responses/{response}")).status == 404
                assert (await ask(farebox, RED, "GET", "/v1/responses/responses-2")).status == 404  # it is not kept

    asyncio.run(scene())


def test_where_owners_cannot_be_read_nothing_is_shown(settings: Callable[..., Settings]) -> None:
    async def scenario(account: Account, farebox: Replica) -> None:
        ident = await make(farebox, BLUE, "/v1/files")
        await farebox.settled()
        with closing(sqlite3.connect(farebox.app.settings.database.removeprefix("sqlite:///"))) as db:
            db.execute("DROP TABLE objects")
        assert (await ask(farebox, BLUE, "GET", f"/v1/files/{ident}")).status == 200  # it is remembered
        sent = len(account.seen)
        away = await ask(farebox, BLUE, "GET", "/v1/files/files-9")
        assert (away.status, away.body["error"]["code"]) == (503, "owners_unavailable")
        assert b"x-should-retry: true" in away.head
        assert len(account.seen) == sent
        account.make("/v1/files")
        assert (await ask(farebox, BLUE, "GET", "/v1/files")).status == 503

    play(settings, scenario)


def test_what_a_killed_replica_had_only_in_its_journal_is_known(settings: Callable[..., Settings]) -> None:
    async def scene() -> None:
        async with scripted(Account()) as upstream:
            chosen = settings(upstream.url, isolate="true")
            left = Journal(chosen.journal / "test")
            call = Call("fbx_1", NOON, "create", "POST", "/v1/files", Attribution("blue-app", "blue"), "test")
            outcome = Outcome(NOON, Basis.FREE, 200, made=(Made("files-1"),))
            left.close(Charge(call, outcome, None, None, None, Usage(), (), Usage(), 0, "test"))
            left.shut()
            async with office(chosen) as farebox:
                assert (await ask(farebox, BLUE, "GET", "/v1/files/files-1")).status == 200
                assert (await ask(farebox, RED, "GET", "/v1/files/files-1")).status == 404

    asyncio.run(scene())
