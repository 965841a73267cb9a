"""mitmproxy's layers, driven without its addons.

Promises that only declared hosts are decrypted, that every request to them is decided by `rules` before its first byte
leaves, that bodies stream in both directions, and that a refusal is JSON and not a page. Refuses callers without this
run's password, upstreams whose certificate does not verify, and falls back to nothing: an error here is a 502.

This is the only module that knows mitmproxy. It costs a quarter of a second to import, so nothing imports
it before the child has been started.
"""

import asyncio
import hmac
import json
import logging
import re
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import wsproto.events
from mitmproxy import connection, http
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.proxy import commands, events, layer, mode_specs, server
from mitmproxy.proxy.layers import http as http_layers, modes, tcp, tls, websocket
from mitmproxy.proxy.layers.http import _events, _hooks
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.tls import TlsData

from authsome.provider import Host
from authsome.proxy import Live, Log, channel
from authsome.proxy.authority import Authority
from authsome.proxy.dial import CONNECT_SECONDS, NotPublicError, dial
from authsome.proxy.exchange import Exchange
from authsome.proxy.scrub import Scrubber
from authsome.proxy.upstream import Upstream
from authsome.rules import Inject, Refusal, Request, Use, malformed, not_encrypted
from authsome.session import Session

if TYPE_CHECKING:
    from mitmproxy.options import Options as MitmproxyOptions


@dataclass
class Gate:
    """What one run's engine works with.

    Attributes:
        live: Replaced whole by another thread; whoever decides reads it once.
    """

    live: Live
    authority: Authority
    upstream: Upstream
    password: str
    log: Log

    def __post_init__(self) -> None:
        self._scrubbed: Live | None = None
        self._stand_ins: dict[str, str] = {}
        self._scrubber = Scrubber({})

    def scrubber(self, live: Live) -> Scrubber:
        """Return what to look for in answers: every secret the run has had, whichever of them a request carried."""
        if live is not self._scrubbed:
            # A key that was rotated away can still be said back: by a slow answer, or by a provider that remembers it.
            self._stand_ins |= live.session.stand_ins()
            self._scrubbed, self._scrubber = live, Scrubber(self._stand_ins)
        return self._scrubber


@dataclass
class _Options:
    """The options that mitmproxy's layers read; `Options()` would load every default of the command-line tool."""

    connection_strategy: str = "lazy"
    tcp_timeout: int = 3600
    http2_ping_keepalive: int = 58
    body_size_limit: str | None = None
    stream_large_bodies: str | None = None
    store_streamed_bodies: bool = False
    validate_inbound_headers: bool = True
    normalize_outbound_headers: bool = True
    keep_host_header: bool = False
    http_connect_send_host_header: bool = True
    websocket: bool = True
    rawtcp: bool = True
    proxy_debug: bool = False


async def serve(listener: socket.socket, gate: Gate) -> None:
    """Serve connections from a listening socket until cancelled."""
    for name in ("mitmproxy", "asyncio", "hpack"):
        # NOTE: the engine's own log lines quote what passes through it.
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        gate.log.opened(peer)
        try:
            await _Handler(reader, writer, gate).handle_client()
        finally:
            gate.log.closed(peer)

    async with await asyncio.start_server(client, sock=listener, limit=1 << 16) as running:
        await running.serve_forever()


