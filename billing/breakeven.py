"""Break-even: ways to get the same work done, what each costs a month, and where one begins to beat another.

A way is a straight line: so much for every call, so much every month, and what is paid once, spread over the months
that are looked at. Everything is an exact fraction of picodollars; rounding is for whoever shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import floor


@dataclass(frozen=True, slots=True)
class Way:
    """One way, in picodollars: for each call, for each month however many calls there are, and once.

    `months` is how long it is used: what is paid once is spread over them. Raises ValueError for amounts below zero and
    for no months at all.
    """

    name: str
    call_pico: Fraction
    month_pico: Fraction
    once_pico: Fraction
    months: int

    def __post_init__(self) -> None:
        if min(self.call_pico, self.month_pico, self.once_pico) < 0 or self.months < 1:
            raise ValueError(f"{self.name}: a cost below zero, or less than one month")

    @property
    def fixed_pico(self) -> Fraction:
        """What a month costs before its first call."""
        return self.month_pico + self.once_pico / self.months

    def running_pico(self, calls: Fraction | int) -> Fraction:
        """What a month of so many calls costs, without what was paid once."""
        return self.call_pico * calls + self.month_pico

    def monthly_pico(self, calls: Fraction | int) -> Fraction:
        """What a month of so many calls costs."""
        return self.call_pico * calls + self.fixed_pico

    def total_pico(self, calls: Fraction | int) -> Fraction:
        """What all months together cost."""
        return self.monthly_pico(calls) * self.months


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two ways, and the calls a month at which they cost the same: with fewer `below` is cheaper, with more `above`.
    `calls` is None where one is never dearer than the other; then both names are that one's."""

    ways: tuple[str, str]
    calls: Fraction | None
    below: str
    above: str

    @property
    def first_calls(self) -> int | None:
        """The smallest whole number of calls a month from which `above` is really cheaper."""
        return None if self.calls is None else floor(self.calls) + 1


def crossing(one: Way, other: Way) -> Fraction | None:
    """The calls a month at which two ways cost the same and change places; None where they never do."""
    by_call = one.call_pico - other.call_pico
    by_month = other.fixed_pico - one.fixed_pico
    if by_call == 0 or by_month == 0 or (by_call > 0) != (by_month > 0):
        return None
    return by_month / by_call


def meeting(one: Way, other: Way) -> Meeting:
    """Where two ways cross, and which is the cheaper one on either side. Of two that cost the same, the first."""
    calls = crossing(one, other)
    names = (one.name, other.name)
    if calls is None:
        always = min(one, other, key=lambda way: (way.call_pico, way.fixed_pico)).name
        return Meeting(names, None, always, always)
    below, above = (one, other) if one.fixed_pico < other.fixed_pico else (other, one)
    return Meeting(names, calls, below.name, above.name)


def meetings(ways: Sequence[Way]) -> tuple[Meeting, ...]:
    """Where each two of the ways cross."""
    return tuple(meeting(one, other) for one, other in combinations(ways, 2))


def cheapest(ways: Sequence[Way], calls: Fraction | int) -> Way:
    """The way that costs least at so many calls a month; the first of several. Raises ValueError if there is none."""
    return min(ways, key=lambda way: way.monthly_pico(calls))


def payback_months(way: Way, instead_of: Way, calls: Fraction | int) -> Fraction | None:
    """The months after which what was paid once for a way has come back by being cheaper to run than another, at so
    many calls a month. 0 if nothing more was paid; None if it never comes back."""
    more = way.once_pico - instead_of.once_pico
    saved = instead_of.running_pico(calls) - way.running_pico(calls)
    if more <= 0:
        return Fraction(0) if saved >= 0 else None
    return more / saved if saved > 0 else None
