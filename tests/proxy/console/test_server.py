import asyncio
import sqlite3
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import aiohttp
import pytest
import sqlalchemy
from replica import until
from sqlmodel import SQLModel

from billing.journal import JournalUnwritable
from proxy.app import App, running
from proxy.console.server import OPEN_PATHS, WEB
from proxy.settings import Settings

MakeSettings = Callable[..., Settings]
Ask = Callable[..., Awaitable[tuple[int, str, Any]]]

NO_UPSTREAM = "http://127.0.0.1:9"
TOKEN = "s3cret-ö"
LOCKED = ("/", "/api/v1/spend", "/api/v1/charges", "/api/v1/charges/x", "/api/v1/openapi.json", "/no")


def play(settings: MakeSettings, act: Callable[[App, Ask], Awaitable[None]], **more: str) -> None:
    """A replica, and a way to ask its console: status, body, headers."""

    async def scenario() -> None:
        async with running(settings(NO_UPSTREAM, **more)) as app, aiohttp.ClientSession() as http:
            await until(lambda: app.ledger_ready)

            async def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, str, Any]:
                url = f"http://{app.console_listening}{path}"
                async with http.request(method, url, headers=headers, allow_redirects=False) as answer:
                    return answer.status, await answer.text(), answer.headers

            await act(app, ask)

    asyncio.run(scenario())


