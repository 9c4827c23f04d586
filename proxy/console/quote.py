"""`POST /api/v1/quote`: what a request would cost, and whether it would be admitted now. Nothing is sent."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from billing import quotes
from billing.attribution import Attribution
from billing.budgets import Shortage
from billing.charges import Call
from billing.definitions import position_shown
from billing.expectations import Expectations
from billing.holds import Ask, Hold, Policy
from billing.keys import Key
from billing.money import usd_from_pico
from billing.prices import PriceBook
from proxy import asked, endpoints
from proxy.asked import BODY_CEILING_BYTES
from proxy.console.answers import bad_request, json_answer, refused

WouldAdmit = Callable[[Call, Ask], Shortage | None]
"""The hard budget that has not enough left for an ask just now, if one covers the call. Must change nothing."""

UNBOUNDED = Ask(10**30, Hold.MAXIMUM)
"""Asked for where policy is strict and nothing bounds the call: more than any budget has."""


class _Shape(msgspec.Struct):
    model: Any = None
    messages: Any = None
    input: Any = None
    prompt: Any = None


@dataclass(frozen=True, slots=True)
class Quoting:
    """What quotes are made from."""

    book: PriceBook
    expectations: Expectations
    policy: Policy


@dataclass(frozen=True, slots=True)
class Asker:
    """On whose behalf, for which path and on which other models a quote is asked. Without a path the body tells."""

    path: str | None = None
    models: tuple[str, ...] = ()
    key: str | None = None
    team: str | None = None
    project: str | None = None
    user: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def booked(self, keys: Iterable[Key]) -> "Asker":
        """The asker with the team, project and tags of its key, where that is one of the issued ones."""
        issued = next((key for key in keys if key.name == self.key), None)
        if issued is None:
            return self
        return replace(
            self,
            team=self.team or issued.team,
            project=self.project or issued.project,
            tags={**self.tags, **issued.tags},
        )


@dataclass(frozen=True, slots=True)
class Quoted:
    """A request's quote before it is known whether there is money for it."""

    call: Call
    own: quotes.Quote
    others: tuple[quotes.Quote, ...]
    price_book: str

    def shown(self, would_admit: WouldAdmit) -> dict[str, Any]:
        """The answer. Asks `would_admit`, which belongs to the loop."""
        short = would_admit(self.call, self.own.ask or UNBOUNDED)
        return {
            "operation": self.call.operation,
            "path": self.call.path,
            "service_tier": self.call.requested_tier,
            **quotes.shown(self.own),
            "admitted": short is None,
            "refused_by": None if short is None else _refusal(short, self.own.ask),
            "models": [quotes.shown(other) for other in self.others],
            "price_book": self.price_book,
        }


def quoted(body: bytes, asker: Asker, quoting: Quoting, now: datetime) -> Quoted:
    """The quote for a request body: takes as long as counting it on each model does.

    Raises ValueError for what is no request, or of no kind that the body tells.
    """
    fields = asked.read(body)
    if not fields.readable:
        raise ValueError("the request's body is not a JSON object")
    endpoint = endpoints.find("POST", asker.path or _path_of(body))
    call = Call(
        id="",
        started_at=now,
        operation=endpoint.operation,
        method="POST",
        path=endpoint.template,
        attribution=Attribution(asker.key, asker.team, asker.project, None, asker.user or fields.user, asker.tags),
        replica="",
        requested_model=fields.model,
        requested_tier=fields.service_tier,
        streamed=fields.stream,
    )
    figures = quoting.book, quoting.expectations, quoting.policy
    own = quotes.quote(call, fields.wanted, body, *figures)
    others = tuple(quotes.quote(other, fields.wanted, body, *figures) for other in quotes.on_models(call, asker.models))
    return Quoted(call, own, others, quoting.book.version)


def _path_of(body: bytes) -> str:
    """Where a body of this shape is sent."""
    shape = msgspec.json.decode(body, type=_Shape)
    if shape.messages is not None:
        return "/v1/chat/completions"
    if isinstance(shape.model, str) and shape.model.startswith("text-embedding-"):
        return "/v1/embeddings"
    if shape.input is not None or isinstance(shape.prompt, dict):
        return "/v1/responses"
    if shape.prompt is not None:
        return "/v1/completions"
    raise ValueError("the body does not tell where it goes: it has no messages, input or prompt; name the path")


def _refusal(short: Shortage, held: Ask | None) -> dict[str, Any]:
    """The budget that stands in the way, and whether waiting would help."""
    return {
        **position_shown(short.position),
        "ask_usd": usd_from_pico(held.pico) if held else None,
        "only_holds": short.only_holds,
    }


class QuoteApi:
    """The quote's route. `keys` are those in force: who asks with a key asks for its team."""

    def __init__(
        self,
        quoting: Quoting,
        would_admit: WouldAdmit,
        keys: Callable[[], Iterable[Key]],
        now: Callable[[], datetime],
    ) -> None:
        self._quoting = quoting
        self._would_admit = would_admit
        self._keys = keys
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        return [web.post("/api/v1/quote", self.quote)]

    async def quote(self, request: web.Request) -> web.Response:
        """The body is the request that would be sent; the query says on whose behalf."""
        query = request.query
        if unknown := sorted({*query} - {*_QUERY}):
            raise bad_request(f"{unknown[0]}: the query may say {', '.join(_QUERY)}")
        said = {name: query[name] for name in ("path", "key", "team", "project", "user") if name in query}
        tags = dict(pair.partition("=")[::2] for pair in query.getall("tag", []))
        asker = Asker(**said, models=tuple(query.getall("model", [])), tags=tags).booked(self._keys())
        body = await _read(request)
        try:
            found = await asyncio.to_thread(quoted, body, asker, self._quoting, self._now())
        except ValueError as error:
            raise bad_request(str(error)) from None
        return json_answer(found.shown(self._would_admit))


_QUERY = ("path", "key", "team", "project", "user", "tag", "model")


async def _read(request: web.Request) -> bytes:
    """The body, up to what Farebox reads of a request on its way: more than the console takes elsewhere."""
    read = bytearray()
    async for piece in request.content.iter_any():
        read += piece
        if len(read) > BODY_CEILING_BYTES:
            raise refused(web.HTTPBadRequest, f"the body is larger than {BODY_CEILING_BYTES} bytes")
    return bytes(read)


def _parameter(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}


OPENAPI_PATHS: dict[str, Any] = {
    "/api/v1/quote": {
        "post": {
            "summary": "What a request would cost, and whether it would be admitted now; nothing is sent",
            "parameters": [
                _parameter("path", "where the request would go; the body tells otherwise"),
                *(_parameter(name, f"on behalf of this {name}") for name in ("key", "team", "project", "user")),
                _parameter("tag", "name=value; may be repeated"),
                _parameter("model", "a model to compare with; may be repeated"),
            ],
            "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}, "required": True},
            "responses": {
                "200": {
                    "description": "in US dollars: at most (null: see `not_bounded_by`), typically, input, hold",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                "400": {"description": "the body is no request"},
            },
        }
    }
}
"""For the API's own description."""
