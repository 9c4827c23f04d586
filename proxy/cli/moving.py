"""`farebox export` and `farebox import`: charges for others to read, and a whole ledger from one place to another."""

import csv
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TextIO

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from billing import backups, copying
from billing.copying import CopyDiffers, LedgerNotEmpty, Tally
from billing.databases import SCHEMES
from billing.store import Store
from billing.tables import RECORD
from proxy.cli.listing import Format
from proxy.cli.session import DatabaseOption, FromOption, ToOption, ask_ledger, fail, narrowed, settings
from proxy.values import database as database_url
from proxy.values import without_password

export = typer.Typer(help="Write the ledger to a file: its charges for others, or all of it.", no_args_is_help=True)

OutOption = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="standard output unless said")]


@export.command("charges")
def export_charges(
    since: FromOption = None,
    until: ToOption = None,
    team: str | None = None,
    project: str | None = None,
    key: str | None = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="json lines, or csv")] = Format.JSON,
    out: OutOption = None,
    database: DatabaseOption = None,
) -> None:
    """Write charges with all their fields, oldest first."""
    if form is Format.TABLE:
        fail("--format table: charges are exported as json or csv; `farebox charges` shows them", 2)
    chosen = settings(database=database)
    narrowing = narrowed(chosen, since, until, {"team": team, "project": project, "key": key})
    row_written = _WRITERS[form]

    async def written(store: Store) -> None:
        total = await store.totals((), narrowing)
        with _file(out) as file, _counted("charges", sum(each.requests for each in total)) as told:
            write = row_written(file)
            async for row in store.charges(narrowing):
                write(row)
                told(1)

    ask_ledger(chosen, written)


@export.command("ledger")
def export_ledger(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="a new file; .gz compresses it")],
    database: DatabaseOption = None,
) -> None:
    """Write all of the ledger, as it is at this moment: charges, sums, keys, budgets, limits, alerts. Beside running
    replicas, too. What they have in their journals is not in it."""
    if out.exists():
        fail(f"{out} is there already", 2)

    async def written(store: Store) -> None:
        async with copying.snapshot(store.engine) as connection:
            with _counted("rows", await copying.size(connection)) as told:
                _say(await backups.write(out, copying.pages(connection), told), f"in {out}")

    try:
        ask_ledger(settings(database=database), written)
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror or error}", 1)


def import_ledger(
    source: Annotated[
        str,
        typer.Argument(metavar="FILE|DATABASE", help="what `export ledger` wrote, or sqlite:///… or postgresql://…"),
    ],
    live: Annotated[bool, typer.Option("--live", help="copy a database though replicas still work on it")] = False,
    database: DatabaseOption = None,
) -> None:
    """Copy a whole ledger into FAREBOX_DATABASE, which must be empty: from a file, or from another database, as from
    SQLite to PostgreSQL. It is there exactly, or not at all.

    To move: stop the replicas (what they still post must be in the ledger first), import, start them with the new
    FAREBOX_DATABASE."""
    chosen = settings(database=database)

    async def filled(store: Store) -> None:
        if source.partition("://")[0] in SCHEMES:
            await _from_database(store, source, live=live)
        else:
            await _from_file(store, Path(source))

    try:
        ask_ledger(chosen, filled)
    except LedgerNotEmpty:
        fail(f"{without_password(chosen.database)} has a ledger already: import goes into an empty database", 1)
    except CopyDiffers as error:
        fail(f"nothing was imported: {error}", 1)
    except backups.BrokenBackup as error:
        fail(f"nothing was imported: {source}: {error}", 1)
    except OSError as error:
        fail(f"{without_password(source)} cannot be read: {error.strerror or error}", 1)


async def _from_database(store: Store, url: str, *, live: bool) -> None:
    try:
        source = Store(database_url(url))
    except ValueError as error:
        fail(f"{without_password(url)} {error}", 2)
    if source.url == store.url:
        fail("this is the ledger that is in use: FAREBOX_DATABASE or --database names where it goes", 2)
    try:
        await source.create()
        if not live and (working := await source.registry.here(datetime.now(UTC))):
            fail(f"{', '.join(working)} still work on this ledger: stop them first, or copy it as it is with --live", 1)
        async with copying.snapshot(source.engine) as connection:
            await _fill(store, copying.pages(connection), await copying.size(connection))
    finally:
        await source.close()


async def _from_file(store: Store, path: Path) -> None:
    await _fill(store, backups.read(path), backups.size(path) if sys.stderr.isatty() else 0)


async def _fill(store: Store, pages: AsyncIterator[copying.Page], rows: int) -> None:
    with _counted("rows, written and read back", 2 * rows) as told:
        _say(await copying.fill(store.engine, pages, told), f"in {without_password(store.url)}, read back and equal")


def _say(tally: Tally, where: str) -> None:
    counts = ", ".join(f"{count:,} {name}" for name, (count, _) in tally.tables.items() if name in _TOLD)
    typer.echo(f"{tally.rows:,} rows {where}" + (f": {counts}" if counts else ""))


_TOLD = ("charges", "definitions", "alerts")


@contextmanager
def _file(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror or error}", 1)


@contextmanager
def _counted(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing in a pipe."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda rows: progress.advance(task, rows)


def _json_lines(file: TextIO) -> Callable[[Mapping[str, Any]], object]:
    return lambda row: file.write(msgspec.json.encode(row).decode() + "\n")


def _csv(file: TextIO) -> Callable[[Mapping[str, Any]], object]:
    writer = csv.writer(file)
    writer.writerow(RECORD)
    return lambda row: writer.writerow(
        msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value
        for value in (row[name] for name in RECORD)
    )


_WRITERS = {Format.JSON: _json_lines, Format.CSV: _csv}
