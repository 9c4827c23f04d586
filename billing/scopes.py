"""Scopes: which calls a budget or a limit is about. All dimensions named must fit; any one value of each will do."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from billing.charges import Call
from billing.model_names import parse

DIMENSIONS = ("team", "key", "project", "user", "model")
"""What a scope can name, besides tags (`tag:<name>`)."""

TAG = "tag:"


@dataclass(frozen=True, slots=True)
class Scope:
    """Values wanted of some dimensions, such as `{"team": ("search", "ads"), "tag:env": ("prod",)}`. Empty: every call.

    A model names itself and, as a base model, its snapshots and fine-tunes.
    """

    wanted: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        parts = (f"{name}={value}" for name, values in sorted(self.wanted.items()) for value in values)
        return " ".join(parts) or "everything"

    def covers(self, call: Call) -> bool:
        """Whether a call is meant, by what was known of it when it was admitted."""
        return all(not set(values).isdisjoint(_values(call, name)) for name, values in self.wanted.items())

    def without(self, dimension: str) -> "Scope":
        """The scope with one dimension left open."""
        return Scope({name: values for name, values in self.wanted.items() if name != dimension})


EVERYTHING = Scope({})


def _values(call: Call, dimension: str) -> tuple[str | None, ...]:
    """What a call is in a dimension. Only what admission knew counts: a hold and its charge must meet in one budget."""
    who = call.attribution
    if dimension == "model":
        return _names(call.requested_model)
    if dimension.startswith(TAG):
        return (who.tags.get(dimension.removeprefix(TAG)),)
    return ({"team": who.team, "key": who.key, "project": who.project, "user": who.user}[dimension],)


def _names(model: str | None) -> tuple[str | None, ...]:
    return (model, parse(model).base_model) if model else ()


class Scoped(Protocol):
    """What has a scope."""

    @property
    def scope(self) -> Scope: ...


T = TypeVar("T", bound=Scoped)


class Index(Generic[T]):
    """Finds what covers a call among thousands: each thing stands under the values of one of its dimensions."""

    def __init__(self, things: Iterable[T]) -> None:
        self._by_value: dict[tuple[str, str], list[T]] = {}
        self._everywhere: list[T] = []
        for thing in things:
            if not thing.scope.wanted:
                self._everywhere.append(thing)
                continue
            name, values = min(thing.scope.wanted.items(), key=lambda item: (_ORDER.get(item[0], len(_ORDER)), item[0]))
            for value in set(values):
                self._by_value.setdefault((name, value), []).append(thing)
        self._names = tuple({name for name, _ in self._by_value})

    def covering(self, call: Call) -> Iterator[T]:
        """Each thing whose scope covers the call, once."""
        yield from self._everywhere
        for name in self._names:
            before: list[T] = []  # a model and its base may both be named
            for value in set(_values(call, name)):
                found = self._by_value.get((name, value or ""), [])
                for thing in found:
                    if (len(thing.scope.wanted) == 1 or thing.scope.covers(call)) and thing not in before:
                        yield thing
                before = found


_ORDER = {"key": 0, "user": 1, "project": 2, "team": 3, "model": 4}
"""Which dimension a thing is filed under: the one that tells most apart."""
