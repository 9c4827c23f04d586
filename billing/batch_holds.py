"""Holds of batches: the sum of what the requests in an input file can cost, at the prices of the tier `batch`.

Where the price list has no row of a model for that tier, its default one is taken, which is never cheaper. The whole
is a bound only if every request's hold is one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from billing.charges import Call
from billing.file_holds import Figures, Sized
from billing.holds import Ask, Hold, ask, exact_ask, open_ends
from billing.media_holds import media_ask
from billing.prices import STANDARD
from billing.requested import NOTHING_REQUESTED, Requested
from billing.wanted import Wanted

TIER = "batch"

NAMED_ENDS = 4
"""As many reasons are kept why a batch is not bounded."""

_UNREADABLE = "a line that is no request"
_SURENESS = (Hold.BOUND, Hold.MAXIMUM, Hold.EXPECTED)


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a batch, as its line says it. Holds content and is not kept."""

    operation: str
    model: str | None
    wanted: Wanted
    body: bytes = field(repr=False)
    requested: Requested = NOTHING_REQUESTED


class BatchSum:
    """What a batch is held at, fed line by line: `lines` of them so far, of which `unreadable` count as what such
    calls cost; `tokens` are the input and the caps of all. `exact`: the input is counted, which takes time."""

    def __init__(
        self, call: Call, figures: Figures, read: Callable[[bytes], Request | None], *, exact: bool = False
    ) -> None:
        """`call` is that of the batch, `read` reads one line of its file (None: it is no request)."""
        self._call = replace(call, requested_tier=TIER)
        self._figures = figures
        self._read = read
        self._exact = exact
        self._pico = self._input_pico = 0
        self._basis: Hold | None = Hold.BOUND
        self._ends: dict[str, None] = {}
        self._models: set[str | None] = set()
        self.lines = self.unreadable = self.tokens = 0

    def add(self, line: bytes | int) -> None:
        """The next line; of one that is too long to be read, its size."""
        self.lines += 1
        request = self._read(line) if isinstance(line, bytes) else None
        if request is None:
            self.unreadable += 1
            self._open(_UNREADABLE)
            policy = self._figures.policy
            self._take(None if policy.strict else Ask(policy.expected_pico, Hold.EXPECTED))
            return
        if len(self._models) < 2:
            self._models.add(request.model)
        call = replace(self._call, operation=request.operation, requested_model=request.model)
        self._take(self._ask(call, request))

    def sized(self) -> Sized:
        """The hold of all lines so far."""
        model = next(iter(self._models)) if len(self._models) == 1 else None
        # No tokens: what a batch uses does not count on limits per minute, at OpenAI as here.
        held = None if self._basis is None else Ask(self._pico, self._basis, self._input_pico)
        return Sized(held, tuple(self._ends), model)

    def _ask(self, call: Call, request: Request) -> Ask | None:
        book, expectations, policy = self._figures.book, self._figures.expectations, self._figures.policy
        if request.requested is not NOTHING_REQUESTED:
            held = media_ask(call, request.requested, book, policy)
            if held is None or held.basis is not Hold.BOUND:  # few of these have rows for batches
                held = media_ask(replace(call, requested_tier=STANDARD), request.requested, book, policy)
            if held is None or held.basis is not Hold.BOUND:
                self._open(f"a request to {call.operation} that nothing bounds")
            return held
        wanted, body = request.wanted, request.body
        if self._exact:
            held = exact_ask(call, wanted, body, book, expectations, policy)
        else:
            held = ask(call, wanted, len(body), book, expectations, policy)
        if held is None or held.basis is not Hold.BOUND:
            for end in open_ends(call, wanted, book):
                self._open(end)
        return held

    def _take(self, held: Ask | None) -> None:
        if held is None or self._basis is None:
            self._basis = None
            return
        self._pico += held.pico
        self._input_pico += held.input_pico
        self.tokens += held.tokens
        self._basis = max(self._basis, held.basis, key=_SURENESS.index)

    def _open(self, end: str) -> None:
        if len(self._ends) < NAMED_ENDS:
            self._ends[end] = None
