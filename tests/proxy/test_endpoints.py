from collections import Counter
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from proxy.endpoints import COSTLY, TABLE, Billing, Endpoint, climbs, find, plain, template_of

METERED: dict[str, tuple[str, Flavour, bool]] = {
    # path: operation, flavour, whether its streams say their usage on request only
    "/v1/chat/completions": ("chat", CHAT, True),
    "/v1/completions": ("text_completion", COMPLETIONS, True),
    "/v1/responses": ("responses", RESPONSES, False),
    "/v1/responses/compact": ("compact", RESPONSES, False),
    "/v1/embeddings": ("embeddings", EMBEDDINGS, False),
    "/v1/decisions": ("decision", DECISIONS, False),
    "/v1/images/generations": ("image_generation", IMAGES, False),
    "/v1/images/edits": ("image_edit", IMAGES, False),
    "/v1/images/variations": ("image_variation", IMAGES, False),
    "/v1/audio/transcriptions": ("transcription", TRANSCRIPTS, False),
    "/v1/audio/translations": ("translation", TRANSCRIPTS, False),
    "/v1/audio/speech": ("speech", SPEECH, False),
    "/v1/videos": ("video", VIDEOS, False),
    "/v1/videos/edits": ("video", VIDEOS, False),
    "/v1/videos/{id}/remix": ("video", VIDEOS, False),
    "/v1/fine_tuning/alpha/graders/run": ("grader", EVALUATIONS, False),
}
LATER: dict[str, tuple[str, Flavour | None]] = {
    "/v1/batches": ("batch", None),
    "/v1/fine_tuning/jobs": ("fine_tuning", None),
    "/v1/evals/{id}/runs": ("evaluation", EVALUATIONS),
    "/v1/threads/runs": ("run", RUNS),
    "/v1/threads/{id}/runs": ("run", RUNS),
    "/v1/threads/{id}/runs/{id}/submit_tool_outputs": ("run", RUNS),
    "/v1/videos/extensions": ("video", None),
    "/v1/containers": ("container", None),
    "/v1/agents/environments": ("container", None),
    "/v1/agents/sessions": ("agent", None),
    "/v1/agents/sessions/{id}/events": ("agent", None),
    "/v1/agents/automations/{id}/invocations": ("agent", None),
}
PAST_FAREBOX = {
    "/v1/realtime/client_secrets",
    "/v1/realtime/translations/client_secrets",
    "/v1/realtime/sessions",
    "/v1/realtime/transcription_sessions",
    "/v1/realtime/calls",
    "/v1/realtime/calls/{id}/accept",
    "/v1/live/sessions",
    "/v1/live/sessions/{id}/accept",
    "/v1/live/sessions/{id}/fork",
    "/v1/chatkit/sessions",
}


def a_path(template: str) -> str:
    return template.replace("{id}", "some-1")


@pytest.mark.parametrize(("path", "expected"), METERED.items())
def test_what_costs_money_is_metered(path: str, expected: tuple[str, Flavour, bool]) -> None:
    row = find("POST", a_path(path))
    assert row.billing is Billing.METERED
    assert (row.operation, row.flavour, row.usage_on_request) == expected
    assert row.template == path


@pytest.mark.parametrize(("path", "expected"), LATER.items())
def test_what_is_told_later_says_so(path: str, expected: tuple[str, Flavour | None]) -> None:
    row = find("POST", a_path(path))
    assert row.billing is Billing.LATER
    assert (row.operation, row.flavour) == expected


@pytest.mark.parametrize("path", PAST_FAREBOX)
def test_what_passes_by_farebox_is_not_free(path: str) -> None:
    row = find("POST", a_path(path))
    assert (row.billing, row.operation, row.template) == (Billing.UNMETERED, "bypass", path)
    assert row in TABLE


def test_a_body_is_read_where_its_fields_are_wanted() -> None:
    assert {row.template for row in TABLE if row.reads_body} == {*METERED, *LATER, "/v1/moderations"}
    media = ("/v1/images/", "/v1/audio/", "/v1/videos")
    assert {row for row in TABLE if row.by_request} == {
        row for row in TABLE if row.billing is Billing.METERED and row.template.startswith(media)
    }


