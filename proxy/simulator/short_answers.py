"""The answers that are one small object: embeddings, moderations, models."""

import base64
import struct
import zlib
from typing import Any

from proxy.simulator import tariff, wire
from proxy.simulator.minds import Turn
from proxy.simulator.wire import Json, Refusal

_MOST_DIMENSIONS = 3072
_USUAL_DIMENSIONS = {"text-embedding-3-large": 3072}
_OTHER_DIMENSIONS = 1536
_NUMBERS = [wire.luck("vector", place).uniform(-0.05, 0.05) for place in range(2 * _MOST_DIMENSIONS)]
"""Every vector is a stretch of these."""

_CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent",
    "self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors",
    "violence", "violence/graphic",
)  # fmt: skip
_BORN = 1_715_367_049


def embeddings(turn: Turn) -> Json:
    """A vector for every input: a text, a list of texts, a list of tokens, or a list of such lists."""
    body = turn.ask.body
    asked: Any = body.get("dimensions")
    usual = _USUAL_DIMENSIONS.get(turn.ask.model.listed, _OTHER_DIMENSIONS)
    dimensions = min(asked, _MOST_DIMENSIONS) if isinstance(asked, int) and asked > 0 else usual
    encode = _base64 if body.get("encoding_format") == "base64" else list[float]
    vectors = (encode(_vector(text, dimensions)) for text in _inputs(body["input"]))
    used = {"prompt_tokens": turn.answer.usage.input, "total_tokens": turn.answer.usage.input}
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)],
        "model": turn.ask.model.served,
        **({"usage": used} if turn.says_usage else {}),
    }


def _inputs(asked: Any) -> list[Any]:
    several = isinstance(asked, list) and not isinstance(asked[0], int)
    return asked if several else [asked]


def _vector(text: Any, dimensions: int) -> list[float]:
    """The same input, the same vector."""
    start = zlib.crc32(str(text).encode()) % _MOST_DIMENSIONS
    return _NUMBERS[start : start + dimensions]


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def moderation(body: Json, answer_id: str) -> Json:
    """Nothing is ever flagged. Free, so it is on no bill."""
    asked = body.get("input")
    if asked in (None, []):
        raise Refusal(400, "Missing required parameter: 'input'.", code="missing_required_parameter", param="input")
    texts = asked if isinstance(asked, list) and isinstance(asked[0], str) else [asked]
    calm = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.00001),
        "category_applied_input_types": {category: ["text"] for category in _CATEGORIES},
    }
    return {
        "id": answer_id,
        "model": body.get("model") or "omni-moderation-latest",
        "results": [calm for _ in texts],
    }


def model_list() -> Json:
    """`GET /v1/models`."""
    return {"object": "list", "data": [_model(name) for name in tariff.names()]}


def model(name: str) -> Json:
    """`GET /v1/models/NAME`. Raises Refusal (404) for a model that is not on the list."""
    if tariff.find(name) is None:
        raise Refusal(404, f"The model '{name}' does not exist", code="model_not_found", param="model")
    return _model(name)


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": _BORN, "owned_by": "system"}
