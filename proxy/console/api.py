"""The JSON API under `/api/v1`: sums and charges of the ledger."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from billing import reports
from billing.edges import KeptAsSums
from billing.journal import Journal
from billing.journals import replica_of
from billing.store import DIMENSIONS, Narrowing, Store, fold
from billing.sums import grain_of
from billing.tables import record_of, row_of
from billing.windows import BUDGET_WINDOWS, INTERVALS, moment, window
from proxy.console.answers import bad_request, json_answer, refused

CHARGES_CEILING = 1000

_WINDOWS = ("hour", *BUDGET_WINDOWS)


class Api:
    """Answers questions about the ledger."""

    def __init__(self, store: Store, journal: Journal, zone: ZoneInfo, now: Callable[[], datetime]) -> None:
        self._store = store
        self._journal = journal
        self._zone = zone
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        return [
            web.get("/api/v1/spend", self.spend),
            web.get("/api/v1/charges", self.charges),
            web.get("/api/v1/charges/{id}", self.charge),
            web.get("/api/v1/journal", self.journal),
        ]

    async def spend(self, request: web.Request) -> web.Response:
        """Sums by dimensions and interval; today's unless `from`, `to` or `window` say otherwise."""
        query = request.query
        by = tuple(name for name in query.get("by", "model").split(",") if name)
        interval = query.get("interval")
        if unknown := sorted({*by} - {*DIMENSIONS}):
            raise bad_request(f"by={unknown[0]}: sums are grouped by {', '.join(DIMENSIONS)}")
        if interval is not None and interval not in INTERVALS:
            raise bad_request(f"interval={interval}: one of {', '.join(INTERVALS)}")
        narrowing = self._narrowing(request, default_window="day")
        try:
            totals = await self._store.totals(by, narrowing, time=grain_of(interval, self._zone) if interval else None)
        except KeptAsSums as error:
            raise bad_request(str(error)) from None
        return json_answer(
            {
                "from": _shown(narrowing.since),
                "to": _shown(narrowing.until),
                "timezone": str(self._zone),
                "by": by,
                "rows": reports.rows(totals, by, interval, self._zone),
                "total": reports.sums(fold(totals)),
            }
        )

    async def charges(self, request: web.Request) -> web.Response:
        """The newest charges first, page by page: `next` is what the next page is asked for with, as `after`."""
        try:
            limit = int(request.query.get("limit", "100"))
        except ValueError:
            raise bad_request("limit: a whole number") from None
        narrowing = self._narrowing(request)
        wanted = max(1, min(limit, CHARGES_CEILING))
        after = _place(request.query["after"]) if "after" in request.query else None
        some = self._store.charges(narrowing, limit=wanted, newest_first=True, after=after)
        found = [charge async for charge in some]
        more = f"{found[-1]['started_at']},{found[-1]['id']}" if len(found) == wanted else None
        return json_answer({"charges": found, "next": more})

    async def charge(self, request: web.Request) -> web.Response:
        """One charge by the answer's `x-farebox-id`, from the moment it is in the journal."""
        ident = request.match_info["id"]
        if waiting := await asyncio.to_thread(self._journal.find, ident):
            return json_answer(record_of(row_of(waiting)))
        found = await self._store.charge(ident)
        if found is None:
            raise refused(web.HTTPNotFound, f"there is no charge {ident}")
        return json_answer(found)

    async def journal(self, _request: web.Request) -> web.Response:
        """What this replica has on its disk and not in the ledger."""
        journal = self._journal
        return json_answer(
            {
                "replica": replica_of(journal.folder),
                "under_way": journal.open_calls,
                "waiting": journal.pending(),
                "oldest": _shown(journal.oldest_pending()),
                "aside": journal.aside,
                "bytes": journal.size_bytes,
                "problem": journal.problem,
            }
        )

    def _narrowing(self, request: web.Request, default_window: str | None = None) -> Narrowing:
        query = request.query
        equal = tuple((name, query[name]) for name in DIMENSIONS if name in query)
        try:
            since = moment(query["from"], self._zone) if "from" in query else None
            until = moment(query["to"], self._zone) if "to" in query else None
        except ValueError as error:
            raise bad_request(str(error)) from None
        named = query.get("window", default_window if since is None and until is None else None)
        if named is not None:
            try:
                since, until = window(named, self._now(), self._zone)
            except KeyError:
                raise bad_request(f"window={named}: one of {', '.join(_WINDOWS)}") from None
        return Narrowing(since, until, equal)


def _place(text: str) -> tuple[datetime, str]:
    """Of a charge among the others: when it was admitted, and its id."""
    at, _, ident = text.partition(",")
    try:
        return moment(at, ZoneInfo("UTC")), ident
    except ValueError:
        raise bad_request("after: what the page before answered as next") from None


def _shown(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


def _parameter(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}


def _operation(summary: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    answer = {"200": {"description": "JSON", "content": {"application/json": {"schema": {"type": "object"}}}}}
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": answer}}


_PERIOD = (
    _parameter("from", "a date or an ISO 8601 time, in the configured zone unless it says"),
    _parameter("to", "likewise; not included"),
    _parameter("window", f"instead of both: the current {', '.join(_WINDOWS)}"),
    *(_parameter(name, f"only charges of this {name}; empty: those without one") for name in DIMENSIONS),
)

OPENAPI_PATHS: dict[str, Any] = {
    "/api/v1/journal": _operation("What this replica has recorded and not yet put into the ledger"),
    "/api/v1/spend": _operation(
        "Sums of the ledger, grouped",
        _parameter("by", f"comma-separated, of {', '.join(DIMENSIONS)}"),
        _parameter("interval", f"one row per {', '.join(INTERVALS)} too"),
        *_PERIOD,
    ),
    "/api/v1/charges": _operation(
        "Charges, newest first; `next` leads to the next page",
        _parameter("limit", f"at most {CHARGES_CEILING}; 100 unless said"),
        _parameter("after", "the charges that come after a page: what it answered as `next`"),
        *_PERIOD,
    ),
    "/api/v1/charges/{id}": {
        "get": {
            "summary": "One charge",
            "parameters": [
                {
                    "name": "id",
                    "in": "path",
                    "required": True,
                    "description": "the answer's x-farebox-id",
                    "schema": {"type": "string"},
                }
            ],
            "responses": {"200": {"description": "the charge"}, "404": {"description": "there is none"}},
        }
    },
}
