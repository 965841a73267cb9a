"""The real proxy between an origin that follows a script and clients that read what arrives as it is framed.

A script is a function that gets one connection and does with it whatever an origin can do wrong or right. What a script
asserts fails the test; that its connection ends is no failure.
"""

import contextlib
import datetime
import json
import select
import socket
import ssl
import struct
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import trustme

from authsome.manifest import Declared
from authsome.provider import ApiKey, Definition, resolve
from authsome.proxy import Log, Proxy, upstream
from authsome.proxy.authority import Authority
from authsome.rules import Use, make
from authsome.session import Session

SECRET = "CANARY-stage-key"
PATIENCE = 5.0
"""Seconds after which a test takes what did not come for missing."""

type Fields = list[tuple[str, str]]


class EndedError(OSError):
    """The other side ended the connection in the middle of what was read."""


@dataclass
class Message:
    """A request or an answer, as far as it came; `complete` only where its own framing says that this was all."""

    line: str
    headers: Fields
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    complete: bool = True
    interim: list[int] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def chunked(self) -> bool:
        return self.values("transfer-encoding")[-1:] == ["chunked"]

    @property
    def refusal(self) -> str:
        """The word of a refusal of the proxy's own."""
        assert self.complete, self
        return str(json.loads(self.body)["error"])


class Pipe:
    """One end of a TLS connection that carries HTTP/1.1 or what an upgrade made of it."""

    def __init__(self, opened: ssl.SSLSocket) -> None:
        self.opened = opened
        self._read = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self.opened.sendall(data)

    def pour(self, data: bytes) -> int:
        """Send until all is sent or the other side says something; return how much was sent.

        NOTE: one thread does both, because OpenSSL takes no reading and writing at once.
        """
        view, sent = memoryview(data), 0
        patience = self.opened.gettimeout()
        self.opened.settimeout(0)
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            while sent < len(view):
                try:
                    sent += self.opened.send(view[sent : sent + (1 << 16)])
                except ssl.SSLWantWriteError:
                    select.select([self.opened], [self.opened], [], patience)
                if select.select([self.opened], [], [], 0)[0] and self._overhears():
                    break
        self.opened.settimeout(patience)
        return sent

    def _overhears(self) -> bool:
        try:
            block = self.opened.recv(1 << 16)
        except ssl.SSLWantReadError:
            return False
        self._read += block
        return True

    def trickle(self, data: bytes, pause: float = 0.002) -> None:
        for octet in data:
            self.send(bytes([octet]))
            time.sleep(pause)

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._say_goodbye()
        self.opened.close()

    def half_close(self) -> None:
        """End the sending side, for TLS and for TCP; reading goes on."""
        self._say_goodbye()
        socket.socket.shutdown(self.opened, socket.SHUT_WR)

    def _say_goodbye(self) -> None:
        patience = self.opened.gettimeout()
        self.opened.settimeout(0)
        with contextlib.suppress(ssl.SSLError):  # the other side may still be sending
            self.opened.unwrap()
        if self.opened.fileno() >= 0:
            self.opened.settimeout(patience)

    def reset(self) -> None:
        """End the connection as a machine that was switched off and on again does."""
        self.opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.opened.close()

    def _more(self) -> None:
        try:
            block = self.opened.recv(1 << 16)
        except (ssl.SSLError, ConnectionError) as error:
            raise EndedError("broken off") from error
        if not block:
            raise EndedError("ended")
        self._read += block

    def _take(self, size: int) -> bytes:
        taken = bytes(self._read[:size])
        del self._read[:size]
        return taken

    def some(self) -> bytes:
        """Return what is there, at least one octet."""
        if not self._read:
            self._more()
        return self._take(len(self._read))

    def exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        return self._take(size)

    def until(self, mark: bytes) -> bytes:
        while (end := self._read.find(mark)) < 0:
            self._more()
        return self._take(end + len(mark))

    def rest(self) -> tuple[bytes, bool]:
        """Return everything up to the end, and whether the end was announced and not a break."""
        try:
            while True:
                self._more()
        except EndedError as ended:
            return self._take(len(self._read)), str(ended) == "ended"

    def ended(self) -> bool:
        """Whether the other side ends the connection without another octet."""
        return self.rest()[0] == b""

    def _fields(self) -> Fields:
        found: Fields = []
        while (line := self.until(b"\r\n")) != b"\r\n":
            name, _, value = line.decode("latin-1").partition(":")
            found.append((name.lower(), value.strip()))
        return found

    def head(self) -> Message:
        line = self.until(b"\r\n").decode("latin-1").rstrip()
        return Message(line, self._fields())

    def request(self) -> Message:
        found = self.head()
        self.body_of(found, unframed=b"")
        assert found.complete, found
        return found

    def body_of(self, found: Message, *, unframed: bytes | None = None) -> None:
        """Read a body as its head frames it; without a frame it is what `unframed` says, or all up to the end."""
        try:
            if found.chunked:
                self._chunks(found)
            elif lengths := found.values("content-length"):
                self._sized(found, int(lengths[0]))
            elif unframed is None:
                found.body, found.complete = self.rest()
            else:
                found.body = unframed
        except EndedError:
            found.complete = False

    def _chunks(self, found: Message) -> None:
        body = bytearray()
        try:
            while size := int(self.until(b"\r\n").partition(b";")[0], 16):
                body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            found.trailers = self._fields()
        finally:
            found.body = bytes(body)

    def _sized(self, found: Message, size: int) -> None:
        try:
            found.body = self.exactly(size)
        except EndedError:
            found.body = self._take(len(self._read))
            raise

    def answer(self, method: str = "GET") -> Message:
        """Read one answer, and the interim ones before it."""
        found, interim = self.head(), []
        while found.status < 200 and found.status != 101:
            interim.append(found.status)
            found = self.head()
        found.interim = interim
        if found.status not in (101, 204, 304) and method != "HEAD":
            self.body_of(found)
        return found

    def ask(self, path: str = "/", *headers: str, method: str = "GET", body: bytes = b"") -> Message:
        """Send a request and read the answer."""
        self.send(request(path, *headers, method=method, body=body))
        return self.answer(method)


def request(path: str = "/", *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    """Return a request to the origin; its host is filled in by what the name of the stage is."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost:PORT", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def ok(body: bytes = b"ok", *headers: str, status: str = "200 OK") -> bytes:
    """Return an answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Line(Pipe):
    """A client's connection; where a request says `localhost:PORT`, it says the origin's port."""

    def __init__(self, opened: ssl.SSLSocket, port: int) -> None:
        super().__init__(opened)
        self._port = str(port).encode()

    def send(self, data: bytes) -> None:
        super().send(
            data.replace(b"localhost:PORT", b"localhost:" + self._port, 1) if b"PORT" in data[: 1 << 14] else data
        )


class Http2:
    """One end of an HTTP/2 connection. What arrived stays until somebody waits for it."""

    def __init__(self, opened: ssl.SSLSocket, *, client: bool, acknowledge: bool = True, validate: bool = True) -> None:
        self.opened, self._acknowledge = opened, acknowledge
        settings = h2.config.H2Configuration(
            client_side=client, header_encoding="latin-1", validate_inbound_headers=validate
        )
        self.protocol = h2.connection.H2Connection(settings)
        self.protocol.initiate_connection()
        self._arrived: list[h2.events.Event] = []
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.opened.close()

    def flush(self) -> None:
        self.opened.sendall(self.protocol.data_to_send())

    def read(self) -> None:
        """Take in what arrives next."""
        try:
            block = self.opened.recv(1 << 16)
        except (ssl.SSLError, ConnectionError) as error:
            raise EndedError("broken off") from error
        if not block:
            raise EndedError("ended")
        for event in self.protocol.receive_data(block):
            self._arrived.append(event)
            if self._acknowledge and isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id or 0)
        self.flush()

    def arrived[Kind: h2.events.Event](self, kind: type[Kind], stream: int | None = None) -> Kind | None:
        """Take the first event of a kind that is there already."""
        for event in self._arrived:
            if isinstance(event, kind) and (stream is None or getattr(event, "stream_id", None) == stream):
                self._arrived.remove(event)
                return event
        return None

    def wait[Kind: h2.events.Event](self, kind: type[Kind], stream: int | None = None) -> Kind:
        """Take the first event of a kind, on a stream or on any."""
        while (found := self.arrived(kind, stream)) is None:
            self.read()
        return found

    def ask(self, path: str, *, method: str = "GET", end: bool = True, **headers: str) -> int:
        """Begin a request and return its stream."""
        stream = self.protocol.get_next_available_stream_id()
        pseudo = {":method": method, ":scheme": "https", ":authority": "localhost", ":path": path}
        pseudo[":authority"] += f":{self.authority_port}" if self.authority_port else ""
        self.protocol.send_headers(stream, list((pseudo | headers).items()), end_stream=end)
        self.flush()
        return stream

    authority_port = 0

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send data as fast as the other side's windows let it; a stream that was given up meanwhile has ended."""
        try:
            while data or end:
                size = min(self.protocol.local_flow_control_window(stream), self.protocol.max_outbound_frame_size)
                if size <= 0 and data:
                    self.read()
                    continue
                last = end and size >= len(data)
                self.protocol.send_data(stream, data[:size], end_stream=last)
                data = data[size:]
                self.flush()
                end = end and not last
        except h2.exceptions.StreamClosedError as error:
            raise EndedError("given up") from error

    def answer(self, stream: int) -> Message:
        """Read one answer to its end or to its break."""
        interim: list[int] = []
        found: Message | None = None
        body = bytearray()
        while True:
            self._take_interim(stream, interim)
            if found is None and (head := self.arrived(h2.events.ResponseReceived, stream)):
                found = _message(head.headers, interim)
            while data := self.arrived(h2.events.DataReceived, stream):
                body += data.data or b""
            if found and (trailers := self.arrived(h2.events.TrailersReceived, stream)):
                found.trailers = text(trailers.headers)
            if ended := self._end_of(stream):
                found = found or Message("HTTP/2 0", [])
                found.body, found.complete = bytes(body), ended == "ended"
                return found
            try:
                self.read()
            except EndedError:
                found = found or Message("HTTP/2 0", [])
                found.body, found.complete = bytes(body), False
                return found

    def _take_interim(self, stream: int, interim: list[int]) -> None:
        while early := self.arrived(h2.events.InformationalResponseReceived, stream):
            interim.append(int(dict(text(early.headers))[":status"]))

    def _end_of(self, stream: int) -> str:
        if self.arrived(h2.events.StreamEnded, stream):
            return "ended"
        gone = self.arrived(h2.events.StreamReset, stream) or self.arrived(h2.events.ConnectionTerminated)
        return "broken off" if gone else ""


def text(headers: Any) -> Fields:
    """Return an event's headers as the text they were decoded to."""
    return [(str(name), str(value)) for name, value in headers or ()]


def _message(headers: Any, interim: list[int]) -> Message:
    fields = text(headers)
    return Message(f"HTTP/2 {dict(fields)[':status']}", fields, interim=interim)


def start_proxy(port: int, roots: Path, failed: Callable[[BaseException], None], log: Log) -> tuple[str, str]:
    """Start the proxy of a run with one rule, for a port of `localhost`; return its address and what to trust."""
    provider = resolve(Definition("local", f"https://localhost:{port}", api_key=ApiKey(header_name="X-Key")))
    rules = make([Declared(provider)], lambda _: True)
    session = Session({("local", "default"): {"api_key": SECRET}})
    authority = Authority(frozenset({"localhost"}), datetime.datetime.now(datetime.UTC))
    proxy = Proxy(rules, session, authority, upstream.read({"SSL_CERT_FILE": str(roots)}))
    proxy.start(failed, log)
    return proxy.url, authority.pem


type Script = Callable[[Pipe, int], None]
"""What an origin does with one connection; the first has the number 0."""


class Stage:
    """One run's proxy and the origin that its one rule leads to."""

    def __init__(self, folder: Path, script: Script | None = None, speaks: str = "http/1.1") -> None:
        self.script, self._speaks = script, speaks
        self.failed: list[BaseException] = []
        self.uses: list[Use] = []
        self.connections = 0
        self._counting = threading.Lock()
        authority = trustme.CA()
        roots = folder / "roots.pem"
        authority.cert_pem.write_to_path(roots)
        self._settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self._settings)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        self._start(roots)

    def _start(self, roots: Path) -> None:
        self.url, self.trust = start_proxy(self.port, roots, self.failed.append, self)

    # What the proxy tells of itself: see `authsome.proxy.Log`.

    def opened(self, peer: tuple[str, int]) -> None: ...

    def closed(self, peer: tuple[str, int]) -> None: ...

    def record(self, use: Use) -> None:
        self.uses.append(use)

    # The origin.

    def play(self, script: Script, speaks: str = "http/1.1") -> None:
        """Decide what the origin does with each connection from now on, and which protocols it offers."""
        self.script, self._speaks = script, speaks

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(PATIENCE)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._settings.set_alpn_protocols(self._speaks.split())
        with contextlib.suppress(OSError):
            opened = self._settings.wrap_socket(client, server_side=True, suppress_ragged_eofs=False)
            with self._counting:
                number, self.connections = self.connections, self.connections + 1
            assert self.script is not None
            with Pipe(opened) as pipe:
                try:
                    self.script(pipe, number)
                except OSError:
                    pass
                except BaseException as error:  # noqa: BLE001  told to the test, which runs in another thread
                    self.failed.append(error)

    # Clients.

    def _tunnel(self, alpn: str) -> ssl.SSLSocket:
        return tunnel(self.url, self.trust, self.port, alpn)

    def line(self) -> Line:
        """Open a client's connection for HTTP/1.1."""
        return Line(self._tunnel("http/1.1"), self.port)

    def http2(self, *, acknowledge: bool = True) -> Http2:
        """Open a client's connection for HTTP/2."""
        made = Http2(self._tunnel("h2"), client=True, acknowledge=acknowledge)
        made.authority_port = self.port
        return made

    def frames(self) -> Pipe:
        """Open a client's connection for HTTP/2 on which nothing has been said yet."""
        return Pipe(self._tunnel("h2"))

    def close(self) -> None:
        self._listener.close()
        if self.failed:
            raise self.failed[0]


