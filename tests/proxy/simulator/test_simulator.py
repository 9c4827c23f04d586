import json
from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from proxy.simulator.simulator import Call, Reply, Simulator

CHAT = "/v1/chat/completions"
HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
VECTOR = {"model": "text-embedding-3-small", "input": "x"}


def simulator(seed: int = 1, **options: Any) -> Simulator:
    return Simulator(seed, clock=lambda: 1_795_000_000.5, **options)


def post(path: str, body: Any, said: str | None = None) -> Call:
    return Call("POST", path, json.dumps(body).encode(), "Bearer sk-test", said)


def get(path: str) -> Call:
    return Call("GET", path, authorization="Bearer sk-test")


def body(reply: Reply) -> Any:
    return json.loads(b"".join(reply.units))


@pytest.mark.parametrize(
    ("path", "asked", "said", "cost"),
    [
        # 1,000 × $2.50 + 100 × $10, per million
        (CHAT, HELLO, "prompt_tokens=1000; completion_tokens=100", "0.0035"),
        # 976 × $2.50 + 1,024 × $1.25 + 7 × $10
        (CHAT, HELLO, "prompt_tokens=2000; cached_tokens=1024; completion_tokens=7", "0.00379"),
        # flex: 1,000 × $1.25 + 100 × $7.50
        (CHAT, HELLO | {"model": "gpt-5.4"}, "prompt_tokens=1000; completion_tokens=100; tier=flex", "0.002"),
        # long: 300,000 × $5 + 10 × $22.50
        (CHAT, HELLO | {"model": "gpt-5.4"}, "prompt_tokens=300000; completion_tokens=10", "1.500225"),
        # 20 × $0.20 + 30 × $0.02 + 50 × $0.25 + 10 × $1.20
        (
            CHAT, HELLO | {"model": "gpt-5.6-luna"},
            "prompt_tokens=100; cached_tokens=30; cache_write_tokens=50; completion_tokens=10", "0.0000291",
        ),
        # 60 × $2 + 40 × $5 + 10 × $10
        (
            "/v1/responses", {"model": "gpt-6.1-sol", "input": "x"},
            "prompt_tokens=100; cache_write_12h_tokens=40; completion_tokens=10", "0.00042",
        ),
        # 100 × $0.30 + 10 × $1.20
        (
            CHAT, HELLO | {"model": "ft:gpt-4o-mini-2024-07-18:acme::A1"},
            "prompt_tokens=100; completion_tokens=10", "0.000042",
        ),
        # 10 × $1.50 + 10 × $2
        (
            "/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "x"},
            "prompt_tokens=10; completion_tokens=10", "0.000035",
        ),
        # 1,000 × $2.50 + 100 × $15
        (
            "/v1/responses/compact", {"model": "gpt-5.4", "input": "x"},
            "prompt_tokens=1000; completion_tokens=100", "0.004",
        ),
        # 3 × $0.02
        ("/v1/embeddings", VECTOR, "prompt_tokens=3", "0.00000006"),
    ],
)  # fmt: skip
def test_hand_computed_bills(path: str, asked: dict[str, Any], said: str, cost: str) -> None:
    openai = simulator()
    assert openai.answer(post(path, asked, said)).status == 200
    assert openai.bill.as_json()["total_usd"] == cost


def test_a_row_says_what_the_answer_said() -> None:
    openai = simulator()
    reply = openai.answer(post(CHAT, HELLO, "words=5; delay=1"))
    said, (row,) = body(reply), openai.bill
    assert (row.id, row.request_id, row.operation) == (said["id"], reply.request_id, "chat")
    assert (row.model, row.service_tier) == (said["model"], said["service_tier"])
    assert (row.usage.input, row.usage.output) == (
        said["usage"]["prompt_tokens"],
        said["usage"]["completion_tokens"],
    )
    assert row.fault == "delay=1"


def test_embeddings_have_a_row_without_an_id() -> None:
    openai = simulator()
    reply = openai.answer(post("/v1/embeddings", {"model": "text-embedding-3-small", "input": "x"}))
    (row,) = openai.bill
    assert (row.id, row.request_id) == (None, reply.request_id)


def traffic() -> list[Call]:
    models = ["gpt-4o", "gpt-5.6-sol", "o3"]
    return [
        post(CHAT, HELLO | {"model": model, "service_tier": "fast", "user": f"u{number % 20}"})
        for number, model in enumerate(models * 30)
    ]


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again, other = simulator(7), simulator(7), simulator(8)
    replies = [[openai.answer(call).units for call in traffic()] for openai in (first, again, other)]
    assert replies[0] == replies[1] != replies[2]
    assert first.bill.as_json() == again.bill.as_json()


def test_the_bill_does_not_depend_on_the_order_of_the_calls() -> None:
    in_order, shuffled = simulator(7), simulator(7)
    calls = traffic()
    for call in calls:
        in_order.answer(call)
    for call in Random(3).sample(calls, len(calls)):
        shuffled.answer(call)
    assert Counter(row.id for row in in_order.bill) == Counter(row.id for row in shuffled.bill)
    assert in_order.bill.total_usd == shuffled.bill.total_usd > 0


def test_equal_calls_are_answered_differently() -> None:
    openai = simulator()
    ids = {body(openai.answer(post(CHAT, HELLO)))["id"] for _ in range(20)}
    assert len(ids) == len(openai.bill) == 20


def test_a_named_draw_repeats_the_answer_but_not_the_request_id() -> None:
    openai = simulator()
    first = openai.answer(post(CHAT, HELLO, "draw=a"))
    again = openai.answer(post(CHAT, HELLO | {"stream_options": {"include_usage": True}}, "draw=a"))
    assert first.units == again.units
    assert first.request_id != again.request_id
    assert len(openai.bill) == 2


