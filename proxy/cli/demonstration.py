"""The demonstration: apps on the real SDK, through a real Farebox, to the simulator; then the books are compared."""

import asyncio
import contextlib
import dataclasses
import random
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from openai import APIError, AsyncOpenAI, RateLimitError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from billing import reports
from billing.budgets import Budget, Position
from billing.keys import SECRET_BYTES, Terms, issue
from billing.money import pico_from_usd, usd_from_pico
from billing.scopes import Scope
from billing.store import Narrowing, fold
from proxy.app import App, running
from proxy.settings import Settings
from proxy.simulator.bill import Bill, usd
from proxy.simulator.server import start
from proxy.simulator.simulator import Simulator

FOLDER = Path("farebox-demo")
CALLS = 240
AT_ONCE = 12
POLL_SECONDS = 0.05

_FINE_TUNED = "ft:gpt-4o-mini-2024-07-18:acme:support:Ab12Cd34"
_APPS = (("helpdesk", "support"), ("site-search", "search"), ("notebook", "research"))
"""Each app's key, and its team."""

_BUDGETS = (
    Budget("company", pico_from_usd("50"), "month", hard=False),
    Budget("research", pico_from_usd("0.06"), "month", Scope({"team": ("research",)})),
)
"""The second is not enough for a day: it trips."""

_EXPECTED_PICO = pico_from_usd("0.01")
_MANUAL = "Answer in one sentence, and only from this manual. " + " ".join(
    f"§{number}. A fare of zone {number} is paid in exact change; whoever pays more gets the rest back."
    for number in range(90)
)
"""A system prompt long enough that the upstream caches it."""

_QUESTIONS = (
    "How many tokens are in this question?",
    "Write a limerick about an auditor who trusted no rounding.",
    "Summarise the attached minutes in three bullet points, and name who pays.",
    "Translate 'exact change only' into five languages.",
)


async def _chat(client: AsyncOpenAI, luck: random.Random) -> None:
    await client.chat.completions.create(
        model=luck.choice(("gpt-4o-mini", "gpt-4.1", "gpt-5.4")), messages=_messages(luck)
    )


async def _streamed_chat(client: AsyncOpenAI, luck: random.Random) -> None:
    model = luck.choice(("gpt-4o", "gpt-5.6-terra"))
    async for _ in await client.chat.completions.create(model=model, messages=_messages(luck), stream=True):
        pass


async def _fine_tuned(client: AsyncOpenAI, luck: random.Random) -> None:
    stream = luck.random() < 0.5
    answer: Any = await client.chat.completions.create(model=_FINE_TUNED, messages=_messages(luck), stream=stream)
    if stream:
        async for _ in answer:
            pass


async def _response(client: AsyncOpenAI, luck: random.Random) -> None:
    tier: Any = luck.choice(("auto", "flex", "priority"))
    await client.responses.create(model="gpt-5.6-sol", input=luck.choice(_QUESTIONS), service_tier=tier)


async def _streamed_response(client: AsyncOpenAI, luck: random.Random) -> None:
    async for _ in await client.responses.create(model="gpt-6.1-sol", input=luck.choice(_QUESTIONS), stream=True):
        pass


async def _embedding(client: AsyncOpenAI, luck: random.Random) -> None:
    await client.embeddings.create(model="text-embedding-3-small", input=list(luck.choices(_QUESTIONS, k=3)))


async def _completion(client: AsyncOpenAI, luck: random.Random) -> None:
    await client.completions.create(model="gpt-3.5-turbo-instruct", prompt=luck.choice(_QUESTIONS), max_tokens=40)


async def _moderation(client: AsyncOpenAI, luck: random.Random) -> None:
    await client.moderations.create(model="omni-moderation-latest", input=luck.choice(_QUESTIONS))


async def _impatient(client: AsyncOpenAI, luck: random.Random) -> None:
    """An app that hangs up in the middle of its stream: OpenAI bills it in full, and so does Farebox."""
    stream = await client.chat.completions.create(model="gpt-4o", messages=_messages(luck), stream=True)
    await anext(aiter(stream))
    await stream.close()


async def _mistaken(client: AsyncOpenAI, luck: random.Random) -> None:
    """A call that OpenAI refuses costs nothing."""
    with contextlib.suppress(APIError):
        await client.chat.completions.create(model="gpt-9-imaginary", messages=_messages(luck))


