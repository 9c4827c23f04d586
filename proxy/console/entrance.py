"""Who may ask the console: who knows the admin token, in a header or by a session that was begun with it.

A session is a cookie that says until when it lasts, signed with the admin token: no replica has to remember any, each
knows those of the others, and another token ends them all.
"""

import contextlib
import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import BasicAuth, web

from proxy.console.answers import json_answer, json_body, refused
from proxy.settings import is_loopback

SESSION = timedelta(hours=12)
COOKIE = "farebox_session"
SESSION_PATH, PAGE_FILES = "/api/v1/session", "/web"

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a session is begun with."""

    token: str


class Entrance:
    """Tells who may enter; without a token whoever asks from this machine, under its own name."""

    def __init__(self, token: str | None, now: Callable[[], datetime]) -> None:
        self._token = token
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        return [
            web.get(SESSION_PATH, self.session),
            web.post(SESSION_PATH, self.begin),
            web.delete(SESSION_PATH, self.end),
        ]

    def refusal(self, request: web.Request) -> web.Response | None:
        """Why a request may not be answered; None: it may."""
        if self._token is None and not is_loopback(_host_name(request)):
            # Only this machine may ask, and not a page of another site that a browser here has been led to under a
            # name of its own (DNS rebinding).
            return _no(403, "ask under localhost, or set FAREBOX_ADMIN_TOKEN")
        if request.method not in _SAFE and _from_another_site(request):
            return _no(403, "a page of another site may change nothing here")
        if self._token is None or _is_open(request):
            return None
        given = _given(request)
        if self._knows(given) if given is not None else self._lasts(request):
            return None
        # No `Basic`: a browser would ask for a password over the page that asks for the token.
        refusal = _no(401, "the admin token is missing or wrong")
        refusal.headers["WWW-Authenticate"] = 'Bearer realm="Farebox"'
        return refusal

    async def session(self, request: web.Request) -> web.Response:
        """Whether the caller is here by a session, which can be ended."""
        return json_answer({"session": self._token is not None and self._lasts(request)})

    async def begin(self, request: web.Request) -> web.Response:
        """The admin token in the body, a session for the browser back."""
        login = await json_body(request, Login)
        if self._token is None or not self._knows(login.token):
            raise refused(web.HTTPUnauthorized, "this is not the admin token")
        until = int((self._now() + SESSION).timestamp())
        answer = web.Response(status=204)
        forwarded = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip()
        answer.set_cookie(
            COOKIE,
            f"{until}.{self._signature(until)}",
            max_age=int(SESSION.total_seconds()),
            httponly=True,
            samesite="Strict",
            secure=request.secure or forwarded == "https",
        )
        return answer

    async def end(self, _request: web.Request) -> web.Response:
        """The browser forgets its session."""
        answer = web.Response(status=204)
        answer.del_cookie(COOKIE, httponly=True, samesite="Strict")
        return answer

    def _knows(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(_bytes(given), _bytes(self._token))

    def _lasts(self, request: web.Request) -> bool:
        until, _, signature = request.cookies.get(COOKIE, "").partition(".")
        if not (until.isascii() and until.isdecimal() and len(until) <= 12):
            return False
        genuine = hmac.compare_digest(_bytes(signature), _bytes(self._signature(int(until))))
        return genuine and self._now().timestamp() < int(until)

    def _signature(self, until: int) -> str:
        return hmac.digest(_bytes(self._token or ""), b"farebox session until %d" % until, "sha256").hex()


def _is_open(request: web.Request) -> bool:
    """The page's own files hold no figures, and the one that asks for the token needs them."""
    if request.method in _SAFE:
        return request.path.startswith(f"{PAGE_FILES}/")
    return (request.method, request.path) == ("POST", SESSION_PATH)


def _given(request: web.Request) -> str | None:
    """The token in a request's header: as a bearer token, or as the password of anybody."""
    told = request.headers.get("Authorization")
    if told is None:
        return None
    scheme, _, token = told.partition(" ")
    if scheme.lower() == "bearer":
        return token
    with contextlib.suppress(ValueError):
        return str(BasicAuth.decode(told, "utf-8").password)
    return ""


def _from_another_site(request: web.Request) -> bool:
    """Whether a browser says so. It says more to this machine and behind TLS; there a proxy may have changed `Host`."""
    if site := request.headers.get("Sec-Fetch-Site"):
        return site not in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    with contextlib.suppress(ValueError):
        return origin is not None and urlsplit(origin).netloc.lower() != request.host.lower()
    return True


def _host_name(request: web.Request) -> str:
    """The name a request was sent to, without its port."""
    with contextlib.suppress(ValueError):
        return urlsplit(f"//{request.host}").hostname or ""
    return ""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _no(status: int, message: str) -> web.Response:
    return json_answer({"error": {"message": message}}, status)


OPENAPI_PATHS: dict[str, Any] = {
    SESSION_PATH: {
        "get": {"summary": "Whether you are here by a session", "responses": {"200": {"description": "`session`"}}},
        "post": {
            "summary": "Begin a session: the admin token becomes a cookie that no script can read",
            "requestBody": {
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "properties": {"token": {"type": "string"}},
                            "required": ["token"],
                        }
                    }
                },
                "required": True,
            },
            "responses": {"204": {"description": "begun"}, "401": {"description": "another token"}},
        },
        "delete": {"summary": "End the session", "responses": {"204": {"description": "ended"}}},
    }
}
"""For the API's own description."""