class _Handler(server.LiveConnectionHandler):
    """One client connection. Its hooks are the whole of what mitmproxy's addons would do."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: Gate) -> None:
        self._options = _Options()
        mode = mode_specs.ProxyMode.parse("regular")
        super().__init__(reader, writer, cast("MitmproxyOptions", self._options), mode)
        self.gate = gate
        self._target: Host | None = None

    def log(self, *_: Any, **__: Any) -> None:
        """Say nothing: see `serve`."""

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """Answer mitmproxy's question, by the hook's type. A mistake of ours refuses, it never forwards."""
        answer = _HOOKS.get(type(hook))
        if answer is None:
            return
        try:
            answer(self, *hook.args())
        except Exception as error:  # noqa: BLE001  mitmproxy would wait for an answer for ever
            self._give_up(hook.args()[0], error)

    def _give_up(self, about: object, error: Exception) -> None:
        """Refuse the request that a hook failed on, or close the connection where there is none to refuse."""
        if isinstance(about, http.HTTPFlow) and about.response is None:
            # NOTE: the error's own words may quote the request, so only its kind is told.
            reason = f"authsome failed on this request ({type(error).__name__}); nothing was sent"
            about.response = _refuse(Refusal("internal", reason, "this is a bug, please report it", status=500))
            about.request.stream = False
        else:
            if isinstance(about, http.HTTPFlow) and about.response is not None:
                about.response.headers.clear()
                about.response.stream = lambda _: b""
                if about.websocket and about.websocket.messages:
                    about.websocket.messages[-1].dropped = True
            self._hang_up("a hook failed")

    def _hang_up(self, why: str) -> None:
        if self.client in self.transports and (task := self.transports[self.client].handler):
            task.cancel(why)

    async def open_connection(self, command: commands.OpenConnection) -> None:
        """Connect to where the engine wants to, and to no address that a secret must not go to."""
        server = command.connection
        if server.address is None:
            raise RuntimeError("the engine names no address")
        self.transports[server] = ConnectionIO(handler=asyncio.current_task())
        server.timestamp_start = time.time()  # the layers read it as "somebody opens this one"
        try:
            reader, writer = await self._dial(server.address)
        except OSError as error:
            self.transports.pop(server, None)
            server.error = _why_unreachable(error)
            await self.server_event(events.OpenConnectionCompleted(command, server.error))
            return
        server.state = connection.ConnectionState.OPEN
        server.peername, server.sockname = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        self.transports[server] = ConnectionIO(asyncio.current_task(), reader, writer)
        await self.server_event(events.OpenConnectionCompleted(command, None))
        await self.handle_connection(server)

    async def _dial(self, address: tuple[str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to an address, or to the one that stands for all of them."""
        if everything := self.gate.upstream.everything_at:
            return await dial(*everything, private=True)
        return await dial(*address, private=self._may_be_private(address))

    def _may_be_private(self, address: tuple[str, int]) -> bool:
        """Whether anything but a public address will do. The user's own proxy and undeclared hosts get no secret."""
        target = self._target
        if target is None:
            return True
        parent = self.gate.upstream.proxy_for(target.name)
        return (parent is not None and address == parent.address) or self.gate.live.rules.may_be_private(target)

    # Which protocol comes next.

    def next_layer(self, data: layer.NextLayer) -> None:
        """HTTP first; after a CONNECT, TLS that is opened for declared hosts and carried unread for all others."""
        here = data.context
        if not here.layers:
            data.layer = modes.HttpProxy(here)
        elif len(here.layers) == 1:
            data.layer = _HttpLayer(here, http_layers.HTTPMode.regular)
        elif self._target is None:
            data.layer = tcp.TCPLayer(here, ignore=True)
        elif not isinstance(here.layers[-1], tls.ClientTLSLayer):
            data.layer = self._open_tls(data)
        else:
            data.layer = _HttpLayer(here, http_layers.HTTPMode.transparent)

    def _open_tls(self, data: layer.NextLayer) -> layer.Layer | None:
        start = data.data_client()  # type: ignore[no-untyped-call]
        if len(start) < 3:  # noqa: PLR2004  the first three bytes of a TLS record tell it apart
            return None
        if start[0] != 0x16 or start[1] != 0x03:  # noqa: PLR2004
            return _HttpLayer(data.context, http_layers.HTTPMode.transparent)
        # The upstream is not contacted before a request to it has been permitted.
        data.context.server.tls = True
        return tls.ClientTLSLayer(data.context)

    # CONNECT and plain requests.

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Let a caller with the password reach a host, and remember whether it is one of ours."""
        # NOTE: one connection may ask for a second CONNECT after a refused one; nothing of the first may last.
        self._target, self._options.connection_strategy = None, "lazy"
        if self._unknown_caller(flow):
            return
        target = Host(flow.request.host.lower(), flow.request.port)
        flow.request.data.host = target.name  # one spelling from here on: it is compared, resolved and verified
        rules = self.gate.live.rules
        if rules.decrypts(target):
            self._target = target
        elif refusal := rules.refuses(target):
            self._begin(flow, target, "")
            self._refuse(flow, refusal)
            self._record(flow)
        else:
            self._begin(flow, target, "", decision="tunnel")
            self._record(flow)
            # Nothing is decided later for such a host, so its errors belong into the answer to the CONNECT.
            self._options.connection_strategy = "eager"
        self._go_through_parent(flow, target.name)

    # What is told about a request.

    def _begin(self, flow: http.HTTPFlow, target: Host, path: str, decision: str = "pass") -> None:
        """Note a request before anything is done with it, as the client sent it."""
        method = flow.request.data.method.decode("latin-1")
        use = Use(time.time(), method, str(target), path, decision, peer=self.client.peername[:2])
        flow.metadata[_USE] = (use, time.monotonic())

    def _decided(self, flow: http.HTTPFlow, decision: str, connection: str | None) -> None:
        use, begun = flow.metadata[_USE]
        flow.metadata[_USE] = (replace(use, decision=decision, connection=connection), begun)

    def _refuse(self, flow: http.HTTPFlow, refusal: Refusal) -> None:
        flow.response = _refuse(refusal)
        self._decided(flow, refusal.error, refusal.connection)

    def _record(self, flow: http.HTTPFlow) -> None:
        """Tell of a request that has come to its end; of each once."""
        found = flow.metadata.pop(_USE, None)
        if found is None:
            return
        (use, begun), exchange = found, _exchange(flow)
        refused = flow.metadata.get(_ERROR)
        self.gate.log.record(
            replace(
                use,
                decision=refused or use.decision,
                status=flow.response.status_code if flow.response else None,
                sent=exchange.sent if exchange else 0,
                received=exchange.received if exchange else 0,
                milliseconds=(time.monotonic() - begun) * 1000,
            )
        )

    def _unknown_caller(self, flow: http.HTTPFlow) -> bool:
        expected = b64encode(f"authsome:{self.gate.password}".encode()).decode()
        scheme, _, given = flow.request.headers.get("proxy-authorization", "").partition(" ")
        flow.request.headers.pop("proxy-authorization", None)
        if scheme.lower() == "basic" and hmac.compare_digest(
            given.strip().encode(errors="surrogateescape"), expected.encode()
        ):
            return False
        flow.response = http.Response.make(407, b"", {"Proxy-Authenticate": 'Basic realm="authsome"'})
        return True

    def _go_through_parent(self, flow: http.HTTPFlow, host: str) -> None:
        parent = self.gate.upstream.proxy_for(host)
        flow.server_conn.via = (parent.scheme, parent.address) if parent else None  # type: ignore[assignment]

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        """Present the user's own password to the user's own proxy."""
        parent = self.gate.upstream.proxy_for(flow.request.host)
        if parent and parent.userinfo:
            flow.request.headers["Proxy-Authorization"] = "Basic " + b64encode(parent.userinfo.encode()).decode()

    def http_connect_error(self, flow: http.HTTPFlow) -> None:
        """Say in JSON why an undeclared host cannot be reached, and end a connection mitmproxy cannot use again."""
        failed = flow.server_conn.error
        if failed and flow.response is not None and flow.response.status_code == 502:  # noqa: PLR2004  mitmproxy's
            flow.response = _refuse(_upstream_failure(flow.request.host, failed))
            flow.response.headers["Connection"] = "close"

    # TLS.

    def tls_start_client(self, data: TlsData) -> None:
        """Show the child this run's certificate for the host it asked for."""
        if self._target is None:
            return
        data.ssl_conn = channel.to_client(self.gate.authority.leaf(self._target.name), self.gate.authority.leaf_key)

    def tls_start_server(self, data: TlsData) -> None:
        """Verify the upstream's certificate for the name it was opened by, always."""
        upstream = cast("connection.Server", data.conn)
        if upstream.address is None:
            return
        name = upstream.address[0]
        upstream.sni = name
        if not upstream.alpn_offers:
            offered = data.context.client.alpn_offers
            upstream.alpn_offers = [next((alpn for alpn in channel.ALPN if alpn in offered), channel.ALPN[0])]
        data.ssl_conn = channel.to_upstream(name, upstream.alpn_offers, self.gate.upstream.roots)

    # Requests.

    def request_headers(self, flow: http.HTTPFlow) -> None:
        """Decide on a request before anything of it leaves. A body streams, so this is the last moment."""
        if flow.error is not None:
            return
        path = _raw(flow.request)[1]
        if self._target is None:
            self._begin(flow, Host(flow.request.host.lower(), flow.request.port), path)
            self._plain_request(flow)
        else:
            self._begin(flow, self._target, path)
            self._declared_request(flow, self._target)
        if flow.response is not None:
            self._record(flow)
        if exchange := _exchange(flow):
            flow.request.stream = exchange.send
        else:
            flow.request.stream = flow.response is None

    def _plain_request(self, flow: http.HTTPFlow) -> None:
        """A request to the proxy itself, in the clear: forwarded for undeclared hosts, without any secret."""
        if self._unknown_caller(flow):
            return
        target = Host(flow.request.host.lower(), flow.request.port)
        if refusal := malformed(*_raw(flow.request)):
            pass
        elif flow.request.scheme != "http":
            refusal = Refusal("bad_request", "https goes through CONNECT", status=400)
        else:
            refusal = self.gate.live.rules.refuses_plain(target)
        if refusal:
            self._refuse(flow, refusal)
        self._go_through_parent(flow, target.name)

    def _declared_request(self, flow: http.HTTPFlow, target: Host) -> None:
        request = flow.request
        if not self.client.tls_established:
            self._refuse(flow, not_encrypted(target))
            return
        if Host(request.host.lower(), request.port) != target:
            raise RuntimeError("the engine would send this request elsewhere")  # NOTE: see `_give_up`
        if request.http_version not in _VERSIONS:
            self._refuse(flow, Refusal("malformed_request", "this is no version of HTTP we know", status=400))
            return
        live = self.gate.live
        decision = live.rules.decide(_describe(flow, target, self.client.sni))
        if isinstance(decision, Refusal):
            self._refuse(flow, decision)
            return
        self._decided(flow, "inject" if isinstance(decision, Inject) else "pass", decision.rule.name)
        _for_one_hop(request, target)
        exchange = Exchange(self.gate.scrubber(live) if decision.rule.scrub else Scrubber({}))
        flow.metadata[_EXCHANGE] = exchange
        codings = exchange.accept(request.headers.get("accept-encoding"), ranged="range" in request.headers)
        if codings is not None:
            request.headers[_cased(flow, "Accept-Encoding")] = codings
        if isinstance(decision, Inject):
            self._inject(flow, decision, live.session)

    def _inject(self, flow: http.HTTPFlow, decision: Inject, session: Session) -> None:
        rule, placement, headers = decision.rule, decision.placement, flow.request.headers
        for name in decision.drop:
            headers.pop(name, None)
        for name, value in rule.constant_headers:
            if name not in headers:
                headers[_cased(flow, name)] = value
        secrets = session.secrets(rule.provider, rule.connection)
        headers[_cased(flow, placement.header)] = placement.render(secrets)

    def response_headers(self, flow: http.HTTPFlow) -> None:
        """Let the response stream, through a look at all of it."""
        response, exchange = flow.response, _exchange(flow)
        if response is None:
            return
        response.stream = True
        if exchange is None:
            return
        response.headers.fields = exchange.head(response.headers.fields)
        response.data.reason = exchange.scrubber.once(response.data.reason)
        coding = response.headers.get("content-encoding", "")
        # NOTE: octet by octet: to an upstream `head` is another method, whose answer has a body.
        if flow.request.data.method == b"HEAD" or response.status_code in _BODILESS:
            exchange.expect_nothing()
        elif not _framed_plainly(flow.request, response) or not exchange.readable(coding, response.status_code):
            coded = coding or response.headers.get("transfer-encoding") or "of another protocol"
            reason = f"the answer is in the coding {ascii(coded)}, in which a reflected key could not be found"
            hint = "ask for gzip, br, zstd or nothing in Accept-Encoding, or set `scrub: off` for this connection"
            flow.metadata[_REFUSED] = Refusal("unreadable_response", reason, hint, status=502)
            return
        response.stream = lambda data: self._guarded(exchange.receive(data))
        if exchange.recodes:
            _frame_anew(flow.request, response)

    def _guarded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """End the connection where an answer cannot be read: what was sent so far must not look complete."""
        try:
            yield from pieces
        except Exception as error:  # noqa: BLE001  whatever it was, nothing may pass unread
            self._hang_up(f"an answer could not be read ({type(error).__name__})")

    def websocket_message(self, flow: http.HTTPFlow) -> None:
        """Scrub what the upstream says, and keep nothing of what was said."""
        if flow.websocket is None:
            return
        message, exchange = flow.websocket.messages[-1], _exchange(flow)
        if exchange and not message.from_client:
            message.content = exchange.scrubber.once(message.content)
        # The layer keeps every message for whoever wants to look at it later; nobody does.
        flow.websocket.messages.clear()


