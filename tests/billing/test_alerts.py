from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.alerts import (
    Alert,
    Daily,
    Kind,
    Level,
    budget_forecast,
    budget_refusing,
    budget_thresholds,
    crossed,
    key_idle,
    leaking_by_rate,
    leaking_when_dead,
    retiring_model,
    shown,
    trial,
    unmetered_route,
    unpriced_model,
    unusual_spend,
)
from billing.budgets import Budget, Position, Shortage
from billing.forecasts import Forecast
from billing.keys import Key
from billing.money import pico_from_usd
from billing.retirements import Retirement
from billing.scopes import Scope

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def position(
    spent: str, limit: str = "10", *, percents: tuple[int, ...] = (50, 80, 100), window: str = "month",
    name: str = "search", team: tuple[str, ...] = (), unknown: str = "0", held: str = "0", at: datetime = NOW,
) -> Position:  # fmt: skip
    scope = Scope({"team": team} if team else {})
    budget = Budget(name, pico_from_usd(limit), window, scope, alert_percents=percents)
    since, until = budget.window_at(at, ZONE)
    return Position(budget, since, until, pico_from_usd(spent), pico_from_usd(held), pico_from_usd(unknown))


# ── budgets ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("case", "where", "percents"),
    [
        ("nothing spent", position("0"), ()),
        ("one picodollar short of a half", position("4.999999999999"), ()),
        ("exactly a half", position("5"), (50,)),
        ("between two", position("7.99"), (50,)),
        ("one call jumps over all", position("25"), (50, 80, 100)),
        ("holds are not spend", position("1", held="9"), ()),
        ("more than all of it", position("12", percents=(100, 120, 150)), (100, 120)),
        ("in any order, each once", position("10", percents=(100, 50, 50)), (50, 100)),
        ("none wanted", position("10", percents=()), ()),
        ("a limit of nothing, nothing spent", position("0", "0"), ()),
        ("a limit of nothing, something spent", position("0.01", "0"), (50, 80, 100)),
        ("a third of an amount that has no third", position("0.033333333334", "0.1", percents=(33,)), (33,)),
    ],
)
def test_thresholds_crossed(case: str, where: Position, percents: tuple[int, ...]) -> None:
    assert crossed(where) == percents
    assert [alert.mark.split("%")[0] for alert in budget_thresholds(where, ZONE)] == [str(it) for it in percents]


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 1000))
def test_more_spend_never_uncrosses(spent: int, more: int, percent: int) -> None:
    budget = Budget("b", 10**14, alert_percents=(percent,))
    since, until = budget.window_at(NOW, ZONE)
    before, after = (crossed(Position(budget, since, until, it, 0)) for it in (spent, spent + more))
    assert set(before) <= set(after)


def test_what_a_threshold_says() -> None:
    half, most, all_of_it = budget_thresholds(position("10.5", unknown="0.25", team=("search",)), ZONE)
    assert (half.level, most.level, all_of_it.level) == (Level.INFO, Level.WARNING, Level.CRITICAL)
    assert all_of_it.title == "Budget search: 100 % of $10 spent"
    assert all_of_it.text == (
        "$10.5 of $10 (105 %) is spent in the month that ends 2026-12-01 00:00 CET. "
        "$0.25 of it stands for calls whose cost is not known."
    )
    assert (all_of_it.kind, all_of_it.subject, all_of_it.team) == (Kind.BUDGET_THRESHOLD, "search", "search")
    (in_all,) = budget_thresholds(position("6", window="total", team=("a", "b")), ZONE)
    assert "is spent in all." in in_all.text
    assert in_all.team is None  # of two teams it is neither's


@pytest.mark.parametrize(
    ("case", "one", "other", "same"),
    [
        ("the same budget a little later", position("5"), position("5.5"), True),
        ("another budget", position("5"), position("5", name="ads"), False),
        ("the next month", position("5"), position("5", at=NOW + 8 * DAY), False),
        ("another day of a month's budget", position("5"), position("5", at=NOW + DAY), True),
        ("the next day", position("5", window="day"), position("5", window="day", at=NOW + DAY), False),
        ("another limit: another amount is crossed", position("5"), position("50", "100"), False),
        ("other thresholds beside it", position("5"), position("5", percents=(50, 90)), True),
    ],
)  # fmt: skip
def test_once_is_budget_threshold_and_window(case: str, one: Position, other: Position, same: bool) -> None:
    first, second = (budget_thresholds(it, ZONE)[0] for it in (one, other))
    assert (first.id == second.id) is same