_KINDS: tuple[tuple[int, Callable[[AsyncOpenAI, random.Random], Awaitable[None]]], ...] = (
    (20, _chat),
    (20, _streamed_chat),
    (16, _fine_tuned),
    (12, _response),
    (12, _streamed_response),
    (8, _embedding),
    (4, _completion),
    (4, _moderation),
    (3, _impatient),
    (1, _mistaken),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Stage:
    """A replica, the bill of the simulator behind it, and the secrets of the keys that were issued to the apps."""

    app: App
    bill: Bill
    secrets: tuple[str, ...]


@contextlib.asynccontextmanager
async def stage(settings: Settings, seed: int) -> AsyncIterator[Stage]:
    """A replica before a simulator, with books of its own in `farebox-demo/` that begin empty."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    simulator = await start(Simulator(seed))
    books = dataclasses.replace(
        settings,
        upstream=simulator.url,
        database=f"sqlite:///{FOLDER}/farebox.db",
        journal=FOLDER / "journal",
        replica="demo",
        openai_api_key="sk-simulated",
        expected_usd=_EXPECTED_PICO,
    )
    try:
        async with running(books) as app:
            yield Stage(app, simulator.simulator.bill, await _opened(app))
    finally:
        await simulator.stop()


async def _opened(app: App) -> tuple[str, ...]:
    """Issue the apps' keys and set the budgets, as an operator would; the secrets, once they are in force."""
    now, registry = datetime.now(UTC), app.store.registry
    issued = [
        issue(Terms(name, team), (), ident=f"key_demo_{name}", entropy=secrets.token_bytes(SECRET_BYTES), now=now)
        for name, team in _APPS
    ]
    await registry.define([*(key for key, _ in issued), *_BUDGETS], now)
    while app.directory.revision < await registry.revision():
        await asyncio.sleep(POLL_SECONDS)
    return tuple(secret for _, secret in issued)


async def play(on: Stage, seed: int, out: Console) -> bool:
    """Play a day's traffic, print the report and the comparison; True when the books agree to the picodollar."""
    app, luck = on.app, random.Random(seed)  # noqa: S311 - a script of traffic, not a secret
    clients = [AsyncOpenAI(api_key=key, base_url=f"http://{app.listening}/v1", max_retries=0) for key in on.secrets]
    kinds = luck.choices([kind for _, kind in _KINDS], [weight for weight, _ in _KINDS], k=CALLS)
    gate, refused = asyncio.Semaphore(AT_ONCE), list[int]()

    async def call(kind: Callable[[AsyncOpenAI, random.Random], Awaitable[None]], number: int) -> None:
        async with gate:
            own = random.Random(f"{seed} {number}")  # noqa: S311
            try:
                await kind(clients[number % len(clients)], own)
            except RateLimitError:  # a budget has not enough left
                refused.append(number)

    tasks = [asyncio.create_task(call(kind, number)) for number, kind in enumerate(kinds)]
    progress = track(asyncio.as_completed(tasks), "Playing traffic", total=len(tasks), console=out, transient=True)
    for finished in progress:
        await finished
    for client in clients:
        await client.close()
    await _posted(app)
    return await _compare(on, len(refused), out)


async def _posted(app: App) -> None:
    """Until every call has ended and stands in the ledger."""
    while app.open_calls or app.journal.pending():
        await asyncio.sleep(POLL_SECONDS)


async def _compare(on: Stage, refused: int, out: Console) -> bool:
    app, bill = on.app, on.bill
    totals = await app.store.totals(("model",), Narrowing())
    out.print(_table(reports.rows(totals, ("model",), None, app.settings.timezone)))
    out.print()
    for position in app.balances.positions(datetime.now(UTC)):
        out.print(_standing(position))
    out.print(f"Refused for budget        {refused:<15} calls, which never reached the simulator")
    ledger = reports.sums(fold(totals))
    difference = bill.total_usd - Decimal(ledger["cost_usd"])
    out.print()
    out.print(f"The simulator's own bill  ${usd(bill.total_usd):<14} {len(bill)} billed calls")
    out.print(f"Farebox's ledger          ${ledger['cost_usd']:<14} {ledger['requests']} calls, the free ones too")
    out.print(f"Difference                [bold]${usd(difference)}[/]")
    return difference == 0


def _standing(position: Position) -> str:
    """A budget in a line."""
    budget, spent = position.budget, usd_from_pico(position.spent_pico)
    kind = "hard" if budget.hard else "soft"
    return f"Budget {budget.name:<18} ${spent:<14} of ${usd_from_pico(budget.limit_pico)} this {budget.window}, {kind}"


def _messages(luck: random.Random) -> Any:
    return [{"role": "system", "content": _MANUAL}, {"role": "user", "content": luck.choice(_QUESTIONS)}]


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("model", "requests", "input", "cached", "output", "cost, USD"):
        table.add_column(name, justify="left" if name == "model" else "right", overflow="fold")
    for row in rows:
        figures = (row["requests"], row["input_tokens"], row["cached_tokens"], row["output_tokens"])
        table.add_row(row["model"] or "–", *(f"{figure:,}" for figure in figures), row["cost_usd"])
    return table
