"""Ownership: which routes make, name and list the objects that the upstream keeps. Pure tables.

One account at the upstream stands behind all keys that Farebox issued, so what keeps their teams apart is here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from billing.charges import Made
from proxy import endpoints
from proxy.asked import Asked, printable
from proxy.endpoints import Endpoint
from proxy.errors import Refusal

COLLECTIONS: Mapping[str, Refusal] = {
    route: Refusal(404, message, code=code, param=param)
    for route, message, code, param in (
        ("/v1/files", "No such File object: {id}", None, "id"),
        ("/v1/uploads", "No such Upload object: {id}", None, "id"),
        ("/v1/batches", "No batch found with id '{id}'.", None, None),
        ("/v1/fine_tuning/jobs", "Could not find fine tune: {id}", "fine_tune_not_found", "fine_tune_id"),
        ("/v1/responses", "Response with id '{id}' not found.", None, None),
        ("/v1/chat/completions", "Chat completion with id '{id}' not found.", None, None),
        ("/v1/conversations", "Conversation with id '{id}' not found.", None, None),
        ("/v1/vector_stores", "Vector store with id '{id}' not found.", None, None),
        ("/v1/containers", "Container with id '{id}' not found.", None, None),
        ("/v1/assistants", "No assistant found with id '{id}'.", None, None),
        ("/v1/threads", "No thread found with id '{id}'.", None, None),
        ("/v1/skills", "Skill with id '{id}' not found.", None, None),
        ("/v1/videos", "Video with id '{id}' not found.", None, None),
        ("/v1/videos/characters", "Character with id '{id}' not found.", None, None),
        ("/v1/evals", "Eval with id '{id}' not found.", None, None),
        ("/v1/agents", "Agent with id '{id}' not found.", None, None),
        ("/v1/agents/sessions", "Session with id '{id}' not found.", None, None),
        ("/v1/agents/environments", "Environment with id '{id}' not found.", None, None),
        ("/v1/agents/environments/templates", "Template with id '{id}' not found.", None, None),
        ("/v1/agents/automations", "Automation with id '{id}' not found.", None, None),
        ("/v1/vaults", "Vault with id '{id}' not found.", None, None),
        ("/v1/audio/voices", "Voice with id '{id}' not found.", None, None),
        ("/v1/audio/voice_consents", "Voice consent with id '{id}' not found.", None, None),
        ("/v1/chatkit/threads", "Thread with id '{id}' not found.", None, None),
        ("/v1/live/sessions", "Session with id '{id}' not found.", None, None),
    )
}
"""What is owned, by the route that lists or makes it; all below `{id}` belongs with it. And how OpenAI says that there
is none of that id (for files, batches, jobs, responses, assistants and threads as its errors are known to read)."""

SHARED = (
    "/v1/models",  # a fine-tuned model's name tells of no team; a key's own list of models says which it may use
    "/v1/fine_tuning/checkpoints",  # named by models, and for administrators
    "/v1/realtime/calls",  # refused for issued keys, or allowed by the operator for all; ids come by webhook, too
    "/v1/chatkit/sessions",  # the same
    "/v1/safety/alerts",
    "/v1/safety/cases",
    "/v1/webhook_endpoints",
    "/v1/organization",
    "/v1/projects",
)
"""Routes with ids of things that are the account's and nobody's own."""

_ALSO_MAKE: Mapping[str, tuple[str, ...]] = {
    "/v1/responses/compact": ("id",),
    "/v1/threads/runs": ("thread_id",),
    "/v1/videos/edits": ("id",),
    "/v1/videos/extensions": ("id",),
    "/v1/videos/{id}/remix": ("id",),
}
"""POSTs elsewhere than on a collection that make something, and where their answers say its id."""

_PARTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "/v1/uploads": (("file", "id"),),
    "/v1/batches": (("output_file_id",), ("error_file_id",)),
    "/v1/fine_tuning/jobs": (("result_files", "*"),),
    "/v1/responses": (("output", "*", "container_id"), ("output", "*", "environment", "container_id")),
    "/v1/agents/sessions": (("environment", "id"),),
}
"""What comes of an object by itself, and where the object says so; `*` is every member of a list."""

_TELL_PARTS = frozenset({"", "/{id}", "/{id}/cancel", "/{id}/complete", "/{id}/pause", "/{id}/resume"})
"""The routes of a collection whose answers are its objects, or a list of them."""

_UNREFERRING = frozenset(
    {"/v1/files", "/v1/uploads/{id}/parts", "/v1/audio/transcriptions", "/v1/audio/translations", "/v1/audio/voices",
     "/v1/audio/voice_consents"}
)  # fmt: skip
"""Routes that take uploads and nothing that refers to an object: their bodies may be of any size."""

_ANY = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Named:
    """An object that a request names. `collection` is its kind's, or "" where the kind is not told."""

    collection: str
    id: str
    param: str | None = None

    def missing(self) -> Refusal:
        """What is answered where there is no such object, as far as its caller may know."""
        shown = printable(self.id)
        if self.param == "previous_response_id":
            return Refusal(
                404, f"Previous response with id '{shown}' not found.", code="previous_response_not_found",
                param=self.param,
            )  # fmt: skip
        words = COLLECTIONS.get(self.collection) or Refusal(404, "No such object: {id}")
        return Refusal(404, words.message.replace("{id}", shown), code=words.code, param=self.param or words.param)


