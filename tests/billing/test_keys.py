import dataclasses
import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import keys
from billing.keys import SECRET, SECRET_BYTES, TAGS_CEILING, Key, Name, Terms

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PARIS = ZoneInfo("Europe/Paris")


def issued(name: str = "search-prod", number: int = 1, **terms: Any) -> tuple[Key, str]:
    """A key of the number's making, and its secret."""
    return keys.issue(Terms(name, **terms), [], ident=f"key_{number}", entropy=bytes([number]) * SECRET_BYTES, now=NOW)


# ── secrets ─────────────────────────────────────────────────────────────────────


@given(st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES))
def test_a_secret_is_long_and_url_safe_and_only_its_digest_and_end_are_kept(entropy: bytes) -> None:
    key, secret = keys.issue(Terms("a"), [], ident="key_1", entropy=entropy, now=NOW)
    assert SECRET.fullmatch(secret.encode())
    assert len(secret.removeprefix("fb-")) >= 40
    assert key.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert key.hint == secret[-4:]
    assert secret not in str(key)
    assert secret[3:-4] not in msgspec.json.encode(key).decode()


@given(st.sets(st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES), min_size=2, max_size=20))
def test_all_of_the_chance_is_in_the_secret(entropies: set[bytes]) -> None:
    secrets = {keys.issue(Terms("a"), [], ident="key_1", entropy=entropy, now=NOW)[1] for entropy in entropies}
    assert len(secrets) == len(entropies)


@pytest.mark.parametrize("size", [0, 16, SECRET_BYTES - 1, SECRET_BYTES + 1])
def test_a_secret_of_less_chance_is_not_made(size: int) -> None:
    with pytest.raises(ValueError, match="a secret is made of 32 bytes"):
        keys.issue(Terms("a"), [], ident="key_1", entropy=bytes(size), now=NOW)


# ── terms ───────────────────────────────────────────────────────────────────────


