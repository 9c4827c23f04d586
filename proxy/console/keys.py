"""The API's keys and names: made, rotated, revoked. A secret is in one answer, when it is made."""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web

from billing import keys
from billing.keys import SECRET_BYTES, Key, Name, Terms
from billing.registry import Registry
from proxy.console.answers import bad_request, json_answer, json_body, refused
from proxy.permissions import unknown_endpoint


class _NewKey(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    team: str | None = None
    project: str | None = None
    tags: dict[str, str] = {}
    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    expires: str | None = None


class _Rotation(msgspec.Struct, forbid_unknown_fields=True):
    grace: str | None = None


class _NewName(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    team: str | None = None
    project: str | None = None


class KeysApi:
    """Answers about keys and names, and changes them. `chance` makes so many bytes of it."""

    def __init__(
        self,
        registry: Registry,
        zone: ZoneInfo,
        now: Callable[[], datetime],
        chance: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._registry = registry
        self._zone = zone
        self._now = now
        self._chance = chance

    def routes(self) -> list[web.RouteDef]:
        """What to put into an application."""
        return [
            web.get("/api/v1/keys", self.list_keys),
            web.post("/api/v1/keys", self.create),
            web.post("/api/v1/keys/{id}/rotate", self.rotate),
            web.delete("/api/v1/keys/{id}", self.revoke),
            web.get("/api/v1/names", self.list_names),
            web.get("/api/v1/names/{id}", self.name),
            web.put("/api/v1/names/{id}", self.give_name),
            web.delete("/api/v1/names/{id}", self.forget_name),
        ]

    async def list_keys(self, _request: web.Request) -> web.Response:
        """All keys, also those no longer in force, the oldest first; no secrets."""
        found = sorted(await self._keys(), key=lambda key: (key.created_at, key.id))
        now = self._now()
        return json_answer({"keys": [keys.shown(key, now) for key in found]})

    async def create(self, request: web.Request) -> web.Response:
        """Make a key: 201 and its secret as `key`, this once. 409 where one of its name is in force."""
        said = await json_body(request, _NewKey)
        now = self._now()
        for pattern in said.endpoints:
            if problem := unknown_endpoint(pattern):
                raise bad_request(problem)
        try:
            terms = Terms(
                said.name,
                said.team,
                said.project,
                said.tags,
                said.models,
                said.endpoints,
                said.requests_per_minute,
                said.tokens_per_minute,
                keys.until(said.expires, now, self._zone) if said.expires else None,
            )
        except ValueError as error:
            raise bad_request(str(error)) from None
        ident = f"key_{self._chance(8).hex()}"
        try:
            key, secret = keys.issue(
                terms, await self._keys(), ident=ident, entropy=self._chance(SECRET_BYTES), now=now
            )
        except ValueError as error:
            raise refused(web.HTTPConflict, str(error)) from None
        await self._registry.define([key], now)
        return self._with_secret(key, secret, 201)

    async def rotate(self, request: web.Request) -> web.Response:
        """Give a key another secret, `key` in the answer, this once; with a `grace` the old one stays good so long."""
        said = await json_body(request, _Rotation)
        try:
            grace = keys.span(said.grace) if said.grace else timedelta()
        except ValueError as error:
            raise bad_request(str(error)) from None
        now = self._now()
        key = self._found(request, await self._keys())
        try:
            changed, secret = keys.rotate(key, entropy=self._chance(SECRET_BYTES), now=now, grace=grace)
        except ValueError as error:
            raise refused(web.HTTPConflict, str(error)) from None
        await self._registry.define(changed, now)
        return self._with_secret(changed[0], secret, 200)

    async def revoke(self, request: web.Request) -> web.Response:
        """Take a key out of force for good, with its old secrets. Once more changes nothing."""
        existing, now = await self._keys(), self._now()
        key = self._found(request, existing)
        changed = keys.revoke(key, existing, now)
        await self._registry.define(changed, now)
        return json_answer(keys.shown(next((each for each in changed if each.id == key.id), key), now))

    async def list_names(self, _request: web.Request) -> web.Response:
        """What fingerprints and OpenAI projects are called."""
        return json_answer({"names": [_named(each) for each in (await self._registry.directory()).all(Name)]})

    async def name(self, request: web.Request) -> web.Response:
        """One of them."""
        return json_answer(_named(await self._name(request)))

    async def give_name(self, request: web.Request) -> web.Response:
        """Name a fingerprint or a project, from now on."""
        said = await json_body(request, _NewName)
        try:
            given = keys.name_of(request.match_info["id"], said.name, said.team, said.project)
        except ValueError as error:
            raise bad_request(str(error)) from None
        await self._registry.define([given], self._now())
        return json_answer(_named(given))

    async def forget_name(self, request: web.Request) -> web.Response:
        """Take a name away."""
        found = await self._name(request)
        await self._registry.withdraw(Name, found.id, self._now())
        return json_answer(_named(found))

    async def _keys(self) -> list[Key]:
        return (await self._registry.directory()).all(Key)

    def _found(self, request: web.Request, existing: list[Key]) -> Key:
        ident = request.match_info["id"]
        key = next((key for key in existing if key.id == ident), None)
        if key is None:
            raise refused(web.HTTPNotFound, "there is no key of this id")
        return key

    async def _name(self, request: web.Request) -> Name:
        ident = request.match_info["id"]
        found = (await self._registry.directory()).definitions.get(("name", ident))
        if not isinstance(found, Name):
            raise refused(web.HTTPNotFound, "nothing of this id has a name")
        return found

    def _with_secret(self, key: Key, secret: str, status: int) -> web.Response:
        return json_answer({"id": key.id, "key": secret, **keys.shown(key, self._now())}, status)


def _named(name: Name) -> dict[str, Any]:
    return {"id": name.id, "name": name.name, "team": name.team, "project": name.project}


def _operation(
    summary: str, answers: str, of: str | None = None, fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One operation's description; `answers` are its statuses."""
    described: dict[str, Any] = {"summary": summary, "responses": {code: _ANSWERS[code] for code in answers.split()}}
    if of is not None:
        described["parameters"] = [
            {"name": "id", "in": "path", "required": True, "description": of, "schema": {"type": "string"}}
        ]
    if fields is not None:
        schema = {"type": "object", "properties": fields, "additionalProperties": False}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


_ANSWERS = {
    "200": {"description": "JSON"},
    "201": {"description": "JSON; `key` is the secret, this once"},
    "400": {"description": "why not, as error.message"},
    "404": {"description": "there is none"},
    "409": {"description": "a key of this name is in force, or the key is not"},
    "415": {"description": "the body is not JSON"},
}
_TEXT, _TEXTS, _COUNT = {"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "integer"}
_WHOM = {"team": _TEXT, "project": _TEXT}
_KEY, _NAMED = "the key's id", "a fingerprint (fp_…) or an OpenAI project (proj_…)"

OPENAPI_PATHS: dict[str, Any] = {
    "/api/v1/keys": {
        "get": _operation("Keys, also those no longer in force; never a secret", "200"),
        "post": _operation(
            "Make a key",
            "201 400 409 415",
            fields={
                "name": _TEXT,
                **_WHOM,
                "tags": {"type": "object", "additionalProperties": _TEXT},
                "models": {**_TEXTS, "description": "all it may use: names, base models, or beginnings such as gpt-5*"},
                "endpoints": {
                    **_TEXTS,
                    "description": "all it may use: operations or paths, * at the end for all below",
                },
                "requests_per_minute": _COUNT,
                "tokens_per_minute": _COUNT,
                "expires": {**_TEXT, "description": "after so long (30d, 12h), or when that date or time begins"},
            },
        ),
    },
    "/api/v1/keys/{id}": {"delete": _operation("Revoke a key, for good", "200 404", _KEY)},
    "/api/v1/keys/{id}/rotate": {
        "post": _operation(
            "Give a key another secret",
            "200 400 404 409 415",
            _KEY,
            {"grace": {**_TEXT, "description": "the old secret stays good so long, such as 1h"}},
        )
    },
    "/api/v1/names": {"get": _operation("What fingerprints and OpenAI projects are called", "200")},
    "/api/v1/names/{id}": {
        "get": _operation("One name", "200 404", _NAMED),
        "put": _operation(
            "Name a fingerprint or a project, from now on", "200 400 415", _NAMED, {"name": _TEXT, **_WHOM}
        ),
        "delete": _operation("Take a name away", "200 404", _NAMED),
    },
}
"""What the API offers, for its description."""
