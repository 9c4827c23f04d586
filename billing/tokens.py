"""Tokens of a whole request or answer, counted here: for answers whose usage never came, and for holds.

The framing of text is what recorded traffic proves (exact on 238 of 246 plain-text chat completions, 69 of 79
responses, all 59 embeddings and 68 legacy completions). What has no proven rule (tools, images, files, what
only OpenAI keeps) is approximated and makes a count incomplete; it is never an error.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from billing import model_names, tool_definitions
from billing.vocabularies import count, encoding_name

Piece = str | int | None
"""A part of a prompt: text to be counted, tokens, or None where something cannot be counted exactly."""


@dataclass(frozen=True, slots=True)
class Count:
    """The input tokens of a request.

    `complete`: every part was counted by a rule that recorded traffic proves; else the tokens are approximate
    and lack what only OpenAI knows. `known_encoding`: the model's family is known; else its text was counted
    as o200k_base.
    """

    tokens: int
    complete: bool
    known_encoding: bool


def count_input(operation: str, body: Mapping[str, Any], model: str) -> Count:
    """The input tokens of a request to "chat", "responses", "compact", "text_completion" or "embeddings".

    `body` is the parsed JSON and may be of any shape: what is not as documented makes the count incomplete.
    Of any other operation the strings are counted, incompletely. Takes time in proportion to the body's size:
    count one of `vocabularies.LONG_CHARACTERS` or more in a thread. Raises RuntimeError where an encoding's
    file is missing or wrong.
    """
    encoding, known = encoding_name(model)
    tokens, complete = 0, True
    for piece in _OPERATIONS.get(operation, _anything)(body, model_names.parse(model).base):
        if piece is None:
            complete = False
        else:
            tokens += count(piece, encoding) if isinstance(piece, str) else piece
    return Count(tokens, complete, known)


def count_output(text: str, model: str) -> int:
    """The tokens of visible output text: what OpenAI reports for gpt-3.5 and gpt-4, up to one less than for
    gpt-4o and 4.1, and a lower bound for reasoning models (they add 3 to 16, and the reasoning). Raises like
    `count_input`.
    """
    return count(text, encoding_name(model)[0])


def image_ceiling(model: str) -> int | None:
    """The most tokens that an image can be to a model; None where its family has no such bound."""
    base = model_names.parse(model).base
    if not _BOUNDED_IMAGES.match(base):
        return None
    return next(at_most for family, _, at_most in _IMAGES if family.match(base))


_REASONING = re.compile(r"(?!gpt-5(?:\.\d+)?-chat)(?:o\d|gpt-[56](?:\.\d+)?|codex-mini|computer-use)(?:-.*)?")

_IMAGES = tuple(
    (re.compile(family), at_low, at_most)
    for family, at_low, at_most in (
        # Tiles: a base, and so much for each of the at most 8 tiles (2048 × 768) that an image is cut into.
        ("gpt-4o-mini", 2833, 2833 + 8 * 5667),
        # Patches of 32 × 32: 256 at low detail, a budget of 1,536, times the model's multiplier.
        ("o4-mini", 441, 2642),
        ("gpt-.*-mini", 415, 2489),
        ("gpt-.*-nano", 630, 3779),
        # Tiles again.
        ("(?:chat)?gpt-4", 85, 85 + 8 * 170),
        ("gpt-5(?:-|$)", 70, 70 + 8 * 140),
        ("o[13]", 75, 75 + 8 * 150),
        ("computer-use", 65, 65 + 8 * 129),
        # Newer patches. Their `original` detail has a budget of 10,000 or none: then this is too little.
        ("", 256, 2500),
    )
)
"""The first family that a base model's name begins with: tokens of an image at low detail, and of the largest at
any other (OpenAI's guide to images). An image's size is not looked up."""

_BOUNDED_IMAGES = re.compile(r"(?:chatgpt|gpt)-4|o[134](?:-|$)|gpt-5(?:-|$)|computer-use")
"""Families that scale every image down to a published budget; newer ones take an `original` as it is."""

_ITEM = 10
"""What surrounds a tool call, its output, or any other item that is no message (recorded: 7 to 15)."""

_HIDDEN = frozenset(
    {"type", "id", "call_id", "item_id", "status", "detail", "format", "annotations", "logprobs"}
    | {"encrypted_content", "data", "result", "file_data", "file_id", "file_url", "image_url", "url"}
)
"""Fields whose text the model is not shown as text: identifiers, links, encoded files."""


def _opening(base: str) -> int:
    """What primes the answer, less what the system message of reasoning models lacks."""
    return 2 if _REASONING.fullmatch(base) else 3


def _chat(body: Mapping[str, Any], base: str) -> Iterator[Piece]:
    yield _opening(base)
    for message in _entries(body.get("messages")):
        yield from _message(message, base)
    tools = [tool.get("function") if isinstance(tool, dict) else tool for tool in _entries(body.get("tools"))]
    around = 84 if base.startswith(("gpt-5", "gpt-6")) else 3  # recorded on chat completions only
    yield from _functions(tools + _entries(body.get("functions")), around)
    yield from _schema(body.get("response_format"))
    if body.get("web_search_options"):
        yield None


def _responses(body: Mapping[str, Any], base: str) -> Iterator[Piece]:
    yield _opening(base)
    for key in ("instructions", "input"):
        given = body.get(key)
        for item in [{"content": given}] if isinstance(given, str) else _entries(given):
            if isinstance(item, dict) and item.get("type", "message") == "message":
                yield from _message(item, base)
            else:
                yield _ITEM
                yield from _strings(item)
    yield from _functions(_entries(body.get("tools")), 3)
    text = body.get("text")
    yield from _schema(text.get("format") if isinstance(text, dict) else text)
    if any(body.get(key) for key in ("previous_response_id", "conversation", "prompt")):
        yield None


def _completion(body: Mapping[str, Any], base: str) -> Iterator[Piece]:
    yield from _plain(body.get("prompt"))
    if body.get("suffix"):
        yield from _strings(body["suffix"])


def _embeddings(body: Mapping[str, Any], base: str) -> Iterator[Piece]:
    yield from _plain(body.get("input"))


def _anything(body: Mapping[str, Any], base: str) -> Iterator[Piece]:
    yield from _strings({key: value for key, value in body.items() if key != "model"})


_OPERATIONS: Mapping[str, Callable[[Mapping[str, Any], str], Iterator[Piece]]] = {
    "chat": _chat,
    "responses": _responses,
    "compact": _responses,
    "text_completion": _completion,
    "embeddings": _embeddings,
}


def _message(message: Any, base: str) -> Iterator[Piece]:
    """A message: three tokens around it, one for its role, its content, its name and one more."""
    if not isinstance(message, dict):
        yield from _strings(message)
        return
    first_generation = base == "gpt-3.5-turbo-0301"
    yield 5 if first_generation else 4
    if message.get("role") == "assistant" and _REASONING.fullmatch(base):
        yield 2  # recorded on every earlier answer of a reasoning model
    content = message.get("content")
    for part in [content] if isinstance(content, str) else _entries(content):
        yield from _part(part, base)
    if isinstance(name := message.get("name"), str):
        yield name
        yield -1 if first_generation else 1
    for call in [*_entries(message.get("tool_calls")), *_entries(message.get("function_call"))]:
        yield _ITEM
        yield from _strings(call)
    for key in ("refusal", "audio"):
        if message.get(key):
            yield from _strings(message[key])


def _part(part: Any, base: str) -> Iterator[Piece]:
    if isinstance(part, str):
        yield part
        return
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str):
        yield part["text"]
    elif kind in ("image_url", "input_image"):
        image = part.get("image_url")
        detail = (image if isinstance(image, dict) else part).get("detail")
        at_low, at_most = next((low, most) for family, low, most in _IMAGES if family.match(base))
        yield at_low if detail == "low" else at_most
        yield None
    else:
        yield from _strings(part)


def _functions(tools: list[Any], around: int) -> Iterator[Piece]:
    if not tools:
        return
    functions = [tool for tool in tools if isinstance(tool, dict) and isinstance(tool.get("name"), str)]
    if functions:
        yield tool_definitions.as_prompt(functions)
        yield around
    yield None


def _schema(form: Any) -> Iterator[Piece]:
    """A JSON schema for the answer: about the tokens of its JSON (±17 on recorded requests)."""
    if isinstance(form, dict) and form.get("type") in ("text", "json_object"):
        return
    if isinstance(form, dict) and form.get("type") == "json_schema":
        held = form.get("json_schema", form)
        yield tool_definitions.as_json(held.get("schema") if isinstance(held, dict) else held)
    if form is not None:
        yield None


def _plain(value: Any) -> Iterator[Piece]:
    """A text, a list of texts, a list of token numbers, or a list of such lists."""
    texts = [value] if isinstance(value, str) or _are_numbers(value) else _entries(value)
    for text in texts:
        if _are_numbers(text):
            yield len(text)
        elif isinstance(text, str):
            yield text or 1  # recorded: an empty text is one token
        else:
            yield None
    if value is None:
        yield None


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int for number in value)


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _strings(value: Any) -> Iterator[Piece]:
    """All that could be text in a value of no proven rule."""
    pending = [value]
    while pending:
        held = pending.pop()
        if isinstance(held, str) and not held.startswith("data:"):
            yield held
        elif isinstance(held, dict):
            pending.extend(inner for key, inner in held.items() if key not in _HIDDEN)
        elif isinstance(held, list):
            pending.extend(held)
    yield None