def test_a_key_has_its_terms() -> None:
    terms = Terms(
        "search-prod", "search", "web", {"Env": "prod"}, ("gpt-4o",), ("chat",), 60, 10_000, NOW + timedelta(days=30)
    )
    key, _ = keys.issue(terms, [], ident="key_1", entropy=bytes(SECRET_BYTES), now=NOW)
    assert {name: getattr(key, name) for name in terms.__slots__} == dataclasses.asdict(terms)
    assert key.tags == {"env": "prod"}  # as in headers
    assert (key.id, key.created_at, key.revoked_at) == ("key_1", NOW, None)


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"name": ""}, "a name: 1 to 100 printable characters"),
        ({"name": "x" * 101}, "a name: 1 to 100"),
        ({"name": " a"}, "without spaces at its ends"),
        ({"name": "a\0b"}, "printable"),
        ({"name": "a\nb"}, "printable"),
        ({"name": "\ud800"}, "printable"),
        ({"name": "fp_0123456789ab"}, "does not begin like a key or a fingerprint"),
        ({"name": "sk-proj-abc"}, "does not begin like a key or a fingerprint"),
        ({"name": "FB-1"}, "does not begin like a key or a fingerprint"),
        ({"name": "a", "team": ""}, "a team: 1 to 256"),
        ({"name": "a", "project": "x" * 257}, "a project: 1 to 256"),
        ({"name": "a", "team": f"fb-{'x' * 43}"}, "a team: this looks like a key's secret"),
        ({"name": "a", "tags": {"": "x"}}, "a tag's name"),
        ({"name": "a", "tags": {"env": "a\0"}}, "the tag env"),
        ({"name": "a", "tags": {str(n): "x" for n in range(TAGS_CEILING + 1)}}, "at most 16 tags"),
        ({"name": "a", "models": ("",)}, "a model or endpoint"),
        ({"name": "a", "models": ("gpt*4",)}, r"a \* stands at the end only"),
        ({"name": "a", "endpoints": ("*chat",)}, r"a \* stands at the end only"),
        ({"name": "a", "models": ("m",) * 101}, "100 models"),
        ({"name": "a", "requests_per_minute": 0}, "whole numbers from 1 on"),
        ({"name": "a", "tokens_per_minute": -1}, "whole numbers from 1 on"),
        ({"name": "a", "tokens_per_minute": 10**13}, "whole numbers from 1 on"),
    ],
)
def test_terms_that_cannot_be_kept_or_shown_are_refused(terms: Mapping[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Terms(**terms)


@given(st.text(max_size=120))
def test_a_name_that_is_taken_can_be_stored_and_shown(name: str) -> None:
    try:
        terms = Terms(name)
    except ValueError:
        return
    assert terms.name.isprintable()
    assert terms.name.encode().decode() == name


def test_a_tag_may_be_empty() -> None:
    assert Terms("a", tags={"nightly": ""}).tags == {"nightly": ""}


# ── names are unique among keys in force ────────────────────────────────────────


@pytest.mark.parametrize(
    ("before", "taken"),
    [
        ({}, True),
        ({"revoked_at": NOW}, False),
        ({"expires_at": NOW}, False),
        ({"expires_at": NOW + HOUR}, True),
        ({"name": "other"}, False),
    ],
)
def test_a_name_is_free_again_when_its_key_is_not_in_force(before: dict[str, Any], taken: bool) -> None:
    earlier = dataclasses.replace(issued()[0], **before)
    with pytest.raises(ValueError, match="a key named search-prod is in force") if taken else nullcontext():
        again, _ = keys.issue(Terms("search-prod"), [earlier], ident="key_2", entropy=bytes(SECRET_BYTES), now=NOW)
        assert again.name == "search-prod"


@pytest.mark.parametrize("ends", [NOW, NOW - HOUR])
def test_a_key_that_has_expired_is_not_made(ends: datetime) -> None:
    with pytest.raises(ValueError, match="cannot expire before"):
        issued(expires_at=ends)


# ── in force ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ends", "revoked", "state"),
    [
        (None, None, "in force"),
        (NOW + timedelta(microseconds=1), None, "in force"),
        (NOW, None, "expired"),
        (NOW - HOUR, None, "expired"),
        (None, NOW, "revoked"),
        (NOW + HOUR, NOW, "revoked"),
        (NOW - HOUR, NOW, "revoked"),
    ],
)
def test_a_key_is_in_force_until_it_is_revoked_or_expires(
    ends: datetime | None, revoked: datetime | None, state: str
) -> None:
    key = dataclasses.replace(issued()[0], expires_at=ends, revoked_at=revoked)
    assert keys.state(key, NOW) == state
    assert keys.in_force(key, NOW) is (state == "in force")


# ── rotation and revocation ─────────────────────────────────────────────────────


def test_rotating_changes_the_secret_and_nothing_else() -> None:
    key, first = issued(team="search", tags={"env": "prod"}, models=("gpt-4o",), requests_per_minute=5)
    (renewed,), second = keys.rotate(key, entropy=bytes([9]) * 32, now=NOW + HOUR)
    assert first != second
    assert renewed.digest == keys.digest(second)
    assert dataclasses.replace(renewed, digest=key.digest, hint=key.hint, created_at=NOW) == key
    assert renewed.created_at == NOW + HOUR


@pytest.mark.parametrize(
    ("expires", "old_ends"),
    [(None, NOW + HOUR), (NOW + 2 * HOUR, NOW + HOUR), (NOW + HOUR / 2, NOW + HOUR / 2)],
)
def test_with_a_grace_the_old_secret_ends_in_time(expires: datetime | None, old_ends: datetime) -> None:
    key, _ = issued(requests_per_minute=5, tokens_per_minute=5, expires_at=expires)
    (renewed, old), _ = keys.rotate(key, entropy=bytes([9]) * 32, now=NOW, grace=HOUR)
    assert (old.digest, old.name, old.expires_at) == (key.digest, key.name, old_ends)
    assert old.id.startswith(f"{key.id}.")
    assert (renewed.id, renewed.expires_at, renewed.requests_per_minute) == (key.id, expires, 5)
    assert (old.requests_per_minute, old.tokens_per_minute) == (None, None)  # the limits of the name count both
    assert keys.find([old, renewed], key.name, NOW) == renewed
    assert keys.find([renewed, old], old.id, NOW) == old


def test_rotating_twice_keeps_both_old_secrets_apart() -> None:
    key, _ = issued()
    (second, old), _ = keys.rotate(key, entropy=bytes([8]) * 32, now=NOW, grace=HOUR)
    (third, older), _ = keys.rotate(second, entropy=bytes([9]) * 32, now=NOW, grace=HOUR)
    assert len({each.id for each in (third, old, older)}) == 3
    assert {each.digest for each in (third, old, older)} == {key.digest, second.digest, third.digest}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"revoked_at": NOW}, "is revoked: create another"),
        ({"expires_at": NOW}, "is expired: create another"),
        ({"id": "key_1.abcd"}, "an old secret of search-prod: rotate key_1"),
    ],
)
def test_what_is_not_in_force_is_not_rotated(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        keys.rotate(dataclasses.replace(issued()[0], **changed), entropy=bytes(32), now=NOW)


def test_revoking_takes_the_old_secrets_along_and_is_done_once() -> None:
    key, _ = issued()
    other, _ = issued("other", 12)
    (renewed, old), _ = keys.rotate(key, entropy=bytes([9]) * 32, now=NOW, grace=HOUR)
    existing = [renewed, old, other]
    revoked = keys.revoke(renewed, existing, NOW)
    assert [(each.id, each.revoked_at) for each in revoked] == [(key.id, NOW), (old.id, NOW)]
    assert keys.revoke(revoked[0], [*revoked, other], NOW + HOUR) == []
    assert [each.id for each in keys.revoke(old, existing, NOW)] == [old.id]  # an old secret can go alone


def test_a_revoked_key_is_found_by_its_id_only() -> None:
    key = dataclasses.replace(issued()[0], revoked_at=NOW)
    assert keys.find([key], key.id, NOW) == key
    assert keys.find([key], key.name, NOW) is None
    assert keys.find([], "none", NOW) is None


# ── what a key may ask for ──────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("models", "asked", "allowed"),
    [
        ((), "anything", True),
        ((), None, True),
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o-2024-08-06", True),
        (("gpt-4o",), "ft:gpt-4o-2024-08-06:acme:support:Ab12", True),
        (("gpt-4o",), "gpt-4o-mini", False),
        (("gpt-4o",), "ft:gpt-4o-mini-2024-07-18:acme::Ab12", False),
        (("gpt-4o",), "GPT-4o", False),
        (("gpt-4o",), "", False),
        (("gpt-4o",), None, False),
        (("gpt-4o-2024-08-06",), "gpt-4o", False),
        (("gpt-4o-2024-08-06",), "gpt-4o-2024-11-20", False),
        (("gpt-4o-2024-08-06",), "ft:gpt-4o-2024-08-06:acme::Ab12", True),
        (("ft:gpt-4o-2024-08-06:acme::Ab12",), "gpt-4o-2024-08-06", False),
        (("ft:gpt-4o-2024-08-06:acme:*",), "ft:gpt-4o-2024-08-06:acme::Ab12", True),
        (("ft:gpt-4o-2024-08-06:acme:*",), "ft:gpt-4o-2024-08-06:other::Ab12", False),
        (("gpt-5*",), "gpt-5.4-mini", True),
        (("gpt-5*",), "gpt-4o", False),
        (("gpt-5*",), "xgpt-5", False),
        (("o3", "gpt-5*"), "o3-2025-04-16", True),
        (("*",), "anything", True),
        (("*",), None, False),
    ],
)
def test_models(models: tuple[str, ...], asked: str | None, allowed: bool) -> None:
    assert keys.allows_model(issued(models=models)[0], asked) is allowed


