"""Holds, in the words of who asks: what is known of a request, and what must be set aside for it.

Rates of the test's models in p$ a token: input 10, cached 5, cache write 12 (30 minutes) and 25 (12 hours), output 40;
audio 100 in, 200 out; over 1,000 input tokens everything doubles. A search costs 1,000 p$.
"""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.attribution import Attribution
from billing.charges import Basis, Call, Outcome, charge
from billing.expectations import Expectations
from billing.holds import (
    DEFINITIONS,
    FRAMING,
    Ask,
    Hold,
    Policy,
    Wanted,
    affordable_cap,
    ask,
    counted_input,
    exact_ask,
    most_input,
    open_ends,
)
from billing.price_sources import price_book
from billing.prices import Price, PriceBook, PriceList
from billing.rating import Rate
from billing.tokens import count_input
from billing.usage import Reading, Unit, Usage
from billing.wanted import UNREAD

NOW = datetime(2026, 11, 23, tzinfo=UTC)
RATES = {
    Unit.INPUT_TEXT: Rate(10),
    Unit.INPUT_CACHED_TEXT: Rate(5),
    Unit.INPUT_CACHE_WRITE_30M: Rate(12),
    Unit.INPUT_CACHE_WRITE_12H: Rate(25),
    Unit.OUTPUT_TEXT: Rate(40),
    Unit.INPUT_AUDIO: Rate(100),
    Unit.OUTPUT_AUDIO: Rate(200),
    Unit.WEB_SEARCH_CALLS: Rate(1_000_000, 1_000),
}
TWICE = {unit: Rate(2 * rate.pico, rate.per) for unit, rate in RATES.items()}


def price(model: str, tier: str = "default", rates: dict[Unit, Rate] = RATES) -> Price:
    return Price(model, tier, date(2026, 1, 1), rates, TWICE, 1_000)


BOOK = PriceBook(
    (
        PriceList(
            "test",
            (
                price("gpt-4o"),  # 128,000 tokens of context, 16,384 of output
                price("gpt-4o", "flex", {Unit.INPUT_TEXT: Rate(1), Unit.OUTPUT_TEXT: Rate(4)}),
                price("no-size"),
                price("gpt-5.6"),
                price("gpt-4o-search-preview"),
                price("text-embedding-3-small", rates={Unit.INPUT_TEXT: Rate(1)}),
                price("gpt-3.5-turbo-instruct", rates={Unit.INPUT_TEXT: Rate(10), Unit.OUTPUT_TEXT: Rate(40)}),
                price("transcriber", rates={Unit.AUDIO_SECONDS: Rate(1)}),
            ),
        ),
    ),
    "test",
)
EXPECTED, STRICT = Policy(expected_pico=1_000_000), Policy(strict=True)
AROUND = 12 * FRAMING  # what an input of no bytes is held at, in p$


def call(model: str | None = "gpt-4o", operation: str = "chat", tier: str | None = None) -> Call:
    return Call("fbx", NOW, operation, "POST", "/v1/x", Attribution(), "one", model, tier)


def asked(
    wanted: Wanted,
    model: str | None = "gpt-4o",
    operation: str = "chat",
    tier: str | None = None,
    bytes_: int = 100,
    policy: Policy = EXPECTED,
    known: Expectations | None = None,
) -> Ask | None:
    return ask(call(model, operation, tier), wanted, bytes_, BOOK, known or Expectations(), policy)


def taught(operation: str, output_pico: int, whole_pico: int, model: str = "gpt-4o") -> Expectations:
    """What two hundred calls alike have taught."""
    known = Expectations()
    row = {"operation": operation, "requested_model": model, "hold": "expected", "cost_pico": whole_pico}
    for _ in range(200):
        known.learn_row({**row, "lines": [{"unit": "output_text_tokens", "cost_pico": output_pico}]})
    return known


TEN = Wanted(max_completion_tokens=10)

