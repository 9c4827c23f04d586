"""Batches, by figures reckoned by hand: what their lines can cost at half price, and what is none of a line."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.attribution import Attribution
from billing.batch_holds import NAMED_ENDS, BatchSum, Request
from billing.charges import Call
from billing.expectations import Expectations
from billing.file_holds import Figures, Sized
from billing.holds import FRAMING, Ask, Hold, Policy
from billing.price_sources import price_book
from billing.prices import Price, PriceBook, PriceList
from billing.rating import Rate
from billing.requested import Requested
from billing.usage import Unit
from billing.wanted import Wanted

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CALL = Call("1", NOW, "batch", "POST", "/v1/batches", Attribution(), "r")
BOOK = price_book(None)
POLICY = Policy(expected_pico=1_000_000)
BODY = b"x" * 100
AT_MOST = 100 + FRAMING
TEN = Wanted(max_completion_tokens=10, max_output_tokens=10)


def chat(model: str | None = "gpt-4o-mini", wanted: Wanted = TEN, operation: str = "chat") -> Request:
    return Request(operation, model, wanted, BODY)


def held(*lines: Request | None, policy: Policy = POLICY, book: PriceBook = BOOK) -> Sized:
    waiting = list(lines)
    total = BatchSum(CALL, Figures(book, Expectations(), policy), lambda line: waiting.pop(0))
    for _ in lines:
        total.add(b"a line")
    return total.sized()


@pytest.mark.parametrize(
    ("request_", "pico"),
    [
        # $0.075 and $0.30 per 1M tokens: 75,000 and 300,000 picodollars a token
        (chat(), AT_MOST * 75_000 + 10 * 300_000),
        # $1 and $4
        (chat("gpt-4.1"), AT_MOST * 1_000_000 + 10 * 4_000_000),
        # $1.25 and $7.50, and its cached price is not half but less than plain
        (chat("gpt-5.4", operation="responses"), AT_MOST * 1_250_000 + 10 * 7_500_000),
        # $0.01, and nothing comes out
        (chat("text-embedding-3-small", operation="embeddings"), AT_MOST * 10_000),
        # no discount: $1 and $2
        (chat("gpt-3.5-turbo-1106"), AT_MOST * 1_000_000 + 10 * 2_000_000),
        # a fine-tune whose list price is no half either: $2.225 and $12.50
        (chat("ft:gpt-4o-2024-08-06:acme::x"), AT_MOST * 2_225_000 + 10 * 12_500_000),
        (chat("omni-moderation-latest", operation="moderation"), 0),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_line_is_bounded_at_the_price_of_batches(request_: Request, pico: int, strict: bool) -> None:
    sized = held(request_, policy=replace(POLICY, strict=strict))
    assert sized.ask
    assert (sized.ask.pico, sized.ask.basis, sized.open_ends) == (pico, Hold.BOUND, ())
    assert sized.model == request_.model


def test_a_tier_asked_for_in_a_line_changes_nothing() -> None:
    total = BatchSum(replace(CALL, requested_tier="priority"), Figures(BOOK, Expectations(), POLICY), lambda _: chat())
    total.add(b"x")
    assert total.sized() == held(chat())


def test_without_a_row_for_batches_the_default_price_holds() -> None:
    price = Price("m", "default", date(2026, 1, 1), {Unit.INPUT_TEXT: Rate(2), Unit.OUTPUT_TEXT: Rate(8)})
    sized = held(chat("m"), book=PriceBook((PriceList("test", (price,)),), "test"))
    assert sized.ask == Ask(AT_MOST * 2 + 80, Hold.BOUND, AT_MOST * 2)


def test_a_batch_is_the_sum_of_its_lines() -> None:
    one, other = held(chat()).ask, held(chat(wanted=Wanted(max_completion_tokens=99))).ask
    both = held(chat(), chat(wanted=Wanted(max_completion_tokens=99))).ask
    assert one
    assert other
    assert both
    assert both.pico == one.pico + other.pico
    assert both.input_pico == 2 * AT_MOST * 75_000
    assert both.tokens == 0  # limits per minute are not about batches


@pytest.mark.parametrize(
    ("lines", "basis"),
    [
        ((), Hold.BOUND),
        ((chat(), chat()), Hold.BOUND),
        ((chat(), chat(wanted=Wanted())), Hold.EXPECTED),
        ((chat(wanted=Wanted()), chat()), Hold.EXPECTED),
        ((chat(), None), Hold.EXPECTED),
        ((chat("not-in-any-list"),), Hold.EXPECTED),
    ],
)
def test_it_is_a_bound_only_if_all_its_lines_are(lines: tuple[Request | None, ...], basis: Hold) -> None:
    sized = held(*lines)
    assert sized.ask
    assert sized.ask.basis is basis
    assert bool(sized.open_ends) is (basis is not Hold.BOUND)


def test_strict_takes_the_most_of_the_model_where_a_line_has_no_cap() -> None:
    sized = held(chat(), chat(wanted=Wanted()), policy=Policy(strict=True))
    assert sized.ask
    assert sized.ask.basis is Hold.MAXIMUM
    assert sized.ask.pico == 2 * AT_MOST * 75_000 + (10 + 16_384) * 300_000
    assert sized.open_ends == ("no cap on the output",)


@pytest.mark.parametrize("line", [None, chat("not-in-any-list"), Request("image_edit", "?", TEN, BODY, Requested("?"))])
def test_strict_holds_no_batch_with_a_line_that_nothing_bounds(line: Request | None) -> None:
    for lines in ([line, chat()], [chat(), line]):
        sized = held(*lines, policy=Policy(strict=True))
        assert sized.ask is None
        assert sized.open_ends


def test_a_line_that_cannot_be_read_counts_as_what_calls_cost() -> None:
    total = BatchSum(CALL, Figures(BOOK, Expectations(), POLICY), lambda line: chat() if line == b"chat" else None)
    for line in (b"chat", b"?", 17 * 2**20, b"chat"):
        total.add(line)
    one, sized = held(chat()).ask, total.sized()
    assert one
    assert sized.ask
    assert sized.ask.pico == 2 * one.pico + 2 * POLICY.expected_pico
    assert (total.lines, total.unreadable, total.tokens) == (4, 2, 2 * (AT_MOST + 10))
    assert sized.open_ends == ("a line that is no request",)


def test_media_in_a_batch() -> None:
    picture = Requested("gpt-image-2", text="a cat", quality="low", size="1024x1024")
    # 5 bytes at $2.50 per 1M, 200 tokens of image at $15: half of what is asked for one by one
    sized = held(Request("image_generation", "gpt-image-2", TEN, BODY, picture))
    assert sized.ask
    assert (sized.ask.pico, sized.ask.basis) == (5 * 2_500_000 + 200 * 15_000_000, Hold.BOUND)


def test_media_without_a_price_for_batches_are_held_at_their_default_one() -> None:
    sized = held(Request("speech", "tts-1", TEN, BODY, Requested("tts-1", text="a" * 1000)))
    assert sized.ask
    assert (sized.ask.pico, sized.ask.basis) == (15_000_000 * 1000, Hold.BOUND)


def test_the_model_is_told_where_all_lines_name_one() -> None:
    assert held(chat(), chat()).model == "gpt-4o-mini"
    assert held(chat(), chat("gpt-4.1"), chat()).model is None
    assert held(chat(None)).model is None
    assert held().model is None


def test_few_reasons_are_kept() -> None:
    assert len(held(*(chat(f"unheard-of-{n}") for n in range(100))).open_ends) == NAMED_ENDS


@given(st.lists(st.sampled_from([chat(), chat("gpt-4.1"), chat(wanted=Wanted()), None]), max_size=8))
def test_the_order_of_lines_does_not_matter(lines: list[Request | None]) -> None:
    assert held(*lines).ask == held(*reversed(lines)).ask


def test_counting_the_input_never_holds_more() -> None:
    body = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"%s"}]}' % (b"the quick brown fox " * 50)
    line = Request("chat", "gpt-4o-mini", TEN, body)
    asks = {}
    for exact in (False, True):
        total = BatchSum(CALL, Figures(BOOK, Expectations(), POLICY), lambda _: line, exact=exact)
        total.add(b"x")
        asks[exact] = total.sized().ask
    rough, exact_ = asks[False], asks[True]
    assert rough
    assert exact_
    assert exact_.pico < rough.pico / 3
    assert (exact_.input_pico, exact_.basis) == (0, Hold.BOUND)