@given(st.text(max_size=30))
def test_a_model_that_does_not_begin_so_is_not_allowed(asked: str) -> None:
    allowed = keys.allows_model(issued(models=("gpt-4o",))[0], asked)
    assert not allowed or "gpt-4o" in asked


@pytest.mark.parametrize(
    ("endpoints", "names", "allowed"),
    [
        ((), ("chat", "/v1/chat/completions"), True),
        (("chat",), ("chat", "/v1/chat/completions"), True),
        (("/v1/chat/completions",), ("chat", "/v1/chat/completions"), True),
        (("chat",), ("embeddings", "/v1/embeddings"), False),
        (("/v1/chat/completions",), ("read", "/v1/chat/completions/{id}"), False),
        (("/v1/chat/*",), ("read", "/v1/chat/completions/{id}"), True),
        (("cha*",), ("chat", "/v1/chat/completions"), True),
        (("embeddings", "chat"), ("chat", "/v1/chat/completions"), True),
    ],
)
def test_endpoints(endpoints: tuple[str, ...], names: tuple[str, ...], allowed: bool) -> None:
    assert keys.allows_endpoint(issued(endpoints=endpoints)[0], *names) is allowed


# ── as people see them and say them ─────────────────────────────────────────────


def test_a_key_is_shown_without_its_digest() -> None:
    key, secret = issued(team="search", expires_at=NOW + HOUR)
    shown = keys.shown(key, NOW)
    assert key.digest not in str(shown)
    assert (shown["hint"], shown["state"]) == (f"fb-…{secret[-4:]}", "in force")
    assert (shown["created_at"], shown["expires_at"]) == ("2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z")
    assert {*shown} == {field.name for field in dataclasses.fields(Key)} - {"digest"} | {"state"}


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1h", HOUR),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
        ("0s", timedelta()),
    ],
)
def test_a_length_of_time(text: str, length: timedelta) -> None:
    assert keys.span(text) == length
    assert keys.until(text, NOW, PARIS) == NOW + length


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1 h", "1y", "١h", "1h1m"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="no length of time such as"):
        keys.span(text)


