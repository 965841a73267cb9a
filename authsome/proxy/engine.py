"""mitmproxy's layers, driven without its addons: who may call, where a call goes, and TLS towards the child.

Promises that only declared hosts are decrypted, and that what was decrypted goes to `relay` and nowhere else. Refuses
callers without this run's password, and falls back to nothing: an error here ends the connection.

This is the only module that knows mitmproxy. It costs a quarter of a second to import, so nothing imports
it before the child has been started.
"""

import asyncio
import hmac
import logging
import select
import socket
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from mitmproxy import connection, http
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, context, events, layer, mode_specs, server, tunnel
from mitmproxy.proxy.layers import http as http_layers, modes, tcp, tls
from mitmproxy.proxy.layers.http import _events, _hooks
from mitmproxy.proxy.layers.http._http1 import Http1Server
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.tls import TlsData

from authsome.provider import Host
from authsome.proxy import SETTLE_SECONDS, channel, message, relay
from authsome.proxy.dial import dial
from authsome.proxy.gate import Gate
from authsome.proxy.pipe import AT_MOST, FLOODED, Gone, Pipe
from authsome.proxy.reach import Reach, broken_off, failure, parent_authorization, to_parent
from authsome.rules import Refusal, Use, malformed, misplaced

if TYPE_CHECKING:
    from mitmproxy.options import Options as MitmproxyOptions


@dataclass
class _Options:
    """The options that mitmproxy's layers read; `Options()` would load every default of the command-line tool."""

    connection_strategy: str = "lazy"
    tcp_timeout: int = 10**8  # a stream may be silent for as long as it likes; a peer that is dead is found out by TCP
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


async def serve(
    listener: socket.socket, gate: Gate, begun: Callable[[Callable[[], object]], None], stopped: Callable[[], None]
) -> None:
    """Serve connections from a listening socket.

    Args:
        begun: Gets what stops it, to be called from any thread.
        stopped: Called when everything that was carried has been told to the log.
    """
    for name in ("mitmproxy", "asyncio", "hpack"):
        # NOTE: the engine's own log lines quote what passes through it.
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
    reach, stop, loop = Reach(gate.upstream), asyncio.Event(), asyncio.get_running_loop()
    clients: dict[_Handler, asyncio.Task[Any] | None] = {}

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer, handler = writer.get_extra_info("peername"), _Handler(reader, writer, gate, reach)
        clients[handler] = asyncio.current_task()
        gate.log.opened(peer)
        try:
            await handler.handle_client()
        finally:
            gate.log.closed(peer)
            del clients[handler]

    running = await asyncio.start_server(client, sock=listener, limit=AT_MOST)
    begun(lambda: loop.call_soon_threadsafe(stop.set))
    await stop.wait()
    running.close()
    for handler in clients:
        handler.hang_up("the run has ended")
    await asyncio.gather(*filter(None, clients.values()), return_exceptions=True)
    if gate.renewing is not None:
        await gate.renewing.settle(SETTLE_SECONDS)
    reach.close()
    stopped()


