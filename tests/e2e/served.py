"""`farebox serve` in processes of its own, and the simplest of apps."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from billing.store import Narrowing, Store

ROOT = Path(__file__).parent.parent.parent
READY = "OPENAI_BASE_URL="


@dataclass
class Served:
    """A replica that serves, and the port of its apps' side."""

    process: asyncio.subprocess.Process
    port: int

    async def kill(self) -> None:
        """As a failing machine does."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """As an operator does; its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


@contextlib.asynccontextmanager
async def serve(folder: Path, environ: Mapping[str, str], *, command: tuple[str, ...] = ()) -> AsyncIterator[Served]:
    """A replica on a free port, with its journal in a folder."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("FAREBOX_", "OPENAI_"))}
    own = {
        "PYTHONPATH": str(ROOT), "FAREBOX_LISTEN": "127.0.0.1:0", "FAREBOX_CONSOLE": "127.0.0.1:0",
        "FAREBOX_JOURNAL": str(folder / "journal"), "FAREBOX_SHUTDOWN_SECONDS": "5",
    }  # fmt: skip
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "proxy", "serve", *command, env=given | own | environ, cwd=folder,
            stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        while READY not in (said := (await process.stdout.readline()).decode()):
            assert said, f"it ended before it served: {(folder / 'log').read_text()[-2000:]}"
        yield Served(process, int(said.rpartition(":")[2].split("/")[0]))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@dataclass
class Answer:
    """What an app got: whole or not."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error's."""
        code: str = json.loads(self.body)["error"]["code"]
        return code


async def ask(port: int, body: Mapping[str, Any], key: str = "sk-a", told: str = "") -> Answer | None:
    """One call on a connection of its own, perhaps with something told to the simulator; None when it broke off."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return None
    try:
        content = json.dumps(body).encode()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nConnection: close\r\n"
            b"X-Simulate: %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (key.encode(), told.encode(), len(content), content)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        if "content-length" in headers:
            whole = await reader.readexactly(int(headers["content-length"]))
        else:
            whole = await reader.readuntil(b"0\r\n\r\n")
        return Answer(int(lines[0].split()[1]), headers, whole)
    except (asyncio.IncompleteReadError, OSError):
        return None
    finally:
        writer.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(happened: Callable[[], bool]) -> None:
    """Wait for what happens in another process."""
    async with asyncio.timeout(60):
        while not happened():
            await asyncio.sleep(0.01)


async def charges_of(database: str, enough: int = 0) -> list[dict[str, Any]]:
    """All charges, once there are enough of them."""
    store = Store(database)
    async with asyncio.timeout(60):
        while len(found := [row async for row in store.charges(Narrowing())]) < enough:
            await asyncio.sleep(0.05)
    await store.close()
    return found
