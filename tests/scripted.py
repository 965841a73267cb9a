"""An origin that says what a test scripts, octet by octet where it has to, and keeps all that reached it.

It serves every name over TLS on loopback, HTTP/1.1 and HTTP/2, and answers a request in the protocol it came in.
"""

import contextlib
import datetime
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import trustme

from octets import Arrived, Fields, read

UNTRUSTED, MISNAMED, EXPIRED, ALONE = (f"{name}.example" for name in ("untrusted", "misnamed", "expired", "alone"))
"""Names whose certificate is signed by nobody who is trusted, is for another name, has expired, or signs itself."""

_PATIENCE = 10.0
_APART = 0.002
"""Seconds between two pieces of an answer, so that they are not read as one."""


@dataclass(frozen=True)
class Reply:
    """What the origin answers.

    Attributes:
        pieces: The body, each piece written by itself.
        interim: The fields of each 103 before the answer.
        sized: Whether HTTP/1.1 says the body's length beforehand; otherwise it is in chunks, one for each piece.
        exact: Whether names go out over HTTP/2 as they are, although it has lower case only.
        raw: All octets of an HTTP/1.1 answer, instead of everything else.
        then: What is said on the connection afterwards; it is closed when that is done.
    """

    pieces: Iterable[bytes] = ()
    headers: Fields = ()
    status: int = 200
    trailers: Fields = ()
    interim: tuple[Fields, ...] = ()
    sized: bool = False
    exact: bool = False
    raw: Iterable[bytes] | None = None
    then: Callable[[ssl.SSLSocket], None] | None = None

    def head(self) -> bytes:
        """Return the answer's head as HTTP/1.1 writes it."""
        interim = b"".join(b"HTTP/1.1 103 Early Hints\r\n" + _lines(fields) for fields in self.interim)
        framing: Fields = ((b"Transfer-Encoding", b"chunked"),)
        if self.sized:
            framing = ((b"Content-Length", b"%d" % sum(map(len, self.pieces))),)
        return interim + b"HTTP/1.1 %d Said\r\n" % self.status + _lines((*self.headers, *framing))


type Script = Callable[[Arrived], Reply]


def ok(_: Arrived) -> Reply:
    return Reply((b"ok",), sized=True)


@dataclass
class Carried:
    """What one connection brought."""

    name: str | None = None
    protocol: str = ""
    octets: bytearray = field(default_factory=bytearray)


class Origin:
    """Serves; `script` answers each complete request and may be replaced at any time."""

    def __init__(self, folder: Path) -> None:
        self.roots = folder / "roots.pem"
        self._settings = _settings(self.roots)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.script: Script = ok
        self.arrived: list[Arrived] = []
        self.carried: list[Carried] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        self.script = ok
        self.arrived.clear()
        self.carried.clear()

    def octets(self) -> bytes:
        """Return all that arrived on all connections, within TLS."""
        return b"\n".join(bytes(each.octets) for each in self.carried)

    def close(self) -> None:
        # To close it would leave it listening for as long as a thread waits in `accept`.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def answer(self, request: Arrived) -> Reply:
        self.arrived.append(request)
        return self.script(request)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        carried = Carried()
        with contextlib.suppress(OSError), client:
            client.settimeout(_PATIENCE)
            if client.recv(1, socket.MSG_PEEK) != b"\x16":
                self.carried.append(carried)
                carried.protocol = "plain"
                _speak_http1(self, client, carried)
                return
            with self._settings.wrap_socket(client, server_side=True) as opened:
                carried.name = getattr(opened, "_asked", None)
                carried.protocol = opened.selected_alpn_protocol() or "http/1.1"
                self.carried.append(carried)
                (_speak_http2 if carried.protocol == "h2" else _speak_http1)(self, opened, carried)
                opened.settimeout(1)
                opened.unwrap()


def _speak_http1(origin: Origin, opened: socket.socket, carried: Carried) -> None:
    answered = 0
    while block := opened.recv(1 << 16):
        carried.octets += block
        requests, _ = read(bytes(carried.octets))
        for request in requests[answered:]:
            answered += 1
            reply = origin.answer(request)
            for piece in _written(reply) if reply.raw is None else reply.raw:
                opened.sendall(piece)
                time.sleep(_APART)
            if reply.raw is not None or reply.then is not None:
                if reply.then is not None and isinstance(opened, ssl.SSLSocket):
                    reply.then(opened)
                return


def _written(reply: Reply) -> Iterator[bytes]:
    yield reply.head()
    if reply.sized:
        yield from reply.pieces
        return
    for piece in reply.pieces:
        yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n" + _lines(reply.trailers)


def _lines(fields: Fields) -> bytes:
    return b"".join(b"%s: %s\r\n" % each for each in fields) + b"\r\n"


