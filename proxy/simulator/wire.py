"""OpenAI's bytes: indented JSON, server-sent events, the headers of every answer, and refusals."""

import json
import random
import string
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

ALPHANUMERIC = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
DONE = b"data: [DONE]\n\n"


def luck(*parts: object) -> random.Random:
    """A generator of repeatable luck: the same parts, the same luck."""
    return random.Random("/".join(map(str, parts)))  # noqa: S311 - nothing here is secret


def name(luck: random.Random, prefix: str, length: int, letters: str = HEX) -> str:
    """An identifier in OpenAI's style."""
    return prefix + "".join(luck.choices(letters, k=length))


def whole(body: Json, ending: str = "\n") -> bytes:
    """A non-streamed answer, indented by two as OpenAI sends it. Responses have no line end after it."""
    return (json.dumps(body, indent=2, ensure_ascii=False) + ending).encode()


def event(data: Json, kind: str | None = None) -> bytes:
    """One server-sent event, compact; Responses name its kind in a line of its own."""
    head = f"event: {kind}\n" if kind else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def headers(request_id: str, luck: random.Random, caller: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers of an answer without its framing ones. `set-cookie` comes twice, as it does from OpenAI."""
    remaining = 150_000_000 - luck.randrange(10_000)
    return [
        ("Server", "cloudflare"),
        ("access-control-expose-headers", "X-Request-ID"),
        ("openai-organization", caller.get("OpenAI-Organization", "simulated")),
        ("openai-processing-ms", str(luck.randrange(80, 2_000))),
        ("openai-project", caller.get("OpenAI-Project", "proj_simulated")),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "30000"),
        ("x-ratelimit-limit-tokens", "150000000"),
        ("x-ratelimit-remaining-requests", "29999"),
        ("x-ratelimit-remaining-tokens", str(remaining)),
        ("x-ratelimit-reset-requests", "2ms"),
        ("x-ratelimit-reset-tokens", "0s"),
        ("x-request-id", request_id),
        ("x-openai-proxy-wasm", "v0.1"),
        ("cf-cache-status", "DYNAMIC"),
        (
            "set-cookie",
            f"__cf_bm={name(luck, '', 43, ALPHANUMERIC)}; path=/; HttpOnly; Secure; SameSite=None",
        ),
        (
            "set-cookie",
            f"_cfuvid={name(luck, '', 43, ALPHANUMERIC)}; path=/; HttpOnly; Secure; SameSite=None",
        ),
        ("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload"),
        ("X-Content-Type-Options", "nosniff"),
        ("CF-RAY", name(luck, "", 16) + "-LHR"),
        ("alt-svc", 'h3=":443"; ma=86400'),
    ]


class Refusal(Exception):
    """An answer that is an error in OpenAI's shape. Nothing is billed for it."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        self.headers = headers or {}


_SERVER_ERROR = "The server had an error while processing your request. Sorry about that!"
_SPENT = "You exceeded your current quota, please check your plan and billing details."
_TOO_MANY = "Rate limit reached for requests per min (RPM): Limit 30000, Used 30000. Please try again in 20ms."
_RETRY_SOON = {"retry-after": "1", "retry-after-ms": "20"}
_NONE_LEFT = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}
_INVALID = "invalid_request_error"

_TOLD: dict[str, tuple[str, str, str | None, dict[str, str]]] = {
    "400": ("The simulator was told to call this request invalid.", _INVALID, None, {}),
    "401": ("Incorrect API key provided: sk-********.", _INVALID, "invalid_api_key", {}),
    "403": ("Your project may not do this.", _INVALID, "permission_denied", {}),
    "429": (_TOO_MANY, "requests", "rate_limit_exceeded", _RETRY_SOON | _NONE_LEFT),
    "429-quota": (_SPENT, "insufficient_quota", "insufficient_quota", {}),
    "500": (_SERVER_ERROR, "server_error", None, {}),
    "503": ("The engine is currently overloaded.", "server_error", "server_is_overloaded", _RETRY_SOON),
}


def refuse_with(status: str | None) -> None:
    """Raise the refusal that an instruction `status=…` asks for, if it does."""
    if status:
        message, kind, code, headers = _TOLD[status]
        raise Refusal(int(status[:3]), message, kind, code, headers=headers)


def broken(responses: bool, sequence: int) -> bytes:
    """The error event that ends a stream in its middle; `sequence` counts the events before it."""
    if responses:
        error = {"type": "error", "code": "server_error", "message": _SERVER_ERROR, "param": None}
        return event({**error, "sequence_number": sequence}, "error")
    return event(Refusal(500, _SERVER_ERROR, "server_error").body)
