"""Accounting: what an exchange used, and where that is known from. One call, one answer, one account."""

import asyncio
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.charges import Basis
from billing.estimates import estimated_usage, is_long
from billing.requested import Requested
from billing.usage import Reading, Unit, Usage
from proxy import asked, endpoints
from proxy.accounting import Account, Accounting
from proxy.connection import Answer
from proxy.outgoing import Outgoing

ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "When does the ferry leave?"}]}
USED = {"prompt_tokens": 13, "completion_tokens": 5, "total_tokens": 18}
TEXT = "It leaves at nine."


@dataclass
class Unused:
    """No connection: an answer's head is all that is looked at."""


def outgoing(path: str = "/v1/chat/completions", body: Any = ASKED, method: str = "POST") -> Outgoing:
    """A request as it leaves; a body of bytes is as it is."""
    kept = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Outgoing(endpoints.find(method, path), asked.read(kept), kept, b"", [], kept, usage_added=False)


def answer(**headers: str) -> Answer:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Answer(Unused(), 200, b"OK", named)  # type: ignore[arg-type]


def account(
    sent: Outgoing, pieces: Iterable[bytes] | None, *, streamed: bool = False, why: str = "cut", **headers: str
) -> Account:
    """The account of a request whose answer came in these pieces; None where no answer that is billed ever began."""
    accounting = Accounting(sent)
    if pieces is not None:
        accounting.begin(answer(**headers), streamed=streamed)
        for piece in pieces:
            accounting.feed(piece)
    return asyncio.run(accounting.close(why))


def said(**more: Any) -> bytes:
    """A chat's answer."""
    message = {"role": "assistant", "content": TEXT}
    return json.dumps(
        {"id": "chatcmpl-1", "model": "gpt-4o-2024-08-06", "choices": [{"message": message}]} | more
    ).encode()


def chunk(content: str = "", **more: Any) -> bytes:
    choices = [{"delta": {"content": content}}] if content else []
    fields = {"id": "chatcmpl-1", "model": "gpt-4o-2024-08-06", "choices": choices} | more
    return f"data: {json.dumps(fields)}\n\n".encode()


DONE = b"data: [DONE]\n\n"
READ = Reading(Usage({Unit.INPUT_TEXT: 13, Unit.OUTPUT_TEXT: 5}), "gpt-4o-2024-08-06", None, "chatcmpl-1")


def counted(output: str, model: str = "gpt-4o", body: Any = ASKED, operation: str = "chat") -> Usage:
    usage = estimated_usage(operation, json.dumps(body).encode(), output, model)
    assert usage is not None
    return usage


# ── reported ────────────────────────────────────────────────────────────────────


def test_what_the_answer_reports() -> None:
    assert account(outgoing(), [said(usage=USED)]) == (Basis.REPORTED, READ, None)


@given(st.lists(st.integers(0, 400), max_size=5))
def test_a_stream_reports_in_any_cuts(places: list[int]) -> None:
    whole = chunk("It leaves") + chunk(" at nine.") + chunk(usage=USED) + DONE
    ends = [0, *sorted(min(place, len(whole)) for place in places), len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(ends)]
    assert account(outgoing(), pieces, streamed=True) == (Basis.REPORTED, READ, None)


def test_an_answer_is_read_in_the_coding_that_its_head_names() -> None:
    packed = gzip.compress(said(usage=USED))
    assert account(outgoing(), [packed], Content_Encoding="gzip") == (Basis.REPORTED, READ, None)
    assert account(outgoing(), [packed])[0] is Basis.ESTIMATED


def test_a_stream_is_finished_with_its_usage_and_not_before() -> None:
    accounting = Accounting(outgoing())
    assert not accounting.finished
    accounting.begin(answer(), streamed=True)
    seen = []
    for piece in (chunk("It leaves"), chunk(usage=USED), DONE):
        accounting.feed(piece)
        seen.append(accounting.finished)
    assert seen == [False, False, True]


def test_text_is_seen_as_it_passes_some_events_behind() -> None:
    accounting = Accounting(outgoing())
    assert accounting.visible_characters == 0
    accounting.begin(answer(), streamed=True)
    for _ in range(10):
        accounting.feed(chunk("x" * 50_000))
    assert 400_000 <= accounting.visible_characters <= 500_000


def test_a_whole_answer_of_work_that_goes_on_may_report() -> None:
    """A job done already, and a response in the background that is polled within its own stream."""
    done = {"id": "resp_1", "model": "gpt-4o", "status": "completed", "usage": {"input_tokens": 3, "output_tokens": 4}}
    sent = outgoing("/v1/responses", {"model": "gpt-4o", "input": "hi", "background": True})
    basis, reading, reason = account(sent, [json.dumps(done).encode()])
    assert (basis, reason) == (Basis.REPORTED, None)
    assert reading is not None
    assert reading.usage == Usage({Unit.INPUT_TEXT: 3, Unit.OUTPUT_TEXT: 4})


