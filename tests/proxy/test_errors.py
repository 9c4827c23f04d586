import asyncio
import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import openai
import pytest
from scripted_upstream import answering, scripted

from billing.budgets import Budget, Position, Shortage
from billing.definitions import budget_from
from billing.limits import Limit, Measure, Standing, Wait
from billing.money import pico_from_usd
from billing.scopes import Scope
from proxy import errors
from proxy.errors import Refusal
from proxy.headers import head

SEARCH = Scope({"team": ("search",)})
BUDGET = budget_from("search", {"limit_usd": "50", "scope": {"team": "search"}})


def short(spent: str, held: str, ask: str, budget: Budget = BUDGET) -> Shortage:
    """A shortage of the search team's $50 a month."""
    since, until = budget.window_at(datetime(2026, 11, 23, tzinfo=UTC), ZoneInfo("UTC"))
    return Shortage(Position(budget, since, until, pico_from_usd(spent), pico_from_usd(held)), pico_from_usd(ask))


def wait(measure: Measure = Measure.TOKENS, requested: int = 3082, seconds: float | None = 9.816) -> Wait:
    """On a limit of the search team's: 60 requests of which 2 are used, 10000 tokens of which 8554, 5 at a time."""
    standings = {
        Measure.REQUESTS: Standing(60, 2, 2.0),
        Measure.TOKENS: Standing(10_000, 8554, 51.324),
        Measure.CONCURRENT: Standing(5, 5, 0.0),
    }
    return Wait(Limit("search", SEARCH, 60, 10_000, 5), measure, requested, seconds, standings)


REFUSALS: dict[str, tuple[Refusal, int, str, str | None, bool | None]] = {
    # what happened: status, type, code, whether an SDK may try again (None: as it sees fit)
    "key not issued": (errors.key_not_issued("fb-…"), 401, "invalid_request_error", "invalid_api_key", False),
    "key out of place": (errors.key_out_of_place("x"), 401, "invalid_request_error", "invalid_api_key", False),
    "no upstream key": (errors.upstream_key_missing(), 503, "server_error", "upstream_key_missing", False),
    "model": (errors.model_not_allowed("k", "m"), 403, "invalid_request_error", "model_not_allowed", False),
    "endpoint": (errors.endpoint_not_allowed("k", "GET", "/x"), 403, "invalid_request_error", "endpoint_not_allowed",
                 False),
    "route": (errors.route_not_allowed("/x", "why"), 403, "invalid_request_error", "route_not_allowed", False),
    "unknown route": (errors.unknown_route("GET", "/v1/x"), 404, "invalid_request_error", "unknown_url", False),
    "not under /v1": (errors.not_under_v1("/x"), 404, "invalid_request_error", "unknown_url", False),
    "not HTTP": (errors.bad_http(400, "bad line"), 400, "invalid_request_error", None, False),
    "unreachable": (errors.upstream_unreachable("up", "refused"), 502, "server_error", "upstream_unreachable", None),
    "no answer": (errors.upstream_broke_off("up", "reset"), 502, "server_error", "upstream_broke_off", None),
    "a defect": (errors.internal(), 500, "server_error", "farebox_error", None),
    "shutting down": (errors.shutting_down(), 503, "server_error", "shutting_down", True),
    "owners away": (errors.owners_unknown(), 503, "server_error", "owners_unavailable", True),
    "names unread": (errors.names_unreadable("it is large"), 400, "invalid_request_error", "unreadable_body", False),
    "nobody's": (errors.route_of_nobody("GET", "/v1/new"), 404, "invalid_request_error", "unknown_url", False),
    "no list": (errors.list_unreadable("up"), 502, "server_error", "list_unreadable", False),
    "journal": (errors.journal_unwritable(), 503, "server_error", "journal_unwritable", True),
    "spent": (errors.over_budget(short("49.99", "0", "0.02")), 429, "insufficient_quota",
              "project_spend_limit_exceeded", False),
    "no bound": (errors.unbounded_call(("no cap on the output",)), 403, "invalid_request_error",
                 "budget_unbounded_call", False),
    "cut": (errors.budget_spent(), 429, "insufficient_quota", "project_spend_limit_exceeded", False),
    "budgets away": (errors.budget_unavailable(), 503, "server_error", "budget_unavailable", True),
    "rate": (errors.rate_limited(wait()), 429, "tokens", "rate_limit_exceeded", True),
}  # fmt: skip

RAISES: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    502: openai.InternalServerError,
    503: openai.InternalServerError,
}

every = pytest.mark.parametrize(
    ("refusal", "status", "kind", "code", "retry"), REFUSALS.values(), ids=REFUSALS
)  # fmt: skip


def test_no_refusal_is_forgotten_here() -> None:
    makers = {
        name for name, made in vars(errors).items() if getattr(made, "__annotations__", {}).get("return") is Refusal
    }
    assert len(makers) == len(REFUSALS)


