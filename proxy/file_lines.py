"""What the lines of a file say that OpenAI is to work through: requests of a batch, examples of a training file."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from billing.batch_holds import Request
from billing.training_holds import PREFERENCES, Example
from proxy import asked, endpoints, forms


class _Batch(msgspec.Struct):
    input_file_id: str | None = None


class _BatchLine(msgspec.Struct):
    url: str
    body: msgspec.Raw


class _Conversation(msgspec.Struct, forbid_unknown_fields=True):
    messages: list[Any]
    tools: Any = None
    functions: Any = None
    parallel_tool_calls: Any = None


class _Preference(msgspec.Struct):
    input: msgspec.Raw


_BATCH, _BATCH_LINE = msgspec.json.Decoder(_Batch), msgspec.json.Decoder(_BatchLine)
_CONVERSATION, _PREFERENCE = msgspec.json.Decoder(_Conversation), msgspec.json.Decoder(_Preference)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def batch_file(body: bytes) -> str | None:
    """The id of the input file that a request for a batch names."""
    try:
        return _BATCH.decode(body).input_file_id
    except _UNREADABLE:
        return None


def request(line: bytes) -> Request | None:
    """The request in a line of a batch: `{"custom_id", "method", "url", "body"}`. None for what is none."""
    try:
        given = _BATCH_LINE.decode(line)
    except _UNREADABLE:
        return None
    body = bytes(given.body)
    fields = asked.read(body)
    if not fields.readable:
        return None
    endpoint = endpoints.find("POST", given.url.partition("?")[0])
    if not endpoint.by_request:
        return Request(endpoint.operation, fields.model, fields.wanted, body)
    return Request(endpoint.operation, fields.model, fields.wanted, body, forms.requested(forms.read(None, body)))


def conversation(line: bytes) -> Example | None:
    """An example of supervised training: `{"messages", "tools"}`, or a prompt and its completion."""
    fields = asked.read(line)
    if not fields.readable:
        return None
    try:
        _CONVERSATION.decode(line)
    except _UNREADABLE:
        return Example(fields.wanted, False, line)
    return Example(fields.wanted, True, line)


def preference(line: bytes) -> Example | None:
    """An example of preference training: `{"input", "preferred_output", "non_preferred_output"}`, of which what is
    not text is in the input."""
    try:
        fields = asked.read(bytes(_PREFERENCE.decode(line).input))
    except _UNREADABLE:
        return None
    return Example(fields.wanted, False, line) if fields.readable else None


EXAMPLES: Mapping[str, Callable[[bytes], Example | None]] = {"supervised": conversation, PREFERENCES: preference}
"""How to read an example, by the method of training."""
