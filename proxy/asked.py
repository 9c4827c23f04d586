"""What a request asks for: the few fields of its JSON body that accounting needs. Never fails on a bad body.

What decides the most a request can cost is read by a shape that says what Farebox understands: text, images, audio,
functions, and what passes between them. Whatever else is found (a file, a reference, a tool of OpenAI's, a shape that
the API does not take) is named as something that the body does not tell.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from billing.wanted import UNREAD, Wanted

BODY_CEILING_BYTES = 16 * 2**20
"""A larger body is passed on unread, as it comes in: it costs no memory and its call is metered by its answer."""

_TEXT_CEILING = 256

_CAP_CEILING, _COUNT_CEILING = 10**7, 2048
"""Larger caps, and larger numbers of answers and tool calls, are not meant."""


class _Fields(msgspec.Struct):
    model: Any = None
    stream: Any = None
    stream_options: Any = None
    service_tier: Any = None
    background: Any = None
    store: Any = None
    user: Any = None
    safety_identifier: Any = None
    metadata: Any = None


class _Part(msgspec.Struct):
    """A part of a message's content, or of a function's output."""

    type: str | None = None


class _Item(msgspec.Struct):
    """A message, or another item of a Responses input."""

    type: str | None = None
    role: Any = None
    content: str | list[_Part] | None = None
    output: str | list[_Part] | None = None
    audio: Any = None
    encrypted_content: str | None = None


class _Tool(msgspec.Struct):
    type: str | None = None


class _Caching(msgspec.Struct):
    ttl: str | None = None


class _Body(_Fields):
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    max_tool_calls: Any = None
    n: Any = None
    best_of: Any = None
    messages: list[_Item] | None = None
    input: str | list[_Item | str | int | list[int]] | None = None
    prompt: str | list[str | int | list[int]] | dict[str, Any] | None = None
    modalities: Any = None
    prediction: Raw = Raw()
    tools: Raw = Raw()
    functions: Raw = Raw()
    response_format: Raw = Raw()
    text: Raw = Raw()
    prompt_cache_options: _Caching | None = None
    previous_response_id: Any = None
    conversation: Any = None
    context_management: Any = None
    web_search_options: Any = None


_BODY, _FIELDS = msgspec.json.Decoder(_Body), msgspec.json.Decoder(_Fields)
_TOOLS = msgspec.json.Decoder(list[_Tool] | None)


@dataclass(frozen=True, slots=True)
class Asked:
    """The fields of a request. `readable` is false when the body was not (all of) a JSON object; `wanted` is what
    decides the most it can cost."""

    readable: bool = False
    model: str | None = None
    stream: bool = False
    include_usage: bool = False
    has_stream_options: bool = False
    service_tier: str | None = None
    background: bool = False
    store: bool | None = None
    user: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    wanted: Wanted = UNREAD


NOTHING = Asked()

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read(body: bytes) -> Asked:
    """Read a JSON body."""
    fields: _Fields
    try:
        fields = _BODY.decode(body)
        wanted = _wanted(fields)
    except _UNREADABLE:
        try:
            fields, wanted = _FIELDS.decode(body), _ODD
        except _UNREADABLE:
            return NOTHING
    options = fields.stream_options
    return Asked(
        readable=True,
        model=_text(fields.model),
        stream=fields.stream is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        has_stream_options=options is not None,
        service_tier=_text(fields.service_tier),
        background=fields.background is True,
        store=fields.store if isinstance(fields.store, bool) else None,
        user=_text(fields.safety_identifier) or _text(fields.user),
        metadata=fields.metadata if isinstance(fields.metadata, dict) else {},
        wanted=wanted,
    )


def _text(value: object) -> str | None:
    """A field as text for the ledger: without NULs and lone surrogates, which no database takes, and not too long."""
    if not isinstance(value, str) or not value:
        return None
    return printable(value)


def printable(value: str) -> str:
    """Text that is safe to store and to show."""
    cut = value[:_TEXT_CEILING]
    if cut.isprintable() and cut.isascii():
        return cut
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cut)


# What decides the most that a request can cost

_ODD = Wanted(answers=0, elsewhere=("a body of another shape than OpenAI's",))

_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal", "summary_text", "reasoning_text"})
_IMAGE_PARTS = frozenset({"image_url", "input_image"})
_IN_FULL = frozenset(
    {"message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"}
)
"""Items whose whole content is in the body."""

_NULL = Raw(b"null")

_AT_THE_APP = frozenset({"function", "custom"})
"""Tools that run where the app is: what they say comes with the next request."""


_KEPT = (
    ("previous_response_id", "a previous response"),
    ("conversation", "a conversation"),
    ("context_management", "context management"),
)
"""Fields that bring input which OpenAI keeps, or makes on the way."""


def _wanted(body: _Body) -> Wanted:
    elsewhere, images, audio, opaque = _input(body)
    caching = body.prompt_cache_options
    return Wanted(
        _number(body.max_tokens, _CAP_CEILING),
        _number(body.max_completion_tokens, _CAP_CEILING),
        _number(body.max_output_tokens, _CAP_CEILING),
        _answers(body),
        elsewhere,
        _tools(body),
        _number(body.max_tool_calls, _COUNT_CEILING),
        images,
        audio or (body.modalities is not None and body.modalities != ["text"]),
        _size(body.tools) + _size(body.functions) + _size(body.response_format) + _size(body.text),
        opaque,
        _size(body.prediction),
        caching is not None and caching.ttl not in {None, "30m"},
    )


def _number(value: object, ceiling: int) -> int | None:
    """A number that was given: 0 for what is no number to go by. None where none was given."""
    if value is None:
        return None
    return value if type(value) is int and 0 < value <= ceiling else 0


def _size(given: Raw) -> int:
    return len(given) if given and given != _NULL else 0


def _answers(body: _Body) -> int:
    """Each of a completion's prompts is answered `n` times, or `best_of` times of which `n` are shown."""
    prompts = body.prompt
    counted = len(prompts) if isinstance(prompts, list) and not all(type(part) is int for part in prompts) else 1
    if body.n is None and body.best_of is None:
        return counted
    given = [number for value in (body.n, body.best_of) if (number := _number(value, _COUNT_CEILING)) is not None]
    return counted * max(given) if all(given) else 0


