"""Keys that Farebox issues: who a caller is, and what it may ask for. Only a digest of the secret is kept.

A key has one id and one name for its life. Rotating it gives it another secret; the old one may be kept in force for
a grace, as a key of its own whose id is that of the key, a dot, and more. Nothing is ever deleted: a key that was
revoked or has expired stays as what it was.
"""

import hashlib
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from billing.model_names import parse
from billing.windows import moment

PREFIX = "fb-"
"""How issued keys begin."""

SECRET_BYTES = 32
"""Of chance, in a secret: 43 characters after the prefix."""

SECRET = re.compile(PREFIX.encode() + rb"[A-Za-z0-9_-]{43}")
"""What a secret looks like, wherever it stands."""

NAME_CEILING, VALUE_CEILING, TAGS_CEILING, LIST_CEILING = 100, 256, 16, 100

_PER_MINUTE_CEILING = 10**12
_SPAN = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_SPAN_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_MISTAKEN = (PREFIX, "sk-", "fp_")
"""How keys and fingerprints begin: a name that does is a mistake, and maybe a secret."""


@dataclass(frozen=True, slots=True)
class Key:
    """An issued key. `digest` is the SHA-256 of the secret in hex, `hint` its last four characters, `created_at` when
    the secret was made.

    `models` and `endpoints`, where they are not empty, are all it may ask for. `requests_per_minute` and
    `tokens_per_minute` limit it. It is in force until it is revoked or `expires_at` has come.
    """

    id: str
    name: str
    digest: str
    hint: str
    created_at: datetime
    team: str | None = None
    project: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Name:
    """What people call a fingerprint (`fp_…`) or an OpenAI project (`proj_…`), and whom its calls are booked to."""

    id: str
    name: str
    team: str | None = None
    project: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What is decided about a key before it is made; the fields are those of `Key`, the names of tags in lower case.
    Raises ValueError with a sentence for what cannot be kept or shown."""

    name: str
    team: str | None = None
    project: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", {tag.lower(): value for tag, value in self.tags.items()})
        _check_name(self.name)
        for what, value in (("team", self.team), ("project", self.project)):
            if value is not None:
                _check("a " + what, value)
        if len(self.tags) > TAGS_CEILING or max(len(self.models), len(self.endpoints)) > LIST_CEILING:
            raise ValueError(f"at most {TAGS_CEILING} tags, {LIST_CEILING} models and {LIST_CEILING} endpoints")
        for tag, value in self.tags.items():
            _check("a tag's name", tag)
            if value:
                _check(f"the tag {tag}", value)
        for pattern in (*self.models, *self.endpoints):
            _check("a model or endpoint", pattern)
            if "*" in pattern[:-1]:
                raise ValueError(f"{pattern}: a * stands at the end only")
        for per_minute in (self.requests_per_minute, self.tokens_per_minute):
            if per_minute is not None and not 1 <= per_minute <= _PER_MINUTE_CEILING:
                raise ValueError("requests and tokens per minute are whole numbers from 1 on")


def issue(terms: Terms, existing: Iterable[Key], *, ident: str, entropy: bytes, now: datetime) -> tuple[Key, str]:
    """A new key and its secret, made of SECRET_BYTES of chance; only the caller ever sees it.

    Raises ValueError where a key of that name is in force already, or the new one would have expired.
    """
    if any(key.name == terms.name and in_force(key, now) for key in existing):
        raise ValueError(f"a key named {terms.name} is in force; revoke or rotate it, or choose another name")
    if terms.expires_at is not None and terms.expires_at <= now:
        raise ValueError("a key cannot expire before it is made")
    secret = _secret(entropy)
    key = Key(ident, digest=digest(secret), hint=secret[-4:], created_at=now, **asdict(terms))
    return key, secret


def rotate(key: Key, *, entropy: bytes, now: datetime, grace: timedelta = timedelta()) -> tuple[Sequence[Key], str]:
    """Give a key another secret: the definitions to put in force, the key first, and the secret.

    With a grace the old secret stays in force that long, but never longer than it would have been. It has no limits
    of its own: those of the key's name count both. Raises ValueError for a key that is not in force.
    """
    if not in_force(key, now):
        raise ValueError(f"the key {key.name} is {state(key, now)}: create another")
    if "." in key.id:
        raise ValueError(f"{key.id} is an old secret of {key.name}: rotate {key.id.partition('.')[0]}")
    secret = _secret(entropy)
    renewed = replace(key, digest=digest(secret), hint=secret[-4:], created_at=now)
    if grace <= timedelta():
        return (renewed,), secret
    ends = now + grace if key.expires_at is None else min(now + grace, key.expires_at)
    old = replace(
        key, id=f"{key.id}.{key.digest[:8]}", expires_at=ends, requests_per_minute=None, tokens_per_minute=None
    )
    return (renewed, old), secret


def revoke(key: Key, existing: Iterable[Key], now: datetime) -> list[Key]:
    """Take a key out of force for good, with the old secrets of it that are in their grace: the definitions to put in
    force. Empty where it was revoked before."""
    return [
        replace(each, revoked_at=now)
        for each in existing
        if (each.id == key.id or each.id.startswith(f"{key.id}.")) and each.revoked_at is None
    ]


def find(existing: Iterable[Key], named: str, now: datetime) -> Key | None:
    """The key of an id, or else the one in force of a name."""
    keys = list(existing)
    by_id = next((key for key in keys if key.id == named), None)
    return by_id or next((key for key in keys if key.name == named and "." not in key.id and in_force(key, now)), None)


def in_force(key: Key, now: datetime) -> bool:
    """Whether a key admits calls."""
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)


def state(key: Key, now: datetime) -> str:
    """`in force`, `revoked` or `expired`."""
    return "in force" if in_force(key, now) else "expired" if key.revoked_at is None else "revoked"


def digest(secret: str) -> str:
    """What is kept of a secret: the hex of its SHA-256. A secret is 256 bits of chance, so it needs no salt."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def allows_model(key: Key, model: str | None) -> bool:
    """Whether a key may ask for a model: named itself, or by the model that it is a snapshot or a fine-tune of, or by
    how one of these begins (`gpt-5*`). A key that names models may not ask for one that nobody could read."""
    if not key.models:
        return True
    if model is None:
        return False
    name = parse(model)
    return any(_fits(pattern, each) for each in (model, name.base, name.base_model) for pattern in key.models)


