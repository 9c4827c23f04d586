"""Money is a whole number of picodollars (10⁻¹² USD); no float touches it.

Every token price OpenAI lists is a whole number of picodollars per token ($1 per million tokens is
1,000,000 p$ per token), so charging multiplies and never divides. The one division, for rates per minute,
hour or day, stands in `rating.cost` with its rounding.
"""

from decimal import Context, Decimal, Inexact, InvalidOperation

PICO_PER_USD = 10**12

# Decimal's own default rounds silently after 28 digits; this one refuses to round.
_EXACT = Context(prec=60, Emax=60, traps=[Inexact, InvalidOperation])


def pico_from_usd(usd: str | int | Decimal) -> int:
    """Picodollars in an exact decimal amount of US dollars.

    Raises ValueError for what is not a finite decimal number or is finer than one picodollar.
    """
    try:
        amount = _EXACT.multiply(Decimal(usd), Decimal(PICO_PER_USD))
    except (Inexact, InvalidOperation):
        raise ValueError(f"not an amount in US dollars: {usd!r}") from None
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise ValueError(f"not a whole number of picodollars: {usd!r}")
    return int(amount)


def usd_from_pico(pico: int) -> str:
    """The exact amount in US dollars as a plain decimal string, without exponent or trailing zeros."""
    sign, (whole, fraction) = "-" if pico < 0 else "", divmod(abs(pico), PICO_PER_USD)
    return f"{sign}{whole}.{fraction:012d}".rstrip("0").rstrip(".")
