"""A webhook on loopback that keeps what it is sent and answers as it is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Webhook:
    """`status` is what it answers; `got` every path and JSON body it was sent."""

    port: int = 0
    status: int = 200
    got: list[tuple[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((request.path, await request.json()))
        return web.Response(status=self.status, headers={"Location": "/elsewhere"} if self.status == 302 else {})


@asynccontextmanager
async def webhook(status: int = 200) -> AsyncIterator[Webhook]:
    """A webhook that listens inside the block."""
    hook = Webhook(status=status)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hook.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        hook.port = runner.addresses[0][1]
        yield hook
    finally:
        await runner.cleanup()
