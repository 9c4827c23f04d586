"""Rate limits in virtual time: what passes, what waits and for how long, and that nothing leaks."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from billing.attribution import Attribution
from billing.charges import Call
from billing.keys import Key
from billing.limits import CONCURRENT_RETRY_SECONDS, Limit, Measure, RateLimiter, Wait, limits_of
from billing.scopes import Scope

START = datetime(2026, 11, 23, tzinfo=UTC)
NUMBERS = count()
REQUESTS, TOKENS, CONCURRENT = Measure.REQUESTS, Measure.TOKENS, Measure.CONCURRENT


def a_call(model: str = "gpt-4o", **who: Any) -> Call:
    ident = f"fbx_{next(NUMBERS)}"
    return Call(ident, START, "chat", "POST", "/v1/chat/completions", Attribution(**who), "test", model)


def admitted(limiter: RateLimiter, tries: int, now: float, tokens: int = 0) -> int:
    """How many of so many calls pass at one moment."""
    return sum(limiter.admit(a_call(), tokens, now) is None for _ in range(tries))


def entered(limiter: RateLimiter, tokens: int, now: float) -> Call:
    """A call that passed."""
    call = a_call()
    assert limiter.admit(call, tokens, now) is None
    return call


def refused(limiter: RateLimiter, call: Call, tokens: int, now: float) -> Wait:
    wait = limiter.admit(call, tokens, now)
    assert wait is not None
    return wait


# ── one limit ───────────────────────────────────────────────────────────────────


def test_what_no_limit_covers_passes_and_is_not_remembered() -> None:
    limiter = RateLimiter([Limit("search", Scope({"team": ("search",)}), 1, 1, 1)])
    assert all(limiter.admit(a_call(team="ads"), 10**9, 0) is None for _ in range(100))
    assert limiter.open_calls == 0
    assert RateLimiter().admit(a_call(), 10**9, 0) is None
    assert limiter
    assert not RateLimiter()


def test_a_burst_of_a_minute_s_requests_passes_then_one_at_a_time() -> None:
    limiter = RateLimiter([Limit("a", requests_per_minute=60)])
    assert admitted(limiter, 100, now=1000) == 60
    assert admitted(limiter, 100, now=1000.5) == 0
    assert admitted(limiter, 100, now=1001) == 1
    assert admitted(limiter, 100, now=1031) == 30
    assert admitted(limiter, 100, now=5000) == 60  # and no more, however long nobody came


def test_the_wait_is_openai_s() -> None:
    """Figures of a 429 of OpenAI's: Limit 10000, Used 8554, Requested 3082, again in 9.816 s."""
    limiter = RateLimiter([limit := Limit("a", tokens_per_minute=10_000)])
    assert limiter.admit(a_call(), 8554, 7) is None
    wait = refused(limiter, a_call(), 3082, 7)
    assert wait.retry_after_seconds == pytest.approx(9.816)
    assert (wait.limit, wait.measure, wait.requested) == (limit, TOKENS, 3082)
    assert (wait.standing.limit, wait.standing.used, wait.standing.remaining) == (10_000, 8554, 1446)
    assert wait.standing.reset_seconds == pytest.approx(8554 / 10_000 * 60)
    assert limiter.admit(a_call(), 3082, 7 + 9.8) is not None
    assert limiter.admit(a_call(), 3082, 7 + 9.817) is None


def test_whoever_waits_as_told_passes() -> None:
    limiter = RateLimiter([Limit("a", requests_per_minute=7, tokens_per_minute=1000)])
    now = 0.0
    for tokens in (900, 800, 1000, 1, 1, 1, 1, 1, 1, 1, 1, 1000):
        if wait := limiter.admit(call := a_call(), tokens, now):
            assert wait.retry_after_seconds is not None
            now += wait.retry_after_seconds + 1e-9
            assert limiter.admit(call, tokens, now) is None