BOUNDS: dict[str, tuple[dict[str, Any], int]] = {
    # 100 bytes of JSON: (100 + 32) tokens at the dearest input rate, 12; ten of output at 40
    "a capped chat": ({"wanted": TEN}, 132 * 12 + 400),
    "an older cap": ({"wanted": Wanted(max_tokens=10)}, 132 * 12 + 400),
    "two caps: the larger counts": ({"wanted": Wanted(max_tokens=1, max_completion_tokens=10)}, 132 * 12 + 400),
    "the other way round": ({"wanted": Wanted(max_tokens=10, max_completion_tokens=1)}, 132 * 12 + 400),
    "another API's cap caps nothing": ({"wanted": Wanted(max_tokens=10, max_output_tokens=1)}, 132 * 12 + 400),
    "three answers": ({"wanted": replace(TEN, answers=3)}, 132 * 12 + 3 * 400),
    "a response": ({"wanted": Wanted(max_output_tokens=10), "operation": "responses"}, 132 * 12 + 400),
    "what may be cached for 12 hours": ({"wanted": replace(TEN, long_cache=True)}, 132 * 25 + 400),
    "audio": ({"wanted": replace(TEN, audio=True)}, 132 * 100 + 10 * 200),
    "tools count twice": ({"wanted": replace(TEN, definitions_bytes=50)}, (132 + 50 + DEFINITIONS) * 12 + 400),
    "a prediction may be rejected": ({"wanted": replace(TEN, prediction_bytes=30)}, 132 * 12 + (10 + 30) * 40),
    "two images of at most 1,445 and 256": (
        {"wanted": replace(TEN, images=2)}, (132 + 2 * 1701) * 24 + 800),
    "just not long": ({"wanted": TEN, "bytes_": 968}, 1000 * 12 + 400),
    "long context": ({"wanted": TEN, "bytes_": 969}, 1001 * 24 + 800),
    "flex": ({"wanted": TEN, "tier": "flex"}, 132 * 1 + 40),
    "tier auto": ({"wanted": TEN, "tier": "auto"}, 132 * 12 + 400),
    "a tier without a price": ({"wanted": TEN, "tier": "ultrafast"}, 132 * 12 + 400),
    "a tier that an app invents": ({"wanted": TEN, "tier": "free please"}, 132 * 12 + 400),
    "embeddings": ({"wanted": Wanted(), "model": "text-embedding-3-small", "operation": "embeddings"}, 132),
    "a completion without a cap has one of 16": (
        {"wanted": Wanted(), "model": "gpt-3.5-turbo-instruct", "operation": "text_completion"}, 132 * 10 + 16 * 40),
    "six completions": (
        {"wanted": Wanted(max_tokens=5, answers=6), "model": "gpt-3.5-turbo-instruct", "operation": "text_completion"},
        132 * 10 + 6 * 5 * 40),
}  # fmt: skip


@pytest.mark.parametrize(("given", "pico"), BOUNDS.values(), ids=BOUNDS.keys())
@pytest.mark.parametrize("policy", [EXPECTED, STRICT], ids=["expected", "strict"])
def test_what_a_request_tells_is_a_bound_under_any_policy(given: dict[str, Any], pico: int, policy: Policy) -> None:
    held = asked(**given, policy=policy)
    assert held is not None
    assert (held.pico, held.basis) == (pico, Hold.BOUND)
    assert open_ends(call(given.get("model", "gpt-4o"), given.get("operation", "chat")), given["wanted"], BOOK) == ()


@pytest.mark.parametrize("operation", ["moderation", "input_tokens", "create", "read", "delete", "models"])
def test_what_is_free_asks_for_nothing(operation: str) -> None:
    assert asked(UNREAD, None, operation) == Ask(0, Hold.BOUND)
    assert asked(UNREAD, None, operation, policy=STRICT) == Ask(0, Hold.BOUND)


INPUT = 132 * 12
MOST = 16_384 * 40

