"""Thousands of requests with mixed sizes and faults: what claims to be whole is whole, and nothing is left of it.

`AUTHSOME_SOAK=100000 pytest tests/proxy/test_soak.py -s` runs the whole of it and shows how far it is.
"""

import asyncio
import contextlib
import gzip
import json
import os
import random
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import pytest
from play import EndedError, Line, opening, trusting, tunnel
from soaking import BAD, HURRY, SEA, Ask, questions, status, whole

import authsome

COUNT = int(os.environ.get("AUTHSOME_SOAK", "3000"))
AT_ONCE = 50
PATIENCE = 30.0
"""Seconds after which an answer that did not come is a failure."""
LEFT_ALONE = 30.0
"""Seconds after which a connection that nobody uses is closed; upstreams' are kept for a while."""
GROWTH = 8 << 20
"""Octets by which the proxy may be larger at the end than in the middle; both measured with nobody connected.

The warm-up has seen everything that there is to see, and two equal parts follow: what is kept of each request would
grow in the second as in the first. The long run finds 200 octets for each request, the short one 3,500.
"""
PACKAGE = Path(authsome.__file__).parent
SCRIPT = Path(__file__).parent / "soaking.py"

_FAULTS = frozenset(BAD)


class BrokenOffError(Exception):
    """An answer that the client can see to be incomplete."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Figures:
    """What became of the requests."""

    outcomes: Counter[str] = field(default_factory=Counter)
    measured: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        resident = "/".join(f"{each['resident'] / (1 << 20):.1f}" for each in self.measured)
        files = "/".join(str(each["files"]) for each in self.measured)
        tasks = "/".join(str(len(each["tasks"])) for each in self.measured)
        rate = self.outcomes.total() / (self.seconds or 1)
        counted = ", ".join(f"{name} {number}" for name, number in sorted(self.outcomes.items()))
        return (
            f"{self.outcomes.total()} requests in {self.seconds:.1f} s, {rate:.0f}/s; "
            f"at the start, after the warm-up, in the middle, at the end, alone again: "
            f"resident {resident} MB, descriptors {files}, tasks {tasks}; {counted}"
        )


class Process:
    """One of the two processes: answers a line with a line."""

    def __init__(self, errors: Path, *arguments: str) -> None:
        self._errors = errors
        command = [sys.executable, "-W", "always::ResourceWarning", str(SCRIPT), *arguments]
        path = os.pathsep.join(map(str, (PACKAGE.parent, SCRIPT.parent, SCRIPT.parent.parent)))
        with errors.open("wb") as file:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
            )
        self.said = self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.errors
        return dict(json.loads(line))

    def ask(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self._line()

    @property
    def errors(self) -> str:
        return self._errors.read_text(errors="replace")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


@dataclass
class Road:
    """How the clients get to the origin."""

    url: str
    trust: str
    port: int
    figures: Figures

    def __post_init__(self) -> None:
        self._settings = {alpn: trusting(self.trust, alpn) for alpn in ("http/1.1", "h2")}

    async def open(self, alpn: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.url.rpartition("@")[2].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 21)
        writer.write(opening(self.url, self.port))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await writer.start_tls(self._settings[alpn], server_hostname="localhost")
        return reader, writer

    def count(self, ask: Ask, outcome: str) -> None:
        """Note what became of a request, and fail where that must not be."""
        kind = "a fault" if ask.kind in _FAULTS else "a question" if ask.upload == 0 else "an order"
        self.figures.outcomes[f"{kind} {outcome}"] += 1

    def judge(self, ask: Ask, answer: Answer) -> None:
        """Judge an answer that claims to be whole."""
        if answer.status == 502:
            assert json.loads(answer.body)["error"] in ("upstream_failed", "unreadable_response"), (ask, answer)
            self.count(ask, "was told to have failed")
            return
        assert ask.kind not in _FAULTS - {"early"}, (ask, answer.status, len(answer.body))
        expected = b"enough" if ask.kind == "early" else whole(ask)
        assert answer.status == status(ask), (ask, answer.status, answer.body[:200])
        assert answer.headers.get("x-number") == str(ask.number), (ask, answer.headers)
        body = gzip.decompress(answer.body) if answer.headers.get("content-encoding") == "gzip" else answer.body
        assert body == expected, (ask, len(body), len(expected))
        self.count(ask, "arrived whole")


# HTTP/1.1.


class Http1:
    """A kept connection that is opened anew when it has ended."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, ask: Ask, chance: random.Random) -> None:
        if self._writer is None:
            self._reader, self._writer = await self._road.open("http/1.1")
        assert self._reader is not None
        whim = chance.random()
        if whim < 0.03:
            await self._leave_early(ask, chance)
            return
        try:
            self._writer.write(self._question(ask))
            answer = await _answer(self._reader, ask, slowly=whim < 0.06)
        except (BrokenOffError, ConnectionError, ssl.SSLError):
            # Between two requests the proxy may close as every server may; a good one is then just asked again.
            self._road.count(ask, "visibly broke off")
            self.abort()
            return
        self._road.judge(ask, answer)
        if answer.headers.get("connection", "").lower() == "close" or ask.kind == "early" or chance.random() < 0.05:
            await self.close()

    def _question(self, ask: Ask) -> bytes:
        lines = [f"{ask.method} {ask.path} HTTP/1.1", f"Host: localhost:{self._road.port}", "Accept-Encoding: gzip"]
        if ask.upload and ask.number % 2:
            half = len(ask.body) // 2
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (ask.body[:half], ask.body[half:]) if part)
            return "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode() + body + b"0\r\n\r\n"
        if ask.upload:
            lines.append(f"Content-Length: {ask.upload}")
        return "\r\n".join([*lines, "", ""]).encode() + ask.body

    async def _leave_early(self, ask: Ask, chance: random.Random) -> None:
        """Go away in the middle of the question or of the answer."""
        assert self._writer is not None
        assert self._reader is not None
        question = self._question(ask)
        within = chance.random() < 0.5
        self._writer.write(question[: max(1, int(len(question) * chance.random()))] if within else question)
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(0.02):
                await self._reader.read(1 + int(2000 * chance.random()))
        self._road.count(ask, "was not waited for")
        self.abort()

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._writer = self._reader = None

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        self._writer = self._reader = None


