"""Addresses as settings word them: where to listen, whom to call, where alerts go. Each parser takes a text and raises
ValueError with what is accepted, which quotes nothing: some addresses are secrets."""

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """True where only this machine can connect."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own: `localhost` or a loopback address, not a name that looks like one."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listening(text: str) -> Address:
    """HOST:PORT."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.netloc != text or "@" in text:
        raise ValueError("must be HOST:PORT")
    return Address(host, port)


def origin(text: str) -> str:
    """SCHEME://HOST[:PORT], with or without the `/v1` that is added to it."""
    try:
        parts = urlsplit(text)
        understood = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        understood = False
    if not understood or not text.isprintable() or " " in text:
        raise ValueError("must be an origin such as https://api.openai.com")
    if parts.path.rstrip("/") not in {"", "/v1"} or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be an origin without path (Farebox adds the /v1/… of each call)")
    return f"{parts.scheme}://{parts.netloc}"


def host_of(origin: str) -> str:
    """The host of an origin, in lower case, without its port."""
    return urlsplit(origin).hostname or ""


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s]+")
_NEXT_ADDRESS = re.compile(r",\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)")
"""An address may hold commas: it ends where another scheme begins."""


def apprise_urls(text: str) -> tuple[str, ...]:
    """Apprise URLs, comma-separated."""
    found = tuple(part for it in _NEXT_ADDRESS.split(text) if (part := it.strip(" ,")))
    if not all(_SCHEME.fullmatch(address) for address in found):
        raise ValueError("must be Apprise URLs such as slack://…, comma-separated")
    return found


def apprise_urls_by_team(text: str) -> Mapping[str, tuple[str, ...]]:
    """Apprise URLs by team, as JSON: a text or a list each."""
    says = 'must be a table of teams and their Apprise URLs, such as {"search": ["mailto://…"]}'
    try:
        given = json.loads(text)
        if all(isinstance(said, str | list) for said in given.values()):
            return {
                team: apprise_urls(said if isinstance(said, str) else ",".join(map(str, said)))
                for team, said in given.items()
            }
    except (ValueError, AttributeError, RecursionError):
        pass
    raise ValueError(says)


def web_address(text: str) -> str:
    """An http(s) address with or without a path, without its last slash."""
    try:
        parts = urlsplit(text)
        understood = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        understood = False
    if not understood or not text.isprintable() or " " in text or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be an address such as http://127.0.0.1:9093")
    return text.rstrip("/")