def allows_endpoint(key: Key, *names: str) -> bool:
    """Whether a key may use an endpoint, by any of its names: its operation, its path's template."""
    return not key.endpoints or any(_fits(pattern, name) for name in names for pattern in key.endpoints)


def shown(key: Key, now: datetime) -> dict[str, Any]:
    """A key as people see it: all but its digest."""
    return {
        "id": key.id,
        "name": key.name,
        "hint": f"{PREFIX}…{key.hint}",
        "team": key.team,
        "project": key.project,
        "tags": dict(key.tags),
        "models": list(key.models),
        "endpoints": list(key.endpoints),
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
        "created_at": _moment(key.created_at),
        "expires_at": _moment(key.expires_at),
        "revoked_at": _moment(key.revoked_at),
        "state": state(key, now),
    }


def name_of(ident: str, name: str, team: str | None = None, project: str | None = None) -> Name:
    """A name for a fingerprint or an OpenAI project. Raises ValueError with a sentence."""
    if not re.fullmatch(r"fp_[0-9a-f]{12}|proj_[A-Za-z0-9_-]{1,100}", ident):
        raise ValueError("names are given to fingerprints (fp_ and 12 hex digits) and OpenAI projects (proj_…)")
    _check_name(name)
    for what, value in (("team", team), ("project", project)):
        if value is not None:
            _check("a " + what, value)
    if project is not None and ident.startswith("proj_"):
        raise ValueError("the name of an OpenAI project is the project")
    return Name(ident, name, team, project)


def span(text: str) -> timedelta:
    """A length of time such as `90s`, `15m`, `1h`, `30d` or `2w`. Raises ValueError with a sentence."""
    if not (match := _SPAN.fullmatch(text)):
        raise ValueError(f"{text!r} is no length of time such as 15m, 1h, 30d or 2w")
    return timedelta(seconds=int(match[1]) * _SPAN_SECONDS[match[2]])


def until(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """When something ends: after a length of time, or at a moment (a date is its first). Raises ValueError."""
    if not _SPAN.fullmatch(text):
        return moment(text, zone)
    try:
        return now + span(text)
    except OverflowError:
        raise ValueError(f"{text} from now is after the end of the calendar") from None


def _secret(entropy: bytes) -> str:
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"a secret is made of {SECRET_BYTES} bytes")
    return PREFIX + urlsafe_b64encode(entropy).decode().rstrip("=")


def _fits(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _check_name(name: str) -> None:
    _check("a name", name, NAME_CEILING)
    if name.lower().startswith(_MISTAKEN):
        raise ValueError("a name does not begin like a key or a fingerprint")


def _check(what: str, text: str, ceiling: int = VALUE_CEILING) -> None:
    if not 0 < len(text) <= ceiling or not text.isprintable() or text != text.strip():
        raise ValueError(f"{what}: 1 to {ceiling} printable characters, without spaces at its ends")
    if SECRET.search(text.encode()):
        raise ValueError(f"{what}: this looks like a key's secret")


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
