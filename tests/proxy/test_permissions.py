from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.keys import SECRET_BYTES, Terms, issue
from proxy.endpoints import ADMINISTRATION_OPERATION, BYPASS_OPERATION, TABLE, find
from proxy.errors import Refusal
from proxy.identity import Caller
from proxy.permissions import CLOSED, may_call, may_use, refused_for_issued_keys, unknown_endpoint

PASSING = Caller(fingerprint="fp_0123456789ab", key="fp_0123456789ab")


def holding(**terms: Any) -> Caller:
    """A caller with a key on these terms."""
    key, _ = issue(
        Terms("search-prod", **terms),
        [],
        ident="key_1",
        entropy=bytes(SECRET_BYTES),
        now=datetime(2026, 11, 23, tzinfo=UTC),
    )
    return Caller(issued=key, key=key.name)


def call(caller: Caller, method: str, path: str, allowed: tuple[str, ...] = ()) -> Refusal | None:
    return may_call(caller, find(method, path), path, allowed)


def use(caller: Caller, method: str, path: str, model: str | None) -> Refusal | None:
    return may_use(caller, find(method, path), model)


# ── routes that no issued key may use ───────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/realtime/client_secrets"),
        ("POST", "/v1/realtime/translations/client_secrets"),
        ("POST", "/v1/realtime/sessions"),
        ("POST", "/v1/realtime/transcription_sessions"),
        ("POST", "/v1/chatkit/sessions"),
        ("POST", "/v1/chatkit/sessions/cksess_1/cancel"),
        ("POST", "/v1/realtime/calls"),
        ("POST", "/v1/realtime/calls/rtc_1/accept"),
        ("POST", "/v1/live/sessions"),
        ("POST", "/v1/live/sessions/sess_1/fork"),
        ("GET", "/v1/organization/costs"),
        ("GET", "/v1/organization"),
        ("POST", "/v1/organization/admin_api_keys"),
        ("DELETE", "/v1/organization/users/user-1"),
        ("HEAD", "/v1/organization/projects"),
        ("PATCH", "/v1/organization/not/known/yet"),
        ("GET", "/v1/projects/proj_1/roles"),
        ("POST", "/v1/webhook_endpoints"),
        ("GET", "/v1/dashboard/billing/usage"),
        ("GET", "/v1/usage"),
        # however it is spelled
        ("GET", "/v1//organization//costs"),
        ("GET", "/v1/organization/"),
        ("GET", "/v1/%6Frganization/costs"),
        ("GET", "/v1/organization%2Fcosts"),
        ("GET", "/v1/organization%252Fcosts"),
        ("GET", "/v1/%256Frganization/costs"),
        ("GET", "/v1/Organization/costs"),
        ("GET", "/v1/organization;a=b/costs"),
        ("POST", "/v1/realtime/%63lient_secrets/"),
    ],
)
def test_routes_round_farebox_and_into_the_account_are_closed(method: str, path: str) -> None:
    refusal = call(holding(), method, path)
    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.retry) == (403, "route_not_allowed", False)
    assert "FAREBOX_ALLOW_ROUTES" in refusal.message
    assert call(PASSING, method, path) is None  # what OpenAI's own keys may do is OpenAI's to say


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.operation in {ADMINISTRATION_OPERATION, BYPASS_OPERATION}], ids=str
)
def test_every_route_of_the_table_that_goes_there_is_closed(row: Any) -> None:
    assert refused_for_issued_keys(row.method, row.template) is not None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/realtime"),
        ("GET", "/v1/live/sessions"),  # a WebSocket
        ("GET", "/v1/live/sessions/sess_1/content"),
        ("GET", "/v1/organizations_of_mine"),
        ("GET", "/v1/files/organization"),
        ("GET", "/v1/models/usage"),
        ("GET", "/v1/chatkit/threads"),
    ],
)
def test_all_others_are_open(method: str, path: str) -> None:
    assert call(holding(), method, path) is None


@pytest.mark.parametrize(
    ("allowed", "path", "open_"),
    [
        (("/v1/realtime/calls",), "/v1/realtime/calls", True),
        (("/v1/realtime/calls",), "/v1/realtime/calls/rtc_1/accept", True),
        (("/v1/realtime/calls",), "/v1//realtime/c%61lls", True),
        (("/v1/realtime/calls/",), "/v1/realtime/calls", True),
        (("/v1/Realtime/Calls",), "/v1/realtime/calls", True),
        (("/v1/realtime/calls",), "/v1/realtime/client_secrets", False),
        (("/v1/realtime",), "/v1/realtime/client_secrets", True),
        (("/v1/chat", "/v1/organization/usage"), "/v1/organization/usage/completions", True),
        (("/v1/organization/usage",), "/v1/organization/users", False),
        (("/v1/organization/usage",), "/v1/organization", False),
        (("/v1/organization/us",), "/v1/organization/users", False),
    ],
)
def test_configuration_opens_a_route_with_all_below_it(allowed: tuple[str, ...], path: str, open_: bool) -> None:
    assert (call(holding(), "POST", path, allowed) is None) is open_


