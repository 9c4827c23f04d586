"""`farebox journal`: what the journals hold that is not in the ledger yet, and whether they are sound."""

import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from billing import inspection
from billing.journals import FILE, replica_of
from billing.money import usd_from_pico
from proxy.cli.listing import Format, moment_text, show
from proxy.cli.session import FormatOption, fail, settings

app = typer.Typer(help="The local journals: every call before it leaves and after it ends.", no_args_is_help=True)

JournalOption = Annotated[
    str | None, typer.Option("--journal", metavar="FOLDER", help="the local journals (FAREBOX_JOURNAL)")
]
ReplicaOption = Annotated[str | None, typer.Option("--replica", metavar="NAME", help="only that replica's")]

COLUMNS = (
    "replica", "state", "records", "under_way", "waiting", "waiting_usd", "waiting_unknown", "aside", "oldest", "bytes",
)  # fmt: skip
RECORD_COLUMNS = ("replica", "number", "kind", "at", "operation", "model", "basis", "cost_usd", "id")


@app.command("show")
def show_journals(
    records: Annotated[bool, typer.Option("--records", help="every record, not sums of them")] = False,
    replica: ReplicaOption = None,
    journal: JournalOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show what waits in the journals: calls under way, and charges not yet in the ledger. Also beside a replica."""
    found = _found(journal, replica)
    try:
        if records:
            rows = (
                _record(replica_of(folder), entry) for folder in found for entry in inspection.entries(folder / FILE)
            )
            show(rows, RECORD_COLUMNS, form, empty="All is in the ledger.")
        else:
            show([_sums(folder) for folder in found], COLUMNS, form, empty=_EMPTY)
    except sqlite3.Error as error:
        fail(f"this is no journal that can be read: {error}; `farebox journal verify` tells of each", 1)


@app.command("verify")
def verify_journals(
    replica: ReplicaOption = None, journal: JournalOption = None, form: FormatOption = Format.TABLE
) -> None:
    """Read every record of the journals and say what is wrong with them. Exit status 1: something is."""
    found = _found(journal, replica)
    rows = [{"replica": replica_of(folder), "problem": problem} for folder in found for problem in _problems(folder)]
    sound = f"{len(found)} journals are sound." if found else _EMPTY
    show(rows, ("replica", "problem"), form, empty=sound)
    if rows:
        raise typer.Exit(1)


_EMPTY = "There are no journals here. FAREBOX_JOURNAL, or --journal, names the folder that `farebox serve` uses."


def _found(journal: str | None, replica: str | None) -> list[Path]:
    """The folders of journals that a command is about."""
    journals = settings(journal=journal).journal
    folders = sorted(file.parent for file in journals.glob(f"*/{FILE}"))
    chosen = [folder for folder in folders if replica in (None, replica_of(folder))]
    if replica is not None and not chosen:
        names = ", ".join(map(replica_of, folders)) or "none"
        fail(f"there is no journal of {replica} in {journals}, but of: {names}", 1)
    return chosen


def _problems(folder: Path) -> Iterator[str]:
    try:
        yield from inspection.problems(folder / FILE)
    except sqlite3.Error as error:
        yield f"the file: {error}"


def _sums(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    contents = inspection.contents(path)
    return {
        "replica": replica_of(folder),
        "state": "in use" if _in_use(folder) else "left",
        "records": contents.records,
        "under_way": contents.under_way,
        "waiting": contents.waiting,
        "waiting_usd": usd_from_pico(contents.known_pico),
        "waiting_unknown": contents.unknown,
        "aside": contents.aside,
        "oldest": moment_text(contents.oldest_at),
        "bytes": sum(file.stat().st_size for file in folder.glob(f"{FILE}*")),
    }


def _record(replica: str, entry: inspection.Entry) -> dict[str, Any]:
    return {
        "replica": replica,
        "number": entry.number,
        "kind": entry.kind,
        "id": entry.id,
        "at": moment_text(entry.at),
        "operation": entry.operation,
        "model": entry.model,
        "basis": entry.basis,
        "cost_usd": None if entry.cost_pico is None else usd_from_pico(entry.cost_pico),
        "bytes": entry.bytes,
        "aside": entry.aside,
        "unreadable": entry.unreadable,
    }


def _in_use(folder: Path) -> bool:
    """Whether a replica keeps this journal."""
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
