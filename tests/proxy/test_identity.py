import base64
import dataclasses
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.attribution import Attribution
from billing.keys import SECRET_BYTES, Key, Name, Terms, issue, rotate
from proxy.asked import NOTHING, Asked, read
from proxy.errors import Refusal
from proxy.identity import Caller, Keyring, attribute, fingerprint, identify, key_of, masked, upstream_headers

Pairs = list[tuple[bytes, bytes]]

SECRET = "sk-proj-AbCdEf0123456789"
BEARER: Pairs = [(b"Authorization", f"Bearer {SECRET}".encode())]

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TERMS = Terms("search-prod", "search", "web", {"env": "prod"})
KEY, ISSUED = issue(TERMS, [], ident="key_1", entropy=bytes(range(SECRET_BYTES)), now=NOW)
OTHER, UNKNOWN = issue(TERMS, [], ident="key_2", entropy=bytes(SECRET_BYTES), now=NOW)
SWAPPED: Pairs = [(b"Authorization", f"Bearer {ISSUED}".encode())]
TARGET = "/v1/chat/completions"


def asks(
    headers: Pairs, *issued: Key, names: tuple[Name, ...] = (), target: str = TARGET, **more: Any
) -> Caller | Refusal:
    """Who calls, where these keys were issued."""
    ways = {"require_keys": False, "upstream_key": "sk-upstream"} | more
    return identify(headers, target, Keyring.of(issued, names), NOW, **ways)


def caller(headers: Pairs, *issued: Key, names: tuple[Name, ...] = ()) -> Caller:
    found = asks(headers, *issued, names=names)
    assert isinstance(found, Caller)
    return found


def refused(headers: Pairs, *issued: Key, **more: Any) -> Refusal:
    found = asks(headers, *issued, **more)
    assert isinstance(found, Refusal)
    assert json.loads(found.body())["error"]["message"] == found.message
    return found


def booked(headers: Pairs, asked: Asked = NOTHING, metadata_tags: tuple[str, ...] = (), *issued: Key) -> Attribution:
    return attribute(headers, asked, caller(headers, *issued), metadata_tags)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b"Bearer sk-1", "sk-1"),
        (b"bearer sk-1", "sk-1"),
        (b"BEARER   sk-1 ", "sk-1"),
        (b"Bearer sk 1", "sk 1"),
        (b"Bearer ", None),
        (b"Bearer", None),
        (b"", None),
        (b"Basic c2stMQ==", None),
        (b"sk-1", None),
    ],
)
def test_the_key_is_the_bearer_token(value: bytes, key: str | None) -> None:
    assert key_of([(b"X", b"Bearer no"), (b"aUthorization", value)]) == key


def test_no_header_is_no_key() -> None:
    assert key_of([]) is None
    assert booked([]).key is None


# ── fingerprints ────────────────────────────────────────────────────────────────


def test_a_fingerprint_is_the_start_of_the_sha_256() -> None:
    assert fingerprint(SECRET) == "fp_" + hashlib.sha256(SECRET.encode()).hexdigest()[:12]
    assert fingerprint("sk-1") == "fp_0f2c10bf3d12"


@given(st.binary(min_size=1, max_size=80))
def test_a_fingerprint_never_shows_the_key_and_stays_the_same(key: bytes) -> None:
    text = key.decode("utf-8", "surrogateescape")
    shown = fingerprint(text)
    assert shown == fingerprint(text) == "fp_" + hashlib.sha256(key).hexdigest()[:12]
    assert len(key) < 12 or text not in shown


@given(st.lists(st.text(min_size=1), min_size=2, max_size=5, unique=True))
def test_two_keys_have_two_fingerprints(keys: list[str]) -> None:
    assert len({fingerprint(key) for key in keys if key.isascii()}) == len([key for key in keys if key.isascii()])


# ── who may pass ────────────────────────────────────────────────────────────────


