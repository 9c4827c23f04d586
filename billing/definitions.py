"""Budgets and limits as people say them, in commands and in JSON: read strictly, shown back in the same words."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeGuard

from billing.budgets import ALERT_PERCENTS, Budget, Position
from billing.limits import Limit
from billing.money import PICO_PER_USD, pico_from_usd, usd_from_pico
from billing.scopes import DIMENSIONS, TAG, Scope
from billing.windows import BEGINNING, BUDGET_WINDOWS, END

MODES = ("hard", "soft")

NAME_CEILING = 100
VALUE_CEILING = 500
ALERT_CEILING_PERCENT = 1000
LIMIT_CEILING_PICO = 10**12 * PICO_PER_USD
PER_MINUTE_CEILING = 10**12

_MEASURES = ("requests_per_minute", "tokens_per_minute", "concurrent_requests")


class Unfit(ValueError):
    """What was said is no definition: `problem` is what is wrong with `field` (`limit_usd`, `scope.team`, …)."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


def budget_from(name: str, said: Mapping[str, Any]) -> Budget:
    """A budget from such as `{"limit_usd": "50", "window": "month", "scope": {"team": ["search"]}, "mode": "hard",
    "alert": [50, 80, 100]}`, where only the limit must be given. Raises Unfit."""
    _known(said, ("limit_usd", "window", "scope", "mode", "alert"))
    return Budget(
        _name(name),
        _limit_pico(said.get("limit_usd")),
        _one_of("window", said.get("window", "month"), BUDGET_WINDOWS),
        scope_from(said.get("scope", {})),
        _one_of("mode", said.get("mode", "hard"), MODES) == "hard",
        _alert_percents(said.get("alert", ALERT_PERCENTS)),
    )


def limit_from(name: str, said: Mapping[str, Any]) -> Limit:
    """A limit from such as `{"requests_per_minute": 60, "tokens_per_minute": 10000, "concurrent_requests": 5,
    "scope": {"team": ["search"]}}`, where one of the three must be given. Raises Unfit."""
    _known(said, (*_MEASURES, "scope"))
    requests, tokens, concurrent = (_count(measure, said.get(measure)) for measure in _MEASURES)
    if requests is tokens is concurrent is None:
        raise Unfit(_MEASURES[0], f"at least one of {', '.join(_MEASURES)} is needed")
    return Limit(_name(name), scope_from(said.get("scope", {})), requests, tokens, concurrent)


def scope_from(said: object) -> Scope:
    """A scope from such as `{"team": ["search", "ads"], "model": "gpt-4o", "tag:env": ["prod"]}`: all dimensions
    named must fit, any one value of each will do; `{}` is everything. Raises Unfit."""
    if not isinstance(said, Mapping):
        raise Unfit("scope", 'an object such as {"team": ["search"]}')
    return Scope({dimension: _values(dimension, values) for dimension, values in said.items()})


def tags_from(pairs: Iterable[str]) -> dict[str, list[str]]:
    """The part of a scope that pairs such as `env=prod` say: `{"tag:env": ["prod"]}`. Raises Unfit."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        tag, equals, value = pair.partition("=")
        if not (tag and equals):
            raise Unfit("scope.tag", f"{pair!r} is not of the form name=value")
        found.setdefault(f"{TAG}{tag}", []).append(value)
    return found


def budget_shown(budget: Budget) -> dict[str, Any]:
    """A budget in the words that `budget_from` reads, and its name."""
    return {
        "name": budget.name,
        "scope": {dimension: list(values) for dimension, values in budget.scope.wanted.items()},
        "window": budget.window,
        "mode": "hard" if budget.hard else "soft",
        "limit_usd": usd_from_pico(budget.limit_pico),
        "alert": list(budget.alert_percents),
    }


def position_shown(position: Position) -> dict[str, Any]:
    """A budget and where it stands in its window. `percent` is spent of the limit, to a tenth, and None of a limit
    of zero; `since` and `until` are None where the window has no such end."""
    limit = position.budget.limit_pico
    return {
        **budget_shown(position.budget),
        "spent_usd": usd_from_pico(position.spent_pico),
        "held_usd": usd_from_pico(position.held_pico),
        "left_usd": usd_from_pico(position.left_pico),
        "unknown_usd": usd_from_pico(position.unknown_pico),
        "percent": position.spent_pico * 1000 // limit / 10 if limit else None,
        "since": moment_shown(position.since),
        "until": moment_shown(position.until),
    }


def limit_shown(limit: Limit) -> dict[str, Any]:
    """A limit in the words that `limit_from` reads, and its name."""
    return {
        "name": limit.name,
        "scope": {dimension: list(values) for dimension, values in limit.scope.wanted.items()},
        "requests_per_minute": limit.requests_per_minute,
        "tokens_per_minute": limit.tokens_per_minute,
        "concurrent_requests": limit.concurrent_requests,
    }


def moment_shown(at: datetime) -> str | None:
    """A window's end as ISO 8601 in UTC; None for those of the window `total`."""
    return None if at in {BEGINNING, END} else at.isoformat().replace("+00:00", "Z")


