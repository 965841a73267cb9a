"""What a soak is made of: the questions, an origin that answers some of them badly, and the proxy alone in a process.

Run as `soaking.py origin FOLDER` or `soaking.py proxy PORT ROOTS`; each says in its first line where it is found. The
path of a request says how it is to be answered, and all content follows from the request's number, so that each side
knows every octet without being told.
"""

import asyncio
import contextlib
import ctypes
import gc
import gzip
import json
import logging
import os
import random
import socket
import ssl
import struct
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import trustme

_LARGEST = 1 << 20
_BLOCK = random.Random(1).randbytes(3 * _LARGEST)  # noqa: S311  it is content, and the same on both sides

SEA = _BLOCK[: 1 << 20]
"""What large bodies repeat."""
HURRY = 0.02
"""Seconds that a slow side takes for each of them."""

GOOD = ("sized", "chunked", "gzip", "events", "head", "empty", "unchanged", "echo", "stream", "parting")
"""Answers that have to arrive whole; after `parting` the origin closes its connection without a word of it."""
BAD = ("silent", "half-a-head", "short", "unended", "misnumbered", "noise", "early")
"""Answers that do not come, not whole or not as they should, and one that comes before its question has ended."""


@dataclass(frozen=True)
class Ask:
    """One request: how it is to be answered, and how long both bodies are."""

    kind: str
    number: int
    size: int
    upload: int
    resets: bool

    @property
    def path(self) -> str:
        return f"/{self.kind}/{self.number}/{self.size}/{self.upload}/{int(self.resets)}"

    @property
    def method(self) -> str:
        return "HEAD" if self.kind == "head" else "POST" if self.upload else "GET"

    @property
    def content(self) -> bytes:
        return content(self.number, self.size)

    @property
    def body(self) -> bytes:
        return content(self.number + 1, self.upload)

    @classmethod
    def parse(cls, path: str) -> "Ask":
        kind, number, size, upload, resets = path.strip("/").split("/")
        return cls(kind, int(number), int(size), int(upload), resets == "1")


