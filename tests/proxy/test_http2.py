"""Frames that no library would send, each on a connection of its own, judged by what an origin received.

The cases are those of RFC 9113 that say MUST: what is a connection error ends the connection, what is a stream error
ends the stream or the connection, what is a malformed request is that or a refusal in JSON. Of none of them may the
origin hear, and after each of them an ordinary request on a new connection has to be served.
"""

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import h2.events
import hpack
import pytest
from hypothesis import given, settings, strategies as st
from play import PATIENCE, SECRET, EndedError, Http2, Pipe, Stage, each_until_ended, ok, soon, text

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, WEIGHTED = 4, 8, 0x20
MAX_STREAMS, WINDOW, FRAME_SIZE = 3, 4, 5
PROBE = b"are you "
QUIET = 0.25
"""Seconds of silence after which nothing more is expected; the frame before the silence was answered."""

type Fields = list[tuple[bytes, bytes]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, size: int | None = None) -> bytes:
    length = len(payload) if size is None else size
    return length.to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def block(*fields: tuple[bytes, bytes]) -> bytes:
    """Return header fields as literals that need no table, so that every octet is the one that was meant."""
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in fields)


def _string(octets: bytes) -> bytes:
    return _integer(len(octets), 7) + octets


def _integer(value: int, bits: int, first: int = 0) -> bytes:
    """RFC 7541, 5.1."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = [first | most], value - most
    while value > 127:
        out.append(128 | (value & 127))
        value >>= 7
    return bytes([*out, value])


@dataclass
class Talk:
    """A client that says what it is told and keeps what it hears."""

    pipe: Pipe
    port: int
    settings: dict[int, int] = field(default_factory=dict)
    heard: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    decoder: hpack.Decoder = field(default_factory=hpack.Decoder)
    ended: bool = False

    @property
    def authority(self) -> bytes:
        return b"localhost:%d" % self.port

    def send(self, *frames: bytes) -> None:
        with contextlib.suppress(ConnectionError, EndedError, OSError):
            self.pipe.send(b"".join(frames))

    def greet(self, settings: bytes = b"") -> None:
        self.send(PREFACE, frame(SETTINGS, payload=settings))
        while SETTINGS not in {kind for kind, flags, _, _ in self.heard if not flags & ACK}:
            self.hear()
        self.send(frame(SETTINGS, ACK))

    def hear(self) -> tuple[int, int, int, bytes]:
        try:
            head = self.pipe.exactly(9)
            payload = self.pipe.exactly(int.from_bytes(head[:3]))
        except EndedError:
            self.ended = True
            raise
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
        self.heard.append((kind, flags, stream, payload))
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                self.settings[int.from_bytes(payload[at : at + 2])] = int.from_bytes(payload[at + 2 : at + 6])
        elif kind == HEADERS:
            fields = dict(self.decoder.decode(payload, raw=True))
            self.statuses.setdefault(stream, int(fields.get(b":status", b"0")))
        elif kind == DATA:
            self.bodies[stream] = self.bodies.get(stream, b"") + payload
        return self.heard[-1]

    def head(self, path: bytes = b"/bad", method: bytes = b"GET") -> Fields:
        pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", self.authority), (b":path", path)]
        return [*pseudo, (b"x-key", b"authsome-proxy-managed")]

    def get(self, stream: int = 1, path: bytes = b"/fine") -> bytes:
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, block(*self.head(path)))

    def post(self, stream: int = 1, path: bytes = b"/late", *more: tuple[bytes, bytes]) -> bytes:
        """Begin a request whose body is still to come."""
        return frame(HEADERS, END_HEADERS, stream, block(*self.head(path, b"POST"), *more))

    def wait_for(self, kind: int, stream: int = 0, *, ack: bool | None = None) -> None:
        while True:
            heard, flags, where, _ = self.hear()
            if heard == kind and where == stream and (ack is None or bool(flags & ACK) == ack):
                return

    def wait_for_end(self, stream: int) -> None:
        while not any(s == stream and k in (DATA, HEADERS) and f & END_STREAM for k, f, s, _ in self.heard):
            self.hear()

    def wait_for_any(self, stream: int) -> None:
        """Wait for the end of a stream, in whichever way it ends."""
        while self.hear()[0] not in (RST_STREAM, GOAWAY) and not any(
            where == stream and kind in (DATA, HEADERS) and flags & END_STREAM for kind, flags, where, _ in self.heard
        ):
            pass

    def outcome(self) -> set[str]:
        """Return what became of it, after a ping has been answered or the connection has ended."""
        self.send(frame(PING, payload=PROBE))
        with contextlib.suppress(EndedError, TimeoutError):
            while not self._answered():
                self.hear()
            self.pipe.opened.settimeout(QUIET)
            while True:
                self.hear()
        kinds = {kind for kind, *_ in self.heard}
        found = {"connection"} if self.ended or GOAWAY in kinds else set()
        if RST_STREAM in kinds:
            found.add("stream")
        found |= {"refused" if status >= 400 else "served" for status in self.statuses.values()}
        return found or {"ignored"}

    def _answered(self) -> bool:
        return any(kind == PING and flags & ACK and payload == PROBE for kind, flags, _, payload in self.heard)

    def closes(self) -> bool:
        """Whether the connection is ended, as it must be after a connection error (RFC 9113, 5.4.1)."""
        self.pipe.opened.settimeout(PATIENCE)
        with contextlib.suppress(EndedError, TimeoutError):
            while not self.ended:
                self.hear()
        return self.ended


class Judge:
    """The proxy, and an origin that writes down each request when it begins and when it is complete."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.begun: list[str] = []
        self.complete: list[str] = []
        self.heads: list[list[tuple[str, str]]] = []
        self._seen = (0, 0)
        self._controls = 0
        stage.play(self._play, "h2 http/1.1")

    def _play(self, pipe: Pipe, _: int) -> None:
        pipe.opened.settimeout(120)
        if pipe.opened.selected_alpn_protocol() == "h2":
            self._play_http2(pipe)
            return
        for got in each_until_ended(pipe.head):
            self.begun.append(got.path)
            pseudo = [(":method", got.method), (":path", got.path), (":scheme", "https")]
            hosts = [(":authority", value) for value in got.values("host")]
            self.heads.append(pseudo + hosts + [each for each in got.headers if each[0] != "host"])
            pipe.body_of(got, unframed=b"")
            if got.complete:
                self.complete.append(got.path)
                pipe.send(ok(b"o" * 100))

    def _play_http2(self, pipe: Pipe) -> None:
        paths: dict[int, str] = {}
        # What a proxy lets through is written down here, not judged by a library.
        with Http2(pipe.opened, client=False, validate=False) as wire:
            for _ in each_until_ended(wire.read):
                while asked := wire.arrived(h2.events.RequestReceived):
                    head = text(asked.headers)
                    paths[asked.stream_id or 0] = dict(head).get(":path", "no path")
                    self.begun.append(paths[asked.stream_id or 0])
                    self.heads.append(head)
                    assert f"localhost:{self.stage.port}" in dict(head).values()
                    assert dict(head)[":scheme"] == "https"
                    assert ("x-key", f"Bearer {SECRET}") in head
                while ended := wire.arrived(h2.events.StreamEnded):
                    stream = ended.stream_id or 0
                    self.complete.append(paths[stream])
                    with contextlib.suppress(h2.exceptions.ProtocolError):  # given up meanwhile
                        wire.protocol.send_headers(stream, [(":status", "200")])
                        wire.protocol.send_data(stream, b"o" * 100, end_stream=True)
                wire.flush()

    def talk(self) -> Talk:
        self.arrived()  # what came of an earlier case has failed that one
        return Talk(self.stage.frames(), self.stage.port)

    def control(self) -> None:
        """Fail unless an ordinary request on a new connection is served, once."""
        self._controls += 1
        path = f"/control/{self._controls}"
        talk = Talk(self.stage.frames(), self.stage.port)
        with talk.pipe:
            talk.greet()
            talk.send(talk.get(1, path.encode()))
            talk.wait_for_end(1)
            assert talk.statuses == {1: 200}, talk.heard
        assert self.complete.count(path) == self.begun.count(path) == 1
        assert not self.stage.failed, self.stage.failed

    def arrived(self) -> list[str]:
        """What came of the cases since this was asked last; nothing may, of a malformed request.

        One that turned out malformed in its body may have begun, but is not complete.
        """
        (begun, complete), self._seen = self._seen, (len(self.begun), len(self.complete))
        good = ("/control/", "/fine", "/late", "/any")
        wrong = [path for path in self.begun[begun : self._seen[0]] if not path.startswith(good)]
        return wrong + [path for path in self.complete[complete : self._seen[1]] if path.startswith("/late")]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    stage = Stage(tmp_path_factory.mktemp("http2"))
    made = Judge(stage)
    made.control()
    yield made
    stage.close()


