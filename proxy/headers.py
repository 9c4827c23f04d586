"""Headers: what crosses the proxy and what belongs to one connection only. Names and values stay bytes."""

from collections.abc import Iterable, Sequence

Headers = Sequence[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"expect",  # answered by the side that reads the body
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Headers of one connection (RFC 9110 §7.6.1), and those that only frame its messages."""

OWN = b"x-farebox-"
"""Prefix of Farebox's own headers: removed from requests, added to answers."""

CALL_ID, COST = b"x-farebox-id", b"x-farebox-cost-usd"
OUTPUT_CAP = b"x-farebox-output-cap"
"""What answers carry: the call's id, and its exact cost where it is known before the head leaves."""


def find(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header; `name` in lower case."""
    for key, value in headers:
        if key.lower() == name:
            return value
    return None


def text(headers: Headers, name: bytes) -> str | None:
    """The first value of a header as text, or None."""
    value = find(headers, name)
    return None if value is None else value.decode("utf-8", "replace")


def end_to_end(headers: Headers, without: Iterable[bytes] = ()) -> list[tuple[bytes, bytes]]:
    """The headers that cross the proxy, in their order and spelling: without those of the connection, those
    that its `Connection` header names, and those in `without` (lower case)."""
    dropped = HOP_BY_HOP.union(without)
    if connection := [value for key, value in headers if key.lower() == b"connection"]:
        dropped = dropped.union(token.strip().lower() for value in connection for token in value.split(b","))
    return [header for header in headers if header[0].lower() not in dropped]


def without_own(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers without Farebox's own."""
    return [header for header in headers if not header[0].lower().startswith(OWN)]


def replaced(headers: Headers, name: bytes, value: bytes) -> list[tuple[bytes, bytes]]:
    """The headers with every `name` (lower case) removed and one with the new value in the first one's place."""
    kept: list[tuple[bytes, bytes]] = []
    placed = False
    for header in headers:
        if header[0].lower() != name:
            kept.append(header)
        elif not placed:
            kept.append((header[0], value))
            placed = True
    if not placed:
        kept.append((name, value))
    return kept


def head(first_line: bytes, headers: Headers) -> bytes:
    """The bytes of a message's head."""
    lines = [first_line, *(name + b": " + value for name, value in headers), b"", b""]
    return b"\r\n".join(lines)
