from typing import Any

import pytest
from pydantic import BaseModel, Field

from proxy.simulator.schemas import instance


class Stop(BaseModel):
    name: str
    zone: int = Field(ge=3)
    fare: float
    open: bool
    kind: str = Field(json_schema_extra={"enum": ["tram", "bus"]})


class Line(BaseModel):
    first: Stop
    stops: list[Stop] = Field(min_length=2)
    branch: "Line | None"


def test_an_instance_is_valid_and_minimal() -> None:
    line = instance(Line.model_json_schema())
    assert Line.model_validate(line)
    stop = {"name": "", "zone": 3, "fare": 0, "open": False, "kind": "tram"}
    assert line == {"first": stop, "stops": [stop, stop], "branch": None}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": "x"}, "x"),
        ({"type": "string", "minLength": 2}, "xx"),
        ({"type": "integer", "exclusiveMinimum": 4}, 5),
        ({"type": "array", "items": {"type": "string"}}, []),
        ({"type": ["string", "null"]}, None),
        ({"type": ["string"]}, ""),
        ({"anyOf": [{"type": "boolean"}, {"type": "string"}]}, False),
        ({"properties": {"a": {"type": "null"}}}, {"a": None}),
        ({"type": "object"}, {}),
        ({"type": "string", "$defs": {"x": 1}}, ""),
        ({"$ref": "#/$defs/Missing"}, None),
    ],
)
def test_smallest_values(schema: dict[str, Any], value: object) -> None:
    assert instance(schema) == value