class Http2:
    """One side of HTTP/2 by hand: nothing is checked or mended on its way out or in."""

    def __init__(self, opened: ssl.SSLSocket, *, client: bool, seen: Callable[[bytes], None]) -> None:
        settings = h2.config.H2Configuration(
            client_side=client,
            header_encoding=None,
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_inbound_headers=False,
            normalize_outbound_headers=False,
            split_outbound_cookies=False,
        )
        self.protocol = h2.connection.H2Connection(settings)
        self.protocol.initiate_connection()
        self._opened, self._seen = opened, seen
        self._events: deque[h2.events.Event] = deque()
        self.flush()

    def flush(self) -> None:
        self._opened.sendall(self.protocol.data_to_send())

    def event(self) -> h2.events.Event | None:
        """Return what happens next, None at the end of the connection."""
        while not self._events:
            if not self._read():
                return None
        return self._events.popleft()

    def _read(self) -> bool:
        block = self._opened.recv(1 << 16)
        self._seen(block)
        if block:
            for event in self.protocol.receive_data(block):
                if isinstance(event, h2.events.DataReceived):
                    self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._events.append(event)
            self.flush()
        return bool(block)

    def say(self, stream: int, fields: Fields, *, end: bool = False) -> None:
        self.protocol.send_headers(stream, list(fields), end_stream=end)
        self.flush()

    def write(self, stream: int, data: bytes) -> None:
        """Send data as frames, as large as the other side takes them."""
        while data:
            room = min(self.protocol.local_flow_control_window(stream), self.protocol.max_outbound_frame_size)
            if room:
                self.protocol.send_data(stream, data[:room])
                self.flush()
                data = data[room:]
            elif not self._read():
                return

    def end(self, stream: int, trailers: Fields = ()) -> None:
        if trailers:
            self.protocol.send_headers(stream, list(trailers), end_stream=True)
        else:
            self.protocol.end_stream(stream)
        self.flush()


def pairs(headers: Any) -> Fields:
    """Return what a library takes for headers as they were."""
    return tuple((bytes(name), bytes(value)) for name, value in headers)


def _speak_http2(origin: Origin, opened: ssl.SSLSocket, carried: Carried) -> None:
    side = Http2(opened, client=False, seen=carried.octets.extend)
    heads: dict[int, Fields] = {}
    ends: dict[int, Fields] = {}
    bodies: dict[int, bytes] = {}
    with contextlib.suppress(h2.exceptions.ProtocolError):
        while (event := side.event()) is not None:
            if isinstance(event, h2.events.RequestReceived):
                heads[event.stream_id] = pairs(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
            elif isinstance(event, h2.events.TrailersReceived):
                ends[event.stream_id] = pairs(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                stream = event.stream_id
                pseudo = dict(heads[stream])
                fields = tuple((name, value) for name, value in heads[stream] if name not in (b":method", b":path"))
                method, path = pseudo[b":method"], pseudo[b":path"]
                request = Arrived(method, path, fields, bodies.get(stream, b""), ends.get(stream, ()))
                _say(side, stream, origin.answer(request))


def _say(side: Http2, stream: int, reply: Reply) -> None:
    for fields in reply.interim:
        side.say(stream, ((b":status", b"103"), *_lowered(fields)))
    side.say(stream, ((b":status", b"%d" % reply.status), *(reply.headers if reply.exact else _lowered(reply.headers))))
    for piece in reply.pieces:
        side.write(stream, piece)
        time.sleep(_APART)
    side.end(stream, _lowered(reply.trailers))


def _lowered(fields: Fields) -> Fields:
    return tuple((name.lower(), value) for name, value in fields)


def _settings(roots: Path) -> ssl.SSLContext:
    """Return settings that show each name its certificate; the root to trust is written to `roots`."""
    trusted, unknown = trustme.CA(), trustme.CA()
    trusted.cert_pem.write_to_path(str(roots))
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    bad = {
        UNTRUSTED: _shown(unknown.issue_cert(UNTRUSTED)),
        MISNAMED: _shown(trusted.issue_cert("wrong.example", f"not-{MISNAMED}", f"{MISNAMED}.wrong.example")),
        EXPIRED: _shown(trusted.issue_cert(EXPIRED, not_after=past)),
        ALONE: _alone(),
    }
    made: dict[str, ssl.SSLContext] = {}

    def choose(opened: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        asked = name or "localhost"
        opened._asked = name  # type: ignore[union-attr]  # noqa: SLF001  there is no other way to learn it
        if asked not in bad and asked not in made:
            made[asked] = _shown(trusted.issue_cert(asked))
        opened.context = bad.get(asked) or made[asked]

    chosen = _shown(trusted.issue_cert("localhost", "127.0.0.1"))
    chosen.sni_callback = choose
    return chosen


def _shown(certificate: trustme.LeafCert) -> ssl.SSLContext:
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.set_alpn_protocols(["h2", "http/1.1"])
    certificate.configure_cert(settings)
    return settings


def _alone() -> ssl.SSLContext:
    """Return settings with a certificate that is its own root."""
    authority = trustme.CA(organization_name=ALONE)
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.private_key_pem.tempfile() as key, authority.cert_pem.tempfile() as certificate:
        settings.load_cert_chain(certificate, key)
    return settings