_HOOKS: dict[type[commands.StartHook], Callable[..., None]] = {
    layer.NextLayerHook: _Handler.next_layer,
    _hooks.HttpConnectHook: _Handler.http_connect,
    _hooks.HttpConnectErrorHook: _Handler.http_connect_error,
    _hooks.HttpRequestHeadersHook: _Handler.request_headers,
    _hooks.HttpResponseHeadersHook: _Handler.response_headers,
    _hooks.HttpConnectUpstreamHook: _Handler.http_connect_upstream,
    _hooks.HttpResponseHook: _Handler._record,  # noqa: SLF001  it is this module's own
    _hooks.HttpErrorHook: _Handler._record,  # noqa: SLF001
    tls.TlsStartClientHook: _Handler.tls_start_client,
    tls.TlsStartServerHook: _Handler.tls_start_server,
    websocket.WebsocketMessageHook: _Handler.websocket_message,
}


class _HttpLayer(http_layers.HttpLayer):
    """HTTP whose streams can be refused before their body and answer errors in JSON."""

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        here = self.context.fork()
        self.streams[stream_id] = _Stream(here, stream_id)
        yield from self.event_to_child(self.streams[stream_id], events.Start())


class _Stream(http_layers.HttpStream):
    """One request and its response."""

    def handle_connect_regular(self) -> layer.CommandGenerator[None]:
        """Go through the parent's proxy where there is one; to a declared host only once a request is permitted."""
        tunnelled = self.context.options.connection_strategy == "eager"
        if tunnelled and self.context.server.via and not self.flow.response:
            yield from self.handle_connect_upstream()  # type: ignore[no-untyped-call]
        else:
            yield from super().handle_connect_regular()  # type: ignore[no-untyped-call]

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        """Refuse an upstream without HTTP/2 to a client with nothing else: mitmproxy would send its body unframed."""
        if not (yield from super().make_server_connection()):
            return False
        if self.flow.request.is_http2 and self.context.server.alpn != b"h2":
            host = self.flow.request.host
            reason = f"`{host}` speaks no HTTP/2, and the client nothing else; nothing was sent"
            yield from self._fail(Refusal("upstream_failed", reason, status=502))
            return False
        return True

    def check_killed(self, emit_error_hook: bool) -> layer.CommandGenerator[bool]:
        """Answer a refusal at once: mitmproxy would first keep the whole body."""
        if (yield from super().check_killed(emit_error_hook)):
            return True
        if refused := self.flow.metadata.pop(_REFUSED, None):
            gone = _events.RequestProtocolError(self.stream_id, "cannot be read", _events.ErrorCode.CANCEL)
            yield http_layers.SendHttp(gone, self.context.server)
            yield from self._fail(refused)
            return True
        undecided = self.client_state == self.state_wait_for_request_headers
        if emit_error_hook and undecided and self.flow.response is not None:
            yield from self._answer(self.flow.response)
            return True
        return False

    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Scrub trailers too; the body is scrubbed where it streams."""
        if isinstance(event, _events.ResponseTrailers) and (exchange := _exchange(self.flow)):
            event.trailers.fields = exchange.head(event.trailers.fields)
        yield from super().state_stream_response_body(event)

    def handle_protocol_error(
        self, event: _events.RequestProtocolError | _events.ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        """Answer an upstream that cannot be reached or trusted with a 502 in JSON, as long as nothing was answered."""
        unanswered = self.flow.response is None and self.client_state != self.state_errored
        if isinstance(event, _events.ResponseProtocolError) and unanswered and self.context.client.connected:
            host = self.flow.request.host
            reached = event.code is not _events.ErrorCode.CONNECT_FAILED
            yield from self._fail(_broken_off(host) if reached else _upstream_failure(host, event.message))
        else:
            yield from super().handle_protocol_error(event)

    def check_invalid(self, request: bool) -> layer.CommandGenerator[bool]:
        """Refuse an answer with illegal headers without a word of what is in them."""
        if request:
            return (yield from super().check_invalid(request))
        try:
            validate_headers(cast("http.Response", self.flow.response))
        except ValueError:
            yield commands.CloseConnection(self.flow.server_conn)
            yield from self._fail(_broken_off(self.flow.request.host))
            return True
        return False

    def flow_done(self) -> layer.CommandGenerator[None]:
        """Scrub what no hook sees of a WebSocket: the payload of a ping, and the reason of a close."""
        yield from super().flow_done()
        if isinstance(self.child_layer, websocket.WebsocketLayer) and (exchange := _exchange(self.flow)):
            towards_child = self.child_layer.client_ws
            unread = towards_child.send2

            def send(event: wsproto.events.Event) -> commands.SendData:
                return unread(_scrubbed(event, exchange.scrubber))

            towards_child.send2 = send  # type: ignore[method-assign]

    def _fail(self, refusal: Refusal) -> layer.CommandGenerator[None]:
        """Answer with what went wrong upstream, and have it recorded."""
        self.flow.response = _refuse(refusal)
        self.flow.metadata[_ERROR] = refusal.error
        yield _hooks.HttpErrorHook(self.flow)
        yield from self._answer(self.flow.response)

    def _answer(self, response: http.Response) -> layer.CommandGenerator[None]:
        """Send a response of ours and let the rest of the request run dry, in constant memory."""
        client = self.context.client
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        content = b"" if self.flow.request.method == "HEAD" else response.raw_content or b""
        yield http_layers.SendHttp(_events.ResponseHeaders(self.stream_id, response, end_stream=not content), client)
        if content:
            yield http_layers.SendHttp(_events.ResponseData(self.stream_id, content), client)
        yield http_layers.SendHttp(_events.ResponseEndOfMessage(self.stream_id), client)
        yield http_layers.DropStream(self.stream_id)


_EXCHANGE, _USE = "authsome exchange", "authsome use"
_REFUSED, _ERROR = "authsome refusal", "authsome error"
_SWITCHING = 101
_BODILESS = frozenset({204, 304})  # RFC 9112, 6.3
# Said of the octets that the upstream compressed, which are not those that the child gets.
_OF_THE_BODY = ("content-length", "content-md5", "digest", "content-digest")


def _exchange(flow: http.HTTPFlow) -> Exchange | None:
    """Return what goes with a request to a declared host; the engine's own answers and other hosts have none."""
    return flow.metadata.get(_EXCHANGE)


