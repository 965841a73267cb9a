"""Requests as octets through the real proxy, judged by what an origin received.

The judge (`octets`) shares no code with the program.
"""

import datetime
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from raw import Client, Origin

from authsome.manifest import Allowed, Declared
from authsome.provider import ApiKey, Definition, resolve
from authsome.proxy import Proxy, upstream
from authsome.proxy.authority import Authority
from authsome.rules import Use, make
from authsome.session import Session
from octets import HEAD, Arrived, read

SECRET = b"CANARY-oracle-key"


class _Unread:
    """A log that nobody keeps."""

    def opened(self, peer: tuple[str, int]) -> None: ...

    def record(self, use: Use) -> None: ...

    def closed(self, peer: tuple[str, int]) -> None: ...


class Wire:
    """The proxy with one rule, an origin behind it and a client before it."""

    def __init__(self, folder: Path) -> None:
        self.origin = Origin(folder, lambda octets: len(read(octets)[0]))
        self.host = f"localhost:{self.origin.port}".encode()
        provider = resolve(
            Definition("local", f"https://localhost:{self.origin.port}", api_key=ApiKey(header_name="X-Key"))
        )
        allow = (Allowed.parse("GET /ok/**"), Allowed.parse("POST /ok/*"))
        rules = make([Declared(provider, allow=allow)], lambda _: True)
        session = Session({("local", "default"): {"api_key": SECRET.decode()}})
        authority = Authority(frozenset({"localhost"}), datetime.datetime.now(datetime.UTC))
        outside = upstream.read({"SSL_CERT_FILE": str(self.origin.roots)})
        self._failed: list[BaseException] = []
        proxy = Proxy(rules, session, authority, outside)
        proxy.start(self._failed.append, _Unread())
        self.client = Client(proxy.url, authority.pem, self.origin.port)

    def judge(self, request: bytes, sent: int) -> SimpleNamespace:
        """Send octets that hold at most `sent` requests; fail where what arrived is not what was permitted."""
        before = [len(carried) for carried in self.origin.connections]
        answer = self.client.send(request)
        arrived: list[Arrived] = []
        # A connection may be one that was kept from an earlier request.
        for connection, start in zip_longest(list(self.origin.connections), before, fillvalue=0):
            carried = bytes(connection)[start:]
            requests, rest = read(carried)
            arrived += requests
            assert b"authsome-proxy-managed" not in carried, carried
            # An unfinished request may be cut off, but never be followed or preceded by octets of another.
            assert not rest or (HEAD.match(rest) and not requests) or not rest.strip(b"\r\n"), (request, carried)
        assert len(arrived) <= sent, (request, arrived)
        for each in arrived:
            self._permitted(each)
        assert SECRET not in answer
        assert not self._failed
        return SimpleNamespace(arrived=arrived, statuses=re.findall(rb"^HTTP/1\.1 (\d+)", answer, re.MULTILINE))

    def _permitted(self, each: Arrived) -> None:
        path = each.path.partition(b"?")[0]
        assert each.values(b"host") == [self.host], each
        assert each.values(b"x-key") == [b"Bearer " + SECRET], each
        assert not each.values(b"authorization"), each
        assert not each.trailers, each
        folders = path.split(b"/")
        assert folders[:2] == [b"", b"ok"], each
        assert not {b".", b".."} & set(folders), each
        assert each.method == b"GET" or (each.method == b"POST" and len(folders) == 3), each

    def good(self) -> None:
        request = b"GET /ok/a HTTP/1.1\r\nHost: " + self.host + b"\r\nX-Key: authsome-proxy-managed\r\n\r\n"
        assert self.judge(request, 1).statuses == [b"200"]


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    made = Wire(tmp_path_factory.mktemp("outside"))
    made.good()
    yield made
    made.origin.close()


_SMUGGLED = b"GET /ok/smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n"
_CHUNKED = b"Transfer-Encoding: chunked"

