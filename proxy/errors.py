"""Errors that Farebox answers itself, in OpenAI's shape so that every SDK understands them."""

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of Farebox's own. `retry` tells SDKs whether trying again can help (`x-should-retry`)."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    retry: bool | None = False

    def body(self) -> bytes:
        """The JSON body: `{"error": {"message", "type", "param", "code"}}`."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return msgspec.json.format(msgspec.json.encode({"error": error}), indent=2) + b"\n"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that go with it."""
        headers = [(b"Content-Type", b"application/json")]
        if self.retry is not None:
            headers.append((b"x-should-retry", b"true" if self.retry else b"false"))
        return headers


def key_not_issued(shown: str) -> Refusal:
    """401: this Farebox only accepts keys of its own, or does not know this one."""
    return Refusal(
        401,
        f"Incorrect API key provided: {shown}. This Farebox accepts only keys that it issued.",
        code="invalid_api_key",
    )


def unknown_route(method: str, path: str) -> Refusal:
    """404: FAREBOX_UNKNOWN_ROUTES=refuse."""
    return Refusal(
        404,
        f"Unknown request URL: {method} {path}. Farebox is set to refuse routes it cannot meter.",
        code="unknown_url",
    )


def not_under_v1(path: str) -> Refusal:
    """404: only /v1 is relayed."""
    return Refusal(
        404, f"Farebox relays /v1/… only, not {path}. Point OPENAI_BASE_URL at http://HOST:PORT/v1.", code="unknown_url"
    )


def upstream_unreachable(source: str, why: str) -> Refusal:
    """502: no connection, so nothing was sent."""
    return Refusal(
        502, f"Farebox could not reach {source}: {why}.", type="server_error", code="upstream_unreachable", retry=None
    )


def upstream_broke_off(source: str, why: str) -> Refusal:
    """502: the call was sent and no answer came."""
    return Refusal(
        502,
        f"{source} closed the connection without an answer: {why}.",
        type="server_error",
        code="upstream_broke_off",
        retry=None,
    )


def bad_http(status: int, why: str) -> Refusal:
    """400 or another status of aiohttp's: what came is not a request."""
    return Refusal(status, f"Farebox could not read this request: {why or 'it is not HTTP/1.1'}.")


def internal() -> Refusal:
    """500: a defect of Farebox."""
    return Refusal(
        500, "Farebox failed on this call; its log says why.", type="server_error", code="farebox_error", retry=None
    )


def shutting_down() -> Refusal:
    """503: this replica takes no new calls."""
    return Refusal(503, "Farebox is shutting down.", type="server_error", code="shutting_down", retry=True)


def journal_unwritable() -> Refusal:
    """503: a call that cannot be recorded is not sent."""
    return Refusal(
        503, "Farebox cannot write its journal and takes no calls it could not account for.", type="server_error",
        code="journal_unwritable", retry=True,
    )  # fmt: skip
