"""Ownership: what every route makes, names and lists, as tables."""

import json
from typing import Any

import pytest

from billing.charges import Made
from proxy import endpoints, ownership
from proxy.asked import NOTHING, Asked
from proxy.endpoints import TABLE, Billing
from proxy.ownership import COLLECTIONS, SHARED, Named

READ = Asked(readable=True)


@pytest.mark.parametrize("template", sorted({row.template for row in TABLE if "{id}" in row.template}))
def test_every_route_that_names_something_says_whose_it_is(template: str) -> None:
    collection = template.partition("/{id}")[0]
    shared = any(collection == route or collection.startswith(f"{route}/") for route in SHARED)
    assert (collection in COLLECTIONS) != shared


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_nothing_is_owned_that_no_route_has(collection: str) -> None:
    assert any(row.template.partition("/{id}")[0] == collection for row in TABLE)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/files/file-1", ("/v1/files", "file-1")),
        ("HEAD", "/v1/files/file-1", ("/v1/files", "file-1")),
        ("GET", "/v1/files/file-1/content", ("/v1/files", "file-1")),
        ("DELETE", "/v1//files/file%2D1/", ("/v1/files", "file-1")),
        ("POST", "/v1/uploads/upload_1/complete", ("/v1/uploads", "upload_1")),
        ("POST", "/v1/batches/batch_1/cancel", ("/v1/batches", "batch_1")),
        ("GET", "/v1/fine_tuning/jobs/ftjob-1/events", ("/v1/fine_tuning/jobs", "ftjob-1")),
        ("GET", "/v1/responses/resp_1/input_items", ("/v1/responses", "resp_1")),
        ("GET", "/v1/chat/completions/chatcmpl-1", ("/v1/chat/completions", "chatcmpl-1")),
        ("DELETE", "/v1/conversations/conv_1/items/msg_1", ("/v1/conversations", "conv_1")),
        ("GET", "/v1/vector_stores/vs_1/files/file-1/content", ("/v1/vector_stores", "vs_1")),
        ("GET", "/v1/containers/cntr_1/files/cfile_1/content", ("/v1/containers", "cntr_1")),
        ("POST", "/v1/threads/thread_1/runs", ("/v1/threads", "thread_1")),
        ("POST", "/v1/videos/video_1/remix", ("/v1/videos", "video_1")),
        ("GET", "/v1/videos/characters/char_1", ("/v1/videos/characters", "char_1")),
        ("GET", "/v1/agents/sessions/sess_1/items", ("/v1/agents/sessions", "sess_1")),
        ("GET", "/v1/agents/agent_1", ("/v1/agents", "agent_1")),
        ("GET", "/v1/files/file-1;x", ("/v1/files", "file-1;x")),
        ("GET", "/v1/files", None),
        ("POST", "/v1/responses/compact", None),
        ("POST", "/v1/threads/runs", None),
        ("GET", "/v1/models/gpt-4o", None),
        ("POST", "/v1/embeddings", None),
    ],
)
def test_what_a_path_names(method: str, path: str, expected: tuple[str, str] | None) -> None:
    found = ownership.addressed(ownership.row_of(method, path), path)
    assert found == (Named(*expected) if expected else None)


@pytest.mark.parametrize(
    ("path", "asked", "expected"),
    [
        ("/v1/files", NOTHING, ("id",)),
        ("/v1/batches", READ, ("id",)),
        ("/v1/responses", READ, ("id",)),
        ("/v1/responses", NOTHING, ("id",)),
        ("/v1/responses", Asked(readable=True, store=False), None),
        ("/v1/chat/completions", READ, None),
        ("/v1/chat/completions", Asked(readable=True, store=True), ("id",)),
        ("/v1/chat/completions", NOTHING, ("id",)),
        ("/v1/threads/runs", READ, ("thread_id",)),
        ("/v1/videos/video_1/remix", READ, ("id",)),
        ("/v1/videos/characters", READ, ("id",)),
        ("/v1/files/file-1", READ, None),
        ("/v1/vector_stores/vs_1/files", READ, None),
        ("/v1/vector_stores/vs_1", READ, None),
        ("/v1/embeddings", READ, None),
    ],
)
def test_what_a_post_makes(path: str, asked: Asked, expected: tuple[str, ...] | None) -> None:
    assert ownership.makes(endpoints.find("POST", path), asked) == expected


SHELL = {"type": "shell_call", "environment": {"container_id": "cntr_2"}}
RESPONSE = {"id": "resp_1", "output": [{"type": "code_interpreter_call", "container_id": "cntr_1"}, SHELL]}
OF_RESPONSE = (Made("resp_1"), Made("cntr_1", "resp_1"), Made("cntr_2", "resp_1"))