async def raw(app: App, text: bytes) -> bytes:
    """What the console answers to these very bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", app.console_listening.port)
    writer.write(text)
    answer = await reader.read()
    writer.close()
    return answer


def basic(name: str, password: str) -> str:
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


# ── who may ask ─────────────────────────────────────────────────────────────────


def test_with_a_token_everything_but_the_open_paths_needs_it(settings: MakeSettings) -> None:
    async def act(_: App, ask: Ask) -> None:
        for path in LOCKED:
            status, body, headers = await ask(path)
            assert status == 401, path
            if path == "/":  # a page that asks for it
                assert body == (WEB / "login.html").read_text()
            else:
                assert headers["WWW-Authenticate"] == 'Bearer realm="Farebox"'
                assert body == '{"error":{"message":"the admin token is missing or wrong"}}'
            given = await ask(path, Authorization=f"Bearer {TOKEN}")
            assert given[0] == (200 if path not in {"/api/v1/charges/x", "/no"} else 404), path
        for path in (*OPEN_PATHS, "/web/page.js"):
            assert (await ask(path))[0] == 200

    play(settings, act, admin_token=TOKEN)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (basic("anybody", TOKEN), 200),
        (basic("", TOKEN), 200),
        ("", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (TOKEN, 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN.upper()}", 401),
        (f"Digest {TOKEN}", 401),
        (basic(TOKEN, ""), 401),
        (basic("anybody", "wrong"), 401),
        ("Basic not-base64!", 401),
        ("Basic", 401),
        ("Basic /w==", 401),  # not UTF-8, and no colon
    ],
)
def test_only_the_token_opens(settings: MakeSettings, authorization: str, status: int) -> None:
    async def act(_: App, ask: Ask) -> None:
        assert (await ask("/api/v1/spend", Authorization=authorization))[0] == status

    play(settings, act, admin_token=TOKEN)


@pytest.mark.parametrize("token", [b"Bearer \xff\xfe", b"Basic \xff", b"\xff", b"Bearer caf\xe9"])
def test_hostile_tokens_are_wrong_tokens(settings: MakeSettings, token: bytes) -> None:
    async def act(app: App, _: Ask) -> None:
        head = b"GET /api/v1/spend HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: " + token + b"\r\n\r\n"
        assert (await raw(app, head)).startswith(b"HTTP/1.1 401 ")

    play(settings, act, admin_token=TOKEN)


def test_with_a_token_any_name_may_be_used(settings: MakeSettings) -> None:
    async def act(_: App, ask: Ask) -> None:
        assert (await ask("/", Host="farebox.example", Authorization=f"Bearer {TOKEN}"))[0] == 200

    play(settings, act, admin_token=TOKEN)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8081", 200),
        ("127.0.0.1", 200),
        ("localhost:8081", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8081", 200),
        ("[::1]", 200),
        # what a page of another site can make a browser here send (DNS rebinding)
        ("evil.example:8081", 403),
        ("localhost.evil.example", 403),
        ("127.evil.example:8081", 403),
        ("127.0.0.1.evil.example", 403),
        ("evil.example:127.0.0.1", 403),
        ("10.0.0.1:8081", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_without_a_token_only_this_machine_may_ask_by_its_own_name(
    settings: MakeSettings, host: str, status: int
) -> None:
    async def act(app: App, _: Ask) -> None:
        for path in (b"/", b"/api/v1/spend", b"/api/v1/openapi.json", b"/web/page.js"):
            head = b"GET " + path + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\nConnection: close\r\n\r\n"
            answer = await raw(app, head)
            assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
            if status == 403:
                assert b"FAREBOX_ADMIN_TOKEN" in answer
        for path in sorted(OPEN_PATHS):  # Prometheus and health checks come under any name
            head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            assert (await raw(app, head)).startswith(b"HTTP/1.1 200 ")

    play(settings, act)


# ── what the page may do ────────────────────────────────────────────────────────


@pytest.mark.parametrize("token", [None, TOKEN])
def test_every_answer_carries_the_page_s_headers(settings: MakeSettings, token: str | None) -> None:
    async def act(_: App, ask: Ask) -> None:
        for path in (*LOCKED, *sorted(OPEN_PATHS)):
            _, _, headers = await ask(path)
            policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
            assert policy["default-src"] == "'none'"
            assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
            sources = {source for part in policy.values() for source in part.split()}
            assert sources == {"'none'", "'self'"}  # no other host, nothing inline, no eval
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in headers

    play(settings, act, **({"admin_token": token} if token else {}))


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("/", {"text/html"}),
        ("/web/page.js", {"text/javascript", "application/javascript"}),
        ("/web/page.css", {"text/css"}),
        ("/web/icon.svg", {"image/svg+xml"}),
    ],
)
def test_the_page_s_files_are_served(settings: MakeSettings, path: str, kinds: set[str]) -> None:
    async def act(_: App, ask: Ask) -> None:
        status, body, headers = await ask(path)
        assert status == 200
        assert headers["Content-Type"].partition(";")[0] in kinds
        assert body == (WEB / (path.removeprefix("/web/") if path != "/" else "index.html")).read_text()

    play(settings, act)


OUT = (
    "/web/../__init__.py",
    "/web/..%2f__init__.py",
    "/web/%2e%2e/__init__.py",
    "/web/%2e%2e%2f%2e%2e%2fpyproject.toml",
    "/web//etc/passwd",
    "/web/%2fetc/passwd",
    "/web/....//__init__.py",
    "/web/..\\__init__.py",
    "/web/page.js%00.html",
    "/web/",
    "/web",
    "/__init__.py",
)


def test_no_path_leads_out_of_the_page_s_folder(settings: MakeSettings) -> None:
    async def act(app: App, _: Ask) -> None:
        for path in OUT:
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            answer = await raw(app, head)
            assert answer.split(b" ", 2)[1] in {b"400", b"403", b"404"}, path
            assert b"root:" not in answer, path
            assert b"[project]" not in answer, path

    play(settings, act)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(settings: MakeSettings, method: str) -> None:
    async def act(_: App, ask: Ask) -> None:
        for path in ("/", "/metrics", "/api/v1/spend", "/api/v1/charges/x", "/web/page.js"):
            assert (await ask(path, method))[0] == 405

    play(settings, act)


# ── health and metrics ──────────────────────────────────────────────────────────


def test_health_and_metrics(settings: MakeSettings) -> None:
    async def act(app: App, ask: Ask) -> None:
        assert (await ask("/healthz"))[:2] == (200, "ok\n")
        assert (await ask("/readyz"))[:2] == (200, "ready\n")
        status, body, headers = await ask("/metrics")
        assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert "farebox_build_info" in body
        app.stop_admitting()
        assert (await ask("/readyz"))[:2] == (503, "shutting down\n")
        assert (await ask("/healthz"))[:2] == (200, "ok\n")

    play(settings, act)


def test_a_journal_that_cannot_be_written_is_not_ready(settings: MakeSettings) -> None:
    async def act(app: App, ask: Ask) -> None:
        with closing(sqlite3.connect(app.journal.folder / "journal.db", isolation_level=None)) as db:
            db.execute("CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'disk full'); END")
            app.journal.release("x")
            with pytest.raises(JournalUnwritable):
                await app.journal.committed()
        assert (await ask("/readyz"))[:2] == (503, "the journal cannot be written: disk full\n")

    play(settings, act)


def test_counters_are_not_shown_before_they_stand_where_the_ledger_ends(settings: MakeSettings) -> None:
    async def act(app: App, ask: Ask) -> None:
        app.ledger_ready = False
        status, body, _ = await ask("/metrics")
        assert (status, body) == (503, "the counters are being read from the ledger\n")

    play(settings, act)


def test_a_database_that_does_not_answer_is_named(settings: MakeSettings) -> None:
    async def act(app: App, ask: Ask) -> None:
        engine = sqlalchemy.create_engine(app.settings.database)
        SQLModel.metadata.drop_all(engine)
        engine.dispose()
        status, body, headers = await ask("/api/v1/spend")
        assert status == 503
        assert "the ledger's database does not answer" in body
        assert headers["X-Content-Type-Options"] == "nosniff"

    play(settings, act)
