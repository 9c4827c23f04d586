"""Holds: how much to set aside for a call before it is sent. Pure: what a request wants, at what price, by what policy.

A hold is a `bound` where the request tells the most it can cost: its input is all in its body, its output has a cap.

*Why bytes bound tokens.* Every token of a byte-pair vocabulary stands for at least one byte of text, and JSON never
writes a text in fewer bytes than UTF-8 does (an escape of 6 bytes stands for at most 3). A list of token numbers has
two bytes or more for each. What surrounds a message (4 to 7 tokens) is less than the JSON that makes it one. Tool
definitions and schemas are shown to the model in another form, in which no byte becomes more than two tokens, so their
bytes count twice. What every request gets besides is `FRAMING`, and `DEFINITIONS` with tools (recorded: 18 and 90).
Images are bounded where their model scales them down. Audio in a body has more bytes than tokens (ten a second).

*What is taken for granted*: a repeated JSON key means its last value; OpenAI keeps to the cap it was given (rejected
predictions come on top); a call is served at the tier it asks for or a cheaper one. The regional uplift is not priced.
"""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from billing.charges import Call
from billing.dearest import dearest, has_known_fee, most_fees, price_of
from billing.expectations import Expectations
from billing.model_names import parse
from billing.model_sizes import size_of
from billing.prices import Price, PriceBook
from billing.tokens import count_input, image_ceiling
from billing.wanted import UNREAD as UNREAD
from billing.wanted import Wanted as Wanted

FRAMING = 32
"""Tokens that any request may have beside those of its body."""

DEFINITIONS = 256
"""Tokens that stand around tool definitions and schemas."""

IMAGE_SLACK = 256
"""Tokens by which an image may exceed its rule (recorded: 230)."""

LEGACY_CAP = 16
"""What `/v1/completions` takes for a missing `max_tokens`."""

SMALLEST_CAP = 16
"""The smallest `max_output_tokens` that OpenAI accepts."""

FREE_OPERATIONS = frozenset(
    {"moderation", "input_tokens", "models", "create", "read", "update", "delete", "cancel", "administration"}
)

_CAPS = {
    "chat": ("max_tokens", "max_completion_tokens"),
    "text_completion": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "compact": (),
    "embeddings": (),
}
"""What is billed by tokens, and the fields that cap its output: another's field caps nothing."""


class Hold(StrEnum):
    """What a hold's figure is (`Call.hold`): the most the request can cost, what such calls cost, the model's most."""

    BOUND = "bound"
    EXPECTED = "expected"
    MAXIMUM = "maximum"


@dataclass(frozen=True, slots=True)
class Policy:
    """What to hold where the most is not known: what such calls cost (`expected_pico` until enough are known), or,
    when `strict`, the model's maximum."""

    strict: bool = False
    expected_pico: int = 50_000_000_000


@dataclass(frozen=True, slots=True)
class Ask:
    """How much to hold for a call, in picodollars.

    `input_pico` is the part that an exact count of the input can make smaller; 0 when it was counted. `tokens` is
    the input and the cap of all answers: what a limit on tokens per minute takes at admission.
    """

    pico: int
    basis: Hold
    input_pico: int = 0
    tokens: int = 0


def ask(
    call: Call, wanted: Wanted, body_bytes: int, book: PriceBook, expectations: Expectations, policy: Policy
) -> Ask | None:
    """The hold by a free bound on the input: microseconds, whatever the body. None when nothing bounds the call and
    the policy is strict; `open_ends` then says why."""
    return _ask(call, wanted, most_input(call, wanted, body_bytes), book, expectations, policy, counted=False)


def exact_ask(
    call: Call, wanted: Wanted, body: bytes, book: PriceBook, expectations: Expectations, policy: Policy
) -> Ask | None:
    """The hold with the input counted: never over `ask`'s. Takes as long as `tokens.count_input`."""
    return _ask(call, wanted, counted_input(call, wanted, body), book, expectations, policy, counted=True)


def most_input(call: Call, wanted: Wanted, body_bytes: int) -> int:
    """The most tokens that the input in a body of so many bytes can be."""
    image = (image_ceiling(call.requested_model or "") or 0) + IMAGE_SLACK
    around = FRAMING + DEFINITIONS * bool(wanted.definitions_bytes)
    return body_bytes + wanted.definitions_bytes + wanted.images * image + around


def counted_input(call: Call, wanted: Wanted, body: bytes) -> int:
    """The input tokens of a body as counted, with what the count may be short by; never more than `most_input`.

    Framed text is counted to within `FRAMING`, what passes between a model and its tools to within an eighth. Of tools
    and schemas, whose form is not published, and of encrypted reasoning every byte is taken for a token more (of 1,037
    recorded inputs none was over; by an eighth and `DEFINITIONS` alone two were). A model whose vocabulary is not known
    gets the bound.
    """
    most = most_input(call, wanted, len(body))
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return most
    if not isinstance(fields, dict):
        return most
    count = count_input(call.operation, fields, call.requested_model or "")
    if not count.known_encoding:
        return most
    slack = 0 if count.complete else count.tokens // 8 + DEFINITIONS + wanted.images * IMAGE_SLACK
    return min(most, count.tokens + FRAMING + slack + wanted.definitions_bytes + wanted.opaque_bytes)


