"""Bodies of the console's API: JSON in, bounded and typed; JSON out, also where something is refused."""

from typing import TypeVar

import msgspec
from aiohttp import web

BODY_CEILING_BYTES = 64 * 2**10

T = TypeVar("T")


def json_answer(value: object, status: int = 200) -> web.Response:
    """A value as JSON."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def bad_request(message: str) -> web.HTTPException:
    """400, to be raised."""
    return refused(web.HTTPBadRequest, message)


def refused(kind: type[web.HTTPException], message: str) -> web.HTTPException:
    """A refusal of a kind, to be raised: `{"error": {"message"}}`."""
    return kind(text=_told(message), content_type="application/json")


async def json_body(request: web.Request, shape: type[T]) -> T:
    """The body of a request that changes something, as a `shape` that msgspec can read.

    Raises 415 for another content type than JSON: a page of another site can make a browser send any other without
    asking first. 413 for one that is too large, 400 for one that does not fit.
    """
    if request.content_type != "application/json":
        raise refused(web.HTTPUnsupportedMediaType, "send a JSON body with Content-Type: application/json")
    if (request.content_length or 0) > BODY_CEILING_BYTES:
        raise _too_large(request.content_length or 0)
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:  # aiohttp's own bound, for a body that does not say its length
        raise _too_large(BODY_CEILING_BYTES + 1) from None
    if len(raw) > BODY_CEILING_BYTES:
        raise _too_large(len(raw))
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"the body is not what is expected here: {error}") from None


def _too_large(size: int) -> web.HTTPException:
    message = f"the body is larger than {BODY_CEILING_BYTES} bytes"
    return web.HTTPRequestEntityTooLarge(BODY_CEILING_BYTES, size, text=_told(message), content_type="application/json")


def _told(message: str) -> str:
    return msgspec.json.encode({"error": {"message": message}}).decode()