def test_a_key_that_was_issued_is_its_caller() -> None:
    who = caller(SWAPPED, KEY, OTHER)
    assert (who.issued, who.fingerprint) == (KEY, None)
    assert (who.key, who.team, who.project) == ("search-prod", "search", "web")


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("key", ["fb-1", "fb-", "fb-AbCdEfGh", UNKNOWN, ISSUED[:-1], f"{ISSUED}x", f"{ISSUED} x"])
def test_a_key_of_farebox_s_own_kind_that_is_not_known_goes_nowhere(key: str, required: bool) -> None:
    found = refused([(b"Authorization", f"Bearer {key}".encode())], KEY, require_keys=required)
    assert (found.status, found.code, found.retry) == (401, "invalid_api_key", False)
    assert "Incorrect API key provided: fb-…" in found.message
    assert key[3:-4] not in found.message or len(key) < 8


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"revoked_at": NOW}, "This key is revoked."), ({"expires_at": NOW}, "This key is expired.")],
)
def test_a_key_that_is_not_in_force_is_refused_with_the_reason(changed: dict[str, Any], says: str) -> None:
    found = refused(SWAPPED, dataclasses.replace(KEY, **changed))
    assert (found.status, found.code) == (401, "invalid_api_key")
    assert says in found.message
    assert ISSUED[3:-4] not in found.message


def test_in_its_grace_the_old_secret_is_the_same_caller() -> None:
    changed, fresh = rotate(KEY, entropy=bytes([7]) * SECRET_BYTES, now=NOW - HOUR, grace=2 * HOUR)
    for secret in (ISSUED, fresh):
        who = caller([(b"Authorization", f"Bearer {secret}".encode())], *changed)
        assert (who.key, who.team, who.project) == ("search-prod", "search", "web")
    refused(SWAPPED, changed[0])


def test_without_a_key_of_its_own_farebox_swaps_none() -> None:
    for missing in (None, ""):
        found = refused(SWAPPED, KEY, upstream_key=missing)
        assert (found.status, found.code, found.retry) == (503, "upstream_key_missing", False)
        assert "OPENAI_API_KEY" in found.message
        assert isinstance(asks(BEARER, KEY, upstream_key=missing), Caller)


@pytest.mark.parametrize(
    "headers", [[], BEARER, [(b"Authorization", b"Bearer FB-1")], [(b"Authorization", b"Basic x")]]
)
def test_any_other_key_passes_unless_keys_are_required(headers: Pairs) -> None:
    assert caller(headers, KEY).issued is None
    found = refused(headers, KEY, require_keys=True)
    assert (found.status, found.code) == (401, "invalid_api_key")


def test_a_refusal_does_not_repeat_the_key() -> None:
    found = refused(BEARER, require_keys=True)
    assert "sk-…" in found.message
    assert "proj" not in found.body().decode()


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (None, "none"),
        ("a", "a…"),
        ("sk-123456789012345", "sk-…"),
        (SECRET, "sk-…6789"),
        (ISSUED, f"fb-…{KEY.hint}"),
        ("\0\n\r" + "x" * 30, "�" * 3 + "…xxxx"),
    ],
)
def test_a_key_is_masked(key: str | None, shown: str) -> None:
    assert masked(key) == shown


@given(st.binary(max_size=30), st.booleans())
def test_hostile_keys_are_refused_in_words_that_can_be_sent(key: bytes, required: bool) -> None:
    found = asks([(b"Authorization", b"Bearer " + key)], KEY, require_keys=required)
    assert isinstance(found, Caller) or json.loads(found.body())["error"]["message"] == found.message


# ── a secret that Farebox issued is never passed on ─────────────────────────────


@pytest.mark.parametrize("with_key", [[], BEARER, SWAPPED], ids=["no key", "another's key", "an issued key"])
@pytest.mark.parametrize(
    ("header", "place"),
    [
        ((b"api-key", ISSUED), "the header api-key"),
        ((b"X-Api-Key", ISSUED), "the header X-Api-Key"),
        ((b"Sec-WebSocket-Protocol", f"realtime, openai-insecure-api-key.{ISSUED}"), "Sec-WebSocket-Protocol"),
        ((b"Cookie", f"a=b; key={ISSUED}; c=d"), "the header Cookie"),
        ((b"OpenAI-Project", ISSUED), "the header OpenAI-Project"),
        ((b"X-Farebox-Tag-Key", ISSUED), "the header X-Farebox-Tag-Key"),
        ((b"api-key", UNKNOWN), "the header api-key"),  # as good as issued: another replica may know it already
    ],
)
def test_nor_from_another_header(header: tuple[bytes, str], place: str, with_key: Pairs) -> None:
    found = refused([*with_key, (header[0], header[1].encode())], KEY)
    assert (found.status, found.code) == (401, "invalid_api_key")
    assert place in found.message
    assert "Authorization: Bearer" in found.message
    assert ISSUED[3:-4] not in found.message