async def _answer(reader: asyncio.StreamReader, ask: Ask, *, slowly: bool) -> Answer:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        code = int(lines[0].split(" ")[1])
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        if slowly:
            await asyncio.sleep(0.05)
        return Answer(code, headers, await _body(reader, ask, code, headers))
    except asyncio.IncompleteReadError as error:
        raise BrokenOffError from error


async def _body(reader: asyncio.StreamReader, ask: Ask, code: int, headers: dict[str, str]) -> bytes:
    if ask.method == "HEAD" or code in (204, 304):
        return b""
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers["content-length"]))
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return bytes(body)


# HTTP/2.


class Http2:
    """One connection for some requests, a few of them at once."""

    def __init__(self, road: Road, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._road, self._reader, self._writer = road, reader, writer
        self._protocol = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        self._protocol.initiate_connection()
        self._asks: dict[int, Ask] = {}
        self._heads: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytearray] = {}
        self._unsent: dict[int, memoryview] = {}

    async def ask(self, asks: list[Ask]) -> None:
        """Ask some questions at once and wait for all answers, or for the end of the connection."""
        slowed = 0
        for ask in asks:
            self._begin(ask)
        while self._asks:
            self._send()
            events = await self._events()
            if events is None:
                break
            for event in events:
                self._take(event)
            if sum(map(len, self._bodies.values())) > (slowed + 1) * len(SEA):
                slowed += 1
                await asyncio.sleep(HURRY)
        for ask in self._asks.values():
            self._road.count(ask, "visibly broke off")
        self._send()

    async def _events(self) -> list[h2.events.Event] | None:
        """Return what has arrived; None means that nothing will any more, or nothing that makes sense.

        A body that is not as long as its head said is a protocol error: the client sees it.
        """
        try:
            data = await self._reader.read(1 << 16)
            return self._protocol.receive_data(data) if data else None
        except (ConnectionError, ssl.SSLError, h2.exceptions.ProtocolError):
            return None

    def _begin(self, ask: Ask) -> None:
        stream = self._protocol.get_next_available_stream_id()
        head = {":method": ask.method, ":scheme": "https", ":authority": f"localhost:{self._road.port}"}
        head |= {":path": ask.path, "accept-encoding": "gzip"}
        self._protocol.send_headers(stream, list(head.items()), end_stream=not ask.upload)
        self._asks[stream], self._bodies[stream] = ask, bytearray()
        if ask.upload:
            self._unsent[stream] = memoryview(ask.body)
        elif ask.number % 29 == 0:
            self._road.count(ask, "was not waited for")
            self._protocol.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            del self._asks[stream]

    def _send(self) -> None:
        for stream in list(self._unsent):
            while data := self._unsent[stream]:
                window = self._protocol.local_flow_control_window(stream)
                size = min(window, self._protocol.max_outbound_frame_size, len(data))
                if size <= 0:
                    break
                self._unsent[stream] = data[size:]
                self._protocol.send_data(stream, bytes(data[:size]), end_stream=size == len(data))
            if not self._unsent[stream]:
                del self._unsent[stream]
        self._writer.write(self._protocol.data_to_send())

    def _take(self, event: h2.events.Event) -> None:
        stream = getattr(event, "stream_id", None) or 0
        if isinstance(event, h2.events.DataReceived):
            self._protocol.acknowledge_received_data(event.flow_controlled_length or 0, stream)
        if stream not in self._asks:
            return
        if isinstance(event, h2.events.ResponseReceived):
            self._heads[stream] = {str(name): str(value) for name, value in event.headers or ()}
        elif isinstance(event, h2.events.DataReceived):
            self._bodies[stream] += event.data or b""
        elif isinstance(event, h2.events.StreamEnded):
            head = self._heads[stream]
            answer = Answer(int(head[":status"]), head, bytes(self._bodies[stream]))
            self._road.judge(self._over(stream), answer)
        elif isinstance(event, h2.events.StreamReset):
            self._road.count(self._over(stream), "visibly broke off")

    def _over(self, stream: int) -> Ask:
        if self._unsent.pop(stream, None) is not None:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._protocol.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)
        return self._asks.pop(stream)