def _known(said: Mapping[str, Any], fields: tuple[str, ...]) -> None:
    for field in said:
        if field not in fields:
            raise Unfit(str(field), f"there is no such field; there are {', '.join(fields)}")


def _name(name: str) -> str:
    """Names stand in addresses, metric labels and messages."""
    if not 0 < len(name) <= NAME_CEILING or not name.isprintable() or name != name.strip():
        raise Unfit("name", f"1 to {NAME_CEILING} printable characters, without spaces at its ends")
    if "/" in name or name in {".", ".."}:
        raise Unfit("name", "it stands in addresses, so it has no / and is not . or ..")
    return name


def _limit_pico(said: object) -> int:
    if said is None:
        raise Unfit("limit_usd", "a limit is needed")
    if isinstance(said, bool) or not isinstance(said, str | int | Decimal):
        raise Unfit("limit_usd", 'an amount in US dollars such as "50.25"')
    try:
        pico = pico_from_usd(said)
    except ValueError:
        raise Unfit("limit_usd", f"{said!s:.50} is not an amount in US dollars with at most 12 decimals") from None
    if not 0 <= pico <= LIMIT_CEILING_PICO:
        raise Unfit("limit_usd", f"from 0 to {usd_from_pico(LIMIT_CEILING_PICO)}")
    return pico


def _one_of(field: str, said: object, words: tuple[str, ...]) -> str:
    if said not in words:
        raise Unfit(field, f"one of {', '.join(words)}")
    return str(said)


def _alert_percents(said: object) -> tuple[int, ...]:
    percents = said if isinstance(said, list | tuple) else [said]
    if not all(_is_count(percent) and 1 <= percent <= ALERT_CEILING_PERCENT for percent in percents):
        raise Unfit("alert", f"whole percents of the limit from 1 to {ALERT_CEILING_PERCENT}, such as 50, 80, 100")
    return tuple(sorted({*percents}))


def _count(field: str, said: object) -> int | None:
    if said is None:
        return None
    if not _is_count(said) or not 1 <= said <= PER_MINUTE_CEILING:
        raise Unfit(field, "a whole number from 1 on")
    return said


def _is_count(said: object) -> TypeGuard[int]:
    return isinstance(said, int) and not isinstance(said, bool)


def _values(dimension: object, said: object) -> tuple[str, ...]:
    field = f"scope.{dimension}"
    is_tag = isinstance(dimension, str) and dimension.startswith(TAG) and dimension != TAG
    if dimension not in DIMENSIONS and not is_tag:
        raise Unfit(field, f"calls are told apart by {', '.join(DIMENSIONS)} and {TAG}<name>")
    values = [said] if isinstance(said, str) else said
    if not isinstance(values, list | tuple) or not values:
        raise Unfit(field, "a value, or a list of values of which any one will do")
    for value in values:
        if not isinstance(value, str) or not 0 < len(value) <= VALUE_CEILING or not value.isprintable():
            raise Unfit(field, f"every value is a text of 1 to {VALUE_CEILING} printable characters")
    return tuple(dict.fromkeys(values))