@pytest.mark.parametrize(
    "value",
    [
        ISSUED,
        f"Token {ISSUED}",
        f"Bearer x {ISSUED}",
        f"Bearer\t{ISSUED}",
        "Basic " + base64.b64encode(f"me:{ISSUED}".encode()).decode(),
        "basic " + base64.b64encode(ISSUED.encode()).decode(),
    ],
)
def test_nor_from_an_authorization_of_another_kind(value: str) -> None:
    assert "Authorization" in refused([(b"authorization", value.encode())], KEY).message


def test_nor_from_a_second_authorization() -> None:
    assert refused([*BEARER, *SWAPPED], KEY).code == "invalid_api_key"
    assert refused([*SWAPPED, (b"Authorization", f"Bearer {UNKNOWN}".encode())], KEY).code == "invalid_api_key"


@pytest.mark.parametrize(
    "target",
    [
        f"{TARGET}?api_key={ISSUED}",
        f"{TARGET}?key={quote(ISSUED).replace('-', '%2D')}",
        f"{TARGET}?%66b{ISSUED[2:]}",
        f"/v1/files/{ISSUED}",
    ],
)
@pytest.mark.parametrize("headers", [[], BEARER, SWAPPED])
def test_nor_from_the_address(target: str, headers: Pairs) -> None:
    assert "the address" in refused(headers, KEY, target=target).message


@given(st.binary(max_size=60), st.text(max_size=30))
def test_what_holds_no_secret_is_not_suspected(value: bytes, target: str) -> None:
    headers = [*BEARER, (b"X-App", value), (b"Authorization", b"Basic " + value)]
    assert isinstance(asks(headers, KEY, target=f"{TARGET}?{target}"), Caller)


def test_short_words_that_begin_so_are_no_secrets() -> None:
    caller([*SWAPPED, (b"X-App", b"fb-pixel"), (b"traceparent", b"00-" + b"f" * 31 + b"fb-" + b"0" * 16 + b"-01")], KEY)


# ── what is sent on ─────────────────────────────────────────────────────────────


def test_the_upstream_s_key_takes_the_issued_one_s_place() -> None:
    headers: Pairs = [
        (b"Accept", b"*/*"),
        *SWAPPED,
        (b"OpenAI-Project", b"proj_1"),
        (b"openai-organization", b"org-1"),
        (b"OpenAI-Beta", b"x"),
    ]
    assert upstream_headers(headers, caller(headers, KEY), "sk-upstream\n") == [
        (b"Accept", b"*/*"),
        (b"Authorization", b"Bearer sk-upstream"),
        (b"OpenAI-Beta", b"x"),
    ]


def test_where_the_connection_kept_the_authorization_to_itself_the_upstream_s_key_is_added() -> None:
    assert upstream_headers([], caller(SWAPPED, KEY), "sk-up") == [(b"authorization", b"Bearer sk-up")]


def test_of_any_other_caller_all_is_sent_as_it_came() -> None:
    headers: Pairs = [*BEARER, (b"OpenAI-Project", b"proj_1"), (b"authorization", b"twice")]
    assert upstream_headers(headers, caller(headers, KEY), "sk-upstream") == headers


# ── who pays ────────────────────────────────────────────────────────────────────


def test_who_pays_is_said_by_headers_and_body() -> None:
    headers: Pairs = [
        *BEARER,
        (b"OpenAI-Project", b"proj_1"),
        (b"openai-organization", b"org-1"),
        (b"X-Farebox-Tag-Team", b"search"),
        (b"x-farebox-tag-FEATURE", "café ✓".encode()),
        (b"X-Farebox-Id", b"no tag"),
    ]
    body = b'{"safety_identifier":"u-1","metadata":{"job":"nightly","secret":"not listed","n":7}}'
    assert booked(headers, read(body), ("job", "n", "absent")) == Attribution(
        key=fingerprint(SECRET),
        project="proj_1",
        organization="org-1",
        user="u-1",
        tags={"team": "search", "feature": "café ✓", "job": "nightly"},
    )


FP = fingerprint(SECRET)
CI = Name(FP, "ci", "infra", "builds")
WEB = Name("proj_1", "web", "search")