def open_ends(call: Call, wanted: Wanted, book: PriceBook) -> tuple[str, ...]:
    """What keeps the most that a call can cost from being known, in words; nothing when its hold is a bound."""
    if call.operation in FREE_OPERATIONS:
        return ()
    ends = [*_open_input(call, wanted), *(f"the tool {tool}" for tool in wanted.tools)]
    if call.operation not in _CAPS:
        ends.append("no meter for this route")
    elif wanted.answers < 1:
        ends.append("no plausible number of answers")
    if cap_of(call, wanted) is None:
        ends.append("no cap on the output")
    if price_of(call, book) is None:
        ends.append(f"no price for {call.requested_model or 'a call without a model'}")
    return tuple(ends)


def affordable_cap(left_pico: int, held: Ask, call: Call, wanted: Wanted, book: PriceBook) -> int | None:
    """The output cap, in tokens an answer, that what is left affords to a call whose only open end is its cap.

    `held` is its ask: the cap goes with that one's count of the input. None when the call is capped, open otherwise,
    or of a model of unknown size; and when not even the smallest cap is affordable.
    """
    size, price = size_of(call.requested_model), price_of(call, book)
    uncapped = open_ends(call, wanted, book) == ("no cap on the output",)
    if not uncapped or size is None or price is None or _given_caps(call, wanted) or not _CAPS[call.operation]:
        return None
    rates = dearest(price, wanted, held.tokens)
    spare = left_pico - held.tokens * rates.input - wanted.prediction_bytes * rates.output
    cap = min(spare // (rates.output * wanted.answers), size.output, size.context - held.tokens) if rates.output else 0
    return cap if cap >= SMALLEST_CAP else None


# How an ask comes about


def _ask(
    call: Call,
    wanted: Wanted,
    tokens: int,
    book: PriceBook,
    expectations: Expectations,
    policy: Policy,
    *,
    counted: bool,
) -> Ask | None:
    if call.operation in FREE_OPERATIONS:
        return Ask(0, Hold.BOUND)
    price, cap, answers = price_of(call, book), cap_of(call, wanted), max(wanted.answers, 1)
    if price is None or call.operation not in _CAPS:
        return None if policy.strict else Ask(policy.expected_pico, Hold.EXPECTED, 0, tokens)
    rates = dearest(price, wanted, tokens)
    input_pico = tokens * rates.input
    known = input_pico + _output(cap or 0, wanted) * rates.output + most_fees(price, wanted, 0)
    reducible, taken = 0 if counted else input_pico, tokens + (cap or 0) * answers
    open_input = bool(_open_input(call, wanted) or wanted.tools)
    if cap is not None and not open_input and wanted.answers:
        return Ask(known, Hold.BOUND, reducible, taken)
    maximum = _maximum(call, wanted, tokens, cap, price)
    if policy.strict:
        return None if maximum is None else Ask(maximum, Hold.MAXIMUM, 0 if open_input else reducible, taken)
    model, expected = call.requested_model or "", known
    if cap is None:
        usual = expectations.output_pico(call.operation, model)
        expected += (policy.expected_pico if usual is None else usual) * answers
    if open_input:
        usual = expectations.whole_pico(call.operation, model)
        expected = max(expected, policy.expected_pico if usual is None else usual)
    if maximum is not None and maximum <= expected:
        return Ask(maximum, Hold.MAXIMUM, reducible, taken)
    return Ask(expected, Hold.EXPECTED, reducible, taken)


def _maximum(call: Call, wanted: Wanted, tokens: int, cap: int | None, price: Price) -> int | None:
    """The most a call can cost by its model's size; None where that does not bound it either."""
    size = size_of(call.requested_model)
    if not wanted.answers or (size is None and (cap is None or _open_input(call, wanted) or wanted.tools)):
        return None
    runs = 1
    if wanted.tools:  # each of their calls is followed by another run over the whole context
        if not wanted.tool_calls or any(not has_known_fee(tool, price) for tool in wanted.tools):
            return None
        runs += wanted.tool_calls
    if size is not None and (wanted.tools or _open_input(call, wanted)):
        tokens = max(tokens, size.context * runs)
    output = _output(cap if cap is not None else size.output if size else 0, wanted)
    rates = dearest(price, wanted, tokens)
    return tokens * rates.input + output * rates.output + most_fees(price, wanted, wanted.tool_calls or 0)


def _output(cap: int, wanted: Wanted) -> int:
    return cap * max(wanted.answers, 1) + wanted.prediction_bytes


def cap_of(call: Call, wanted: Wanted) -> int | None:
    """The output tokens an answer can have; None where they are not capped."""
    given = _given_caps(call, wanted)
    if call.operation == "embeddings":
        return 0
    if not given and call.operation == "text_completion":
        return LEGACY_CAP
    return max(given) if given and all(given) else None


def _given_caps(call: Call, wanted: Wanted) -> list[int]:
    return [cap for field in _CAPS.get(call.operation, ()) if (cap := getattr(wanted, field)) is not None]


def _open_input(call: Call, wanted: Wanted) -> tuple[str, ...]:
    """What of the input the body does not tell."""
    model = call.requested_model or ""
    more = ("images of any size",) if wanted.images and image_ceiling(model) is None else ()
    search = ("a model that searches",) if "-search-" in parse(model).base else ()
    return (*wanted.elsewhere, *more, *search)