type Case = Callable[[Talk], None]


def _says(*frames: bytes) -> Case:
    return lambda talk: talk.send(*frames)


def _after_post(*frames: bytes) -> Case:
    """Say frames while stream 1 is open."""
    return lambda talk: talk.send(talk.post(), *frames)


def _after_get(*frames: bytes) -> Case:
    """Say frames while stream 1 is half-closed: its request is complete."""
    return lambda talk: talk.send(talk.get(), *frames)


def _after_answer(*frames: bytes) -> Case:
    """Say frames when stream 1 is closed, because it was answered."""

    def play(talk: Talk) -> None:
        talk.send(talk.get())
        talk.wait_for_end(1)
        talk.send(*frames)

    return play


def _after_reset(*frames: bytes) -> Case:
    """Say frames when stream 1 is closed, because the client gave it up."""
    return lambda talk: talk.send(talk.post(), frame(RST_STREAM, 0, 1, (8).to_bytes(4)), *frames)


def _setting(number: int, value: int) -> bytes:
    return frame(SETTINGS, payload=number.to_bytes(2) + value.to_bytes(4))


def _too_long(kind: int) -> Case:
    """Send a frame one octet longer than the proxy said that it takes."""

    def play(talk: Talk) -> None:
        size = talk.settings.get(FRAME_SIZE, 1 << 14) + 1
        if kind == DATA:
            talk.send(talk.post(), frame(DATA, END_STREAM, 1, bytes(size)))
        else:
            fields = block(*talk.head(), (b"x-long", b"a" * size))[:size]
            talk.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, fields))

    return play


