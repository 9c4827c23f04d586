"""PUT and DELETE of what operators define by name, in the JSON API: strict about what it is sent."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import web

from billing.budgets import Budget
from billing.definitions import Unfit
from billing.limits import Limit
from billing.registry import Registry
from proxy.console.answers import bad_request, json_answer, json_body, refused

T = TypeVar("T", Budget, Limit)


class Defining(Generic[T]):
    """`PUT` and `DELETE /api/v1/<noun>s/{name}` for one kind of definition, written to the registry.

    `read` makes a definition of a name and a JSON object, or raises Unfit; `shown` is what is answered. Replicas put
    it in force within a second.
    """

    def __init__(
        self,
        kind: type[T],
        noun: str,
        read: Callable[[str, Mapping[str, Any]], T],
        shown: Callable[[T], dict[str, Any]],
        registry: Registry,
        now: Callable[[], datetime],
    ) -> None:
        self._kind: type[T] = kind
        self._noun = noun
        self._read: Callable[[str, Mapping[str, Any]], T] = read
        self._shown: Callable[[T], dict[str, Any]] = shown
        self._registry = registry
        self._now = now

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        path = f"/api/v1/{self._noun}s/{{name}}"
        return [web.put(path, self.put), web.delete(path, self.delete)]

    async def put(self, request: web.Request) -> web.Response:
        """Define it, or replace it as a whole."""
        body = await json_body(request, dict[str, msgspec.Raw])
        said = {field: _exact(field, value) for field, value in body.items()}
        try:
            definition = self._read(request.match_info["name"], said)
        except Unfit as error:
            raise bad_request(str(error)) from None
        await self._registry.define([definition], self._now())
        return json_answer(self._shown(definition))

    async def delete(self, request: web.Request) -> web.Response:
        """Withdraw it."""
        name = request.match_info["name"]
        defined = (await self._registry.directory()).all(self._kind)
        if name not in {definition.name for definition in defined}:
            raise refused(web.HTTPNotFound, f"there is no {self._noun} {name}")
        await self._registry.withdraw(self._kind, name, self._now())
        return json_answer({"deleted": name})


def openapi_paths(noun: str, listed: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The description of a list and of `Defining`'s two operations. `fields` are JSON schemas."""
    name = {
        "name": "name",
        "in": "path",
        "required": True,
        "description": f"the {noun}'s name",
        "schema": {"type": "string"},
    }
    body = {"required": True, "content": {"application/json": {"schema": _object(fields)}}}
    done, wrong = {"description": "JSON"}, {"description": "why not, as error.message"}
    return {
        f"/api/v1/{noun}s": {"get": {"summary": listed, "responses": {"200": done}}},
        f"/api/v1/{noun}s/{{name}}": {
            "put": {
                "summary": f"Set a {noun}, or replace it as a whole",
                "parameters": [name],
                "requestBody": body,
                "responses": {"200": done, "400": wrong, "415": wrong},
            },
            "delete": {
                "summary": f"Delete a {noun}",
                "parameters": [name],
                "responses": {"200": done, "404": {"description": "there is none"}},
            },
        },
    }


SCOPE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "team, key, project, user, model and tag:<name>, each with the values of which any one will do",
    "additionalProperties": {"type": "array", "items": {"type": "string"}},
}


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "additionalProperties": False}


def _exact(field: str, value: msgspec.Raw) -> object:
    """A JSON value, with a decimal number as it was written."""
    try:
        plain = msgspec.json.decode(value)
        return msgspec.json.decode(value, type=Decimal) if isinstance(plain, float) else plain
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"{field}: {error}") from None