OPEN: dict[str, tuple[dict[str, Any], tuple[int, Hold], tuple[int, Hold] | None]] = {
    # what is asked; what is held by expectation (1,000,000 p$ until more is known); what strictly
    "no cap": ({"wanted": Wanted()}, (INPUT + MOST, Hold.MAXIMUM), (INPUT + MOST, Hold.MAXIMUM)),
    "no cap, twice": (
        {"wanted": Wanted(answers=2)}, (INPUT + 2 * MOST, Hold.MAXIMUM), (INPUT + 2 * MOST, Hold.MAXIMUM)),
    "no cap, size not known": ({"wanted": Wanted(), "model": "no-size"}, (INPUT + 1_000_000, Hold.EXPECTED), None),
    "a cap that is none": (
        {"wanted": Wanted(max_tokens=5, max_completion_tokens=0), "model": "no-size"},
        (INPUT + 1_000_000, Hold.EXPECTED), None),
    "no cap is known to compact": (
        {"wanted": Wanted(max_output_tokens=5), "model": "no-size", "operation": "compact"},
        (INPUT + 1_000_000, Hold.EXPECTED), None),
    "a cap, a conversation": (
        {"wanted": replace(TEN, elsewhere=("a conversation",))},
        (1_000_000, Hold.EXPECTED), (128_000 * 24 + 800, Hold.MAXIMUM)),
    "a high cap, a conversation": (
        {"wanted": replace(TEN, max_completion_tokens=30_000, elsewhere=("a conversation",))},
        (INPUT + 30_000 * 40, Hold.EXPECTED), (128_000 * 24 + 30_000 * 80, Hold.MAXIMUM)),
    "a cap, a conversation, size not known": (
        {"wanted": replace(TEN, elsewhere=("a conversation",)), "model": "no-size"}, (1_000_000, Hold.EXPECTED), None),
    "images to a model that takes them in any size": (
        {"wanted": replace(TEN, images=1), "model": "gpt-5.6"},
        (1_000_000, Hold.EXPECTED), (1_050_000 * 24 + 800, Hold.MAXIMUM)),
    "a model that searches": (
        {"wanted": TEN, "model": "gpt-4o-search-preview"},
        (1_000_000, Hold.EXPECTED), (128_000 * 24 + 800, Hold.MAXIMUM)),
    "three searches": (
        {"wanted": replace(TEN, tools=("web_search",), tool_calls=3)},
        (1_000_000, Hold.EXPECTED), (4 * 128_000 * 24 + 800 + 3 * 1_000, Hold.MAXIMUM)),
    "any number of searches": ({"wanted": replace(TEN, tools=("web_search",))}, (1_000_000, Hold.EXPECTED), None),
    "a tool whose fee has no price": (
        {"wanted": replace(TEN, tools=("file_search",), tool_calls=3)}, (1_000_000, Hold.EXPECTED), None),
    "a tool whose fee has no bound": (
        {"wanted": replace(TEN, tools=("code_interpreter",), tool_calls=3)}, (1_000_000, Hold.EXPECTED), None),
    "a number of answers that is none": (
        {"wanted": replace(TEN, answers=0)}, (INPUT + 400, Hold.EXPECTED), None),
    "a body that is not read": ({"wanted": UNREAD}, (INPUT + 1_000_000, Hold.EXPECTED), None),
    "no model": ({"wanted": TEN, "model": None}, (1_000_000, Hold.EXPECTED), None),
    "a model without a price": ({"wanted": TEN, "model": "never-heard-of"}, (1_000_000, Hold.EXPECTED), None),
    "a price that is not for tokens": ({"wanted": TEN, "model": "transcriber"}, (1_000_000, Hold.EXPECTED), None),
    "a route without a meter": ({"wanted": TEN, "operation": "unmetered"}, (1_000_000, Hold.EXPECTED), None),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected", "strict"), OPEN.values(), ids=OPEN.keys())
def test_what_a_request_leaves_open_is_held_by_policy(
    given: dict[str, Any], expected: tuple[int, Hold], strict: tuple[int, Hold] | None
) -> None:
    held = asked(**given)
    assert held is not None
    assert (held.pico, held.basis) == expected
    held = asked(**given, policy=STRICT)
    assert (held and (held.pico, held.basis)) == strict
    assert open_ends(call(given.get("model", "gpt-4o"), given.get("operation", "chat")), given["wanted"], BOOK)


def test_what_is_open_is_said_in_words() -> None:
    conversation = Wanted(elsewhere=("a conversation",), tools=("web_search",))
    assert open_ends(call(operation="responses"), conversation, BOOK) == (
        "a conversation",
        "the tool web_search",
        "no cap on the output",
    )
    assert open_ends(call("gpt-5.6"), replace(TEN, images=1), BOOK) == ("images of any size",)
    assert open_ends(call("gpt-4o-search-preview"), TEN, BOOK) == ("a model that searches",)
    assert open_ends(call("never-heard-of"), TEN, BOOK) == ("no price for never-heard-of",)
    assert open_ends(call(None), TEN, BOOK) == ("no price for a call without a model",)
    assert open_ends(call(operation="unmetered"), TEN, BOOK)[0] == "no meter for this route"


def test_what_is_known_of_such_calls_takes_the_place_of_the_configured_figure() -> None:
    known = taught("chat", output_pico=3_000, whole_pico=50_000)
    learnt_output, learnt_whole = known.output_pico("chat", "gpt-4o"), known.whole_pico("chat", "gpt-4o")
    assert learnt_output is not None
    assert learnt_whole is not None
    held = asked(Wanted(answers=2), known=known)
    assert held == Ask(INPUT + 2 * learnt_output, Hold.EXPECTED, INPUT, 132)
    held = asked(replace(TEN, elsewhere=("a conversation",)), known=known)
    assert held == Ask(learnt_whole, Hold.EXPECTED, INPUT, 142)


def test_an_ask_says_what_an_exact_count_can_spare_and_what_tokens_it_takes() -> None:
    held = asked(replace(TEN, answers=3))
    assert held is not None
    assert (held.input_pico, held.tokens) == (INPUT, 132 + 30)
    body = b'{"model":"gpt-4o","max_completion_tokens":10,"messages":[{"role":"user","content":"hello"}]}'
    exact = exact_ask(call(), TEN, body, BOOK, Expectations(), EXPECTED)
    assert exact == Ask((8 + FRAMING) * 12 + 400, Hold.BOUND, 0, 8 + FRAMING + 10)  # hello is 1 token, framed 8
    conversation = asked(replace(TEN, elsewhere=("a conversation",)), policy=STRICT)
    assert conversation is not None
    assert conversation.input_pico == 0  # the context window stands in for the input


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_body_that_cannot_be_counted_is_held_at_its_bound(body: bytes) -> None:
    rough = ask(call(), TEN, len(body), BOOK, Expectations(), EXPECTED)
    exact = exact_ask(call(), TEN, body, BOOK, Expectations(), EXPECTED)
    assert exact is not None
    assert rough is not None
    assert exact.pico == rough.pico


def test_a_model_of_unknown_vocabulary_is_held_at_its_bound() -> None:
    body = b'{"messages":[{"role":"user","content":"hello"}]}'
    assert counted_input(call("never-heard-of"), TEN, body) == len(body) + FRAMING
    assert counted_input(call("gpt-4o"), TEN, body) < len(body)


def test_encrypted_reasoning_is_counted_by_its_bytes() -> None:
    body = json.dumps({"input": [{"type": "reasoning", "encrypted_content": "x" * 5_000, "summary": []}]}).encode()
    assert counted_input(call(operation="responses"), Wanted(opaque_bytes=5_000), body) >= 5_000


# A cap that the budget affords


@pytest.mark.parametrize(
    ("left", "cap"),
    [
        (INPUT + 100 * 40, 100),
        (INPUT + 101 * 40 - 1, 100),
        (INPUT + 16 * 40, 16),
        (INPUT + 16 * 40 - 1, None),  # less than OpenAI's smallest
        (0, None),
        (-5, None),
        (10**15, 16_384),  # the model's own
    ],
)
def test_the_cap_that_is_affordable(left: int, cap: int | None) -> None:
    held = asked(Wanted())
    assert held is not None
    found = affordable_cap(left, held, call(), Wanted(), BOOK)
    assert found == cap
    if found is not None:
        capped = asked(Wanted(max_completion_tokens=found))
        assert capped is not None
        assert capped.pico <= left


@pytest.mark.parametrize(
    ("wanted", "model", "operation"),
    [
        (TEN, "gpt-4o", "chat"),
        (Wanted(elsewhere=("a conversation",)), "gpt-4o", "responses"),
        (Wanted(tools=("web_search",)), "gpt-4o", "responses"),
        (Wanted(answers=0), "gpt-4o", "chat"),
        (Wanted(max_tokens=0), "gpt-4o", "chat"),  # one was given, for OpenAI to refuse
        (Wanted(), "no-size", "chat"),
        (Wanted(), "never-heard-of", "chat"),
        (Wanted(), "gpt-4o", "compact"),  # takes no cap
        (Wanted(), "gpt-4o", "unmetered"),
        (Wanted(), "gpt-4o", "moderation"),
        (Wanted(), "text-embedding-3-small", "embeddings"),
    ],
)
def test_a_cap_is_offered_only_where_it_is_all_that_is_missing(wanted: Wanted, model: str, operation: str) -> None:
    held = asked(wanted, model, operation)
    assert held is not None
    assert affordable_cap(10**15, held, call(model, operation), wanted, BOOK) is None


# What must hold

REAL = price_book()
MODELS = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "gpt-5.4", "gpt-5.5", "gpt-6.1-sol", "gpt-6-astra", "gpt-audio",
          "o3", "ft:gpt-4o-mini-2024-07-18:a::b", "gpt-3.5-turbo"]  # fmt: skip
