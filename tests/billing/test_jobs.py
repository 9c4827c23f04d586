"""What the upstream's objects say of work whose usage arrives later, kind by kind."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from billing import jobs
from billing.charges import Basis
from billing.jobs import KINDS, Final, Results, judge
from billing.meters.flavours import CHAT
from billing.usage import Reading, Unit, Usage

ENDED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AT = int(ENDED.timestamp())
BATCH = {"id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "model": "gpt-4o-mini"}
SUM = {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3}
JOB = {"id": "ftjob-1", "model": "gpt-4o-mini-2024-07-18", "created_at": AT - 3600, "finished_at": AT}
TUNED = "ft:gpt-4o-mini-2024-07-18:acme::x1"
BLOCKED = {
    "code": "invalid_training_file",
    "message": "This training file was blocked because too many examples were flagged by our moderation API",
}


def seen(kind: str, **fields: Any) -> Final | None:
    return judge(kind, json.dumps(fields).encode())


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("responses", "queued"), ("responses", "in_progress"), ("batch", "validating"), ("batch", "in_progress"),
        ("batch", "finalizing"), ("batch", "cancelling"), ("fine_tuning", "validating_files"),
        ("fine_tuning", "queued"), ("fine_tuning", "running"), ("fine_tuning", "paused"), ("evaluation", "queued"),
        ("batch", "a new one"), ("batch", None), ("batch", ["completed"]), ("batch", {"completed": 1}),
    ],
)  # fmt: skip
def test_what_is_under_way_has_no_end(kind: str, status: Any) -> None:
    assert seen(kind, id="x", status=status, usage=SUM) is None


@pytest.mark.parametrize("payload", [b"", b"no json", b"[1]", b"null", b'{"response":3}', b"\xff", b'{"status":[]}'])
@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_read_has_no_end(kind: str, payload: bytes) -> None:
    assert judge(kind, payload) is None


def test_a_background_response_tells_its_usage_when_it_is_done() -> None:
    fields = {"id": "resp_1", "model": "gpt-5.4", "service_tier": "flex", "status": "completed", "usage": SUM}
    usage = Usage({Unit.INPUT_TEXT: 6, Unit.INPUT_CACHED_TEXT: 4, Unit.OUTPUT_TEXT: 3})
    told = Final(Basis.REPORTED, Reading(usage, "gpt-5.4", "flex", "resp_1"))
    assert seen("responses", **fields) == told
    assert seen("responses", type="response.completed", response=fields) == told
    assert seen("responses", **fields | {"status": "incomplete"}) == told


@pytest.mark.parametrize(("status", "reason"), [("cancelled", "cancelled"), ("failed", "no_usage")])
def test_a_response_that_ends_without_usage_is_unknown(status: str, reason: str) -> None:
    assert seen("responses", id="resp_1", status=status, usage=None) == Final(Basis.UNKNOWN, None, reason)


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled"])
def test_a_batch_bills_what_has_finished_however_it_ends(status: str) -> None:
    final = seen("batch", **BATCH, status=status, usage=SUM, output_file_id="file-2", **{f"{status}_at": AT})
    assert final is not None
    assert (final.basis, final.file, final.endpoint) == (Basis.REPORTED, "file-2", "/v1/chat/completions")
    assert final.ended_at == ENDED
    usage = Usage({Unit.INPUT_TEXT: 6, Unit.INPUT_CACHED_TEXT: 4, Unit.OUTPUT_TEXT: 3})
    assert final.reading == Reading(usage, "gpt-4o-mini", "batch", "batch_1", context_tokens=0)


def test_a_batch_that_finished_nothing_is_a_reported_zero() -> None:
    final = seen("batch", **BATCH, status="failed", failed_at=AT)
    assert final is not None
    assert (final.basis, final.reading) == (Basis.REPORTED, Reading(Usage(), "gpt-4o-mini", "batch", "batch_1"))


def test_a_batch_with_results_and_no_sum_is_unknown_until_they_are_read() -> None:
    final = seen("batch", **BATCH, status="completed", output_file_id="file-2")
    assert final is not None
    assert (final.basis, final.file) == (Basis.UNKNOWN, "file-2")


@pytest.mark.parametrize(
    ("case", "fields", "expected"),
    [
        ("succeeded", {"status": "succeeded", "trained_tokens": 9000, "fine_tuned_model": TUNED},
         (Basis.REPORTED, {Unit.TRAINING_TOKENS: 9000}, TUNED, None)),
        ("cancelled after some", {"status": "cancelled", "trained_tokens": 500},
         (Basis.REPORTED, {Unit.TRAINING_TOKENS: 500}, "ft:gpt-4o-mini-2024-07-18", None)),
        ("cancelled, nothing said", {"status": "cancelled", "trained_tokens": None},
         (Basis.UNKNOWN, {}, "ft:gpt-4o-mini-2024-07-18", "no_usage")),
        ("blocked by moderation", {"status": "failed", "trained_tokens": None, "error": BLOCKED},
         (Basis.REPORTED, {}, "ft:gpt-4o-mini-2024-07-18", jobs.BLOCKED)),
        ("a bad file", {"status": "failed", "error": {"code": "invalid_training_file", "message": "Example 6"}},
         (Basis.REPORTED, {}, "ft:gpt-4o-mini-2024-07-18", "invalid_training_file")),
        ("an odd error", {"status": "failed", "error": {"code": "words, and \n more"}},
         (Basis.REPORTED, {}, "ft:gpt-4o-mini-2024-07-18", "failed")),
        ("further training", {"status": "succeeded", "trained_tokens": 7, "model": TUNED},
         (Basis.REPORTED, {Unit.TRAINING_TOKENS: 7}, TUNED, None)),
        ("reinforcement", {"status": "succeeded", "method": {"type": "reinforcement"}, "fine_tuned_model": TUNED},
         (Basis.ESTIMATED, {Unit.TRAINING_SECONDS: 3600}, TUNED, "training_time")),
        ("reinforcement that failed", {"status": "failed", "method": {"type": "reinforcement"}},
         (Basis.UNKNOWN, {}, "ft:gpt-4o-mini-2024-07-18", "failed")),
    ],
)  # fmt: skip
def test_a_training_job_is_billed_as_it_ended(case: str, fields: dict[str, Any], expected: Any) -> None:
    final = seen("fine_tuning", **JOB | fields)
    assert final is not None
    basis, usage, model, reason = expected
    assert (final.basis, final.reason, final.ended_at) == (basis, reason, ENDED), case
    assert final.reading == Reading(Usage(usage), model, None, "ftjob-1"), case


def test_an_evaluation_tells_its_models() -> None:
    usage = [{"model_name": "gpt-4o-mini", "prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 0}]
    final = seen("evaluation", id="evalrun_1", status="completed", per_model_usage=usage)
    assert final is not None
    assert final.reading is not None
    assert final.reading.usage == Usage({Unit.INPUT_TEXT: 5, Unit.OUTPUT_TEXT: 2})


def test_it_is_asked_for_less_and_less_often_with_a_most() -> None:
    for kind in KINDS.values():
        waits = [kind.wait(tries) for tries in range(200)]
        assert waits == sorted(waits)
        assert waits[0] == kind.first
        assert waits[-1] == kind.longest


def line(tokens: int, *, model: str = "gpt-5.5", status: int = 200, said: bool = True) -> bytes:
    body = {"id": "c", "model": model, "usage": {"prompt_tokens": tokens, "completion_tokens": 1} if said else None}
    return json.dumps({"custom_id": "1", "response": {"status_code": status, "body": body}, "error": None}).encode()


def by_results(*lines: bytes) -> Final:
    results = Results(CHAT, lambda part: part.usage.input_tokens > 100)
    for each in lines:
        results.add(each)
    return results.final(Final(Basis.UNKNOWN, Reading(Usage(), "gpt-5.5", "batch", "batch_1"), "no_usage", ENDED, "f"))


def test_results_are_summed_by_model_and_length_of_context() -> None:
    final = by_results(line(60), line(70), line(500), line(90, model="gpt-4o"), line(40, status=500), b"")
    assert final.reading is not None
    parts = [final.reading, *final.reading.besides]
    assert [(p.model, p.usage[Unit.INPUT_TEXT], p.usage[Unit.OUTPUT_TEXT], p.context_tokens) for p in parts] == [
        ("gpt-5.5", 130, 2, 70),
        ("gpt-5.5", 500, 1, 500),
        ("gpt-4o", 90, 1, 90),
    ]
    assert {part.service_tier for part in parts} == {"batch"}
    assert final.reading.response_id == "batch_1"
    assert (final.ended_at, final.file) == (ENDED, None)


@pytest.mark.parametrize("odd", [b"no json", b"", line(3, said=False), b'{"response":7}'])
def test_a_line_that_cannot_be_read_makes_the_sum_an_estimate(odd: bytes) -> None:
    assert by_results(line(60)).basis is Basis.REPORTED
    final = by_results(line(60), odd)
    assert (final.basis, final.reason) == (Basis.ESTIMATED, "no_usage")


def test_results_of_nothing_are_a_reported_zero() -> None:
    final = by_results(line(3, status=429))
    assert (final.basis, final.reading) == (Basis.REPORTED, Reading(Usage(), "gpt-5.5", "batch", "batch_1"))
