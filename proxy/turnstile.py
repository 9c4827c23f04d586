"""The turnstile: calls that only other calls' holds stand in the way of wait here, in the order they came."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from billing.budgets import Shortage

Attempt = Callable[[], Shortage | None]
"""Tries to admit a call: None when it is in, else the budget that is short."""


@dataclass(slots=True, eq=False)
class _Waiting:
    attempt: Attempt
    shortage: Shortage
    decided: "asyncio.Future[Shortage | None]"


class Turnstile:
    """One replica's waiting calls. `freed` is to be called whenever a hold has gone."""

    def __init__(self) -> None:
        self._queue: dict[_Waiting, None] = {}
        self._due = False

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._queue)

    async def enter(self, attempt: Attempt, seconds: float) -> Shortage | None:
        """Admit a call now, or as soon as holds that stand in its way have gone; wait at most so long.

        Returns None once it is in, else what is short. Whatever `attempt` raises is raised here.
        """
        shortage = attempt()
        if shortage is None or not shortage.only_holds or seconds <= 0:
            return shortage
        loop = asyncio.get_running_loop()
        waiting = _Waiting(attempt, shortage, loop.create_future())
        self._queue[waiting] = None
        timer = loop.call_later(seconds, self._give_up, waiting)
        try:
            return await waiting.decided
        finally:
            timer.cancel()
            self._queue.pop(waiting, None)

    def freed(self) -> None:
        """A hold has gone: let those in that fit now. Many that go at once are looked at once."""
        if self._queue and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._let_in)

    def _let_in(self) -> None:
        self._due = False
        tried: dict[str, int] = {}
        for waiting in list(self._queue):
            last = waiting.shortage
            if last.ask_pico >= tried.get(last.position.budget.name, last.ask_pico + 1):
                continue  # one that asks no more has just been refused
            try:
                shortage = waiting.attempt()
            except Exception as error:  # the waiting call handles it
                self._decide(waiting, error)
                continue
            if shortage is None or not shortage.only_holds:
                self._decide(waiting, shortage)
            else:
                waiting.shortage = shortage
                tried[shortage.position.budget.name] = shortage.ask_pico

    def _give_up(self, waiting: _Waiting) -> None:
        self._decide(waiting, waiting.shortage)

    def _decide(self, waiting: _Waiting, outcome: Shortage | Exception | None) -> None:
        self._queue.pop(waiting, None)
        if waiting.decided.done():
            return
        if isinstance(outcome, Exception):
            waiting.decided.set_exception(outcome)
        else:
            waiting.decided.set_result(outcome)
