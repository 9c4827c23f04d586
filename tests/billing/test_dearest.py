from datetime import UTC, date, datetime

import pytest

from billing.attribution import Attribution
from billing.charges import Call
from billing.dearest import Rates, dearest, has_known_fee, most_fees, price_of
from billing.prices import Price, PriceBook, PriceList
from billing.rating import Rate
from billing.usage import Unit
from billing.wanted import Wanted

TEXT = {Unit.INPUT_TEXT: Rate(10), Unit.OUTPUT_TEXT: Rate(40)}
ALL = {
    **TEXT,
    Unit.INPUT_CACHED_TEXT: Rate(5),
    Unit.INPUT_CACHE_WRITE_30M: Rate(12),
    Unit.INPUT_CACHE_WRITE_12H: Rate(25),
    Unit.INPUT_IMAGE: Rate(30),
    Unit.INPUT_AUDIO: Rate(100),
    Unit.OUTPUT_AUDIO: Rate(200),
    Unit.WEB_SEARCH_CALLS: Rate(10_001, 1_000),
    Unit.WEB_SEARCH_PREVIEW_CALLS: Rate(25_000, 1_000),
}


def price(rates: dict[Unit, Rate], long: dict[Unit, Rate] | None = None, tier: str = "default") -> Price:
    return Price("gpt-4o", tier, date(2026, 1, 1), rates, long, None if long is None else 1_000)


@pytest.mark.parametrize(
    ("row", "wanted", "tokens", "rates"),
    [
        (price(TEXT), Wanted(), 10, Rates(10, 40)),
        (price(ALL), Wanted(), 10, Rates(12, 40)),
        (price(ALL), Wanted(long_cache=True), 10, Rates(25, 40)),
        (price(ALL), Wanted(images=1), 10, Rates(30, 40)),
        (price(ALL), Wanted(audio=True), 10, Rates(100, 200)),
        (price(TEXT), Wanted(audio=True, images=1, long_cache=True), 10, Rates(10, 40)),
        (price(TEXT | {Unit.INPUT_CACHED_TEXT: Rate(11)}), Wanted(), 10, Rates(11, 40)),
        (price(TEXT | {Unit.INPUT_TEXT: Rate(10_000_000, 1_000_000)}), Wanted(), 10, Rates(10, 40)),
        (price(TEXT, {Unit.INPUT_TEXT: Rate(20), Unit.OUTPUT_TEXT: Rate(60)}), Wanted(), 1_000, Rates(10, 40)),
        (price(TEXT, {Unit.INPUT_TEXT: Rate(20), Unit.OUTPUT_TEXT: Rate(60)}), Wanted(), 1_001, Rates(20, 60)),
        (price(TEXT, {Unit.INPUT_TEXT: Rate(2), Unit.OUTPUT_TEXT: Rate(6)}), Wanted(), 1_001, Rates(10, 40)),
        (price(TEXT, {}), Wanted(), 1_001, Rates(10, 40)),
    ],
)
def test_the_dearest_rate_that_may_occur(row: Price, wanted: Wanted, tokens: int, rates: Rates) -> None:
    assert dearest(row, wanted, tokens) == rates


@pytest.mark.parametrize(
    ("tools", "calls", "pico"),
    [
        ((), 5, 0),
        (("web_search",), 3, 3 * 11),  # 10.001 p$ a call, rounded up
        (("web_search_2025_08_26",), 3, 3 * 11),
        (("web_search_preview_2025_03_11",), 3, 3 * 25),
        (("web_search", "web_search_preview"), 3, 3 * 25),
        (("mcp",), 3, 0),
        (("file_search", "code_interpreter"), 3, 0),
    ],
)
def test_the_dearest_tool_is_called_every_time(tools: tuple[str, ...], calls: int, pico: int) -> None:
    assert most_fees(price(ALL), Wanted(tools=tools), calls) == pico


def test_which_tools_have_a_known_fee() -> None:
    known = [tool for tool in ("web_search", "web_search_preview", "file_search", "mcp", "code_interpreter", "none")
             if has_known_fee(tool, price(ALL))]  # fmt: skip
    assert known == ["web_search", "web_search_preview", "mcp"]


def test_the_price_of_the_tier_asked_for_else_the_default_one() -> None:
    standard, flex = price(TEXT), price(TEXT, tier="flex")
    book = PriceBook((PriceList("test", (standard, flex)),), "test")

    def found(model: str | None, tier: str | None, operation: str = "chat") -> Price | None:
        at = datetime(2026, 11, 23, tzinfo=UTC)
        return price_of(Call("", at, operation, "POST", "", Attribution(), "", model, tier), book)

    assert found("gpt-4o", "flex") is flex
    assert [found("gpt-4o", tier) for tier in (None, "auto", "default", "ultrafast", "x")] == [standard] * 5
    assert found("gpt-4o-mini", None) is None
    assert found(None, None) is None


def test_a_price_that_lacks_what_the_call_is_billed_by_is_none() -> None:
    book = PriceBook((PriceList("test", (price({Unit.INPUT_TEXT: Rate(10)}),)),), "test")
    at = datetime(2026, 11, 23, tzinfo=UTC)
    chat, embeddings = (
        Call("", at, operation, "POST", "", Attribution(), "", "gpt-4o") for operation in ("chat", "embeddings")
    )
    assert price_of(chat, book) is None
    assert price_of(embeddings, book) is not None
