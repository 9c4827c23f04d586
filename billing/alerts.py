"""Alerts: what people must hear of, once. Pure functions from facts to alerts; clock and zone are arguments.

An alert is told once per kind, subject, mark and window. Its id is made of these alone, so every replica that sees
the same thing makes the same id, and the database's primary key keeps the promise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from statistics import median
from zoneinfo import ZoneInfo

from billing.budgets import Budget, Position, Shortage
from billing.forecasts import Forecast
from billing.keys import Key, in_force, state
from billing.money import PICO_PER_USD, usd_from_pico
from billing.retirements import Retirement
from billing.windows import END, window


class Kind(StrEnum):
    """What an alert is about."""

    BUDGET_THRESHOLD = "budget_threshold"
    BUDGET_FORECAST = "budget_forecast"
    BUDGET_REFUSING = "budget_refusing"
    UNUSUAL_SPEND = "unusual_spend"
    UNPRICED_MODEL = "unpriced_model"
    UNMETERED_ROUTE = "unmetered_route"
    RETIRING_MODEL = "retiring_model"
    KEY_IDLE = "key_idle"
    KEY_LEAKING = "key_leaking"
    TEST = "test"


class Level(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True)
class Alert:
    """What is told, about what, for the window [window_since, window_until).

    `mark` tells apart what can be told of one subject in one window: a threshold of a budget, days before an end.
    `team` is whose it is, where it is one team's.
    """

    kind: Kind
    subject: str
    window_since: datetime
    window_until: datetime
    level: Level
    title: str
    text: str
    mark: str = ""
    team: str | None = None

    @cached_property
    def id(self) -> str:
        """The same for the same kind, subject, mark and window, on every replica."""
        named = f"{self.kind}\0{self.subject}\0{self.mark}\0{self.window_since.isoformat()}"
        return f"alert_{sha256(named.encode()).hexdigest()[:24]}"


# ── budgets ─────────────────────────────────────────────────────────────────────


def crossed(position: Position) -> tuple[int, ...]:
    """The thresholds, in percent, that a budget's spend has reached. None while nothing is spent."""
    spent, limit = position.spent_pico * 100, position.budget.limit_pico
    return tuple(p for p in sorted(set(position.budget.alert_percents)) if spent > 0 and spent >= p * limit)


def budget_thresholds(position: Position, zone: ZoneInfo) -> list[Alert]:
    """An alert for each threshold reached, also when one call jumped over several.

    A threshold is an amount: once the limit is changed, the thresholds of the new one are told anew.
    """
    budget = position.budget
    limit = shown(budget.limit_pico)
    of_limit = (
        f" of {limit} ({position.spent_pico * 100 // budget.limit_pico} %)" if budget.limit_pico else f" of {limit}"
    )
    unknown = (
        f" {shown(position.unknown_pico)} of it stands for calls whose cost is not known."
        if position.unknown_pico
        else ""
    )
    return [
        _about_budget(
            Kind.BUDGET_THRESHOLD,
            position,
            level=Level.CRITICAL if percent >= 100 else Level.WARNING if percent >= 80 else Level.INFO,
            title=f"Budget {budget.name}: {percent} % of {limit} spent",
            text=f"{shown(position.spent_pico)}{of_limit} is spent {_within(position, zone)}.{unknown}",
            mark=f"{percent}% of {budget.limit_pico}",
        )
        for percent in crossed(position)
    ]


def budget_forecast(forecast: Forecast, zone: ZoneInfo) -> Alert:
    """A budget that will be over before its window ends."""
    position = forecast.position
    budget = position.budget
    local = forecast.over_at.astimezone(zone)
    by = f"{local:%H:%M}" if budget.window == "day" else f"{local:%A}, {local.day} {local:%B}"
    return _about_budget(
        Kind.BUDGET_FORECAST,
        position,
        level=Level.WARNING,
        title=f"Budget {budget.name}: will be over by {by} at this rate",
        text=f"{shown(position.spent_pico)} of {shown(budget.limit_pico)} is spent {_within(position, zone)}. "
        f"Spent on as in the last {_duration(forecast.recent)} ({shown(forecast.recent_pico)}), it will be "
        f"{shown(forecast.end_pico)} by then.",
        mark=str(budget.limit_pico),
    )


