"""The endpoint table: what each method and path of `/v1` costs, and how its usage is read.

A row says the operation (OpenTelemetry's `gen_ai.operation.name` where it has one), where the money is
(`Billing`) and, for rows whose answers can say it, the flavour of these. A route in no row is `unmetered`: relayed,
recorded with cost unknown, counted and alerted on, never silently free.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import unquote

from billing.meters.flavours import (
    CHAT,
    COMPLETIONS,
    DECISIONS,
    EMBEDDINGS,
    EVALUATIONS,
    IMAGES,
    RESPONSES,
    RUNS,
    SPEECH,
    TRANSCRIPTS,
    VIDEOS,
    Flavour,
)
from proxy.routes import ADMINISTRATION, FREE


class Billing(StrEnum):
    """Where an endpoint's cost is. `LATER`: the call starts work whose usage another answer tells; its own tells it
    sometimes (a streamed run)."""

    METERED = "metered"
    LATER = "later"
    FREE = "free"
    UNMETERED = "unmetered"


ADMINISTRATION_OPERATION = "administration"
"""Operation of the routes that administer an organization: not for keys that Farebox issues."""

BYPASS_OPERATION = "bypass"
"""Operation of the routes that let a client talk to OpenAI past Farebox, which then sees no usage."""


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
        """Whether fields of the request's body are wanted, so that it must be read before it leaves."""
        return self.billing in {Billing.METERED, Billing.LATER} or self.names_model

    @property
    def by_request(self) -> bool:
        """Whether the price depends on fields of the request (`proxy.forms`), from JSON or a form."""
        return self.flavour is not None and self.flavour.by_request


def _metered(path: str, operation: str, flavour: Flavour, *, usage_on_request: bool = False) -> Endpoint:
    return Endpoint("POST", path, operation, Billing.METERED, flavour, usage_on_request)


def _later(path: str, operation: str, flavour: Flavour | None = None) -> Endpoint:
    return Endpoint("POST", path, operation, Billing.LATER, flavour)


def _unmetered(path: str, operation: str) -> Endpoint:
    return Endpoint("POST", path, operation, Billing.UNMETERED)