# The soak.


async def _one_by_one(road: Road, asks: Iterator[Ask], chance: random.Random) -> None:
    line = Http1(road)
    for ask in asks:
        async with _in_time(ask):
            if ask.number % 97 == 0 and not ask.upload:
                await asyncio.to_thread(_half_closed, road, ask)
            else:
                await line.ask(ask, chance)
    await line.close()


@contextlib.asynccontextmanager
async def _in_time(*asks: Ask) -> AsyncIterator[None]:
    """Fail where a request is neither answered nor given up."""
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError as error:
        raise AssertionError(f"no answer within {PATIENCE:.0f} s to {asks}") from error


def _half_closed(road: Road, ask: Ask) -> None:
    """Ask, say that there will be no more, and wait."""
    with Line(tunnel(road.url, road.trust, road.port, "http/1.1"), road.port) as line:
        line.opened.settimeout(PATIENCE)
        line.send(f"{ask.method} {ask.path} HTTP/1.1\r\nHost: localhost:{road.port}\r\n\r\n".encode())
        line.half_close()
        try:
            found = line.answer(ask.method)
        except EndedError:
            road.count(ask, "visibly broke off")
            return
        if found.complete:
            road.judge(ask, Answer(found.status, dict(found.headers), found.body))
        else:
            road.count(ask, "visibly broke off")


async def _a_few_at_once(road: Road, asks: Iterator[Ask]) -> None:
    while some := [ask for _, ask in zip(range(5), asks, strict=False)]:
        async with _in_time(*some):
            reader, writer = await road.open("h2")
            try:
                await Http2(road, reader, writer).ask(some)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()


async def _phase(road: Road, first: int, count: int) -> None:
    """Send some of the requests, a sixth of the connections speaking HTTP/2."""
    asks = questions(first, count)

    def shared() -> Iterator[Ask]:
        for ask in asks:
            yield ask
            if ask.number % 500 == 0 and COUNT > 6000:
                print(f"\r{ask.number} of {COUNT}", end="", file=sys.__stderr__, flush=True)

    async with asyncio.TaskGroup() as tasks:
        for worker in range(AT_ONCE):
            if worker % 6 == 5:
                tasks.create_task(_a_few_at_once(road, shared()))
            else:
                tasks.create_task(_one_by_one(road, shared(), random.Random(first + worker)))  # noqa: S311


def _ready(proxy: Process) -> dict[str, Any]:
    """Measure the proxy as soon as its engine runs; nobody has been connected yet."""
    while not (measured := proxy.ask())["tasks"]:
        time.sleep(0.05)
    return measured


def _alone(proxy: Process, files: int) -> dict[str, Any]:
    """Measure the proxy once it has no more descriptors than it should, or else when that was waited for in vain."""
    until = time.monotonic() + LEFT_ALONE
    while (measured := proxy.ask())["files"] > files and time.monotonic() < until:
        time.sleep(0.2)
    return measured


