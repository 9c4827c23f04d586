"""Rewriting: `stream_options.include_usage` set in a request that lacks it, and undone in its stream.

Both edits touch only the bytes they must. Asked for usage, OpenAI adds `"usage":null` to every chunk and one last
chunk with empty `choices`; `UsageRemover` takes out exactly these, so the app sees the stream it asked for.
"""

import re
from typing import Any

import msgspec

_OPTION = b'"include_usage":true'
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\],:]|[^\s{}\[\],:"]++', re.DOTALL)
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null(?=\s*[,}])|"usage"\s*:\s*null\s*,\s*')
_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r(?!\n)")
_BAD_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)


class _Usage(msgspec.Struct):
    usage: Any = msgspec.UNSET


class _Chunk(_Usage):
    choices: Any = None


_USAGE = msgspec.json.Decoder(_Usage)
_CHUNK = msgspec.json.Decoder(_Chunk)


def asking_for_usage(body: bytes, has_stream_options: bool) -> bytes:
    """The JSON object `body` with `stream_options.include_usage` set to true and every other byte as it was.

    The caller has seen that the body is a JSON object whose `stream_options`, if any, does not ask.
    """
    if not has_stream_options:
        if b'"stream_options"' in body and (span := _member(body, b'"stream_options"')):  # it is there, as null
            start, end = span
            return body[:start] + b"{" + _OPTION + b"}" + body[end:]
        opening = body.index(b"{") + 1
        comma = b"" if body[opening:].lstrip().startswith(b"}") else b","
        return body[:opening] + b'"stream_options":{' + _OPTION + b"}" + comma + body[opening:]
    span = _member(body, b'"stream_options"')
    if span is None:  # its name is written with escapes: leave it to be estimated
        return body
    start, end = span
    options = body[start:end]
    if not options.startswith(b"{"):
        return body
    if inner := _member(options, b'"include_usage"'):
        options = options[: inner[0]] + b"true" + options[inner[1] :]
    else:
        comma = b"" if options[1:].lstrip().startswith(b"}") else b","
        options = b"{" + _OPTION + comma + options[1:]
    return body[:start] + options + body[end:]


def with_output_cap(body: bytes, field: str, cap: int) -> bytes:
    """The JSON object `body` with an output cap, in tokens, and every other byte as it was. It has none: the field is
    missing or null. The cap goes to the end, where it is the last word: an escaped spelling of the name is not seen."""
    name = b'"%s"' % field.encode()
    if (span := _member(body, name)) and b"\\u00" not in body:
        return body[: span[0]] + b"%d" % cap + body[span[1] :]
    closing = body.rindex(b"}")
    comma = b"" if body[:closing].rstrip().endswith(b"{") else b","
    return body[:closing] + comma + name + b":%d" % cap + body[closing:]


def _member(body: bytes, name: bytes) -> tuple[int, int] | None:
    """Where the value of the last top-level member of that name stands: parsers let the last one win."""
    depth = 0
    found: tuple[int, int] | None = None
    key: bytes | None = None
    value_start: int | None = None
    for token in _TOKEN.finditer(body):
        first = token[0][:1]
        if value_start == -1:
            value_start = token.start()
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
        elif depth == 1 and first == b":" and key == name and value_start is None:
            value_start = -1
        if depth == 1 and first == b'"' and value_start is None:
            key = token[0]
        if depth == 1 and value_start is not None and value_start >= 0:
            found = (value_start, token.end())
            key = value_start = None
    return found


REWRITTEN_CEILING = 2**20
"""No event is kept back that is longer, in bytes: the chunk that was added is short, and some streams never end one."""

_CUT_END = 3
"""So many bytes may be the beginning of an event's end."""


class UsageRemover:
    """Takes out of an event stream what asking for usage added to it, whatever cuts the network made.

    `feed` returns the bytes that may pass on: all of them up to the end of the last whole event. An event longer than
    `REWRITTEN_CEILING` passes as it is.
    """

    def __init__(self) -> None:
        self._pending = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> bytes:
        """The next bytes of the app's own stream."""
        pending = self._pending
        if not pending and data.endswith(b"\n\n") and b"\r" not in data and data.count(b"\n\n") == 1:
            return _without_usage(data)
        searched = max(len(pending) - _CUT_END, 0)
        pending += data
        passed: list[bytes] = []
        start = 0
        for end in _EVENT_END.finditer(pending, searched):
            if end.end() == len(pending) and end[0].endswith(b"\r"):
                break  # the LF of this CR may be on its way
            passed.append(self._passing(bytes(pending[start : end.end()])))
            self._too_long, start = False, end.end()
        if len(pending) - start > REWRITTEN_CEILING:
            passed.append(bytes(pending[start:-_CUT_END]))
            self._too_long, start = True, len(pending) - _CUT_END
        del pending[:start]
        return b"".join(passed)

    def close(self) -> bytes:
        """What is left when the stream ends in the middle of an event."""
        rest = bytes(self._pending)
        self._pending.clear()
        return self._passing(rest)

    def _passing(self, event: bytes) -> bytes:
        """An event as it passes on, or the rest of one whose beginning has passed."""
        return event if self._too_long else _without_usage(event)


def _without_usage(event: bytes) -> bytes:
    """One event without the null usage it carries; nothing at all if it is the chunk that was added."""
    if b'"usage"' not in event:
        return event
    if event.count(b'"usage"') == 1 and _has_usage(event):
        plain = event.replace(b',"usage":null', b"", 1)  # as OpenAI writes it
        if len(plain) < len(event):
            return plain
        if cut := _NULL_USAGE.search(event):
            return event[: cut.start()] + event[cut.end() :]
    return _taken_apart(event)


def _has_usage(event: bytes) -> bool:
    """Whether `usage` is a member of the chunk itself and not of something inside it."""
    try:
        return _USAGE.decode(event[event.index(b"{") :].rstrip()).usage is not msgspec.UNSET
    except _BAD_JSON:
        return False


def _taken_apart(event: bytes) -> bytes:
    """The rare event: the chunk that was added, or one in which something else is called usage."""
    data = re.search(rb"^data: ?(\{.*\})\s*$", event, re.MULTILINE)
    if data is None:
        return event
    try:
        chunk = _CHUNK.decode(data[1])
    except _BAD_JSON:
        return event
    if isinstance(chunk.usage, dict) and chunk.choices == []:
        return b""
    span = _member(data[1], b'"usage"')
    if span is None:
        return event
    return event[: data.start(1)] + _without_member(data[1], span) + event[data.end(1) :]


def _without_member(payload: bytes, value: tuple[int, int]) -> bytes:
    """An object without the member whose value stands there, and without the comma that parted it."""
    start = payload.rindex(b'"usage"', 0, value[0])
    before, after = payload[:start].rstrip(), payload[value[1] :]
    if before.endswith(b","):
        return before[:-1] + after
    return before + after.lstrip().removeprefix(b",").lstrip()
