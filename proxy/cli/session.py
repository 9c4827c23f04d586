"""What every command does around its work: read the settings, open the ledger and ask it, end with one clear line."""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, NoReturn

import typer
from sqlalchemy.exc import DBAPIError

from billing.migrations import SchemaTooNew
from billing.store import Narrowing, Store
from billing.windows import moment
from proxy.cli.listing import Format
from proxy.settings import Settings, SettingsError, load
from proxy.values import without_password

FormatOption = Annotated[Format, typer.Option("--format", "-f", help="table for people, json lines, or csv")]
FromOption = Annotated[str | None, typer.Option("--from", metavar="DATE", help="from this date or time on")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="DATE", help="up to this date or time, not included")]
DatabaseOption = Annotated[str | None, typer.Option(help="the ledger (FAREBOX_DATABASE)")]


def settings(**flags: str | None) -> Settings:
    """The settings in force; ends the command with one clear line where they are wrong."""
    try:
        return load(os.environ, {f"FAREBOX_{name.upper()}": value for name, value in flags.items()})
    except SettingsError as error:
        fail(str(error), 2)


def narrowed(chosen: Settings, since: str | None, until: str | None, given: Mapping[str, str | None]) -> Narrowing:
    """The part of the ledger that a command is about; ends it where that makes no sense."""
    equal = tuple((name, value) for name, value in given.items() if value is not None)
    try:
        return Narrowing(
            moment(since, chosen.timezone) if since else None, moment(until, chosen.timezone) if until else None, equal
        )
    except ValueError as error:
        fail(str(error), 2)


def fail(message: str, status: int) -> NoReturn:
    """End the command: status 1 where something was found wrong, 2 for wrong usage."""
    sys.stderr.write(f"farebox: {message}\n")
    raise typer.Exit(status)


def ask_ledger(chosen: Settings, question: Callable[[Store], Awaitable[None]]) -> None:
    """Open the ledger, ask, close it. `question` may `fail`."""

    async def asked() -> None:
        store = Store(chosen.database)
        try:
            await store.create()
            await question(store)
        finally:
            await store.close()
            await _threads_ended()

    try:
        asyncio.run(asked())
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the listing has seen enough
    except SchemaTooNew as error:
        fail(str(error), 1)
    except (DBAPIError, ConnectionError, socket.gaierror, TimeoutError) as error:
        said = error.orig if isinstance(error, DBAPIError) else error
        fail(f"the ledger {without_password(chosen.database)} cannot be read: {said}", 1)


async def _threads_ended() -> None:
    """aiosqlite does not wait for the thread of a connection that failed, whose last word needs the loop."""
    while any("_connection_worker_thread" in thread.name for thread in threading.enumerate()):
        await asyncio.sleep(0.001)
