"""Messages and tools of training examples: what OpenAI takes, and what is wrong with those that it would not take."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})

DATA_URL = re.compile(r"data:image/(?P<kind>[\w.+-]*);base64,")

MOST_TOOLS = 128
"""Functions of one example (OpenAI's API reference)."""

_KEYS = frozenset({"role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call"})
_ECHOED_KEYS = frozenset({"refusal", "audio", "annotations", "reasoning_content"})
_PARTS = {"text": ROLES, "image_url": frozenset({"user"}), "refusal": frozenset({"assistant"})}
_IMAGES = frozenset({"jpeg", "jpg", "png", "webp"})
_SPECIAL = re.compile(r"<\|(?:endoftext|endofprompt|fim_prefix|fim_middle|fim_suffix|im_start|im_sep|im_end)\|>")
_QUOTED = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an example, or with a file. `serious`: OpenAI would not take it; else it is a remark. `kind`
    is one word for all of its sort; `text` says it, and shows at most a few characters of the data."""

    kind: str
    text: str
    serious: bool = True


def messages_problems(messages: list[Any], where: str, roles: frozenset[str] = ROLES) -> Iterator[Problem]:
    """All that is wrong with a list of messages; `roles` are those that may speak there."""
    asked: set[str] = set()
    for number, message in enumerate(messages, 1):
        place = f"{where}[{number}]"
        if not isinstance(message, dict):
            yield Problem("message", f"{place} is no object")
            continue
        yield from _message(message, place, roles)
        if message.get("role") == "tool":
            ident = message.get("tool_call_id")
            if not isinstance(ident, str):
                yield Problem("tool", f"{place}: a tool's message needs a tool_call_id")
            elif ident not in asked and roles is ROLES:  # an output may answer calls of its input
                yield Problem("tool", f"{place}: no call before it has the id {_quote(ident)}")
        asked.update(_call_ids(message))


def tools_problems(fields: Mapping[str, Any]) -> Iterator[Problem]:
    """All that is wrong with the `tools`, `functions` and `parallel_tool_calls` of an example."""
    for name in ("tools", "functions"):
        listed = fields.get(name)
        if listed is None:
            continue
        if not isinstance(listed, list):
            yield Problem("tool", f"{name} is no list")
            continue
        if len(listed) > MOST_TOOLS:
            yield Problem("tool", f"{len(listed)} {name}: {MOST_TOOLS} is the most")
        for number, tool in enumerate(listed, 1):
            function = tool.get("function") if name == "tools" and isinstance(tool, dict) else tool
            if name == "tools" and not (isinstance(tool, dict) and tool.get("type") == "function"):
                yield Problem("tool", f"tools[{number}] is not of type function")
            elif not isinstance(function, dict) or not isinstance(function.get("name"), str):
                yield Problem("tool", f"{name}[{number}] has no name")
            elif not isinstance(function.get("parameters", {}), dict):
                yield Problem("tool", f"{name}[{number}]: its parameters are no JSON schema")
    if not isinstance(fields.get("parallel_tool_calls", False), bool):
        yield Problem("field", "parallel_tool_calls is neither true nor false")


def _message(message: dict[str, Any], place: str, roles: frozenset[str]) -> Iterator[Problem]:
    role = message.get("role")
    if not isinstance(role, str):
        yield Problem("role", f"{place} has no role")
    elif role not in roles:
        yield Problem("role", f"{place}: there is no role {_quote(role)} here; there are {', '.join(sorted(roles))}")
    for key in sorted(message.keys() - _KEYS):
        if key in _ECHOED_KEYS:
            yield Problem("unknown_key", f"{place}: {key} is of an answer, and is not learned", serious=False)
        else:
            yield Problem("unknown_key", f"{place}: {_quote(key)} is no key of a message")
    if not isinstance(message.get("name", ""), str):
        yield Problem("name", f"{place}: its name is no text")
    if role == "function" and "name" not in message:
        yield Problem("name", f"{place}: a function's message needs a name")
    if message.get("weight") is not None:
        yield from _weight(message["weight"], role, place)
    calls = [*_calls(message, place)]
    yield from (call for call in calls if isinstance(call, Problem))
    yield from _content(message, role, place)


def _weight(weight: object, role: object, place: str) -> Iterator[Problem]:
    if role != "assistant":
        yield Problem("weight", f"{place}: only the assistant's messages have a weight")
    elif isinstance(weight, bool) or weight not in (0, 1):
        yield Problem("weight", f"{place}: a weight is 0 or 1")


def _calls(message: dict[str, Any], place: str) -> Iterator[Problem]:
    listed = message.get("tool_calls")
    if listed is not None and message.get("role") != "assistant":
        yield Problem("tool", f"{place}: only the assistant calls tools")
    elif listed is not None and (not isinstance(listed, list) or not listed):
        yield Problem("tool", f"{place}: tool_calls is no list with a call")
    else:
        for call in listed or ():
            if not isinstance(call, dict) or call.get("type") != "function" or not isinstance(call.get("id"), str):
                yield Problem("tool", f"{place}: a tool call needs an id and the type function")
            else:
                yield from _function(call.get("function"), place)
    if message.get("function_call") is not None:
        yield from _function(message["function_call"], place)


def _function(function: object, place: str) -> Iterator[Problem]:
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        yield Problem("tool", f"{place}: a call without a function's name")
        return
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        yield Problem("tool", f"{place}: the arguments of a call are a text of JSON")
        return
    try:
        msgspec.json.decode(arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        yield Problem("tool", f"{place}: the arguments of a call are no JSON", serious=False)


def _content(message: dict[str, Any], role: object, place: str) -> Iterator[Problem]:
    content = message.get("content")
    speaks_otherwise = any(message.get(key) for key in ("tool_calls", "function_call", "refusal", "audio"))
    if content is None:
        if not (role == "assistant" and speaks_otherwise):
            yield Problem("content", f"{place} has no content")
    elif isinstance(content, str):
        if not content.strip() and role == "assistant" and not speaks_otherwise:
            yield Problem("empty_answer", f"{place}: the answer is empty", serious=False)
        yield from _special(content, place)
    elif not isinstance(content, list) or not content:
        yield Problem("content", f"{place}: its content is neither a text nor a list of parts")
    else:
        for part in content:
            yield from _part(part, role, place)


def _part(part: object, role: object, place: str) -> Iterator[Problem]:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str) or kind not in _PARTS:
        yield Problem("content", f"{place}: there is no part of type {_quote(str(kind))}")
    elif isinstance(role, str) and role in ROLES - _PARTS[kind]:
        yield Problem("image" if kind == "image_url" else "content", f"{place}: no {kind} in a message of {role}")
    elif kind == "image_url":
        yield from _image(part.get("image_url"), place)
    elif not isinstance(part.get(kind), str):
        yield Problem("content", f"{place}: a part without its {kind}")
    else:
        yield from _special(part[kind], place)


def _image(image: object, place: str) -> Iterator[Problem]:
    url = image.get("url") if isinstance(image, dict) else None
    if not isinstance(url, str):
        yield Problem("image", f"{place}: an image without a url")
    elif url.startswith("data:"):
        match = DATA_URL.match(url)
        if match is None or match["kind"] not in _IMAGES:
            yield Problem("image", f"{place}: an image is JPEG, PNG or WEBP in base64")
    elif not url.startswith(("http://", "https://")):
        yield Problem("image", f"{place}: an image's url begins with https:// or data:")


def _special(text: str, place: str) -> Iterator[Problem]:
    if "<|" in text and (found := _SPECIAL.search(text)):
        yield Problem("special_token", f"{place} contains an invalid token: {found[0]}")


def _call_ids(message: dict[str, Any]) -> Iterator[str]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and isinstance(call.get("id"), str):
            yield call["id"]


def _quote(text: str) -> str:
    return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}…")
