"""Permissions: what a caller with a key that Farebox issued may ask for. One upstream account stands behind them all.

Any other key is the upstream's own: what it may do is the upstream's to say.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from billing.keys import allows_endpoint, allows_model
from proxy.endpoints import TABLE, Billing, Endpoint, plain
from proxy.errors import Refusal, endpoint_not_allowed, model_not_allowed, route_not_allowed
from proxy.identity import Caller

_OPERATIONS = frozenset(row.operation for row in TABLE)
_ASKS_NOTHING = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods that make no model work."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A route, with all below it, that no issued key may use unless FAREBOX_ALLOW_ROUTES says so; `methods` are all
    where none is named."""

    route: str
    why: str
    methods: frozenset[str] = frozenset()


_HANDS_OUT = "it hands out a key that works without Farebox"
_MEDIA = "what is said there goes past Farebox"
_ACCOUNT = "it is about the account that all keys share"

CLOSED: tuple[Closed, ...] = (
    Closed("/v1/realtime/client_secrets", _HANDS_OUT),
    Closed("/v1/realtime/translations/client_secrets", _HANDS_OUT),
    Closed("/v1/realtime/sessions", _HANDS_OUT),
    Closed("/v1/realtime/transcription_sessions", _HANDS_OUT),
    Closed("/v1/chatkit/sessions", _HANDS_OUT),
    Closed("/v1/realtime/calls", _MEDIA),
    Closed("/v1/realtime/translations/calls", _MEDIA),
    Closed("/v1/live/sessions", _MEDIA, frozenset({"POST"})),  # its WebSocket is a GET, and passes Farebox
    Closed("/v1/organization", _ACCOUNT),
    Closed("/v1/projects", _ACCOUNT),
    Closed("/v1/webhook_endpoints", _ACCOUNT),
    Closed("/v1/dashboard", _ACCOUNT),  # the account's bills and usage, as older clients ask for them
    Closed("/v1/usage", _ACCOUNT),
)


def may_call(caller: Caller, endpoint: Endpoint, path: str, allowed: tuple[str, ...]) -> Refusal | None:
    """Why a caller may not use an endpoint, if it may not; `allowed` is FAREBOX_ALLOW_ROUTES. Decided by the head."""
    key = caller.issued
    if key is None:
        return None
    if not allows_endpoint(key, endpoint.operation, endpoint.template):
        return endpoint_not_allowed(key.name, endpoint.method, endpoint.template)
    return refused_for_issued_keys(endpoint.method, path, allowed)


def may_use(caller: Caller, endpoint: Endpoint, model: str | None) -> Refusal | None:
    """Why a caller may not use a model, if it may not; decided when the body was read.

    A key that names models is refused where its model cannot be seen: in a body that cannot be read, in a file (as
    of a batch), or on a route that no table knows and that may make a model work.
    """
    key = caller.issued
    if key is None or not key.models:
        return None
    unseen = endpoint.billing is Billing.UNMETERED and endpoint.method not in _ASKS_NOTHING
    if not (endpoint.reads_body or unseen) or allows_model(key, model):
        return None
    return model_not_allowed(key.name, model)


@lru_cache(maxsize=1024)
def refused_for_issued_keys(method: str, path: str, allowed: tuple[str, ...] = ()) -> Refusal | None:
    """Why no issued key may use a route, if so, however it is spelled."""
    meant = _meant(path)
    for closed in CLOSED:
        if _below(meant, closed.route) and (not closed.methods or method in closed.methods):
            if any(_below(meant, _meant(route)) for route in allowed):
                return None
            return route_not_allowed(closed.route, closed.why)
    return None


def unknown_endpoint(pattern: str) -> str | None:
    """What is wrong with an endpoint of a key's terms, if anything: it is an operation, or a path under /v1."""
    prefix = pattern.removesuffix("*")
    if pattern.startswith("/v1/") or (prefix == pattern and pattern in _OPERATIONS):
        return None
    if prefix != pattern and any(operation.startswith(prefix) for operation in _OPERATIONS):
        return None
    return (
        f"{pattern}: endpoints are paths such as /v1/chat/completions or operations ({', '.join(sorted(_OPERATIONS))})"
    )


def _meant(path: str) -> str:
    """The route that a path may lead to at its most lenient reading: what is closed stays so in any spelling."""
    meant, spelled = plain(path), ""
    while meant != spelled:
        meant, spelled = plain(meant), meant
    return re.sub(";[^/]*", "", meant).lower()


def _below(path: str, route: str) -> bool:
    return path == route or path.startswith(f"{route}/")