def test_thresholds_of_one_window_are_apart() -> None:
    assert len({alert.id for alert in budget_thresholds(position("10"), ZONE)}) == 3


def test_a_forecast_names_the_day_in_the_zone() -> None:
    where = position("6")
    found = Forecast(
        where, datetime(2026, 11, 23, 23, 30, tzinfo=UTC), pico_from_usd("13"), 7 * DAY, pico_from_usd("2")
    )
    alert = budget_forecast(found, ZONE)
    assert alert.title == "Budget search: will be over by Tuesday, 24 November at this rate"
    assert "Spent on as in the last 7 days ($2), it will be $13 by then." in alert.text
    assert alert.id != budget_thresholds(where, ZONE)[0].id


def test_a_forecast_of_a_day_names_the_hour() -> None:
    found = Forecast(
        position("6", window="day"), datetime(2026, 11, 23, 17, 5, tzinfo=UTC), 10**13, timedelta(hours=3), 1
    )
    assert "will be over by 18:05" in budget_forecast(found, ZONE).title


def test_a_budget_that_refuses_is_told_though_no_threshold_is_reached() -> None:
    where = position("9.9", percents=(100,))
    (alert,) = budget_refusing(Shortage(where, pico_from_usd("0.2")), ZONE)
    assert (alert.kind, alert.level) == (Kind.BUDGET_REFUSING, Level.CRITICAL)
    assert alert.text.startswith("A call that can cost $0.2 was refused: $9.9 of $10 is spent")
    assert not budget_refusing(Shortage(position("1", held="9"), pico_from_usd("0.2")), ZONE)  # holds alone pass


# ── traffic ─────────────────────────────────────────────────────────────────────


def usd(*amounts: str) -> tuple[int, ...]:
    return tuple(pico_from_usd(amount) for amount in amounts)


WEEK = usd("10", "11", "9", "10", "12", "8", "10")


@pytest.mark.parametrize(
    ("case", "earlier", "today", "unusual"),
    [
        ("a usual day", WEEK, "10", False),
        ("twice the usual", WEEK, "20", False),
        ("exactly three times", WEEK, "30", False),
        ("over three times", WEEK, "30.000000000001", True),
        ("six days are no history", WEEK[1:], "1000", False),
        ("days before it was first seen do not count", (0,) * 20 + WEEK[1:], "1000", False),
        ("one outlier moves nothing", (*WEEK, *usd("900")), "31", True),
        ("as much as came twice before", usd("1", "1", "40", "1", "40", "1", "1"), "40", False),
        ("as much as came once before", usd("1", "1", "40", "1", "1", "1", "1"), "40", True),
        ("a rhythm of weekends off", (*usd("10", "10", "10", "10", "10"), 0, 0) * 2, "29", False),
        ("three times of little is little", usd(*["0.1"] * 7), "4", False),
        ("a lot where there was little", usd(*["0.1"] * 7), "5.1", True),
        ("nothing ever", (0,) * 30, "1000", False),
    ],
)
def test_unusual_spend(case: str, earlier: tuple[int, ...], today: str, unusual: bool) -> None:
    alerts = unusual_spend(Daily("team", "search", earlier, pico_from_usd(today), "search"), NOW, ZONE)
    assert bool(alerts) is unusual
    for alert in alerts:
        assert (alert.subject, alert.team, alert.kind) == ("team search", "search", Kind.UNUSUAL_SPEND)
        assert alert.window_since == datetime(2026, 11, 22, 23, tzinfo=UTC)  # Berlin's day


@pytest.mark.parametrize(
    ("case", "earlier", "today", "leaks"),
    [
        ("a usual day", [50] * 7, 60, False),
        ("ten times its usual", [50] * 7, 500, False),
        ("over ten times", [50] * 7, 501, True),
        ("a key of six days", [50] * 6, 5000, False),
        ("eleven of usually one are few", [1] * 7, 11, False),
        ("a hundred of usually one are not", [1] * 7, 100, True),
        ("seldom used", [1, 0, 0, 0, 0, 0, 0], 100, True),
    ],
)
def test_a_key_that_leaks_by_its_rate(case: str, earlier: list[int], today: int, leaks: bool) -> None:
    alerts = leaking_by_rate(Daily("key", "fp_1", earlier, today, "ads"), NOW, ZONE)
    assert [(alert.kind, alert.subject, alert.team) for alert in alerts] == [(Kind.KEY_LEAKING, "fp_1", "ads")] * leaks


