"""Identity: whose call this is. A key is known by its digest or its fingerprint; no secret is kept, and none that
Farebox issued is ever passed on."""

import hmac
from base64 import b64decode
from binascii import Error
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from billing import keys
from billing.attribution import Attribution
from billing.keys import Key, Name
from proxy import headers as http
from proxy.asked import Asked, printable
from proxy.errors import Refusal, key_not_issued, key_out_of_place, upstream_key_missing
from proxy.headers import Headers

_TAG = b"x-farebox-tag-"
_TAGS_CEILING = 16

_MASKED_FROM = 20
"""Of a shorter key, no last characters are shown: they would be too much of it."""

_ACCOUNT = frozenset({b"openai-project", b"openai-organization"})
"""Headers that choose within the account of the key they come with; with another account's key they choose wrongly."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys by digest, also those no longer in force, and names by what they name: of one revision of the registry."""

    by_digest: Mapping[str, Key] = field(default_factory=dict)
    names: Mapping[str, Name] = field(default_factory=dict)

    @classmethod
    def of(cls, issued: Iterable[Key], names: Iterable[Name]) -> "Keyring":
        """What is looked up in `Directory.all(Key)` and `Directory.all(Name)`."""
        return cls({key.digest: key for key in issued}, {name.id: name for name in names})

    def find(self, secret: str) -> Key | None:
        """The key of a secret. The time this takes says nothing about secrets that are not asked for: only digests
        are compared."""
        digest = keys.digest(secret)
        key = self.by_digest.get(digest)
        return key if key is not None and hmac.compare_digest(key.digest, digest) else None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `issued` is the key that Farebox issued, in whose place the upstream's own is sent; `fingerprint`
    is that of any other key. The rest is what the call is booked under."""

    issued: Key | None = None
    fingerprint: str | None = None
    key: str | None = None
    team: str | None = None
    project: str | None = None
    organization: str | None = None


def identify(
    headers: Headers, target: str, keyring: Keyring, now: datetime, *, require_keys: bool, upstream_key: str | None
) -> Caller | Refusal:
    """Who calls, or why they may not. `target` is the request's, with its query; `upstream_key` OPENAI_API_KEY."""
    secret = key_of(headers)
    issued = None
    if secret is not None and secret.startswith(keys.PREFIX):
        issued = keyring.find(secret)
        if issued is None:
            return key_not_issued(masked(secret), "Farebox did not issue it.")
        if not keys.in_force(issued, now):
            return key_not_issued(masked(secret), f"This key is {keys.state(issued, now)}.")
    if place := _misplaced(headers, target, swapped=issued is not None):
        return key_out_of_place(place)
    if issued is None and require_keys:
        return key_not_issued(masked(secret))
    if issued is not None and not upstream_key:
        return upstream_key_missing()
    return _caller(headers, keyring.names, issued, fingerprint(secret) if secret and issued is None else None)


def dead_key(headers: Headers, keyring: Keyring, now: datetime) -> Key | None:
    """The issued key of a call that is no longer in force."""
    secret = key_of(headers)
    issued = keyring.find(secret) if secret and secret.startswith(keys.PREFIX) else None
    return issued if issued is not None and not keys.in_force(issued, now) else None


def _caller(headers: Headers, names: Mapping[str, Name], issued: Key | None, known_by: str | None) -> Caller:
    """What operators say of a key counts before what its call says. A team is taken from the call's OpenAI project
    only with a key of OpenAI's, because then OpenAI checks that they belong together."""
    project, organization = _said(headers, b"openai-project"), _said(headers, b"openai-organization")
    of_project = names.get(project) if project else None
    if of_project is not None:
        project = of_project.name
    if issued is not None:
        return Caller(issued, None, issued.name, issued.team, issued.project or project, organization)
    named = names.get(known_by) if known_by else None
    if named is None:
        return Caller(None, known_by, known_by, of_project.team if of_project else None, project, organization)
    team = named.team or (of_project.team if of_project else None)
    return Caller(None, known_by, named.name, team, named.project or project, organization)


def attribute(headers: Headers, asked: Asked, caller: Caller, metadata_tags: tuple[str, ...]) -> Attribution:
    """Who pays for a call: its caller, the end user and tags. The key's own tags count before those of headers, and
    these before the body's."""
    tags = _tags(headers, asked.metadata, metadata_tags)
    return Attribution(
        key=caller.key,
        team=caller.team,
        project=caller.project,
        organization=caller.organization,
        user=asked.user,
        tags={**tags, **caller.issued.tags} if caller.issued else tags,
    )


def upstream_headers(headers: Headers, caller: Caller, upstream_key: str | None) -> list[tuple[bytes, bytes]]:
    """The headers with the upstream's key in the place of one that Farebox issued, and without the project and
    organisation that the app may name: its account is not the one behind that key. Otherwise as they are."""
    if caller.issued is None:
        return list(headers)
    kept = [header for header in headers if header[0].lower() not in _ACCOUNT]
    return http.replaced(kept, b"authorization", b"Bearer " + (upstream_key or "").strip().encode())


def fingerprint(key: str) -> str:
    """A key's name in the ledger: 12 hex digits of its SHA-256."""
    return f"fp_{keys.digest(key)[:12]}"


def key_of(headers: Headers) -> str | None:
    """The bearer token, or None."""
    value = http.find(headers, b"authorization")
    if value is None:
        return None
    scheme, _, token = value.decode("utf-8", "surrogateescape").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def masked(key: str | None) -> str:
    """As much of a key as may be shown: how it begins and, of a long one, its last four characters."""
    if key is None:
        return "none"
    return f"{printable(key[:3])}…{printable(key[-4:]) if len(key) >= _MASKED_FROM else ''}"


def _misplaced(headers: Headers, target: str, *, swapped: bool) -> str | None:
    """Where a secret of Farebox's stands that would be passed on. The first Authorization header is not, if swapped."""
    for name, value in headers:
        if b"fb-" in value and keys.SECRET.search(value):
            if swapped and name.lower() == b"authorization":
                swapped = False  # a second one is not what was identified
                continue
            return f"the header {printable(name.decode('ascii', 'replace'))}"
        if name.lower() == b"authorization" and keys.SECRET.search(_basic(value)):
            return "the header Authorization, as Basic"
    if ("fb-" in target or "%" in target) and keys.SECRET.search(unquote_to_bytes(_encodable(target))):
        return "the address"
    return None


def _basic(value: bytes) -> bytes:
    """What a Basic authorization says."""
    scheme, _, coded = value.partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return b64decode(coded)
    except Error:
        return b""


def _encodable(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _tags(headers: Headers, metadata: dict[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    tags = {name: printable(value) for name in names if isinstance(value := metadata.get(name), str)}
    for name, value in headers:
        if (lower := name.lower()).startswith(_TAG) and len(lower) > len(_TAG) and len(tags) < _TAGS_CEILING:
            tags[printable(lower[len(_TAG) :].decode("ascii", "replace"))] = printable(value.decode("utf-8", "replace"))
    return tags


def _said(headers: Headers, name: bytes) -> str | None:
    value = http.text(headers, name)
    return printable(value) if value else None