GALLERY: dict[str, tuple[bytes, bytes]] = {
    "both framings": (b"Content-Length: 3\r\n" + _CHUNKED, b"0\r\n\r\n" + _SMUGGLED),
    "both framings, the other way": (_CHUNKED + b"\r\nContent-Length: 3", b"0\r\n\r\n" + _SMUGGLED),
    "two codings": (_CHUNKED + b"\r\nTransfer-Encoding: identity", b"0\r\n\r\n" + _SMUGGLED),
    "chunked twice": (_CHUNKED + b", chunked", b"0\r\n\r\n" + _SMUGGLED),
    "chunked but not last": (_CHUNKED + b", identity", b"0\r\n\r\n" + _SMUGGLED),
    "a coding nobody knows": (b"Transfer-Encoding: xchunked", b"0\r\n\r\n" + _SMUGGLED),
    "a space before the colon": (b"Transfer-Encoding : chunked", b"0\r\n\r\n" + _SMUGGLED),
    "a folded coding": (b"Transfer-Encoding:\r\n chunked", b"0\r\n\r\n" + _SMUGGLED),
    "a coding after a vertical tab": (b"Transfer-Encoding:\x0bchunked", b"0\r\n\r\n" + _SMUGGLED),
    "a quoted coding": (b'Transfer-Encoding: "chunked"', b"0\r\n\r\n" + _SMUGGLED),
    "a coding after a bare carriage return": (b"X: y\r" + _CHUNKED, b"0\r\n\r\n" + _SMUGGLED),
    "a coding after a NUL": (b"Transfer-Encoding: \0chunked", b"0\r\n\r\n" + _SMUGGLED),
    "a length with a sign": (b"Content-Length: +3", b"abc" + _SMUGGLED),
    "a negative length": (b"Content-Length: -3", b"abc" + _SMUGGLED),
    "a length in hex": (b"Content-Length: 0x3", b"abc" + _SMUGGLED),
    "a length with an underscore": (b"Content-Length: 0_3", b"abc" + _SMUGGLED),
    "a length with a space": (b"Content-Length: 3 3", b"abc" + _SMUGGLED),
    "a list of lengths": (b"Content-Length: 3, 4", b"abcd" + _SMUGGLED),
    "two lengths": (b"Content-Length: 3\r\nContent-Length: 4", b"abcd" + _SMUGGLED),
    "an empty length": (b"Content-Length:", _SMUGGLED),
    "digits that are not ASCII": (b"Content-Length: \xb3", b"abc" + _SMUGGLED),
    "a chunk size with 0x": (_CHUNKED, b"0x3\r\nabc\r\n0\r\n\r\n"),
    "a chunk size with a sign": (_CHUNKED, b"+3\r\nabc\r\n0\r\n\r\n"),
    "a chunk size with an underscore": (_CHUNKED, b"0_3\r\nabc\r\n0\r\n\r\n"),
    "a chunk size beyond every integer": (_CHUNKED, b"f" * 40 + b"\r\nabc\r\n0\r\n\r\n"),
    "a negative chunk size": (_CHUNKED, b"-1\r\nabc\r\n0\r\n\r\n"),
    "a chunk longer than its size": (_CHUNKED, b"3\r\nabcd\r\n0\r\n\r\n"),
    "a length as CGI writes it": (b"Content_Length: 3", b"abc" + _SMUGGLED),
    "a coding as CGI writes it": (b"Transfer_Encoding: chunked", b"0\r\n\r\n" + _SMUGGLED),
    "two lengths that agree": (b"Content-Length: 3\r\nContent-Length: 3", b"abc" + _SMUGGLED),
    "two hosts": (b"Host: evil.example", b""),
    "a name of HTTP/2": (b":authority: evil.example", b""),
    "an empty name": (b": evil", b""),
    "a line without a colon": (b"evil", b""),
    "a NUL in a name": (b"X\0Y: z", b""),
    "a bare line feed in a value": (b"X: y\nHost: evil.example", b""),
}
"""Headers and a body that servers are known to read in two ways."""


@pytest.mark.parametrize("name", GALLERY)
def test_what_servers_read_in_two_ways_is_refused_or_framed_anew(wire: Wire, name: str) -> None:
    header, body = GALLERY[name]
    request = b"POST /ok/a HTTP/1.1\r\nHost: " + wire.host + b"\r\n" + header + b"\r\n\r\n" + body
    # Nothing of it is one good request, so nothing of it may arrive complete.
    judged = wire.judge(request, 0)
    assert b"200" not in judged.statuses
    wire.good()


@pytest.mark.parametrize(
    "line",
    [
        *(b"GET https://evil.example/ok/a HTTP/1.1", b"GET https://localhost/ok/a HTTP/1.1", b"GET /ok/a"),
        *(b"GET /ok/a HTTP/0.9", b"GET /ok/a HTTP/1.1 HTTP/1.1", b"GET /ok/a HTTP/1.2", b"GET /ok/a HTTP/2.0"),
        *(b"GET /ok/../a HTTP/1.1", b"GET /ok/%2e%2e/a HTTP/1.1", b"GET /ok//a HTTP/1.1", b"get /ok/a HTTP/1.1"),
        *(b"GET /ok/a\0b HTTP/1.1", b"GET /ok/a\rb HTTP/1.1", b"GET /ok/a\\..\\b HTTP/1.1", b"PRI * HTTP/2.0"),
        *(b"DELETE /ok/a HTTP/1.1", b"GET /other HTTP/1.1", b"GET ok/a HTTP/1.1", b"GET /ok/a?_method=DELETE HTTP/1.1"),
        *(b"GET  /ok/a HTTP/1.1", b"GET\t/ok/a\tHTTP/1.1"),
        *(b"CONNECT localhost:1 HTTP/1.1", b"GET /ok/" + b"a" * 200_000 + b"\0 HTTP/1.1"),
    ],
)
def test_a_request_line_that_is_not_permitted_never_arrives(wire: Wire, line: bytes) -> None:
    judged = wire.judge(line + b"\r\nHost: " + wire.host + b"\r\n\r\n", 0)
    assert b"200" not in judged.statuses
    wire.good()


