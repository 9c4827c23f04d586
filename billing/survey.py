"""The survey: what the ledger shows when it is looked at every few minutes. Sums become facts, `alerts` judges them.

Whole days of the past are asked for once each and kept; a survey asks for today, and for the recent spend of budgets
that may run out. Nothing here is on the request path.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from billing.alerts import Alert, Daily, budget_forecast, key_idle, leaking_by_rate, retiring_model, unusual_spend
from billing.budgets import Budget, Position
from billing.following import spent_in
from billing.forecasts import forecast, recent_stretch
from billing.keys import Key
from billing.registry import Directory
from billing.retirements import Retirement, announced, retirement_of
from billing.store import Narrowing, Store
from billing.windows import window

TRAILING_DAYS = 30

MARGIN = 4
"""A budget of which less than a quarter is spent is not forecast: early in a window everything is possible."""

_DIMENSIONS = ("team", "base_model", "key", "model")

Amounts = Mapping[tuple[str, str], tuple[int, int]]
"""By dimension and value: picodollars, requests."""


@dataclass(frozen=True, slots=True)
class _Day:
    amounts: Amounts
    teams: Mapping[str, str | None]
    """The team of each key."""


class Survey:
    """Looks at one ledger. `retirements` are those announced, by model."""

    def __init__(
        self,
        store: Store,
        zone: ZoneInfo,
        now: Callable[[], datetime],
        retirements: Mapping[str, Retirement] | None = None,
    ) -> None:
        self._store = store
        self._zone = zone
        self._now = now
        self._known = announced() if retirements is None else retirements
        self._past: dict[tuple[datetime, datetime], _Day] = {}
        self.retiring: dict[str, datetime] = {}
        """Models in the last days' traffic whose end is announced: for `farebox_model_retires_timestamp_seconds`."""

    async def alerts(self, positions: Sequence[Position], directory: Directory) -> list[Alert]:
        """What there is to tell now. Raises what the database raises."""
        now = self._now()
        found = await self._forecasts(positions, now)
        past, today = await self._days(now)
        for about, (_, requests) in today.amounts.items():
            dimension, name = about
            spend = Daily(_WORDS[dimension], name, [_of(day, about)[0] for day in past], _of(today, about)[0])
            if dimension in {"team", "base_model"}:
                team = name if dimension == "team" else None
                found += unusual_spend(Daily(spend.dimension, name, spend.earlier, spend.today, team), now, self._zone)
            elif dimension == "key":
                team = today.teams.get(name)
                counts = [_of(day, about)[1] for day in past]
                found += leaking_by_rate(Daily("key", name, counts, requests, team), now, self._zone)
        found += self._idle(directory, [*past, today], now)
        return found + self._retiring([*past, today], now)

    async def _forecasts(self, positions: Sequence[Position], now: datetime) -> list[Alert]:
        stretches: dict[tuple[datetime, datetime], list[Budget]] = {}
        near: dict[str, Position] = {}
        for position in positions:
            recent = recent_stretch(position, now)
            if recent is not None and position.spent_pico * MARGIN >= position.budget.limit_pico:
                near[position.budget.name] = position
                stretches.setdefault((now - recent, now), []).append(position.budget)
        recents = await spent_in(self._store, stretches)
        foretold = (forecast(position, recents[name][0].spent_pico, now) for name, position in near.items())
        return [budget_forecast(it, self._zone) for it in foretold if it is not None]

    async def _days(self, now: datetime) -> tuple[list[_Day], _Day]:
        """Whole days of the past, oldest first, and today so far."""
        since, until = window("day", now, self._zone)
        past: dict[tuple[datetime, datetime], _Day] = {}
        earliest = since
        for _ in range(TRAILING_DAYS):
            day = window("day", earliest - timedelta(microseconds=1), self._zone)
            past[day] = self._past.get(day) or await self._day(*day)
            earliest = day[0]
        self._past = past
        return [past[day] for day in sorted(past)], await self._day(since, until)

    async def _day(self, since: datetime, until: datetime) -> _Day:
        amounts: dict[tuple[str, str], tuple[int, int]] = {}
        teams: dict[str, str | None] = {}
        for total in await self._store.totals(_DIMENSIONS, Narrowing(since, until)):
            said = dict(zip(_DIMENSIONS, total.group, strict=True))
            for name, value in said.items():
                if value is not None:
                    cost, requests = amounts.get((name, value), (0, 0))
                    amounts[name, value] = (cost + total.cost_pico, requests + total.requests)
            if (key := said["key"]) is not None:
                teams[key] = said["team"]
        return _Day(amounts, teams)

    def _idle(self, directory: Directory, days: Sequence[_Day], now: datetime) -> list[Alert]:
        used = _seen("key", days)
        keys: list[Key] = directory.all(Key)
        whole = (key for key in keys if "." not in key.id)  # not the old secrets of rotated ones, in their grace
        return [alert for key in whole for alert in key_idle(key, key.name in used, now, self._zone, TRAILING_DAYS)]

    def _retiring(self, days: Sequence[_Day], now: datetime) -> list[Alert]:
        ends = {model: retirement_of(model, self._known) for model in sorted(_seen("model", days))}
        announced_ends = {model: end for model, end in ends.items() if end is not None}
        self.retiring = {model: end.at for model, end in announced_ends.items()}
        return [alert for model, end in announced_ends.items() for alert in retiring_model(model, end, now)]


_WORDS = {"team": "team", "base_model": "model", "key": "key", "model": "model"}


def _of(day: _Day, about: tuple[str, str]) -> tuple[int, int]:
    return day.amounts.get(about, (0, 0))


def _seen(dimension: str, days: Iterable[_Day]) -> set[str]:
    return {value for day in days for name, value in day.amounts if name == dimension}
