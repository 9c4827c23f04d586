"""Money in and out of picodollars."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.money import pico_from_usd, usd_from_pico


@pytest.mark.parametrize(
    ("usd", "pico"),
    [
        ("2.5", 2_500_000_000_000),
        ("0.000000000001", 1),
        ("-0.10", -100_000_000_000),
        ("1e-12", 1),
        (3, 3_000_000_000_000),
        (Decimal("0.138"), 138_000_000_000),
        ("123456789012345.000000000001", 123456789012345_000000000001),
        ("0", 0),
    ],
)
def test_dollars_become_picodollars_exactly(usd: str | int | Decimal, pico: int) -> None:
    assert pico_from_usd(usd) == pico


@pytest.mark.parametrize(
    "usd",
    [
        "0.0000000000001",
        "1e-13",
        "2.5000000000000000000000000000000001",
        f"1.{'0' * 70}1",
        "1e99",
        "NaN",
        "Infinity",
        "-Infinity",
        "two",
        "",
        "1,5",
    ],
)
def test_what_is_no_exact_amount_is_refused(usd: str) -> None:
    with pytest.raises(ValueError, match=r"^not a"):
        pico_from_usd(usd)


@pytest.mark.parametrize(
    ("pico", "usd"),
    [
        (0, "0"),
        (1, "0.000000000001"),
        (-1, "-0.000000000001"),
        (2_500_000_000_000, "2.5"),
        (100_000_000_000_000, "100"),
        (-1_010_000_000_000, "-1.01"),
    ],
)
def test_picodollars_are_shown_as_plain_decimals(pico: int, usd: str) -> None:
    assert usd_from_pico(pico) == usd


@given(st.integers(-(10**27), 10**27))
def test_out_and_in_again_is_the_same_amount(pico: int) -> None:
    assert pico_from_usd(usd_from_pico(pico)) == pico


@given(st.integers(10**28, 10**48))
def test_many_digits_are_kept(pico: int) -> None:
    assert pico_from_usd(usd_from_pico(pico)) == pico
