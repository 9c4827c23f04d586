"""Leases: how replicas share a hard budget without asking the database on every call.

Each replica has a slice of every budget's account (a budget in one window): what it was *granted* covers all it has
spent and holds there, and some more. It authorises calls inside its slice by itself. Slices together never exceed the
limit, so neither does what is spent. A slice grows only in the database, under the account's lock; it shrinks only by
its own replica's word, given before it is sent. So what the database knows as granted is never less than what the
replica believes, whatever messages are lost on the way.

Far from the limit a slice is a share of what is left and lasts for many calls; as the limit nears, slices shrink with
what is left, down to the single call. A replica that waits for more is a *wanting* one: all others give back what
they do not use.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from billing.budgets import Budget

SHARE = 4
"""A slice's unused part is one part in so many of what is left, divided by the number of replicas."""

LEASE_SECONDS = 30.0
"""How long a replica may admit after it last reached the database."""


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """A budget, by its `key`, in the window that begins at `since`. Another scope or kind of window makes another
    account, another limit does not."""

    budget: str
    since: datetime


def key(budget: Budget) -> str:
    """What an account of a budget is named by."""
    scope = repr(sorted((name, sorted(values)) for name, values in budget.scope.wanted.items()))
    return f"{budget.name}/{budget.window}/{sha256(scope.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Slice:
    """A replica's part of an account, in picodollars. `wanted_pico` is what its waiting calls lack."""

    granted_pico: int = 0
    spent_pico: int = 0
    held_pico: int = 0
    unknown_pico: int = 0
    wanted_pico: int = 0

    @property
    def used_pico(self) -> int:
        """What is spent and held."""
        return self.spent_pico + self.held_pico

    def __add__(self, other: "Slice") -> "Slice":
        return Slice(
            self.granted_pico + other.granted_pico,
            self.spent_pico + other.spent_pico,
            self.held_pico + other.held_pico,
            self.unknown_pico + other.unknown_pico,
            self.wanted_pico + other.wanted_pico,
        )


NOTHING = Slice()


def together(slices: Iterable[Slice]) -> Slice:
    """The sum of slices."""
    return sum(slices, NOTHING)


@dataclass(frozen=True, slots=True)
class Report:
    """What a replica says of one of its slices: how it stands, and whether it asks for more.

    `least_pico` is the smallest hold that one of its waiting calls asks for, `ask_pico` what they all ask for; both
    beyond what is spent and held. `revision` is that of the definitions by which the replica knows the budget.
    """

    account: Account
    until: datetime
    limit_pico: int
    slice: Slice
    grow: bool = False
    least_pico: int = 0
    ask_pico: int = 0
    revision: int = 0


def unused_share(free_pico: int, replicas: int) -> int:
    """How much a replica may have beyond what it uses, where so much is free in all."""
    return max(free_pico, 0) // (SHARE * max(replicas, 1))


def settled(report: Report) -> Slice:
    """The slice that is written down for a replica that asks for nothing: as it says, and what it uses is a fact."""
    mine = report.slice
    granted = max(mine.granted_pico, mine.used_pico)
    return Slice(granted, mine.spent_pico, mine.held_pico, mine.unknown_pico)


def grown(report: Report, others: Slice, replicas: int) -> Slice:
    """The slice that the database writes down for a replica that asks for more, under the account's lock.

    What it has, it keeps: it may be spending it at this moment. What it uses is a fact, and granted even past the
    limit. More is granted of what no other replica was granted: all that its waiting calls ask for, or at least
    enough for one of them; and a share for calls to come, unless another replica waits.
    """
    mine = report.slice
    free = report.limit_pico - others.granted_pico - mine.used_pico
    enough = report.ask_pico if report.ask_pico <= free else free if report.least_pico <= free else 0
    lacking = report.least_pico if enough < report.least_pico else 0
    share = 0 if others.wanted_pico or lacking else unused_share(free, replicas)
    granted = max(mine.granted_pico, mine.used_pico + max(enough, share))
    return Slice(granted, mine.spent_pico, mine.held_pico, mine.unknown_pico, lacking)


def kept(mine: Slice, others: Slice, limit_pico: int, replicas: int) -> int:
    """What a replica goes on calling granted, before it says so: what it uses, and no more beside it than its share.

    A little more than the share is not worth a message; where another replica waits, everything unused goes back.
    """
    unused = mine.granted_pico - mine.used_pico
    if others.wanted_pico:
        return min(mine.granted_pico, mine.used_pico)
    share = unused_share(limit_pico - others.granted_pico - mine.used_pico, replicas)
    return mine.used_pico + share if unused > 2 * share else mine.granted_pico
