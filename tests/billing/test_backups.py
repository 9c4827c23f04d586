"""A ledger goes into a file and comes out of it as it was; a file that is not whole is none."""

import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from ledgers import answers, fill

from billing import backups, copying
from billing.backups import BrokenBackup
from billing.store import Store

CHARGES = 40


async def backed_up(folder: Path, name: str = "ledger.jsonl") -> Path:
    store = Store(f"sqlite:///{folder}/source.db")
    await fill(store, CHARGES)
    async with copying.snapshot(store.engine) as connection:
        await backups.write(folder / name, copying.pages(connection), lambda _: None)
    await store.close()
    return folder / name


@pytest.mark.parametrize("name", ["ledger.jsonl", "ledger.jsonl.gz"])
def test_a_ledger_comes_back_as_it_was(tmp_path: Path, database: str, name: str) -> None:
    async def scene() -> None:
        told: list[int] = []
        path = await backed_up(tmp_path, name)
        target = Store(database)
        await target.create()
        tally = await copying.fill(target.engine, backups.read(path), told.append)
        assert tally.rows == backups.size(path) == sum(told) // 2
        source = Store(f"sqlite:///{tmp_path}/source.db")
        assert await answers(target) == await answers(source)
        await source.close()
        await target.close()

    asyncio.run(scene())


def test_a_file_is_there_once_it_is_whole(tmp_path: Path) -> None:
    async def scene() -> None:
        path = await backed_up(tmp_path)
        before = path.read_bytes()
        store = Store(f"sqlite:///{tmp_path}/source.db")

        def no_room(_rows: int) -> None:
            assert path.read_bytes() == before
            raise OSError(28, "No space left on device")

        async with copying.snapshot(store.engine) as connection:
            with pytest.raises(OSError, match="No space"):
                await backups.write(path, copying.pages(connection), no_room)
        await store.close()
        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir() if "jsonl" in file.name] == [path.name]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda lines: [], "line 1: this is no backup"),
        (lambda lines: [b"\x00\xff\n"], "line 1: this is no backup"),
        (lambda lines: [b'{"hello":1}\n', *lines[1:]], "line 1: this is no backup"),
        (lambda lines: [b'{"farebox_ledger":"0001"}\n', *lines[1:]], "its schema is 0001, this Farebox's is"),
        (lambda lines: lines[:-1], "its end is missing"),
        (lambda lines: lines[:20], "its end is missing"),
        (lambda lines: [*lines[:-1], lines[-1][:-10]], "this is no backup"),
        (lambda lines: [*lines[:-2], lines[-1]], "it was changed after it was written: charges"),
        (lambda lines: [*lines[:-1], lines[-2], lines[-1]], "it was changed after it was written: charges"),
        (lambda lines: [*lines, lines[-1]], "something comes after the end"),
        (lambda lines: [line.replace(b'"cost_pico":1,', b'"cost_pico":2,') for line in lines], "changed after"),
        (lambda lines: [*lines[:5], b'["charges",{"id":"x"}]\n', *lines[5:]], "line 6: this is no row"),
        (lambda lines: [*lines[:5], b'["secrets",{"id":"x"}]\n', *lines[5:]], "line 6: this is no row"),
        (lambda lines: [*lines[:5], b"[]\n", *lines[5:]], "line 6: this is no row"),
        (lambda lines: [line.replace(b"2026-", b"yesterday") for line in lines], "this is no row"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_not_whole_is_not_taken(
    tmp_path: Path, broken: Callable[[list[bytes]], list[bytes]], said: str, zipped: bool
) -> None:
    async def scene() -> None:
        path = await backed_up(tmp_path)
        body = b"".join(broken(path.read_bytes().splitlines(keepends=True)))
        path.write_bytes(gzip.compress(body) if zipped else body)
        target = Store(f"sqlite:///{tmp_path}/target.db")
        await target.create()
        empty = await answers(target)
        with pytest.raises(BrokenBackup, match=said):
            await copying.fill(target.engine, backups.read(path), lambda _: None)
        assert await answers(target) == empty
        await target.close()

    asyncio.run(scene())


def test_a_compressed_file_that_was_cut_is_not_taken(tmp_path: Path) -> None:
    async def scene() -> None:
        path = await backed_up(tmp_path, "ledger.gz")
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(BrokenBackup):
            async for _ in backups.read(path):
                pass

    asyncio.run(scene())
