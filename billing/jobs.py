"""Usage that arrives later: what an object of the upstream says of work that goes on after the answer that started it.

A table of kinds, and one decision: the object as it was seen is still under way, or final with what it used, or
final with its usage in a file of results. Which of them a call is waiting for is in its `Pending`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from billing.charges import Basis, Pending
from billing.meters.fees import ResponseReader
from billing.meters.flavours import Flavour
from billing.meters.media import EvaluationReader
from billing.meters.readers import BAD_JSON, Answered, an_object, fields, read_as, reported_in
from billing.meters.spellings import split
from billing.model_names import parse
from billing.requested import NOTHING_REQUESTED
from billing.usage import Reading, Unit, Usage

BATCH_TIER = "batch"

NEVER_TOLD = "never_told"
"""Reason of a charge whose usage did not come for as long as its kind waits for it."""

BLOCKED = "blocked_by_moderation"
"""Reason of a training job that failed because OpenAI's moderation flagged its examples."""


@dataclass(frozen=True, slots=True)
class Final:
    """How work has ended. `ended_at` is the moment it counts at, where that is not the one it was asked for. The usage
    is better known from the results in `file` (of requests to `endpoint`), where there is one."""

    basis: Basis
    reading: Reading | None = None
    reason: str | None = None
    ended_at: datetime | None = None
    file: str | None = None
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object: the statuses it ends with, how its end is read, and how often to ask for it: after `first`
    seconds, then twice as long each time up to `longest`, for `patience` at most."""

    final: frozenset[str]
    read: Callable[[bytes, dict[str, Any]], Final]
    first: float
    longest: float
    patience: timedelta

    def wait(self, tries: int) -> float:
        """Seconds before asking again."""
        return min(self.first * 2.0 ** min(tries, 30), self.longest)


def judge(kind: str, payload: bytes) -> Final | None:
    """What an object says, as it was seen: None while its work goes on, or where it cannot be told."""
    seen = fields(payload)
    wrapped = seen.get("response")  # the last event of a stream wraps it
    seen = wrapped if isinstance(wrapped, dict) else seen
    rule = KINDS[kind]
    return rule.read(payload, seen) if _text(seen, "status") in rule.final else None


def pending(operation: str, path: str, ident: str) -> Pending | None:
    """What is to be waited for after an object of that id was made by a POST to `path`; None for what is no kind."""
    return Pending(operation, f"{path}/{ident}") if operation in KINDS else None


def _response(payload: bytes, seen: dict[str, Any]) -> Final:
    """A background response: one that was cancelled or has failed may say no usage, which is not zero."""
    reader = ResponseReader(frozenset())
    reader.read(payload)
    return _reported(reader.reading, "cancelled" if seen["status"] == "cancelled" else "no_usage")


def _evaluation(payload: bytes, seen: dict[str, Any]) -> Final:
    reader = EvaluationReader(NOTHING_REQUESTED)
    reader.read(payload)
    return _reported(reader.reading, "no_usage")


def _batch(payload: bytes, seen: dict[str, Any]) -> Final:
    """A batch bills what has finished, also when it expired or was cancelled. Its results say more than its own sum:
    cache writes, and how long each context was."""
    ended = _moment(seen, "completed_at", "expired_at", "cancelled_at", "failed_at")
    results, endpoint = _text(seen, "output_file_id"), _text(seen, "endpoint") or ""
    used = reported_in(seen.get("usage"))
    usage = split(used) if used is not None else None
    reading = Reading(Usage(), _text(seen, "model"), BATCH_TIER, _text(seen, "id"))
    if results is None and not usage:  # nothing has finished
        return Final(Basis.REPORTED, reading, ended_at=ended)
    if not usage:
        return Final(Basis.UNKNOWN, reading, "no_usage", ended, results, endpoint)
    answered = Answered(reading.response_id, reading.model, BATCH_TIER, used)
    return Final(Basis.REPORTED, replace(read_as(answered, usage), context_tokens=0), None, ended, results, endpoint)


def _training(payload: bytes, seen: dict[str, Any]) -> Final:
    """A training job: the tokens that OpenAI says it bills. Reinforcement is billed by the second of its core loop, of
    which the job's own life is an estimate. One that failed is not billed for what it says nothing of."""
    ended, status, model = _moment(seen, "finished_at"), seen["status"], _text(seen, "model") or ""
    tuned = _text(seen, "fine_tuned_model") or (model if parse(model).fine_tuned else f"ft:{model}")
    why = _why(seen) if status == "failed" else None

    def read(unit: Unit, quantity: int) -> Reading:
        return Reading(Usage({unit: quantity}), tuned, None, _text(seen, "id"))

    tokens = seen.get("trained_tokens")
    if type(tokens) is int and tokens >= 0:
        return Final(Basis.REPORTED, read(Unit.TRAINING_TOKENS, tokens), why, ended)
    reinforced = an_object(seen.get("method")).get("type") == "reinforcement"
    if status == "failed" and not reinforced:
        return Final(Basis.REPORTED, read(Unit.TRAINING_TOKENS, 0), why, ended)
    begun = _moment(seen, "created_at")
    if reinforced and status == "succeeded" and ended and begun:
        seconds = max(int((ended - begun).total_seconds()), 0)
        return Final(Basis.ESTIMATED, read(Unit.TRAINING_SECONDS, seconds), "training_time", ended)
    return Final(Basis.UNKNOWN, read(Unit.TRAINING_TOKENS, 0), why or "no_usage", ended)