def row_of(method: str, path: str) -> Endpoint:
    """The row that says what a path names: HEAD and OPTIONS name what GET does."""
    return endpoints.find("GET" if method in {"HEAD", "OPTIONS"} else method, path)


def addressed(row: Endpoint, path: str) -> Named | None:
    """The owned object that a path names, or in which what it names is."""
    collection, found, _ = row.template.partition("/{id}")
    if not found or collection not in COLLECTIONS:
        return None
    return Named(collection, endpoints.plain(path).split("/")[collection.count("/") + 1])


def lists(row: Endpoint) -> bool:
    """Whether an answer lists owned objects."""
    return row.method == "GET" and row.template in COLLECTIONS


def may_refer(row: Endpoint) -> bool:
    """Whether a body may name objects of which the path says nothing."""
    return row.method not in {"GET", "HEAD", "OPTIONS", "DELETE"} and row.template not in _UNREFERRING


def makes(row: Endpoint, asked: Asked) -> tuple[str, ...] | None:
    """Where an answer says the id of the object that the call made, if it makes one that is kept."""
    if row.method != "POST":
        return None
    if row.template == "/v1/chat/completions":
        return ("id",) if asked.store or not asked.readable else None
    if row.template == "/v1/responses" and asked.store is False:
        return None
    return _ALSO_MAKE.get(row.template) or (("id",) if row.template in COLLECTIONS else None)


def mark(row: Endpoint, asked: Asked) -> bytes:
    """What stands in the payload that tells of objects, beyond what a flavour reads of it anyway; empty for none."""
    made = makes(row, asked)
    if row.flavour is None:
        return b'"id"' if made or _parts(row) else b""
    if made and made != ("id",):
        return b'"%s"' % made[0].encode()
    return b'"container_id"' if _parts(row) else b""


def told(row: Endpoint, asked: Asked, payload: bytes, own_id: str | None = None) -> tuple[Made, ...]:
    """The objects that an answer tells of: its marked payload, and the id of what it made where a flavour read it."""
    where = makes(row, asked)
    found = {ident: Made(ident) for ident in (_ids(own_id, ()) if where == ("id",) else ())}
    answered = _decoded(payload)
    wrapped = answered.get("response")
    whole = wrapped if isinstance(wrapped, dict) else answered
    found |= {ident: Made(ident) for ident in (_ids(whole, where) if where else ())}
    members = whole.get("data")
    for each in members if isinstance(members, list) else [whole]:
        for parent in _ids(each, ("id",)):
            for ident in (ident for path in _parts(row) for ident in _ids(each, path)):
                found.setdefault(ident, Made(ident, parent))
    return tuple(found.values())


def _decoded(payload: bytes) -> dict[str, Any]:
    try:
        return _ANY.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _parts(row: Endpoint) -> tuple[tuple[str, ...], ...]:
    collection = row.template.partition("/{id}")[0]
    return _PARTS.get(collection, ()) if row.template.removeprefix(collection) in _TELL_PARTS else ()


def _ids(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The ids at a path of an object."""
    if not path:
        if isinstance(value, str) and value and printable(value) == value:
            yield value
    elif path[0] == "*":
        for member in value if isinstance(value, list) else ():
            yield from _ids(member, path[1:])
    elif isinstance(value, dict):
        yield from _ids(value.get(path[0]), path[1:])