def test_nothing_else_costs_money() -> None:
    assert {row.template for row in TABLE if row.billing is Billing.METERED} == {*METERED}
    assert {row.template for row in TABLE if row.billing is Billing.LATER} == {*LATER}
    unmetered = {row.template for row in TABLE if row.billing is Billing.UNMETERED}
    assert unmetered == {*PAST_FAREBOX, "/v1/content_provenance_checks"}
    assert {row.method for row in COSTLY} == {"POST"}
    assert len(COSTLY) == len(METERED) + len(LATER) + len(unmetered)


@pytest.mark.parametrize(
    ("method", "path", "operation", "template"),
    [
        ("POST", "/v1/moderations", "moderation", "/v1/moderations"),
        ("POST", "/v1/responses/input_tokens", "input_tokens", "/v1/responses/input_tokens"),
        ("GET", "/v1/chat/completions", "read", "/v1/chat/completions"),
        ("GET", "/v1/chat/completions/chatcmpl-1", "read", "/v1/chat/completions/{id}"),
        ("POST", "/v1/chat/completions/chatcmpl-1", "update", "/v1/chat/completions/{id}"),
        ("DELETE", "/v1/chat/completions/chatcmpl-1", "delete", "/v1/chat/completions/{id}"),
        ("GET", "/v1/chat/completions/chatcmpl-1/messages", "read", "/v1/chat/completions/{id}/messages"),
        ("GET", "/v1/responses/resp_1", "read", "/v1/responses/{id}"),
        ("DELETE", "/v1/responses/resp_1", "delete", "/v1/responses/{id}"),
        ("POST", "/v1/responses/resp_1/cancel", "cancel", "/v1/responses/{id}/cancel"),
        ("GET", "/v1/responses/resp_1/input_items", "read", "/v1/responses/{id}/input_items"),
        ("GET", "/v1/models", "models", "/v1/models"),
        ("GET", "/v1/models/gpt-4o", "models", "/v1/models/{id}"),
        ("GET", "/v1/models/ft:gpt-4o:acme::1", "models", "/v1/models/{id}"),
        ("DELETE", "/v1/models/ft:gpt-4o:acme::1", "delete", "/v1/models/{id}"),
        ("POST", "/v1/files", "create", "/v1/files"),
        ("GET", "/v1/files/file-1/content", "read", "/v1/files/{id}/content"),
        ("GET", "/v1/batches/batch_1", "read", "/v1/batches/{id}"),
        ("POST", "/v1/batches/batch_1/cancel", "cancel", "/v1/batches/{id}/cancel"),
        ("GET", "/v1/threads/thread_1/runs/run_1", "read", "/v1/threads/{id}/runs/{id}"),
        ("POST", "/v1/threads/thread_1/runs/run_1", "update", "/v1/threads/{id}/runs/{id}"),
        ("POST", "/v1/threads/thread_1/runs/run_1/cancel", "cancel", "/v1/threads/{id}/runs/{id}/cancel"),
        ("POST", "/v1/threads/runs_1", "update", "/v1/threads/{id}"),
        ("POST", "/v1/vector_stores/vs_1/search", "create", "/v1/vector_stores/{id}/search"),
        ("GET", "/v1/videos/characters/char_1", "read", "/v1/videos/characters/{id}"),
        ("DELETE", "/v1/videos/characters", "delete", "/v1/videos/{id}"),
        ("GET", "/v1/fine_tuning/model_limits", "read", "/v1/fine_tuning/model_limits"),
        ("GET", "/v1/organization/usage/completions", "administration", "/v1/organization/usage/completions"),
        ("POST", "/v1/projects/proj_1/roles/role_1", "administration", "/v1/projects/{id}/roles/{id}"),
    ],
)
def test_reading_and_tidying_up_is_free(method: str, path: str, operation: str, template: str) -> None:
    row = find(method, path)
    assert row.billing is Billing.FREE
    assert (row.operation, row.template, row.flavour) == (operation, template, None)


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """A metered path, and a way of writing it that a front end may well take for the same."""
    path = a_path(draw(st.sampled_from([*METERED, *LATER])))
    written = ""
    for character in path:
        if character == "/":
            written += draw(st.sampled_from(["/", "//", "%2F", "%2f", "/%2F/"]))
        else:
            written += draw(st.sampled_from([character] * 4 + [f"%{ord(character):02X}", f"%{ord(character):02x}"]))
    return path, written + draw(st.sampled_from(["", "/", "//", "%2F"]))