_ONE = (1).to_bytes(4)
_BLOCK = block((b"x-a", b"b"))
_BAD_HUFFMAN = b"\0\x01a\x81"  # a literal of one coded octet, which follows

CONNECTION: dict[str, Case] = {
    # 4.2, 4.3
    "a long HEADERS": _too_long(HEADERS),
    "an index that is not in the table": _says(frame(HEADERS, 5, 1, b"\xfe")),
    "the index 0": _says(frame(HEADERS, 5, 1, b"\x80")),
    "an index beyond every integer": _says(frame(HEADERS, 5, 1, b"\xff" * 12 + b"\x7f")),
    "a table larger than was agreed": _says(frame(HEADERS, 5, 1, b"\x3f\xe1\xff\x7f")),
    "a string longer than its block": _says(frame(HEADERS, 5, 1, b"\0\x7f\x7fabc")),
    "a Huffman code with zeros at its end": _says(frame(HEADERS, 5, 1, _BAD_HUFFMAN + b"\x18")),
    "a Huffman code with nothing but its end": _says(frame(HEADERS, 5, 1, b"\0\x01a\x84\xff\xff\xff\xff")),
    "random octets for a header block": _says(frame(HEADERS, 5, 1, bytes(range(255, 100, -1)))),
    "a priority within a header block": lambda talk: talk.send(
        frame(HEADERS, END_STREAM, 1, block(*talk.head())), frame(PRIORITY, 0, 1, bytes(5)), frame(CONTINUATION, 4, 1)
    ),
    "another stream within a header block": lambda talk: talk.send(
        frame(HEADERS, END_STREAM, 1, block(*talk.head())),
        frame(HEADERS, 5, 3, block(*talk.head())),
        frame(CONTINUATION, 4, 1),
    ),
    "an unknown frame within a header block": lambda talk: talk.send(
        frame(HEADERS, END_STREAM, 1, block(*talk.head())), frame(0x16, 0, 0, bytes(8)), frame(CONTINUATION, 4, 1)
    ),
    "a ping within a header block": lambda talk: talk.send(
        frame(HEADERS, END_STREAM, 1, block(*talk.head())), frame(PING, 0, 0, bytes(8)), frame(CONTINUATION, 4, 1)
    ),
    # 5.1
    "DATA on an idle stream": _says(frame(DATA, END_STREAM, 1, b"abc")),
    "RST_STREAM on an idle stream": _says(frame(RST_STREAM, 0, 1, bytes(4))),
    "WINDOW_UPDATE on an idle stream": _says(frame(WINDOW_UPDATE, 0, 1, _ONE)),
    "CONTINUATION on an idle stream": _says(frame(CONTINUATION, END_HEADERS, 1, _BLOCK)),
    "CONTINUATION on a half-closed stream": _after_get(frame(CONTINUATION, END_HEADERS, 1, _BLOCK)),
    "CONTINUATION on a stream given up": _after_reset(frame(CONTINUATION, END_HEADERS, 1, _BLOCK)),
    "CONTINUATION on a stream answered": _after_answer(frame(CONTINUATION, END_HEADERS, 1, _BLOCK)),
    # 5.1.1
    "an even stream": lambda talk: talk.send(frame(HEADERS, 5, 2, block(*talk.head()))),
    "a stream lower than one before": lambda talk: talk.send(
        talk.get(5), frame(HEADERS, 5, 3, block(*talk.head(b"/bad")))
    ),
    # 6.1
    "DATA on stream 0": _says(frame(DATA, END_STREAM, 0, b"abc")),
    "DATA with more padding than data": _after_post(frame(DATA, END_STREAM | PADDED, 1, b"\x06abc")),
    # 6.2
    "HEADERS on stream 0": lambda talk: talk.send(frame(HEADERS, 5, 0, block(*talk.head()))),
    "HEADERS with more padding than headers": _says(frame(HEADERS, 5 | PADDED, 1, b"\xff" + _BLOCK)),
    # 6.3
    "PRIORITY on stream 0": _says(frame(PRIORITY, 0, 0, bytes(5))),
    # 6.4
    "RST_STREAM on stream 0": _says(frame(RST_STREAM, 0, 0, bytes(4))),
    "RST_STREAM of three octets": _after_post(frame(RST_STREAM, 0, 1, bytes(3))),
    "RST_STREAM of five octets": _after_post(frame(RST_STREAM, 0, 1, bytes(5))),
    # 6.5
    "an acknowledgement of SETTINGS with SETTINGS in it": _says(frame(SETTINGS, ACK, 0, bytes(6))),
    "SETTINGS on a stream": _says(frame(SETTINGS, 0, 1, bytes(6))),
    "SETTINGS of three octets": _says(frame(SETTINGS, 0, 0, bytes(3))),
    "ENABLE_PUSH of 2": _says(_setting(2, 2)),
    "a window beyond 2^31": _says(_setting(WINDOW, 1 << 31)),
    "a frame size below 2^14": _says(_setting(FRAME_SIZE, (1 << 14) - 1)),
    "a frame size beyond 2^24": _says(_setting(FRAME_SIZE, 1 << 24)),
    # 6.6
    "PUSH_PROMISE from a client": _after_post(frame(PUSH_PROMISE, END_HEADERS, 1, (2).to_bytes(4) + _BLOCK)),
    # 6.7
    "PING on a stream": _says(frame(PING, 0, 1, bytes(8))),
    "PING of six octets": _says(frame(PING, 0, 0, bytes(6))),
    # 6.8
    "GOAWAY on a stream": _says(frame(GOAWAY, 0, 1, bytes(8))),
    # 6.9
    "WINDOW_UPDATE of 0": _says(frame(WINDOW_UPDATE, 0, 0, bytes(4))),
    "WINDOW_UPDATE of three octets": _says(frame(WINDOW_UPDATE, 0, 0, b"\0\0\1")),
    "a window that grows beyond 2^31": _says(*[frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")] * 2),
    # 6.10
    "CONTINUATION on stream 0": lambda talk: talk.send(
        frame(HEADERS, END_STREAM, 1, block(*talk.head())), frame(CONTINUATION, END_HEADERS, 0, _BLOCK)
    ),
    "CONTINUATION of another stream": lambda talk: talk.send(
        frame(HEADERS, END_STREAM, 1, block(*talk.head())), frame(CONTINUATION, END_HEADERS, 3, _BLOCK)
    ),
    "CONTINUATION after the end of a header block": _after_post(frame(CONTINUATION, END_HEADERS, 1, _BLOCK)),
    "CONTINUATION after DATA": _after_post(frame(DATA, 0, 1, b"a"), frame(CONTINUATION, END_HEADERS, 1, _BLOCK)),
    "CONTINUATION after CONTINUATION has ended": lambda talk: talk.send(
        frame(HEADERS, 0, 1, block(*talk.head(b"/late", b"POST"))),
        frame(CONTINUATION, END_HEADERS, 1, _BLOCK),
        frame(CONTINUATION, END_HEADERS, 1, _BLOCK),
    ),
}

STREAM: dict[str, Case] = {
    "a long DATA": _too_long(DATA),
    "DATA on a half-closed stream": _after_get(frame(DATA, END_STREAM, 1, b"abc")),
    "HEADERS on a half-closed stream": _after_get(frame(HEADERS, 5, 1, _BLOCK)),
    "HEADERS on a stream answered": _after_answer(frame(HEADERS, 5, 1, _BLOCK)),
    "DATA on a stream answered": _after_answer(frame(DATA, END_STREAM, 1, b"abc")),
    "PRIORITY of four octets": lambda talk: talk.send(talk.post(), frame(PRIORITY, 0, 1, bytes(4))),
    "WINDOW_UPDATE of 0 for a stream": _after_post(frame(WINDOW_UPDATE, 0, 1, bytes(4))),
    "a stream's window that grows beyond 2^31": _after_post(*[frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff")] * 2),
}

IGNORED: dict[str, Case] = {
    "an unknown frame": _says(frame(0x16, 0xFF, 0, b"abc")),
    "an unknown frame on a stream": _after_get(frame(0x16, 0, 1, b"abc")),
    "flags that PING does not have": _says(frame(PING, 0xFE, 0, bytes(8))),
    "the bit before a stream's number": lambda talk: talk.send(talk.get().replace(b"\0\0\0\1", b"\x80\0\0\1", 1)),
    "a setting that is not known": _says(_setting(0xFF, 1)),
    "an answer to no ping": _says(frame(PING, ACK, 0, b"invalid!")),
    "PRIORITY on an idle stream": _says(frame(PRIORITY, 0, 3, bytes(4) + b"\x10")),
    "PRIORITY on a stream answered": _after_answer(frame(PRIORITY, 0, 1, (3).to_bytes(4) + b"\x10")),
    "RST_STREAM on a stream answered": _after_answer(frame(RST_STREAM, 0, 1, (8).to_bytes(4))),
    "WINDOW_UPDATE on a stream answered": _after_answer(frame(WINDOW_UPDATE, 0, 1, _ONE)),
    "WINDOW_UPDATE on a half-closed stream": _after_get(frame(WINDOW_UPDATE, 0, 1, _ONE)),
    "the same setting twice": _says(frame(SETTINGS, 0, 0, (b"\0\4" + bytes(4)) + (b"\0\4\0\0\xff\xff"))),
    "padding and a priority": lambda talk: talk.send(
        frame(HEADERS, 5 | PADDED | WEIGHTED, 1, b"\x04" + bytes(4) + b"\x10" + block(*talk.head(b"/fine")) + bytes(4))
    ),
    "a header block in small pieces": lambda talk: talk.send(_in_pieces(block(*talk.head(b"/fine")))),
    "an empty DATA at the end": lambda talk: talk.send(talk.post(1, b"/fine"), frame(DATA, END_STREAM, 1)),
    "a padded DATA": lambda talk: talk.send(
        talk.post(1, b"/fine", (b"content-length", b"3")), frame(DATA, END_STREAM | PADDED, 1, b"\x04abc" + bytes(4))
    ),
    "trailers": lambda talk: talk.send(talk.post(1, b"/fine"), frame(DATA, 0, 1, b"a"), frame(HEADERS, 5, 1, _BLOCK)),
    "cookies in crumbs": lambda talk: talk.send(
        frame(HEADERS, 5, 1, block(*talk.head(b"/fine"), (b"cookie", b"a=b"), (b"cookie", b"c=d")))
    ),
}


def _in_pieces(whole: bytes) -> bytes:
    first, *between, last = [whole[at : at + 8] for at in range(0, len(whole), 8)]
    frames = [frame(CONTINUATION, 0, 1, piece) for piece in between]
    return b"".join([frame(HEADERS, END_STREAM, 1, first), *frames, frame(CONTINUATION, END_HEADERS, 1, last)])


@pytest.mark.parametrize("name", CONNECTION)
def test_a_connection_error_ends_the_connection(judge: Judge, name: str) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        CONNECTION[name](talk)
        assert "connection" in talk.outcome(), talk.heard
        assert talk.closes()
    judge.control()
    assert judge.arrived() == []


@pytest.mark.parametrize("name", STREAM)
def test_a_stream_error_ends_the_stream_or_the_connection(judge: Judge, name: str) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        STREAM[name](talk)
        assert talk.outcome() & {"connection", "stream"}, talk.heard
    judge.control()
    assert judge.arrived() == []


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_allowed_or_unknown_disturbs_nothing(judge: Judge, name: str) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        IGNORED[name](talk)
        assert not talk.outcome() & {"connection", "stream", "refused"}, talk.heard
        talk.pipe.opened.settimeout(PATIENCE)
        talk.send(talk.get(9))
        talk.wait_for_end(9)
        assert set(talk.statuses.values()) == {200}
    judge.control()
    assert judge.arrived() == []


@pytest.mark.parametrize(
    "octets",
    [
        b"GET /bad HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + frame(SETTINGS),
        PREFACE.lower() + frame(SETTINGS),
        b"\0" * 100,
    ],
)
def test_another_beginning_ends_the_connection(judge: Judge, octets: bytes) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.send(octets)
        assert talk.closes()
    judge.control()


# Malformed requests (8.1 to 8.5).

type Twist = Callable[[Fields], Fields]


def _adding(*fields: tuple[bytes, bytes]) -> Twist:
    return lambda head: [*head, *fields]


def _with(name: bytes, value: bytes) -> Twist:
    return lambda head: [(key, value if key == name else old) for key, old in head]


def _without(*names: bytes) -> Twist:
    return lambda head: [(key, value) for key, value in head if key not in names]


def _twice(name: bytes) -> Twist:
    return lambda head: [each for key, value in head for each in [(key, value)] * (2 if key == name else 1)]


def _last(name: bytes) -> Twist:
    return lambda head: [*(each for each in head if each[0] != name), *(each for each in head if each[0] == name)]


_NAMES = (
    *(
        b"X-Upper",
        b"x y",
        b"x\ty",
        b"x:y",
        b"x\0y",
        b"x\ny",
        b"x\ry",
        b"x\x7fy",
        b"x\xe9y",
        b" x",
        b"x ",
        b"",
        b"x\r\nhost",
    ),
    *(b"x(y", b'x"y', b"x/y", b"x,y"),
)
_VALUES = (
    *(
        b"a\rb",
        b"a\nb",
        b"a\0b",
        b"a\r\nhost: evil.example",
        b"a\r\n\r\nGET /bad HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\r",
        b"\n",
    ),
    *(b"a\r\n b", b"a\r\n", b"\0"),
)
_PATHS = (
    *(
        b"",
        b"bad",
        b"*",
        b"/bad x",
        b"/bad\tx",
        b"/bad\r\nx: y",
        b"/bad\nx",
        b"/bad\0",
        b"/bad HTTP/1.1\r\nx: y",
    ),
    *(b"https://localhost/bad", b"https://evil.example/bad", b"/bad\x7f", b" /bad", b"/bad "),
)
_METHODS = (b"", b"GET /bad HTTP/1.1\r\nx: y", b"GET ", b" GET", b"G\0T", b"G T", b"G\nT", b"GET:", b"G(T")
_AUTHORITIES = (
    *(b"", b"evil.example", b"localhost", b"localhost:1", b"localhost:443", b"evil.example@localhost:PORT", b"a b"),
    *(b"localhost:PORT@evil.example", b"localhost:PORT, evil.example", b"localhost:PORT\r\nx: y", b"localhost:PORT/x"),
    *(b"localhost:PORT ", b"localhost:PORT#", b"localhost:PORT?", b"localhost.:PORT", b"localhost:+PORT"),
)
_SCHEMES = (b"https\r\nx: y", b"https\0")
_CONNECTION_SPECIFIC = (
    *((b"connection", b"keep-alive"), (b"connection", b"x-key"), (b"keep-alive", b"timeout=5")),
    *((b"proxy-connection", b"keep-alive"), (b"transfer-encoding", b"chunked"), (b"upgrade", b"h2c")),
    *((b"te", b"gzip"), (b"te", b"trailers, deflate")),
)

MALFORMED: dict[str, Twist] = {
    **{f"the name {name!r}": _adding((name, b"value")) for name in _NAMES},
    **{f"the value {value!r}": _adding((b"x-a", value)) for value in _VALUES},
    **{f"the path {path!r}": _with(b":path", path) for path in _PATHS},
    **{f"the method {method!r}": _with(b":method", method) for method in _METHODS},
    **{f"the authority {authority!r}": _with(b":authority", authority) for authority in _AUTHORITIES},
    **{f"the scheme {scheme!r}": _with(b":scheme", scheme) for scheme in _SCHEMES},
    **{f"no {name.decode()}": _without(name) for name in (b":method", b":scheme", b":path", b":authority")},
    **{f"two of {name.decode()}": _twice(name) for name in (b":method", b":scheme", b":path", b":authority")},
    **{f"{name.decode()} after others": _last(name) for name in (b":method", b":scheme", b":path", b":authority")},
    **{f"{name.decode()}: {value.decode()}": _adding((name, value)) for name, value in _CONNECTION_SPECIFIC},
    "a pseudo-header that is not known": lambda head: [(b":unknown", b"x"), *head],
    "a pseudo-header of answers": lambda head: [(b":status", b"200"), *head],
    "a pseudo-header without a name": lambda head: [(b":", b"x"), *head],
    "a protocol without CONNECT": lambda head: [(b":protocol", b"websocket"), *head],
    "no headers at all": lambda _: [],
    "two hosts": _adding((b"host", b"evil.example")),
    "a host that is another": lambda head: [*_without(b":authority")(head), (b"host", b"evil.example")],
    "CONNECT": lambda head: _without(b":path", b":scheme")(_with(b":method", b"CONNECT")(head)),
    "CONNECT with a path": _with(b":method", b"CONNECT"),
    "CONNECT for a protocol that was not offered": lambda head: [
        (b":protocol", b"websocket"),
        *_with(b":method", b"CONNECT")(head),
    ],
    "a length without a body": _adding((b"content-length", b"5")),
    "a length that is no number": _adding((b"content-length", b"abc")),
    "a length with a sign": _adding((b"content-length", b"+0")),
    "a length below zero": _adding((b"content-length", b"-1")),
    "two lengths": _adding((b"content-length", b"0"), (b"content-length", b"5")),
    "a list of lengths": _adding((b"content-length", b"0, 5")),
    "a length and a transfer coding": _adding((b"content-length", b"0"), (b"transfer-encoding", b"chunked")),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_refused_and_never_arrives(judge: Judge, name: str) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        head = [(key, value.replace(b"PORT", b"%d" % talk.port)) for key, value in MALFORMED[name](talk.head())]
        talk.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*head)))
        outcome = talk.outcome()
        assert outcome & {"connection", "stream", "refused"}, (head, talk.heard)
        assert "served" not in outcome
        if outcome == {"refused"}:
            assert json.loads(talk.bodies[1])["error"]
    judge.control()
    assert judge.arrived() == []


@pytest.mark.parametrize("scheme", [b"http", b"ftp", b"HTTPS", b"", b"a b", b"https://evil.example/?"])
def test_another_scheme_is_refused_or_corrected(judge: Judge, scheme: bytes) -> None:
    """RFC 9113, 8.3.1: it is not restricted, but what leaves is https."""
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        talk.send(frame(HEADERS, 5, 1, block(*_with(b":scheme", scheme)(talk.head(b"/fine")))))
        assert talk.outcome() & {"connection", "stream", "refused", "served"}
    judge.control()


@pytest.mark.parametrize("value", [b" a", b"a ", b"\ta", b"a\t"])
def test_a_value_with_space_around_it_is_refused_or_trimmed(judge: Judge, value: bytes) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        talk.send(frame(HEADERS, 5, 1, block(*talk.head(b"/fine"), (b"x-a", value))))
        talk.outcome()
    judge.control()


_BODIES: dict[str, tuple[Fields, list[bytes]]] = {
    "less than its length": ([(b"content-length", b"5")], [frame(DATA, END_STREAM, 1, b"abc")]),
    "more than its length": ([(b"content-length", b"2")], [frame(DATA, END_STREAM, 1, b"abc")]),
    "more than its length in two": (
        [(b"content-length", b"4")],
        [frame(DATA, 0, 1, b"abc"), frame(DATA, END_STREAM, 1, b"def")],
    ),
    "less than its length before trailers": (
        [(b"content-length", b"5")],
        [frame(DATA, 0, 1, b"abc"), frame(HEADERS, 5, 1, _BLOCK)],
    ),
    "a second head that ends nothing": ([], [frame(DATA, 0, 1, b"abc"), frame(HEADERS, END_HEADERS, 1, _BLOCK)]),
    "trailers with a method": ([], [frame(DATA, 0, 1, b"a"), frame(HEADERS, 5, 1, block((b":method", b"GET")))]),
    "trailers with a path": ([], [frame(DATA, 0, 1, b"a"), frame(HEADERS, 5, 1, block((b":path", b"/bad")))]),
    "trailers in upper case": ([], [frame(DATA, 0, 1, b"a"), frame(HEADERS, 5, 1, block((b"X-Sum", b"1")))]),
    "trailers with a line feed": ([], [frame(DATA, 0, 1, b"a"), frame(HEADERS, 5, 1, block((b"x", b"a\nb: c")))]),
    "trailers with a transfer coding": (
        [],
        [frame(DATA, 0, 1, b"a"), frame(HEADERS, 5, 1, block((b"transfer-encoding", b"chunked")))],
    ),
}


@pytest.mark.parametrize("name", _BODIES)
def test_a_request_that_turns_out_malformed_never_arrives_complete(judge: Judge, name: str) -> None:
    more, frames = _BODIES[name]
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        talk.send(talk.post(1, b"/late", *more), *frames)
        outcome = talk.outcome()
        assert outcome & {"connection", "stream", "refused"}, talk.heard
        assert "served" not in outcome
    judge.control()
    assert judge.arrived() == []


# Whatever octets are sent: what arrives is strict.

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_TEXT = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_PSEUDO = {":method": r"[A-Z]+", ":scheme": "https", ":path": r"/[!-~\x80-\xff]*"}
_ONE_HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "proxy-authorization"}


def _strict(head: list[tuple[str, str]], port: int) -> None:
    """Fail where a head that arrived can be read in a second way, or says what only the proxy may decide."""
    pseudo = {name: value for name, value in head if name.startswith(":")}
    rest = [(name, value) for name, value in head if not name.startswith(":")]
    assert len(pseudo) + len(rest) == len(head), head
    assert pseudo.keys() == {*_PSEUDO, ":authority"}, head
    assert all(re.fullmatch(pattern, pseudo[name]) for name, pattern in _PSEUDO.items()), head
    assert {pseudo[":authority"], *(value for name, value in rest if name == "host")} == {f"localhost:{port}"}, head
    assert all(_TOKEN.fullmatch(name) and _TEXT.fullmatch(value) for name, value in rest), head
    assert not any(value != value.strip() for _, value in rest), head
    assert [value for name, value in rest if name == "x-key"] == [f"Bearer {SECRET}"], head
    assert not _ONE_HOP & {name for name, _ in rest}, head
    assert not any("authsome-proxy-managed" in value for _, value in rest), head


_ODD = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b"\x7f", b"\xe9", b"%", b"#", b"\r\n\r\n", b"A"]
)
_MESS = st.lists(st.one_of(_ODD, st.binary(max_size=8), st.just(b"x")), max_size=4).map(b"".join)
_SOME_NAMES = st.one_of(
    _MESS,
    st.sampled_from(
        [
            *(b"host", b"connection", b"te", b"x-key", b"authorization", b"content-length", b"transfer-encoding"),
            *(b":path", b":method", b":authority", b":scheme", b":status", b"cookie", b"x-a", b"expect", b"upgrade"),
        ]
    ),
)
_SOME_VALUES = st.one_of(
    _MESS, st.sampled_from([b"0", b"3", b"chunked", b"trailers", b"authsome-proxy-managed", b"evil.example", b"GET"])
)
_ODD_FIELDS = st.lists(st.tuples(_SOME_NAMES, _SOME_VALUES), min_size=1, max_size=3)
_SANE_FIELDS = st.lists(
    st.sampled_from(
        [
            *(
                (b"x-a", b"b"),
                (b"x-key", b"mine"),
                (b"authorization", b"Bearer authsome-proxy-managed"),
                (b"te", b"trailers"),
            ),
            *(
                (b"content-length", b"0"),
                (b"x-b", b"\xe9"),
                (b"cookie", b"a=b"),
                (b"x-c", b""),
                (b"expect", b"100-continue"),
            ),
        ]
    ),
    max_size=3,
)
_ODD_PATHS = st.one_of(_MESS.map(lambda octets: b"/any" + octets), _MESS)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(odd=st.integers(0, 5), path=_ODD_PATHS, fields=_ODD_FIELDS, sane=_SANE_FIELDS)
def test_whatever_fields_are_sent_only_strict_requests_arrive(
    judge: Judge, odd: int, path: bytes, fields: Fields, sane: Fields
) -> None:
    """One thing is odd at most: a request with everything odd gets no further than its first field."""
    talk = Talk(judge.stage.frames(), judge.stage.port)
    known = len(judge.heads)
    with talk.pipe:
        talk.greet()
        head = [*talk.head(path if odd == 0 else b"/any"), *sane]
        head = {1: [*fields, *head], 2: [*head, *fields], 3: [*head[:-1], *fields]}.get(odd, head)
        talk.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*head)))
        with contextlib.suppress(EndedError):
            talk.wait_for_any(1)
    arrived = judge.heads[known:]
    assert len(arrived) <= 1
    for each in arrived:
        _strict(each, talk.port)
    assert not judge.stage.failed


