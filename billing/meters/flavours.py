"""Flavours: how one API words its usage, its visible output and its end.

A flavour is a reader (`readers`, `fees`, `media`) and the places where visible output stands, which an estimate
counts when usage never came.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from billing.meters.fees import ResponseReader
from billing.meters.media import EvaluationReader, ImagesReader, RunReader, TranscriptReader, VideoReader
from billing.meters.readers import Answered as Answered
from billing.meters.readers import Reader, SilentReader, TextReader, an_object, objects
from billing.meters.spellings import split_speech
from billing.requested import Requested


@dataclass(frozen=True, slots=True)
class Flavour:
    """One API's wording. `texts` yields the visible output in a payload; `reader` makes a fresh reader for one
    answer to a request. `by_request`: its price depends on fields of the request, so a `Requested` is wanted."""

    name: str
    texts: Callable[[Any], Iterable[object]]
    reader: Callable[[Requested], Reader]
    by_request: bool = False


def _chat_texts(payload: dict[str, Any]) -> Iterable[object]:
    for choice in objects(payload.get("choices")):
        message = an_object(choice.get("delta") or choice.get("message"))
        yield from (message.get("content"), message.get("refusal"))
        for call in (*objects(message.get("tool_calls")), {"function": message.get("function_call")}):
            function = an_object(call.get("function") or call.get("custom"))
            yield from (function.get("name"), function.get("arguments"), function.get("input"))


def _completion_texts(payload: dict[str, Any]) -> Iterable[object]:
    for choice in objects(payload.get("choices")):
        yield choice.get("text")


_DELTAS = (  # no set: what an upstream calls a type need not be hashable
    "response.output_text.delta",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.reasoning_text.delta",
)


def _response_texts(payload: dict[str, Any]) -> Iterable[object]:
    if payload.get("type") in _DELTAS:
        yield payload.get("delta")
    for item in objects(payload.get("output")):
        yield from (item.get("name"), item.get("arguments"), item.get("input"))
        for part in objects(item.get("content")):
            yield from (part.get("text"), part.get("refusal"))


def _transcript_texts(payload: dict[str, Any]) -> Iterable[object]:
    yield payload.get("delta") if payload.get("type") == "transcript.text.delta" else None
    yield payload.get("text") if payload.get("type") is None else None


def _run_texts(payload: dict[str, Any]) -> Iterable[object]:
    if payload.get("object") == "thread.message.delta":
        for part in objects(an_object(payload.get("delta")).get("content")):
            yield an_object(part.get("text")).get("value")


def _no_texts(payload: dict[str, Any]) -> Iterable[object]:
    return ()


_ENDS_OF_RESPONSES = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_ENDS_OF_SPEECH = frozenset({"speech.audio.done"})

CHAT = Flavour("chat", _chat_texts, lambda requested: TextReader())
COMPLETIONS = Flavour("completions", _completion_texts, lambda requested: TextReader())
RESPONSES = Flavour("responses", _response_texts, lambda requested: ResponseReader(_ENDS_OF_RESPONSES))
EMBEDDINGS = Flavour("embeddings", _no_texts, lambda requested: TextReader())
DECISIONS = Flavour("decisions", _no_texts, lambda requested: TextReader(variant="decisions"))
IMAGES = Flavour("images", _no_texts, ImagesReader, by_request=True)
TRANSCRIPTS = Flavour("transcripts", _transcript_texts, TranscriptReader, by_request=True)
SPEECH = Flavour("speech", _no_texts, lambda requested: TextReader(_ENDS_OF_SPEECH, split_speech), by_request=True)
VIDEOS = Flavour("videos", _no_texts, VideoReader, by_request=True)
RUNS = Flavour("runs", _run_texts, RunReader)
EVALUATIONS = Flavour("evaluations", _no_texts, EvaluationReader)
SILENT = Flavour("silent", _no_texts, lambda requested: SilentReader())
"""For answers without usage, of which an id is wanted."""

ALL = (
    CHAT,
    COMPLETIONS,
    RESPONSES,
    EMBEDDINGS,
    DECISIONS,
    IMAGES,
    TRANSCRIPTS,
    SPEECH,
    VIDEOS,
    RUNS,
    EVALUATIONS,
)
"""Every flavour that an endpoint may have."""
