"""`POST /api/v1/finetune/breakeven`: whether fine-tuning is worth it, from figures given or from recorded traffic."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web

from billing import retirements, training_models
from billing.assumptions import MEANINGS, Asked, Recorded
from billing.comparisons import compared
from billing.prices import PriceBook
from billing.store import Store
from billing.traffic import recorded
from billing.windows import moment
from proxy.console.answers import bad_request, json_answer, json_body


class Traffic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which calls of the ledger are meant: to a model, from and to (not included) a date or time."""

    model: Annotated[str, msgspec.Meta(min_length=1)]
    since: str | None = msgspec.field(name="from", default=None)
    until: str | None = msgspec.field(name="to", default=None)


class Question(Asked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Assumptions, and where the others may be read."""

    traffic: Traffic | None = None


class BreakevenApi:
    """The comparison's route."""

    def __init__(self, store: Store, book: PriceBook, zone: ZoneInfo, now: Callable[[], datetime]) -> None:
        self._store = store
        self._book = book
        self._zone = zone
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        return [web.post("/api/v1/finetune/breakeven", self.compare)]

    async def compare(self, request: web.Request) -> web.Response:
        """The body says what is assumed; the answer what each way costs, and everything that was assumed."""
        question = await json_body(request, Question)
        now = self._now()
        try:
            seen = await self._recorded(question.traffic, now) if question.traffic else None
            made = compared(question, seen, self._book, now, training_models.known(), retirements.announced())
        except ValueError as error:
            raise bad_request(str(error)) from None
        return json_answer(made)

    async def _recorded(self, traffic: Traffic, now: datetime) -> Recorded:
        since = moment(traffic.since, self._zone) if traffic.since else None
        until = moment(traffic.until, self._zone) if traffic.until else now
        return await recorded(self._store, traffic.model, since, until)


def _schema() -> dict[str, Any]:
    """The body, described by what it is read with."""
    _, parts = msgspec.json.schema_components([Question], ref_template="{name}")
    described: dict[str, Any] = parts["Question"]
    described["properties"] = {
        name: {**field, **({"description": MEANINGS[name]} if name in MEANINGS else {})}
        for name, field in described["properties"].items()
    } | {"traffic": {"description": "take calls and tokens from the ledger", **parts["Traffic"]}}
    return described


OPENAPI_PATHS: dict[str, Any] = {
    "/api/v1/finetune/breakeven": {
        "post": {
            "summary": "Fine-tuning beside a longer prompt, a stronger model and retrieval: what each costs a month, "
            "and at how many calls one begins to beat another",
            "requestBody": {"content": {"application/json": {"schema": _schema()}}, "required": True},
            "responses": {
                "200": {
                    "description": "`ways` (cost null: see `unpriced`), `crossings`, `curve`, `assumptions`",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "400": {"description": "a figure is missing or wrong, or there is no such traffic"},
            },
        }
    }
}
"""For the API's own description."""
