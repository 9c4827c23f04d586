"""Rating: usage × price = charge lines. The only place that turns a quantity into money."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from billing.usage import Unit, Usage


@dataclass(frozen=True, slots=True)
class Rate:
    """`pico` picodollars for `per` units, as the list states it (1,000,000 tokens, 60 seconds, one call)."""

    pico: int
    per: int = 1


@dataclass(frozen=True, slots=True)
class Line:
    """One unit of a charge: how much of it, at which rate, for how many picodollars."""

    unit: Unit
    quantity: int
    rate: Rate
    cost_pico: int


def scaled(rate: Rate, times: Fraction) -> Rate:
    """The exact multiple of a rate. Nothing is rounded: what does not divide is a rate for more units."""
    pico = rate.pico * times
    return Rate(pico.numerator, rate.per * pico.denominator)


def cost(quantity: int, rate: Rate) -> int:
    """Picodollars for a quantity at a rate.

    Listed token rates are whole picodollars per token and leave no remainder. Where a rate does not divide (per
    minute, per hour, a contract's odd percentage), the line is rounded once, half up, to the picodollar.
    """
    product = quantity * rate.pico
    whole, rest = divmod(product, rate.per)
    return whole + (2 * rest >= rate.per)


def rate_usage(usage: Usage, rates: Mapping[Unit, Rate]) -> tuple[tuple[Line, ...], Usage]:
    """Charge lines for every unit with a rate, and the rest of the usage, which is unpriced (never zero)."""
    lines = tuple(
        Line(unit, quantity, rates[unit], cost(quantity, rates[unit]))
        for unit, quantity in usage.items()
        if unit in rates
    )
    unpriced = Usage({unit: quantity for unit, quantity in usage.items() if unit not in rates})
    return lines, unpriced
