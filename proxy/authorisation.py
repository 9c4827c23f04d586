"""Authorisation: whether a call may leave, by the rate limits and the budgets that cover it, and with what hold."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from billing.allowances import Allowance, allowance
from billing.balances import Balances
from billing.budgets import Budget, Shortage
from billing.cashier import Cashier
from billing.charges import Basis, Call, Charge
from billing.estimates import is_long
from billing.expectations import Expectations
from billing.file_holds import Figures, Sized
from billing.holds import Ask, Hold, Policy, affordable_cap, ask, exact_ask, open_ends
from billing.keys import Key
from billing.limits import Limit, RateLimiter, limits_of
from billing.media_holds import media_ask
from billing.prices import PriceBook
from billing.registry import Directory
from billing.requested import NOTHING_REQUESTED, Requested
from billing.scopes import Index
from billing.usage import TOKEN_UNITS
from billing.wanted import Wanted
from proxy import errors
from proxy.errors import Refusal
from proxy.metrics import Metrics
from proxy.relay import ClientBrokeOff
from proxy.settings import Settings
from proxy.sizing import Size
from proxy.turnstile import Turnstile

NEGLIGIBLE = 20
"""A free bound on the input is good enough while it is less than one part in so many of what is left."""

LEASE_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Asking:
    """A call that asks to leave: what it wants, and the body that was read of it. `size` finds out what to hold where
    that is told by a file."""

    call: Call
    wanted: Wanted
    body: bytes
    requested: Requested = NOTHING_REQUESTED
    free: bool = False
    size: Size | None = None
    sized: Sized | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that may leave, as it is held. Its stream may run as far as `allowance` before its hold must be raised
    (None: to its end); `output_cap` is the cap to give it, in tokens."""

    call: Call
    allowance: Allowance | None = None
    output_cap: int | None = None