@given(st.sampled_from(CLOSED), st.data())
def test_no_spelling_opens_a_door(closed: Any, data: st.DataObject) -> None:
    """Every character may be percent-encoded, once or twice, every slash doubled, in any case."""
    spelled = ""
    for character in closed.route.removeprefix("/v1"):
        way = data.draw(st.integers(0, 4))
        once = f"%{ord(character):02x}"
        doubled = "//" if character == "/" else character.upper()
        spelled += (character, once, once.replace("%", "%25"), doubled, character)[way]
    assert refused_for_issued_keys("POST", f"/v1{spelled}/x") is not None


# ── what a key's terms allow ────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("endpoints", "method", "path", "open_"),
    [
        ((), "POST", "/v1/chat/completions", True),
        (("chat",), "POST", "/v1/chat/completions", True),
        (("chat",), "POST", "/v1//chat%2Fcompletions", True),
        (("chat",), "GET", "/v1/models", False),
        (("chat",), "POST", "/v1/embeddings", False),
        (("/v1/files*",), "GET", "/v1/files/file-abc123/content", True),
        (("/v1/files*",), "GET", "/v1/models", False),
        (("/v1/something/new",), "POST", "/v1/something/new", True),
        (("chat",), "POST", "/v1/something/new", False),
        (("/v1/organization*",), "GET", "/v1/organization/costs", False),  # closed all the same
    ],
)
def test_a_key_with_endpoints_may_use_these(endpoints: tuple[str, ...], method: str, path: str, open_: bool) -> None:
    refusal = call(holding(endpoints=endpoints), method, path)
    assert (refusal is None) is open_
    if refusal is not None and "organization" not in path:
        assert (refusal.status, refusal.code) == (403, "endpoint_not_allowed")
        assert f"'search-prod' is not allowed to use {method} {path}" in refusal.message


@pytest.mark.parametrize(
    ("method", "path", "model", "open_"),
    [
        ("POST", "/v1/chat/completions", "gpt-4o", True),
        ("POST", "/v1/chat/completions", "ft:gpt-4o-2024-08-06:acme::Ab1", True),
        ("POST", "/v1/chat/completions", "gpt-4o-mini", False),
        ("POST", "/v1/chat/completions", None, False),
        ("POST", "/v1/moderations", "omni-moderation-latest", False),
        ("POST", "/v1/fine_tuning/jobs", "gpt-4o", True),
        ("POST", "/v1/fine_tuning/jobs", "gpt-3.5-turbo", False),
        ("POST", "/v1/batches", None, False),
        ("POST", "/v1/something/new", None, False),
        ("PUT", "/v1/something/new", None, False),
        ("GET", "/v1/something/new", None, True),
        ("GET", "/v1/models", None, True),
        ("DELETE", "/v1/files/file-abc123", None, True),
        ("POST", "/v1/files", None, True),
    ],
)
def test_a_key_with_models_may_use_these_and_none_that_cannot_be_seen(
    method: str, path: str, model: str | None, open_: bool
) -> None:
    refusal = use(holding(models=("gpt-4o",)), method, path, model)
    assert (refusal is None) is open_
    assert use(holding(), method, path, model) is None
    assert use(PASSING, method, path, model) is None
    if refusal is not None:
        assert (refusal.status, refusal.code) == (403, "model_not_allowed")
        assert (f"'{model}'" if model else "cannot read the model") in refusal.message


# ── the endpoints of a key's terms ──────────────────────────────────────────────


@pytest.mark.parametrize("pattern", ["chat", "embeddings", "image*", "*", "/v1/files", "/v1/files*", "/v1/not/yet"])
def test_operations_and_paths_are_endpoints(pattern: str) -> None:
    assert unknown_endpoint(pattern) is None


@pytest.mark.parametrize("pattern", ["chats", "", "chats*", "/chat/completions", "v1/chat", "POST /v1/chat"])
def test_a_word_that_would_allow_nothing_is_no_endpoint(pattern: str) -> None:
    said = unknown_endpoint(pattern)
    assert said is not None
    assert said.startswith(f"{pattern}: endpoints are paths")
    assert "chat, " in said
