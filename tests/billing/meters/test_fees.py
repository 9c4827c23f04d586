"""Fees: what a response's tools cost, by what OpenAI says it bills, else by what the output shows."""

import json
from typing import Any

import pytest

from billing.meters.fees import ResponseReader, drawn
from billing.usage import Reading, Unit, Usage

WEB, PREVIEW, FILES = Unit.WEB_SEARCH_CALLS, Unit.WEB_SEARCH_PREVIEW_CALLS, Unit.FILE_SEARCH_CALLS
SEARCH = {"type": "web_search_call", "status": "completed", "action": {"type": "search"}}
LOOK = {"type": "file_search_call", "status": "completed"}
TOKENS = Usage({Unit.INPUT_TEXT: 10})


def read(**response: Any) -> Reading | None:
    reader = ResponseReader(frozenset())
    reader.read(json.dumps({**response, "usage": {"input_tokens": 10}}).encode())
    return reader.reading


@pytest.mark.parametrize(
    ("response", "fees"),
    [
        ({"output": [SEARCH, SEARCH], "tool_usage": {"web_search": {"num_requests": 1}}}, {WEB: 1}),
        ({"output": [SEARCH], "tool_usage": {"web_search": {"num_requests": 0}}}, {}),
        ({"output": [SEARCH, SEARCH]}, {WEB: 2}),
        ({"output": [SEARCH], "tool_usage": None}, {WEB: 1}),
        ({"output": [{**SEARCH, "action": {"type": "open_page"}}]}, {}),
        ({"output": [{**SEARCH, "action": {"type": "find_in_page"}}]}, {}),
        ({"output": [{**SEARCH, "status": "failed"}]}, {}),
        ({"output": [{"type": "web_search_call"}]}, {WEB: 1}),  # from before actions were told
        ({"output": [SEARCH], "tools": [{"type": "web_search"}]}, {WEB: 1}),
        ({"output": [SEARCH], "tools": [{"type": "web_search_2025_08_26"}]}, {WEB: 1}),
        ({"output": [SEARCH], "tools": [{"type": "web_search_preview"}]}, {PREVIEW: 1}),
        ({"output": [SEARCH], "tools": [{"type": "web_search_preview_2025_03_11"}]}, {PREVIEW: 1}),
        ({"output": [LOOK, LOOK, SEARCH]}, {FILES: 2, WEB: 1}),
        ({"output": [{**LOOK, "status": "failed"}]}, {}),
        ({"output": [{"type": "mcp_call", "name": "file_search_call"}]}, {}),
        ({"output": [{"type": "code_interpreter_call"}]}, {}),
        ({"output": [{"type": "message", "content": [{"text": "web_search_call"}]}]}, {}),
        ({"output": "web_search_call", "tools": 7, "tool_usage": [1]}, {}),
        ({"output": [SEARCH], "tool_usage": {"web_search": {"num_requests": True}}}, {WEB: 1}),
        ({"output": [SEARCH], "tool_usage": {"web_search": {"num_requests": -1}}}, {WEB: 1}),
    ],
)
def test_searches_are_counted_as_they_are_billed(response: dict[str, Any], fees: dict[Unit, int]) -> None:
    assert read(**response) == Reading(TOKENS + Usage(fees))


def test_images_are_another_models() -> None:
    made = {"input_tokens": 30, "input_tokens_details": {"image_tokens": 10, "text_tokens": 20}, "output_tokens": 272}
    used = Usage({Unit.INPUT_TEXT: 20, Unit.INPUT_IMAGE: 10, Unit.OUTPUT_IMAGE: 272})
    tools = [{"type": "web_search"}, {"type": "image_generation", "model": "gpt-image-2"}]
    assert read(tools=tools, tool_usage={"image_gen": made}) == Reading(TOKENS, besides=(Reading(used, "gpt-image-2"),))
    assert read(tools=[], tool_usage={"image_gen": made}) == Reading(TOKENS, besides=(Reading(used, None),))


def test_no_images_are_nothing_besides() -> None:
    none = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert read(tool_usage={"image_gen": none}) == Reading(TOKENS)
    assert read(tool_usage={"image_gen": None}) == Reading(TOKENS)


def test_an_svgs_author_is_named_by_its_report() -> None:
    report = {"model": "gpt-6.1-sol", "input_tokens": 4, "output_tokens": 5}
    author = Reading(Usage({Unit.INPUT_TEXT: 4, Unit.OUTPUT_TEXT: 5}), "gpt-6.1-sol")
    assert drawn([report, None, "odd", {"model": "m", "input_tokens": 0, "output_tokens": 0}]) == (author,)
    assert read(output=[{"type": "image_generation_call", "svg_usage": report}]) == Reading(TOKENS, besides=(author,))
