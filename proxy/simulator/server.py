"""The simulator's sockets: every byte on them, and three ways to run them."""

import asyncio
import struct
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET

from aiohttp import web

from proxy.simulator import wire
from proxy.simulator.delivery import Close, Head, Reset, Step, Wait, Write, encoded, script
from proxy.simulator.instructions import HEADER
from proxy.simulator.simulator import Call, Reply, Simulator

_LARGEST_REQUEST_BYTES = 256 * 2**20
_DISCARD_AND_RESET = struct.pack("ii", 1, 0)

Sleep = Callable[[float], Awaitable[object]]


def application(simulator: Simulator, sleep: Sleep = asyncio.sleep) -> web.Application:
    """`/v1` as OpenAI has it, `GET /_simulator/bill`, `POST /_simulator/reset`. `sleep` does all waiting."""

    async def v1(request: web.Request) -> web.StreamResponse:
        call = Call(
            request.method,
            request.path,
            await request.read(),
            request.headers.get("Authorization"),
            request.headers.get(HEADER),
        )
        reply = simulator.answer(call)
        response, steps = _prepared(request, reply)
        try:
            await _perform(steps, request, response, sleep)
        except ConnectionError:
            simulator.bill.mark_disconnected(reply.request_id)
        return response

    async def bill(_: web.Request) -> web.Response:
        simulator.works.advance()
        return web.Response(body=wire.whole(simulator.bill.as_json()), content_type="application/json")

    async def reset(_: web.Request) -> web.Response:
        simulator.reset()
        return web.Response(status=204)

    app = web.Application(client_max_size=_LARGEST_REQUEST_BYTES)
    app.router.add_get("/_simulator/bill", bill)
    app.router.add_post("/_simulator/reset", reset)
    app.router.add_route("*", "/{path:.*}", v1)
    return app


def _prepared(request: web.Request, reply: Reply) -> tuple[web.StreamResponse, list[Step]]:
    """The response with its headers, and the steps that send it."""
    accepts_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
    units = encoded(reply.units, reply.told, accepts_gzip=accepts_gzip)
    headers = wire.headers(reply.request_id, wire.luck(reply.request_id), request.headers)
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.headers.update(reply.headers)
    response.headers["Content-Type"] = "text/event-stream; charset=utf-8" if reply.streamed else "application/json"
    compressed = reply.told.gzip and accepts_gzip
    if compressed:
        response.headers["Content-Encoding"] = "gzip"
    if not (reply.streamed or compressed):
        end = reply.told.end
        response.content_length = len(units[0]) if end is None else min(end, len(units[0]))
    return response, script(units, reply.told, streamed=reply.streamed)


async def _perform(steps: Iterable[Step], request: web.Request, response: web.StreamResponse, sleep: Sleep) -> None:
    """Raises ConnectionError when the client has gone."""
    for step in steps:
        match step:
            case Wait(seconds):
                await sleep(seconds)
            case Head():
                await response.prepare(request)
            case Write(data):
                await response.write(data)
            case Close():
                _connection(request).close()
                return
            case Reset():
                connection = _connection(request)
                connection.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, _DISCARD_AND_RESET)
                connection.abort()
                return


def _connection(request: web.Request) -> asyncio.Transport:
    if request.transport is None:
        raise ConnectionResetError("the client has gone")
    return request.transport


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator that listens. `url` is its origin, without `/v1`."""

    simulator: Simulator
    host: str
    port: int
    runner: web.AppRunner

    @property
    def url(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def stop(self) -> None:
        """Close the listener and all connections."""
        await self.runner.cleanup()


async def start(
    simulator: Simulator, host: str = "127.0.0.1", port: int = 0, *, sleep: Sleep = asyncio.sleep
) -> Running:
    """Listen in the running loop; port 0 takes a free one. Raises OSError if the address is taken."""
    runner = web.AppRunner(application(simulator, sleep), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError:
        await runner.cleanup()
        raise
    return Running(simulator, host, runner.addresses[0][1], runner)


async def serve(
    listen: str,
    seed: int = 0,
    faults: Iterable[str] = (),
    ready: Callable[[Running], object] = lambda _: None,
) -> None:
    """Listen on `HOST:PORT` until cancelled; `ready` is called once the port is open.

    Raises ValueError for an address or a fault that cannot be understood, OSError if the address is taken.
    """
    host, separator, port = listen.rpartition(":")
    if not separator or not port.isdecimal():
        raise ValueError(f"not HOST:PORT: {listen!r}")
    running = await start(Simulator(seed, faults=faults), host.strip("[]") or "127.0.0.1", int(port))
    try:
        ready(running)
        await asyncio.Event().wait()
    finally:
        await running.stop()


@contextmanager
def in_thread(simulator: Simulator, port: int = 0, *, sleep: Sleep = asyncio.sleep) -> Iterator[Running]:
    """Listen on loopback in a thread with a loop of its own, for callers that have none."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="simulator", daemon=True)
    thread.start()
    try:
        running = asyncio.run_coroutine_threadsafe(start(simulator, port=port, sleep=sleep), loop).result()
        try:
            yield running
        finally:
            asyncio.run_coroutine_threadsafe(running.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
