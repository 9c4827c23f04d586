"""Tool definitions as the model reads them: functions written as TypeScript.

OpenAI does not publish how it shows functions to a model. This is the form that recorded requests fit: within
±7 tokens for flat schemas (nested ones stray further).
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

_DEEPEST = 8


def as_prompt(functions: Iterable[dict[str, Any]]) -> str:
    """The text that stands for function definitions (`{"name", "description", "parameters"}`) in a prompt.

    Never fails, whatever the schemas are made of; what is no JSON schema is shown as `any`.
    """
    return "".join(
        (
            "# Tools\n\n## functions\n\nnamespace functions {\n\n",
            *(line for function in functions for line in _function(function)),
            "} // namespace functions",
        )
    )


def _function(function: dict[str, Any]) -> Iterator[str]:
    yield from _comment(function)
    fields = "".join(_fields(function.get("parameters"), 0))
    argument = f"_: {{\n{fields}}}" if fields else ""
    yield f"type {function.get('name')} = ({argument}) => any;\n\n"


def _comment(described: dict[str, Any]) -> Iterator[str]:
    if isinstance(description := described.get("description"), str):
        yield f"// {description}\n"


def _fields(schema: Any, depth: int) -> Iterator[str]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return
    listed = schema.get("required")
    required = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    for name, field in properties.items():
        known = field if isinstance(field, dict) else {}
        yield from _comment(known)
        default = f" // default: {as_json(known['default'])}" if "default" in known else ""
        yield f"{name}{'' if name in required else '?'}: {_type(known, depth + 1)},{default}\n"


def _type(schema: Any, depth: int) -> str:
    """A schema's type. Deeper than anyone writes by hand it is left as it stands: its length is what matters."""
    if not isinstance(schema, dict):
        return "any"
    if depth > _DEEPEST:
        return as_json(schema)
    if isinstance(values := schema.get("enum"), list):
        return " | ".join(map(as_json, values))
    if isinstance(choices := schema.get("anyOf", schema.get("oneOf")), list):
        return " | ".join(_type(choice, depth + 1) for choice in choices)
    match schema.get("type"):
        case "object":
            fields = "".join(_fields(schema, depth))
            return f"{{\n{fields}}}" if fields else "object"
        case "array":
            return f"{_type(schema.get('items'), depth + 1)}[]"
        case "integer":
            return "number"
        case list() as types:
            return " | ".join(name for name in types if isinstance(name, str))
        case str() as name:
            return name
    return "any"


def as_json(value: Any) -> str:
    """Compact JSON. Never fails: what is nested too deeply to be written is `any`."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, TypeError, ValueError):
        return "any"
