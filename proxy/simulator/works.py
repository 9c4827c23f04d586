"""What goes on after its answer: files, uploads, batches and fine-tuning jobs, by the simulator's clock and rules.

Work is billed at the moment it ends, whether or not anybody looks. Tokens of training are counted by words, as OpenAI's
dashboard was seen to (`<|im_start|>role<|im_sep|>content<|im_end|>`), times the epochs, by code shared with nobody.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from proxy.simulator import asks, tariff, wire
from proxy.simulator.bill import Bill, Row
from proxy.simulator.tariff import Usage
from proxy.simulator.wire import ALPHANUMERIC, Json, Refusal

TRAINING_USD = {"gpt-4.1": "25", "gpt-4.1-mini": "5", "gpt-4o": "25", "gpt-4o-mini": "3", "gpt-3.5-turbo": "8"}
"""US dollars per million trained tokens."""

FLAGGED = "<flagged>"
"""Training data with this in it does not pass moderation."""

_BLOCKED = (
    "The job failed due to an invalid training file. This training file was blocked because too many examples were "
    "flagged by our moderation API for containing content that violates OpenAI's usage policies in the following "
    "categories: hate. Use the free OpenAI Moderation API to identify these examples and remove them from your "
    "training data. See https://platform.openai.com/docs/guides/moderation for more information."
)
_WORD = re.compile(r"\w+|[^\w\s]")
_FEWEST_EXAMPLES = 10
_BATCH = {"validating": 1, "in_progress": 9, "finalizing": 1}
_JOB = {"validating_files": 2, "queued": 3, "running": 25}
"""Seconds of each state; then the work has ended."""

Line = Callable[[str, Json], tuple[Json, Usage, tariff.Model]]
"""Answers one request of a batch: its body, what it used, who answered. Raises Refusal."""


@dataclass(slots=True)
class _File:
    shown: Json
    data: bytes


@dataclass(slots=True)
class _Work:
    """A batch or a job: what is shown of it, the states it goes through, and what happens at its end."""

    shown: Json
    states: dict[str, int]
    finish: Callable[["_Work", int], None]
    ended: bool = False

    def at(self, now: int) -> tuple[str, int] | None:
        """Its state and for how long it has been in it; None when it is through."""
        since = now - int(self.shown["created_at"])
        for state, seconds in self.states.items():
            if since < seconds:
                return state, since
            since -= seconds
        return None


@dataclass(slots=True)
class Works:
    """All that goes on. `line` answers a request of a batch; `clock` is in Unix seconds."""

    seed: int
    clock: Callable[[], float]
    bill: Bill
    line: Line
    files: dict[str, _File] = field(default_factory=dict)
    uploads: dict[str, tuple[Json, dict[str, bytes]]] = field(default_factory=dict)
    works: dict[str, _Work] = field(default_factory=dict)
    made: int = 0

    def advance(self) -> None:
        """Bring everything to where it is by the clock, and bill what has ended."""
        now = int(self.clock())
        for work in self.works.values():
            if work.ended:
                continue
            if state := work.at(now):
                work.shown["status"] = state[0]
            else:
                work.ended = True
                work.finish(work, int(work.shown["created_at"]) + sum(work.states.values()))

    def answer(self, method: str, path: str, body: bytes) -> bytes | None:
        """The answer to a call that is about any of it; None for one that is not. Raises Refusal."""
        self.advance()
        for its_method, pattern, act in _ROUTES:
            if its_method == method and (match := pattern.fullmatch(path)):
                answered = act(self, body, *match.groups())
                return answered if isinstance(answered, bytes) else wire.whole(answered)
        return None

    # Files and uploads

    def upload_file(self, body: bytes) -> Json:
        fields = _form(body)
        name, data = fields.get("file", ("", b""))
        return self._add_file(data, name, fields.get("purpose", ("", b""))[1].decode())

    def begin_upload(self, body: bytes) -> Json:
        asked = asks.parse(body)
        shown = self._new("upload_", object="upload", status="pending", file=None) | asked
        self.uploads[shown["id"]] = shown, {}
        return shown

    def add_part(self, body: bytes, ident: str) -> Json:
        part = self._new("part_", object="upload.part", upload_id=ident)
        self._upload(ident)[1][part["id"]] = _form(body)["data"][1]
        return part

    def complete_upload(self, body: bytes, ident: str) -> Json:
        shown, parts = self._upload(ident)
        data = b"".join(parts[part] for part in asks.parse(body)["part_ids"])
        shown |= {"status": "completed", "file": self._add_file(data, shown["filename"], shown["purpose"])}
        return shown

    def read_file(self, _: bytes, ident: str) -> Json:
        return self._file(ident).shown

    def read_content(self, _: bytes, ident: str) -> bytes:
        return self._file(ident).data

    def list_files(self, _: bytes) -> Json:
        return _page([file.shown for file in self.files.values()])

    # Batches

    def create_batch(self, body: bytes) -> Json:
        asked = asks.parse(body)
        self._file(asked.get("input_file_id"))
        shown = self._new("batch_", object="batch", status="validating", output_file_id=None, error_file_id=None)
        return self._begin(shown | asked, _BATCH, self._finish_batch)

    def _finish_batch(self, work: _Work, at: int) -> None:
        shown, results = work.shown, list[str]()
        total, cost, model = Usage(0), Decimal(0), None
        for line in self._file(shown["input_file_id"]).data.decode().splitlines():
            asked = json.loads(line)
            try:
                answer, used, model = self.line(asked["url"], asked["body"])
                cost += tariff.batch_cost(used, model)
            except Refusal:
                continue  # its line is in the file of errors, which nobody reads here
            total = Usage(total.input + used.input, output=total.output + used.output)
            told = {"status_code": 200, "request_id": self._name("req_"), "body": answer}
            results.append(
                json.dumps(
                    {"id": self._name("batch_req_"), "custom_id": asked["custom_id"], "response": told, "error": None}
                )
            )
        file = self._add_file("\n".join(results).encode(), "output.jsonl", "batch_output")
        shown |= {
            "status": "completed", "completed_at": at, "output_file_id": file["id"],
            "model": model.served if model else None, "request_counts": {"completed": len(results)},
            "usage": {
                "input_tokens": total.input, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": total.output, "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": total.input + total.output,
            },
        }  # fmt: skip
        self._charge(shown["id"], "batch", model.served if model else "", "batch", total, cost)

    # Fine-tuning

    def create_job(self, body: bytes) -> Json:
        asked = asks.parse(body)
        self._file(asked.get("training_file"))
        if tariff.listed_base(asked.get("model", "")) not in TRAINING_USD:
            message = f"Model {asked.get('model')} is not available for fine-tuning or does not exist."
            raise Refusal(400, message, code="model_not_available")
        shown = self._new(
            "ftjob-", object="fine_tuning.job", status="validating_files", trained_tokens=None, fine_tuned_model=None,
            finished_at=None, error={}, result_files=[], organization_id="org-simulated", seed=1, validation_file=None,
            hyperparameters={"n_epochs": "auto"},
        )  # fmt: skip
        return self._begin(shown | asked, _JOB, self._finish_job)

    def cancel_job(self, _: bytes, ident: str) -> Json:
        """What was trained on so far is billed."""
        work = self._work(ident)
        if not work.ended:
            state = work.at(int(self.clock()))
            done = state[1] if state and state[0] == "running" else 0
            work.ended = True
            self._end_job(work, "cancelled", int(self.clock()), self._trained(work) * done // _JOB["running"])
        return work.shown

    def list_of_job(self, _: bytes, ident: str) -> Json:
        self._work(ident)
        return _page([])

    def _finish_job(self, work: _Work, at: int) -> None:
        data = self._file(work.shown["training_file"]).data.decode()
        if FLAGGED in data or len(data.splitlines()) < _FEWEST_EXAMPLES:
            said = _BLOCKED if FLAGGED in data else "Training file has too few examples, and must have at least 10."
            work.shown["error"] = {"code": "invalid_training_file", "param": "training_file", "message": said}
            self._end_job(work, "failed", at, 0)
        else:
            owner = f"simulated:{work.shown.get('suffix') or ''}:{self._name('', 8)}"
            work.shown["fine_tuned_model"] = f"ft:{work.shown['model']}:{owner}"
            self._end_job(work, "succeeded", at, self._trained(work))

    def _end_job(self, work: _Work, status: str, at: int, tokens: int) -> None:
        shown = work.shown
        shown |= {"status": status, "finished_at": at, "trained_tokens": tokens if status != "failed" else None}
        cost = (tokens * Decimal(TRAINING_USD[tariff.listed_base(shown["model"])])).scaleb(-6)
        self._charge(
            shown["id"],
            "fine_tuning",
            shown["fine_tuned_model"] or f"ft:{shown['model']}",
            "default",
            Usage(tokens),
            cost,
        )

    def _trained(self, work: _Work) -> int:
        """The tokens of all epochs."""
        examples = [json.loads(line) for line in self._file(work.shown["training_file"]).data.decode().splitlines()]
        words = sum(
            4 + len(_WORD.findall(message["content"])) for example in examples for message in example["messages"]
        )
        given = work.shown.get("hyperparameters", {}).get("n_epochs")
        method = work.shown.get("method") or {}
        given = method.get("supervised", {}).get("hyperparameters", {}).get("n_epochs") or given
        return words * (given if isinstance(given, int) else _epochs(len(examples)))

    # All of them

    def read_work(self, _: bytes, ident: str) -> Json:
        return self._work(ident).shown

    def list_batches(self, _: bytes) -> Json:
        return _page([work.shown for work in self.works.values() if work.shown["object"] == "batch"])

    def list_jobs(self, _: bytes) -> Json:
        return _page([work.shown for work in self.works.values() if work.shown["object"] != "batch"])

    def _begin(self, shown: Json, states: dict[str, int], finish: Callable[[_Work, int], None]) -> Json:
        self.works[shown["id"]] = _Work(shown, states, finish)
        return shown

    def _add_file(self, data: bytes, name: str, purpose: str) -> Json:
        shown = self._new("file-", object="file", bytes=len(data), filename=name, purpose=purpose, status="processed")
        self.files[shown["id"]] = _File(shown, data)
        return shown

    def _charge(self, ident: str, operation: str, model: str, tier: str, usage: Usage, cost: Decimal) -> None:
        self.bill.add(Row(ident, f"{ident}/bill", operation, model, tier, usage, cost))

    def _new(self, prefix: str, **fields: object) -> Json:
        return {"id": self._name(prefix), "created_at": int(self.clock()), **fields}

    def _name(self, prefix: str, length: int = 24) -> str:
        self.made += 1
        return wire.name(wire.luck(self.seed, "works", self.made), prefix, length, ALPHANUMERIC)

    def _file(self, ident: object) -> _File:
        if ident not in self.files:
            raise Refusal(404, f"No such File object: {ident}", param="id")
        return self.files[str(ident)]

    def _upload(self, ident: str) -> tuple[Json, dict[str, bytes]]:
        if ident not in self.uploads:
            raise Refusal(404, f"No such Upload object: {ident}", param="id")
        return self.uploads[ident]

    def _work(self, ident: str) -> _Work:
        if ident not in self.works:
            raise Refusal(404, f"No such object: {ident}")
        return self.works[ident]


def _epochs(examples: int) -> int:
    """What OpenAI chooses: three, but at least 100 and at most 25,000 examples seen, and 25 epochs at most."""
    epochs = 3
    while epochs < 25 and epochs * examples < 100:
        epochs += 1
    while epochs > 1 and epochs * examples > 25_000:
        epochs -= 1
    return epochs


def _page(items: list[Json]) -> Json:
    ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {}
    return {"object": "list", "data": items, "has_more": False, **ends}


def _form(body: bytes) -> dict[str, tuple[str, bytes]]:
    """A form's fields by name: file name and content."""
    boundary = body.partition(b"\r\n")[0]
    fields: dict[str, tuple[str, bytes]] = {}
    for part in body.split(boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        said = dict(re.findall(r'(name|filename)="([^"]*)"', head.decode()))
        fields[said["name"]] = said.get("filename", ""), content.removesuffix(b"\r\n")
    return fields


_ROUTES: tuple[tuple[str, re.Pattern[str], Callable[..., Json | bytes]], ...] = tuple(
    (method, re.compile("/v1" + path.replace("{id}", "([^/]+)")), act)
    for method, path, act in (
        ("POST", "/files", Works.upload_file),
        ("GET", "/files", Works.list_files),
        ("GET", "/files/{id}", Works.read_file),
        ("GET", "/files/{id}/content", Works.read_content),
        ("POST", "/uploads", Works.begin_upload),
        ("POST", "/uploads/{id}/parts", Works.add_part),
        ("POST", "/uploads/{id}/complete", Works.complete_upload),
        ("POST", "/batches", Works.create_batch),
        ("GET", "/batches", Works.list_batches),
        ("GET", "/batches/{id}", Works.read_work),
        ("POST", "/fine_tuning/jobs", Works.create_job),
        ("GET", "/fine_tuning/jobs", Works.list_jobs),
        ("GET", "/fine_tuning/jobs/{id}", Works.read_work),
        ("POST", "/fine_tuning/jobs/{id}/cancel", Works.cancel_job),
        ("GET", "/fine_tuning/jobs/{id}/events", Works.list_of_job),
        ("GET", "/fine_tuning/jobs/{id}/checkpoints", Works.list_of_job),
    )
)
