import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.attribution import Attribution
from proxy.asked import NOTHING, Asked, read
from proxy.identity import attribute, fingerprint, key_of, refusal

Pairs = list[tuple[bytes, bytes]]

SECRET = "sk-proj-AbCdEf0123456789"
BEARER: Pairs = [(b"Authorization", f"Bearer {SECRET}".encode())]


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
    assert attribute([], NOTHING, ()).key is None


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


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize("key", ["fb-1", "fb-", "fb-AbCdEfGh"])
def test_a_key_of_farebox_s_own_kind_that_is_not_known_goes_nowhere(key: str, required: bool) -> None:
    refused = refusal([(b"Authorization", f"Bearer {key}".encode())], require_keys=required)
    assert refused is not None
    assert (refused.status, refused.code, refused.retry) == (401, "invalid_api_key", False)
    assert "AbCdEfGh" not in refused.message


@pytest.mark.parametrize(
    "headers", [[], BEARER, [(b"Authorization", b"Bearer FB-1")], [(b"Authorization", b"Basic x")]]
)
def test_any_other_key_passes_unless_keys_are_required(headers: Pairs) -> None:
    assert refusal(headers, require_keys=False) is None
    refused = refusal(headers, require_keys=True)
    assert refused is not None
    assert (refused.status, refused.code) == (401, "invalid_api_key")


def test_a_refusal_does_not_repeat_the_key() -> None:
    refused = refusal(BEARER, require_keys=True)
    assert refused is not None
    assert "sk-…" in refused.message
    assert "proj" not in refused.body().decode()


@given(st.binary(max_size=30), st.booleans())
def test_hostile_keys_are_refused_in_words_that_can_be_sent(key: bytes, required: bool) -> None:
    refused = refusal([(b"Authorization", b"Bearer " + key)], require_keys=required)
    assert refused is None or json.loads(refused.body())["error"]["message"] == refused.message


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
    assert attribute(headers, read(body), ("job", "n", "absent")) == Attribution(
        key=fingerprint(SECRET),
        project="proj_1",
        organization="org-1",
        user="u-1",
        tags={"team": "search", "feature": "café ✓", "job": "nightly"},
    )


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
    assert attribute(headers, Asked(metadata={"team": "body"}), ("team",)).tags == tags


def test_an_empty_header_says_nothing() -> None:
    who = attribute([(b"OpenAI-Project", b""), (b"OpenAI-Organization", b"")], NOTHING, ())
    assert (who.project, who.organization) == (None, None)


def test_there_are_only_so_many_tags() -> None:
    headers = [(b"X-Farebox-Tag-%d" % number, b"x") for number in range(1000)]
    assert len(attribute(headers, NOTHING, ()).tags) == 16


@given(
    st.lists(st.tuples(st.sampled_from([b"OpenAI-Project", b"OpenAI-Organization", b"X-Farebox-Tag-"]), st.binary()))
)
def test_hostile_bytes_become_text_that_can_be_stored(headers: Pairs) -> None:
    who = attribute(
        [(name + value[:9] if name.endswith(b"-") else name, value) for name, value in headers], NOTHING, ()
    )
    for text in (who.project, who.organization, *who.tags, *who.tags.values()):
        assert text is None or (text.isprintable() and len(text) <= 256 and text.encode().decode() == text)