def content(number: int, size: int) -> bytes:
    if size > _LARGEST:
        return SEA * (size // len(SEA))
    start = number * 7919 % _LARGEST
    return _BLOCK[start : start + size]


def questions(first: int, count: int) -> Iterator[Ask]:
    """Yield requests: most of them small and answered well."""
    for number in range(first, first + count):
        chance = random.Random(number)  # noqa: S311
        kind = chance.choice(GOOD if chance.random() < 0.8 else BAD)
        resets = chance.random() < 0.5
        size, upload = _size(chance), _size(chance) if chance.random() < 0.3 else 0
        if kind in ("short", "unended", "misnumbered"):
            size += 100
        if kind in ("head", "empty", "unchanged", "events"):
            upload = 0
        if kind in ("echo", "stream", "early"):
            upload = upload or max(1, _size(chance))
        yield Ask(kind, number, size, upload, resets)


def _size(chance: random.Random) -> int:
    return chance.choice((0, 1, 200, 200, 2000, 2000, 20_000, 70_000)) if chance.random() < 0.97 else _LARGEST


def events(ask: Ask) -> list[bytes]:
    return [b"data: %d of %d\n\n" % (at, ask.number) for at in range(2 + ask.number % 4)]


def whole(ask: Ask) -> bytes:
    """Return the body that a good answer has."""
    if ask.kind in ("head", "empty", "unchanged"):
        return b""
    return b"".join(events(ask)) if ask.kind == "events" else ask.content


def status(ask: Ask) -> int:
    return {"empty": 204, "unchanged": 304, "early": 413}.get(ask.kind, 200)


# The origin.


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(ask: Ask, *lines: str) -> bytes:
    first = f"HTTP/1.1 {status(ask)} As Asked"
    return "\r\n".join([first, f"X-Number: {ask.number}", *lines, "", ""]).encode()


def _pieces(data: bytes, number: int) -> Iterator[bytes]:
    step = 1 + number * 31 % 9000 if len(data) < 1 << 17 else 50_000
    return (data[at : at + step] for at in range(0, len(data), step))


class _Origin1:
    """One connection that speaks HTTP/1.1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def serve(self) -> None:
        while await self._one():
            pass

    async def _one(self) -> bool:
        """Answer a request; return whether another may follow."""
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        ask = Ask.parse(lines[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if ask.kind == "early":
            self._writer.write(_head(ask, "Content-Length: 6") + b"enough")
            await self._dry_out()
            return False
        if ask.kind == "sea":
            await self._sea(ask)
            return True
        good = await self._body(headers) == ask.body
        if not good:
            self._writer.write(b"HTTP/1.1 500 Not What Was Sent\r\nContent-Length: 0\r\n\r\n")
            return False
        await _KINDS.get(ask.kind, _Origin1._sized)(self, ask)
        await self._writer.drain()
        if ask.kind in BAD:
            self._break(ask)
        return ask.kind not in (*BAD, "parting")

    def _break(self, ask: Ask) -> None:
        if ask.resets:
            self._writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self._writer.transport.abort()

    async def _dry_out(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while await self._reader.read(1 << 16):
                    pass

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        body = bytearray()
        while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        while await self._reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return bytes(body)

    async def _sea(self, ask: Ask) -> None:
        """Take in and give out more than anybody would keep, and not in a hurry."""
        left = ask.upload
        while left:
            assert await self._reader.readexactly(len(SEA)) == SEA
            left -= len(SEA)
            await asyncio.sleep(HURRY)
        self._writer.write(_head(ask, f"Content-Length: {ask.size}"))
        for _ in range(ask.size // len(SEA)):
            self._writer.write(SEA)
            await self._writer.drain()

    async def _sized(self, ask: Ask) -> None:
        self._writer.write(_head(ask, f"Content-Length: {ask.size}") + ask.content)

    async def _head_alone(self, ask: Ask) -> None:
        self._writer.write(_head(ask, *([f"Content-Length: {ask.size}"] if ask.kind != "empty" else [])))

    async def _chunked(self, ask: Ask) -> None:
        self._writer.write(_head(ask, "Transfer-Encoding: chunked"))
        for piece in _pieces(ask.content, ask.number):
            self._writer.write(_chunk(piece))
            await self._writer.drain()
        self._writer.write(_chunk(b""))

    async def _gzip(self, ask: Ask) -> None:
        packed = gzip.compress(ask.content, 1)
        lines = ("Content-Encoding: gzip", f"Content-Length: {len(packed)}")
        self._writer.write(_head(ask, *lines) + packed)

    async def _events(self, ask: Ask) -> None:
        self._writer.write(_head(ask, "Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
        for event in events(ask):
            self._writer.write(_chunk(event))
            await asyncio.sleep(0.002)
        self._writer.write(_chunk(b""))

    async def _silent(self, _: Ask) -> None: ...

    async def _half_a_head(self, ask: Ask) -> None:
        self._writer.write(_head(ask, "Content-Length: 10")[: 1 + ask.number % 40])

    async def _short(self, ask: Ask) -> None:
        self._writer.write(_head(ask, f"Content-Length: {ask.size}") + ask.content[: ask.size * 9 // 10])

    async def _unended(self, ask: Ask) -> None:
        self._writer.write(_head(ask, "Transfer-Encoding: chunked"))
        for piece in _pieces(ask.content, ask.number):
            self._writer.write(_chunk(piece))

    async def _misnumbered(self, ask: Ask) -> None:
        self._writer.write(_head(ask, "Transfer-Encoding: chunked") + _chunk(ask.content[:50]) + b"-5\r\nnoise\r\n")

    async def _noise(self, ask: Ask) -> None:
        self._writer.write(ask.content[:3000] + b"\r\n\r\n")


_KINDS: dict[str, Callable[[_Origin1, Ask], Awaitable[None]]] = {
    "chunked": _Origin1._chunked,  # noqa: SLF001  it is this module's own
    "stream": _Origin1._chunked,  # noqa: SLF001
    "gzip": _Origin1._gzip,  # noqa: SLF001
    "events": _Origin1._events,  # noqa: SLF001
    "head": _Origin1._head_alone,  # noqa: SLF001
    "empty": _Origin1._head_alone,  # noqa: SLF001
    "unchanged": _Origin1._head_alone,  # noqa: SLF001
    "silent": _Origin1._silent,  # noqa: SLF001
    "half-a-head": _Origin1._half_a_head,  # noqa: SLF001
    "short": _Origin1._short,  # noqa: SLF001
    "unended": _Origin1._unended,  # noqa: SLF001
    "misnumbered": _Origin1._misnumbered,  # noqa: SLF001
    "noise": _Origin1._noise,  # noqa: SLF001
}


class _Origin2:
    """One connection that speaks HTTP/2; what is answered badly there is a stream that breaks off."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._protocol = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        )
        self._asks: dict[int, Ask] = {}
        self._received: dict[int, bytearray] = {}
        self._pending: dict[int, memoryview] = {}
        self._unread = 0

    async def serve(self) -> None:
        self._protocol.initiate_connection()
        self._writer.write(self._protocol.data_to_send())
        while data := await self._reader.read(1 << 16):
            for event in self._protocol.receive_data(data):
                self._take(event)
            if self._unread > len(SEA):
                self._unread -= len(SEA)
                await asyncio.sleep(HURRY)
            self._pump()
            self._writer.write(self._protocol.data_to_send())
            await self._writer.drain()

    def _take(self, event: h2.events.Event) -> None:
        stream = getattr(event, "stream_id", None) or 0
        if isinstance(event, h2.events.RequestReceived):
            path = {str(name): str(value) for name, value in event.headers or ()}[":path"]
            self._asks[stream], self._received[stream] = Ask.parse(path), bytearray()
            if self._asks[stream].kind == "early":
                self._answer(stream)
        elif isinstance(event, h2.events.DataReceived):
            self._protocol.acknowledge_received_data(event.flow_controlled_length or 0, stream)
            self._received[stream] += event.data or b""
            if self._asks[stream].kind == "sea":
                self._unread += len(event.data or b"")
        elif isinstance(event, h2.events.StreamEnded) and self._asks[stream].kind != "early":
            self._answer(stream)
        elif isinstance(event, h2.events.StreamReset):
            self._pending.pop(stream, None)

    def _answer(self, stream: int) -> None:
        ask = self._asks[stream]
        if ask.kind in ("silent", "half-a-head", "noise"):
            self._protocol.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
            return
        body, more = whole(ask), []
        if ask.kind == "early":
            body = b"enough"
        elif bytes(self._received[stream]) != ask.body:
            self._protocol.send_headers(stream, [(":status", "500")], end_stream=True)
            return
        if ask.kind == "gzip":
            body, more = gzip.compress(body, 1), [("content-encoding", "gzip")]
        head = [(":status", str(status(ask))), ("x-number", str(ask.number)), *more]
        self._protocol.send_headers(stream, head, end_stream=not body and ask.kind not in BAD)
        if body:
            cut = len(body) * 9 // 10 if ask.kind in BAD and ask.kind != "early" else len(body)
            self._pending[stream] = memoryview(body)[:cut]

    def _pump(self) -> None:
        for stream in list(self._pending):
            self._continue(stream)

    def _continue(self, stream: int) -> None:
        while data := self._pending[stream]:
            window = self._protocol.local_flow_control_window(stream)
            size = min(window, self._protocol.max_outbound_frame_size, len(data))
            if size <= 0:
                return
            ask, self._pending[stream] = self._asks[stream], data[size:]
            last = size == len(data)
            ends = last and (ask.kind not in BAD or ask.kind == "early")
            self._protocol.send_data(stream, bytes(data[:size]), end_stream=ends)
            if last and not ends:
                self._protocol.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        del self._pending[stream]


async def _serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    try:
        await (_Origin2 if chosen == "h2" else _Origin1)(reader, writer).serve()
    except (OSError, asyncio.IncompleteReadError, h2.exceptions.ProtocolError):
        pass  # the proxy has gone, as its client has
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _serve(folder: Path) -> None:
    authority = trustme.CA()
    roots = folder / "roots.pem"
    authority.cert_pem.write_to_path(roots)
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("localhost").configure_cert(settings)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # resets are its trade
    server = await asyncio.start_server(_serve_one, "127.0.0.1", 0, ssl=settings, limit=1 << 21, backlog=512)
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "roots": str(roots)}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