def budget_refusing(shortage: Shortage, zone: ZoneInfo) -> list[Alert]:
    """A hard budget that has begun to refuse calls, not for the holds of others but for want of money. It may do so
    below its last threshold: what is left is less than a call can cost."""
    position = shortage.position
    if shortage.only_holds:
        return []
    text = (
        f"A call that can cost {shown(shortage.ask_pico)} was refused: {shown(position.spent_pico)} of "
        f"{shown(position.budget.limit_pico)} is spent {_within(position, zone)}."
    )
    title = f"Budget {position.budget.name}: calls are refused"
    mark = str(position.budget.limit_pico)
    return [_about_budget(Kind.BUDGET_REFUSING, position, level=Level.CRITICAL, title=title, text=text, mark=mark)]


def team_of(budget: Budget) -> str | None:
    """The team a budget is about, if it is one."""
    teams = budget.scope.wanted.get("team", ())
    return teams[0] if len(teams) == 1 else None


def _about_budget(kind: Kind, position: Position, *, level: Level, title: str, text: str, mark: str) -> Alert:
    name, team = position.budget.name, team_of(position.budget)
    return Alert(kind, name, position.since, position.until, level, title, text, mark, team)


def _within(position: Position, zone: ZoneInfo) -> str:
    if position.until >= END:
        return "in all"
    return f"in the {position.budget.window} that ends {position.until.astimezone(zone):%Y-%m-%d %H:%M %Z}"


# ── traffic ─────────────────────────────────────────────────────────────────────

USUAL_DAYS = 7
"""With fewer whole days of history nothing is usual yet, so nothing is unusual."""

UNUSUAL_TIMES = 3
UNUSUAL_DEVIATIONS = 6
LEAST_UNUSUAL_PICO = 5 * PICO_PER_USD
LEAKING_TIMES = 10
LEAST_LEAKING_REQUESTS = 100
DEAD_KEY_TRIES = 10
IDLE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Daily:
    """Whole days of the past, oldest first, and today so far: of what a `dimension` calls `name`, in one measure."""

    dimension: str
    name: str
    earlier: Sequence[int]
    today: int
    team: str | None = None

    @property
    def known(self) -> list[Fraction]:
        """The days since it was first seen."""
        first = next((at for at, amount in enumerate(self.earlier) if amount), len(self.earlier))
        return [Fraction(amount) for amount in self.earlier[first:]]


def unusual_spend(
    spend: Daily, now: datetime, zone: ZoneInfo, least_pico: int = LEAST_UNUSUAL_PICO
) -> list[Alert]:  # fmt: skip
    """Spend in picodollars that today, already, is over three times the median of the days before, over the median and
    six times its absolute deviation, over all days but one, and over the median by a least amount. One outlier in the
    past moves none of them; what comes again, such as a weekly batch, is usual from its third time on."""
    known = spend.known
    if len(known) < USUAL_DAYS:
        return []
    usual = median(known)
    deviation = median([abs(amount - usual) for amount in known])
    over = max(UNUSUAL_TIMES * usual, usual + UNUSUAL_DEVIATIONS * deviation, sorted(known)[-2])
    if spend.today <= over or spend.today - usual < least_pico:
        return []
    return [
        Alert(
            Kind.UNUSUAL_SPEND,
            f"{spend.dimension} {spend.name}",
            *window("day", now, zone),
            Level.WARNING,
            f"Unusual spend: {spend.dimension} {spend.name}, {shown(spend.today)} today",
            f"A usual day's spend is {shown(int(usual))} (median of {len(known)} days).",
            team=spend.team,
        )
    ]


def leaking_by_rate(requests: Daily, now: datetime, zone: ZoneInfo) -> list[Alert]:
    """A key with over ten times the requests of its usual day: it may be in other hands."""
    known = requests.known
    usual = max(median(known), Fraction(1)) if len(known) >= USUAL_DAYS else None
    if usual is None or requests.today <= LEAKING_TIMES * usual or requests.today < LEAST_LEAKING_REQUESTS:
        return []
    text = f"Its usual day has {int(usual)} (median of {len(known)} days). If nobody knows why: revoke it."
    title = f"Key {requests.name}: {requests.today:,} requests today"
    return [_about_key(requests.name, "rate", title, text, now, zone, requests.team)]