def asked_by_the_sdk(refusal: Refusal, retries: int = 0) -> tuple[openai.APIStatusError, int]:
    """What the SDK raises when it is answered so, and how often it asked."""
    body = refusal.body()
    headers = [*refusal.headers(), (b"Content-Length", b"%d" % len(body))]
    answer = head(b"HTTP/1.1 %d Refused" % refusal.status, headers) + body

    async def ask() -> tuple[openai.APIStatusError, int]:
        async with (
            scripted(answering(answer)) as farebox,
            openai.AsyncOpenAI(api_key="sk-1", base_url=f"{farebox.url}/v1", max_retries=retries) as sdk,
        ):
            with pytest.raises(openai.APIStatusError) as raised:
                await sdk.models.retrieve("gpt-4o")
            return raised.value, len(farebox.seen)

    return asyncio.run(ask())


@every
def test_the_body_has_openai_s_shape(
    refusal: Refusal, status: int, kind: str, code: str | None, retry: bool | None
) -> None:
    body = json.loads(refusal.body())
    assert refusal.status == status
    assert body == {"error": {"message": refusal.message, "type": kind, "param": None, "code": code}}
    assert list(body["error"]) == ["message", "type", "param", "code"]
    assert refusal.message.endswith(".")
    assert refusal.body().endswith(b"}\n")


@every
def test_the_headers_say_what_it_is_and_whether_to_retry(
    refusal: Refusal, status: int, kind: str, code: str | None, retry: bool | None
) -> None:
    headers = dict(refusal.headers())
    assert headers.pop(b"Content-Type") == b"application/json"
    for name, value in refusal.more:
        assert headers.pop(name) == value
    assert headers == ({} if retry is None else {b"x-should-retry": str(retry).lower().encode()})


@every
def test_the_sdk_raises_its_own_exception(
    refusal: Refusal, status: int, kind: str, code: str | None, retry: bool | None
) -> None:
    raised, _ = asked_by_the_sdk(refusal)
    assert type(raised) is RAISES[status]
    assert (raised.code, raised.type, raised.param) == (code, kind, None)
    assert refusal.message in raised.message


def test_the_sdk_does_not_repeat_what_cannot_help() -> None:
    refusal = errors.over_budget(short("49.99", "0", "0.02"))
    raised, asked = asked_by_the_sdk(refusal, retries=5)
    assert type(raised) is openai.RateLimitError
    assert asked == 1


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (errors.key_not_issued("sk-…"), ["sk-…", "issued"]),
        (errors.key_not_issued("fb-…", "This key is revoked."), ["fb-…", "is revoked"]),
        (errors.key_out_of_place("the header api-key"), ["the header api-key", "Authorization: Bearer"]),
        (errors.upstream_key_missing(), ["OPENAI_API_KEY"]),
        (errors.model_not_allowed("search", "gpt-4o"), ["'search'", "'gpt-4o'"]),
        (errors.model_not_allowed("search", None), ["'search'", "cannot read the model"]),
        (errors.endpoint_not_allowed("search", "POST", "/v1/files"), ["'search'", "POST /v1/files"]),
        (errors.route_not_allowed("/v1/projects", "it is closed"), ["/v1/projects", "it is closed", "FAREBOX_ALLOW"]),
        (errors.unknown_route("POST", "/v1/new"), ["POST /v1/new", "refuse"]),
        (errors.not_under_v1("/chat/completions"), ["/chat/completions", "OPENAI_BASE_URL", "/v1"]),
        (errors.upstream_unreachable("https://up.example", "no route"), ["https://up.example", "no route"]),
        (errors.upstream_broke_off("https://up.example", "reset"), ["https://up.example", "reset"]),
        (errors.bad_http(400, ""), ["HTTP/1.1"]),
        (errors.bad_http(431, "too long"), ["too long"]),
    ],
)
def test_the_message_names_what_is_wrong(refusal: Refusal, words: list[str]) -> None:
    assert all(word in refusal.message for word in words)


# ── budgets ─────────────────────────────────────────────────────────────────────


def test_a_spent_budget_is_named_with_its_figures_and_its_reset() -> None:
    assert errors.over_budget(short("49.99", "0.005", "0.02")).message == (
        "You exceeded the Farebox budget 'search' (team=search): limit $50 per month, spent $49.99, held for calls "
        "under way $0.005, this call may need $0.02. The budget resets at 2026-12-01T00:00:00Z."
    )


def test_a_budget_in_total_does_not_reset() -> None:
    total = budget_from("pilot", {"limit_usd": "1", "window": "total"})
    message = errors.over_budget(short("1", "0", "0.02", total)).message
    assert "'pilot' (everything): limit $1 in total" in message
    assert message.endswith("The budget does not reset.")