def _scrubbed(event: wsproto.events.Event, scrubber: Scrubber) -> wsproto.events.Event:
    if isinstance(event, wsproto.events.Ping | wsproto.events.Pong):
        return replace(event, payload=scrubber.once(bytes(event.payload)))
    if isinstance(event, wsproto.events.CloseConnection) and event.reason:
        return replace(event, reason=scrubber.once(event.reason.encode()).decode(errors="replace"))
    return event


def _framed_plainly(request: http.Request, response: http.Response) -> bool:
    """Whether the body arrives as it is, and a changed protocol is the one whose messages are read."""
    coding = response.headers.get("transfer-encoding", "").strip().lower()
    if coding not in ("", "chunked", "identity"):
        return False
    protocol = response.headers.get("upgrade", "").strip().lower()
    return response.status_code != _SWITCHING or (protocol == "websocket" and "upgrade" in request.headers)


def _frame_anew(request: http.Request, response: http.Response) -> None:
    """Frame a body whose length is not known beforehand (RFC 9112, 6.3)."""
    for name in _OF_THE_BODY:
        response.headers.pop(name, None)
    if request.is_http10:
        response.headers["Connection"] = "close"
    elif not request.is_http2:
        response.http_version = "HTTP/1.1"
        response.headers["Transfer-Encoding"] = "chunked"


