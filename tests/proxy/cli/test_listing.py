import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.listing import Format, Row, show, stream

ROWS: list[Row] = [
    {"model": "gpt-4o", "requests": 12345, "cost_usd": "0.0035", "status": 2000, "usage": {"a": 1, "b": 2}, "x": "hid"},
    {"model": None, "requests": 0, "cost_usd": None, "status": None, "usage": {}},
]
COLUMNS = ("model", "requests", "cost_usd", "status", "usage")


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Standard output; nothing may stand on standard error."""
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def test_json_is_a_whole_row_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, COLUMNS, Format.JSON, empty="nothing")
    assert [json.loads(line) for line in lines(capsys)] == ROWS


def test_csv_has_the_columns_and_what_is_not_known_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, COLUMNS, Format.CSV, empty="nothing")
    assert lines(capsys) == [
        "model,requests,cost_usd,status,usage",
        "gpt-4o,12345,0.0035,2000,a=1 b=2",
        ",0,,,",
    ]


def test_in_a_table_what_is_not_known_is_a_dash_and_never_a_zero(capsys: pytest.CaptureFixture[str]) -> None:
    show(ROWS, COLUMNS, Format.TABLE, empty="nothing", title="Spend")
    shown = [line.split() for line in lines(capsys)]
    assert shown == [
        ["Spend"],
        ["model", "requests", "cost", "usd", "status", "usage"],
        ["gpt-4o", "12,345", "0.0035", "2000", "a=1", "b=2"],
        ["–", "0", "–", "–", "–"],
    ]


@pytest.mark.parametrize(
    ("form", "says"),
    [(Format.TABLE, ["Nothing yet."]), (Format.JSON, []), (Format.CSV, ["model,requests"])],
)
def test_an_empty_listing(form: Format, says: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    show([], ("model", "requests"), form, empty="Nothing yet.")
    assert lines(capsys) == says


@pytest.mark.parametrize("form", Format)
def test_a_stream_is_listed_like_rows(form: Format, capsys: pytest.CaptureFixture[str]) -> None:
    async def rows() -> AsyncIterator[Row]:
        for row in ROWS:
            yield row

    show(ROWS, COLUMNS, form, empty="nothing")
    expected = lines(capsys)
    asyncio.run(stream(rows(), COLUMNS, form, empty="nothing"))
    assert lines(capsys) == expected


def test_json_is_written_as_the_rows_come(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[list[str]] = []

    async def rows() -> AsyncIterator[Row]:
        for number in range(3):
            yield {"n": number}
            seen.append(lines(capsys))

    asyncio.run(stream(rows(), ("n",), Format.JSON, empty=""))
    assert seen == [['{"n":0}'], ['{"n":1}'], ['{"n":2}']]


@pytest.mark.parametrize(
    "name",
    [
        "[/]",
        "[red]gpt[/red]",
        "[bold",
        ":smile:",
        "ft:gpt-4o:acme::1",
        "a\\[b]",
        "{x}",
        "x" * 256,
        "切符 🚋",
        "https://x.y",
    ],
)
def test_what_clients_call_things_is_shown_as_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    show([{"model": name}], ("model",), Format.TABLE, empty="", title=name)
    title, _, row = lines(capsys)
    assert (title.rstrip(), row.rstrip()) == (name, name)


def test_no_line_of_a_table_is_folded_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show([dict.fromkeys("abcdef", "x" * 60)], tuple("abcdef"), Format.TABLE, empty="")
    assert len(lines(capsys)) == 2


VALUES: Any = (
    st.none() | st.booleans() | st.integers() | st.text() | st.dictionaries(st.text(), st.integers(), max_size=2)
)


@given(st.lists(st.fixed_dictionaries({"a": VALUES, "b": VALUES}), max_size=4))
def test_json_lines_and_csv_can_be_read_again(rows: list[dict[str, Any]]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        written = io.StringIO(newline="")
        patched.setattr("sys.stdout", written)
        show(rows, ("a", "b"), Format.JSON, empty="")
        assert [json.loads(line) for line in written.getvalue().split("\n")[:-1]] == rows
        patched.setattr("sys.stdout", written := io.StringIO(newline=""))
        show(rows, ("a", "b"), Format.CSV, empty="")
        table = list(csv.reader(io.StringIO(written.getvalue(), newline="")))
        assert len(table) == len(rows) + 1
        for row, cells in zip(rows, table[1:], strict=True):
            for name, cell in zip("ab", cells, strict=True):
                if isinstance(row[name], str):
                    assert cell == row[name]
