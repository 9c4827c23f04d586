"""`farebox serve`, `demo` and `simulate`: what runs until it is told to stop."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop
from rich.console import Console
from rich.markup import escape

from billing.journal import JournalLocked
from proxy.app import App, running
from proxy.settings import Address, Settings
from proxy.simulator.server import Running
from proxy.simulator.server import serve as serve_simulator
from proxy.values import without_password

LOCK_PATIENCE_SECONDS, LOCK_RETRY_SECONDS = 3.0, 0.2

out = Console(highlight=False, soft_wrap=True)


def serve(settings: Settings) -> int:
    """Run a replica until SIGTERM or SIGINT; a second signal ends it at once (the journal loses nothing)."""
    return _run(_serve(settings))


def demo(settings: Settings, *, seed: int, stay: bool) -> int:
    """Run the demonstration."""
    return _run(_demo(settings, seed, stay=stay))


def simulate(listen: str, seed: int, faults: tuple[str, ...]) -> int:
    """Run the simulator until a signal."""

    def ready(simulator: Running) -> None:
        out.print(f"The simulator answers at {simulator.url}/v1 and keeps its bill at {simulator.url}/_simulator/bill")

    async def until_stopped() -> None:
        task = asyncio.create_task(serve_simulator(listen, seed, faults, ready))
        stop = asyncio.create_task(_stop_signal().wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    return _run(until_stopped())


async def _serve(settings: Settings) -> None:
    stop = _stop_signal()
    async with running(settings, app=await _claimed(settings)) as app:
        _tune()
        _greet(app, settings)
        await stop.wait()
        out.print("Stopping: no new calls, open ones may finish. A second signal ends at once.")


async def _claimed(settings: Settings) -> App:
    """A replica with its journal; another may be adopting that just now. Raises JournalLocked."""
    loop = asyncio.get_running_loop()
    until = loop.time() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            return App(settings)
        except JournalLocked:
            if loop.time() > until:
                raise
        await asyncio.sleep(LOCK_RETRY_SECONDS)


async def _demo(settings: Settings, seed: int, *, stay: bool) -> None:
    from proxy.cli import demonstration  # noqa: PLC0415 - brings the SDK, a second that no other command should wait

    stop = _stop_signal()
    async with demonstration.stage(settings, seed) as staged:
        played = asyncio.create_task(demonstration.play(staged, seed, out))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({played, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            played.cancel()
            return
        balanced = await played
        if stay:
            out.print(f"Look around at [bold]http://{staged.app.console_listening}/[/]; Ctrl-C ends the demo.")
            await stop.wait()
        stopped.cancel()
        if not balanced:
            raise SystemExit(1)


def _greet(app: App, settings: Settings) -> None:
    ledger = escape(without_password(settings.database))
    out.print(f"[bold]Farebox[/] relays to {settings.upstream} and keeps its ledger in {ledger}")
    out.print(f"  Point an app at it:  [bold]OPENAI_BASE_URL=http://{_reachable(app.listening)}/v1[/]")
    out.print(f"  Look at the money:   [bold]http://{_reachable(app.console_listening)}/[/]  or  farebox report")


def _reachable(address: Address) -> Address:
    """An address to put into a browser: a wildcard listens everywhere, so this machine is one place of it."""
    return Address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host), address.port)  # noqa: S104


def _run(main: Coroutine[Any, Any, None]) -> int:
    """Run a command's coroutine; what users can mend is one line on standard error."""
    logging.getLogger("farebox").setLevel(logging.INFO)
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    _raise_file_limit()
    try:
        uvloop.run(main)
    except (JournalLocked, OSError, ValueError) as error:
        sys.stderr.write(f"farebox: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _stop_signal() -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets. The second ends the process at once."""
    stop = asyncio.Event()

    def told() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    return stop


def _tune() -> None:
    """What is loaded now stays loaded: collecting it again and again is the dearest thing an idle proxy does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def _raise_file_limit() -> None:
    """Every open stream holds two sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
