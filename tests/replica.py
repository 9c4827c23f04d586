"""A replica that really runs, and what tests ask it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from billing.budgets import Position
from billing.registry import Definition
from billing.store import Narrowing
from proxy.app import App


@dataclass
class Replica:
    """A running replica, and what a test wants to ask it."""

    app: App

    @property
    def port(self) -> int:
        return self.app.listening.port

    @property
    def url(self) -> str:
        return f"http://{self.app.listening}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection to the apps' side."""
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**26)

    async def send(self, raw: bytes) -> bytes:
        """Send bytes on a connection of their own, with `Connection: close` in them; everything that came back."""
        reader, writer = await self.connect()
        writer.write(raw)
        await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer

    async def charges(self) -> list[dict[str, Any]]:
        """All charges, once every call has ended and is posted."""
        await self.settled()
        return [charge async for charge in self.app.store.charges(Narrowing())]

    async def define(self, *definitions: Definition) -> None:
        """Put definitions in force, as a command beside the replica would."""
        registry = self.app.store.registry
        await registry.define(definitions, datetime.now(UTC))
        revision = await registry.revision()
        await until(lambda: self.app.directory.revision >= revision)

    def position(self, budget: str) -> Position:
        """Where a budget stands now."""
        positions = self.app.balances.positions(datetime.now(UTC))
        return next(position for position in positions if position.budget.name == budget)

    async def settled(self) -> None:
        """Until nothing is under way and nothing waits to be posted."""
        app = self.app
        await until(lambda: app.ledger_ready and app.open_calls == 0 and app.journal.pending() == 0)
        assert self.app.journal.unfinished() == []


async def until(condition: Callable[[], bool], tries: int = 1000) -> None:
    """Let the loop run until something that can be seen has happened."""
    for _ in range(tries):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")