def _tools(body: _Body) -> tuple[str, ...]:
    """The tools that run at OpenAI."""
    kinds: dict[str, None] = {}
    for tool in (_TOOLS.decode(body.tools) if body.tools else None) or ():
        if tool.type not in _AT_THE_APP:
            kinds[_named(tool.type)] = None
    if body.web_search_options is not None:
        kinds["web_search_options"] = None
    return tuple(kinds)


def _input(body: _Body) -> tuple[tuple[str, ...], int, bool, int]:
    """What of the input is not in the body, how many images are, whether audio is, the bytes of what is encrypted."""
    elsewhere: dict[str, None] = {}
    for name, words in _KEPT:
        if getattr(body, name) is not None:
            elsewhere[words] = None
    if isinstance(body.prompt, dict):
        elsewhere["a stored prompt"] = None
    images, audio, opaque = 0, False, 0
    for item in body.messages or () if body.input is None else _items(body):
        if missing := _missing(item):
            elsewhere[missing] = None
        if item.encrypted_content:
            opaque += len(item.encrypted_content)
        for part in _parts(item):
            if part.type in _TEXT_PARTS:
                continue
            if part.type in _IMAGE_PARTS:
                images += 1
            elif part.type == "input_audio":
                audio = True
            else:
                elsewhere[f"a part of type {_named(part.type)}"] = None
    return tuple(elsewhere), images, audio, opaque


def _items(body: _Body) -> list[_Item]:
    given = body.input if isinstance(body.input, list) else ()
    return [*(body.messages or ()), *(item for item in given if isinstance(item, _Item))]


def _parts(item: _Item) -> list[_Part]:
    content = item.content if isinstance(item.content, list) else []
    return [*content, *item.output] if isinstance(item.output, list) else content


def _missing(item: _Item) -> str | None:
    """What an item only refers to, if it does."""
    if item.audio is not None:
        return "the audio of an earlier answer"
    if item.type is None:
        return "a reference to an item" if item.role is None else None
    if item.type in _IN_FULL or (item.type == "reasoning" and item.encrypted_content):
        return None
    return f"an item of type {_named(item.type)}"


def _named(kind: str | None) -> str:
    """A type as it may be told: it is the app's to invent."""
    return printable(kind)[:40] if kind else "none"
