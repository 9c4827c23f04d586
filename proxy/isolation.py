"""Isolation: callers with keys that Farebox issued share one account, and see of it what their team made.

With FAREBOX_ISOLATE a call that names another's object is answered as if there were none, before anything leaves, and
lists are narrowed. An object that nobody is known to have made (past Farebox) is nobody's.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from billing.attribution import Attribution
from billing.charges import Made
from billing.owners import Owner, Owners
from billing.poster import TROUBLES
from proxy import endpoints, errors, ownership, references
from proxy import headers as http
from proxy.connection import Answer
from proxy.errors import Refusal
from proxy.identity import Caller
from proxy.outgoing import Outgoing
from proxy.ownership import Named
from proxy.upstream import Upstream

PAGES_CEILING = 100
"""Pages of a list that are asked for until one has something of the caller's."""

PAGE_CEILING_BYTES = 16 * 2**20
LOOKUP_SECONDS = 3.0

_LIST = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MEMBERS = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder(dict[str, Any])
_BAD_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_UNAVAILABLE = (*TROUBLES, TimeoutError)


class Isolation:
    """Who may see what. Where it is off, nothing is asked and nothing changes."""

    def __init__(self, owners: Owners, *, on: bool, allowed_routes: tuple[str, ...] = ()) -> None:
        self._owners = owners
        self.on = on
        self._allowed_routes = allowed_routes

    def viewer(self, caller: Caller) -> Owner | None:
        """As whom a caller sees the account, if not all of it: a key that Farebox did not issue has its own."""
        return Owner(caller.team, caller.key) if self.on and caller.issued is not None else None

    def note(self, made: tuple[Made, ...], who: Attribution) -> None:
        """Know of what a call under way has made."""
        self._owners.note(made, who)

    async def refusal(self, caller: Caller, method: str, path: str, outgoing: Outgoing) -> Refusal | None:
        """Why a call may not leave, if it may not."""
        viewer = self.viewer(caller)
        if viewer is None:
            return None
        row = ownership.row_of(method, path)
        if row.operation == "unmetered" and not self._is_allowed(path):
            return errors.route_of_nobody(method, row.template)
        named = [address] if (address := ownership.addressed(row, path)) else []
        if ownership.may_refer(row):
            if why := _unreadable(outgoing):
                return errors.names_unreadable(why)
            try:
                named += references.named(http.text(outgoing.headers, b"content-type"), outgoing.kept)
            except references.Unreadable:
                return errors.names_unreadable("it is neither a JSON object nor a form")
        return await self._first_hidden(viewer, named)

    async def _first_hidden(self, viewer: Owner, named: list[Named]) -> Refusal | None:
        if not named:
            return None
        try:
            owners = await self._owners_of(each.id for each in named)
        except _UNAVAILABLE:
            return errors.owners_unknown()
        return next((each.missing() for each in named if not viewer.may_use(owners.get(each.id))), None)

    async def narrowed(self, upstream: Upstream, answer: Answer, outgoing: Outgoing) -> bytes | Refusal:
        """The list that an answer is, with only what is the viewer's in it; or why it does not go on.

        A page with nothing of the viewer's is not shown while there are more: SDKs take an empty one for the last.
        Raises BrokenOff, Unreachable.
        """
        assert outgoing.lists_for is not None
        head = outgoing.head
        for _ in range(PAGES_CEILING):
            page = await _page(answer)
            members = _members(page) if page is not None else None
            if page is None or members is None:
                break
            try:
                owners = await self._owners_of(members)
            except _UNAVAILABLE:
                return errors.owners_unknown()
            kept = [ident for ident in members if outgoing.lists_for.may_use(owners.get(ident))]
            if kept or not members or not _has_more(page):
                return _with(page, [members[ident] for ident in kept], kept)
            head = _next(head, first=next(iter(members)), last=next(reversed(members)))
            answer = await upstream.send(head, b"")
            await answer.begun()
        return errors.list_unreadable(upstream.origin)

    async def _owners_of(self, idents: Iterable[str]) -> dict[str, Owner]:
        async with asyncio.timeout(LOOKUP_SECONDS):
            return await self._owners.of(list(idents))

    def _is_allowed(self, path: str) -> bool:
        meant = endpoints.plain(path)
        return any(meant == route or meant.startswith(f"{route}/") for route in self._allowed_routes)


def _unreadable(outgoing: Outgoing) -> str | None:
    """Why a body was not read, if so."""
    if not isinstance(outgoing.body, bytes):
        return "its body is too large"
    coding = http.find(outgoing.headers, b"content-encoding") or b"identity"
    return None if coding.lower() == b"identity" or not outgoing.kept else "its body is compressed"


async def _page(answer: Answer) -> bytes | None:
    """A page of a list, whole and plain; None where it is not that."""
    content_type = (http.text(answer.headers, b"content-type") or "").partition(";")[0].strip().lower()
    coded = http.find(answer.headers, b"content-encoding") not in {None, b"identity"}
    held = bytearray()
    while not answer.ended and len(held) <= PAGE_CEILING_BYTES:
        held += await answer.read()
    if not answer.ended:
        answer.abort()
        return None
    return bytes(held) if answer.status == 200 and content_type == "application/json" and not coded else None


def _members(page: bytes) -> dict[str, msgspec.Raw] | None:
    """The objects of a list, by their ids and as they are written; None where it is not such a list."""
    try:
        raw = _MEMBERS.decode(_LIST.decode(page)["data"])
        idents = [_ANY.decode(each).get("id") for each in raw]
    except (*_BAD_JSON, KeyError, TypeError):
        return None
    members = {ident: each for ident, each in zip(idents, raw, strict=True) if isinstance(ident, str)}
    return members if len(members) == len(raw) else None


def _has_more(page: bytes) -> bool:
    return bytes(_LIST.decode(page).get("has_more", b"")) == b"true"


def _with(page: bytes, members: list[msgspec.Raw], idents: list[str]) -> bytes:
    """The page with these members only, and every other byte of its fields as it was."""
    fields: dict[str, Any] = dict(_LIST.decode(page))
    if len(_MEMBERS.decode(fields["data"])) == len(members):
        return page
    ends: dict[str, Callable[[], str]] = {"first_id": lambda: idents[0], "last_id": lambda: idents[-1]}
    for name in ends.keys() & fields.keys():
        fields[name] = ends[name]() if idents else None
    return msgspec.json.encode({**fields, "data": members})


def _next(head: bytes, *, first: str, last: str) -> bytes:
    """The request for the page after this one, or before it where that is the way the list is read."""
    line, _, rest = head.partition(b"\r\n")
    method, target, version = line.split(b" ")
    path, _, query = target.decode("utf-8", "surrogateescape").partition("?")
    asked = parse_qsl(query, keep_blank_values=True, errors="surrogateescape")
    backwards = any(name == "before" for name, _ in asked) and all(name != "after" for name, _ in asked)
    cursor = ("before", first) if backwards else ("after", last)
    query = urlencode(
        [pair for pair in asked if pair[0] not in {"after", "before"}] + [cursor], errors="surrogateescape"
    )
    return b"%s %s?%s %s\r\n%s" % (method, path.encode("utf-8", "surrogateescape"), query.encode(), version, rest)
