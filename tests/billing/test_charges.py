"""A charge: reading × price of the day of admission; what is not known costs None and never zero."""

from datetime import UTC, date, datetime, timedelta

import pytest

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome, charge
from billing.prices import Price, PriceBook, PriceList
from billing.rating import Rate
from billing.usage import Reading, Unit, Usage

OLD, NEW = date(2026, 1, 1), date(2026, 11, 23)
ADMITTED = datetime(2026, 11, 22, 23, 59, 59, 999_999, tzinfo=UTC)


def price(model: str, pico: int, tier: str = "default", since: date = OLD) -> Price:
    return Price(model, tier, since, {Unit.INPUT_TEXT: Rate(pico), Unit.OUTPUT_TEXT: Rate(4 * pico)})


BOOK = PriceBook(
    (
        PriceList(
            "ours",
            (
                price("gpt-4.1", 100),
                price("gpt-4.1", 50, since=NEW),
                price("gpt-4.1", 200, "priority"),
                price("gpt-4.1-mini", 10),
                price("gpt-4.1 decisions", 3),
                price("ft:gpt-4.1", 300),
            ),
        ),
    ),
    "2026-11-23.test",
)


def charged(
    basis: Basis = Basis.REPORTED,
    reading: Reading | None = None,
    *,
    requested: str | None = "gpt-4.1-mini",
    tier: str | None = None,
    at: datetime = ADMITTED,
) -> Charge:
    call = Call("fbx-1", at, "chat", "POST", "/v1/chat/completions", Attribution(), "one", requested, tier)
    return charge(call, Outcome(at + timedelta(minutes=5), basis, 200, reading), BOOK)


TEN = Usage({Unit.INPUT_TEXT: 10})
AUDIO = Usage({Unit.INPUT_AUDIO: 10})


@pytest.mark.parametrize(
    ("basis", "usage", "model", "cost_pico"),
    [
        (Basis.REPORTED, TEN, "gpt-4.1", 1000),
        (Basis.ESTIMATED, TEN, "gpt-4.1", 1000),
        (Basis.REPORTED, Usage(), "gpt-4.1", 0),  # a reported zero is known
        (Basis.REPORTED, Usage(), "never-heard-of", 0),
        (Basis.REPORTED, TEN, "never-heard-of", None),
        (Basis.ESTIMATED, TEN, "never-heard-of", None),
        (Basis.REPORTED, AUDIO, "gpt-4.1", None),
        (Basis.REPORTED, TEN + AUDIO, "gpt-4.1", 1000),  # the priced part; the rest is named as unpriced
        (Basis.UNKNOWN, Usage(), "gpt-4.1", None),
        (Basis.UNKNOWN, TEN, "gpt-4.1", None),
        (Basis.FREE, Usage(), "gpt-4.1", 0),
        (Basis.FREE, Usage(), "never-heard-of", 0),
    ],
)
def test_a_cost_is_a_sum_of_lines_or_not_known(basis: Basis, usage: Usage, model: str, cost_pico: int | None) -> None:
    found = charged(basis, Reading(usage, model))
    assert found.cost_pico == cost_pico
    assert found.usage == usage
    assert found.price_book == "2026-11-23.test"
    if cost_pico is not None:
        assert sum(line.cost_pico for line in found.lines) == cost_pico
    assert Usage({line.unit: line.quantity for line in found.lines}) + found.unpriced == usage


@pytest.mark.parametrize(
    ("requested", "answered", "model", "base_model", "cost_pico"),
    [
        ("gpt-4.1-mini", None, "gpt-4.1-mini", "gpt-4.1-mini", 100),
        ("gpt-4.1-mini", "gpt-4.1-2025-04-14", "gpt-4.1-2025-04-14", "gpt-4.1", 1000),
        (None, "gpt-4.1", "gpt-4.1", "gpt-4.1", 1000),
        ("gpt-4.1", "ft:gpt-4.1-2025-04-14:us::x", "ft:gpt-4.1-2025-04-14:us::x", "gpt-4.1", 3000),
        (None, None, None, None, None),
    ],
)
def test_the_model_that_answered_decides_else_the_one_that_was_asked(
    requested: str | None, answered: str | None, model: str | None, base_model: str | None, cost_pico: int | None
) -> None:
    found = charged(reading=Reading(TEN, answered), requested=requested)
    assert (found.model, found.base_model, found.cost_pico) == (model, base_model, cost_pico)


@pytest.mark.parametrize(
    ("requested", "served", "tier", "cost_pico"),
    [
        (None, None, "default", 1000),
        ("priority", None, "priority", 2000),
        ("fast", None, "priority", 2000),
        ("priority", "default", "default", 1000),  # asked for more than was served
        ("auto", "priority", "priority", 2000),
        ("auto", None, "default", 1000),
        (None, "flex", "flex", None),  # no such row: not known
    ],
)
def test_the_tier_that_was_served_decides(
    requested: str | None, served: str | None, tier: str, cost_pico: int | None
) -> None:
    found = charged(reading=Reading(TEN, "gpt-4.1", served), tier=requested)
    assert (found.service_tier, found.cost_pico) == (tier, cost_pico)


def test_the_price_is_that_of_the_utc_day_the_call_was_admitted() -> None:
    reading = Reading(TEN, "gpt-4.1")
    assert charged(reading=reading).cost_pico == 1000, "it ended the next day, at half the price"
    assert charged(reading=reading, at=ADMITTED + timedelta(microseconds=1)).cost_pico == 500


def test_reasoning_is_remarked_where_there_is_some() -> None:
    assert charged(reading=Reading(TEN, "gpt-4.1", reasoning_tokens=64)).remarks == {"reasoning_tokens": 64}
    assert charged(reading=Reading(TEN, "gpt-4.1")).remarks == {}


def test_without_a_reading_there_is_nothing_in_the_bag() -> None:
    found = charged(Basis.UNKNOWN)
    assert (found.usage, found.lines, found.unpriced, found.model) == (Usage(), (), Usage(), "gpt-4.1-mini")


def test_what_other_models_used_is_rated_at_theirs() -> None:
    image, stranger = Reading(TEN, "gpt-4.1-mini"), Reading(AUDIO, "never-heard-of")
    found = charged(reading=Reading(TEN, "gpt-4.1", "priority", besides=(image, stranger)), at=ADMITTED)
    assert [line.cost_pico for line in found.lines] == [2000, 100], "the priority tier is not the image's"
    assert found.usage == TEN + TEN + AUDIO
    assert found.unpriced == AUDIO
    assert (found.cost_pico, found.model, found.service_tier) == (2100, "gpt-4.1", "priority")


def test_a_variant_has_a_row_of_its_own_and_never_the_models() -> None:
    assert charged(reading=Reading(TEN, "gpt-4.1-2025-04-14", variant="decisions")).cost_pico == 30
    assert charged(reading=Reading(TEN, "gpt-4.1", variant="other")).cost_pico is None
    assert charged(reading=Reading(TEN, "gpt-4.1-2025-04-14", variant="decisions")).model == "gpt-4.1-2025-04-14"
