"""Rate limits: requests and tokens a minute, and requests at a time.

The measures per minute are buckets that drain continuously and hold one minute's worth, as OpenAI's own: "Limit 10000,
Used 8554, Requested 3082. Please try again in 9.816s" is (8554 + 3082 - 10000) / 10000 of a minute. So a burst of a
whole minute's worth passes, and no stretch of t seconds admits more than limit x (1 + t / 60). Tokens are poured as
the most a call is thought to use, and corrected when it has ended. Requests at a time are a bucket that does not
drain: a call's end takes out what its beginning poured.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, inf

from billing.charges import Call
from billing.keys import Key
from billing.scopes import EVERYTHING, Index, Scope

MINUTE_SECONDS = 60

CONCURRENT_RETRY_SECONDS = 1.0
"""When to try again where other calls must end first: nobody knows when they will."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit on the calls of a scope; None does not limit."""

    name: str
    scope: Scope = EVERYTHING
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None


class Measure(StrEnum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"


def limits_of(defined: Iterable[Limit], keys: Iterable[Key]) -> list[Limit]:
    """The limits in force: those that were defined, and those of issued keys, named `key/<name>`. Of several keys of
    one name the newest counts."""
    of_names = {key.name: key for key in sorted(keys, key=lambda key: key.created_at) if key.revoked_at is None}
    of_keys = (
        Limit(f"key/{name}", Scope({"key": (name,)}), key.requests_per_minute, key.tokens_per_minute)
        for name, key in of_names.items()
        if (key.requests_per_minute, key.tokens_per_minute) != (None, None)
    )
    return [*defined, *of_keys]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one measure of a limit stands on this replica: `limit` is its share, `used` what is in the bucket, and
    `reset_seconds` when that will have drained (0 for what does not drain)."""

    limit: int
    used: int
    reset_seconds: float

    @property
    def remaining(self) -> int:
        """What still fits."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a call was not admitted: a measure of a limit, and what was requested of it.

    `standings` has all measures of that limit. `retry_after_seconds` is None where waiting never helps, because
    more was requested than the limit lets through in a minute.
    """

    limit: Limit
    measure: Measure
    requested: int
    retry_after_seconds: float | None
    standings: Mapping[Measure, Standing]

    @property
    def standing(self) -> Standing:
        """Of the measure that refused."""
        return self.standings[self.measure]


class _Bucket:
    """One measure of one limit. Drains its capacity in a minute, or not at all.

    What is larger than this replica's share, but not than the limit, passes an empty bucket and is then a debt.
    """

    __slots__ = ("_at", "_capacity", "_drain", "_poured", "allowed", "measure")

    def __init__(self, measure: Measure) -> None:
        self.measure = measure
        self.allowed, self._capacity, self._drain, self._poured, self._at = 0, 0.0, 0.0, 0.0, 0.0

    def resize(self, allowed: int, replicas: int, now: float) -> None:
        """Change the limit and its share; what is in the bucket stays."""
        self._poured, self._at = self._level(now), now
        self.allowed, self._capacity = allowed, allowed / replicas
        self._drain = 0.0 if self.measure is Measure.CONCURRENT else self._capacity / MINUTE_SECONDS

    def wait_seconds(self, amount: int, now: float) -> float:
        """How long until an amount fits: 0 now, inf never."""
        if amount > self.allowed:
            return inf
        excess = self._level(now) + amount - max(self._capacity, amount)
        if excess <= 0:
            return 0.0
        return excess / self._drain if self._drain else CONCURRENT_RETRY_SECONDS

    def pour(self, amount: int, now: float) -> None:
        """Put an amount in, or take it out where it is negative: no more than is there."""
        self._poured, self._at = self._level(now) + amount, now

    def standing(self, now: float) -> Standing:
        """Where it stands."""
        level = self._level(now)
        share = min(self.allowed, max(1, int(self._capacity)))
        return Standing(share, ceil(level), level / self._drain if self._drain else 0.0)

    def _level(self, now: float) -> float:
        return max(0.0, self._poured - (now - self._at) * self._drain)


@dataclass(frozen=True, slots=True)
class _Gauged:
    """A limit and its buckets."""

    limit: Limit
    buckets: tuple[_Bucket, ...]

    @property
    def scope(self) -> Scope:
        return self.limit.scope


class RateLimiter:
    """Admits calls within all limits that cover them. Knows no clock: `now` is in seconds of any that does not jump.

    Each of several `replicas` lets its equal share of every limit through, without asking the others. So together
    they never exceed a limit by more than one request each (of the tokens of their largest), and where the traffic is
    not spread evenly a call may be refused while another replica's share lies idle.
    """

    def __init__(self, limits: Iterable[Limit] = (), now: float = 0.0, replicas: int = 1) -> None:
        self._buckets: dict[tuple[str, Measure], _Bucket] = {}
        self._open: dict[str, list[tuple[_Bucket, int]]] = {}
        self.enforce(limits, now, replicas)

    def __bool__(self) -> bool:
        """Whether there is any limit, or a call that one covered has yet to end."""
        return bool(self._buckets or self._open)

    def enforce(self, limits: Iterable[Limit], now: float, replicas: int = 1) -> None:
        """Put these limits in force instead of the present ones. One of the same name goes on from where it stands;
        calls that are open leave the buckets they were poured into."""
        before, self._buckets = self._buckets, {}
        self._index = Index([self._gauged(limit, before, now, replicas) for limit in limits])

    def admit(self, call: Call, tokens: int, now: float) -> Wait | None:
        """Count a call that may use so many tokens on all limits that cover it, or on none and say what to wait for:
        the longest wait. A call that was admitted must be `ended`, once, whatever becomes of it."""
        if not self._buckets:
            return None
        covering = list(self._index.covering(call))
        if not covering:
            return None
        longest, refusing = 0.0, None
        for gauged in covering:
            for bucket in gauged.buckets:
                seconds = bucket.wait_seconds(_requested(bucket.measure, tokens), now)
                if seconds > longest:
                    longest, refusing = seconds, (gauged, bucket.measure)
        if refusing is not None:
            return _wait(*refusing, tokens, longest, now)
        poured = [(bucket, _requested(bucket.measure, tokens)) for gauged in covering for bucket in gauged.buckets]
        for bucket, amount in poured:
            bucket.pour(amount, now)
        self._open[call.id] = poured
        return None

    def ended(self, call: Call, tokens_used: int | None, now: float) -> None:
        """Let a call's place go, and put its tokens right where they are known (None: as admitted). Its request stays
        counted, as OpenAI counts failed ones too. Of a call that is not open, nothing."""
        for bucket, amount in self._open.pop(call.id, ()):
            if bucket.measure is Measure.CONCURRENT:
                bucket.pour(-amount, now)
            elif bucket.measure is Measure.TOKENS and tokens_used is not None:
                bucket.pour(tokens_used - amount, now)

    @property
    def open_calls(self) -> int:
        """How many admitted calls have not ended; only those that a limit covers."""
        return len(self._open)

    def _gauged(
        self, limit: Limit, before: Mapping[tuple[str, Measure], _Bucket], now: float, replicas: int
    ) -> _Gauged:
        allowed = {
            Measure.REQUESTS: limit.requests_per_minute,
            Measure.TOKENS: limit.tokens_per_minute,
            Measure.CONCURRENT: limit.concurrent_requests,
        }
        buckets = []
        for measure, most in allowed.items():
            if most is not None:
                bucket = before.get((limit.name, measure)) or _Bucket(measure)
                bucket.resize(most, replicas, now)
                self._buckets[limit.name, measure] = bucket
                buckets.append(bucket)
        return _Gauged(limit, tuple(buckets))


def _requested(measure: Measure, tokens: int) -> int:
    return tokens if measure is Measure.TOKENS else 1


def _wait(gauged: _Gauged, measure: Measure, tokens: int, seconds: float, now: float) -> Wait:
    return Wait(
        gauged.limit,
        measure,
        _requested(measure, tokens),
        None if seconds == inf else seconds,
        {bucket.measure: bucket.standing(now) for bucket in gauged.buckets},
    )
