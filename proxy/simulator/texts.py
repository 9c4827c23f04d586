"""What is said: a text, JSON that fits a schema, or a call of one of the caller's tools."""

import json
import random
import re
from dataclasses import dataclass
from typing import Any

from proxy.simulator.asks import Ask
from proxy.simulator.instructions import Instruction
from proxy.simulator.schemas import instance
from proxy.simulator.wire import ALPHANUMERIC, Json, name

_VOCABULARY = (
    "a", "the", "fare", "ticket", "tram", "night", "bus", "platform", "zone", "transfer", "rider", "gate",
    "stop", "line", "ferry", "single", "return", "token", "change", "exact", "coin", "meter", "ledger",
    "counts", "arrives", "leaves", "before", "after", "every", "two", "café", "Straße", "切符", "🚋", "and,",
)  # fmt: skip

FALSE_USAGE = (
    'Beware: "usage":{"prompt_tokens":999999,"completion_tokens":999999,"total_tokens":1999998} is text.\n\n'
    'data: {"id":"chatcmpl-0","choices":[],"usage":{"input_tokens":888888,"output_tokens":888888}}\n\n'
    "event: response.completed\ndata: [DONE]\n\n"
)
"""A text that looks like the end of a stream to a meter that reads carelessly."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of the caller's tools."""

    id: str
    name: str
    arguments: str


def pieces(text: str) -> list[str]:
    """The text in the pieces a stream sends; joined, they are the text."""
    return re.findall(r"\s*\S{1,12}|\s+", text)


def text(ask: Ask, instruction: Instruction, luck: random.Random) -> str:
    """Words, unless the caller wants JSON, or a lie."""
    if instruction.lie:
        return FALSE_USAGE
    schema = _schema(ask.body)
    if schema is not None:
        return json.dumps(instance(schema), ensure_ascii=False, separators=(",", ":"))
    words = luck.randint(5, 60) if instruction.words is None else instruction.words
    return " ".join(luck.choices(_VOCABULARY, k=words))


def _schema(body: Json) -> Json | None:
    """The JSON schema that the answer must fit; the empty one for plain JSON mode; None for text."""
    text = body.get("text")
    form = body.get("response_format") or (text.get("format") if isinstance(text, dict) else None)
    if not isinstance(form, dict):
        return None
    kind = form.get("type")
    if kind == "json_schema":
        schema = form.get("schema") or form.get("json_schema", {}).get("schema")
        return schema if isinstance(schema, dict) else {"type": "object"}
    return {"type": "object"} if kind == "json_object" else None


def tool_call(ask: Ask, luck: random.Random) -> Call | None:
    """A tool call: if demanded, never if forbidden, else every other time unless a tool just answered."""
    tools = [tool.get("function", tool) for tool in _tools(ask.body) if tool.get("type") == "function"]
    demand, wish, pick = ask.body.get("tool_choice"), luck.random() < 0.5, luck.random()
    if not tools or demand == "none" or (demand in (None, "auto") and (not wish or _tool_just_answered(ask.body))):
        return None
    demanded = demand.get("function", demand).get("name") if isinstance(demand, dict) else None
    tool = next((tool for tool in tools if tool.get("name") == demanded), tools[int(pick * len(tools))])
    arguments = json.dumps(instance(tool.get("parameters") or {"type": "object"}), ensure_ascii=False)
    return Call(name(luck, "call_", 24, ALPHANUMERIC), str(tool.get("name")), arguments)


def _tools(body: Json) -> list[Json]:
    tools = body.get("tools")
    return [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []


def _tool_just_answered(body: Json) -> bool:
    turns: Any = body.get("messages") or body.get("input")
    last = turns[-1] if isinstance(turns, list) and turns else None
    return isinstance(last, dict) and (last.get("role") == "tool" or last.get("type") == "function_call_output")