def _describe(flow: http.HTTPFlow, target: Host, sni: str | None) -> Request:
    """Return what `rules` looks at."""
    request = flow.request
    method, path, headers = _raw(request)
    hosts: Iterable[str] = [value for name, value in headers if name == "host"]
    if request.authority and not request.is_http2:
        # The absolute form is for proxies; inside a tunnel its host would count for an upstream that reads it.
        hosts = [request.authority, *hosts]
    elif request.is_http2:
        # RFC 9113, 8.3.1: a `host` beside `:authority` has to say the same; two that do count as one.
        hosts = dict.fromkeys([request.authority, *hosts])
    return Request(target, sni, tuple(hosts), method, path, headers)


def _raw(request: http.Request) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Return method, path and headers octet by octet, names in lower case; decoding could hide what will be sent."""
    fields = request.headers.fields
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in fields)
    return request.data.method.decode("latin-1"), request.data.path.decode("latin-1"), headers


_VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"})
_HOP_BY_HOP = frozenset({"close", "keep-alive", "upgrade", "te"})


def _for_one_hop(request: http.Request, target: Host) -> None:
    """Write the host as the upstream knows it, and drop what was said to a proxy (RFC 9110, 7.6.1)."""
    # NOTE: after a 101 nothing is decided any more: `h2c` would carry requests that `allow` never sees.
    # Of WebSocket only the version whose frames can be read; a header that stands twice joins to another text.
    asked = (request.headers.get("upgrade", "").lower(), request.headers.get("sec-websocket-version"))
    upgrades = () if asked == ("websocket", "13") else ("upgrade",)
    if "te" in request.headers:  # RFC 9110, 10.1.4: it would ask for a transfer coding that nobody here reads
        request.headers["TE"] = "trailers"
    for name in ("proxy-authorization", "proxy-connection", *upgrades):
        request.headers.pop(name, None)
    if request.is_http2:
        request.authority = str(target)
    if "host" in request.headers:
        request.headers["Host"] = str(target)
    named = [option.strip() for option in request.headers.get("connection", "").split(",")]
    if any(option.lower() not in _HOP_BY_HOP for option in named if option):
        # NOTE: `Connection: authorization` would tell the upstream to drop what was injected.
        request.headers["Connection"] = ", ".join(option for option in named if option.lower() in _HOP_BY_HOP)


def _cased(flow: http.HTTPFlow, name: str) -> str:
    """Return a header's name as the protocol wants it: HTTP/2 has lower case only (RFC 9113, 8.2.1)."""
    return name.lower() if flow.request.is_http2 else name


