"""Admission: from an app's request to a call that may leave, recorded in the journal; or a refusal."""

import logging
from collections.abc import AsyncIterator

from aiohttp import web

from billing.charges import Call
from billing.journal import JournalUnwritable
from proxy import asked as bodies
from proxy import endpoints, errors, identity
from proxy import headers as http
from proxy.asked import BODY_CEILING_BYTES, NOTHING
from proxy.endpoints import Billing, Endpoint
from proxy.errors import Refusal
from proxy.exchange import CLIENT_CLOSED, Exchange, Outgoing, Surroundings
from proxy.relay import AppRequest, Client, ClientBrokeOff
from proxy.rewriting import asking_for_usage

log = logging.getLogger("farebox.proxy")


class Proxy:
    """The apps' side of a replica: one `handle` per request."""

    def __init__(self, around: Surroundings, replica: str) -> None:
        self._around = around
        self._replica = replica
        self.admitting = True

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Admit, exchange, count. Never raises for what an app or the upstream does."""
        assert isinstance(request, AppRequest)
        around = self._around
        client = Client(request, around.clock.seconds)
        started = around.clock.seconds()
        with around.metrics.inflight.track_inprogress():
            path = _path(client.target)
            endpoint = endpoints.find(client.method, path)
            refusal = self._refusal(client, endpoint, path)
            if refusal is not None:
                client.refuse(refusal, [(http.CALL_ID, around.clock.new_id().encode())])
                self._count(endpoint, None, refusal.status, "free")
                return client.written()
            try:
                outgoing, waited = await self._outgoing(client, endpoint)
            except ClientBrokeOff:
                client.break_off()
                self._count(endpoint, None, CLIENT_CLOSED, "free")
                return client.written()
            await self._exchange(client, outgoing, started, waited)
        return client.written()

    async def _exchange(self, client: Client, outgoing: Outgoing, started: float, waited: float) -> None:
        around, endpoint = self._around, outgoing.endpoint
        call = self._call(client, outgoing)
        try:
            around.cashier.open(call)
        except JournalUnwritable:
            client.refuse(errors.journal_unwritable(), [(http.CALL_ID, call.id.encode())])
            self._count(endpoint, outgoing.asked.model, 503, "free")
            return
        ready = around.clock.seconds()
        exchange = Exchange(around, client, outgoing, call)
        try:
            status = await exchange.run()
        except Exception:
            log.exception("call %s failed in Farebox", call.id)
            status = exchange.fail()
        ended = around.clock.seconds()
        first_byte = client.first_byte_at or ended
        metrics, operation = around.metrics, endpoint.operation
        self._count(endpoint, outgoing.asked.model, status, exchange.basis.value)
        metrics.duration.labels(operation).observe(ended - started)
        metrics.first_byte.labels(operation).observe(first_byte - started)
        added = ready - started - waited + (first_byte - exchange.arrived_at if exchange.arrived_at else 0)
        metrics.overhead.labels(operation).observe(max(added, 0))

    def _refusal(self, client: Client, endpoint: Endpoint, path: str) -> Refusal | None:
        """Why the request is not admitted, if it is not: decided before anything of its body is read."""
        settings = self._around.settings
        if not self.admitting:
            return errors.shutting_down()
        if not path.startswith("/v1/") or endpoints.climbs(path):
            return errors.not_under_v1(bodies.printable(path))
        if endpoint.billing is Billing.UNMETERED and settings.unknown_routes == "refuse":
            return errors.unknown_route(client.method, endpoint.template)
        return identity.refusal(client.headers, require_keys=settings.require_keys)

    async def _outgoing(self, client: Client, endpoint: Endpoint) -> tuple[Outgoing, float]:
        """The request as it will be sent, and the seconds spent waiting for its body.

        A body whose fields are wanted is read, up to a bound; any other is passed on as it comes in. Raises
        ClientBrokeOff when the app hangs up meanwhile.
        """
        around, headers = self._around, http.end_to_end(client.headers, (b"host",))
        kept, asked, waited = b"", NOTHING, 0.0
        body: bytes | AsyncIterator[bytes] = b""
        usage_added = False
        if client.has_body and endpoint.reads_body:
            before = around.clock.seconds()
            kept, whole = await client.body_up_to(BODY_CEILING_BYTES)
            waited = around.clock.seconds() - before
            if whole:
                body, asked = kept, bodies.read(kept)
                if endpoint.usage_on_request and asked.stream and not asked.include_usage:
                    body = asking_for_usage(kept, asked.has_stream_options)
                    usage_added = body is not kept
            else:
                body, kept = client.body_pieces(kept), b""
        elif client.has_body:
            body = client.body_pieces()
        if isinstance(body, bytes):
            if body or http.find(headers, b"content-length"):
                headers = http.replaced(headers, b"content-length", b"%d" % len(body))
        elif http.find(headers, b"content-length") is None:
            headers.append((b"Transfer-Encoding", b"chunked"))
        if usage_added:
            headers = http.replaced(headers, b"accept-encoding", b"identity")
        return Outgoing(endpoint, asked, kept, self._head(client, headers), body, usage_added), waited

    def _head(self, client: Client, headers: list[tuple[bytes, bytes]]) -> bytes:
        target = client.target.encode("utf-8", "surrogateescape")
        line = b"%s %s HTTP/1.1" % (client.method.encode(), target)
        host = (b"Host", self._around.upstream.host_header)
        return http.head(line, [host, *http.without_own(headers)])

    def _call(self, client: Client, outgoing: Outgoing) -> Call:
        around, endpoint, asked = self._around, outgoing.endpoint, outgoing.asked
        return Call(
            id=around.clock.new_id(),
            started_at=around.clock.now(),
            operation=endpoint.operation,
            method=client.method,
            path=endpoint.template,
            attribution=identity.attribute(client.headers, asked, around.settings.metadata_tags),
            replica=self._replica,
            requested_model=asked.model,
            requested_tier=asked.service_tier,
            streamed=asked.stream,
        )

    def _count(self, endpoint: Endpoint, model: str | None, status: int, basis: str) -> None:
        metrics = self._around.metrics
        metrics.requests.labels(endpoint.operation, metrics.bounded("model", model), str(status), basis).inc()
        if endpoint.billing is Billing.UNMETERED:
            metrics.unmetered.labels(metrics.bounded("path", endpoint.template)).inc()


def _path(target: str) -> str:
    """The path of a request target, without its query."""
    return target.partition("?")[0]