def test_it_serves_on_after_all_of_these(judge: Judge) -> None:
    judge.control()
    _strict(judge.heads[-1], judge.stage.port)
    assert len([head for head in judge.heads if dict(head)[":path"].startswith("/any")]) > 50, "hardly any was judged"


# Limits and floods.


def test_more_streams_than_were_offered_are_refused(judge: Judge) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        limit = talk.settings[MAX_STREAMS]
        assert 100 <= limit <= 1000
        talk.send(*(talk.post(1 + 2 * number) for number in range(limit + 1)))
        assert talk.outcome() & {"connection", "stream"}
    judge.control()
    assert judge.arrived() == []


def test_an_answer_waits_for_the_window_it_is_given(judge: Judge) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet(b"\0\4" + (1).to_bytes(4))
        talk.send(talk.get())
        talk.wait_for(DATA, 1)
        talk.pipe.opened.settimeout(QUIET)
        with contextlib.suppress(TimeoutError):
            talk.wait_for(DATA, 1)
        assert talk.bodies[1] == b"o"
        talk.pipe.opened.settimeout(PATIENCE)
        talk.send(_setting(WINDOW, 3))
        while len(talk.bodies[1]) < 3:
            talk.hear()
        assert talk.bodies[1] == b"ooo"
        talk.send(_setting(WINDOW, 0), frame(WINDOW_UPDATE, 0, 1, (1 << 10).to_bytes(4)))
        talk.wait_for_end(1)
        assert talk.bodies[1] == b"o" * 100
    judge.control()


