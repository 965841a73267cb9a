"""A request that an upstream could read as another one, or as two: refused, or written anew; never more than one.

`tests/proxy/test_oracle.py` sends many more shapes of HTTP/1.1, and whatever octets a machine can think of.
"""

import pytest

from byhand import Answer, http2
from octets import Fields, read
from scripted import Reply
from stage import HELD, KEY, Stage

pytest_plugins = ["stage_fixtures"]

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n"
AUTHORIZATION = b"Authorization: Bearer authsome-proxy-managed\r\n"

HTTP1: dict[str, tuple[bytes, bytes]] = {
    "both framings": (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "two lengths": (b"Content-Length: 3\r\nContent-Length: 0\r\n", b"abc" + SMUGGLED),
    "a length behind a bare carriage return": (b"X-A: b\rContent-Length: 0\r\nContent-Length: 3\r\n", b"abc"),
    "a line feed in a chunk extension": (b"Transfer-Encoding: chunked\r\n", b"2;a\nxx\r\n4c\r\n0\r\n\r\n" + SMUGGLED),
    "a folded line": (b"X-A: b\r\n folded: line\r\n", b""),
    "a NUL in a value": (b"X-A: a\0b\r\n", b""),
    "a control character in a value": (b"X-A: a\x0bb\r\n", b""),
    "two hosts": (b"Host: evil.example\r\n", b""),
    "a coding that hides": (b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "a space before the colon": (b"Content-Length : 3\r\n", b"abc" + SMUGGLED),
}


def _judge(stage: Stage, answer: Answer) -> None:
    """Fail if anything but a single request with the real key arrived, or more was answered."""
    assert len(stage.origin.arrived) <= 1
    assert answer.octets.count(b"HTTP/1.1 200") <= 1
    for carried in stage.origin.carried:
        if carried.protocol != "h2":
            requests, rest = read(bytes(carried.octets))
            assert not rest or not requests
    for arrived in stage.origin.arrived:
        assert arrived.path == b"/a"
        assert arrived.values(b"authorization") == [b"Bearer " + KEY.encode()]
        assert (arrived.values(b"host") or arrived.values(b":authority")) == [stage.host.encode()]
        assert b"smuggled" not in arrived.body or b"Host: evil.example" in arrived.body


@pytest.mark.parametrize("name", HTTP1)
def test_what_could_be_read_in_two_ways_is_refused(stage: Stage, name: str) -> None:
    lines, body = HTTP1[name]
    head = b"POST /a HTTP/1.1\r\nHost: " + stage.host.encode() + b"\r\n" + AUTHORIZATION
    with stage.open() as connection:
        answer = connection.ask_octets(head + lines + b"\r\n" + body)
    assert answer.status in {400, 421, None}
    _judge(stage, answer)
    assert stage.origin.arrived == []


@pytest.mark.parametrize(
    "body",
    [
        b"3;a=b\r\nabc\r\n0\r\n\r\n",
        b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n',
        b"3 ; a=%s\r\nabc\r\n0;last\r\n\r\n" % (b"b" * 5000),
        b"3;\0\r\nabc\r\n0\r\n\r\n",
        b"0003\r\nabc\r\n000\r\n\r\n",
    ],
)
def test_what_hides_in_the_size_of_a_chunk_does_not_arrive(stage: Stage, body: bytes) -> None:
    head = b"POST /a HTTP/1.1\r\nHost: " + stage.host.encode() + b"\r\n" + AUTHORIZATION
    with stage.open() as connection:
        answer = connection.ask_octets(head + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    _judge(stage, answer)
    assert [arrived.body for arrived in stage.origin.arrived] in ([], [b"abc"])
    assert b";" not in stage.origin.octets().partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "trailers",
    [
        b"Authorization: Bearer mine\r\n",
        b"Content-Length: 99\r\n",
        b"Host: evil.example\r\n",
        b"X-A: b\r\n",
        b"X\0: a\r\n",
    ],
)
def test_a_trailer_is_no_header(stage: Stage, trailers: bytes) -> None:
    """RFC 9110, 6.5.1: fields for framing, routing and authentication do not belong there."""
    head = b"POST /a HTTP/1.1\r\nHost: " + stage.host.encode() + b"\r\n" + AUTHORIZATION
    with stage.open() as connection:
        octets = head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + trailers + b"\r\n"
        connection.opened.settimeout(0.5)
        answer = connection.ask_octets(octets)
    _judge(stage, answer)
    names = {name for arrived in stage.origin.arrived for name, _ in arrived.trailers}
    assert names <= {b"x-a"}
    assert b"mine" not in stage.origin.octets()
    assert b"evil.example" not in stage.origin.octets()


GOOD = {b":method": b"GET", b":scheme": b"https", b":path": b"/a"}

HTTP2: dict[str, dict[bytes, bytes]] = {
    "an URL for a path": {b":path": b"https://evil.example/a"},
    "a request line in the path": {b":path": b"/a HTTP/1.1\r\nX-Other: y"},
    "a space in the path": {b":path": b"/a b"},
    "no path": {b":path": b""},
    "a path that is none": {b":path": b"a"},
    "a request line in the method": {b":method": b"GET https://evil.example/?"},
    "lines in the method": {b":method": b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\nGET"},
    "a CONNECT": {b":method": b"CONNECT"},
    "a protocol of its own": {b":method": b"CONNECT", b":protocol": b"websocket"},
    "another authority": {b":authority": b"evil.example"},
    "lines in the authority": {b":authority": b"api.acme.example\r\nX-A: b"},
    "a carriage return in a value": {b"x-a": b"b\rcontent-length: 0"},
    "a line feed in a value": {b"x-a": b"b\nhost: evil.example"},
    "lines in a value": {b"x-a": b"b\r\n\r\n" + SMUGGLED},
    "a NUL in a value": {b"x-a": b"a\0b"},
    "lines in a name": {b"x-a: b\r\nhost": b"evil.example"},
    "a colon in a name": {b"host:": b"evil.example"},
    "an empty name": {b"": b"evil.example"},
    "another host": {b"host": b"evil.example"},
    "a coding": {b"transfer-encoding": b"chunked"},
    "a coding with its end": {b"transfer-encoding": b"chunked", b"content-length": b"0"},
    "a length as CGI writes it": {b"content_length": b"3"},
    "a pseudo-header that there is not": {b":host": b"evil.example"},
    "a pseudo-header of answers": {b":status": b"200"},
}


def _fields(stage: Stage, changed: dict[bytes, bytes]) -> Fields:
    fields = GOOD | {b":authority": stage.host.encode()} | changed
    pseudo = [(name, value) for name, value in fields.items() if name.startswith(b":")]
    others = [(name, value) for name, value in fields.items() if not name.startswith(b":")]
    return (*pseudo, (b"authorization", HELD[0][1]), *others)


@pytest.mark.parametrize("body", [b"", SMUGGLED])
@pytest.mark.parametrize("name", HTTP2)
def test_what_http2_can_say_and_http1_cannot_is_refused(stage: Stage, name: str, body: bytes) -> None:
    with stage.open("h2") as connection:
        connection.opened.settimeout(2)
        answer = http2(connection).ask_fields(_fields(stage, HTTP2[name]), body)
    assert answer.status in {400, 403, 421, None}, answer
    _judge(stage, answer)
    assert stage.origin.arrived == []


@pytest.mark.parametrize(
    ("changed", "body"),
    [
        ({b"content-length": b"0"}, SMUGGLED),
        ({b"content-length": b"99"}, b"abc"),
        ({b"content-length": b"3, 3"}, b"abc"),
        ({b"connection": b"x-a, authorization", b"x-a": b"b"}, b""),
        ({b"upgrade": b"h2c"}, b""),
        ({b"proxy-connection": b"keep-alive"}, b""),
        ({b":scheme": b"http"}, b""),
        ({b":scheme": b"https://evil.example/"}, b""),
        ({b"X-Upper": b"case"}, b""),
        ({b"expect": b"100-continue"}, b"abc"),
        ({b"te": b"gzip"}, b""),
    ],
)
def test_what_http2_forbids_arrives_mended_or_not_at_all(
    stage: Stage, changed: dict[bytes, bytes], body: bytes
) -> None:
    with stage.open("h2") as connection:
        connection.opened.settimeout(0.5)
        answer = http2(connection).ask_fields(_fields(stage, changed), body)
    _judge(stage, answer)
    for arrived in stage.origin.arrived:
        assert not arrived.values(b"connection") and not arrived.values(b"upgrade")  # noqa: PT018  RFC 9113, 8.2.2
        assert arrived.values(b"te") in ([], [b"trailers"])
        assert arrived.values(b":scheme") in ([], [b"https"])
        assert arrived.values(b"content-length") in ([], [b"%d" % len(arrived.body)])


@pytest.mark.parametrize(
    "trailers", [((b"authorization", b"Bearer mine"),), ((b":path", b"/b"),), ((b"x-a", b"b\r\nc: d"),)]
)
def test_a_trailer_over_http2_is_no_header(stage: Stage, trailers: Fields) -> None:
    with stage.open("h2") as connection:
        connection.opened.settimeout(0.5)
        answer = http2(connection).ask_fields(_fields(stage, {b":method": b"POST"}), b"abc", trailers)
    _judge(stage, answer)
    names = {name for arrived in stage.origin.arrived for name, _ in arrived.trailers}
    assert not names & {b"authorization", b":path", b"c"}
    assert b"mine" not in repr(stage.origin.arrived).encode()


@pytest.mark.parametrize("accepted", [True, False])
def test_what_follows_a_changed_protocol_is_no_request(stage: Stage, accepted: bool) -> None:
    """After the handshake of a WebSocket only its frames arrive, whether the upstream agreed or not."""
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    if accepted:
        head = b"HTTP/1.1 101 Said\r\n" + upgrade + b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"
        later: list[bytes] = []
        stage.origin.script = lambda _: Reply(raw=(head,), then=lambda opened: later.append(opened.recv(1 << 16)))
    with stage.open() as connection:
        start = b"GET /a HTTP/1.1\r\nHost: " + stage.host.encode() + b"\r\n" + AUTHORIZATION + upgrade + key + b"\r\n"
        answer = connection.ask_octets(start)
        assert answer.status == (101 if accepted else 200)
        connection.opened.settimeout(0.5)
        connection.ask_octets(SMUGGLED)
    _judge(stage, answer)
    assert b"smuggled" not in stage.origin.octets()
    if accepted:
        assert b"smuggled" not in b"".join(later)


def test_one_request_for_one(stage: Stage, protocol: str) -> None:
    """The control: a body that reads like a request is a body."""
    assert stage.ask(protocol, "POST", "/a", body=SMUGGLED).status == 200
    assert stage.injected().body == SMUGGLED
