"""Listings: the same rows as a table for people, JSON lines for programs, or CSV for spreadsheets."""

import csv
import json
import sys
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]

PIPED_WIDTH = 400
"""Columns of a table that no terminal shows: wide enough that nothing is folded."""


class Format(StrEnum):
    """How a listing is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def show(rows: Iterable[Row], columns: Sequence[str], form: Format, *, empty: str, title: str = "") -> None:
    """Write rows to standard output. JSON has every field of a row, one object a line; tables and CSV `columns`."""
    if form is Format.JSON:
        for row in rows:
            _write_json(row)
    elif form is Format.CSV:
        writer = csv.writer(sys.stdout)
        writer.writerow(columns)
        writer.writerows([_text(row.get(column)) for column in columns] for row in rows)
    else:
        _show_table(list(rows), columns, empty, title)


async def stream(rows: AsyncIterable[Row], columns: Sequence[str], form: Format, *, empty: str) -> None:
    """Like `show`, for rows that come from a database a page at a time; JSON is written as they come."""
    if form is Format.JSON:
        async for row in rows:
            _write_json(row)
    else:
        show([row async for row in rows], columns, form, empty=empty)


def moment_text(moment: datetime | None) -> str | None:
    """A moment as a cell: ISO 8601 in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if moment else None


def _write_json(row: Row) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def _show_table(rows: list[Row], columns: Sequence[str], empty: str, title: str) -> None:
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    console = Console(width=width, markup=False, emoji=False)  # the cells are what clients said
    if not rows:
        console.print(empty, highlight=False)
        return
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = any(isinstance(row.get(column), int) for row in rows) or column.endswith(("usd", "1k", "1m"))
        table.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_shown(column, row.get(column)) for column in columns))
    console.print(table)


def _shown(column: str, value: object) -> str:
    """A cell: what is not known is a dash, never a zero."""
    if isinstance(value, int) and not isinstance(value, bool) and column != "status":
        return f"{value:,}"
    return _text(value) or "–"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return " ".join(f"{name}={item}" for name, item in value.items())
    return str(value)
