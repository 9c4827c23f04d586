"""`GET /api/v1/retirements`: what OpenAI shuts down and when, what of it is in use, and what could take its place."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from billing import endings, replacements, retirements, training_models
from billing.prices import PriceBook
from billing.retirements import Retirement
from billing.store import Store
from billing.traffic import RECENT, used
from billing.training_models import Training
from billing.windows import moment
from proxy.console.answers import bad_request, json_answer


class EndingsApi:
    """The calendar's route."""

    def __init__(self, store: Store, book: PriceBook, zone: ZoneInfo, now: Callable[[], datetime]) -> None:
        self._store = store
        self._book = book
        self._zone = zone
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        return [web.get("/api/v1/retirements", self.calendar)]

    async def calendar(self, request: web.Request) -> web.Response:
        """All endings, past ones too, and those of models in the traffic of 30 days, or from `from` to `to`."""
        query, now = request.query, self._now()
        try:
            until = moment(query["to"], self._zone) if "to" in query else now
            since = moment(query["from"], self._zone) if "from" in query else until - RECENT
            training, ends = training_models.known(), retirements.announced()
            return json_answer(await shutdowns(self._store, self._book, training, ends, since, until, now))
        except ValueError as error:
            raise bad_request(str(error)) from None


async def shutdowns(
    store: Store,
    book: PriceBook,
    training: Training,
    ends: Mapping[str, Retirement],
    since: datetime,
    until: datetime,
    now: datetime,
) -> dict[str, Any]:
    """The calendar, and the models in a stretch of traffic that end, with their cheapest replacements, priced today.

    Raises KeptAsSums as `Store.totals` does.
    """
    return {
        "from": since.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "to": until.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "price_book": book.version,
        "in_use": replacements.rows(await used(store, since, until), book, now, ends),
        "calendar": endings.rows(endings.calendar(training, ends), now),
    }


def _parameter(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}


OPENAPI_PATHS: dict[str, Any] = {
    "/api/v1/retirements": {
        "get": {
            "summary": "What OpenAI shuts down, when, and what could take the place of what is in your traffic",
            "parameters": [
                _parameter("from", "traffic from this date or time on; 30 days before its end otherwise"),
                _parameter("to", "up to this date or time, not included; now otherwise"),
            ],
            "responses": {
                "200": {
                    "description": "`in_use` (replacements priced on these calls, at today's prices), `calendar`",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "400": {"description": "no such dates"},
            },
        }
    }
}
"""For the API's own description."""
