"""Training data: what OpenAI's fine-tuning takes as an example, and what is wrong with one that it would not take.

Pure, one example at a time; `training_files` looks at all of them together. The formats are those of OpenAI's API
reference (chat, preference and reinforcement input; prompt and completion for davinci-002 and babbage-002), the rules
those of its guides to supervised, vision and preference fine-tuning and of the cookbook's "Data preparation and
analysis for chat model fine-tuning". A rule that none of them states is a remark (`serious` is false), not an error.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from billing.training_messages import DATA_URL, Problem, messages_problems, tools_problems

MOST_IMAGES = 64
"""Images of an example (OpenAI's guide to vision fine-tuning; an older edition of it said 10)."""

MOST_IMAGE_BYTES = 10 * 2**20

_SUPERVISED_FIELDS = frozenset({"messages", "tools", "functions", "parallel_tool_calls"})
_INPUT_FIELDS = frozenset({"messages", "tools", "parallel_tool_calls"})
_PREFERENCE_FIELDS = frozenset({"input", "preferred_output", "non_preferred_output"})
_COMPLETION_FIELDS = frozenset({"prompt", "completion"})
_COMPLETION_MODELS = re.compile(r"(?:davinci|babbage|curie|ada)(?:-002)?")

Fields = Mapping[str, Any]


class Form(StrEnum):
    """What an example looks like: three methods' chats, and the prompts of the models that take no chat."""

    SUPERVISED = "supervised"
    PREFERENCE = "preference"
    REINFORCEMENT = "reinforcement"
    COMPLETION = "completion"


@dataclass(frozen=True, slots=True)
class Example:
    """A line that is a JSON object, and what is wrong with it. `answer` is what the model is to learn to say, in
    bytes that are equal for equal answers (None where there is none). Not kept."""

    fields: Fields
    problems: tuple[Problem, ...]
    answer: bytes | None
    instructed: bool
    images: int


def read(line: bytes | int) -> Fields | Problem:
    """A line of a file as an object, or why it is none. A line that is too long to be read comes as its size."""
    if isinstance(line, int):
        return Problem("too_large", f"the line has {line:,} bytes: too many to be read")
    if not line.strip():
        return Problem("blank_line", "the line is empty")
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _unreadable(line, error)
    except RecursionError:
        return Problem("json", "the JSON is nested too deeply")
    if not isinstance(fields, dict):
        return Problem("json", "the line is no JSON object")
    return fields


def form_of(fields: Fields, model: str | None = None) -> Form:
    """The form that an example has; what it is said to be for decides between those that look alike."""
    if _PREFERENCE_FIELDS & fields.keys():
        return Form.PREFERENCE
    if "messages" not in fields and _COMPLETION_FIELDS & fields.keys():
        return Form.COMPLETION
    messages = fields.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    answered = isinstance(last, dict) and last.get("role") == "assistant"
    more = fields.keys() - _SUPERVISED_FIELDS
    return Form.REINFORCEMENT if not answered and more else Form.SUPERVISED


def method_of(form: Form) -> str:
    """The method of training that a form is for."""
    return Form.SUPERVISED.value if form is Form.COMPLETION else form.value


def takes_prompts(base: str) -> bool:
    """Whether a base model is trained with prompts and completions, and not with chats."""
    return _COMPLETION_MODELS.fullmatch(base) is not None


def examined(fields: Fields, form: Form) -> Example:
    """An example with all that is wrong with it."""
    problems = tuple(_RULES[form](fields))
    messages = list(_messages(fields, form))
    return Example(
        fields,
        problems,
        _answer(fields, form),
        any(message.get("role") in ("system", "developer") for message in messages),
        sum(1 for _ in images_of(fields)),
    )


def texts_of(fields: Fields) -> Iterator[str]:
    """Every text of an example that people or models are to read, in order."""
    if "prompt" in fields or "completion" in fields:
        yield from (text for name in ("prompt", "completion") if isinstance(text := fields.get(name), str))
    for message in _all_messages(fields):
        content = message.get("content")
        for part in content if isinstance(content, list) else [content]:
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str) and text:
                yield text
        for call in message.get("tool_calls") or () if isinstance(message.get("tool_calls"), list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict) and isinstance(function.get("arguments"), str):
                yield function["arguments"]


def images_of(fields: Fields) -> Iterator[str]:
    """The address of every image of an example (which may be its content, as a `data:` URL)."""
    for message in _all_messages(fields):
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") == "image_url":
                image = part.get("image_url")
                url = image.get("url") if isinstance(image, dict) else image
                yield url if isinstance(url, str) else ""


def _unreadable(line: bytes, error: Exception) -> Problem:
    try:
        line.decode()
    except UnicodeDecodeError as wrong:
        return Problem("encoding", f"not UTF-8: the byte 0x{line[wrong.start]:02x} at byte {wrong.start + 1}")
    if b"\0" in line:
        return Problem("encoding", "NUL bytes: it may be UTF-16, which is to be saved as UTF-8")
    return Problem("json", f"no JSON: {str(error).removeprefix('JSON is malformed: ')}")


# The rules of each form


