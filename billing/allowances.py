"""Allowances: how far a stream may run on a hold that rests on what such calls usually cost."""

from dataclasses import dataclass

from billing.charges import Call
from billing.dearest import dearest, price_of
from billing.holds import Ask, Hold
from billing.prices import PriceBook
from billing.wanted import Wanted

CHARACTERS_PER_TOKEN = 3
"""A visible character more is a third of a token more: on the safe side of most languages' four and more. Reasoning
that is not shown is not seen; what it costs is in the figure that such calls are known to cost."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What each raise of a hold adds, in picodollars, and the visible characters that this pays for."""

    step_pico: int
    step_characters: int


def allowance(call: Call, held: Ask, wanted: Wanted, book: PriceBook) -> Allowance | None:
    """The allowance of a call with this hold; None where it cannot outgrow it, or its price is not known."""
    price = price_of(call, book)
    if held.basis is not Hold.EXPECTED or price is None:
        return None
    rates = dearest(price, wanted, held.tokens)
    step = held.pico - held.tokens * rates.input
    if step <= 0 or rates.output <= 0:
        return None
    return Allowance(step, max(1, step * CHARACTERS_PER_TOKEN // rates.output))
