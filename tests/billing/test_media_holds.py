"""Holds for media, by figures reckoned by hand."""

from datetime import UTC, datetime

import pytest

from billing.attribution import Attribution
from billing.charges import Call
from billing.holds import Hold, Policy
from billing.media_holds import media_ask
from billing.money import pico_from_usd
from billing.price_sources import price_book
from billing.requested import Requested

BOOK = price_book(None)
POLICY = Policy(expected_pico=pico_from_usd("0.05"))


def call(operation: str, model: str | None) -> Call:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    return Call("1", at, operation, "POST", "/", Attribution(), "r", model)


@pytest.mark.parametrize(
    ("operation", "requested", "usd"),
    [
        ("speech", Requested("tts-1", text="a" * 1000), "0.015"),  # $15 per 1M characters
        ("speech", Requested("tts-1-hd", text="a" * 1000), "0.030"),
        ("image_generation", Requested("dall-e-3", images=2, size="1024x1024"), "0.08"),  # $0.04 each
        ("image_generation", Requested("dall-e-3", size="1024x1792", quality="hd"), "0.12"),
    ],
)
def test_what_is_priced_by_the_request_is_held_exactly(operation: str, requested: Requested, usd: str) -> None:
    held = media_ask(call(operation, requested.model), requested, BOOK, POLICY)
    assert held
    assert (held.pico, held.basis) == (pico_from_usd(usd), Hold.BOUND)


def test_more_and_larger_pictures_hold_more() -> None:
    def held(**more: object) -> int:
        requested = Requested("gpt-image-1", text="a cat", **more)  # type: ignore[arg-type]
        found = media_ask(call("image_generation", "gpt-image-1"), requested, BOOK, POLICY)
        assert found
        assert found.basis is Hold.BOUND
        return found.pico

    plain = held(size="1024x1024", quality="low")
    assert held(size="1024x1024", quality="low", images=3) > 2 * plain
    assert held(size="1024x1024", quality="high") > 10 * plain
    assert held(size="1024x1024", quality="low", partial_images=3) > plain


@pytest.mark.parametrize(
    ("operation", "model"), [("image_generation", "not-in-any-list"), ("speech", None), ("chat", "gpt-4o")]
)
def test_what_nothing_bounds_is_expected_or_refused(operation: str, model: str | None) -> None:
    asked = call(operation, model), Requested(model, text="hello")
    held = media_ask(*asked, BOOK, POLICY)
    assert held
    assert (held.pico, held.basis) == (POLICY.expected_pico, Hold.EXPECTED)
    assert media_ask(*asked, BOOK, Policy(strict=True)) is None