def test_an_end_may_be_a_date_or_a_time() -> None:
    assert keys.until("2026-12-31", NOW, PARIS) == datetime(2026, 12, 30, 23, tzinfo=UTC)
    assert keys.until("2026-12-31T10:00Z", NOW, PARIS) == datetime(2026, 12, 31, 10, tzinfo=UTC)
    with pytest.raises(ValueError, match="neither a date"):
        keys.until("soon", NOW, PARIS)
    with pytest.raises(ValueError, match="after the end of the calendar"):
        keys.until("999999999w", NOW, PARIS)


# ── names ───────────────────────────────────────────────────────────────────────


def test_fingerprints_and_projects_get_names() -> None:
    assert keys.name_of("fp_0123456789ab", "ci", "infra", "builds") == Name("fp_0123456789ab", "ci", "infra", "builds")
    assert keys.name_of("proj_Ab-1_2", "web", "search") == Name("proj_Ab-1_2", "web", "search")


@pytest.mark.parametrize(
    ("given_name", "says"),
    [
        (("fp_0123456789a", "ci"), "fingerprints"),
        (("fp_0123456789AB", "ci"), "fingerprints"),
        (("fp_0123456789ab\n", "ci"), "fingerprints"),
        (("key_1", "ci"), "fingerprints"),
        (("proj_", "ci"), "projects"),
        (("proj_a/b", "ci"), "projects"),
        (("proj_1", ""), "a name: 1 to 100"),
        (("proj_1", "fp_1"), "does not begin like"),
        (("proj_1", "web", "\0"), "a team"),
        (("proj_1", "web", None, "web"), "the name of an OpenAI project is the project"),
        (("fp_0123456789ab", "ci", None, ""), "a project: 1 to 256"),
    ],
)
def test_names_that_name_nothing_are_refused(given_name: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        keys.name_of(*given_name)
