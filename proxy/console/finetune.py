"""`POST /api/v1/finetune/estimate`: what training on a file would cost. The body is the file, read as it comes."""

import asyncio
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from billing import retirements, training_models
from billing.prices import PriceBook
from billing.training_estimates import SECONDS_AN_HOUR, Plan, estimate, shown
from billing.training_files import METHODS, Surveyed
from billing.training_tallies import Examination, Work, problems_shown
from proxy.console.answers import bad_request, json_answer

LISTED = 100
_QUERY = ("model", "epochs", "method", "hours")


class FinetuneApi:
    """The estimate's route. One batch of one file at a time is counted, so that a replica has time for its calls."""

    def __init__(self, book: PriceBook, now: Callable[[], datetime]) -> None:
        self._book = book
        self._now = now
        self._turn = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        return [web.post("/api/v1/finetune/estimate", self.estimate)]

    async def estimate(self, request: web.Request) -> web.Response:
        """The body is the training file, the query says the model and how it is to be trained."""
        query = request.query
        if unknown := sorted({*query} - {*_QUERY}):
            raise bad_request(f"{unknown[0]}: the query may say {', '.join(_QUERY)}")
        model, method = query.get("model"), query.get("method")
        if not model:
            raise bad_request("model: say which one is to be trained")
        if method is not None and method not in METHODS:
            raise bad_request(f"method={method}: one of {', '.join(METHODS)}")
        plan = Plan(model, self._now(), _epochs(query.get("epochs")), _seconds(query.get("hours")))
        training = training_models.known()
        examination = Examination(training, model, method, count_all=True)
        async for piece in request.content.iter_any():
            for work in examination.feed(piece):
                examination.add(await self._done(work))
        for work in examination.close():
            examination.add(await self._done(work))
        report = examination.report()
        made = estimate(plan, report, self._book, training, retirements.announced())
        return json_answer({**shown(made, self._book), "problems": problems_shown(report)[:LISTED]})

    async def _done(self, work: Work) -> list[Surveyed]:
        async with self._turn:
            return await asyncio.to_thread(work)


def _epochs(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,2}|1000", text, re.ASCII):
        raise bad_request("epochs: a whole number from 1 to 1000")
    return int(text)


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,4}(\.\d{1,6})?", text, re.ASCII):
        raise bad_request("hours: a number such as 2.5")
    whole, _, part = text.partition(".")
    return int(whole) * SECONDS_AN_HOUR + int(part.ljust(6, "0")) * SECONDS_AN_HOUR // 10**6


def _parameter(name: str, text: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "required": required, "schema": {"type": "string"}}


OPENAPI_PATHS: dict[str, Any] = {
    "/api/v1/finetune/estimate": {
        "post": {
            "summary": "What training on a file would cost, how sure that is, and what is wrong with it",
            "parameters": [
                _parameter("model", "the model that is to be trained", required=True),
                _parameter("epochs", "how often the file is gone through; OpenAI's rule otherwise"),
                _parameter("method", f"{', '.join(METHODS)}; the file tells otherwise"),
                _parameter("hours", "hours of training, for reinforcement"),
            ],
            "requestBody": {
                "description": "the training file itself, of any size",
                "content": {"application/jsonl": {"schema": {"type": "string", "format": "binary"}}},
                "required": True,
            },
            "responses": {
                "200": {
                    "description": "tokens, epochs, fee (null: see `unpriced` and `warnings`), inference afterwards, "
                    f"the first {LISTED} problems",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "400": {"description": "the query says no model, or what it says is wrong"},
            },
        }
    }
}
"""For the API's own description."""