@given(spellings())
def test_no_spelling_makes_a_metered_call_free(spelling: tuple[str, str]) -> None:
    path, written = spelling
    assert find("POST", written) == find("POST", path)
    assert plain(written) == path


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("POST", "/v1/images/dreams", "/v1/images/dreams"),
        ("GET", "/v1/audio/speech", "/v1/audio/speech"),
        ("POST", "/v1/engines/davinci/completions", "/v1/engines/davinci/completions"),
        ("PUT", "/v1/chat/completions", "/v1/chat/completions"),
        ("POST", "/v1/Chat/Completions", "/v1/Chat/Completions"),
        ("POST", "/v1/models/gpt-4o", "/v1/models/{id}"),
        ("POST", "/v1/threads/thread_abc123/runs/run_4XyZ/restart", "/v1/threads/{id}/runs/{id}/restart"),
        ("GET", "/v1/files/file-AbCdEfGhIjKlMnOpQrStUvWxYz/pages", "/v1/files/{id}/pages"),
        ("POST", "/v2/chat/completions", "/v2/chat/completions"),
        ("POST", "/v1/chat/completions/a/b", "/v1/chat/completions/a/b"),
        ("GET", "/v1", "/v1"),
        ("GET", "/", "/"),
        ("get", "/v1/models", "/v1/models"),
        ("GET", "/v1/a%0Ab", "/v1/{id}"),
        ("GET", "/v1/a%00/b", "/v1/{id}/b"),
        ("GET", "/v1/\udcff", "/v1/{id}"),
    ],
)
def test_a_route_in_no_row_is_unmetered_and_known_by_its_template(method: str, path: str, template: str) -> None:
    row = find(method, path)
    assert (row.billing, row.operation, row.template) == (Billing.UNMETERED, "unmetered", template)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/whatever"])
def test_asking_what_is_there_is_free(method: str, path: str) -> None:
    assert find(method, path).billing is Billing.FREE


@given(st.sampled_from(["GET", "POST", "PATCH"]), st.text(max_size=60))
def test_any_path_has_a_row_and_none_but_the_table_s_is_free(method: str, path: str) -> None:
    row = find(method, path)
    assert row in TABLE or row.billing is Billing.UNMETERED


@given(
    st.lists(
        st.sampled_from(["v1", "files", "batches", "gpt-4o", "x" * 25, "é", "run_1", ".."]), min_size=1, max_size=5
    )
)
def test_a_template_holds_no_ids(parts: list[str]) -> None:
    shown = template_of("/" + "/".join(parts)).split("/")[1:]
    assert len(shown) == len(parts)
    assert not {"gpt-4o", "x" * 25, "run_1"} & {*shown}
    assert "{id}" in shown or shown == parts


@given(st.sampled_from(["GET", "POST", "HEAD"]), st.text(st.characters(), max_size=20))
def test_a_template_can_be_stored_and_shown(method: str, path: str) -> None:
    shown = find(method, f"/v1/{path}").template
    assert shown.isprintable()
    assert shown.encode().decode() == shown


def test_a_template_of_ids_is_the_same_for_every_id() -> None:
    paths = {template_of(f"/v1/threads/thread_{number}/messages") for number in range(1000)}
    assert paths == {"/v1/threads/{id}/messages"}


@pytest.mark.parametrize(
    ("path", "up"),
    [
        ("/v1/../admin", True),
        ("/v1/./models", True),
        ("/v1/%2e%2E/admin", True),
        ("/v1/..%2Fadmin", True),
        ("/v1/models/..", True),
        ("/v1/models/...", False),
        ("/v1/models/gpt-4.1", False),
        ("/v1/.well-known", False),
    ],
)
def test_a_path_that_climbs_is_recognised(path: str, up: bool) -> None:
    assert climbs(path) is up


def test_no_two_rows_are_alike() -> None:
    assert [route for route, rows in Counter((row.method, row.template) for row in TABLE).items() if rows > 1] == []


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.method} {row.template}")
def test_every_row_is_found_by_what_it_says(row: Endpoint) -> None:
    assert find(row.method, a_path(row.template)) == row
    assert find(row.method, quote(row.template.replace("{id}", "é b"))) == row
