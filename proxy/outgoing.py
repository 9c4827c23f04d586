"""A request as it will be sent, and what was read of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from billing.owners import Owner
from billing.requested import NOTHING_REQUESTED, Requested
from proxy import endpoints
from proxy import headers as http
from proxy.asked import Asked
from proxy.endpoints import Endpoint
from proxy.headers import Headers
from proxy.rewriting import with_output_cap

_CAPS = {"chat": "max_completion_tokens", "responses": "max_output_tokens"}
"""The field that caps an operation's output."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it will be sent. `kept` is what of the app's body was read and can be counted; `output_cap` the
    cap that Farebox set because the app set none; `lists_for` whose objects alone are to be in the list it asks for."""

    endpoint: Endpoint
    asked: Asked
    kept: bytes
    line: bytes
    headers: Headers
    body: bytes | AsyncIterator[bytes]
    usage_added: bool
    requested: Requested = NOTHING_REQUESTED
    output_cap: int | None = None
    lists_for: Owner | None = None

    @property
    def head(self) -> bytes:
        """The bytes of its head."""
        return http.head(self.line, self.headers)

    @property
    def path(self) -> str:
        """The path that is meant, without its query."""
        return endpoints.plain(self.line.split(b" ")[1].partition(b"?")[0].decode("utf-8", "replace"))

    def capped(self, cap: int) -> "Outgoing":
        """The request with an output cap, in tokens; as it is where its API has no field for one."""
        field = _CAPS.get(self.endpoint.operation)
        if field is None or not isinstance(self.body, bytes):
            return self
        body = with_output_cap(self.body, field, cap)
        headers = http.replaced(self.headers, b"content-length", b"%d" % len(body))
        return replace(self, body=body, headers=headers, output_cap=cap)
