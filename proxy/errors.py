"""Errors that Farebox answers itself, in OpenAI's shape so that every SDK understands them."""

from dataclasses import dataclass
from math import ceil

import msgspec

from billing.budgets import Shortage
from billing.definitions import moment_shown
from billing.limits import Measure, Standing, Wait
from billing.money import usd_from_pico


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of Farebox's own. `retry` tells SDKs whether trying again can help (`x-should-retry`), `more` are
    headers of this one."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    retry: bool | None = False
    more: tuple[tuple[bytes, bytes], ...] = ()

    def body(self) -> bytes:
        """The JSON body: `{"error": {"message", "type", "param", "code"}}`."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return msgspec.json.format(msgspec.json.encode({"error": error}), indent=2) + b"\n"

    def event(self, operation: str) -> bytes:
        """The error as an event of a stream, as the API of that operation tells it."""
        if operation == "responses":
            told = {"type": "error", "code": self.code, "message": self.message, "param": self.param}
            return b"event: error\ndata: " + msgspec.json.encode(told) + b"\n\n"
        return b"data: " + msgspec.json.encode(msgspec.json.decode(self.body())) + b"\n\n"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that go with it."""
        headers = [(b"Content-Type", b"application/json"), *self.more]
        if self.retry is not None:
            headers.append((b"x-should-retry", b"true" if self.retry else b"false"))
        return headers


def key_not_issued(shown: str, why: str = "This Farebox accepts only keys that it issued.") -> Refusal:
    """401: this Farebox only accepts keys of its own, or does not know this one. Only a mask of it is `shown`."""
    return Refusal(401, f"Incorrect API key provided: {shown}. {why}", code="invalid_api_key")


def key_out_of_place(place: str) -> Refusal:
    """401: a Farebox key stands where it would be passed on."""
    return Refusal(
        401,
        f"A Farebox key was found in {place}. It goes in the header Authorization: Bearer and nowhere else; the call "
        "was not passed on.",
        code="invalid_api_key",
    )


def upstream_key_missing() -> Refusal:
    """503: there is no key to swap a Farebox key for."""
    return Refusal(
        503,
        "This Farebox has no key of its own for the upstream: set OPENAI_API_KEY where it runs.",
        type="server_error",
        code="upstream_key_missing",
    )


def model_not_allowed(key: str, model: str | None) -> Refusal:
    """403: the key's models do not include this one."""
    asked = f"use the model '{model}'" if model else "make a call of which Farebox cannot read the model"
    return Refusal(403, f"The key '{key}' is not allowed to {asked}.", code="model_not_allowed")


def endpoint_not_allowed(key: str, method: str, path: str) -> Refusal:
    """403: the key's endpoints do not include this one."""
    return Refusal(403, f"The key '{key}' is not allowed to use {method} {path}.", code="endpoint_not_allowed")