# ── estimated ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("case", "pieces", "streamed", "output", "model"),
    [
        ("an answer without usage", [said()], False, TEXT, "gpt-4o-2024-08-06"),
        ("a stream without usage", [chunk("It leaves"), chunk(" at nine."), DONE], True, TEXT, "gpt-4o-2024-08-06"),
        ("a stream that broke off", [chunk("It"), chunk(" leaves")[:-9]], True, "It", "gpt-4o-2024-08-06"),
        ("an answer that broke off", [said(usage=USED)[:-30]], False, "", "gpt-4o"),
        ("an answer that is no JSON", [b"<html>"], False, "", "gpt-4o"),
        ("an empty answer", [], False, "", "gpt-4o"),
        ("no answer", None, False, "", "gpt-4o"),
    ],
)  # fmt: skip
def test_what_is_not_reported_is_counted(
    case: str, pieces: list[bytes] | None, streamed: bool, output: str, model: str
) -> None:
    basis, reading, reason = account(outgoing(), pieces, streamed=streamed, why="no_usage")
    assert (basis, reason) == (Basis.ESTIMATED, "no_usage"), case
    assert reading is not None
    assert (reading.usage, reading.model) == (counted(output, model), model), case
    assert bool(reading.usage.get(Unit.OUTPUT_TEXT)) == bool(output)


def test_an_estimate_is_charged_to_the_tier_and_the_id_that_were_seen() -> None:
    basis, reading, _ = account(outgoing(), [said(service_tier="flex")])
    assert basis is Basis.ESTIMATED
    assert reading == Reading(counted(TEXT), "gpt-4o-2024-08-06", "flex", "chatcmpl-1")


def test_a_long_request_is_counted_all_the_same() -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "ferry " * 20_000}]}
    sent = outgoing(body=body)
    assert is_long(sent.kept, "")
    basis, reading, _ = account(sent, None)
    assert basis is Basis.ESTIMATED
    assert reading is not None
    assert reading.usage == counted("", body=body)


def test_a_decision_is_estimated_at_its_own_tariff() -> None:
    paths = [row.template for row in endpoints.TABLE if row.operation == "decision"]
    for path in paths:
        _, reading, _ = account(outgoing(path, {"model": "gpt-4o", "input": "hi"}), None)
        assert reading is not None
        assert reading.variant == "decisions"
    assert paths


def test_a_request_for_media_is_estimated_by_what_it_asks_for() -> None:
    body = {"model": "tts-1", "input": "The ferry leaves.", "voice": "alloy"}
    sent = replace(outgoing("/v1/audio/speech", body), requested=Requested("tts-1", text="The ferry leaves."))
    basis, reading, reason = account(sent, None, why="upstream_cut")
    assert (basis, reason) == (Basis.ESTIMATED, "upstream_cut")
    assert reading is not None
    assert reading.usage == Usage({Unit.INPUT_CHARACTERS: len("The ferry leaves.")})


# ── unknown, and free ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("case", "sent"),
    [
        ("a body that is no JSON", outgoing(body=b"model=gpt-4o")),
        ("a body that was not kept", replace(outgoing(), asked=asked.NOTHING, kept=b"")),
        ("no model anywhere", outgoing(body={"messages": ASKED["messages"]})),
    ],
)
def test_what_cannot_be_counted_is_unknown(case: str, sent: Outgoing) -> None:
    assert account(sent, [b"{}"], why="no_usage") == (Basis.UNKNOWN, None, "no_usage"), case


def test_a_model_that_only_the_answer_names_will_do() -> None:
    sent = outgoing(body={"messages": ASKED["messages"]})
    basis, reading, _ = account(sent, [said()])
    assert basis is Basis.ESTIMATED
    assert reading is not None
    assert reading.model == "gpt-4o-2024-08-06"


def test_what_another_answer_will_tell_is_unknown_and_not_estimated() -> None:
    body = {"model": "gpt-4o", "input": "hi", "background": True}
    queued = json.dumps({"id": "resp_1", "status": "queued", "usage": None}).encode()
    basis, reading, reason = account(outgoing("/v1/responses", body), [queued])
    assert (basis, reason) == (Basis.UNKNOWN, "usage_later")
    assert not (reading.usage if reading else Usage())
    later = [row for row in endpoints.TABLE if row.billing is endpoints.Billing.LATER]
    assert later
    for row in later:
        basis, reading, reason = account(outgoing(row.template.replace("{id}", "x"), {"model": "gpt-4o"}), [b"{}"])
        assert (basis, reading, reason) == (Basis.UNKNOWN, None, "usage_later"), row.template


def test_what_is_in_no_table_is_unmetered_and_never_free() -> None:
    for pieces in (None, [said(usage=USED)]):
        assert account(outgoing("/v1/new"), pieces, why="cut") == (Basis.UNKNOWN, None, "unmetered")


def test_what_costs_nothing_is_free_whatever_is_said() -> None:
    sent = outgoing("/v1/models", b"", "GET")
    for pieces in (None, [b'{"object":"list","data":[]}'], [said(usage=USED)]):
        assert account(sent, pieces) == (Basis.FREE, None, None)
