"""Forms: the few fields of a request for media that decide its price, from JSON or from multipart/form-data.

Reads what of the body is there: of a form that was cut at the proxy's bound, the fields before the cut. Never fails
on a bad body: what cannot be read is not there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesHeaderParser
from typing import Any, TypeVar

import msgspec

from billing.requested import Requested
from proxy.asked import NOTHING, Asked, printable

PARTS_CEILING = 64
"""Parts of a form that are looked at: an edit takes 16 pictures, the rest are fields."""

HEAD_CEILING_BYTES = 8 * 2**10
UPLOAD_CEILING_BYTES = 25 * 2**20
"""The largest audio file that the API takes (speech-to-text guide): a bound for one whose size is not stated."""

TEXT_CEILING_CHARACTERS = 2**20
_COUNT_CEILING = 10**6

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a form. `whole` is false for one that the bound on bodies cut off."""

    content: memoryview = field(repr=False)
    whole: bool


@dataclass(frozen=True, slots=True)
class Form:
    """A request's fields: values as JSON has them, or text; and its files in order."""

    fields: Mapping[str, Any]
    files: tuple[Upload, ...] = ()


EMPTY = Form({})


def is_form(content_type: str | None) -> bool:
    """Whether a body of this type is multipart/form-data."""
    return (content_type or "").lower().lstrip().startswith("multipart/form-data")


def read(content_type: str | None, body: bytes, *, whole: bool = True) -> Form:
    """The fields and files of a body. `whole`: it is all there, and not cut at the bound."""
    if is_form(content_type):
        return _multipart(content_type or "", body, whole=whole)
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return EMPTY
    return Form(fields) if isinstance(fields, dict) else EMPTY


def requested(form: Form, total_bytes: int | None = None) -> Requested:
    """What a form asks for. `total_bytes` is the size of the whole body, where its head says it: with it, the size
    of a file that was cut off is bounded."""
    fields, first = form.fields, form.files[0] if form.files else None
    upload_bytes = None
    if first is not None:
        upload_bytes = len(first.content) if first.whole else total_bytes or UPLOAD_CEILING_BYTES
    text = fields.get("prompt") if "prompt" in fields else fields.get("input")
    pictures = fields.get("images")
    return Requested(
        model=_name(fields.get("model")),
        images=_count(fields.get("n"), 1),
        partial_images=_count(fields.get("partial_images"), 0) if _is_true(fields.get("stream")) else 0,
        size=_name(fields.get("size")),
        quality=_name(fields.get("quality")),
        seconds=_count(fields.get("seconds"), None),
        text=text[:TEXT_CEILING_CHARACTERS] if isinstance(text, str) else "",
        uploads=len(form.files) or (len(pictures) if isinstance(pictures, list) else 0),
        upload=first.content if first is not None and first.whole else None,
        upload_bytes=upload_bytes,
    )


def asked(form: Form) -> Asked:
    """The fields of a form that every call's accounting needs."""
    if form is EMPTY:
        return NOTHING
    fields = form.fields
    return Asked(
        model=_name(fields.get("model")),
        stream=_is_true(fields.get("stream")),
        user=_name(fields.get("safety_identifier")) or _name(fields.get("user")),
    )


def _multipart(content_type: str, body: bytes, *, whole: bool) -> Form:
    kind = Message()
    kind["content-type"] = content_type
    boundary = kind.get_param("boundary", header="content-type")
    if not isinstance(boundary, str) or not boundary:
        return EMPTY
    fields: dict[str, str] = {}
    files: list[Upload] = []
    for head, content, ended in _parts(body, b"--" + boundary.encode("latin-1", "replace")):
        name = _parameter(head, "name")
        if name is None:
            continue
        if _parameter(head, "filename") is not None:
            files.append(Upload(content, ended))
        elif ended:
            fields.setdefault(name, str(content, "utf-8", "replace"))
    return Form(fields, tuple(files))


def _parts(body: bytes, dashes: bytes) -> Iterator[tuple[Message, memoryview, bool]]:
    """Each part's head, its content, and whether its end is there (RFC 2046, section 5.1.1)."""
    view, at = memoryview(body), body.find(dashes)
    for _ in range(PARTS_CEILING):
        if at < 0 or body.startswith(b"--", at + len(dashes)):
            return
        head_at = body.find(b"\r\n", at)
        content_at = body.find(b"\r\n\r\n", head_at, head_at + HEAD_CEILING_BYTES) if head_at >= 0 else -1
        if content_at < 0:
            return
        at = body.find(b"\r\n" + dashes, content_at + 2)
        head = BytesHeaderParser().parsebytes(body[head_at + 2 : content_at + 2])
        yield head, view[content_at + 4 : at if at >= 0 else len(body)], at >= 0
        at = at + 2 if at >= 0 else -1


def _parameter(head: Message, name: str) -> str | None:
    value = head.get_param(name, header="content-disposition")
    if isinstance(value, tuple):  # RFC 2231: charset, language, value
        return str(value[2])
    return value if isinstance(value, str) else None


def _name(value: object) -> str | None:
    return printable(value) if isinstance(value, str) and value else None


def _is_true(value: object) -> bool:
    return value is True or value == "true"


def _count(value: object, otherwise: T) -> int | T:
    """A whole number, also as text; anything else is `otherwise`."""
    if isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) <= len(str(_COUNT_CEILING)):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _COUNT_CEILING:
        return value
    return otherwise
