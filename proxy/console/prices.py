"""`GET /api/v1/prices`: the price book: a day's prices, or the history of one model's, with where each was read."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any

from aiohttp import web

from billing.price_rows import history, listed
from billing.prices import STANDARD, TIERS, PriceBook, tier_name
from billing.retirements import announced, retirement_of
from proxy.console.answers import bad_request, json_answer, refused


class PricesApi:
    """The price book's route."""

    def __init__(self, book: PriceBook, now: Callable[[], datetime]) -> None:
        self._book = book
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        return [web.get("/api/v1/prices", self.prices)]

    async def prices(self, request: web.Request) -> web.Response:
        """All models at a `tier` on a day (`on`), today unless said; or with `model` all that was ever in force."""
        query, now = request.query, self._now()
        if model := query.get("model"):
            rows = history(self._book, model, now.date())
            if not rows:
                raise refused(web.HTTPNotFound, f"there is no price for {model}")
            ends = retirement_of(model, announced())
            return json_answer(
                {
                    "model": model,
                    "price_book": self._book.version,
                    "retires": str(ends.at.date()) if ends else None,
                    "rows": rows,
                }
            )
        tier = tier_name(query.get("tier", STANDARD))
        if tier not in TIERS:
            raise bad_request(f"tier={tier}: one of {', '.join(TIERS)}")
        try:
            day = date.fromisoformat(query["on"]) if "on" in query else now.date()
        except ValueError:
            raise bad_request(f"on={query['on']}: a date such as 2026-11-23") from None
        rows = listed(self._book, tier, datetime.combine(day, time.min, UTC))
        return json_answer({"on": str(day), "tier": tier, "price_book": self._book.version, "rows": rows})


def _parameter(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}


OPENAPI_PATHS: dict[str, Any] = {
    "/api/v1/prices": {
        "get": {
            "summary": "The price book: every model's price on a day, or the whole history of one model's",
            "parameters": [
                _parameter("on", "the UTC day; today unless said"),
                _parameter("tier", f"one of {', '.join(TIERS)}; {STANDARD} unless said"),
                _parameter("model", "the history of this model's price instead"),
            ],
            "responses": {
                "200": {
                    "description": "`rows`: rates in US dollars as decimal texts, since when, where they were read and "
                    "when, `unverified` where they may be wrong, and why",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "400": {"description": "no such day or tier"},
                "404": {"description": "no price of that model is known"},
            },
        }
    }
}
"""For the API's own description."""
