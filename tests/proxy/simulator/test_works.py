"""What goes on after its answer: states by the clock, and a bill when it ends."""

import json
from decimal import Decimal
from typing import Any

import pytest

from proxy.simulator.simulator import Call, Simulator
from proxy.simulator.works import FLAGGED

EXAMPLE = {"messages": [{"role": "user", "content": "one two"}, {"role": "assistant", "content": "three!"}]}
TOKENS = 2 * 4 + 4
"""Of an example: four a message, a word or a mark each."""


class World:
    """A simulator whose clock the test winds."""

    def __init__(self) -> None:
        self.now = 1_790_000_000
        self.simulator = Simulator(1, clock=lambda: self.now)

    def ask(self, method: str, path: str, body: Any = b"") -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = self.simulator.answer(Call(method, f"/v1{path}", raw, "Bearer sk-x"))
        data = b"".join(reply.units)
        assert reply.status == 200, data
        return data if path.endswith("/content") else json.loads(data)

    def upload(self, data: str) -> str:
        form = f'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n{data}\r\n--b--\r\n'
        ident: str = self.ask("POST", "/files", form.encode())["id"]
        assert self.ask("GET", f"/files/{ident}/content") == data.encode()
        return ident

    def job(self, examples: int = 10, flagged: str = "", **more: Any) -> str:
        file = self.upload("\n".join([json.dumps(EXAMPLE)] * examples) + flagged)
        ident: str = self.ask("POST", "/fine_tuning/jobs", {"model": "gpt-4o-mini", "training_file": file} | more)["id"]
        return ident


@pytest.fixture
def world() -> World:
    return World()


def test_a_job_goes_through_its_states_and_is_billed_once(world: World) -> None:
    ident = world.job(100)
    states = []
    for _ in range(40):
        states.append(world.ask("GET", f"/fine_tuning/jobs/{ident}")["status"])
        world.now += 1
    assert list(dict.fromkeys(states)) == ["validating_files", "queued", "running", "succeeded"]
    assert world.ask("GET", f"/fine_tuning/jobs/{ident}")["trained_tokens"] == 100 * TOKENS * 3
    (row,) = world.simulator.bill
    assert (row.id, row.cost_usd) == (ident, Decimal(100 * TOKENS * 3 * 3).scaleb(-6))


@pytest.mark.parametrize(("examples", "epochs"), [(10, 10), (100, 3), (33, 4), (4, None)])
def test_openai_chooses_the_epochs(world: World, examples: int, epochs: int | None) -> None:
    ident = world.job(examples)
    world.now += 60
    job = world.ask("GET", f"/fine_tuning/jobs/{ident}")
    assert job["trained_tokens"] == (None if epochs is None else examples * TOKENS * epochs)
    assert job["status"] == ("failed" if epochs is None else "succeeded")


def test_flagged_data_blocks_a_job_and_costs_nothing(world: World) -> None:
    ident = world.job(20, FLAGGED)
    world.now += 60
    assert "moderation" in world.ask("GET", f"/fine_tuning/jobs/{ident}")["error"]["message"]
    assert world.simulator.bill.total_usd == 0


@pytest.mark.parametrize(("after", "share"), [(1, 0), (5 + 10, 10)])
def test_a_cancelled_job_costs_what_was_trained_on(world: World, after: int, share: int) -> None:
    ident = world.job(100)
    world.now += after
    cancelled = world.ask("POST", f"/fine_tuning/jobs/{ident}/cancel")
    assert (cancelled["status"], cancelled["trained_tokens"]) == ("cancelled", 100 * TOKENS * 3 * share // 25)
    assert world.ask("POST", f"/fine_tuning/jobs/{ident}/cancel") == cancelled


def test_a_batch_has_results_at_half_the_price(world: World) -> None:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file = world.upload("\n".join(map(json.dumps, [line, line | {"body": body | {"model": "none"}}])))
    batch = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    ident = world.ask("POST", "/batches", batch)["id"]
    assert world.ask("GET", f"/batches/{ident}")["output_file_id"] is None
    world.now += 11
    shown = world.ask("GET", f"/batches/{ident}")
    (result,) = map(json.loads, world.ask("GET", f"/files/{shown['output_file_id']}/content").splitlines())
    usage = result["response"]["body"]["usage"]
    assert shown["usage"]["total_tokens"] == usage["total_tokens"]
    expected = usage["prompt_tokens"] * Decimal("0.075") + usage["completion_tokens"] * Decimal("0.3")
    assert world.simulator.bill.total_usd == expected.scaleb(-6)


def test_an_answer_in_the_background_takes_its_time(world: World) -> None:
    ident = world.ask("POST", "/responses", {"model": "gpt-5.4", "input": "hi", "background": True})["id"]
    seen = []
    for _ in range(5):
        response = world.ask("GET", f"/responses/{ident}")
        seen.append((response["status"], response["usage"] is not None))
        world.now += 1
    assert list(dict.fromkeys(seen)) == [("queued", False), ("in_progress", False), ("completed", True)]
    assert len(world.simulator.bill) == 1


def test_what_is_not_there_is_refused_as_openai_does(world: World) -> None:
    for path in ("/files/file-x", "/files/file-x/content", "/batches/batch_x", "/fine_tuning/jobs/ftjob-x"):
        reply = world.simulator.answer(Call("GET", f"/v1{path}", b"", "Bearer sk-x"))
        assert reply.status == 404
        assert "No such" in json.loads(reply.units[0])["error"]["message"]
