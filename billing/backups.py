"""A ledger in a file: JSON lines, `.gz` where the name says so. The first line tells the version of the schema, every
other one a row, the last one how many there were of each table, and their digests."""

import base64
import contextlib
import gzip
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from datetime import datetime
from io import BufferedIOBase
from pathlib import Path
from typing import Any, cast

import msgspec
from sqlalchemy import LargeBinary, Table

from billing import migrations
from billing.copying import COPIED, Page, Row, Tally
from billing.store import PAGE_ROWS
from billing.tables import UtcDateTime


class BrokenBackup(ValueError):
    """A file that is no backup, not all of one, or one of another version. Says what is wrong, and in which line."""


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    farebox_ledger: str


class _End(msgspec.Struct, forbid_unknown_fields=True):
    end: dict[str, tuple[int, str]]


async def write(path: Path, source: AsyncIterable[Page], told: Callable[[int], None]) -> Tally:
    """Write a ledger's rows; the file is there once it is whole. `told` is called with the number of rows written
    since. Raises OSError."""
    tally, beside = Tally(), path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _opened(beside, "wb", zipped=path.suffix == ".gz") as file:
            file.write(_line(_Head(migrations.newest())))
            async for name, rows in source:
                tally.add(name, rows)
                file.writelines(_line((name, row)) for row in rows)
                told(len(rows))
            file.write(_line(_End({name: (count, f"{digest:032x}") for name, (count, digest) in tally.tables.items()})))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return tally


async def read(path: Path) -> AsyncIterator[Page]:
    """The rows of a file, some at a time. Raises BrokenBackup, at the latest after the last row, and OSError."""
    tally, name, rows, end = Tally(), "", list[Row](), None
    for number, line in _lines(path):
        if end is not None:
            raise BrokenBackup(f"line {number}: something comes after the end")
        if line.startswith(b"{"):
            end = _told(number, line, _End).end
            continue
        table, row = _row(number, line)
        if table != name or len(rows) == PAGE_ROWS:
            if rows:
                tally.add(name, rows)
                yield name, rows
            name, rows = table, []
        rows.append(row)
    if rows:
        tally.add(name, rows)
        yield name, rows
    if end is None:
        raise BrokenBackup("its end is missing: it was not written to its end")
    expected = Tally({table: (count, int(digest, 16)) for table, (count, digest) in end.items()})
    if differing := expected.differing(tally):
        raise BrokenBackup(f"it was changed after it was written: {', '.join(differing)}")


def size(path: Path) -> int:
    """How many rows a file has. Raises BrokenBackup and OSError."""
    return max(0, sum(1 for _ in _lines(path)) - 1)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The numbered lines after the first, which must say what we can read."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    try:
        with _opened(path, "rb", zipped=zipped) as file:
            head = _told(1, file.readline(), _Head)
            if head.farebox_ledger != migrations.newest():
                raise BrokenBackup(
                    f"its schema is {head.farebox_ledger}, this Farebox's is {migrations.newest()}: "
                    "import it with the version that wrote it, which a later one then brings up to date"
                )
            yield from enumerate(file, start=2)
    except (EOFError, gzip.BadGzipFile) as error:
        raise BrokenBackup(str(error)) from None


def _told(number: int, line: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.MsgspecError:
        raise BrokenBackup(f"line {number}: this is no backup of a ledger") from None


def _row(number: int, line: bytes) -> tuple[str, Row]:
    try:
        name, row = msgspec.json.decode(line, type=tuple[str, Row])
        return name, {column: _READ.get((name, column), _as_is)(value) for column, value in _whole(COPIED[name], row)}
    except (msgspec.MsgspecError, KeyError, ValueError, TypeError):
        raise BrokenBackup(f"line {number}: this is no row of a ledger") from None


def _whole(table: Table, row: Row) -> Iterator[tuple[str, Any]]:
    """The values of a row, every column and no other. Raises ValueError."""
    if row.keys() != set(table.columns.keys()):
        raise ValueError(table.name)
    return iter(row.items())


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _opened(path: Path, mode: str, *, zipped: bool) -> contextlib.AbstractContextManager[BufferedIOBase]:
    file = gzip.open(path, mode) if zipped else path.open(mode)  # noqa: SIM115 - it is closed by who asked for it
    return cast("contextlib.AbstractContextManager[BufferedIOBase]", file)


def _as_is(value: Any) -> Any:
    return value


def _moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _bytes(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value, validate=True)


_KINDS: tuple[tuple[type[Any], Callable[[Any], Any]], ...] = ((UtcDateTime, _moment), (LargeBinary, _bytes))

_READ = {
    (name, column.name): read_one
    for name, table in COPIED.items()
    for column in table.columns
    for kind, read_one in _KINDS
    if isinstance(column.type, kind)
}
"""How values that JSON has no words for are read back."""
