from decimal import Decimal

import pytest

from proxy.simulator.bill import Bill, Row, usd
from proxy.simulator.tariff import Usage


def row(request_id: str, cost: str) -> Row:
    usage = Usage(input=10, cached=1, write_30m=2, write_12h=3, output=5, reasoning=4)
    return Row("chatcmpl-1", request_id, "chat", "gpt-4o-2024-08-06", "default", usage, Decimal(cost), "cut=3")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("0E-6", "0"),
        ("1.50", "1.5"),
        ("0.00000002", "0.00000002"),
        ("1E+3", "1000"),
        ("120", "120"),
    ],
)
def test_dollars_are_plain_decimals(amount: str, text: str) -> None:
    assert usd(Decimal(amount)) == text


def test_a_bill_adds_up_exactly_in_the_order_of_the_calls() -> None:
    bill = Bill()
    for request_id, cost in [("req_b", "0.1"), ("req_a", "0.2"), ("req_c", "0.0000000000001")]:
        bill.add(row(request_id, cost))
    assert bill.total_usd == Decimal("0.3000000000001")
    assert [entry.request_id for entry in bill] == ["req_b", "req_a", "req_c"]
    assert len(bill) == 3


def test_rows_are_told_in_full() -> None:
    bill = Bill()
    bill.add(row("req_1", "0.250"))
    assert bill.as_json() == {
        "total_usd": "0.25",
        "requests": 1,
        "rows": [
            {
                "id": "chatcmpl-1",
                "request_id": "req_1",
                "operation": "chat",
                "model": "gpt-4o-2024-08-06",
                "service_tier": "default",
                "usage": {
                    "input_tokens": 10,
                    "cached_tokens": 1,
                    "cache_write_30m_tokens": 2,
                    "cache_write_12h_tokens": 3,
                    "output_tokens": 5,
                    "reasoning_tokens": 4,
                },
                "cost_usd": "0.25",
                "fault": "cut=3",
                "disconnected": False,
            }
        ],
    }


def test_a_client_that_left_pays_all_the_same() -> None:
    bill = Bill()
    bill.add(row("req_1", "0.1"))
    bill.add(row("req_2", "0.2"))
    bill.mark_disconnected("req_2")
    assert [entry.disconnected for entry in bill] == [False, True]
    assert bill.total_usd == Decimal("0.3")


def test_after_a_reset_nothing_is_left_and_late_disconnects_add_nothing() -> None:
    bill = Bill()
    bill.add(row("req_1", "0.1"))
    bill.reset()
    bill.mark_disconnected("req_1")
    assert bill.as_json() == {"total_usd": "0", "requests": 0, "rows": []}