# The proxy.


class _Unread:
    """A log that nobody keeps."""

    def opened(self, peer: tuple[str, int]) -> None: ...

    def record(self, use: object) -> None: ...

    def closed(self, peer: tuple[str, int]) -> None: ...


class _Complaints(logging.Handler):
    """What asyncio says of tasks that nobody waited for; the engine keeps it from the screen."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < 1000:
            error = record.exc_info[1] if record.exc_info else None
            self.lines.append(f"{record.getMessage().splitlines()[0]} {error!r}"[:500])


def _measure(complaints: _Complaints) -> dict[str, object]:
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what was freed: it is nothing that anybody holds
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    with warnings.catch_warnings(action="ignore"):  # looking at every object wakes those that warn when looked at
        loops = [each for each in gc.get_objects() if isinstance(each, asyncio.BaseEventLoop)]
    tasks = [repr(task)[:300] for loop in loops for task in asyncio.all_tasks(loop)]
    files = len(list(Path("/proc/self/fd").iterdir()))
    return {"resident": resident, "files": files, "tasks": tasks, "complaints": complaints.lines}


def _stand_alone(port: int, roots: Path) -> None:
    """Run the proxy and answer each line of stdin with what it uses."""
    from play import start_proxy  # noqa: PLC0415  the origin has no use for it

    complaints = _Complaints()
    logging.getLogger("asyncio").addHandler(complaints)

    def failed(error: BaseException) -> None:
        print(repr(error), file=sys.stderr, flush=True)

    url, trust = start_proxy(port, roots, failed, _Unread())
    print(json.dumps({"url": url, "trust": trust}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(_measure(complaints)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "origin":
        asyncio.run(_serve(Path(sys.argv[2])))
    else:
        _stand_alone(int(sys.argv[2]), Path(sys.argv[3]))
