"""The vendors behind a company's proxy: whatever host is asked for is here, and shows a certificate for its name.

Promises that each request is written down whole, with the target of the CONNECT through which it came. What it is
answered with stands in `replies`.
"""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import trustme
from hypercorn.asyncio import serve

from origin import Listener

type Fields = tuple[tuple[str, str], ...]
type Answer = Callable[[Call], Awaitable[None]]
type _Message = MutableMapping[str, Any]


@dataclass(slots=True)
class Arrived:
    """One request, as it arrived; of a WebSocket, the handshake and the messages one after the other."""

    target: str
    method: str
    url: str
    version: str
    headers: Fields
    body: bytearray = field(default_factory=bytearray)

    @property
    def line(self) -> str:
        """Return method and URL without its query."""
        return f"{self.method} {self.url.partition('?')[0]}"

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def but(self, *names: str) -> bytes:
        """Return all of it but the headers of these names."""
        heads = "".join(f"{name}: {value}\n" for name, value in self.headers if name not in names)
        return f"{self.method} {self.url}\n{heads}\n".encode() + self.body


class Call:
    """One request to be answered."""

    def __init__(
        self, scope: _Message, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        self._receive, self._send = receive, send
        headers = tuple((name.decode().lower(), value.decode()) for name, value in scope["headers"])
        host = next((value for name, value in headers if name == "host"), "")
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        url = f"{scope['scheme']}://{host}{scope['raw_path'].decode().partition('?')[0]}{query}"
        self.arrived = Arrived("", scope.get("method", "GET"), url, scope["http_version"], headers)

    async def body(self) -> bytes:
        """Return the body, once it is here."""
        more = True
        while more:
            message = await self._receive()
            self.arrived.body += message.get("body", b"")
            more = message.get("more_body", False)
        return bytes(self.arrived.body)

    async def answer(self, status: int, content: bytes, *headers: tuple[str, str]) -> None:
        await self._begin(status, *headers, ("content-length", str(len(content))))
        await self._send({"type": "http.response.body", "body": content})

    async def json(self, data: object, status: int = 200, *headers: tuple[str, str]) -> None:
        await self.answer(status, json.dumps(data).encode(), ("content-type", "application/json"), *headers)

    async def events(self, *events: bytes) -> None:
        """Stream events, each in a block of its own."""
        await self._begin(200, ("content-type", "text/event-stream"))
        for event in events:
            await self._send({"type": "http.response.body", "body": event, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def message(self, content: bytes) -> None:
        """Answer with one message of gRPC."""
        headers = [(b"content-type", b"application/grpc")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": True})
        framed = b"\0" + len(content).to_bytes(4) + content
        await self._send({"type": "http.response.body", "body": framed})
        await self._send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})

    async def accept(self) -> None:
        """Accept a WebSocket."""
        await self._receive()
        await self._send({"type": "websocket.accept"})

    async def messages(self) -> AsyncIterator[str | bytes]:
        """Yield what the other side of a WebSocket says until it closes."""
        while (message := await self._receive())["type"] == "websocket.receive":
            content = message.get("text") or message.get("bytes") or b""
            self.arrived.body += content.encode() if isinstance(content, str) else content
            yield content

    async def say(self, content: str | bytes) -> None:
        """Send a message of a WebSocket."""
        kind = "text" if isinstance(content, str) else "bytes"
        await self._send({"type": "websocket.send", kind: content})

    async def _begin(self, status: int, *headers: tuple[str, str]) -> None:
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})


@dataclass
class Vendors:
    """All vendors, and what arrived at them.

    Attributes:
        environ: What leads a user here: the proxy, and whom to trust.
    """

    roots: Path
    replies: Mapping[str, Answer]
    environ: dict[str, str] = field(default_factory=dict)
    arrived: list[Arrived] = field(default_factory=list)
    _through: dict[int, str] = field(default_factory=dict)

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        call = Call(scope, receive, send)
        call.arrived.target = self._through[scope["client"][1]]
        self.arrived.append(call.arrived)
        if scope["type"] == "http":
            await call.body()
        await self.replies.get(call.arrived.line, _nothing)(call)

    async def stand(self, ready: Callable[[], None], ended: threading.Event) -> None:
        """Serve until it has ended."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        address = listener.getsockname()
        settings = Listener()
        settings.settings = _certified(self.roots)
        settings.bind = [f"fd://{listener.detach()}"]
        settings.graceful_timeout = settings.shutdown_timeout = 0.1
        settings.loglevel = "WARNING"
        proxy = await asyncio.start_server(lambda *ends: self._tunnel(address, *ends), "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        self.environ |= {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "SSL_CERT_FILE": str(self.roots)}
        ready()
        await serve(cast("Any", self), settings, shutdown_trigger=lambda: asyncio.to_thread(ended.wait))
        proxy.close()

    async def _tunnel(
        self, address: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Lead a CONNECT here, whatever its target is."""
        head = await reader.readuntil(b"\r\n\r\n")
        _, target, _ = head.decode().split(" ", 2)
        near_reader, near_writer = await asyncio.open_connection(*address)
        self._through[near_writer.get_extra_info("sockname")[1]] = target
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_copy(reader, near_writer), _copy(near_reader, writer))


async def _nothing(call: Call) -> None:
    await call.json({"error": "no such page"}, 404)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(1 << 16):
            writer.write(block)
            await writer.drain()
    writer.close()


def _certified(roots: Path) -> ssl.SSLContext:
    """Return settings with a certificate for each name that is asked for; their root is written to `roots`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(roots))

    def context(name: str) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.set_alpn_protocols(["h2", "http/1.1"])
        authority.issue_cert(name).configure_cert(made)
        return made

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = context(name or "nobody.example")

    first = context("nobody.example")
    first.sni_callback = choose
    return first


@contextlib.contextmanager
def standing(folder: Path, replies: Mapping[str, Answer]) -> Iterator[Vendors]:
    """Hold the vendors in a thread of their own."""
    vendors = Vendors(folder / "roots.pem", replies)
    ready, ended = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(vendors.stand(ready.set, ended)))
    thread.start()
    try:
        assert ready.wait(10)
        yield vendors
    finally:
        ended.set()
        thread.join()