@pytest.mark.parametrize(
    ("limit", "tokens", "measure"),
    [
        (Limit("a", tokens_per_minute=1000), 1001, TOKENS),
        (Limit("a", requests_per_minute=0), 0, REQUESTS),
        (Limit("a", concurrent_requests=0), 0, CONCURRENT),
        (Limit("a", tokens_per_minute=0), 1, TOKENS),
    ],
)
def test_what_is_larger_than_the_limit_never_passes(limit: Limit, tokens: int, measure: Measure) -> None:
    wait = refused(RateLimiter([limit]), a_call(), tokens, 0)
    assert (wait.retry_after_seconds, wait.measure) == (None, measure)


def test_a_call_as_large_as_the_limit_passes_an_empty_bucket() -> None:
    assert RateLimiter([Limit("a", tokens_per_minute=1000)]).admit(a_call(), 1000, 0) is None


def test_so_many_at_a_time() -> None:
    limiter = RateLimiter([Limit("a", concurrent_requests=2)])
    first, second = a_call(), a_call()
    assert limiter.admit(first, 0, 0) is None
    assert limiter.admit(second, 0, 0) is None
    wait = refused(limiter, a_call(), 0, 3600)  # time alone frees nothing
    assert (wait.measure, wait.standing.used, wait.standing.remaining) == (CONCURRENT, 2, 0)
    assert wait.retry_after_seconds == CONCURRENT_RETRY_SECONDS
    limiter.ended(first, 0, 3600)
    limiter.ended(first, 0, 3600)  # twice is once
    assert admitted(limiter, 5, 3600) == 1


# ── how calls end ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "used", "left"),
    [
        (600, 100, 900),  # gives back
        (600, 600, 400),
        (600, None, 400),  # nobody knows: as admitted
        (600, 0, 1000),
        (600, 950, 50),  # takes the rest
        (600, 1300, -300),  # a debt
    ],
)
def test_tokens_are_put_right_when_the_call_has_ended(asked: int, used: int | None, left: int) -> None:
    limiter = RateLimiter([Limit("a", tokens_per_minute=1000)])
    call = entered(limiter, asked, 0)
    limiter.ended(call, used, 0)
    if left > 0:
        assert limiter.admit(a_call(), left, 0) is None
    wait = refused(limiter, a_call(), 1, 0)
    assert wait.retry_after_seconds == pytest.approx((1 - min(left, 0)) * 60 / 1000)


def test_what_has_drained_meanwhile_is_not_given_back_again() -> None:
    limiter = RateLimiter([Limit("a", tokens_per_minute=1000)])
    call = entered(limiter, 1000, 0)
    limiter.ended(call, 0, 59)
    assert limiter.admit(a_call(), 1000, 59) is None
    assert limiter.admit(a_call(), 1, 59) is not None


def test_a_request_stays_counted_when_its_call_was_released() -> None:
    limiter = RateLimiter([Limit("a", requests_per_minute=1, tokens_per_minute=1000)])
    call = entered(limiter, 1000, 0)
    limiter.ended(call, 0, 0)
    assert refused(limiter, a_call(), 1000, 0).measure is REQUESTS


# ── several limits ──────────────────────────────────────────────────────────────


def test_all_limits_of_a_call_or_none() -> None:
    wide, narrow = Limit("all", requests_per_minute=10), Limit("search", Scope({"team": ("search",)}), 2)
    limiter = RateLimiter([wide, narrow])
    assert [limiter.admit(a_call(team="search"), 0, 0) is None for _ in range(20)] == [True] * 2 + [False] * 18
    assert [limiter.admit(a_call(team="ads"), 0, 0) is None for _ in range(20)] == [True] * 8 + [False] * 12
    assert refused(limiter, a_call(team="search"), 0, 0).limit == narrow  # the longer wait
    assert refused(limiter, a_call(team="ads"), 0, 0).limit == wide


def test_never_is_the_longest_wait() -> None:
    limiter = RateLimiter([Limit("slow", requests_per_minute=1), Limit("small", tokens_per_minute=5)])
    assert limiter.admit(a_call(), 1, 0) is None
    wait = refused(limiter, a_call(), 6, 0)
    assert (wait.limit.name, wait.retry_after_seconds) == ("small", None)


