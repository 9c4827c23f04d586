"""The simulator without its sockets: a call in, a reply out, a row on the bill."""

import hashlib
import json
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count, islice

from proxy.simulator import asks, chats, minds, responses, short_answers, tariff, wire
from proxy.simulator.asks import Operation
from proxy.simulator.bill import Bill, Row
from proxy.simulator.instructions import HEADER, Instruction, pick, read_shares
from proxy.simulator.minds import Turn
from proxy.simulator.wire import ALPHANUMERIC, HEX, Json, Refusal
from proxy.simulator.works import Works

_MOST_KEPT = 10_000
_NO_KEY = "You didn't provide an API key. Provide it in an Authorization header using Bearer auth."


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `said` is its `x-simulate` header, `authorization` its header of that name."""

    method: str
    path: str
    body: bytes = b""
    authorization: str | None = None
    said: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: the events of a stream or one whole body, and what was told about how to send it."""

    request_id: str
    told: Instruction
    units: tuple[bytes, ...]
    status: int = 200
    streamed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How an operation answers. `kept`: answers can be read again by default, on demand, or never (None)."""

    whole: Callable[[Turn], Json]
    events: Callable[[Turn], Iterator[bytes]] | None = None
    id_style: tuple[str, int, str] | None = None
    ending: str = "\n"
    kept: bool | None = None


_RESPONSE_ID = ("resp_", 50, HEX)
_SHAPES = {
    "chat": _Shape(chats.whole, chats.events, ("chatcmpl-", 29, ALPHANUMERIC), kept=False),
    "text_completion": _Shape(chats.whole, chats.events, ("cmpl-", 29, ALPHANUMERIC)),
    "responses": _Shape(responses.whole, responses.events, _RESPONSE_ID, ending="", kept=True),
    "compact": _Shape(responses.compacted, None, _RESPONSE_ID, ending=""),
    "embeddings": _Shape(short_answers.embeddings),
}
_BACKGROUND = {"queued": 1, "in_progress": 2}
"""Seconds that an answer in the background takes."""

_METERED = {operation.path: operation for operation in asks.OPERATIONS}


class Simulator:
    """An OpenAI with a seed: the same seed and the same calls give the same answers and the same bill.

    A call's luck comes from the seed, its path, its body without `stream_options`, and how many such calls
    came before; so it does not matter in which order calls that differ come in.
    """

    def __init__(self, seed: int = 0, *, faults: Iterable[str] = (), clock: Callable[[], float] = time.time) -> None:
        """`faults`: lines such as `0.05 cut=3`, suffered by that share of the metered calls that say nothing
        themselves. `clock`: Unix seconds. Raises ValueError for a line that cannot be understood.
        """
        self.bill = Bill()
        self._seed = seed
        self._shares = read_shares(faults)
        self._clock = clock
        self._numbers = count()
        self._seen: Counter[str] = Counter()
        self._kept: OrderedDict[str, Turn] = OrderedDict()
        self.works = Works(seed, clock, self.bill, self._line)
        self._free: tuple[tuple[str, re.Pattern[str], Callable[..., Json]], ...] = (
            ("GET", re.compile(r"/v1/models"), short_answers.model_list),
            ("GET", re.compile(r"/v1/models/([^/]+)"), short_answers.model),
            ("GET", re.compile(r"/v1/responses/(resp_[^/]+)"), self._read_again),
            ("GET", re.compile(r"/v1/chat/completions/(chatcmpl-[^/]+)"), self._read_again),
        )

    def reset(self) -> None:
        """A clean bill; luck and what is kept go on."""
        self.bill.reset()

    def answer(self, call: Call) -> Reply:
        """Answer a call and bill it. What it refuses is a reply too, in OpenAI's error shape."""
        request_id = wire.name(wire.luck(self._seed, "request", next(self._numbers)), "req_", 32)
        told = Instruction()
        try:
            told, luck = self._told(call)
            wire.refuse_with(told.status)
            operation = _METERED.get(call.path) if call.method == "POST" else None
            if operation:
                return self._metered(operation, call, told, luck, request_id)
            if (worked := self.works.answer(call.method, call.path, call.body)) is not None:
                return Reply(request_id, told, (worked,))
            return Reply(request_id, told, (wire.whole(self._unmetered(call, luck)),))
        except Refusal as refusal:
            return Reply(request_id, told, (wire.whole(refusal.body),), refusal.status, headers=refusal.headers)

    def _told(self, call: Call) -> tuple[Instruction, str]:
        """What the call is told, by itself or by the operator, and the seed of its luck."""
        if not (call.authorization or "").removeprefix("Bearer").strip():
            raise Refusal(401, _NO_KEY)
        try:
            told = Instruction.read(call.said) if call.said is not None else None
        except ValueError as reason:
            raise Refusal(400, f"{reason}.", param=HEADER) from None
        if told and told.draw is not None:
            return told, f"{self._seed}/{call.path}/draw/{told.draw}"
        sameness = _fingerprint(call)
        self._seen[sameness] += 1
        luck = f"{self._seed}/{sameness}/{self._seen[sameness]}"
        if told is None:
            metered = call.method == "POST" and call.path in _METERED
            told = pick(self._shares, wire.luck(luck, "fault").random()) if metered else Instruction()
        return told, luck

    def _metered(self, operation: Operation, call: Call, told: Instruction, luck: str, request_id: str) -> Reply:
        """Decide, bill, keep, shape. From the bill on, nothing the caller does makes the call any cheaper."""
        ask = asks.read(operation, asks.parse(call.body))
        shape = _SHAPES[operation.name]
        answer = minds.answer(ask, told, wire.luck(luck))
        turn_id = wire.name(wire.luck(luck, "id"), *shape.id_style) if shape.id_style else ""
        turn = Turn(ask, answer, turn_id, int(self._clock()), not told.no_usage)
        cost = tariff.cost(answer.usage, answer.rates)
        row = Row(
            turn_id or None,
            request_id,
            operation.name,
            ask.model.served,
            answer.tier,
            answer.usage,
            cost,
            told.fault,
        )
        self.bill.add(row)
        self._keep(turn, shape)
        if ask.streamed and shape.events:
            return Reply(request_id, told, _broken_off(shape.events(turn), told, operation), streamed=True)
        return Reply(request_id, told, (wire.whole(self._shown(turn), shape.ending),))

    def _shown(self, turn: Turn) -> Json:
        """An answer as it is now: one in the background takes its time."""
        whole = _SHAPES[turn.ask.operation.name].whole(turn)
        if turn.ask.body.get("background") is not True or turn.ask.streamed:
            return whole
        since = self._clock() - turn.created_at
        if since >= sum(_BACKGROUND.values()):
            return whole | {"background": True}
        state = "queued" if since < _BACKGROUND["queued"] else "in_progress"
        return whole | {"background": True, "status": state, "output": [], "usage": None, "completed_at": None}

    def _line(self, path: str, body: Json) -> tuple[Json, tariff.Usage, tariff.Model]:
        """The answer to a request of a batch. Raises Refusal."""
        operation = _METERED.get(path)
        if operation is None:
            raise Refusal(400, f"{path} is not offered in batches here")
        shape, ask = _SHAPES[operation.name], asks.read(operation, body)
        luck = f"{self._seed}/batch/{next(self._numbers)}"
        turn_id = wire.name(wire.luck(luck, "id"), *shape.id_style) if shape.id_style else ""
        answer = minds.answer(ask, Instruction(tier="default"), wire.luck(luck))
        used = replace(answer.usage, cached=0, write_30m=0, write_12h=0)
        turn = Turn(ask, replace(answer, usage=used), turn_id, int(self._clock()))
        return shape.whole(turn), used, ask.model

    def _keep(self, turn: Turn, shape: _Shape) -> None:
        wish = turn.ask.body.get("store")
        if shape.kept is not None and (shape.kept if wish is None else wish is True):
            self._kept[turn.id] = turn
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)

    def _unmetered(self, call: Call, luck: str) -> Json:
        """What costs nothing. Raises Refusal (404) for everything else under the sun."""
        if (call.method, call.path) == ("POST", "/v1/moderations"):
            answer_id = wire.name(wire.luck(luck, "id"), "modr-", 29, ALPHANUMERIC)
            return short_answers.moderation(asks.parse(call.body), answer_id)
        for method, pattern, read in self._free:
            if method == call.method and (match := pattern.fullmatch(call.path)):
                return read(*match.groups())
        raise Refusal(404, f"Invalid URL ({call.method} {call.path})")

    def _read_again(self, turn_id: str) -> Json:
        """An answer that was kept, usage and all; reading it is free."""
        turn = self._kept.get(turn_id)
        if turn is None:
            raise Refusal(404, f"Item with id '{turn_id}' not found.")
        return self._shown(turn)


def _fingerprint(call: Call) -> str:
    """What makes two calls the same call: all but `stream_options`, which a meter on the way may change."""
    try:
        body = json.loads(call.body)
        body.pop("stream_options", None)
        sameness = json.dumps(body, sort_keys=True).encode()
    except (ValueError, AttributeError):
        sameness = call.body
    return f"{call.method} {call.path} {hashlib.sha256(sameness).hexdigest()}"


def _broken_off(events: Iterator[bytes], told: Instruction, operation: Operation) -> tuple[bytes, ...]:
    """A stream's events; with `error_midstream` only so many, then the error that ends it."""
    if told.error_midstream is None:
        return tuple(events)
    before = tuple(islice(events, told.error_midstream))
    return (*before, wire.broken(operation.name == "responses", len(before)))
