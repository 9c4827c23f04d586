from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from proxy.cli.charts import lines_chart


def drawn(across: list[int], width: int = 11, height: int = 3, **series: list[int]) -> list[str]:
    lines = {name: [Fraction(value) for value in values] for name, values in series.items()}
    return lines_chart(across, lines, width=width, height=height, upright="USD", along="calls")


def test_two_lines_that_cross() -> None:
    assert drawn([0, 10], a=[0, 100], b=[50, 50]) == [
        "USD",
        "100 |        aaa",
        "    |bbb*****bbb",
        "    |aaa",
        "  0 +-----------",
        "     0 calls  10",
    ]


def test_a_place_between_two_known_ones_is_on_their_line() -> None:
    assert drawn([0, 5, 10], a=[0, 100, 0])[1:4] == ["100 |    aaa", "    |  aa   aa", "    |aa       aa"]


def test_figures_too_small_for_whole_ones_have_cents() -> None:
    lines = lines_chart([0, 2000], {"a": [Fraction(0), Fraction(7, 4)]}, width=9, height=2, upright="", along="n")
    assert lines[1].startswith("1.75 |")
    assert lines[-1].endswith("2,000")


def test_nothing_but_zeros() -> None:
    assert drawn([0, 10], a=[0, 0])[3] == "  |aaaaaaaaaaa"


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=6), st.integers(8, 80), st.integers(2, 20))
def test_every_column_has_a_place_inside_the_chart(values: list[int], width: int, height: int) -> None:
    lines = drawn(list(range(len(values))), width, height, a=values)
    body = [line.partition("|")[2] for line in lines[1 : height + 1]]
    assert len(body) == height
    assert max(map(len, body)) == width
    assert sum(line.count("a") for line in body) == width
