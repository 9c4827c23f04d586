"""Admission: from an app's request to a call that may leave, recorded in the journal; or a refusal."""

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import web

from billing.charges import Call
from billing.journal import JournalUnwritable
from billing.keys import Key
from billing.requested import NOTHING_REQUESTED
from proxy import asked as bodies
from proxy import endpoints, errors, forms, identity, ownership, permissions
from proxy import headers as http
from proxy.asked import BODY_CEILING_BYTES, NOTHING
from proxy.authorisation import Admitted, Asking
from proxy.endpoints import Billing, Endpoint
from proxy.errors import Refusal
from proxy.exchange import CLIENT_CLOSED, Exchange, Surroundings
from proxy.identity import Caller, Keyring
from proxy.outgoing import Outgoing
from proxy.relay import AppRequest, Client, ClientBrokeOff
from proxy.rewriting import asking_for_usage
from proxy.sizing import Sizer

log = logging.getLogger("farebox.proxy")


@dataclass(slots=True)
class _Arrival:
    """A request that has come: its id, when, and the seconds since then that Farebox waited for others."""

    client: Client
    id: str
    at: float
    waited: float = 0.0


class Proxy:
    """The apps' side of a replica: one `handle` per request. `keyring` is what operators' keys are known by;
    `dead_key_tried` is told of a key that was issued and is no longer in force."""

    def __init__(self, around: Surroundings, replica: str) -> None:
        self._around = around
        self._replica = replica
        self._sizer = Sizer(around.upstream)
        self.admitting = True
        self.keyring = Keyring()
        self.dead_key_tried: Callable[[Key], None] = lambda key: None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Admit, exchange, count. Never raises for what an app or the upstream does."""
        assert isinstance(request, AppRequest)
        client = Client(request, self._around.clock.seconds)
        arrival = _Arrival(client, self._around.clock.new_id(), self._around.clock.seconds())
        with self._around.metrics.inflight.track_inprogress():
            path = _path(client.target)
            endpoint = endpoints.find(client.method, path)
            caller = self._caller(client, endpoint, path)
            if isinstance(caller, Refusal):
                self._refuse(arrival, endpoint, None, caller)
                return client.written()
            try:
                outgoing = await self._outgoing(arrival, endpoint, caller)
                refusal = permissions.may_use(caller, endpoint, outgoing.asked.model)
                if refusal or (refusal := await self._hidden(arrival, caller, path, outgoing)):
                    self._refuse(arrival, endpoint, outgoing.asked.model, refusal)
                else:
                    await self._exchange(arrival, outgoing, caller)
            except ClientBrokeOff:
                client.break_off()
                self._count(endpoint, None, CLIENT_CLOSED, "free")
        return client.written()

    async def _hidden(self, arrival: "_Arrival", caller: Caller, path: str, outgoing: Outgoing) -> Refusal | None:
        """Why a call may not leave that names what its caller may not see."""
        seconds, isolation = self._around.clock.seconds, self._around.isolation
        if not isolation.on:
            return None
        before = seconds()
        refusal = await isolation.refusal(caller, arrival.client.method, path, outgoing)
        arrival.waited += seconds() - before
        return refusal

    async def _exchange(self, arrival: "_Arrival", outgoing: Outgoing, caller: Caller) -> None:
        around, endpoint, client = self._around, outgoing.endpoint, arrival.client
        call = self._call(arrival, outgoing, caller)
        asking = Asking(
            call, outgoing.asked.wanted, outgoing.kept, outgoing.requested, endpoint.billing is Billing.FREE,
            self._sizer.of(outgoing),
        )  # fmt: skip
        before = around.clock.seconds()
        admitted: Admitted | Refusal
        try:
            admitted = await around.authorisation.admit(asking, lambda: client.gone)
        except JournalUnwritable:
            admitted = errors.journal_unwritable()
        arrival.waited += around.clock.seconds() - before
        if isinstance(admitted, Refusal):
            self._refuse(arrival, endpoint, call.requested_model, admitted)
            return
        ready = around.clock.seconds()
        if admitted.output_cap is not None:
            outgoing = outgoing.capped(admitted.output_cap)
        exchange = Exchange(around, client, outgoing, admitted.call, admitted.allowance)
        try:
            status = await exchange.run()
        except Exception:
            log.exception("call %s failed in Farebox", call.id)
            status = exchange.fail()
        around.authorisation.ended(admitted.call, exchange.charge)
        ended = around.clock.seconds()
        first_byte = client.first_byte_at or ended
        metrics, operation = around.metrics, endpoint.operation
        self._count(endpoint, outgoing.asked.model, status, exchange.basis.value)
        metrics.duration.labels(operation).observe(ended - arrival.at)
        metrics.first_byte.labels(operation).observe(first_byte - arrival.at)
        added = ready - arrival.at - arrival.waited + (first_byte - exchange.arrived_at if exchange.arrived_at else 0)
        metrics.overhead.labels(operation).observe(max(added, 0))

    def _caller(self, client: Client, endpoint: Endpoint, path: str) -> Caller | Refusal:
        """Who calls; or why the request is not admitted: decided before anything of its body is read."""
        settings = self._around.settings
        if not self.admitting:
            return errors.shutting_down()
        if not path.startswith("/v1/") or endpoints.climbs(path):
            return errors.not_under_v1(bodies.printable(endpoints.template_of(path)))
        caller = identity.identify(
            client.headers, client.target, self.keyring, self._around.clock.now(),
            require_keys=settings.require_keys, upstream_key=settings.openai_api_key,
        )  # fmt: skip
        if isinstance(caller, Refusal):
            if dead := identity.dead_key(client.headers, self.keyring, self._around.clock.now()):
                self.dead_key_tried(dead)
            return caller
        if endpoint.billing is Billing.UNMETERED and settings.unknown_routes == "refuse":
            return errors.unknown_route(client.method, endpoint.template)
        return permissions.may_call(caller, endpoint, path, settings.allow_routes) or caller

    def _refuse(self, arrival: "_Arrival", endpoint: Endpoint, model: str | None, refusal: Refusal) -> None:
        arrival.client.refuse(refusal, [(http.CALL_ID, arrival.id.encode())])
        self._count(endpoint, model, refusal.status, "free")

    async def _outgoing(self, arrival: "_Arrival", endpoint: Endpoint, caller: Caller) -> Outgoing:
        """The request as it will be sent.

        A body whose fields are wanted is read, up to a bound; any other is passed on as it comes in. Raises
        ClientBrokeOff when the app hangs up meanwhile.
        """
        around, client = self._around, arrival.client
        own_key = around.settings.openai_api_key
        headers = identity.upstream_headers(http.end_to_end(client.headers, (b"host",)), caller, own_key)
        kept, asked, requested = b"", NOTHING, NOTHING_REQUESTED
        body: bytes | AsyncIterator[bytes] = b""
        usage_added = False
        viewer = around.isolation.viewer(caller)
        lists_for = viewer if ownership.lists(endpoint) else None
        if client.has_body and (endpoint.reads_body or (viewer and ownership.may_refer(endpoint))):
            before = around.clock.seconds()
            kept, whole = await client.body_up_to(BODY_CEILING_BYTES)
            arrival.waited += around.clock.seconds() - before
            form = None
            if endpoint.by_request:
                form = forms.read(content_type := http.text(client.headers, b"content-type"), kept, whole=whole)
                requested = forms.requested(form, _length(client))
            if form is not None and forms.is_form(content_type):
                asked = forms.asked(form)
            elif whole:
                asked = bodies.read(kept)
            if whole:
                body = kept
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
        if usage_added or lists_for:
            headers = http.replaced(headers, b"accept-encoding", b"identity")
        line = b"%s %s HTTP/1.1" % (client.method.encode(), client.target.encode("utf-8", "surrogateescape"))
        headers = [(b"Host", around.upstream.host_header), *http.without_own(headers)]
        return Outgoing(endpoint, asked, kept, line, headers, body, usage_added, requested, lists_for=lists_for)

    def _call(self, arrival: "_Arrival", outgoing: Outgoing, caller: Caller) -> Call:
        around, endpoint, asked = self._around, outgoing.endpoint, outgoing.asked
        client = arrival.client
        return Call(
            id=arrival.id,
            started_at=around.clock.now(),
            operation=endpoint.operation,
            method=client.method,
            path=endpoint.template,
            attribution=identity.attribute(client.headers, asked, caller, around.settings.metadata_tags),
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


def _length(client: Client) -> int | None:
    """The size of the body in bytes, where its head says it."""
    length = http.text(client.headers, b"content-length") or ""
    return int(length) if length.isdecimal() else None


def _path(target: str) -> str:
    """The path of a request target, without its query."""
    return target.partition("?")[0]
