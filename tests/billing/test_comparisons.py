"""A whole comparison: figures, crossings, a curve, and warnings of what ends too early."""

from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

import pytest

from billing.assumptions import Asked, Recorded
from billing.comparisons import POINTS, compared, usd
from billing.price_sources import price_book
from billing.retirements import Retirement
from billing.training_models import Closing, Training

BOOK = price_book()
AT = datetime(2026, 11, 24, tzinfo=UTC)
MINI = "gpt-4o-mini-2024-07-18"
LEAST = {"calls": 200_000, "model": MINI, "input_tokens": 2000, "output_tokens": 200, "tuned_setup_usd": "50"}
TRAINING = Training({}, Closing(date(2027, 1, 6), (), "a page"))
ENDS = {"gpt-4o-mini": Retirement(datetime(2027, 1, 14, tzinfo=UTC), "a page")}


def made(
    recorded: Recorded | None = None, at: datetime = AT, ends: dict[str, Retirement] | None = None, **said: Any
) -> dict[str, Any]:
    asked = Asked(**said) if recorded else Asked(**{**LEAST, **said})
    return compared(asked, recorded, BOOK, at, TRAINING, ends or {})


def test_a_comparison_worked_out_by_hand() -> None:
    """53 once is 4.41667 a month; fine-tuned saves .00003 a call, so it is even at 147,222.2 calls."""
    found = made()
    prompt, tuned, _, _ = found["ways"]
    assert (prompt["way"], prompt["call_usd"], prompt["monthly_usd"], prompt["total_usd"]) == (
        "longer prompt", "0.00042", "84", "1008",
    )  # fmt: skip
    assert tuned == {
        "way": "fine-tuned",
        "model": f"ft:{MINI}",
        "call_usd": "0.00039",
        "once_usd": "53",
        "fixed_monthly_usd": "0",
        "monthly_usd": "82.416666666667",
        "total_usd": "989",
        "all_in_call_usd": "0.000412083333",
        "payback_months": "8.833",
        "unpriced": None,
    }
    assert found["cheapest"] == "fine-tuned"
    assert len(found["crossings"]) == 6
    assert found["crossings"][0] == {
        "between": ["longer prompt", "fine-tuned"],
        "calls": 147_223,
        "exact_calls": "1325000/9",
        "cheaper_below": "longer prompt",
        "cheaper_above": "fine-tuned",
    }


def test_the_curve_goes_beyond_the_calls_and_the_crossings_that_are_near() -> None:
    curve = made()["curve"]
    assert len(curve) == POINTS
    assert (curve[0]["calls"], curve[0]["fine-tuned"], curve[0]["longer prompt"]) == (0, "4.416666666667", "0")
    assert curve[-1]["calls"] == 400_000
    assert curve[-1]["longer prompt"] == "168"
    assert made(calls=100_000)["curve"][-1]["calls"] > 147_223 * 5 // 4, "a crossing at one and a half times the calls"
    assert made(calls=10_000)["curve"][-1]["calls"] < 147_223, "one at fifteen times is named, not drawn"


def test_no_calls_at_all() -> None:
    found = made(calls=0)
    assert found["ways"][1]["all_in_call_usd"] is None
    assert found["cheapest"] == "longer prompt"
    assert found["curve"][-1]["calls"] > 147_223


def test_what_has_no_price_is_not_free() -> None:
    found = made(model="gpt-5.4")
    tuned = found["ways"][1]
    assert {tuned[name] for name in tuned if name.endswith("usd")} == {None}
    assert "no training price" in tuned["unpriced"]
    assert f"fine-tuned: {tuned['unpriced']}" in found["warnings"]
    assert all("fine-tuned" not in met["between"] for met in found["crossings"])
    assert "fine-tuned" not in found["curve"][0]


def test_recorded_traffic_is_told_and_so_is_every_assumption() -> None:
    found = made(Recorded(MINI, Fraction(73, 3), 8000, 3000, 4_500_001, 0, 600_000))
    assert found["calls"] == "10000"
    assert found["recorded"]["days"] == "24.333"
    told = {it["name"]: (it["value"], it["source"]) for it in found["assumptions"]}
    assert told["input_tokens"] == ("1500", "recorded")
    assert told["storage_usd"] == ("0.1", "assumed")
    assert told["stronger"] == ("gpt-6.1-sol", "assumed")
    assert all(it["meaning"] for it in found["assumptions"])
    assert made()["recorded"] is None


NEEDED = "longer prompt, fine-tuned, retrieval: gpt-4o-mini-2024-07-18"
SHUT = f"{NEEDED} is shut down on 2027-01-14, in 51 days; 12 months are assumed"
LATE = "fine-tuned: what it costs once comes back after 8.833 months, which is after its end"
NEVER = "fine-tuned: what it costs once does not come back at so many calls"
CLOSED = "OpenAI ended fine-tuning: 2027-01-06 was the last day to create a job"
OTHER = {"calls": 10**8, "model": "gpt-4.1-2025-04-14", "months": 1}


@pytest.mark.parametrize(
    ("at", "said", "warned"),
    [
        (AT, {}, [SHUT, LATE]),
        (AT, {"calls": 5_000_000, "months": 1}, []),  # back within a third of a month
        (AT, {"calls": 5_000_000}, [SHUT]),
        (AT, {"tuned_input_tokens": 2000, "months": 1}, [NEVER]),
        (datetime(2027, 1, 10, tzinfo=UTC), OTHER, [CLOSED]),
        (datetime(2027, 1, 14, tzinfo=UTC), {}, [CLOSED, f"{NEEDED} was shut down on 2027-01-14"]),
    ],
)
def test_what_ends_too_early_is_warned_of(at: datetime, said: dict[str, Any], warned: list[str]) -> None:
    assert made(at=at, ends=ENDS, **said)["warnings"] == warned


@pytest.mark.parametrize(
    ("pico", "shown"),
    [
        (Fraction(1, 2), "0.000000000001"),
        (Fraction(49, 100), "0"),
        (Fraction(10**12), "1"),
        (Fraction(5, 2), "0.000000000003"),
    ],
)
def test_money_is_rounded_half_up_to_the_picodollar(pico: Fraction, shown: str) -> None:
    assert usd(pico) == shown
