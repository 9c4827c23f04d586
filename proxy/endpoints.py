"""The endpoint table: what each method and path of `/v1` costs, and how its usage is read.

A row says the operation (OpenTelemetry's `gen_ai.operation.name` where it has one), where the money is
(`Billing`) and, for metered rows, the flavour of its answers. A route in no row is `unmetered`: relayed, recorded
with cost unknown, counted and alerted on, never silently free.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote

from billing.meters.flavours import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, Flavour


class Billing(StrEnum):
    """Where an endpoint's cost is."""

    METERED = "metered"
    FREE = "free"
    UNMETERED = "unmetered"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row.

    `usage_on_request`: its streams report usage only when `stream_options.include_usage` asks. `names_model`: its
    body is read for the model's sake though it costs nothing.
    """

    method: str
    template: str
    operation: str
    billing: Billing
    flavour: Flavour | None = None
    usage_on_request: bool = False
    names_model: bool = False

    @property
    def reads_body(self) -> bool:
        """Whether fields of the request's JSON body are wanted, so that it must be read before it leaves."""
        return self.billing is Billing.METERED or self.names_model


def _metered(path: str, operation: str, flavour: Flavour, *, usage_on_request: bool = False) -> Endpoint:
    return Endpoint("POST", path, operation, Billing.METERED, flavour, usage_on_request)


def _free(method: str, path: str, operation: str) -> Endpoint:
    return Endpoint(method, path, operation, Billing.FREE)


TABLE: tuple[Endpoint, ...] = (
    _metered("/v1/chat/completions", "chat", CHAT, usage_on_request=True),
    _metered("/v1/completions", "text_completion", COMPLETIONS, usage_on_request=True),
    _metered("/v1/responses", "responses", RESPONSES),
    _metered("/v1/responses/compact", "compact", RESPONSES),
    _metered("/v1/embeddings", "embeddings", EMBEDDINGS),
    Endpoint("POST", "/v1/moderations", "moderation", Billing.FREE, names_model=True),
    _free("POST", "/v1/responses/input_tokens", "input_tokens"),
    # What was billed when it was made is not billed again when it is read.
    _free("GET", "/v1/chat/completions", "read"),
    _free("GET", "/v1/chat/completions/{id}", "read"),
    _free("POST", "/v1/chat/completions/{id}", "update"),
    _free("DELETE", "/v1/chat/completions/{id}", "delete"),
    _free("GET", "/v1/chat/completions/{id}/messages", "read"),
    _free("GET", "/v1/responses/{id}", "read"),
    _free("DELETE", "/v1/responses/{id}", "delete"),
    _free("POST", "/v1/responses/{id}/cancel", "cancel"),
    _free("GET", "/v1/responses/{id}/input_items", "read"),
    _free("GET", "/v1/models", "models"),
    _free("GET", "/v1/models/{id}", "models"),
    _free("DELETE", "/v1/models/{id}", "delete"),
)

_EXACT = {(row.method, row.template): row for row in TABLE if "{" not in row.template}
_PATTERNS = [
    (row.method, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(row.template))), row)
    for row in TABLE
    if "{" in row.template
]  # fmt: skip


@lru_cache(maxsize=1024)
def find(method: str, path: str) -> Endpoint:
    """The row for a method and a path (without its query).

    OpenAI's front end may well read `/v1//chat%2Fcompletions/` as the plain path, so the table does too: a
    spelling must not make a call free.
    """
    plain = "/" + "/".join(part for part in unquote(path).split("/") if part)
    if row := _EXACT.get((method, plain)):
        return row
    for row_method, pattern, row in _PATTERNS:
        if row_method == method and pattern.fullmatch(plain):
            return row
    if method in {"HEAD", "OPTIONS"}:
        return Endpoint(method, template_of(plain), "read", Billing.FREE)
    return Endpoint(method, template_of(plain), "unmetered", Billing.UNMETERED)


def climbs(path: str) -> bool:
    """Whether a path has `.` or `..` segments: where it leads is the upstream's to say, so no row can."""
    return not {".", ".."}.isdisjoint(unquote(path).split("/"))


def template_of(path: str) -> str:
    """A path with what looks like an id, or cannot be shown, taken out, so that it can be a metric's label."""
    return "/".join("{id}" if _looks_like_id(part) else part for part in path.split("/"))


def _looks_like_id(part: str) -> bool:
    return (
        len(part) > 24 or not part.isprintable() or (len(part) > 2 and any(character.isdigit() for character in part))
    )