def test_settings_and_pings_are_answered(judge: Judge) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        if not any(kind == SETTINGS and flags & ACK for kind, flags, *_ in talk.heard):
            talk.wait_for(SETTINGS, ack=True)
        talk.send(frame(PING, 0, 0, b"12345678"))
        talk.wait_for(PING, ack=True)
        assert talk.heard[-1][3] == b"12345678"


@pytest.mark.parametrize("pieces", [1, 200])
def test_a_head_of_megabytes_is_refused(judge: Judge, pieces: int) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        more = [(b"x-%d" % number, b"a" * ((1 << 20) // pieces)) for number in range(pieces)]
        whole = block(*talk.head(), *more)
        first, *rest = [whole[at : at + (1 << 14)] for at in range(0, len(whole), 1 << 14)]
        frames = [frame(CONTINUATION, 0, 1, piece) for piece in rest]
        talk.send(frame(HEADERS, END_STREAM, 1, first), *frames, frame(CONTINUATION, END_HEADERS, 1))
        assert talk.outcome() & {"connection", "stream", "refused"}
    judge.control()
    assert judge.arrived() == []


def test_a_small_head_that_unpacks_to_megabytes_is_refused(judge: Judge) -> None:
    """One entry of the table, named four thousand times (CVE-2016-6581)."""
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        large = b"\x40" + _string(b"x") + _string(b"a" * 4000)
        talk.send(frame(HEADERS, 5, 1, block(*talk.head()) + large + b"\xbe" * 4000))
        assert talk.outcome() & {"connection", "stream", "refused"}
    judge.control()
    assert judge.arrived() == []


def _send_for_ever(talk: Talk, frames: bytes) -> None:
    """Send until the other side has had enough."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        talk.pipe.send(frames)
        time.sleep(0.001)


@pytest.mark.parametrize("payload", [b"", block((b"x", b"y")), bytes(1 << 14)], ids=["empty", "small", "full"])
def test_a_header_block_without_end_is_not_read_for_ever(judge: Judge, payload: bytes) -> None:
    """CONTINUATION without END_HEADERS, again and again (VU#421644)."""
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        talk.pipe.send(frame(HEADERS, END_STREAM, 1, block(*talk.head())))
        many = frame(CONTINUATION, 0, 1, payload) * (100 if len(payload) > 100 else 1000)
        with pytest.raises(OSError):  # noqa: PT011  a reset, a broken pipe or the end of TLS
            _send_for_ever(talk, many)
    judge.control()
    assert judge.arrived() == []


def test_a_thousand_streams_given_up_at_once_leave_the_proxy_serving(judge: Judge) -> None:
    """CVE-2023-44487."""
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        for number in range(1000):
            stream = 1 + 2 * number
            talk.send(talk.get(stream, b"/fine"), frame(RST_STREAM, 0, stream, (8).to_bytes(4)))
        judge.control()
    judge.control()
    assert judge.arrived() == []


@pytest.mark.parametrize(
    "one",
    [
        frame(PING, payload=bytes(8)),
        frame(SETTINGS),
        _setting(WINDOW, 1000),
        frame(PRIORITY, 0, 1, (3).to_bytes(4) + b"\x10"),
        frame(WINDOW_UPDATE, 0, 0, _ONE),
        frame(0x16, 0, 0, b"abc"),
    ],
    ids=["PING", "SETTINGS", "a setting", "PRIORITY", "WINDOW_UPDATE", "unknown"],
)
def test_a_flood_of_small_frames_whose_answers_nobody_reads_leaves_the_proxy_serving(judge: Judge, one: bytes) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        talk.pipe.opened.settimeout(1)
        with contextlib.suppress(OSError):
            for _ in range(100):
                talk.pipe.send(one * 100)
        judge.control()
    judge.control()


def test_a_flood_of_empty_data_leaves_the_proxy_serving(judge: Judge) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        talk.send(talk.post(1, b"/late"))
        for _ in range(100):
            talk.send(frame(DATA, 0, 1) * 100)
        judge.control()
    judge.control()
    assert judge.arrived() == []


def test_a_request_that_was_refused_leaves_the_next_on_its_connection_alone(judge: Judge) -> None:
    talk = judge.talk()
    with talk.pipe:
        talk.greet()
        talk.send(frame(HEADERS, 5, 1, block(*_with(b":authority", b"evil.example")(talk.head()))))
        talk.wait_for_end(1)
        talk.send(talk.get(3))
        talk.wait_for_end(3)
        assert (talk.statuses[1] // 100, talk.statuses[3]) == (4, 200)
    judge.control()


def test_nothing_arrived_late(judge: Judge) -> None:
    """Of the last cases; each of the others had the time of the next control."""
    assert not soon(lambda: judge.arrived() != [], 1)
    judge.control()
