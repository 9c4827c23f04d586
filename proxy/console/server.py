"""The console's application: routes, who may ask, and the headers that keep the page to itself."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

import dashboards
from proxy.console.answers import json_answer
from proxy.console.entrance import PAGE_FILES, Entrance
from proxy.metrics import Metrics

WEB = Path(dashboards.__path__[0]) / "web"

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""What machines ask, without a token."""

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

log = logging.getLogger("farebox.console")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routed(Protocol):
    """A part of the API."""

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""


class Console:
    """The console of one replica. `apis` are the parts of its API, `paths` their description. `scrape` brings the
    ledger-fed gauges up to date before each exposition."""

    def __init__(
        self,
        apis: Sequence[Routed],
        paths: Mapping[str, Any],
        metrics: Metrics,
        *,
        entrance: Entrance,
        ready: Callable[[], str | None],
        scrape: Callable[[], Awaitable[bool]],
    ) -> None:
        self._apis = apis
        self._paths = paths
        self._metrics = metrics
        self._entrance = entrance
        self._ready = ready
        self._scrape = scrape

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(middlewares=[self._guard])
        application.add_routes(
            [
                web.get("/", self._page),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._exposition),
                web.static(PAGE_FILES, WEB),
                web.get("/api/v1/openapi.json", self._openapi),
                *self._entrance.routes(),
                *(route for api in self._apis for route in api.routes()),
            ]
        )
        return application

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN_PATHS and (refused := self._entrance.refusal(request)):
            response: web.StreamResponse = refused
            if refused.status == 401 and request.path == "/":
                response = web.FileResponse(WEB / "login.html", status=401)
        else:
            try:
                response = await handler(request)
            except SQLAlchemyError as error:
                log.warning("%s: the ledger's database does not answer: %s", request.path, error)
                message = "the ledger's database does not answer; calls go on and wait in the journal"
                response = web.json_response({"error": {"message": message}}, status=503)
            except web.HTTPException as answered:
                answered.headers.update(_PAGE_HEADERS)
                raise
        response.headers.update(_PAGE_HEADERS)
        return response

    async def _page(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(WEB / "index.html")

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        problem = self._ready()
        return web.Response(text=f"{problem or 'ready'}\n", status=503 if problem else 200)

    async def _openapi(self, _request: web.Request) -> web.Response:
        return json_answer({"openapi": "3.1.0", "info": {"title": "Farebox", "version": "1"}, "paths": self._paths})

    async def _exposition(self, _request: web.Request) -> web.Response:
        if not await self._scrape():
            return web.Response(text="the counters are being read from the ledger\n", status=503)
        return web.Response(
            body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )
