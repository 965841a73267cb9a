"""A client without an HTTP library in the way: it sends what a test wants sent, over HTTP/1.1 and HTTP/2."""

import contextlib
import json
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

import h2.events
import h2.exceptions
import h11

from octets import Fields
from scripted import Http2, pairs

PATIENCE = 5.0


@dataclass
class Answer:
    """What came back; `octets` is all of it, readable, also what no parser takes for an answer.

    Attributes:
        status: None if the other side hung up or ended the stream without one.
        complete: Whether its end arrived too.
    """

    status: int | None = None
    reason: bytes = b""
    headers: Fields = ()
    body: bytes = b""
    trailers: Fields = ()
    interim: list[Fields] = field(default_factory=list)
    complete: bool = False
    octets: bytes = b""

    @property
    def error(self) -> str:
        """The word of a refusal, and that all of it says the same; `none` for another answer."""
        said = dict(self.headers).get(b"x-authsome-error")
        if said is None:
            return "none"
        body = json.loads(self.body)
        assert body["error"] == said.decode(), self
        assert body["reason"], self
        return str(body["error"])

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key.lower() == name]


class Client:
    """Opens connections through a proxy."""

    def __init__(self, proxy: str, roots: Iterable[str]) -> None:
        url = urlsplit(proxy)
        self.address = (url.hostname or "", url.port or 0)
        self.userinfo = f"{url.username}:{url.password}"
        self.password = b64encode(self.userinfo.encode())
        self.roots = "\n".join(roots)

    def dial(self) -> socket.socket:
        opened = socket.create_connection(self.address, timeout=PATIENCE)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def ask_proxy(self, head: bytes, *more: bytes, method: str = "GET", body: bytes = b"") -> Answer:
        """Send a request to the proxy itself, with the password unless `more` has one or is empty text."""
        fields = more or (b"Proxy-Authorization: Basic " + self.password,)
        with self.dial() as opened:
            opened.sendall(b"\r\n".join([head, *(line for line in fields if line), b"", b""]) + body)
            return _receive(opened, method)

    def tunnel(self, target: str) -> tuple[socket.socket, Answer]:
        """Ask for a way to a host; on 200 the socket leads there."""
        opened = self.dial()
        lines = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic ".encode()
        opened.sendall(lines + self.password + b"\r\n\r\n")
        return opened, _receive(opened, "CONNECT")

    def open(self, target: str, protocol: str = "http/1.1", sni: str | None = None) -> "Connection":
        """Return a connection to a host, TLS in it asking for `sni`, or for the host."""
        plain, answer = self.tunnel(target)
        assert answer.status == 200, answer
        settings = ssl.create_default_context(cadata=self.roots)
        settings.check_hostname = sni is None
        settings.set_alpn_protocols([protocol])
        name = target.partition(":")[0] if sni is None else sni
        opened = settings.wrap_socket(plain, server_hostname=name or None)
        assert opened.selected_alpn_protocol() == protocol
        return (_Http2 if protocol == "h2" else Connection)(opened, target)


class Connection:
    """HTTP/1.1 to one host."""

    protocol = "http/1.1"

    def __init__(self, opened: ssl.SSLSocket, host: str) -> None:
        self.opened, self.host = opened, host

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.opened.close()

    def send(self, method: str, path: str, headers: Fields, body: bytes, authority: str | None = None) -> None:
        """Send a request without waiting for its answer."""
        length = ((b"Content-Length", b"%d" % len(body)),) if body else ()
        fields = ((b"Host", (authority or self.host).encode()), *length, *headers)
        lines = b"".join(b"%s: %s\r\n" % each for each in fields)
        self.opened.sendall(f"{method} {path} HTTP/1.1\r\n".encode("latin-1") + lines + b"\r\n" + body)

    def ask(
        self,
        method: str = "GET",
        path: str = "/",
        headers: Fields = (),
        body: bytes = b"",
        authority: str | None = None,
    ) -> Answer:
        self.send(method, path, headers, body, authority)
        return _receive(self.opened, method)

    def ask_octets(self, octets: bytes) -> Answer:
        """Send octets as they are, and end the sending side."""
        with contextlib.suppress(OSError):
            self.opened.sendall(octets)
        return _receive(self.opened, octets.partition(b" ")[0].decode("latin-1"))

    def pieces(self) -> Iterator[bytes]:
        """Yield an answer's body as it comes."""
        return (bytes(event.data) for event in _events(self.opened, "GET", Answer()) if isinstance(event, h11.Data))


class _Http2(Connection):
    """HTTP/2 to one host, one request after the other."""

    protocol = "h2"

    def __init__(self, opened: ssl.SSLSocket, host: str) -> None:
        super().__init__(opened, host)
        self.side = Http2(opened, client=True, seen=lambda _: None)
        self._stream = 1

    def send(self, method: str, path: str, headers: Fields, body: bytes, authority: str | None = None) -> None:
        names = (method, "https", authority or self.host, path)
        pseudo = zip(
            (b":method", b":scheme", b":authority", b":path"), (n.encode("latin-1") for n in names), strict=True
        )
        self._send((*pseudo, *((name.lower(), value) for name, value in headers)), body)

    def _send(self, fields: Fields, body: bytes, trailers: Fields = ()) -> None:
        self._stream = self.side.protocol.get_next_available_stream_id()
        self.side.say(self._stream, fields, end=not (body or trailers))
        if body or trailers:
            self.side.write(self._stream, body)
            self.side.end(self._stream, trailers)

    def ask(
        self,
        method: str = "GET",
        path: str = "/",
        headers: Fields = (),
        body: bytes = b"",
        authority: str | None = None,
    ) -> Answer:
        self.send(method, path, headers, body, authority)
        return self._answer()

    def ask_fields(self, fields: Fields, body: bytes = b"", trailers: Fields = ()) -> Answer:
        """Send fields as they are, pseudo-headers among them."""
        with contextlib.suppress(OSError):
            self._send(fields, body, trailers)
        return self._answer()

    def pieces(self) -> Iterator[bytes]:
        """Yield an answer's body as it comes."""
        while (event := self.side.event()) is not None and not isinstance(event, h2.events.StreamEnded):
            if isinstance(event, h2.events.DataReceived):
                yield event.data

    def _answer(self) -> Answer:
        answer = Answer()
        with contextlib.suppress(h2.exceptions.ProtocolError, OSError):
            while not answer.complete and (event := self.side.event()) is not None:
                if getattr(event, "stream_id", self._stream) != self._stream:
                    continue
                if isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    break
                _note(answer, event)
        seen = [*answer.headers, *answer.trailers, *(pair for fields in answer.interim for pair in fields)]
        answer.octets = b"\n".join([*(part for pair in seen for part in pair), answer.body])
        return answer


def _note(answer: Answer, event: h2.events.Event) -> None:
    if isinstance(event, h2.events.InformationalResponseReceived):
        answer.interim.append(pairs(event.headers))
    elif isinstance(event, h2.events.ResponseReceived):
        answer.headers = pairs(event.headers)
        answer.status = int(dict(answer.headers)[b":status"])
    elif isinstance(event, h2.events.DataReceived):
        answer.body += event.data
    elif isinstance(event, h2.events.TrailersReceived):
        answer.trailers = pairs(event.headers)
    elif isinstance(event, h2.events.StreamEnded):
        answer.complete = True


def _receive(opened: socket.socket, method: str) -> Answer:
    """Return the answer to a request, or what there is of it."""
    answer = Answer()
    with contextlib.suppress(h11.RemoteProtocolError, OSError):
        for event in _events(opened, method, answer):
            _take(answer, event)
            if answer.complete:
                break
    return answer


def _events(opened: socket.socket, method: str, answer: Answer) -> Iterator[object]:
    """Yield what an answer brings as it comes; its octets are noted in `answer`."""
    reader = h11.Connection(h11.CLIENT)
    # What the parser has to know of a request: that there was one, its method, and that it may change the protocol.
    known = method if method in ("HEAD", "CONNECT") else "GET"
    headers = [("Host", "x"), ("Upgrade", "any"), ("Connection", "upgrade")]
    reader.send(h11.Request(method=known, target="/", headers=headers))
    reader.send(h11.EndOfMessage())
    while True:
        event = reader.next_event()
        if event is h11.NEED_DATA:
            # After a CONNECT the octets that follow belong to somebody else.
            block = opened.recv(1 if method == "CONNECT" else 1 << 16)
            answer.octets += block
            reader.receive_data(block)
        elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            return
        else:
            yield event
        if isinstance(event, h11.EndOfMessage):
            return


def _take(answer: Answer, event: object) -> None:
    if isinstance(event, h11.InformationalResponse) and event.status_code != 101:
        answer.interim.append(pairs(event.headers))
    elif isinstance(event, h11.InformationalResponse | h11.Response):
        answer.status, answer.reason, answer.headers = event.status_code, event.reason, pairs(event.headers)
        answer.complete = event.status_code == 101
    elif isinstance(event, h11.Data):
        answer.body += bytes(event.data)
    elif isinstance(event, h11.EndOfMessage):
        answer.complete = True
        answer.trailers = pairs(event.headers)


def http2(connection: Connection) -> _Http2:
    """Return a connection for what only HTTP/2 can say."""
    return cast("_Http2", connection)