def _free(text: str, operation: str | None = None) -> Iterator[Endpoint]:
    """The rows of a text of routes. What they do is told by the method and the end of the path."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            *methods, path = line.split()
            for method in methods:
                yield Endpoint(method, "/v1" + path, operation or _does(method, path), Billing.FREE)


def _does(method: str, path: str) -> str:
    last = path.rpartition("/")[2]
    if path in {"/models", "/models/{id}"} and method == "GET":
        return "models"
    if method == "POST":
        return "cancel" if last == "cancel" else "update" if last == "{id}" else "create"
    return {"GET": "read", "DELETE": "delete"}[method]


TABLE: tuple[Endpoint, ...] = (
    _metered("/v1/chat/completions", "chat", CHAT, usage_on_request=True),
    _metered("/v1/completions", "text_completion", COMPLETIONS, usage_on_request=True),
    _metered("/v1/responses", "responses", RESPONSES),
    _metered("/v1/responses/compact", "compact", RESPONSES),
    _metered("/v1/embeddings", "embeddings", EMBEDDINGS),
    _metered("/v1/decisions", "decision", DECISIONS),
    _metered("/v1/images/generations", "image_generation", IMAGES),
    _metered("/v1/images/edits", "image_edit", IMAGES),
    _metered("/v1/images/variations", "image_variation", IMAGES),
    _metered("/v1/audio/transcriptions", "transcription", TRANSCRIPTS),
    _metered("/v1/audio/translations", "translation", TRANSCRIPTS),
    _metered("/v1/audio/speech", "speech", SPEECH),
    _metered("/v1/videos", "video", VIDEOS),
    _metered("/v1/videos/edits", "video", VIDEOS),
    _metered("/v1/videos/{id}/remix", "video", VIDEOS),
    _metered("/v1/fine_tuning/alpha/graders/run", "grader", EVALUATIONS),
    # What they use is known when the work is done.
    _later("/v1/batches", "batch"),
    _later("/v1/fine_tuning/jobs", "fine_tuning"),
    _later("/v1/evals/{id}/runs", "evaluation", EVALUATIONS),
    _later("/v1/threads/runs", "run", RUNS),
    _later("/v1/threads/{id}/runs", "run", RUNS),
    _later("/v1/threads/{id}/runs/{id}/submit_tool_outputs", "run", RUNS),
    _later("/v1/videos/extensions", "video"),  # its `seconds` are those of the film it extends, too
    _later("/v1/containers", "container"),
    _later("/v1/agents/environments", "container"),
    _later("/v1/agents/sessions", "agent"),
    _later("/v1/agents/sessions/{id}/events", "agent"),
    _later("/v1/agents/automations/{id}/invocations", "agent"),
    # What they use never passes here.
    _unmetered("/v1/realtime/client_secrets", BYPASS_OPERATION),
    _unmetered("/v1/realtime/translations/client_secrets", BYPASS_OPERATION),
    _unmetered("/v1/realtime/sessions", BYPASS_OPERATION),
    _unmetered("/v1/realtime/transcription_sessions", BYPASS_OPERATION),
    _unmetered("/v1/realtime/calls", BYPASS_OPERATION),
    _unmetered("/v1/realtime/calls/{id}/accept", BYPASS_OPERATION),
    _unmetered("/v1/live/sessions", BYPASS_OPERATION),
    _unmetered("/v1/live/sessions/{id}/accept", BYPASS_OPERATION),
    _unmetered("/v1/live/sessions/{id}/fork", BYPASS_OPERATION),
    _unmetered("/v1/chatkit/sessions", BYPASS_OPERATION),
    # No source says what it costs.
    _unmetered("/v1/content_provenance_checks", "content_provenance_check"),
    Endpoint("POST", "/v1/moderations", "moderation", Billing.FREE, names_model=True),
    *_free("POST /responses/input_tokens", "input_tokens"),
    *_free(FREE),
    *_free(ADMINISTRATION, ADMINISTRATION_OPERATION),
)

COSTLY = tuple(row for row in TABLE if row.billing is not Billing.FREE)
"""The rows that cost something, wherever that is known."""


class _Node:
    """A segment of the table's paths: what may follow it, and the rows that end there by their method."""

    __slots__ = ("after", "rows")

    def __init__(self) -> None:
        self.after: dict[str, _Node] = {}
        self.rows: dict[str, Endpoint] = {}

    def find(self, method: str, parts: list[str], at: int = 0) -> Endpoint | None:
        """The row for the rest of a path; a segment's own name before `{id}`."""
        if at == len(parts):
            return self.rows.get(method)
        for segment in (parts[at], "{id}"):
            node = self.after.get(segment)
            if node is not None and (row := node.find(method, parts, at + 1)) is not None:
                return row
        return None


def _tree(table: tuple[Endpoint, ...]) -> _Node:
    root = _Node()
    for row in table:
        node = root
        for segment in row.template.split("/")[1:]:
            node = node.after.setdefault(segment, _Node())
        node.rows[row.method] = row
    return root


_TREE = _tree(TABLE)


@lru_cache(maxsize=1024)
def find(method: str, path: str) -> Endpoint:
    """The row for a method and a path (without its query), however it is spelled."""
    meant = plain(path)
    if row := _TREE.find(method, meant.split("/")[1:]):
        return row
    template = template_of(meant)
    if method in {"HEAD", "OPTIONS"}:
        return Endpoint(method, template, "read", Billing.FREE)
    return Endpoint(method, template, "unmetered", Billing.UNMETERED)


def plain(path: str) -> str:
    """The path that is meant by a spelling of it.

    OpenAI's front end may well read `/v1//chat%2Fcompletions/` as the plain path, so Farebox does too: a spelling
    must not make a call free, nor open a door.
    """
    return "/" + "/".join(part for part in unquote(path).split("/") if part)


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