IN_TEXT = [Unit.INPUT_TEXT, Unit.INPUT_CACHED_TEXT, Unit.INPUT_CACHE_WRITE_30M]


@given(
    model=st.sampled_from(MODELS),
    tier=st.sampled_from([None, "auto", "default", "flex", "priority", "ultrafast", "scale"]),
    body_bytes=st.integers(0, 2_000_000),
    cap=st.integers(1, 200_000),
    answers=st.integers(1, 8),
    audio=st.booleans(),
    long_cache=st.booleans(),
    shares=st.lists(st.integers(0, 100), min_size=6, max_size=6),
    used=st.floats(0, 1),
)
def test_no_reading_within_the_bounds_costs_more_than_its_hold(
    model: str, tier: str | None, body_bytes: int, cap: int, answers: int, audio: bool, long_cache: bool,
    shares: list[int], used: float,
) -> None:  # fmt: skip
    wanted = Wanted(max_completion_tokens=cap, answers=answers, audio=audio, long_cache=long_cache)
    one = call(model, tier=tier)
    held = ask(one, wanted, body_bytes, REAL, Expectations(), EXPECTED)
    assert held is not None
    assert held.basis is Hold.BOUND
    units = IN_TEXT + ([Unit.INPUT_CACHE_WRITE_12H] if long_cache else []) + ([Unit.INPUT_AUDIO] if audio else [])
    tokens, output = int((body_bytes + FRAMING) * used), cap * answers
    total = sum(shares[: len(units)]) or 1
    parts = {unit: tokens * share // total for unit, share in zip(units, shares, strict=False)}
    parts[Unit.INPUT_TEXT] += tokens - sum(parts.values())
    spoken = output * shares[-1] // 100 if audio else 0
    usage = Usage({**parts, Unit.OUTPUT_TEXT: output - spoken, Unit.OUTPUT_AUDIO: spoken})
    for served in {tier, "default"} if REAL.find(model, tier, NOW) is None or tier == "priority" else {tier}:
        settled = charge(one, Outcome(NOW, Basis.REPORTED, 200, Reading(usage, model, served)), REAL)
        assert settled.cost_pico is None or settled.cost_pico <= held.pico


TEXT = st.text(max_size=60) | st.sampled_from(
    ["\N{PILE OF POO}" * 20, " " * 200, "\n" * 50, '"\\' * 30, "ё" * 40, "0" * 99]
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "developer"]), "content": TEXT},
    optional={"name": st.text(min_size=1, max_size=5)},
)
SCHEMA = st.recursive(
    st.fixed_dictionaries({"type": st.sampled_from(["string", "integer", "boolean"])}, optional={"description": TEXT})
    | st.fixed_dictionaries({"enum": st.lists(st.integers(0, 9) | st.text(max_size=2), max_size=30)}),
    lambda inner: st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(st.text(max_size=4), inner, max_size=4)}
    ),
    max_leaves=8,
)