@pytest.mark.slow
@pytest.mark.timeout(120 + COUNT / 25)
def test_a_soak_leaves_nothing_behind(tmp_path: Path) -> None:
    origin = Process(tmp_path / "origin.err", "origin", str(tmp_path))
    proxy = Process(tmp_path / "proxy.err", "proxy", str(origin.said["port"]), origin.said["roots"])
    figures = Figures()
    road = Road(proxy.said["url"], proxy.said["trust"], origin.said["port"], figures)
    try:
        figures.measured.append(_ready(proxy))
        first = 0
        for size in (COUNT // 5, 2 * COUNT // 5, 2 * COUNT // 5):
            begun = time.monotonic()
            asyncio.run(_phase(road, first, size))
            figures.seconds += time.monotonic() - begun
            first += size
            time.sleep(1)
            figures.measured.append(proxy.ask())
        figures.measured.append(_alone(proxy, figures.measured[0]["files"]))
        assert figures.outcomes.total() == first
        _judge(figures, proxy, origin)
    finally:
        proxy.end()
        origin.end()
        print(f"\n{figures}", file=sys.__stderr__)


def _judge(figures: Figures, proxy: Process, origin: Process) -> None:
    start, _, middle, end, alone = figures.measured
    assert end["resident"] - middle["resident"] < GROWTH, figures
    assert alone["files"] <= start["files"], "descriptors are left open"
    assert len(alone["tasks"]) <= len(start["tasks"]), alone["tasks"]
    assert not [line for line in end["complaints"] if "never retrieved" in line or "was destroyed" in line]
    assert proxy.errors == ""
    assert origin.errors == ""
    # A question that meets a dying connection is asked once more; an order is not given twice, and its caller told so.
    assert not figures.outcomes["a question was told to have failed"], figures
    assert not figures.outcomes["a question visibly broke off"], figures
    assert not figures.outcomes["an order visibly broke off"], figures
    assert figures.outcomes["an order was told to have failed"] < figures.outcomes["an order arrived whole"] / 10


LARGE = (48 if "AUTHSOME_SOAK" in os.environ else 24) << 20
"""Octets of a body; three of them pass at once in each direction."""
KEPT = 48 << 20
"""Octets by which the proxy may be larger while they do."""


@pytest.mark.slow
@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_large_bodies_between_slow_sides_pass_in_constant_memory(tmp_path: Path, alpn: str) -> None:
    origin = Process(tmp_path / "origin.err", "origin", str(tmp_path))
    proxy = Process(tmp_path / "proxy.err", "proxy", str(origin.said["port"]), origin.said["roots"])
    road = Road(proxy.said["url"], proxy.said["trust"], origin.said["port"], Figures())
    try:
        asyncio.run(_phase(road, 0, 20))
        start = proxy.ask()["resident"]
        most = asyncio.run(_through(road, proxy, alpn))
        print(f"\n{alpn}: resident {start >> 20} MB, at most {most >> 20} MB", file=sys.__stderr__)
        assert most - start < KEPT
        assert proxy.errors == ""
    finally:
        proxy.end()
        origin.end()


async def _through(road: Road, proxy: Process, alpn: str) -> int:
    """Send and fetch large bodies and return how large the proxy was at most."""
    most = 0
    passing = asyncio.gather(
        *(_pass(road, Ask("sea", number, *sizes, resets=False), alpn) for number in range(3) for sizes in _SIZES)
    )
    while not passing.done():
        measured = await asyncio.to_thread(proxy.ask)
        most = max(most, measured["resident"])
        await asyncio.sleep(0.1)
    await passing
    return most


_SIZES = ((0, LARGE), (LARGE, 0))


async def _pass(road: Road, ask: Ask, alpn: str) -> None:
    reader, writer = await road.open(alpn)
    async with asyncio.timeout(80):
        if alpn == "h2":
            await Http2(road, reader, writer).ask([ask])
        else:
            await _pass_slowly(road, ask, reader, writer)
    writer.transport.abort()


async def _pass_slowly(road: Road, ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    lines = [f"{ask.method} {ask.path} HTTP/1.1", f"Host: localhost:{road.port}", f"Content-Length: {ask.upload}"]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    for _ in range(ask.upload // len(SEA)):
        writer.write(SEA)
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    for _ in range(ask.size // len(SEA)):
        assert await reader.readexactly(len(SEA)) == SEA
        await asyncio.sleep(HURRY)