class _Handler(server.LiveConnectionHandler):
    """One client connection. Its hooks are the whole of what mitmproxy's addons would do."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: Gate, reach: Reach) -> None:
        self._options = _Options()
        mode = mode_specs.ProxyMode.parse("regular")
        super().__init__(reader, writer, cast("MitmproxyOptions", self._options), mode)
        self.gate, self._reach = gate, reach
        self._target: Host | None = None
        self._tunnel: http.HTTPFlow | None = None
        self._sent = self._received = 0
        self._child: _Child | None = None
        self._relaying: asyncio.Task[None] | None = None

    def log(self, *_: Any, **__: Any) -> None:
        """Say nothing: see `serve`."""

    async def handle_client(self) -> None:
        """Serve the connection; when it ends, what was carried for it ends too."""
        try:
            await super().handle_client()
        finally:
            if self._tunnel is not None:
                self._record(self._tunnel)
            if self._child is not None and self._relaying is not None:
                self._child.expect_nothing()
                self._relaying.cancel()
                await asyncio.gather(self._relaying, return_exceptions=True)

    async def server_event(self, event: events.Event) -> None:
        """Let mitmproxy have what happened; of a tunnel, how much went through it is counted."""
        if self._tunnel is not None and isinstance(event, events.DataReceived):
            if event.connection is self.client:
                self._sent += len(event.data)
            else:
                self._received += len(event.data)
        await super().server_event(event)

    async def drain_writers(self) -> None:
        """Read no faster than what was read is taken."""
        if self._child is None:
            await super().drain_writers()  # type: ignore[no-untyped-call]
        else:
            await self._child.readable.wait()

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """Answer mitmproxy's question, by the hook's type. A mistake of ours refuses, it never forwards."""
        answer = _HOOKS.get(type(hook))
        if answer is None:
            return
        try:
            answer(self, *hook.args())
        except Exception:  # noqa: BLE001  mitmproxy would wait for an answer for ever
            self.hang_up("a hook failed")

    def hang_up(self, why: str) -> None:
        """Break the client's connection."""
        if self.client in self.transports and (task := self.transports[self.client].handler):
            task.cancel(why)

    async def open_connection(self, command: commands.OpenConnection) -> None:
        """Connect to where the engine wants to: to an undeclared host, or to the parent's own proxy."""
        server = command.connection
        if server.address is None:
            raise RuntimeError("the engine names no address")
        self.transports[server] = ConnectionIO(handler=asyncio.current_task())
        server.timestamp_start = time.time()  # the layers read it as "somebody opens this one"
        try:
            reader, writer = await self._open(server.address)
        except OSError as error:
            self.transports.pop(server, None)
            server.error = failure(server.address[0], error).reason
            await self.server_event(events.OpenConnectionCompleted(command, server.error))
            return
        server.state = connection.ConnectionState.OPEN
        server.peername, server.sockname = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        self.transports[server] = ConnectionIO(asyncio.current_task(), reader, writer)
        await self.server_event(events.OpenConnectionCompleted(command, None))
        await self.handle_connection(server)

    async def _open(self, address: tuple[str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        upstream = self.gate.upstream
        opened = await dial(*(upstream.everything_at or address), private=True)  # no secret goes this way
        if upstream.proxy is None or address != upstream.proxy.address:
            return await asyncio.open_connection(sock=opened)
        settings, name = to_parent(upstream.proxy, upstream)
        return await asyncio.open_connection(sock=opened, ssl=settings, server_hostname=name)

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
        elif isinstance(here.layers[-1], tls.ClientTLSLayer):
            data.layer = self._relay(data, self._target, here.layers[-1])
        else:
            data.layer = self._open_tls(data, self._target)

    def _open_tls(self, data: layer.NextLayer, target: Host) -> layer.Layer | None:
        start = data.data_client()  # type: ignore[no-untyped-call]
        if len(start) < 3:  # noqa: PLR2004  the first three bytes of a TLS record tell it apart
            return None
        if start[0] != 0x16 or start[1] != 0x03:  # noqa: PLR2004
            return self._relay(data, target, data)
        return _ClientTLS(data.context)

    def _relay(self, data: layer.NextLayer, target: Host, outermost: layer.Layer) -> layer.Layer:
        """Hand what the child says to the relay; mitmproxy carries it no further than TLS."""
        # What stood before was for the CONNECT, which has been answered.
        self.layer = outermost
        self._child = _Child(self)
        client = self.client
        peer = (client.peername[0], client.peername[1])
        caller = relay.Caller(target, client.sni, client.tls_established, client.alpn == b"h2", peer)
        self._relaying = asyncio.ensure_future(relay.serve(self._child, caller, self.gate, self._reach))
        self._relaying.add_done_callback(self._relayed)
        return _Terminus(data.context, self._child)

    def _relayed(self, task: asyncio.Task[None]) -> None:
        """Break the connection off if the relay failed: nobody else would answer on it."""
        if not task.cancelled() and task.exception() is not None:
            self.hang_up("the relay failed")

    # CONNECT and plain requests.

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Let a caller with the password reach a host, and remember whether it is one of ours."""
        # NOTE: one connection may ask for a second CONNECT after a refused one; nothing of the first may last.
        self._target, self._tunnel, self._options.connection_strategy = None, None, "lazy"
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
            self._tunnel = flow
            # Nothing is decided later for such a host, so its errors belong into the answer to the CONNECT.
            self._options.connection_strategy = "eager"
        self._go_through_parent(flow, target.name)

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        """Present the user's own password to the user's own proxy."""
        parent = self.gate.upstream.proxy_for(flow.request.host)
        if parent and parent.userinfo:
            flow.request.headers["Proxy-Authorization"] = parent_authorization(parent)

    def http_connect_error(self, flow: http.HTTPFlow) -> None:
        """Say in JSON why an undeclared host cannot be reached, and end a connection mitmproxy cannot use again."""
        failed = flow.server_conn.error
        if failed and flow.response is not None and flow.response.status_code == 502:  # noqa: PLR2004  mitmproxy's
            flow.response = _response(_unreachable(failed))
            flow.response.headers["Connection"] = "close"
            flow.metadata[_ERROR] = "upstream_failed"

    def request_headers(self, flow: http.HTTPFlow) -> None:
        """A request to the proxy itself, in the clear: forwarded for undeclared hosts, without any secret."""
        if flow.error is not None:
            return
        method, path, headers = _raw(flow.request)
        target = Host(flow.request.host.lower(), flow.request.port)
        if self._unknown_caller(flow):  # of whom nothing is taken down: it could fill the log
            return
        self._begin(flow, target, path)
        if refused := malformed(method, path, headers):
            refusal: Refusal | None = refused
        elif flow.request.scheme != "http":
            refusal = Refusal("bad_request", "https goes through CONNECT", status=400)
        else:
            refusal = self.gate.live.rules.refuses_plain(target) or misplaced(path, headers)
        if refusal:
            self._refuse(flow, refusal)
        self._go_through_parent(flow, target.name)
        flow.request.stream = flow.response is None
        if flow.response is not None:
            self._record(flow)

    def response_headers(self, flow: http.HTTPFlow) -> None:
        """Let the answer of an undeclared host stream."""
        if flow.response is not None:
            flow.response.stream = True

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
        # If it is spoken to by TLS, `open_connection` does.
        flow.server_conn.via = ("http", parent.address) if parent else None

    # What is told about a request.

    def _begin(self, flow: http.HTTPFlow, target: Host, path: str, decision: str = "pass") -> None:
        """Note a request before anything is done with it, as the client sent it."""
        method = flow.request.data.method.decode("latin-1")
        use = Use(time.time(), method, str(target), path, decision, peer=self.client.peername[:2])
        flow.metadata[_USE] = (use, time.monotonic())

    def _refuse(self, flow: http.HTTPFlow, refusal: Refusal) -> None:
        flow.response = _response(refusal)
        use, begun = flow.metadata[_USE]
        flow.metadata[_USE] = (replace(use, decision=refusal.error, connection=refusal.connection), begun)

    def _record(self, flow: http.HTTPFlow) -> None:
        """Tell of a request that has come to its end; of each once."""
        found = flow.metadata.pop(_USE, None)
        if found is None:
            return
        (use, begun), status = found, flow.response.status_code if flow.response else None
        spent = (time.monotonic() - begun) * 1000
        decision = flow.metadata.get(_ERROR) or use.decision
        self.gate.log.record(
            replace(
                use,
                decision=decision,
                status=status,
                milliseconds=spent,
                sent=self._sent,
                received=self._received,
            )
        )

    # TLS.

    def tls_start_client(self, data: TlsData) -> None:
        """Show the child this run's certificate for the host it asked for."""
        if self._target is None:
            return
        data.ssl_conn = channel.to_client(self.gate.authority.leaf(self._target.name), self.gate.authority.leaf_key)


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
}


# The child's connection, where the relay has it.

_HALF_OPEN_SECONDS = 120.0
_LINGER_SECONDS = 1.0
_LOOK_AFTER_SECONDS = 2.0


@dataclass
class _Said(events.Event):
    """The relay has something to say to the child."""

    data: bytes


class _Ended(events.Event):
    """The relay has said everything."""


class _ClientTLS(tls.ClientTLSLayer):
    """TLS that says goodbye, so that what ends with the connection can be told from what broke (RFC 8446, 6.1)."""

    def send_close(self, command: commands.CloseConnection) -> layer.CommandGenerator[None]:
        """End the connection; mitmproxy leaves the goodbye out."""
        if self.tunnel_state is tunnel.TunnelState.OPEN:
            self.tls.shutdown()
            yield from self.tls_interact()
        yield from super().send_close(command)


class _Terminus(layer.Layer):
    """The end of mitmproxy's way: from here on the relay reads what the child says, and says what it is answered."""

    def __init__(self, here: context.Context, child: "_Child") -> None:
        super().__init__(here)
        self._child = child

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        client = self.context.client
        if isinstance(event, _Said):
            yield commands.SendData(client, event.data)
        elif isinstance(event, _Ended):
            yield commands.CloseTcpConnection(client, half_close=True)
        elif isinstance(event, events.DataReceived):
            self._child.feed(event.data)
        elif isinstance(event, events.ConnectionClosed):
            self._child.hear_no_more()


class _Child(Pipe):
    """The relay's end of the child's connection.

    Attributes:
        readable: Set while more may be read from the child.
    """

    def __init__(self, handler: _Handler) -> None:
        super().__init__()
        self._handler = handler
        self._spoken = self._looking = False
        self._goodbye: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self.readable = asyncio.Event()
        self.readable.set()

    def _brake(self) -> None:
        self.readable.clear()
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_LOOK_AFTER_SECONDS, self._look_after)

    def _look_after(self) -> None:
        """Notice that a child which is not read from has gone; nothing but reading would tell otherwise."""
        self._looking = False
        way = self._handler.transports.get(self._handler.client)
        if self.readable.is_set() or way is None or not isinstance(way.writer, asyncio.StreamWriter):
            return
        looking = select.poll()
        looking.register(way.writer.get_extra_info("socket").fileno(), 0)
        if looking.poll(0):  # an error or a reset, which is all that is looked for
            self.abort()
        else:
            self._brake()

    def _release(self) -> None:
        self.readable.set()

    def hear_no_more(self) -> None:
        """Take note that the child says no more: it has hung up, or it has ended its side and still listens."""
        self.feed_end()
        way = self._handler.transports.get(self._handler.client)
        if way is None or not isinstance(way.writer, asyncio.StreamWriter) or way.writer.is_closing():
            self.abort()
        else:
            self.expect_goodbye()

    def expect_goodbye(self) -> None:
        """Give a child that says no more some time to be answered.

        One that has closed its socket looks the same as one that still listens, until something is sent to it.
        """
        self._spoken = False
        self.expect_nothing()
        self._goodbye = asyncio.get_running_loop().call_later(_HALF_OPEN_SECONDS, self._say_goodbye)

    def expect_nothing(self) -> None:
        """Take note that it has been answered."""
        if self._goodbye is not None:
            self._goodbye.cancel()

    def _say_goodbye(self) -> None:
        if self._spoken:
            self.expect_goodbye()
        else:
            self.abort()

    async def _send(self, data: bytes, *, wait: bool) -> None:
        handler, self._spoken = self._handler, True
        await handler.server_event(_Said(data))
        way = handler.transports.get(handler.client)
        if way is None or not isinstance(way.writer, asyncio.StreamWriter) or way.writer.is_closing():
            raise Gone
        if way.writer.transport.get_write_buffer_size() > FLOODED:
            self.abort()
            raise Gone
        if wait:
            try:
                await way.writer.drain()
            except OSError:
                raise Gone from None

    def feed(self, data: bytes) -> None:
        """Take what the child has sent; once it has been answered for the last time, nobody wants it."""
        if self._closing is None:
            super().feed(data)

    def close(self) -> None:
        """End the connection; what was flushed still arrives.

        What is unread when a socket closes would cost the child its answer, so it is read for a moment.
        """
        if self._closing is None:
            self._release()
            self._closing = asyncio.ensure_future(self._handler.server_event(_Ended()))
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, self.abort)

    def abort(self) -> None:
        """Break the connection, without the goodbye of TLS (RFC 8446, 6.1)."""
        self._handler.hang_up("broken off")