@pytest.mark.parametrize(
    ("headers", "names", "key", "team", "project"),
    [
        (BEARER, (), FP, None, None),
        (BEARER, (CI,), "ci", "infra", "builds"),
        (BEARER, (Name(FP, "ci"),), "ci", None, None),
        ([*BEARER, (b"OpenAI-Project", b"proj_1")], (), FP, None, "proj_1"),
        ([*BEARER, (b"OpenAI-Project", b"proj_1")], (WEB,), FP, "search", "web"),
        ([*BEARER, (b"OpenAI-Project", b"proj_2")], (WEB,), FP, None, "proj_2"),
        ([*BEARER, (b"OpenAI-Project", b"proj_1")], (CI, WEB), "ci", "infra", "builds"),
        ([*BEARER, (b"OpenAI-Project", b"proj_1")], (Name(FP, "ci"), WEB), "ci", "search", "web"),
        ([(b"OpenAI-Project", b"proj_1")], (WEB,), None, "search", "web"),
        ([], (CI, WEB), None, None, None),
    ],
)
def test_names_of_fingerprints_and_projects(
    headers: Pairs, names: tuple[Name, ...], key: str | None, team: str | None, project: str | None
) -> None:
    who = attribute(headers, NOTHING, caller(headers, KEY, names=names), ())
    assert (who.key, who.team, who.project) == (key, team, project)


@pytest.mark.parametrize(
    ("changed", "team", "project"),
    [
        ({}, "search", "web"),
        ({"project": None}, "search", "shop"),  # the app may say what its key does not
        ({"team": None, "project": None}, None, "shop"),  # but not on whose account, which nobody checks
    ],
)
def test_an_issued_key_says_who_pays(changed: dict[str, Any], team: str | None, project: str) -> None:
    headers = [*SWAPPED, (b"OpenAI-Project", b"proj_9")]
    names = (Name("proj_9", "shop", "sales"), CI)
    who = attribute(headers, NOTHING, caller(headers, dataclasses.replace(KEY, **changed), names=names), ())
    assert (who.key, who.team, who.project) == ("search-prod", team, project)


def test_a_key_s_own_tags_count_before_all_others() -> None:
    headers = [*SWAPPED, (b"X-Farebox-Tag-Env", b"test"), (b"X-Farebox-Tag-Job", b"a")]
    asked = Asked(metadata={"env": "body", "step": "1"})
    assert booked(headers, asked, ("env", "step"), KEY).tags == {"env": "prod", "job": "a", "step": "1"}


def test_a_flood_of_tags_does_not_push_the_key_s_own_out() -> None:
    headers = SWAPPED + [(b"X-Farebox-Tag-%d" % number, b"x") for number in range(1000)]
    tags = booked(headers, NOTHING, (), KEY).tags
    assert tags["env"] == "prod"
    assert len(tags) == 17


@pytest.mark.parametrize(
    ("headers", "tags"),
    [
        ([], {"team": "body"}),
        ([(b"X-Farebox-Tag-Team", b"header")], {"team": "header"}),
        ([(b"X-Farebox-Tag-Team", b"1"), (b"x-farebox-tag-team", b"2")], {"team": "2"}),
        ([(b"X-Farebox-Tag-", b"nameless")], {"team": "body"}),
        ([(b"X-Farebox-Tag-Empty", b"")], {"team": "body", "empty": ""}),
    ],
)
def test_a_tag_in_a_header_counts_before_the_body_s(headers: Pairs, tags: dict[str, str]) -> None:
    assert booked(headers, Asked(metadata={"team": "body"}), ("team",)).tags == tags


def test_an_empty_header_says_nothing() -> None:
    who = booked([(b"OpenAI-Project", b""), (b"OpenAI-Organization", b"")])
    assert (who.project, who.organization) == (None, None)


def test_there_are_only_so_many_tags() -> None:
    headers = [(b"X-Farebox-Tag-%d" % number, b"x") for number in range(1000)]
    assert len(booked(headers).tags) == 16


@given(
    st.lists(st.tuples(st.sampled_from([b"OpenAI-Project", b"OpenAI-Organization", b"X-Farebox-Tag-"]), st.binary()))
)
def test_hostile_bytes_become_text_that_can_be_stored(headers: Pairs) -> None:
    who = booked([(name + value[:9] if name.endswith(b"-") else name, value) for name, value in headers])
    for text in (who.project, who.organization, *who.tags, *who.tags.values()):
        assert text is None or (text.isprintable() and len(text) <= 256 and text.encode().decode() == text)