def test_asking_for_usage_changes_nothing_but_the_usage() -> None:
    streamed = HELLO | {"stream": True}
    without = simulator().answer(post(CHAT, streamed)).units
    *chunks, _usage, done = simulator().answer(post(CHAT, streamed | {"stream_options": {"include_usage": True}})).units
    assert tuple(chunk.replace(b'"usage":null,', b"") for chunk in chunks) == without[:-1]
    assert done == without[-1]


REFUSALS = [
    (Call("POST", CHAT, b"{}"), 401, None),
    (Call("POST", CHAT, b"{}", "Bearer "), 401, None),
    (Call("POST", CHAT, b"{", "Bearer k"), 400, None),
    (post(CHAT, {"model": "gpt-4o"}), 400, "missing_required_parameter"),
    (post(CHAT, HELLO | {"model": "gpt-9"}), 404, "model_not_found"),
    (post("/v1/responses", {"model": "gpt-9", "input": "x"}), 400, "model_not_found"),
    (post("/v1/threads", {}), 404, None),
    (get(CHAT), 404, None),
    (get("/v1/responses/resp_unknown"), 404, None),
    (get("/v1/models/gpt-9"), 404, "model_not_found"),
    (post(CHAT, HELLO, "explode"), 400, None),
    (post(CHAT, HELLO, "tier=flex"), 400, None),
    (post(CHAT, HELLO, "status=429"), 429, "rate_limit_exceeded"),
    (post(CHAT, HELLO, "status=503"), 503, "server_is_overloaded"),
]


@pytest.mark.parametrize(("call", "status", "code"), REFUSALS)
def test_refusals_have_openais_shape_and_cost_nothing(call: Call, status: int, code: str | None) -> None:
    openai = simulator()
    reply = openai.answer(call)
    error = body(reply)["error"]
    assert (reply.status, error["code"]) == (status, code)
    assert error.keys() == {"message", "type", "param", "code"}
    assert len(openai.bill) == 0


@pytest.mark.parametrize(
    ("call", "key"),
    [
        (post("/v1/moderations", {"input": "x"}), "results"),
        (get("/v1/models"), "data"),
        (get("/v1/models/gpt-4o"), "owned_by"),
    ],
)
def test_what_is_free_is_on_no_bill(call: Call, key: str) -> None:
    openai = simulator()
    assert key in body(openai.answer(call))
    assert len(openai.bill) == 0


@pytest.mark.parametrize(
    ("path", "asked", "kept"),
    [
        ("/v1/responses", {"model": "gpt-4o", "input": "x"}, True),
        ("/v1/responses", {"model": "gpt-4o", "input": "x", "store": False}, False),
        (CHAT, HELLO, False),
        (CHAT, HELLO | {"store": True}, True),
    ],
)
def test_what_is_stored_can_be_read_again_for_nothing(path: str, asked: dict[str, Any], kept: bool) -> None:
    openai = simulator()
    first = body(openai.answer(post(path, asked)))
    again = openai.answer(get(f"{path}/{first['id']}"))
    assert again.status == (200 if kept else 404)
    assert (body(again) == first) is kept
    assert len(openai.bill) == 1


def test_a_streamed_response_is_stored_whole() -> None:
    openai = simulator()
    reply = openai.answer(post("/v1/responses", {"model": "gpt-4o", "input": "x", "stream": True}))
    last = json.loads(reply.units[-1].partition(b"data: ")[2])
    assert body(openai.answer(get(f"/v1/responses/{last['response']['id']}"))) == last["response"]


def test_shares_of_calls_suffer_faults() -> None:
    openai = simulator(faults=["0.2 status=500", "0.3 cut=1"])
    replies = [openai.answer(post(CHAT, HELLO)) for _ in range(400)]
    suffered = Counter(reply.told.fault for reply in replies)
    assert 50 < suffered["status=500"] < 110
    assert 90 < suffered["cut=1"] < 150
    assert suffered.total() == 400
    assert len(openai.bill) == 400 - suffered["status=500"]
    assert Counter(row.fault for row in openai.bill)["cut=1"] == suffered["cut=1"]


def test_calls_that_say_something_and_free_calls_suffer_nothing_else() -> None:
    openai = simulator(faults=["1 status=500"])
    assert openai.answer(post(CHAT, HELLO)).status == 500
    assert openai.answer(post(CHAT, HELLO, "words=1")).status == 200
    assert openai.answer(post(CHAT, HELLO, "")).status == 200
    assert openai.answer(get("/v1/models")).status == 200


@pytest.mark.parametrize("path", [CHAT, "/v1/responses", "/v1/completions"])
def test_a_stream_can_break_with_an_error_and_is_billed_whole(path: str) -> None:
    openai = simulator()
    asked = HELLO | {"input": "x", "prompt": "x", "stream": True}
    whole = openai.answer(post(path, asked, "draw=a; words=9"))
    broken = openai.answer(post(path, asked, "draw=a; words=9; error_midstream=2"))
    assert broken.units[:2] == whole.units[:2]
    assert len(broken.units) == 3
    assert b"server_error" in broken.units[2]
    costs = [row.cost_usd for row in openai.bill]
    assert costs[0] == costs[1] > Decimal(0)


def test_a_reset_leaves_a_clean_bill() -> None:
    openai = simulator()
    openai.answer(post(CHAT, HELLO))
    openai.reset()
    assert openai.bill.as_json() == {"total_usd": "0", "requests": 0, "rows": []}