@pytest.mark.parametrize(
    ("case", "method", "path", "answer", "own_id", "expected"),
    [
        ("a file", "POST", "/v1/files", {"id": "file-1"}, None, (Made("file-1"),)),
        ("a file that is read", "GET", "/v1/files/file-1", {"id": "file-1"}, None, ()),
        ("an upload", "POST", "/v1/uploads", {"id": "upload_1", "file": None}, None, (Made("upload_1"),)),
        (
            "the file of an upload", "POST", "/v1/uploads/upload_1/complete",
            {"id": "upload_1", "file": {"id": "file-1"}}, None, (Made("file-1", "upload_1"),),
        ),
        (
            "a batch that is done", "GET", "/v1/batches/batch_1",
            {"id": "batch_1", "input_file_id": "file-1", "output_file_id": "file-2", "error_file_id": "file-3"}, None,
            (Made("file-2", "batch_1"), Made("file-3", "batch_1")),
        ),
        (
            "batches", "GET", "/v1/batches",
            {"data": [{"id": "batch_1", "output_file_id": "file-2"}, {"id": "batch_2", "output_file_id": None}]}, None,
            (Made("file-2", "batch_1"),),
        ),
        (
            "a job", "GET", "/v1/fine_tuning/jobs/ftjob-1", {"id": "ftjob-1", "result_files": ["file-1"]}, None,
            (Made("file-1", "ftjob-1"),),
        ),
        ("a job's events", "GET", "/v1/fine_tuning/jobs/ftjob-1/events", {"id": "x", "result_files": ["f"]}, None, ()),
        ("a response with containers", "POST", "/v1/responses", RESPONSE, "resp_1", OF_RESPONSE),
        ("the end of its stream", "POST", "/v1/responses", {"response": RESPONSE}, "resp_1", OF_RESPONSE),
        (
            "a stream that was cut", "POST", "/v1/responses", {"item": {"container_id": "cntr_1"}}, "resp_1",
            (Made("resp_1"),),
        ),
        ("one that is read", "GET", "/v1/responses/resp_1", RESPONSE, None, OF_RESPONSE[1:]),
        ("its input", "GET", "/v1/responses/resp_1/input_items", {"data": [RESPONSE]}, None, ()),
        ("a run's thread", "POST", "/v1/threads/runs", {"id": "run_1", "thread_id": "thread_1"}, None,
         (Made("thread_1"),)),
        ("what is no id", "POST", "/v1/files", {"id": 7}, None, ()),
        ("what no database takes", "POST", "/v1/files", {"id": "file\0"}, None, ()),
        ("no object", "POST", "/v1/files", [1], None, ()),
    ],
)  # fmt: skip
def test_what_an_answer_tells_of(
    case: str, method: str, path: str, answer: Any, own_id: str | None, expected: tuple[Made, ...]
) -> None:
    row = endpoints.find(method, path)
    assert ownership.told(row, READ, json.dumps(answer).encode(), own_id) == expected


def test_an_answer_is_looked_into_only_where_it_can_tell_of_something() -> None:
    looked = {row.template: ownership.mark(row, READ) for row in TABLE if ownership.mark(row, READ)}
    assert looked["/v1/files"] == b'"id"'
    assert looked["/v1/responses"] == b'"container_id"'
    assert looked["/v1/threads/runs"] == b'"thread_id"'
    assert looked.keys().isdisjoint(
        {"/v1/chat/completions", "/v1/embeddings", "/v1/files/{id}/content", "/v1/models", "/v1/moderations"}
    )


def test_lists_are_the_collections() -> None:
    listed = {row.template for row in TABLE if ownership.lists(row)}
    assert {"/v1/files", "/v1/batches", "/v1/chat/completions", "/v1/vector_stores"} <= listed
    assert "/v1/models" not in listed
    assert all(row.billing is Billing.FREE for row in TABLE if ownership.lists(row))


@pytest.mark.parametrize(
    ("named", "message", "code", "param"),
    [
        (Named("/v1/files", "file-1"), "No such File object: file-1", None, "id"),
        (Named("/v1/files", "file-1", "training_file"), "No such File object: file-1", None, "training_file"),
        (Named("/v1/responses", "resp_1"), "Response with id 'resp_1' not found.", None, None),
        (
            Named("/v1/responses", "resp_1", "previous_response_id"),
            "Previous response with id 'resp_1' not found.", "previous_response_not_found", "previous_response_id",
        ),
        (Named("/v1/assistants", "{id}"), "No assistant found with id '{id}'.", None, None),
        (Named("", "x"), "No such object: x", None, None),
    ],
)  # fmt: skip
def test_what_is_missing_is_told_in_openais_words(
    named: Named, message: str, code: str | None, param: str | None
) -> None:
    refusal = named.missing()
    assert (refusal.status, refusal.type) == (404, "invalid_request_error")
    assert (refusal.message, refusal.code, refusal.param) == (message, code, param)
