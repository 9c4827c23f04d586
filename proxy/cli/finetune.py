"""`farebox finetune`: whether OpenAI would take a training file, and what training on it will cost."""

import asyncio
import os
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from openai import AsyncOpenAI
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from billing import retirements, training_models
from billing.price_sources import price_book
from billing.training_estimates import SECONDS_AN_HOUR, Plan, endings, estimate, shown
from billing.training_files import METHODS, Batches, Surveyed
from billing.training_tallies import Examination, Report
from proxy import moderating
from proxy.cli.listing import Format
from proxy.cli.session import FormatOption, fail, settings
from proxy.cli.training_reports import show_check, show_estimate
from proxy.moderating import Flagged, ModerationFailed, Moderator, Screened

PIECE_BYTES = 1 << 20
LISTED = 20

app = typer.Typer(help="Fine-tuning: whether a training file is right, and what a job will cost.", no_args_is_help=True)

FileArgument = Annotated[str, typer.Argument(metavar="FILE.jsonl", help="the training file; - reads standard input")]
MethodOption = Annotated[str | None, typer.Option(help="supervised, preference or reinforcement; the file tells")]


@app.command()
def check(
    file: FileArgument,
    model: Annotated[str | None, typer.Option(help="the base model: its format and how long an example may be")] = None,
    method: MethodOption = None,
    moderate: Annotated[
        bool, typer.Option("--moderate", help="ask OpenAI's moderation about every example (free; needs a key)")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="list so many problems; all are counted")] = LISTED,
    form: FormatOption = Format.TABLE,
) -> None:
    """Check a training file OpenAI's way: every problem with its line. Exit status 1: OpenAI would not take it.

    With --moderate an interrupted screening goes on where it was when the command is run again.
    """
    _known_method(method)
    report = _examined(file, model, method, count_all=False)
    flagged: list[Flagged] | None = None
    if moderate:
        if file == "-":
            fail("--moderate reads the file more than once: name it", 2)
        flagged = _screened(Path(file))
    now = datetime.now(UTC)
    ends = endings(Plan(model, now), report.form, training_models.known(), retirements.announced()) if model else ()
    show_check(file, model, report, flagged, limit, form, ends)
    if report.errors or flagged:
        raise typer.Exit(1)


@app.command(name="estimate")
def estimated(
    file: FileArgument,
    model: Annotated[str, typer.Option(help="the model that is to be trained")],
    epochs: Annotated[int | None, typer.Option(min=1, max=1000, help="how often the file is gone through")] = None,
    method: MethodOption = None,
    hours: Annotated[str | None, typer.Option(help="hours of training, for reinforcement")] = None,
    on: Annotated[str | None, typer.Option(metavar="DATE", help="at the prices of that day; today's otherwise")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Tell what training on a file will cost, how sure that is, and what the model costs afterwards.

    Exit status 1: the fee cannot be told, for want of a price or of lines that can be read.
    """
    _known_method(method)
    plan = Plan(model, _moment(on), epochs, _seconds(hours))
    chosen = settings()
    try:
        book = price_book(chosen.prices, chosen.upstream_host)
    except (OSError, ValueError) as error:
        fail(str(error), 2)
    report = _examined(file, model, method, count_all=True)
    made = estimate(plan, report, book, training_models.known(), retirements.announced())
    answer = shown(made, book)
    show_estimate(answer, form)
    if made.unpriced or report.unread or not report.examples:
        raise typer.Exit(1)


# Reading


def _examined(file: str, model: str | None, method: str | None, *, count_all: bool) -> Report:
    """Read a file piece by piece; several threads count its tokens, which they can do at the same time."""
    examination = Examination(training_models.known(), model, method, count_all=count_all)
    workers = min(4, os.cpu_count() or 1) if count_all else 1
    waiting: deque[Future[list[Surveyed]]] = deque()
    with ThreadPoolExecutor(workers) as pool:

        def settle(most: int) -> None:
            while len(waiting) > most:
                examination.add(waiting.popleft().result())

        for piece in _pieces(file, "Checking" if not count_all else "Counting"):
            for work in examination.feed(piece):
                waiting.append(pool.submit(work))
                settle(2 * workers)
        for work in examination.close():
            waiting.append(pool.submit(work))
        settle(0)
    return examination.report()


def _pieces(file: str, doing: str) -> Iterator[bytes]:
    try:
        with _opened(file) as (source, size), _progress() as bar:
            task = bar.add_task(doing, total=size)
            while piece := source.read(PIECE_BYTES):
                yield piece
                bar.advance(task, len(piece))
    except OSError as error:
        fail(f"{file}: {error.strerror or error}", 2)


@contextmanager
def _opened(file: str) -> Iterator[tuple[BinaryIO, int | None]]:
    if file == "-":
        yield sys.stdin.buffer, None
        return
    with Path(file).open("rb") as source:
        yield source, os.fstat(source.fileno()).st_size


def _progress() -> Progress:
    """A bar on a terminal, nothing in a pipe."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _lines(file: Path, doing: str) -> Iterator[moderating.Line]:
    batches = Batches()
    for piece in _pieces(str(file), doing):
        for batch in batches.feed(piece):
            yield from batch
    for batch in batches.close():
        yield from batch


def _screened(file: Path) -> list[Flagged]:
    """What OpenAI's moderation says of a file. Goes on with what an interrupted run left beside it."""
    chosen = settings()
    if not chosen.openai_api_key:
        fail("--moderate asks OpenAI: set OPENAI_API_KEY", 2)
    progress = moderating.Progress(file.with_name(f"{file.name}.moderation"))

    async def screened() -> list[Screened]:
        client = AsyncOpenAI(api_key=chosen.openai_api_key, base_url=f"{chosen.upstream}/v1", max_retries=0)
        done = progress.load()
        if done and moderating.digest_upto(_lines(file, "Comparing"), done[-1].upto) != done[-1].digest:
            done = []  # the file is another one
        progress.begin(done)
        given = moderating.portions(_lines(file, "Moderating"), done[-1].upto if done else 0)
        async with client:
            async for found in Moderator(client, waiting=_told_to_wait).screen(given):
                progress.add(found)
                done.append(found)
        return done

    try:
        done = asyncio.run(screened())
        progress.end()
    except OSError as error:
        fail(f"{progress.path}: {error.strerror or error}", 2)
    except ModerationFailed as error:
        fail(f"moderation ended early: {error}. Run the command again to go on from there.", 1)
    return [flagged for found in done for flagged in found.flagged]


def _told_to_wait(seconds: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\rrate limit: waiting {seconds:.1f} s\n")


# Options


def _known_method(method: str | None) -> None:
    if method is not None and method not in METHODS:
        fail(f"--method {method}: one of {', '.join(METHODS)}", 2)


def _moment(on: str | None) -> datetime:
    if on is None:
        return datetime.now(UTC)
    try:
        return datetime.combine(date.fromisoformat(on), datetime.min.time(), UTC)
    except ValueError:
        fail(f"--on {on}: a date such as 2026-11-23", 2)


def _seconds(hours: str | None) -> int | None:
    if hours is None:
        return None
    try:
        seconds = Decimal(hours) * SECONDS_AN_HOUR
    except InvalidOperation:
        seconds = Decimal("NaN")
    if not seconds.is_finite() or not 0 <= seconds <= 10**7:
        fail(f"--hours {hours}: a number of hours such as 2.5", 2)
    return int(seconds.to_integral_value())