@pytest.mark.parametrize(
    ("line", "headers", "body"),
    [
        (b"GET /ok/a HTTP/1.0", b"", b""),
        (b"GET /ok/a HTTP/1.1\nX-A: b", b"", b""),
        (b"POST /ok/a HTTP/1.1", b"Content-Length: 3\r\nConnection: content-length, x-key\r\n", b"abc"),
        (b"POST /ok/a HTTP/1.1", b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"abc"),
        (b"GET /ok/a HTTP/1.1", b"X-Key: a\r\nX-Key: b\r\nx_key: c\r\nAuthorization: d\r\n", b""),
        (b"GET /ok/a HTTP/1.1", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", b""),
    ],
)
def test_what_is_read_generously_is_written_strictly(wire: Wire, line: bytes, headers: bytes, body: bytes) -> None:
    request = line + b"\r\nHost: " + wire.host + b"\r\n" + headers + b"\r\n" + body
    (arrived,) = wire.judge(request + _SMUGGLED, 1).arrived
    assert arrived.path == b"/ok/a"
    names = {name for name, _ in arrived.headers}
    assert not names & {b"x_key", b"upgrade", b"proxy-authorization"}
    assert not any(b"x-key" in value or b"content-length" in value for value in arrived.values(b"connection"))


def _mostly(plain: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return what is plain four times of five: a request with everything odd gets no further than its first line."""
    return st.sampled_from([1, 1, 1, 1, 0]).flatmap(lambda choice: plain if choice else odd)


_OCTETS = st.binary(max_size=30)
_ODD = st.sampled_from([b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b"\r\n ", b"\r\n\r\n", b"\x0b", b"\x85", b"%"])
_PIECES = st.one_of(_OCTETS, _ODD, st.sampled_from([b"GET", b"HTTP/1.1", b"Host", b"/ok/a", b"chunked", b"0", b"3"]))
_MESS = st.lists(_PIECES, max_size=5).map(b"".join)
_NAMES = st.one_of(
    _MESS,
    st.sampled_from(
        [b"Host", b"Content-Length", b"Transfer-Encoding", b"X-Key", b"Authorization", b"Connection", b"X-A", b"Expect"]
    ),
)
_VALUES = st.one_of(_MESS, st.sampled_from([b"chunked", b"0", b"3", b"close", b"authsome-proxy-managed", b"X-Key"]))
_ODD_LINES = st.tuples(_NAMES, st.sampled_from([b": ", b":", b" : ", b""]), _VALUES).map(b"".join)
_SANE = st.sampled_from(
    [
        *(b"X-A: b", b"X-Key: mine", b"x_key: mine", b"Authorization: Bearer authsome-proxy-managed", b"Accept: */*"),
        *(b"Content-Length: 0", b"Connection: x-key", b"X-B: \xe9", b"Expect: 100-continue"),
    ]
)
_LINES = _mostly(st.lists(_SANE, max_size=3), st.lists(st.one_of(_SANE, _ODD_LINES), max_size=5))
_TEXT = st.text("abc/.%2e?_=~", max_size=6).map(lambda text: b"/ok/" + text.encode())
_ENDS = _mostly(st.just(b"\r\n"), st.sampled_from([b"\n", b"\r"]))


@settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    method=_mostly(st.sampled_from([b"GET", b"POST"]), st.one_of(st.just(b"DELETE"), _MESS)),
    path=_mostly(_TEXT, st.one_of(_MESS, _MESS.map(lambda octets: b"/ok/" + octets))),
    lines=_LINES,
    end=_ENDS,
    body=st.one_of(st.just(b""), st.just(b"0\r\n\r\n"), _MESS),
)
def test_whatever_octets_are_sent_only_permitted_requests_arrive(
    wire: Wire, method: bytes, path: bytes, lines: list[bytes], end: bytes, body: bytes
) -> None:
    head = end.join([method + b" " + path + b" HTTP/1.1", b"Host: " + wire.host, *lines])
    request = head + end + end + body
    # Each request that could be read into it begins with a version at the end of a line.
    wire.judge(request, len(re.findall(rb"HTTP/1\.[01]", request)))


def test_the_proxy_serves_on_after_all_of_this(wire: Wire) -> None:
    wire.good()
