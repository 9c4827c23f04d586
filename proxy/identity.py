"""Identity: whose call this is. A key is known by its fingerprint; no secret is kept."""

import hashlib
from typing import Any

from billing.attribution import Attribution
from proxy import headers as http
from proxy.asked import Asked, printable
from proxy.errors import Refusal, key_not_issued
from proxy.headers import Headers

ISSUED_PREFIX = "fb-"
"""How keys that Farebox issues begin: they never reach the upstream."""

_TAG = b"x-farebox-tag-"
_TAGS_CEILING = 16


def fingerprint(key: str) -> str:
    """A key's name in the ledger: 12 hex digits of its SHA-256."""
    return f"fp_{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"


def key_of(headers: Headers) -> str | None:
    """The bearer token, or None."""
    value = http.find(headers, b"authorization")
    if value is None:
        return None
    scheme, _, token = value.decode("utf-8", "surrogateescape").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def refusal(headers: Headers, *, require_keys: bool) -> Refusal | None:
    """Why a call may not pass, if it may not."""
    key = key_of(headers)
    if key is not None and key.startswith(ISSUED_PREFIX):
        return key_not_issued(f"{ISSUED_PREFIX}…")
    if require_keys:
        return key_not_issued(_masked(key))
    return None


def attribute(headers: Headers, asked: Asked, metadata_tags: tuple[str, ...]) -> Attribution:
    """Who pays for a call: its key, OpenAI project and organisation, end user and tags."""
    key = key_of(headers)
    return Attribution(
        key=fingerprint(key) if key else None,
        project=_said(headers, b"openai-project"),
        organization=_said(headers, b"openai-organization"),
        user=asked.user,
        tags=_tags(headers, asked.metadata, metadata_tags),
    )


def _tags(headers: Headers, metadata: dict[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    tags = {name: printable(value) for name in names if isinstance(value := metadata.get(name), str)}
    for name, value in headers:
        if (lower := name.lower()).startswith(_TAG) and len(lower) > len(_TAG) and len(tags) < _TAGS_CEILING:
            tags[printable(lower[len(_TAG) :].decode("ascii", "replace"))] = printable(value.decode("utf-8", "replace"))
    return tags


def _said(headers: Headers, name: bytes) -> str | None:
    value = http.text(headers, name)
    return printable(value) if value else None


def _masked(key: str | None) -> str:
    return "none" if key is None else f"{printable(key[:3])}…"
