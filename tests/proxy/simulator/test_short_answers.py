import base64
import struct
from typing import Any

import pytest

from proxy.simulator import asks, minds, short_answers, wire
from proxy.simulator.asks import OPERATIONS
from proxy.simulator.instructions import Instruction
from proxy.simulator.minds import Turn
from proxy.simulator.wire import Json, Refusal


def embed(**body: Any) -> Json:
    ask = asks.read(OPERATIONS[4], {"model": "text-embedding-3-small", **body})
    return short_answers.embeddings(Turn(ask, minds.answer(ask, Instruction(), wire.luck(0)), "", 0))


@pytest.mark.parametrize(
    ("asked", "vectors", "tokens"),
    [
        ("twelve chars", 1, 3),
        (["twelve chars", "four"], 2, 4),
        ([5, 6, 7], 1, 3),
        ([[5, 6, 7], [8]], 2, 4),
    ],
)
def test_a_vector_for_every_input(asked: Any, vectors: int, tokens: int) -> None:
    body = embed(input=asked)
    assert [entry["index"] for entry in body["data"]] == list(range(vectors))
    assert body["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert body["model"] == "text-embedding-3-small"


@pytest.mark.parametrize(
    ("wish", "dimensions"),
    [({}, 1536), ({"model": "text-embedding-3-large"}, 3072), ({"dimensions": 8}, 8)],
)
def test_as_many_dimensions_as_the_model_or_the_caller_wants(wish: dict[str, Any], dimensions: int) -> None:
    assert len(embed(input="x", **wish)["data"][0]["embedding"]) == dimensions


def test_base64_holds_the_same_vector() -> None:
    (plain,) = embed(input="x", dimensions=4)["data"]
    (packed,) = embed(input="x", dimensions=4, encoding_format="base64")["data"]
    assert struct.unpack("<4f", base64.b64decode(packed["embedding"])) == pytest.approx(plain["embedding"])


def test_the_same_text_has_the_same_vector() -> None:
    same, again, other = (entry["embedding"] for entry in embed(input=["a", "a", "b"])["data"])
    assert same == again != other


@pytest.mark.parametrize(("asked", "results"), [("a", 1), (["a", "b"], 2), ([{"type": "text", "text": "a"}], 1)])
def test_nothing_is_flagged(asked: Any, results: int) -> None:
    body = short_answers.moderation({"input": asked}, "modr-1")
    assert [result["flagged"] for result in body["results"]] == [False] * results
    assert body["model"] == "omni-moderation-latest"


def test_moderation_needs_an_input() -> None:
    with pytest.raises(Refusal):
        short_answers.moderation({}, "modr-1")


def test_models_are_listed_and_looked_up() -> None:
    names = {entry["id"] for entry in short_answers.model_list()["data"]}
    assert {"gpt-4o", "gpt-4o-2024-08-06", "gpt-6.1-sol"} <= names
    assert short_answers.model("ft:gpt-4o-mini-2024-07-18:acme:s:1")["object"] == "model"
    with pytest.raises(Refusal) as refused:
        short_answers.model("gpt-9")
    assert refused.value.status == 404