class Authorisation:
    """The desk where calls ask to leave. `follow` tells it what operators decided; `refused` are told of shortages.
    `leased` says whether the lease on hard budgets lasts; None where they are not shared."""

    def __init__(
        self, settings: Settings, cashier: Cashier, balances: Balances, book: PriceBook, metrics: Metrics,
        seconds: Callable[[], float], leased: Callable[[], bool] | None = None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._cashier = cashier
        self._balances = balances
        self._book = book
        self._metrics = metrics
        self._seconds = seconds
        self._leased = leased
        self.policy = Policy(settings.uncapped == "strict", settings.expected_usd)
        self._hard: Index[Budget] = Index(())
        self._known = False
        self._limits: list[Limit] = []
        self.replicas = 1
        self.expectations = Expectations()
        self.limiter = RateLimiter()
        self.turnstile = Turnstile()
        self.refused: list[Callable[[Shortage], None]] = []
        cashier.freed.append(self.turnstile.freed)
        cashier.listeners.append(self.expectations.learn)

    def follow(self, directory: Directory, *, balances_known: bool) -> None:
        """Put a directory in force. Until its balances are known, its hard budgets cannot be authorised on."""
        self._limits = limits_of(directory.all(Limit), directory.all(Key))
        self.share(self.replicas)
        self._known = balances_known
        self._hard = Index([budget for budget in directory.all(Budget) if budget.hard])
        self.turnstile.freed()

    def share(self, replicas: int) -> None:
        """Rate limits are shared out equally among so many replicas."""
        self.replicas = replicas
        self.limiter.enforce(self._limits, self._seconds(), replicas)

    async def admit(self, asking: Asking, gone: Callable[[], bool]) -> Admitted | Refusal:
        """Authorise a call and record it as open; it must end at `ended`. Or say why it may not leave.

        It may wait, for a short while, for other calls' holds to go; `gone` tells whether its app has left meanwhile.
        Raises JournalUnwritable, ClientBrokeOff.
        """
        call = asking.call
        if not asking.free and not self._may_authorise() and self._budgets_unreadable(call):
            return errors.budget_unavailable()
        if asking.size is not None and self._balances.concern(call):
            sized = await asking.size(call, Figures(self._book, self.expectations, self.policy), self._is_near)
            call = replace(call, requested_model=call.requested_model or sized.model)
            asking = replace(asking, call=call, sized=sized)
        held = await self._ask(asking) if not asking.free and (self._balances or self.limiter) else None
        if held is None and not asking.free and self._balances.left(call) is not None:
            ends = asking.sized.open_ends if asking.sized else open_ends(call, asking.wanted, self._book)
            return errors.unbounded_call(ends)
        cap = None
        if held is not None and (cap := self._affordable_cap(asking, held)):
            capped = replace(asking.wanted, max_completion_tokens=cap, max_output_tokens=cap)
            held = await self._ask(replace(asking, wanted=capped)) or held
        if held is not None:
            call = replace(call, held_pico=held.pico, hold=held.basis.value)
        if wait := self.limiter.admit(call, held.tokens if held else 0, self._seconds()):
            return errors.rate_limited(wait)
        shortage: Shortage | None = None
        opened = False
        try:
            shortage = await self.turnstile.enter(lambda: self._open(call, gone), self._patience)
            if shortage is None:
                await self._cashier.opened(call)
                opened = True
        finally:
            if not opened:
                self.limiter.ended(call, 0, self._seconds())
        if shortage is not None:
            self._metrics.budget_refusals.labels(shortage.position.budget.name).inc()
            for refused in self.refused:
                refused(shortage)
            return errors.over_budget(shortage)
        may = allowance(call, held, asking.wanted, self._book) if held is not None and call.streamed else None
        return Admitted(call, may, cap)

    def raise_hold(self, call: Call, more_pico: int) -> Call | None:
        """Hold more for a call under way: the call as it is held now, or None where a hard budget is spent and
        FAREBOX_OVERRUN=cut."""
        if self._settings.overrun == "cut" and self._balances.short(call, more_pico):
            return None
        return self._cashier.top_up(call, more_pico)

    def ended(self, call: Call, charge: Charge | None) -> None:
        """A call that was admitted has ended, with or without a charge."""
        if self.limiter:
            self.limiter.ended(call, _tokens(charge) if charge else 0, self._seconds())

    def _affordable_cap(self, asking: Asking, held: Ask) -> int | None:
        """The cap that a call's hard budgets afford it, where it sets none and FAREBOX_SET_CAP says so."""
        if not self._settings.set_cap or held.basis is Hold.BOUND:
            return None
        left = self._balances.left(asking.call)
        return None if left is None else affordable_cap(left, held, asking.call, asking.wanted, self._book)

    def _open(self, call: Call, gone: Callable[[], bool]) -> Shortage | None:
        if gone():
            raise ClientBrokeOff("it left while it waited")
        return self._cashier.open(call)

    @property
    def _patience(self) -> float:
        """How long a call waits for others' holds; under leases at least until the database has been asked."""
        return self._settings.hold_wait if self._leased is None else max(self._settings.hold_wait, LEASE_WAIT_SECONDS)

    def _may_authorise(self) -> bool:
        """Whether balances are known, and this replica's slices of them are still its own."""
        if self._leased is None:
            return self._known
        self._balances.leases_hold = leased = self._leased()
        return self._known and leased

    def _budgets_unreadable(self, call: Call) -> bool:
        """Whether a hard budget covers the call that cannot be authorised on now: its balance was never read, or the
        lease on it has ended. A replica that has never read its database knows of none."""
        if self._settings.database_away == "continue":
            return False
        return next(self._hard.covering(call), None) is not None

    async def _ask(self, asking: Asking) -> Ask | None:
        """The hold: by a free bound where that is small beside what is left, else with the input counted."""
        call, wanted, body = asking.call, asking.wanted, asking.body
        if asking.sized is not None:
            return asking.sized.ask
        if asking.requested is not NOTHING_REQUESTED:
            return await asyncio.to_thread(media_ask, call, asking.requested, self._book, self.policy)
        rough = ask(call, wanted, len(body), self._book, self.expectations, self.policy)
        if rough is None or not self._is_near(call, rough) or not body:
            return rough
        counting = (call, wanted, body, self._book, self.expectations, self.policy)
        if is_long(body, ""):
            return await asyncio.to_thread(exact_ask, *counting)
        return exact_ask(*counting)

    def _is_near(self, call: Call, rough: Ask) -> bool:
        """Whether a free bound on the input is not good enough: beside what is left on a hard budget it is large, or
        the call would be refused by it. Also where others hold all there is, for they let go; not where it is spent."""
        left, unspent = self._balances.left(call), self._balances.unspent(call)
        if left is None or unspent is None or unspent <= 0 or not rough.input_pico:
            return False
        return left < max(rough.input_pico * NEGLIGIBLE, rough.pico)


def _tokens(charge: Charge) -> int | None:
    """The tokens a call used; None where that is not known."""
    if charge.outcome.basis is Basis.UNKNOWN:
        return None
    return sum(quantity for unit, quantity in charge.usage.items() if unit in TOKEN_UNITS)