@given(
    messages=st.lists(MESSAGE, min_size=1, max_size=5),
    schemas=st.lists(SCHEMA, max_size=3),
    model=st.sampled_from(["gpt-4o", "gpt-5", "o3", "gpt-3.5-turbo"]),
    ascii_only=st.booleans(),
)
def test_bytes_bound_tokens(messages: list[Any], schemas: list[Any], model: str, ascii_only: bool) -> None:
    fields: dict[str, Any] = {"messages": messages}
    definitions = 0
    if schemas:
        fields["tools"] = [{"type": "function", "function": {"name": "f", "parameters": schema}} for schema in schemas]
        definitions = len(json.dumps(fields["tools"], ensure_ascii=ascii_only, separators=(",", ":")).encode())
    body = json.dumps(fields, ensure_ascii=ascii_only, separators=(",", ":")).encode("utf-8", "surrogatepass")
    wanted = Wanted(definitions_bytes=definitions)
    counted = count_input("chat", fields, model)
    most, exact = most_input(call(model), wanted, len(body)), counted_input(call(model), wanted, body)
    assert counted.tokens <= exact <= most


@given(
    st.lists(TEXT, min_size=1, max_size=8) | st.lists(st.integers(0, 100_000), max_size=50) | TEXT,
    st.sampled_from(["embeddings", "text_completion", "responses"]),
)
def test_bytes_bound_tokens_of_plain_inputs_too(given_: Any, operation: str) -> None:
    assume(operation != "responses" or isinstance(given_, str))
    fields = {"prompt": given_} if operation == "text_completion" else {"input": given_}
    body = json.dumps(fields, separators=(",", ":")).encode()
    assert count_input(operation, fields, "gpt-4o").tokens <= most_input(call(operation=operation), Wanted(), len(body))


