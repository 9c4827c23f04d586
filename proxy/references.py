"""References: the objects that a request's body names. Pure; read only where teams are kept apart.

What counts is what the upstream may understand, not what is well-formed: a member that stands twice counts twice, and
what cannot be read is not let through.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from proxy import forms
from proxy.ownership import Named

FIELDS: Mapping[str, str] = {
    "previous_response_id": "/v1/responses",
    "comparison_response_id": "/v1/responses",
    "response_id": "/v1/responses",
    "conversation": "/v1/conversations",
    "conversation_id": "/v1/conversations",
    "input_file_id": "/v1/files",
    "training_file": "/v1/files",
    "validation_file": "/v1/files",
    "file_id": "/v1/files",
    "file_ids": "/v1/files",
    "vector_store_id": "/v1/vector_stores",
    "vector_store_ids": "/v1/vector_stores",
    "container": "/v1/containers",
    "container_id": "/v1/containers",
    "assistant_id": "/v1/assistants",
    "thread_id": "/v1/threads",
    "skill_id": "/v1/skills",
    "video": "/v1/videos",
    "characters": "/v1/videos/characters",
    "agent_id": "/v1/agents",
    "session_id": "/v1/agents/sessions",
    "environment_id": "/v1/agents/environments",
    "environment_template_id": "/v1/agents/environments/templates",
    "vault_ids": "/v1/vaults",
}
"""Members that name objects, wherever they stand: by an id, a list of ids, or objects with an `id`."""

_SAYS_ID_BY_TYPE = {"file_id": "/v1/files"}
"""Objects whose `type` says that their `id` is one of these (an evaluation's source)."""

FREE_FORM = frozenset(
    {"metadata", "attributes", "parameters", "input_schema", "schema", "json_schema", "headers", "annotations",
     "results", "item", "sample"}
)  # fmt: skip
"""Members whose content is the app's own, or what an earlier answer said: names in it refer to nothing."""

_NAMED_IN = re.compile(rb'"(?:%s)"' % b"|".join(name.encode() for name in FIELDS))
_ESCAPED_ASCII = re.compile(rb"\\u00[2-7]")
_PART = re.compile(
    rb'content-disposition:[^\r\n]*?\bname="?([^"\r\n;]*)[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n', re.IGNORECASE
)
"""The head of a form's part: read more leniently than a form is, so that none is missed."""

_IN_BRACKETS = re.compile(r"\[([^\]]+)\]")


class _Pairs(list[tuple[str, Any]]):
    """An object's members, all of them, in their order."""


class Unreadable(Exception):
    """What a body names cannot be told."""


def named(content_type: str | None, body: bytes) -> list[Named]:
    """The objects that a whole body names. Raises Unreadable."""
    if forms.is_form(content_type):
        return list(_in_form(body))
    if not body:
        return []
    if not body.lstrip(b"\t\n\r ").startswith(b"{") or b"\0" in body:  # NULs: another coding than UTF-8
        raise Unreadable
    if not _NAMED_IN.search(body) and not _ESCAPED_ASCII.search(body):
        return []
    try:
        return list(_in(json.loads(body, object_pairs_hook=_Pairs)))
    except (ValueError, RecursionError):
        raise Unreadable from None


def _in_form(body: bytes) -> Iterator[Named]:
    """A form's fields: `file_id`, `input_reference[file_id]`, `file_ids[]`, `video[id]`; JSON in a field, too."""
    for head in _PART.finditer(body):
        if b"filename=" in head[0].lower():
            continue
        field = head[1].decode("utf-8", "replace")
        value = body[head.end() : (end if (end := body.find(b"\n--", head.end())) >= 0 else len(body))].strip()
        said = [name for name in (field.partition("[")[0], *_IN_BRACKETS.findall(field)) if name in FIELDS]
        members: Any = value.decode("utf-8", "replace")
        if value.startswith((b"{", b"[")):
            try:
                members = json.loads(value, object_pairs_hook=_Pairs)
            except (ValueError, RecursionError):
                raise Unreadable from None
        yield from _of(said[-1], members) if said else ()
        yield from _in(members)


def _in(value: Any) -> Iterator[Named]:
    if isinstance(value, _Pairs):
        kinds = {kind for name, kind in value if name == "type" and isinstance(kind, str)}
        for name, member in value:
            if name in FREE_FORM:
                continue
            if name in FIELDS:
                yield from _of(name, member)
            if name == "id" and (said := kinds & _SAYS_ID_BY_TYPE.keys()) and isinstance(member, str):
                yield Named(_SAYS_ID_BY_TYPE[said.pop()], member)
            yield from _in(member)
    elif isinstance(value, list):
        for member in value:
            yield from _in(member)


def _of(name: str, value: Any) -> Iterator[Named]:
    """The objects in a member that names some."""
    if isinstance(value, _Pairs):
        value = [member for inner, member in value if inner == "id"]
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, _Pairs):
            yield from _of(name, each)
        elif isinstance(each, str) and each and not (name == "skill_id" and not each.startswith("skill_")):
            yield Named(FIELDS[name], each, name)