def _supervised(fields: Fields) -> Iterator[Problem]:
    if "messages" not in fields and _COMPLETION_FIELDS & fields.keys():
        yield Problem("form", "prompt and completion, where this model takes messages")
        return
    yield from _chat(fields, "messages", _SUPERVISED_FIELDS)
    answers = [m for m in _messages(fields, Form.SUPERVISED) if m.get("role") == "assistant"]
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        return
    if not answers:
        yield Problem("no_answer", "no message is the assistant's: there is nothing to learn")
    elif not _is_answer(messages[-1]):
        yield Problem("last_message", "the last message is not the assistant's")
    if answers and all(answer.get("weight") == 0 for answer in answers):
        yield Problem("weight", "every message of the assistant has weight 0: there is nothing to learn")
    yield from _image_problems(fields)


def _preference(fields: Fields) -> Iterator[Problem]:
    given = fields.get("input")
    if not isinstance(given, dict):
        yield Problem("field", "input is missing, or no object with messages")
    else:
        yield from _chat(given, "input.messages", _INPUT_FIELDS)
    for name in ("preferred_output", "non_preferred_output"):
        output = fields.get(name)
        if not isinstance(output, list) or not output:
            yield Problem("field", f"{name} is missing, or no list with a message")
            continue
        yield from messages_problems(output, name, frozenset({"assistant", "tool"}))
        if not _is_answer(output[-1]):
            yield Problem("last_message", f"the last message of {name} is not the assistant's")
    if fields.get("preferred_output") and fields.get("preferred_output") == fields.get("non_preferred_output"):
        yield Problem("same_outputs", "the preferred output is the same as the other", serious=False)
    if any(True for _ in images_of(fields)):
        yield Problem("image", "an image: preferences are trained with text only")
    yield from _unknown_fields(fields, _PREFERENCE_FIELDS)


def _reinforcement(fields: Fields) -> Iterator[Problem]:
    yield from _chat(fields, "messages", None)
    messages = fields.get("messages")
    if isinstance(messages, list) and messages and _is_answer(messages[-1]):
        yield Problem("last_message", "the last message is the assistant's: the model is to answer by itself")
    yield from _image_problems(fields)


def _completion(fields: Fields) -> Iterator[Problem]:
    if "messages" in fields:
        yield Problem("form", "messages, where this model takes prompt and completion")
        return
    for name in ("prompt", "completion"):
        if not isinstance(fields.get(name), str):
            yield Problem("field", f"{name} is missing, or no text")
    if isinstance(text := fields.get("completion"), str) and not text.strip():
        yield Problem("empty_answer", "the completion is empty", serious=False)
    yield from _unknown_fields(fields, _COMPLETION_FIELDS)


_RULES: Mapping[Form, Callable[[Fields], Iterator[Problem]]] = {
    Form.SUPERVISED: _supervised,
    Form.PREFERENCE: _preference,
    Form.REINFORCEMENT: _reinforcement,
    Form.COMPLETION: _completion,
}


def _chat(fields: Fields, where: str, known: frozenset[str] | None) -> Iterator[Problem]:
    """What all forms with messages have in common. `known`: the fields there are; None where a grader reads others."""
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        yield Problem("field", f"{where} is missing, or no list with a message")
    else:
        yield from messages_problems(messages, where)
    yield from tools_problems(fields)
    if known is not None:
        yield from _unknown_fields(fields, known)


def _unknown_fields(fields: Fields, known: frozenset[str]) -> Iterator[Problem]:
    for name in sorted(fields.keys() - known):
        yield Problem("unknown_field", f"{name[:40]!r} is no field of an example", serious=False)


def _image_problems(fields: Fields) -> Iterator[Problem]:
    urls = list(images_of(fields))
    if len(urls) > MOST_IMAGES:
        yield Problem("image", f"{len(urls)} images: an example may have {MOST_IMAGES}")
    for url in urls:
        if url.startswith("data:") and (match := DATA_URL.match(url)):
            size = (len(url) - match.end()) * 3 // 4
            if size > MOST_IMAGE_BYTES:
                yield Problem("image", f"an image of {size:,} bytes: 10 MB is the most")


# Where messages stand


def _messages(fields: Fields, form: Form) -> Iterator[Fields]:
    place: object = fields.get("input") if form is Form.PREFERENCE else fields
    messages = place.get("messages") if isinstance(place, Mapping) else None
    yield from (message for message in messages if isinstance(message, dict)) if isinstance(messages, list) else ()


def _all_messages(fields: Fields) -> Iterator[Fields]:
    given = fields.get("input")
    lists = (
        fields.get("messages"),
        given.get("messages") if isinstance(given, dict) else None,
        fields.get("preferred_output"),
        fields.get("non_preferred_output"),
    )
    for messages in lists:
        if isinstance(messages, list):
            yield from (message for message in messages if isinstance(message, dict))


def _is_answer(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") == "assistant"


def _answer(fields: Fields, form: Form) -> bytes | None:
    place = {Form.SUPERVISED: "messages", Form.PREFERENCE: "preferred_output"}.get(form)
    if form is Form.COMPLETION:
        said: object = fields.get("completion")
    else:
        messages = fields.get(place) if place else None
        last = messages[-1] if isinstance(messages, list) and messages else None
        said = (last.get("content"), last.get("tool_calls")) if isinstance(last, dict) and _is_answer(last) else None
    return None if said is None else msgspec.json.encode(said)