@given(
    st.builds(
        Wanted,
        max_tokens=st.none() | st.integers(0, 10**7),
        max_completion_tokens=st.none() | st.integers(0, 10**7),
        max_output_tokens=st.none() | st.integers(0, 10**7),
        answers=st.integers(0, 4000),
        elsewhere=st.sampled_from([(), ("a conversation",)]),
        tools=st.sampled_from([(), ("web_search",), ("mcp",), ("x",)]),
        tool_calls=st.none() | st.integers(0, 2048),
        images=st.integers(0, 1000),
        audio=st.booleans(),
        definitions_bytes=st.integers(0, 10**7),
        prediction_bytes=st.integers(0, 10**7),
    ),
    st.sampled_from(["gpt-4o", "gpt-5.6", "no-size", "never-heard-of", None, "\0"]),
    st.sampled_from(["chat", "responses", "compact", "text_completion", "embeddings", "unmetered", "read", "images"]),
    st.sampled_from([EXPECTED, STRICT]),
)
def test_whatever_is_wanted_there_is_an_ask_or_a_reason(
    wanted: Wanted, model: str | None, operation: str, policy: Policy
) -> None:
    held = asked(wanted, model, operation, policy=policy)
    ends = open_ends(call(model, operation), wanted, BOOK)
    assert (held is not None and held.basis is Hold.BOUND) == (ends == ())
    if held is None:
        assert policy is STRICT
    else:
        assert held.pico >= 0
        assert 0 <= held.input_pico <= held.pico
        assert type(held.pico) is int
