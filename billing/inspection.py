"""A journal as it lies on disk: what is in it, and whether that is sound. Only read, also while a replica keeps it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from billing.charges import Call
from billing.journal_file import mark_of
from billing.records import CLOSE, OPEN, RELEASE, UNREADABLE, decode, decode_call

KINDS = {OPEN: "open", CLOSE: "close", RELEASE: "release"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One record: `at` is when its call was admitted or ended; `aside` says why it is set aside, where it is.
    `unreadable` says why it cannot be read; then the rest is not known."""

    number: int
    kind: str
    id: str
    bytes: int
    at: datetime | None = None
    operation: str | None = None
    model: str | None = None
    basis: str | None = None
    cost_pico: int | None = None
    aside: str | None = None
    unreadable: str | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a journal holds. `known_pico` is the sum of the waiting charges whose cost is known."""

    records: int
    under_way: int
    waiting: int
    aside: int
    unknown: int
    known_pico: int
    oldest_at: datetime | None


def entries(path: Path) -> Iterator[Entry]:
    """All records in their order, then those set aside, as they are at one moment. Raises sqlite3.Error."""
    with closing(_opened(path)) as db:
        yield from _entries(db)


def contents(path: Path) -> Contents:
    """What it holds, in figures. Raises sqlite3.Error."""
    records = waiting = aside = unknown = known_pico = 0
    under_way, oldest = set[str](), None
    for entry in entries(path):
        if entry.aside is not None:
            aside += 1
            continue
        records += 1
        if entry.kind == "open":
            under_way.add(entry.id)
            continue
        under_way.discard(entry.id)
        if entry.kind == "close":
            waiting += 1
            oldest = oldest or entry.at
            unknown += entry.cost_pico is None
            known_pico += entry.cost_pico or 0
    return Contents(records, len(under_way), waiting, aside, unknown, known_pico, oldest)


def problems(path: Path) -> Iterator[str]:
    """What is wrong with a journal, in words: the file, a record, what a start would make of them. Raises
    sqlite3.Error where it is no journal at all."""
    with closing(_opened(path)) as db:
        yield from (f"the file: {said}" for (said,) in db.execute("PRAGMA integrity_check") if said != "ok")
        mark = mark_of(db)
        ended, counted, marked, aside = dict[str, int](), 0, {*mark.open}, 0
        for entry in _entries(db):
            where = f"record {entry.number} (call {entry.id})"
            if entry.unreadable:
                yield f"{where} cannot be read: {entry.unreadable}"
            if entry.aside is not None:
                aside += 1
                yield f"{where} is set aside: {entry.aside}"
                continue
            if entry.id in ended:
                yield f"{where} comes after the end of its call, record {ended[entry.id]}"
            if entry.kind == "open":
                marked.discard(entry.number)
            else:
                ended[entry.id] = entry.number
                counted += entry.number <= mark.through
        if aside:
            return  # what is set aside is not in the mark
        if counted != mark.pending:
            yield f"its mark tells of {mark.pending} ended calls up to record {mark.through}, there are {counted}"
        if marked:
            yield f"its mark tells of records that are not there: {', '.join(map(str, sorted(marked)))}"


def _entries(db: sqlite3.Connection) -> Iterator[Entry]:
    for row in db.execute("SELECT seq, kind, id, body, NULL FROM records ORDER BY seq"):
        yield _entry(*row)
    for row in db.execute("SELECT seq, kind, id, body, reason FROM aside ORDER BY seq"):
        yield _entry(*row)


def _entry(number: int, kind: int, ident: str, body: bytes, aside: str | None) -> Entry:
    entry = Entry(number, KINDS.get(kind, str(kind)), ident, len(body), aside=aside)
    try:
        call, told = _READ[kind](body)
    except KeyError:
        return replace(entry, unreadable=f"there is no kind {kind} of records")
    except UNREADABLE as error:
        return replace(entry, unreadable=str(error))
    if call is not None and call.id != ident:
        return replace(entry, unreadable=f"it tells of another call, {call.id}")
    return replace(entry, **told)


def _as_opened(body: bytes) -> tuple[Call | None, dict[str, Any]]:
    call = decode_call(body)
    return call, {"at": call.started_at, "operation": call.operation, "model": call.requested_model}


def _as_closed(body: bytes) -> tuple[Call | None, dict[str, Any]]:
    charge = decode(body)
    told = {"basis": charge.outcome.basis.value, "cost_pico": charge.cost_pico, "model": charge.model}
    return charge.call, {"at": charge.outcome.ended_at, "operation": charge.call.operation, **told}


def _as_released(body: bytes) -> tuple[Call | None, dict[str, Any]]:
    if body:
        raise ValueError("a release says nothing, this one does")
    return None, {}


_READ = {OPEN: _as_opened, CLOSE: _as_closed, RELEASE: _as_released}


def _opened(path: Path) -> sqlite3.Connection:
    """A connection that can only read, and sees one moment for as long as it is open."""
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
    db.execute("BEGIN")
    return db
