import asyncio
import json

import openai
import pytest
from scripted_upstream import answering, scripted

from proxy import errors
from proxy.errors import Refusal
from proxy.headers import head

REFUSALS: dict[str, tuple[Refusal, int, str, str | None, bool | None]] = {
    # what happened: status, type, code, whether an SDK may try again (None: as it sees fit)
    "key not issued": (errors.key_not_issued("fb-…"), 401, "invalid_request_error", "invalid_api_key", False),
    "unknown route": (errors.unknown_route("GET", "/v1/x"), 404, "invalid_request_error", "unknown_url", False),
    "not under /v1": (errors.not_under_v1("/x"), 404, "invalid_request_error", "unknown_url", False),
    "not HTTP": (errors.bad_http(400, "bad line"), 400, "invalid_request_error", None, False),
    "unreachable": (errors.upstream_unreachable("up", "refused"), 502, "server_error", "upstream_unreachable", None),
    "no answer": (errors.upstream_broke_off("up", "reset"), 502, "server_error", "upstream_broke_off", None),
    "a defect": (errors.internal(), 500, "server_error", "farebox_error", None),
    "shutting down": (errors.shutting_down(), 503, "server_error", "shutting_down", True),
    "journal": (errors.journal_unwritable(), 503, "server_error", "journal_unwritable", True),
}  # fmt: skip

RAISES: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    404: openai.NotFoundError,
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
    refusal = errors.Refusal(429, "Spent.", type="insufficient_quota", code="project_spend_limit_exceeded")
    raised, asked = asked_by_the_sdk(refusal, retries=5)
    assert type(raised) is openai.RateLimitError
    assert asked == 1


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (errors.key_not_issued("sk-…"), ["sk-…", "issued"]),
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


def test_hostile_text_stays_inside_its_string() -> None:
    refusal = errors.not_under_v1('/"}\n\\ \N{SNOWMAN}')
    assert json.loads(refusal.body())["error"]["message"] == refusal.message