def leaking_when_dead(key: Key, tries: int, now: datetime, zone: ZoneInfo) -> list[Alert]:
    """A key that is revoked or has expired, and is still tried."""
    if tries < DEAD_KEY_TRIES:
        return []
    text = "Somebody still has it: an app that was forgotten, or one that should not have it."
    title = f"Key {key.name}: {state(key, now)}, and tried {tries:,} times today"
    return [_about_key(key.id, "dead", title, text, now, zone, key.team)]


def key_idle(key: Key, used: bool, now: datetime, zone: ZoneInfo, days: int = IDLE_DAYS) -> list[Alert]:
    """An issued key that has not been `used` in so many days, once a month."""
    if used or not in_force(key, now) or now - key.created_at < timedelta(days):
        return []
    title = f"Key {key.name}: not used in {days} days"
    text = "A key that nobody needs is one that nobody misses when it leaks: revoke it."
    return [Alert(Kind.KEY_IDLE, key.id, *window("month", now, zone), Level.INFO, title, text, team=key.team)]


def _about_key(
    subject: str, mark: str, title: str, text: str, now: datetime, zone: ZoneInfo, team: str | None
) -> Alert:  # fmt: skip
    return Alert(
        Kind.KEY_LEAKING, subject, *window("day", now, zone), Level.CRITICAL, title, text, mark, team
    )  # fmt: skip


# ── models and routes ───────────────────────────────────────────────────────────

RETIREMENT_MARKS = (60, 14, 3, 0)
"""Days before a model's end at which it is told. Of those passed only the last: the others are no news."""


def unpriced_model(model: str, now: datetime, zone: ZoneInfo) -> Alert:
    """A model with a unit that has no price, once a week."""
    title = f"No price for {model}"
    text = f"Charges of {model} have units without a price: they count as nothing in sums. See `farebox prices show`."
    return Alert(Kind.UNPRICED_MODEL, model, *window("week", now, zone), Level.WARNING, title, text)


def unmetered_route(route: str, now: datetime, zone: ZoneInfo) -> Alert:
    """A route that no table knows, once a week."""
    title = f"Not metered: {route}"
    text = "Calls of this route pass and are recorded with cost unknown. FAREBOX_UNKNOWN_ROUTES=refuse refuses them."
    return Alert(Kind.UNMETERED_ROUTE, route, *window("week", now, zone), Level.WARNING, title, text)


def retiring_model(model: str, retirement: Retirement, now: datetime) -> list[Alert]:
    """A model in use whose end is near, or has come."""
    left = (retirement.at - now) // timedelta(days=1) + 1 if retirement.at > now else 0
    mark = min((mark for mark in RETIREMENT_MARKS if left <= mark), default=None)
    if mark is None:
        return []
    on = f"{retirement.at:%Y-%m-%d}"
    title = f"{model} retires on {on}" if left else f"{model} has retired on {on}"
    text = f"It is in your traffic{f', {left} days before its end' if left else ''}. Source: {retirement.source}"
    level = Level.WARNING if mark > RETIREMENT_MARKS[-2] else Level.CRITICAL
    return [Alert(Kind.RETIRING_MODEL, model, retirement.at, END, level, title, text, str(mark))]


def trial(now: datetime) -> Alert:
    """What `farebox alerts test` sends."""
    text = "If you can read this, alerts arrive here."
    return Alert(Kind.TEST, "test", now, now + timedelta(minutes=1), Level.INFO, "Farebox: a test alert", text)


# ── words ───────────────────────────────────────────────────────────────────────

_SHOWN_TO = PICO_PER_USD // 10_000


def shown(pico: int) -> str:
    """An amount for people: dollars to the hundredth of a cent, rounded down; smaller ones exactly."""
    return f"${usd_from_pico(pico if 0 < pico < _SHOWN_TO else pico // _SHOWN_TO * _SHOWN_TO)}"


def _duration(span: timedelta) -> str:
    hours = span // timedelta(hours=1)
    return (
        f"{hours // 24} days"
        if hours >= 48
        else f"{hours} hours"
        if hours >= 2
        else f"{span // timedelta(minutes=1)} minutes"
    )