def test_a_wait_tells_where_every_measure_of_its_limit_stands() -> None:
    limiter = RateLimiter([Limit("a", requests_per_minute=1, tokens_per_minute=100, concurrent_requests=9)])
    assert limiter.admit(a_call(), 30, 0) is None
    wait = refused(limiter, a_call(), 30, 15)
    assert {measure: (at.limit, at.used, at.remaining) for measure, at in wait.standings.items()} == {
        REQUESTS: (1, 1, 0),
        TOKENS: (100, 5, 95),
        CONCURRENT: (9, 1, 8),
    }
    assert wait.standings[CONCURRENT].reset_seconds == 0


# ── changes ─────────────────────────────────────────────────────────────────────


def test_a_changed_limit_goes_on_from_where_it_stands() -> None:
    limiter = RateLimiter([Limit("a", requests_per_minute=60)])
    assert admitted(limiter, 100, now=0) == 60
    limiter.enforce([Limit("a", requests_per_minute=90), Limit("b", requests_per_minute=1000)], 0)
    assert admitted(limiter, 100, now=0) == 30
    limiter.enforce([Limit("a", requests_per_minute=60)], 10)  # of 90, 15 have drained: 75 stand
    assert refused(limiter, a_call(), 0, 10).retry_after_seconds == pytest.approx(16)


def test_a_withdrawn_limit_limits_nothing_and_comes_back_empty() -> None:
    limiter = RateLimiter([limit := Limit("a", requests_per_minute=1, concurrent_requests=1)])
    old = entered(limiter, 0, 0)
    limiter.enforce([], 0)
    assert admitted(limiter, 50, now=0) == 50
    assert limiter  # the old one has yet to end
    limiter.enforce([limit], 0)
    limiter.ended(old, 0, 0)  # leaves what it was poured into, which is gone
    assert admitted(limiter, 50, now=0) == 1


def test_an_open_call_keeps_its_place_through_a_change() -> None:
    limiter = RateLimiter([Limit("a", concurrent_requests=1)])
    call = entered(limiter, 0, 0)
    limiter.enforce([Limit("a", Scope({"model": ("gpt-4o",)}), concurrent_requests=2)], 1)
    assert admitted(limiter, 5, 1) == 1
    limiter.ended(call, 0, 1)
    assert admitted(limiter, 5, 1) == 1
    assert limiter.open_calls == 2


# ── replicas ────────────────────────────────────────────────────────────────────


def test_a_replica_lets_its_share_through() -> None:
    limiter = RateLimiter([Limit("a", requests_per_minute=60, concurrent_requests=49)], replicas=7)
    assert admitted(limiter, 100, now=0) == 7
    limiter = RateLimiter([Limit("a", requests_per_minute=60)], replicas=3)
    assert admitted(limiter, 100, now=0) == 20
    assert admitted(limiter, 100, now=3) == 1
    assert refused(limiter, a_call(), 0, 3).standing.limit == 20


def test_a_share_smaller_than_a_call_is_overdrawn_and_paid_back() -> None:
    limiter = RateLimiter([Limit("a", requests_per_minute=1, tokens_per_minute=900)], replicas=3)
    assert limiter.admit(a_call(), 900, 0) is None
    wait = refused(limiter, a_call(), 900, 60)
    assert wait.retry_after_seconds == pytest.approx(120)
    assert wait.standings[REQUESTS].limit == 1
    assert limiter.admit(a_call(), 900, 181) is None


# ── the limits of keys ──────────────────────────────────────────────────────────


def a_key(name: str, at: datetime = START, **more: Any) -> Key:
    return Key(id=f"key_{name}", name=name, digest="", hint="", created_at=at, **more)


def test_an_issued_key_brings_its_own_limit() -> None:
    defined = Limit("all", requests_per_minute=9)
    keys = [
        a_key("free"),
        a_key("slow", requests_per_minute=1),
        a_key("small", tokens_per_minute=10),
        a_key("gone", requests_per_minute=1, revoked_at=START),
    ]
    assert limits_of([defined], keys) == [
        defined,
        Limit("key/slow", Scope({"key": ("slow",)}), 1, None),
        Limit("key/small", Scope({"key": ("small",)}), None, 10),
    ]