def route_not_allowed(path: str, why: str) -> Refusal:
    """403: what no key that Farebox issued may do, because one upstream account stands behind them all."""
    return Refusal(
        403,
        f"Farebox refuses {path} for keys that it issued: {why}. FAREBOX_ALLOW_ROUTES can allow it.",
        code="route_not_allowed",
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


def owners_unknown() -> Refusal:
    """503: whose the named objects are cannot be read now, and they may be another team's."""
    return Refusal(
        503, "Farebox cannot read whose the objects of this call are: its database is away.", type="server_error",
        code="owners_unavailable", retry=True, more=_retry_after(BUDGET_RETRY_SECONDS),
    )  # fmt: skip


def names_unreadable(why: str) -> Refusal:
    """400: what a body names cannot be told, and it may name another team's objects."""
    return Refusal(
        400, f"Farebox keeps teams apart here and cannot read what this request names: {why}.", code="unreadable_body"
    )


def route_of_nobody(method: str, path: str) -> Refusal:
    """404: a route of which it is not known whose things it shows."""
    return Refusal(
        404,
        f"Unknown request URL: {method} {path}. Farebox keeps teams apart here and does not know whose things that "
        "route shows. FAREBOX_ALLOW_ROUTES can allow it.",
        code="unknown_url",
    )


def list_unreadable(source: str) -> Refusal:
    """502: a list that cannot be narrowed to what the caller may see."""
    return Refusal(
        502,
        f"Farebox keeps teams apart here and cannot read the list that {source} answered.",
        type="server_error",
        code="list_unreadable",
    )


BUDGET_RETRY_SECONDS = 1.0
"""When to try again where only other calls' holds stand in the way: nobody knows when they will have gone."""


def over_budget(shortage: Shortage, retry_after_seconds: float = BUDGET_RETRY_SECONDS) -> Refusal:
    """429: a hard budget has not enough left for what the call may cost. May be tried again only where nothing but
    other calls' holds stands in its way; and OpenAI's SDKs read that."""
    position = shortage.position
    budget, resets = position.budget, moment_shown(position.until)
    window = "in total" if budget.window == "total" else f"per {budget.window}"
    again = "Other calls hold what it needs; please try again shortly. " if shortage.only_holds else ""
    return Refusal(
        429,
        f"You exceeded the Farebox budget '{budget.name}' ({budget.scope}): limit ${usd_from_pico(budget.limit_pico)} "
        f"{window}, spent ${usd_from_pico(position.spent_pico)}, held for calls under way "
        f"${usd_from_pico(position.held_pico)}, this call may need ${usd_from_pico(shortage.ask_pico)}. "
        f"{again}{f'The budget resets at {resets}.' if resets else 'The budget does not reset.'}",
        type="insufficient_quota",
        code="project_spend_limit_exceeded",
        retry=shortage.only_holds,
        more=_retry_after(retry_after_seconds) if shortage.only_holds else (),
    )


def unbounded_call(open_ends: tuple[str, ...]) -> Refusal:
    """403: a hard budget covers the call, the policy is strict, and nothing bounds what the call can cost."""
    return Refusal(
        403,
        "Farebox cannot tell the most that this call may cost, and its hard budget admits only calls that it can: "
        f"{', '.join(open_ends) or 'nothing bounds it'}. Cap the output and send all of the input in the body.",
        code="budget_unbounded_call",
    )


def budget_spent() -> Refusal:
    """429: a stream under way has outgrown what was held for it, and FAREBOX_OVERRUN=cut."""
    return Refusal(
        429,
        "A Farebox budget of this call is spent; the answer ends here.",
        type="insufficient_quota",
        code="project_spend_limit_exceeded",
    )


def budget_unavailable(retry_after_seconds: float = 5.0) -> Refusal:
    """503: the budgets that this call counts on cannot be read, and FAREBOX_DATABASE_AWAY=refuse."""
    return Refusal(
        503,
        "Farebox cannot read the budgets of this call just now and is set to refuse it until it can.",
        type="server_error",
        code="budget_unavailable",
        retry=True,
        more=_retry_after(retry_after_seconds),
    )


_MEASURED = {
    Measure.REQUESTS: ("requests", "requests per min (RPM)", "The limit lets no requests through."),
    Measure.TOKENS: (
        "tokens",
        "tokens per min (TPM)",
        "The input or output tokens must be reduced in order to run successfully.",
    ),
    Measure.CONCURRENT: ("requests", "concurrent requests", "The limit lets no requests through."),
}
"""The type of the error, what the message calls a measure, and what to do about a call it can never let through."""


def rate_limited(wait: Wait) -> Refusal:
    """429 in the words of OpenAI's own: a rate limit lets the call through later, or never."""
    kind, called, remedy = _MEASURED[wait.measure]
    limit, where = wait.limit, f"Farebox limit '{wait.limit.name}' ({wait.limit.scope}) on {called}"
    allowed = {
        Measure.REQUESTS: limit.requests_per_minute,
        Measure.TOKENS: limit.tokens_per_minute,
        Measure.CONCURRENT: limit.concurrent_requests,
    }[wait.measure]
    at, seconds = wait.standing, wait.retry_after_seconds
    if seconds is None:
        message = f"Request too large for {where}: Limit {allowed}, Requested {wait.requested}. {remedy}"
    else:
        share = "" if at.limit == allowed else f" (this replica's share of {allowed})"
        message = (
            f"Rate limit reached for {where}: Limit {at.limit}{share}, Used {at.used}, Requested {wait.requested}. "
            f"Please try again in {duration(seconds)}."
        )
    headers = [pair for measure in _RATE_HEADERS if (standing := wait.standings.get(measure))
               for pair in _rate_headers(measure, standing)]  # fmt: skip
    return Refusal(
        429,
        message,
        type=kind,
        code="rate_limit_exceeded",
        retry=seconds is not None,
        more=(*headers, *(() if seconds is None else _retry_after(seconds))),
    )


_RATE_HEADERS = (Measure.REQUESTS, Measure.TOKENS)
"""What OpenAI has `x-ratelimit-…` headers of."""


def duration(seconds: float) -> str:
    """A time to wait as OpenAI writes it, rounded up to a millisecond: `12ms`, `9.816s`, `6m0s`, `1h0m0s`."""
    whole, thousandths = divmod(_milliseconds(seconds), 1000)
    if not whole and thousandths:
        return f"{thousandths}ms"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{thousandths:03d}".rstrip("0") if thousandths else ""
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}{fraction}s"


def _milliseconds(seconds: float) -> int:
    return ceil(round(seconds * 1000, 6))  # so that a float's last digit costs no millisecond


def _rate_headers(measure: Measure, at: Standing) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-ratelimit-limit-%s" % measure.encode(), b"%d" % at.limit),
        (b"x-ratelimit-remaining-%s" % measure.encode(), b"%d" % at.remaining),
        (b"x-ratelimit-reset-%s" % measure.encode(), duration(at.reset_seconds).encode()),
    )


def _retry_after(seconds: float) -> tuple[tuple[bytes, bytes], ...]:
    """At least a millisecond: SDKs take zero for nothing said."""
    return (b"retry-after-ms", b"%d" % max(1, _milliseconds(seconds))), (b"retry-after", b"%d" % max(1, ceil(seconds)))