def tunnel(url: str, trust: str, port: int, alpn: str) -> ssl.SSLSocket:
    """Open a TLS connection through a proxy to a port of `localhost`."""
    plain = socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0), timeout=PATIENCE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    plain.sendall(opening(url, port))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = plain.recv(1)
        assert octet, head
        head += octet
    assert head.startswith(b"HTTP/1.1 200"), head
    return trusting(trust, alpn).wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)


def opening(url: str, port: int) -> bytes:
    """Return what asks a proxy for a connection to a port of `localhost`."""
    proxy, target = urlsplit(url), f"localhost:{port}"
    password = b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", f"Proxy-Authorization: Basic {password}", "", ""]
    return "\r\n".join(lines).encode()


def trusting(trust: str, alpn: str) -> ssl.SSLContext:
    settings = ssl.create_default_context(cadata=trust)
    settings.set_alpn_protocols([alpn])
    return settings


def answering(answer: Callable[[Message], bytes]) -> Script:
    """Return a script that answers each request on its connection."""

    def play(pipe: Pipe, _: int) -> None:
        while True:
            pipe.send(answer(pipe.request()))

    return play


def soon(holds: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether something comes true within some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return holds()


# WebSocket frames, by RFC 6455, 5.2.


def frame(opcode: int, payload: bytes, *, end: bool = True, mask: bool = False) -> bytes:
    size, flag = len(payload), 0x80 if mask else 0
    if size < 126:
        length = bytes([flag | size])
    elif size < 1 << 16:
        length = bytes([flag | 126]) + size.to_bytes(2)
    else:
        length = bytes([flag | 127]) + size.to_bytes(8)
    if mask:
        key = b"\x11\x22\x33\x44"
        whole = int.from_bytes((key * (size // 4 + 1))[:size])
        payload = key + (int.from_bytes(payload) ^ whole).to_bytes(size)
    return bytes([(0x80 if end else 0) | opcode]) + length + payload


def read_frame(pipe: Pipe) -> tuple[int, bool, bytes]:
    """Return opcode, whether it ends its message, and the payload."""
    first, second = pipe.exactly(2)
    size = second & 0x7F
    if size > 125:
        size = int.from_bytes(pipe.exactly(2 if size == 126 else 8))
    key = pipe.exactly(4) if second & 0x80 else b""
    payload = pipe.exactly(size)
    if key:
        whole = int.from_bytes((key * (size // 4 + 1))[:size])
        payload = (int.from_bytes(payload) ^ whole).to_bytes(size)
    return first & 0x0F, bool(first & 0x80), payload


def read_message(pipe: Pipe) -> tuple[int, bytes]:
    """Return opcode and payload of a whole message, or of a control frame."""
    opcode, ends, payload = read_frame(pipe)
    while not ends:
        following, ends, more = read_frame(pipe)
        assert following == 0, "a control frame within a message is not expected here"
        payload += more
    return opcode, payload


def each_until_ended[Read](read: Callable[[], Read]) -> Iterator[Read]:
    """Yield what is read until the other side ends the connection."""
    while True:
        try:
            yield read()
        except EndedError:
            return
