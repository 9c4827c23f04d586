"""What differs between price books, and why ours stands."""

from datetime import date

import pytest

from billing.price_differences import Difference, differences, known_reasons, read_reasons, reason_for
from billing.price_genai import genai_prices
from billing.price_sources import own_prices
from billing.price_tables import read_price_list
from billing.prices import PriceBook
from billing.rating import Rate
from billing.usage import Unit


def book(rows: str) -> PriceBook:
    return PriceBook((read_price_list("test", {"t.toml": f"price = [{rows}]"}),), "test")


def told(one: str, other: str, on: str | None = None, *, contradictions: bool = False) -> list[str]:
    """Differences in words: model, tier, unit, over, day, and both rates per million."""

    def usd(rate: Rate | None) -> str:
        return "none" if rate is None else f"{rate.pico * 1_000_000 / rate.per / 10**12:g}"

    day = date.fromisoformat(on) if on else None
    return [
        f"{it.model} {it.tier} {it.unit.split('_')[0]} {'long ' if it.over else ''}{it.since}: "
        f"{usd(it.one)} {usd(it.other)}"
        for it in differences(book(one), book(other), day, contradictions=contradictions)
        if not it.unit.startswith("input_cached")
    ]


PLAIN = '{ model = "m", standard = { input = "1", output = "2" } }'
EARLY = '{ model = "m", effective_from = 2026-01-01, standard = { input = "1" } }'
LATE = '{ model = "m", effective_from = 2026-05-01, standard = { input = "2" } }'


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (PLAIN, PLAIN, []),
        (PLAIN, '{ model = "m", standard = { input = "1.5", output = "2" } }', ["m default input 0001-01-01: 1 1.5"]),
        (PLAIN, '{ model = "m", standard = { input = "1" } }', ["m default output 0001-01-01: 2 none"]),
        ('{ model = "m", standard = { input = "1" } }', PLAIN, ["m default output 0001-01-01: none 2"]),
        (
            '{ model = "m", standard = { input = "1" } }',
            '{ model = "m", standard = { input = "1" }, batch = "1/2" }',
            ["m batch input 0001-01-01: none 0.5"],
        ),
        (
            '{ model = "m", standard = { input = "1" }, long = { input = "2" } }',
            '{ model = "m", standard = { input = "1" }, long = { input = "3" } }',
            ["m default input long 0001-01-01: 2 3"],
        ),
        (EARLY + "," + LATE, EARLY, ["m default input 2026-05-01: 2 1"]),  # from the day on which it begins
        (EARLY + "," + LATE.replace('"2"', '"1"'), '{ model = "m", standard = { input = "3" } }',
         ["m default input 0001-01-01: none 3", "m default input 2026-01-01: 1 3"]),
        (EARLY, LATE, ["m default input 2026-01-01: 1 none", "m default input 2026-05-01: 1 2"]),
        ('{ model = "a", standard = { input = "1" } }', '{ model = "b", standard = { input = "1" } }',
         ["a default input 0001-01-01: 1 none", "b default input 0001-01-01: none 1"]),
        # a snapshot that is as its undated name is not told again
        ('{ model = "m", standard = { input = "1" } }',
         '{ model = "m", standard = { input = "2" } }, { model = "m-2026-01-01", standard = { input = "2" } }',
         ["m default input 0001-01-01: 1 2"]),
        ('{ model = "m", standard = { input = "1" } }',
         '{ model = "m", standard = { input = "1" } }, { model = "m-2026-01-01", standard = { input = "2" } }',
         ["m-2026-01-01 default input 0001-01-01: 1 2"]),
    ],
)  # fmt: skip
def test_what_differs_is_told_once(one: str, other: str, found: list[str]) -> None:
    assert told(one, other) == found


def test_on_one_day() -> None:
    assert told(EARLY, EARLY + "," + LATE, "2026-04-30") == []
    assert told(EARLY, EARLY + "," + LATE, "2026-05-01") == ["m default input 2026-05-01: 1 2"]


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (PLAIN, '{ model = "m", standard = { input = "1" } }', []),  # it is silent on output
        ('{ model = "m", standard = { input = "1" } }', PLAIN, ["m default output 0001-01-01: none 2"]),
        (LATE, '{ model = "m", standard = { input = "2" } }', []),  # of days before ours
        (LATE, '{ model = "m", standard = { input = "3" } }', ["m default input 2026-05-01: 2 3"]),
        (LATE, '{ model = "m", standard = { input = "2" }, flex = "1/2" }', ["m flex input 0001-01-01: none 1"]),
    ],
)
def test_a_contradiction_is_what_another_says_otherwise(one: str, other: str, found: list[str]) -> None:
    assert told(one, other, contradictions=True) == found


FOUND = Difference("gpt-x", "batch", Unit.INPUT_TEXT, None, date(2026, 5, 1), Rate(1), Rate(2))
REASON = '[[difference]]\nfrom = "them"\nmodels = ["gpt-*"]\nreason = "so"\nsource = "a page"\n'


@pytest.mark.parametrize(
    ("more", "explained"),
    [
        ("", True),
        ('tiers = ["batch"]', True),
        ('tiers = ["flex"]', False),
        ('units = ["input_text_tokens"]', True),
        ('units = ["output_text_tokens"]', False),
        ("before = 2026-05-02", True),
        ("before = 2026-05-01", False),
    ],
)
def test_a_reason_is_about_some_models_tiers_units_and_days(more: str, explained: bool) -> None:
    reasons = read_reasons(REASON + more)
    assert (reason_for("them", FOUND, reasons) is not None) == explained
    assert reason_for("others", FOUND, reasons) is None


@pytest.mark.parametrize(
    "wrong",
    [
        REASON.replace('reason = "so"\n', ""),
        REASON.replace('source = "a page"\n', ""),
        REASON.replace('["gpt-*"]', "[]"),
        REASON + "unit = []",
        REASON + 'units = ["tokens"]',
    ],
)
def test_a_wrong_reason_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"difference needs|unknown key|is not a valid Unit"):
        read_reasons(wrong)


def test_every_difference_from_genai_prices_has_a_reason_and_every_reason_a_difference() -> None:
    """A new version of the package that changes a figure shows up here: look at it, then at OpenAI's list, then
    correct the one that is wrong."""
    own, genai = own_prices(), genai_prices()
    ours = PriceBook((own,), "ours")
    theirs = PriceBook((genai,), "theirs")
    found = [it for it in differences(ours, theirs, contradictions=True) if ours.history(it.model)]
    reasons = [reason for reason in known_reasons() if reason.book == genai.name]
    assert [it for it in found if reason_for(genai.name, it, reasons) is None] == []
    assert {reason_for(genai.name, it, reasons) for it in found} == {*reasons}


def test_what_ships_explains_two_books_and_names_its_sources() -> None:
    assert {reason.book for reason in known_reasons()} == {"genai-prices", "litellm"}
    assert all(reason.source.startswith("https://") and len(reason.reason) > 10 for reason in known_reasons())
