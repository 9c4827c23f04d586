"""What was asked: one of the operations that cost money, checked as OpenAI checks it."""

import json
from dataclasses import dataclass
from typing import Any

from proxy.simulator import tariff
from proxy.simulator.wire import Json, Refusal


@dataclass(frozen=True, slots=True)
class Operation:
    """A billable endpoint: where it is, what it needs, what counts as prompt, what limits the output."""

    name: str
    path: str
    needs: str
    prompt: tuple[str, ...]
    limits: tuple[str, ...] = ()
    usual_limit: int | None = None
    streams: bool = True
    tiers: tuple[str, ...] = ()


_CHAT_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")

OPERATIONS = (
    Operation(
        "chat", "/v1/chat/completions", "messages",
        prompt=("messages", "tools", "response_format"),
        limits=("max_completion_tokens", "max_tokens"),
        tiers=_CHAT_TIERS,
    ),
    Operation(
        "text_completion", "/v1/completions", "prompt",
        prompt=("prompt",),
        limits=("max_tokens",),
        usual_limit=16,
    ),
    Operation(
        "responses", "/v1/responses", "input",
        prompt=("input", "instructions", "tools", "text"),
        limits=("max_output_tokens",),
        tiers=(*_CHAT_TIERS, "ultrafast"),
    ),
    Operation("compact", "/v1/responses/compact", "input", prompt=("input", "instructions"), streams=False),
    Operation("embeddings", "/v1/embeddings", "input", prompt=("input",), streams=False),
)  # fmt: skip

_SERVED_AS = {"fast": "priority", "auto": "default", "scale": "default"}


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that OpenAI would answer."""

    operation: Operation
    model: tariff.Model
    requested_tier: str
    choices: int
    limit: int | None
    streamed: bool
    body: Json

    @property
    def wanted_tier(self) -> str:
        """The tier asked for, in the price list's word."""
        return _SERVED_AS.get(self.requested_tier, self.requested_tier)

    @property
    def prompt_size(self) -> int:
        """Characters of everything that goes into the prompt."""
        return sum(_characters(self.body.get(field)) for field in self.operation.prompt)

    def option(self, name: str, default: bool) -> bool:
        """A switch in `stream_options`."""
        options = self.body.get("stream_options")
        return bool(options.get(name, default)) if isinstance(options, dict) else default


def _characters(value: Any) -> int:
    """Characters in all strings of a JSON value; a number stands for one token, which is four characters."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    if isinstance(value, list):
        return sum(map(_characters, value))
    return 4 if isinstance(value, int | float) and not isinstance(value, bool) else 0


def parse(raw: bytes) -> Json:
    """The JSON object in a request's body. Raises Refusal."""
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "We could not parse the JSON body of your request.")
    return body


def _number(body: Json, field: str) -> int | None:
    value = body.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refusal(400, f"Invalid type for '{field}': expected an integer.", code="invalid_type", param=field)
    if value < 1:
        message = f"Invalid '{field}': integer below minimum value. Expected a value >= 1, but got {value} instead."
        raise Refusal(400, message, code="integer_below_min_value", param=field)
    return value


def _model(operation: Operation, name: Any) -> tariff.Model:
    if not name or not isinstance(name, str):
        raise Refusal(400, "you must provide a model parameter")
    model = tariff.find(name)
    if model is None or model.embeds != (operation.name == "embeddings"):
        if operation.name in {"responses", "compact"}:
            message = f"The requested model '{name}' does not exist."
            raise Refusal(400, message, code="model_not_found", param="model")
        message = f"The model `{name}` does not exist or you do not have access to it."
        raise Refusal(404, message, code="model_not_found")
    return model


def read(operation: Operation, body: Json) -> Ask:
    """Check a request. Raises Refusal, worded as OpenAI words it."""
    model = _model(operation, body.get("model"))
    if body.get(operation.needs) in (None, []):
        message = f"Missing required parameter: '{operation.needs}'."
        raise Refusal(400, message, code="missing_required_parameter", param=operation.needs)
    tier = (body.get("service_tier") if operation.tiers else None) or "auto"
    if operation.tiers and tier not in operation.tiers:
        raise Refusal(400, f"Invalid service_tier argument: {tier!r}.", param="service_tier")
    limits = [limit for limit in (_number(body, field) for field in operation.limits) if limit]
    return Ask(
        operation=operation,
        model=model,
        requested_tier=tier,
        choices=_number(body, "n") or 1 if operation.name in {"chat", "text_completion"} else 1,
        limit=limits[0] if limits else operation.usual_limit,
        streamed=operation.streams and body.get("stream") is True,
        body=body,
    )