def _refuse(refusal: Refusal) -> http.Response:
    """Return a refusal as a response that programs and people can read."""
    body: dict[str, str] = {"error": refusal.error, "reason": refusal.reason}
    body |= {key: text for key, text in (("hint", refusal.hint), ("connection", refusal.connection)) if text}
    content = json.dumps(body).encode() + b"\n"
    return http.Response.make(
        refusal.status, content, {"Content-Type": "application/json", "X-Authsome-Error": refusal.error}
    )


def _broken_off(host: str) -> Refusal:
    """Return why there is no answer to a request that was sent. NOTE: the engine's words would quote the answer."""
    reason = f"`{host}` hung up, or what it answered is not HTTP; the request had been sent"
    return Refusal("upstream_failed", reason, status=502)


def _why_unreachable(error: OSError) -> str:
    """Return a failed connection in words; an address that will not do keeps its mark for `_upstream_failure`."""
    if isinstance(error, NotPublicError):
        return f"{_NOT_PUBLIC}: {error}"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_SECONDS:.0f} s"
    return str(error) or type(error).__name__


_NOT_PUBLIC = "not public"


def _upstream_failure(host: str, message: str) -> Refusal:
    """Return why an upstream was not used; no secret was sent to it."""
    if message.startswith(_NOT_PUBLIC):
        return Refusal(
            "address_not_public",
            f"`{host}` gets no credential: {message.partition(': ')[2]}; nothing was sent",
            'if the host is in your own network, set `"private_addresses": true` in its definition',
        )
    if message.startswith("Certificate verify failed"):
        return Refusal(
            "upstream_untrusted",
            f"the certificate of `{host}` does not verify: {message.partition(': ')[2]}; nothing was sent",
            "if your network replaces certificates, point SSL_CERT_FILE at its roots before `authsome run`",
            status=502,
        )
    reason = re.sub(r"\[Errno -?\d+\] ", "", message)
    return Refusal(
        "upstream_failed", f"cannot reach `{host}`: {reason}", "check the network and HTTPS_PROXY", status=502
    )
