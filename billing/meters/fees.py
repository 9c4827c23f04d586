"""Fees: what a response used beside its model's tokens: searches, and other models' tokens.

`tool_usage` says how many searches and image tokens OpenAI bills; where it is missing (answers before 2026), the
items of the output are counted. Only `search` actions of a web search cost something; opening a page does not.
MCP is free. Containers (code interpreter, shell) are billed by their life, not by the response that used them,
so they are not read here.
"""

from typing import Any

import msgspec

from billing.meters.readers import BAD_JSON, Answered, an_object, objects, read_as, reported_in
from billing.meters.spellings import Reported, split, split_images
from billing.usage import Reading, Unit, Usage

_HINTS = (b"_search_call", b"tool_usage", b"svg_usage")


class Response(Answered):
    """A response with what its tools did, read only where it says that they did something."""

    tool_usage: msgspec.Raw = msgspec.Raw(b"null")
    output: msgspec.Raw = msgspec.Raw(b"null")
    tools: msgspec.Raw = msgspec.Raw(b"null")


class ResponsePayload(Response):
    """A response, or the event that wraps it."""

    type: str | None = None
    response: Response | None = None


_PAYLOAD = msgspec.json.Decoder(ResponsePayload)


class ResponseReader:
    """The one rule of text, and the fees."""

    def __init__(self, final: frozenset[str]) -> None:
        self._final = final
        self.reading: Reading | None = None
        self.finished = False

    def read(self, payload: bytes) -> None:
        if b'"usage"' not in payload:
            return
        try:
            outer = _PAYLOAD.decode(payload)
        except BAD_JSON:
            return
        self.finished = self.finished or outer.type in self._final
        answered = outer if outer.usage is not None else outer.response
        if answered is None or answered.usage is None:
            return
        usage = split(answered.usage)
        if usage is None:
            return
        reading = read_as(answered, usage)
        if any(hint in payload for hint in _HINTS):
            reading = _with_fees(reading, answered)
        self.reading = reading


def _with_fees(reading: Reading, answered: Response) -> Reading:
    tools, items = objects(_value(answered.tools)), objects(_value(answered.output))
    tool_usage = an_object(_value(answered.tool_usage))
    return Reading(
        reading.usage + _searches(tools, items, tool_usage),
        reading.model,
        reading.service_tier,
        reading.response_id,
        reading.reasoning_tokens,
        besides=(*_images(tools, tool_usage), *drawn(item.get("svg_usage") for item in items)),
    )


def _searches(tools: list[dict[str, Any]], items: list[dict[str, Any]], tool_usage: dict[str, Any]) -> Usage:
    preview = any(str(tool.get("type")).startswith("web_search_preview") for tool in tools)
    unit = Unit.WEB_SEARCH_PREVIEW_CALLS if preview else Unit.WEB_SEARCH_CALLS
    billed = an_object(tool_usage.get("web_search")).get("num_requests")
    done = [item for item in items if item.get("status") != "failed"]
    searches = [
        item
        for item in done
        if item.get("type") == "web_search_call" and an_object(item.get("action")).get("type", "search") == "search"
    ]
    files = [item for item in done if item.get("type") == "file_search_call"]
    web = billed if type(billed) is int and 0 <= billed <= 10**6 else len(searches)
    return Usage({unit: web, Unit.FILE_SEARCH_CALLS: len(files)})


def _images(tools: list[dict[str, Any]], tool_usage: dict[str, Any]) -> tuple[Reading, ...]:
    """What the image generation tool used, at the model that its definition names (None: it does not say)."""
    reported = reported_in(tool_usage.get("image_gen"))
    usage = split_images(reported) if reported is not None else None
    if not usage:
        return ()
    models = [tool.get("model") for tool in tools if tool.get("type") == "image_generation"]
    return (Reading(usage, _text(models[0]) if models else None),)


def drawn(reports: Any) -> tuple[Reading, ...]:
    """What the authors of SVG images used: each report names its own model."""
    readings = []
    for each in reports:
        reported: Reported | None = reported_in(each)
        usage = split(reported) if reported is not None else None
        if usage:
            readings.append(Reading(usage, _text(each.get("model"))))
    return tuple(readings)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _value(raw: msgspec.Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except BAD_JSON:
        return None