# Plain requests to undeclared hosts.


class _HttpLayer(http_layers.HttpLayer):
    """HTTP whose streams can be refused before their body and answer errors in JSON."""

    def __init__(self, here: context.Context, mode: http_layers.HTTPMode) -> None:
        super().__init__(here, mode)
        self.connections[here.client] = _Server(here.fork())

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        here = self.context.fork()
        self.streams[stream_id] = _Stream(here, stream_id)
        yield from self.event_to_child(self.streams[stream_id], events.Start())


class _Server(Http1Server):
    """The child's plain requests. One that is none is refused in JSON, and not quoted."""

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        refusal = _response(message.malformed("this is no request to a proxy"))
        refused: bytes = http1.assemble_response(refusal)  # type: ignore[no-untyped-call]
        for command in super().read_headers(event):
            is_page = isinstance(command, commands.SendData)  # mitmproxy's own, about what it could not read
            yield commands.SendData(self.conn, refused) if is_page else command


class _Stream(http_layers.HttpStream):
    """One request and its response."""

    def handle_connect_regular(self) -> layer.CommandGenerator[None]:
        """Go through the parent's proxy where there is one; to a declared host only once a request is permitted."""
        tunnelled = self.context.options.connection_strategy == "eager"
        if tunnelled and self.context.server.via and not self.flow.response:
            yield from self.handle_connect_upstream()  # type: ignore[no-untyped-call]
        else:
            yield from super().handle_connect_regular()  # type: ignore[no-untyped-call]

    def check_killed(self, emit_error_hook: bool) -> layer.CommandGenerator[bool]:
        """Answer a refusal at once: mitmproxy would first keep the whole body."""
        if (yield from super().check_killed(emit_error_hook)):
            return True
        undecided = self.client_state == self.state_wait_for_request_headers
        if emit_error_hook and undecided and self.flow.response is not None:
            yield from self._answer(self.flow.response)
            return True
        return False

    def handle_protocol_error(
        self, event: _events.RequestProtocolError | _events.ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        """Answer for an upstream that cannot be reached with a 502 in JSON, as long as nothing was answered."""
        unanswered = self.flow.response is None and self.client_state != self.state_errored
        if isinstance(event, _events.ResponseProtocolError) and unanswered and self.context.client.connected:
            reached = event.code is not _events.ErrorCode.CONNECT_FAILED
            refusal = broken_off(self.flow.request.host) if reached else _unreachable(event.message)
            self.flow.response = _response(refusal)
            self.flow.metadata[_ERROR] = refusal.error
            yield _hooks.HttpErrorHook(self.flow)
            yield from self._answer(self.flow.response)
        else:
            yield from super().handle_protocol_error(event)

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


_USE, _ERROR = "authsome use", "authsome error"


def _raw(request: http.Request) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Return method, path and headers octet by octet, names in lower case; decoding could hide what will be sent."""
    fields = request.headers.fields
    headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in fields)
    return request.data.method.decode("latin-1"), request.data.path.decode("latin-1"), headers


def _response(refusal: Refusal) -> http.Response:
    fields, content = message.in_json(refusal)
    return http.Response.make(refusal.status, content, fields.pairs)


def _unreachable(reason: str) -> Refusal:
    return Refusal("upstream_failed", reason, "check the network and HTTPS_PROXY", status=502)
