"""No prompt, completion or key reaches the journal, the database, a log line, a metric or the console."""

import asyncio
import contextlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession
from scripted_upstream import Seen, scripted

KEY = "sk-canary-key-5f1c"
PROMPT = "canary-prompt-8a2d"
OUTPUT = "canary-output-77be"
HEADER = "canary-header-19c0"
CANARIES = (KEY, PROMPT, OUTPUT, HEADER)


async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Answers, streams, refuses or breaks off, always with the canary in it."""
    body = json.loads(seen.body)
    said = {"message": {"role": "assistant", "content": OUTPUT}, "index": 0}
    answer = {"id": "chatcmpl-1", "model": "gpt-4o", "choices": [said], "usage": body.get("usage")}
    raw = json.dumps(answer).encode()
    match body["user"]:
        case "broken":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n" + raw)
            writer.close()
        case "refused":
            error = json.dumps({"error": {"message": f"Incorrect key {KEY}: {PROMPT}", "code": OUTPUT}}).encode()
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % len(error) + error)
        case "silent":
            writer.close()
        case "nonsense":
            writer.write(f"{OUTPUT} {OUTPUT}\r\n\r\n".encode())
            writer.close()
        case _:
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(raw) + raw
            )


def test_canaries_are_nowhere(replica: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scene() -> bytes:
        async with scripted(script) as upstream, replica(upstream.url) as farebox, ClientSession() as apps:
            usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
            for user in ("reported", "estimated", "broken", "refused", "silent", "nonsense"):
                body = {"model": "gpt-4o", "user": user, "messages": [{"role": "user", "content": PROMPT}]}
                if user == "reported":
                    body["usage"] = usage
                headers = {"Authorization": f"Bearer {KEY}", "X-App": HEADER}
                with contextlib.suppress(ClientError):
                    async with apps.post(f"{farebox.url}/v1/chat/completions", json=body, headers=headers) as got:
                        await got.read()
            async with apps.post(f"{farebox.url}/v1/chat/completions", data=f"{{{PROMPT}", headers=headers) as got:
                await got.read()
            console = f"http://{farebox.app.console_listening}"
            await farebox.settled()
            shown = b""
            for path in ("/metrics", "/api/v1/charges", "/api/v1/spend?by=key,user,model", "/"):
                async with apps.get(console + path) as got:
                    shown += await got.read()
            assert len(await farebox.charges()) >= 5
            return shown

    shown = asyncio.run(scene())
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"farebox.db", "journal.db"} <= {file.name for file in files}
    kept = shown + caplog.text.encode() + b"".join(file.read_bytes() for file in files)
    assert b"gpt-4o" in kept
    assert [canary for canary in CANARIES if canary.encode() in kept] == []