def test_of_keys_of_one_name_the_newest_counts() -> None:
    later = START + timedelta(days=1)
    expired = a_key("app", requests_per_minute=1, expires_at=later)
    assert limits_of([], [a_key("app", later, tokens_per_minute=5), expired]) == [
        Limit("key/app", Scope({"key": ("app",)}), None, 5)
    ]
    assert limits_of([], [expired, a_key("app", later)]) == []


# ── any course of events ────────────────────────────────────────────────────────


class Traffic(RuleBasedStateMachine):
    """Against a model that remembers every pour. Times, sizes and rates are dyadic: no float is rounded."""

    @initialize(
        per_second=st.integers(1, 3),
        tokens=st.sampled_from([60, 240, 480]),
        at_once=st.integers(1, 4),
    )
    def begin(self, per_second: int, tokens: int, at_once: int) -> None:
        self.now = 64.0
        self.requests, self.tokens, self.at_once = 60 * per_second, tokens, at_once
        self.limiter = RateLimiter([Limit("a", Scope({}), self.requests, tokens, at_once)], self.now)
        self.open: dict[str, tuple[Call, int]] = {}
        self.pours: dict[Measure, list[tuple[float, int]]] = {REQUESTS: [], TOKENS: []}

    def level(self, measure: Measure) -> float:
        """How full a bucket is, told from its whole history."""
        drain = {REQUESTS: self.requests, TOKENS: self.tokens}[measure] / 60
        level, last = 0.0, 0.0
        for at, amount in self.pours[measure]:
            level, last = max(0.0, max(0.0, level - (at - last) * drain) + amount), at
        return max(0.0, level - (self.now - last) * drain)

    @rule(eighths=st.integers(0, 400))
    def time_passes(self, eighths: int) -> None:
        self.now += eighths / 8

    @rule(tokens=st.integers(0, 500), many=st.integers(1, 40))
    def calls_come(self, tokens: int, many: int) -> None:
        for _ in range(many):
            call = a_call()
            fits = (
                self.level(REQUESTS) + 1 <= self.requests
                and tokens <= self.tokens
                and self.level(TOKENS) + tokens <= self.tokens
                and len(self.open) < self.at_once
            )
            wait = self.limiter.admit(call, tokens, self.now)
            assert (wait is None) is fits
            if fits:
                self.open[call.id] = (call, tokens)
                self.pours[REQUESTS].append((self.now, 1))
                self.pours[TOKENS].append((self.now, tokens))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), used=st.none() | st.integers(0, 600))
    def a_call_ends(self, data: st.DataObject, used: int | None) -> None:
        call, tokens = self.open.pop(data.draw(st.sampled_from(sorted(self.open))))
        self.limiter.ended(call, used, self.now)
        self.pours[TOKENS].append((self.now, 0 if used is None else used - tokens))

    @precondition(lambda self: self.open)
    @rule()
    def many_calls_come_and_go(self) -> None:
        for call, tokens in list(self.open.values()):
            self.limiter.ended(call, tokens, self.now)
        self.open.clear()

    @rule()
    def the_same_limits_are_put_in_force_again(self) -> None:
        self.limiter.enforce([Limit("a", Scope({}), self.requests, self.tokens, self.at_once)], self.now)

    @invariant()
    def no_stretch_admits_more_than_a_burst_and_its_rate(self) -> None:
        pours = self.pours[REQUESTS]
        for first, (since, _) in enumerate(pours):
            total = 0
            for until, amount in pours[first:]:
                total += amount
                assert total <= self.requests * (1 + (until - since) / 60)

    @invariant()
    def nothing_leaks(self) -> None:
        assert self.limiter.open_calls == len(self.open) <= self.at_once

    def teardown(self) -> None:
        if hasattr(self, "limiter"):
            for call, _ in self.open.values():
                self.limiter.ended(call, 0, self.now)
            assert self.limiter.open_calls == 0
            assert self.limiter.admit(a_call(), self.tokens, self.now + 3600) is None
            assert self.limiter.admit(a_call(), 0, self.now + 3600) is None or self.at_once == 1


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
