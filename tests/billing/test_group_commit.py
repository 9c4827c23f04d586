"""Group commit: one commit a turn, in order, and nobody goes on before what they wait for is written."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from billing.group_commit import GroupCommit, Unwritten
from billing.records import OPEN, RELEASE, Record


class Disk:
    """Writes to memory; `full` while it does not. Ends (and not openings) must be written nevertheless."""

    def __init__(self, *, apart: bool = False) -> None:
        self.commits: list[list[int]] = []
        self.told: list[int] = []
        self.full = False
        self.slow = threading.Event()
        """Cleared: a commit has begun and does not end."""
        self.slow.set()
        self.begun = threading.Semaphore(0)
        self.late: list[int] = []
        self.group = GroupCommit(self._writer, self._written, self._refused, apart=apart)

    def append(self, *numbers: int, kind: int = RELEASE) -> None:
        for number in numbers:
            self.group.append(Record(number, kind, str(number), b""))

    def _writer(self, records: Sequence[Record]) -> Callable[[], None]:
        def write() -> None:
            self.begun.release()
            assert self.slow.wait(30)
            if self.full:
                raise OSError("no room")
            self.commits.append([record.seq for record in records])

        return write

    def _written(self, records: Sequence[Record]) -> None:
        self.told += [record.seq for record in records]

    def _refused(self, records: Sequence[Record], late: int, error: Exception) -> list[Record]:
        assert str(error) == "no room"
        self.late.append(late)
        return [record for record in records if record.kind != OPEN]


def run(scene: Callable[[Disk], Awaitable[None]], *, apart: bool = False) -> None:
    async def play() -> None:
        disk = Disk(apart=apart)
        try:
            await scene(disk)
        finally:
            disk.slow.set()
            disk.group.end()

    asyncio.run(play())


both = pytest.mark.parametrize("apart", [False, True], ids=["on the loop", "apart"])


@both
def test_what_many_append_in_one_turn_is_one_commit_in_their_order(apart: bool) -> None:
    async def scene(disk: Disk) -> None:
        async def one(number: int) -> None:
            disk.append(number)
            await disk.group.committed()
            assert disk.told == list(range(50)), "all of the turn are written when one goes on"

        await asyncio.gather(*(one(number) for number in range(50)))
        assert disk.commits == [list(range(50))]
        disk.append(50)
        await disk.group.committed()
        assert disk.commits[1:] == [[50]]
        await disk.group.committed()
        assert len(disk.commits) == 2, "where nothing was appended there is nothing to wait for"

    run(scene, apart=apart)


@both
def test_what_nobody_waits_for_is_written_too(apart: bool) -> None:
    async def scene(disk: Disk) -> None:
        disk.append(1)
        while not disk.told:
            await asyncio.sleep(0)
        assert disk.commits == [[1]]

    run(scene, apart=apart)


@both
def test_where_no_loop_runs_each_is_written_at_once(apart: bool) -> None:
    disk = Disk(apart=apart)
    disk.append(1, 2)
    assert disk.commits == [[1], [2]]
    disk.full = True
    with pytest.raises(Unwritten):
        disk.append(3)
    disk.full = False
    disk.append(4)
    assert disk.commits == [[1], [2], [3, 4]]
    disk.group.end()


def test_what_a_loop_that_ended_left_is_written_with_what_comes_next() -> None:
    disk = Disk()
    loop = asyncio.new_event_loop()
    loop.call_soon(disk.append, 1)
    loop.call_soon(loop.stop)  # before its next turn
    loop.run_forever()
    loop.close()
    assert disk.commits == []

    async def go_on() -> None:
        disk.append(2)
        await disk.group.committed()

    asyncio.run(go_on())
    assert disk.commits == [[1, 2]]


@both
def test_a_commit_that_fails_is_told_to_all_who_wait_and_what_must_be_written_goes_first_later(apart: bool) -> None:
    async def scene(disk: Disk) -> None:
        async def refused(number: int, kind: int) -> None:
            disk.append(number, kind=kind)
            with pytest.raises(Unwritten):
                await disk.group.committed()

        disk.full = True
        await asyncio.gather(refused(1, OPEN), refused(2, RELEASE), refused(3, RELEASE))
        with pytest.raises(Unwritten):
            await disk.group.committed()
        await refused(4, OPEN)
        assert disk.late == [0, 2], "those that are late for the first time are told from the others"
        assert [record.seq for record in disk.group.uncommitted] == [2, 3]
        disk.full = False
        disk.append(5, kind=OPEN)
        await disk.group.committed()
        assert (disk.commits, disk.told, disk.group.late) == ([[2, 3, 5]], [2, 3, 5], [])

    run(scene, apart=apart)


@both
def test_a_retry_writes_what_is_late_and_sees_whether_there_is_room(apart: bool) -> None:
    async def scene(disk: Disk) -> None:
        disk.full = True
        disk.append(1)
        with pytest.raises(Unwritten):
            await disk.group.committed()
        disk.group.retry()
        while len(disk.late) < 2:
            await asyncio.sleep(0)
        disk.full = False
        disk.group.retry()
        while not disk.commits:
            await asyncio.sleep(0)
        await disk.group.committed()
        disk.group.retry()
        while len(disk.commits) < 2:
            await asyncio.sleep(0)
        assert disk.commits == [[1], []]

    run(scene, apart=apart)


def test_while_the_disk_is_at_work_the_loop_goes_on_and_what_comes_shares_the_next_commit() -> None:
    async def scene(disk: Disk) -> None:
        disk.slow.clear()
        disk.append(1)
        first = asyncio.create_task(disk.group.committed())
        await asyncio.to_thread(disk.begun.acquire)
        others = []
        for number in (2, 3, 4):
            disk.append(number)
            others.append(asyncio.create_task(disk.group.committed()))
            await asyncio.sleep(0)
        assert (disk.told, [record.seq for record in disk.group.uncommitted]) == ([], [1, 2, 3, 4])
        disk.slow.set()
        await asyncio.gather(first, *others)
        assert disk.commits == [[1], [2, 3, 4]]

    run(scene, apart=True)


def test_one_who_gives_up_waiting_disturbs_nobody() -> None:
    async def scene(disk: Disk) -> None:
        disk.slow.clear()
        disk.append(1)
        one, other = (asyncio.create_task(disk.group.committed()) for _ in range(2))
        await asyncio.to_thread(disk.begun.acquire)
        one.cancel()
        await asyncio.sleep(0)
        disk.slow.set()
        await other
        assert (one.cancelled(), disk.told) == (True, [1])

    run(scene, apart=True)


def test_a_flush_waits_for_the_commit_under_way_and_writes_the_rest() -> None:
    async def scene(disk: Disk) -> None:
        disk.slow.clear()
        disk.append(1)
        await asyncio.sleep(0)
        await asyncio.to_thread(disk.begun.acquire)
        disk.append(2)
        threading.Timer(0.01, disk.slow.set).start()  # the loop itself is held up by the flush
        disk.group.flush()
        assert (disk.commits, disk.told) == ([[1], [2]], [1, 2])
        await disk.group.committed()

    run(scene, apart=True)


@both
def test_what_is_appended_in_a_pause_is_written_after_it(apart: bool) -> None:
    async def scene(disk: Disk) -> None:
        disk.append(1)
        async with disk.group.paused():
            disk.append(2)
            waiting = asyncio.create_task(disk.group.committed())
            for _ in range(5):
                await asyncio.sleep(0)
            assert (disk.commits, waiting.done()) == ([], False)
        await waiting
        assert disk.commits == [[1, 2]]

    run(scene, apart=apart)


def test_a_pause_begins_when_the_commit_under_way_is_over() -> None:
    async def scene(disk: Disk) -> None:
        disk.slow.clear()
        disk.append(1)
        await asyncio.sleep(0)
        await asyncio.to_thread(disk.begun.acquire)

        async def pause() -> None:
            async with disk.group.paused():
                assert disk.commits == [[1]]

        pausing = asyncio.create_task(pause())
        await asyncio.sleep(0)
        assert not pausing.done()
        disk.slow.set()
        await pausing

    run(scene, apart=True)