def key(**said: object) -> Key:
    fields = {"id": "key_1", "name": "crawler", "digest": "d", "hint": "abcd", "created_at": NOW - 40 * DAY} | said
    return Key(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("case", "which", "tries", "says"),
    [
        ("a few tries of an app that was forgotten", key(revoked_at=NOW - DAY), 9, None),
        ("tried on and on", key(revoked_at=NOW - DAY), 10, "Key crawler: revoked, and tried 10 times today"),
        ("an expired one", key(expires_at=NOW - DAY), 1000, "Key crawler: expired, and tried 1,000 times today"),
    ],
)
def test_a_dead_key_that_is_tried(case: str, which: Key, tries: int, says: str | None) -> None:
    alerts = leaking_when_dead(which, tries, NOW, ZONE)
    assert [alert.title for alert in alerts] == ([says] if says else [])


def test_more_tries_of_a_dead_key_are_no_further_alert() -> None:
    dead = key(revoked_at=NOW)
    assert leaking_when_dead(dead, 10, NOW, ZONE)[0].id == leaking_when_dead(dead, 11, NOW, ZONE)[0].id


@pytest.mark.parametrize(
    ("case", "which", "used", "idle"),
    [
        ("unused for its 40 days", key(), False, True),
        ("used", key(), True, False),
        ("new", key(created_at=NOW - 29 * DAY), False, False),
        ("revoked", key(revoked_at=NOW - DAY), False, False),
        ("expired", key(expires_at=NOW - DAY), False, False),
        ("expires later", key(expires_at=NOW + DAY), False, True),
    ],
)
def test_an_idle_key(case: str, which: Key, used: bool, idle: bool) -> None:
    assert bool(key_idle(which, used, NOW, ZONE)) is idle


# ── models and routes ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("days_left", "mark"),
    [(61, None), (60, "60"), (15, "60"), (14, "14"), (4, "14"), (3, "3"), (1, "3"), (0, "0"), (-100, "0")],
)
def test_a_retiring_model_is_told_at_each_mark(days_left: int, mark: str | None) -> None:
    at = datetime(2027, 1, 14, tzinfo=UTC)
    noon = at - days_left * DAY + (timedelta(hours=12) if days_left > 0 else timedelta())
    alerts = retiring_model("gpt-4o-mini", Retirement(at, "a page"), noon)
    assert [alert.mark for alert in alerts] == ([mark] if mark else [])
    assert all("Source: a page" in alert.text for alert in alerts)


def test_retirement_is_told_once_however_often_it_is_seen() -> None:
    end = Retirement(datetime(2027, 1, 14, tzinfo=UTC), "a page")
    ids = {retiring_model("gpt-4o-mini", end, end.at - 10 * DAY + timedelta(hours=n))[0].id for n in range(100)}
    assert len(ids) == 1


def test_gaps_are_told_once_a_week() -> None:
    monday = datetime(2026, 11, 22, 23, tzinfo=UTC)
    for make in (unpriced_model, unmetered_route):
        assert make("x", monday, ZONE).id == make("x", monday + 7 * DAY - timedelta(seconds=1), ZONE).id
        assert make("x", monday, ZONE).id != make("x", monday + 7 * DAY, ZONE).id
        assert make("x", monday, ZONE).id != make("y", monday, ZONE).id
    assert unpriced_model("x", monday, ZONE).id != unmetered_route("x", monday, ZONE).id


def test_two_tests_are_two_alerts() -> None:
    assert trial(NOW).id != trial(NOW + DAY).id


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_what_is_told_apart_has_another_id(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    def made(subject: str, mark: str, title: str) -> Alert:
        return Alert(Kind.TEST, subject, NOW, NOW + DAY, Level.INFO, title, "", mark)

    if "\0" not in "".join((*one[:2], *other[:2])):
        assert (made(*one).id == made(*other).id) is (one[:2] == other[:2])


@pytest.mark.parametrize(
    ("pico", "says"),
    [
        (0, "$0"),
        (1, "$0.000000000001"),
        (99_999_999, "$0.000099999999"),
        (100_000_000, "$0.0001"),
        (8_123_456_789_012, "$8.1234"),
        (10**13, "$10"),
    ],
)
def test_amounts_for_people(pico: int, says: str) -> None:
    assert shown(pico) == says
