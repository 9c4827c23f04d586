"""Charts of straight lines in characters, for a terminal of any kind. Exact until a place is chosen."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

SHARED = "*"
"""Where lines of several names fall into one place."""


def lines_chart(
    across: Sequence[int],
    series: Mapping[str, Sequence[Fraction]],
    *,
    width: int,
    height: int,
    upright: str,
    along: str,
) -> list[str]:
    """The lines of text of a chart: `series` by the letter they are drawn with, each with a value for every place
    `across`. `upright` and `along` say what the axes are. At least two places and a height of two are needed."""
    top = max((value for values in series.values() for value in values), default=Fraction(0)) or Fraction(1)
    first, last = across[0], across[-1]
    rows = [[" "] * width for _ in range(height)]
    for letter, values in series.items():
        for column in range(width):
            place = first + Fraction((last - first) * column, width - 1)
            row = height - 1 - _rounded(_at(place, across, values) / top * (height - 1))
            rows[row][column] = letter if rows[row][column] in (" ", letter) else SHARED
    label = f"{_short(top)} "
    margin = len(label)
    drawn = [f"{label if not number else ' ' * margin}|{''.join(row).rstrip()}" for number, row in enumerate(rows)]
    end = _short(Fraction(last))
    return [
        f"{upright}",
        *drawn,
        f"{'0 '.rjust(margin)}+{'-' * width}",
        f"{' ' * margin} {_short(Fraction(first))}{along.center(width - len(end) - 1)}{end}".rstrip(),
    ]


def _at(place: Fraction, across: Sequence[int], values: Sequence[Fraction]) -> Fraction:
    """The value at a place between two known ones."""
    for (left, low), (right, high) in zip(
        zip(across, values, strict=True), zip(across[1:], values[1:], strict=True), strict=False
    ):
        if place <= right:
            return low + (high - low) * (place - left) / (right - left)
    return values[-1]


def _rounded(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _short(value: Fraction) -> str:
    """A figure for an axis: whole where it is large, else to two decimals."""
    if value >= 100 or value.denominator == 1:
        return f"{_rounded(value):,}"
    whole, rest = divmod(_rounded(value * 100), 100)
    return f"{whole}.{rest:02d}"
