"""What a simulated life is made of: a real desk with a busy database, budgets, and calls with their fates."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from billing.attribution import Attribution
from billing.balances import Balances
from billing.budgets import Budget
from billing.cashier import Cashier
from billing.charges import Call, Charge
from billing.following import Follower
from billing.journal import Journal
from billing.money import pico_from_usd
from billing.poster import Poster
from billing.prices import Price, PriceBook, PriceList
from billing.rating import Rate
from billing.scopes import Scope
from billing.store import Spent, Store
from billing.usage import Unit, Usage

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 10, 23, 12, tzinfo=UTC)  # two days later Berlin has a day of 25 hours
MODEL = "gpt-4o"
INPUT, OUTPUT = 2_500_000, 10_000_000
GRAIN = 10 * OUTPUT
PRICE = Price(MODEL, "default", START.date(), {Unit.INPUT_TEXT: Rate(INPUT), Unit.OUTPUT_TEXT: Rate(OUTPUT)})
BOOK = PriceBook((PriceList("ours", (PRICE,)),), "2026-10-23.test")


def budget(name: str, usd: str, window: str, *, hard: bool = True, **scope: str) -> Budget:
    """A budget as these lives have them; `env` is a tag."""
    wanted = {"tag:env" if key == "env" else key: (value,) for key, value in scope.items()}
    return Budget(name, pico_from_usd(usd), window, Scope(wanted), hard)


CAPPED = budget("capped", "12", "day", team="search")
"""Covers only calls that are held by their most, and is never lowered: it is never over."""

BOOKS = budget("books", "0", "total", hard=False)
BUDGETS = (
    CAPPED,
    BOOKS,
    budget("all", "120", "month"),
    budget("open", "15", "day", team="ads"),
    budget("week", "20", "week", hard=False, model=MODEL),
    budget("prod", "40", "total", env="prod"),
    budget("one user", "1.5", "day", user="u1"),
)


class Ending(Enum):
    """How a call ends."""

    ANSWERED = "answered"
    LEFT_AND_DRAINED = "the app left, the answer was read on"
    LEFT_AND_CANCELLED = "the app left, the answer was cut and estimated"
    SILENT = "no answer came"
    REFUSED = "refused by the upstream"
    UNREACHABLE = "never sent"
    STUCK = "under way for longer than holds last"


WEIGHTS = (60, 8, 6, 6, 7, 4, 6)
NOT_BILLED = {Ending.REFUSED, Ending.UNREACHABLE}


@dataclass(frozen=True)
class Fate:
    """What will become of a call: its usage, which the upstream bills, and how it ends."""

    ending: Ending
    tokens: Usage
    cost: int


def request(luck: Random, ident: str, now: datetime) -> tuple[Call, Fate]:
    """A call that an app makes, and what will become of it."""
    ending = luck.choices(list(Ending), WEIGHTS)[0]
    capped = luck.random() < 0.6
    if capped and ending is Ending.STUCK:  # a hold that expires under a call lets others in
        ending = Ending.SILENT
    # in coarse steps, so that what is asked for is now and then exactly what is left
    most_in, most_out = luck.randrange(80, 2000, 80), luck.choice((20, 100, 500, 1000))
    whole = luck.random() < 0.2
    tokens_in = most_in if whole else luck.randrange(0, most_in, 80)
    tokens_out = most_out if whole else luck.randrange(0, most_out, 20)
    held = most_in * INPUT + most_out * OUTPUT
    call = Call(
        id=ident,
        started_at=now,
        operation="chat",
        method="POST",
        path="/v1/chat/completions",
        attribution=Attribution(
            team="search" if capped else "ads",
            user=luck.choice(("u1", "u2", None)),
            tags={"env": luck.choice(("prod", "test"))} if luck.random() < 0.5 else {},
        ),
        replica="test",
        requested_model=MODEL,
        held_pico=held if capped else luck.randrange(0, held, GRAIN),
        hold="bound" if capped else "expected",
    )
    usage = Usage({Unit.INPUT_TEXT: tokens_in, Unit.OUTPUT_TEXT: tokens_out})
    return call, Fate(ending, usage, tokens_in * INPUT + tokens_out * OUTPUT)


class Died(Exception):
    """The process ends here."""


class BusyStore(Store):
    """The ledger's database, beside which calls come and go; it dies on request when a batch is written."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.meanwhile: Callable[[], None] = lambda: None
        self.dies = False

    async def post(self, charges: Sequence[Charge]) -> None:
        await super().post(charges)
        if self.dies:
            raise Died
        self.meanwhile()

    async def spent(self, by: Collection[str], since: datetime, until: datetime) -> list[Spent]:
        self.meanwhile()
        found = await super().spent(by, since, until)
        self.meanwhile()
        return found


class Desk:
    """One life of a replica, from its start to its death."""

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        self.journal = Journal(folder / "journal")
        self.store = BusyStore(f"sqlite:///{folder}/farebox.db")
        self.balances = Balances(BERLIN)
        self.cashier = Cashier(self.journal, BOOK, self.balances)
        self.poster = Poster(self.journal, self.store)
        self.follower = Follower(
            self.store, self.cashier, self.poster, self.balances, BERLIN, now, folder / "directory.json"
        )

    def opened(self, call: Call) -> None:
        """What a call waits for before it leaves; a turn has ended, so there is nothing left to wait for."""
        with suppress(StopIteration):
            self.cashier.opened(call).send(None)
            raise AssertionError("it waits")

    async def end(self) -> None:
        """What a kill does: files are as they are."""
        await self.store.close()
        self.journal.shut()