def _why(seen: dict[str, Any]) -> str:
    """Why a job has failed: a code, and never the words, which may quote an example."""
    error = an_object(seen.get("error"))
    message, code = error.get("message"), error.get("code")
    if isinstance(message, str) and "moderation" in message.lower():
        return BLOCKED
    return code if isinstance(code, str) and code.isidentifier() and len(code) < 64 else "failed"


def _reported(reading: Reading | None, otherwise: str) -> Final:
    return Final(Basis.REPORTED, reading) if reading is not None else Final(Basis.UNKNOWN, None, otherwise)


def _text(seen: dict[str, Any], name: str) -> str | None:
    value = seen.get(name)
    return value if isinstance(value, str) and value else None


def _moment(seen: dict[str, Any], *names: str) -> datetime | None:
    """The first of these moments that is told, in Unix seconds."""
    for name in names:
        value = seen.get(name)
        if type(value) is int and 0 < value < 2**33:
            return datetime.fromtimestamp(value, UTC)
    return None


KINDS: Mapping[str, Kind] = {
    "responses": Kind(
        frozenset({"completed", "incomplete", "failed", "cancelled"}), _response, 2, 60, timedelta(days=2)
    ),
    "batch": Kind(frozenset({"completed", "expired", "cancelled", "failed"}), _batch, 5, 300, timedelta(days=4)),
    "fine_tuning": Kind(frozenset({"succeeded", "failed", "cancelled"}), _training, 10, 300, timedelta(days=60)),
    "evaluation": Kind(frozenset({"completed", "failed", "canceled"}), _evaluation, 5, 300, timedelta(days=4)),
}
"""By the operation of the call that starts the work."""


class _Answer(msgspec.Struct):
    status_code: int = 0
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    response: _Answer | None = None


_LINE = msgspec.json.Decoder(_Line)
_DONE = 200


class Results:
    """What the lines of a batch's results used, fed one by one: a reading for each model, variant and side of its
    long-context threshold, which `is_long` knows. Lines that failed are in another file and cost nothing."""

    def __init__(self, flavour: Flavour, is_long: Callable[[Reading], bool]) -> None:
        """`flavour` is that of the answers in the lines."""
        self._flavour = flavour
        self._is_long = is_long
        self._sums: dict[tuple[str | None, str, bool], Reading] = {}
        self.unread = 0

    def add(self, line: bytes) -> None:
        """The next line: `{"custom_id", "response": {"status_code", "body"}, "error"}`."""
        try:
            answer = _LINE.decode(line).response
        except BAD_JSON:
            self.unread += 1
            return
        if answer is None or answer.status_code != _DONE:
            return
        reader = self._flavour.reader(NOTHING_REQUESTED)
        reader.read(bytes(answer.body))
        if (reading := reader.reading) is None:
            self.unread += 1
            return
        for part in (reading, *reading.besides):
            self._add(replace(part, service_tier=BATCH_TIER, besides=(), response_id=None))

    def final(self, otherwise: Final) -> Final:
        """The end of the batch by its results; `otherwise` is what its own object says."""
        told = otherwise.reading or Reading(Usage())
        first, *others = self._sums.values() or (Reading(Usage(), told.model, BATCH_TIER),)
        basis, reason = (Basis.ESTIMATED, "no_usage") if self.unread else (Basis.REPORTED, None)
        reading = replace(first, response_id=told.response_id, besides=tuple(others))
        return replace(otherwise, basis=basis, reading=reading, reason=reason, file=None)

    def _add(self, part: Reading) -> None:
        size = part.usage.input_tokens
        place = part.model, part.variant, self._is_long(part)
        if (known := self._sums.get(place)) is None:
            self._sums[place] = replace(part, context_tokens=size)
        else:
            self._sums[place] = replace(
                known,
                usage=known.usage + part.usage,
                context_tokens=max(known.context_tokens or 0, size),
                reasoning_tokens=known.reasoning_tokens + part.reasoning_tokens,
            )
