"""Tool definitions: the TypeScript that a model reads."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.tool_definitions import as_json, as_prompt


def shown(*functions: dict[str, Any]) -> str:
    """What stands between the frame's first and last line."""
    head, tail = "# Tools\n\n## functions\n\nnamespace functions {\n\n", "} // namespace functions"
    text = as_prompt(functions)
    assert text.startswith(head)
    assert text.endswith(tail)
    return text[len(head) : -len(tail)]


def field(schema: Any) -> str:
    """How a parameter of this schema is typed."""
    text = shown({"name": "f", "parameters": {"properties": {"x": schema}, "required": ["x"]}})
    return text.removeprefix("type f = (_: {\nx: ").removesuffix("}) => any;\n\n")


def test_a_function_with_parameters() -> None:
    parameters = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where"},
            "unit": {"enum": ["C", "F"], "default": "C"},
        },
        "required": ["city"],
    }
    assert shown({"name": "weather", "description": "Look out", "parameters": parameters}) == (
        '// Look out\ntype weather = (_: {\n// Where\ncity: string,\nunit?: "C" | "F", // default: "C"\n}) => any;\n\n'
    )


def test_functions_stand_one_after_the_other() -> None:
    assert shown({"name": "a"}, {"name": "b"}) == "type a = () => any;\n\ntype b = () => any;\n\n"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer"}, "number"),
        ({"type": "array", "items": {"type": "string"}}, "string[]"),
        ({"type": "array"}, "any[]"),
        ({"type": ["string", 7, "null"]}, "string | null"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string | null"),
        ({"oneOf": [{"type": "integer"}, {"enum": [1]}]}, "number | 1"),
        ({"type": "object"}, "object"),
        ({"type": "object", "properties": {"y": {"type": "boolean"}}}, "{\ny?: boolean,\n}"),
        ({"$ref": "#/$defs/Thing"}, "any"),
        ({}, "any"),
        ("string", "any"),
        (None, "any"),
    ],
)
def test_the_types(schema: Any, expected: str) -> None:
    assert field(schema) == f"{expected},\n"


def test_what_is_too_deep_to_show_is_left_as_json() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(12):
        schema = {"type": "array", "items": schema}
    assert '{"type":"array","items":{"type":"string"}}' in field(schema)
    for _ in range(100_000):
        schema = {"type": "array", "items": schema}
    assert field(schema) == f"any{'[]' * 8},\n"


@given(
    schema=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["type", "properties", "required", "enum", "anyOf", "items", "default", "description"])
                | st.text(),
                inner,
            )
        ),
    )
)
def test_no_schema_is_refused(schema: Any) -> None:
    assert shown({"name": "f", "description": schema, "parameters": schema})
    assert isinstance(as_json(schema), str)
