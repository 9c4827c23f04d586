"""Rows of the ledger, and what users see of them: exact, whole and free of any second truth."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from billing.attribution import Attribution
from billing.charges import Basis, Call, Charge, Outcome
from billing.rating import Line, Rate
from billing.tables import ChargeRow, UtcDateTime, record_of, row_of
from billing.usage import Reading, Unit, Usage

AT = datetime(2026, 11, 23, 14, 37, 12, 5, tzinfo=UTC)

CHARGE = Charge(
    Call(
        "fbx-1",
        AT,
        "chat",
        "POST",
        "/v1/chat/completions",
        Attribution("desk", "harbour", "ferry", "org-1", "ada", {"stage": "été"}),
        "one",
        "gpt-4.1",
        "auto",
        True,
    ),
    Outcome(
        AT + timedelta(seconds=2), Basis.REPORTED, 200, Reading(Usage(), response_id="chatcmpl-1"), False, "req_1", None
    ),
    "gpt-4.1-2025-04-14",
    "gpt-4.1",
    "default",
    Usage({Unit.INPUT_TEXT: 67, Unit.INPUT_CACHED_TEXT: 1152, Unit.INPUT_AUDIO: 3, Unit.OUTPUT_TEXT: 17}),
    (
        Line(Unit.INPUT_TEXT, 67, Rate(2 * 10**12, 10**6), 134_000_000),
        Line(Unit.OUTPUT_TEXT, 17, Rate(8 * 10**12, 10**6), 136_000_000),
        Line(Unit.INPUT_CACHED_TEXT, 1152, Rate(17, 1152), 17),
    ),
    Usage({Unit.INPUT_AUDIO: 3}),
    270_000_017,
    "2026-11-23.test",
    {"reasoning_tokens": 5},
)


def test_a_charge_as_users_see_it() -> None:
    assert record_of(row_of(CHARGE)) == {
        "id": "fbx-1",
        "started_at": "2026-11-23T14:37:12.000005Z",
        "ended_at": "2026-11-23T14:37:14.000005Z",
        "operation": "chat",
        "method": "POST",
        "path": "/v1/chat/completions",
        "requested_model": "gpt-4.1",
        "model": "gpt-4.1-2025-04-14",
        "base_model": "gpt-4.1",
        "service_tier": "default",
        "status": 200,
        "streamed": True,
        "client_gone": False,
        "basis": "reported",
        "reason": None,
        "usage": {
            "input_text_tokens": 67,
            "input_cached_text_tokens": 1152,
            "input_audio_tokens": 3,
            "output_text_tokens": 17,
        },
        "lines": [
            {
                "unit": "input_text_tokens",
                "quantity": 67,
                "rate_usd": "2",
                "per": 1_000_000,
                "cost_usd": "0.000134",
            },
            {
                "unit": "output_text_tokens",
                "quantity": 17,
                "rate_usd": "8",
                "per": 1_000_000,
                "cost_usd": "0.000136",
            },
            {
                "unit": "input_cached_text_tokens",
                "quantity": 1152,
                "rate_usd": "0.000000000017",
                "per": 1152,
                "cost_usd": "0.000000000017",
            },
        ],
        "unpriced": {"input_audio_tokens": 3},
        "remarks": {"reasoning_tokens": 5},
        "cost_usd": "0.000270000017",
        "cost_pico": 270_000_017,
        "price_book": "2026-11-23.test",
        "key": "desk",
        "team": "harbour",
        "project": "ferry",
        "organization": "org-1",
        "user": "ada",
        "tags": {"stage": "été"},
        "response_id": "chatcmpl-1",
        "upstream_request_id": "req_1",
        "replica": "one",
    }


def test_every_column_has_its_value() -> None:
    assert set(row_of(CHARGE)) == set(ChargeRow.model_fields)


def test_the_columns_that_are_summed() -> None:
    row = row_of(CHARGE)
    assert (row["input_tokens"], row["cached_tokens"], row["output_tokens"]) == (67 + 1152 + 3, 1152, 17)
    assert row["quarter_hour"] * 900 == datetime(2026, 11, 23, 14, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("cost_pico", "cost_usd"), [(None, None), (0, "0"), (1, "0.000000000001"), (10**18 + 1, "1000000.000000000001")]
)
def test_an_unknown_cost_is_not_zero_and_a_known_one_is_exact(cost_pico: int | None, cost_usd: str | None) -> None:
    record = record_of({**row_of(CHARGE), "cost_pico": cost_pico})
    assert (record["cost_pico"], record["cost_usd"]) == (cost_pico, cost_usd)


@given(st.integers(0, 10**20))
def test_dollars_and_picodollars_say_the_same(cost_pico: int) -> None:
    record = record_of({**row_of(CHARGE), "cost_pico": cost_pico})
    assert Decimal(record["cost_usd"]) * 10**12 == cost_pico


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone.min])))
def test_moments_come_back_in_utc(at: datetime) -> None:
    """As SQLite keeps them: without their zone."""
    column, dialect = UtcDateTime(), sqlite.dialect()
    try:
        kept: Any = column.process_bind_param(at, dialect)
    except OverflowError:  # the first and last hours of the calendar
        return
    found = column.process_result_value(kept.replace(tzinfo=None), dialect)
    assert found == at
    assert found is not None
    assert found.tzinfo is UTC
    assert column.process_result_value(at, dialect) is at


def test_no_moment_stays_none() -> None:
    column, dialect = UtcDateTime(), sqlite.dialect()
    assert column.process_bind_param(None, dialect) is column.process_result_value(None, dialect) is None