def test_where_only_holds_stand_in_the_way_the_sdk_tries_again() -> None:
    refusal = errors.over_budget(short("10", "39.99", "0.02"), retry_after_seconds=0.005)
    assert (refusal.status, refusal.code) == (429, "project_spend_limit_exceeded")
    assert dict(refusal.headers())[b"retry-after-ms"] == b"5"
    assert dict(refusal.headers())[b"x-should-retry"] == b"true"
    assert "try again" in refusal.message
    raised, asked = asked_by_the_sdk(refusal, retries=2)
    assert type(raised) is openai.RateLimitError
    assert asked == 3


def test_a_spent_budget_says_nothing_of_trying_again() -> None:
    refusal = errors.over_budget(short("50", "0", "0.02"))
    assert b"retry-after-ms" not in dict(refusal.headers())
    assert "again" not in refusal.message


# ── rate limits ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("refused", "kind", "message", "retry_after_ms"),
    [
        (
            wait(),
            "tokens",
            (
                "Rate limit reached for Farebox limit 'search' (team=search) on tokens per min (TPM): Limit 10000, "
                "Used 8554, Requested 3082. Please try again in 9.816s."
            ),
            b"9816",
        ),
        (
            wait(Measure.REQUESTS, 1, 0.0061),
            "requests",
            (
                "Rate limit reached for Farebox limit 'search' (team=search) on requests per min (RPM): Limit 60, "
                "Used 2, Requested 1. Please try again in 7ms."
            ),
            b"7",
        ),
        (
            wait(Measure.CONCURRENT, 1, 1.0),
            "requests",
            (
                "Rate limit reached for Farebox limit 'search' (team=search) on concurrent requests: Limit 5, Used 5, "
                "Requested 1. Please try again in 1s."
            ),
            b"1000",
        ),
        (
            wait(requested=10_001, seconds=None),
            "tokens",
            (
                "Request too large for Farebox limit 'search' (team=search) on tokens per min (TPM): Limit 10000, "
                "Requested 10001. The input or output tokens must be reduced in order to run successfully."
            ),
            None,
        ),
    ],
)
def test_a_rate_limit_speaks_like_openai(refused: Wait, kind: str, message: str, retry_after_ms: bytes | None) -> None:
    refusal = errors.rate_limited(refused)
    headers = dict(refusal.headers())
    assert (refusal.type, refusal.message) == (kind, message)
    assert headers.get(b"retry-after-ms") == retry_after_ms
    assert headers[b"x-should-retry"] == (b"true" if retry_after_ms else b"false")


def test_a_rate_limit_tells_where_it_stands() -> None:
    headers = dict(errors.rate_limited(wait()).headers())
    assert {name: value for name, value in headers.items() if b"-r" in name} == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"58",
        b"x-ratelimit-reset-requests": b"2s",
        b"x-ratelimit-limit-tokens": b"10000",
        b"x-ratelimit-remaining-tokens": b"1446",
        b"x-ratelimit-reset-tokens": b"51.324s",
        b"x-should-retry": b"true",
    }
    assert (headers[b"retry-after-ms"], headers[b"retry-after"]) == (b"9816", b"10")
    only = Wait(Limit("a", requests_per_minute=1), Measure.REQUESTS, 1, 60.0, {Measure.REQUESTS: Standing(1, 1, 60.0)})
    assert not [name for name, _ in errors.rate_limited(only).headers() if b"tokens" in name]


def test_a_replica_s_share_is_called_one() -> None:
    shared = Wait(
        Limit("a", requests_per_minute=60), Measure.REQUESTS, 1, 3.0, {Measure.REQUESTS: Standing(20, 20, 60)}
    )
    assert "Limit 20 (this replica's share of 60), Used 20, Requested 1." in errors.rate_limited(shared).message


def test_the_sdk_waits_and_tries_again_unless_it_can_never_pass() -> None:
    raised, asked = asked_by_the_sdk(errors.rate_limited(wait(seconds=0.002)), retries=2)
    assert (type(raised), asked) == (openai.RateLimitError, 3)
    raised, asked = asked_by_the_sdk(errors.rate_limited(wait(seconds=None)), retries=2)
    assert (type(raised), asked) == (openai.RateLimitError, 1)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0s"), (0.0000001, "1ms"), (0.0001, "1ms"), (0.012, "12ms"), (0.9991, "1s"), (1, "1s"), (8.64, "8.64s"),
        (59.989, "59.989s"), (59.9999, "1m0s"), (60, "1m0s"), (90.5, "1m30.5s"), (360, "6m0s"), (3600, "1h0m0s"),
        (7325, "2h2m5s"),
    ],
)  # fmt: skip
def test_a_time_to_wait_is_written_like_openai_s(seconds: float, written: str) -> None:
    assert errors.duration(seconds) == written


def test_no_wait_is_so_short_that_an_sdk_takes_it_for_none() -> None:
    assert dict(errors.rate_limited(wait(seconds=1e-12)).headers())[b"retry-after-ms"] == b"1"


def test_hostile_text_stays_inside_its_string() -> None:
    refusal = errors.not_under_v1('/"}\n\\ \N{SNOWMAN}')
    assert json.loads(refusal.body())["error"]["message"] == refusal.message
