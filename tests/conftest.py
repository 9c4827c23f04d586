"""Fixtures of the request path's tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from postgres import database as database
from postgres import postgres as postgres
from postgres import postgres_server as postgres_server
from replica import Replica

from proxy.app import running
from proxy.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with free ports and files in the test's own folder."""

    def make(upstream: str, **more: str) -> Settings:
        given = {
            "FAREBOX_UPSTREAM": upstream,
            "FAREBOX_LISTEN": "127.0.0.1:0",
            "FAREBOX_CONSOLE": "127.0.0.1:0",
            "FAREBOX_DATABASE": f"sqlite:///{tmp_path}/farebox.db",
            "FAREBOX_JOURNAL": f"{tmp_path}/journal",
            "FAREBOX_REPLICA": "test",
            "FAREBOX_SHUTDOWN_SECONDS": "0.2",
        }
        return load(
            {**given, **{f"FAREBOX_{name.upper()}": value for name, value in more.items()}}, default_file="/none"
        )

    return make


@pytest.fixture
def replica(settings: Callable[..., Settings]) -> Callable[..., Any]:
    """A replica before an upstream: `async with replica(url, on_disconnect="cancel") as farebox`."""

    @asynccontextmanager
    async def start(upstream: str, **more: str) -> AsyncIterator[Replica]:
        async with running(settings(upstream, **more)) as app:
            yield Replica(app)

    return start
