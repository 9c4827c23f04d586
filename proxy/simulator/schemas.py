"""The smallest JSON value that fits a schema: what the simulator answers when an answer must have a form."""

from typing import Any

Schema = dict[str, Any]

_EMPTY = {"string": "", "boolean": False, "null": None}


def instance(schema: Schema) -> Any:
    """A value that fits the schema: objects have all their properties, lists no more items than they must.

    Knows what strict structured outputs allow: types, `enum`, `const`, `anyOf`, `$ref` to `$defs`, bounds of
    numbers and lists. Where a schema is beyond that, the answer is as wrong as a model's may be. Raises
    RecursionError for a schema that no finite value fits.
    """
    return _instance(schema, schema)


def _instance(schema: Any, root: Schema) -> Any:
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return _instance(_resolve(str(schema["$ref"]), root), root)
    if options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        # null, where it is allowed, is the smallest, and ends schemas that contain themselves
        return None if {"type": "null"} in options else _instance(options[0], root)
    return _typed(_type(schema), schema, root)


def _typed(kind: str, schema: Schema, root: Schema) -> Any:
    if kind == "object":
        return {name: _instance(part, root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [_instance(schema.get("items"), root) for _ in range(schema.get("minItems", 0))]
    if kind in {"integer", "number"}:
        return max(0, schema.get("minimum", 0), schema.get("exclusiveMinimum", -1) + 1)
    if kind == "string":
        return "x" * schema.get("minLength", 0)
    return _EMPTY.get(kind)


def _type(schema: Schema) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "null")
    if isinstance(kind, list):
        return "null" if "null" in kind or not kind else str(kind[0])
    return str(kind)


def _resolve(reference: str, root: Schema) -> Any:
    """What `#/$defs/Name` points to; None if nothing is there."""
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step) if step and isinstance(found, dict) else found
    return found
