"""Ordinary and unusual traffic through the real proxy, with every octet on both sides in the test's hands."""

import contextlib
import gc
import gzip
import hashlib
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import brotli  # type: ignore[import-untyped]  # it has no types
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import pytest
from hyperframe.frame import GoAwayFrame
from play import (
    SECRET,
    EndedError,
    Http2,
    Message,
    Pipe,
    Script,
    Stage,
    answering,
    chunk,
    each_until_ended,
    frame,
    ok,
    read_frame,
    read_message,
    request,
    soon,
    text,
)
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Event, Message as MessageEvent, Request, TextMessage
from wsproto.extensions import PerMessageDeflate

from authsome.proxy import engine
from authsome.proxy.http2 import Flow

QUIET = 0.4
"""Seconds in which nothing may arrive that must not."""
BIG = 20 << 20


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def _pattern(size: int) -> bytes:
    """Return content in which no two places look alike, so that what is lost, doubled or moved is found."""
    blocks = (hashlib.sha256(number.to_bytes(8)).digest() for number in range(size // 32 + 1))
    return b"".join(blocks)[:size]


CONTENT = _pattern(1 << 20)


def _then(pipe: Pipe, _: int) -> None:
    """Answer everything with `next`."""
    for _each in each_until_ended(pipe.request):
        pipe.send(ok(b"next"))


def _keeping(seen: list[Message]) -> Script:
    """Return a script that remembers each request and answers it."""

    def answer(got: Message) -> bytes:
        seen.append(got)
        return ok()

    return answering(answer)


# Framing of answers.


def test_the_trailers_of_a_chunked_answer_arrive(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        pipe.send(head + chunk(b"one") + chunk(b"two") + b"0\r\nX-Sum: 6\r\n\r\n")
        _then(pipe, 0)

    stage.play(play)
    with stage.line() as line:
        answer = line.ask("/", "TE: trailers", "Connection: TE")
        assert (answer.body, answer.trailers) == (b"onetwo", [("x-sum", "6")])
        assert not answer.values("x-sum")
        assert line.ask().body == b"next"


def test_the_key_in_a_trailer_does_not_arrive(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        key = pipe.request().values("x-key")[0].encode()
        pipe.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Echo: " + key + b"\r\n\r\n")

    stage.play(play)
    with stage.line() as line:
        answer = line.ask("/", "TE: trailers", "Connection: TE")
        assert answer.complete
        assert SECRET not in str(answer)


def test_the_trailers_of_a_request_break_nothing_and_become_no_headers(stage: Stage) -> None:
    seen: list[Message] = []
    stage.play(_keeping(seen))
    with stage.line() as line:
        head = request("/", "Transfer-Encoding: chunked", "Trailer: X-Sum", method="POST")
        line.send(head + chunk(b"abc") + b"0\r\nX-Sum: 3\r\nHost: evil.example\r\nX-Key: mine\r\n\r\n")
        assert line.answer().body == b"ok"
        assert line.ask("/after").body == b"ok"
    first, second = seen
    assert first.body == b"abc"
    assert not first.values("x-sum")
    assert first.values("x-key") == [f"Bearer {SECRET}"]
    assert first.values("host") == [f"localhost:{stage.port}"]
    assert second.path == "/after"


@pytest.mark.parametrize("speaks", ["http/1.1", "h2"])
def test_an_early_hint_arrives_before_the_answer_is_there(stage: Stage, speaks: str) -> None:
    hinted = threading.Event()
    link = "</style.css>; rel=preload"

    def play1(pipe: Pipe, _: int) -> None:
        pipe.request()
        pipe.send(b"HTTP/1.1 103 Early Hints\r\nLink: " + link.encode() + b"\r\n\r\n")
        assert hinted.wait(10)
        pipe.send(ok(b"late"))

    def play2(pipe: Pipe, _: int) -> None:
        with Http2(pipe.opened, client=False) as wire:
            stream = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(stream, [(":status", "103"), ("link", link)])
            wire.flush()
            assert hinted.wait(10)
            wire.protocol.send_headers(stream, [(":status", "200")])
            wire.send(stream, b"late", end=True)
            _until_gone(wire)

    stage.play(play1 if speaks == "http/1.1" else play2, speaks)
    if speaks == "h2":
        with stage.http2() as wire:
            stream = wire.ask("/")
            early = wire.wait(h2.events.InformationalResponseReceived, stream)
            assert ("link", link) in text(early.headers)
            hinted.set()
            assert wire.answer(stream).body == b"late"
    else:
        with stage.line() as line:
            line.send(request())
            early1 = line.head()
            assert (early1.status, early1.values("link")) == (103, [link])
            hinted.set()
            assert line.answer().body == b"late"


def _until_gone(wire: Http2) -> None:
    for _ in each_until_ended(wire.read):
        pass


@pytest.mark.parametrize(
    ("method", "head", "status"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: x\r\n\r\n", 200),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: x\r\n\r\n", 304),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", 304),
        ("GET", b"HTTP/1.1 204 No Content\r\nETag: x\r\n\r\n", 204),
        ("DELETE", b"HTTP/1.1 204 No Content\r\nETag: x\r\n\r\n", 204),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: x\r\n\r\n", 200),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: x\r\n\r\n", 200),
    ],
)
def test_an_answer_without_a_body_ends_with_its_head(stage: Stage, method: str, head: bytes, status: int) -> None:
    stage.play(answering(lambda got: head if got.path == "/" else ok(b"next")))
    with stage.line() as line:
        answer = line.ask(method=method)
        assert (answer.status, answer.values("etag"), answer.body) == (status, ["x"], b"")
        if b"Length: 1000" in head and method == "HEAD":
            assert answer.values("content-length") == ["1000"]
        # On the same connection: nothing of it is taken for a body.
        assert line.ask("/next").body == b"next"


def test_a_client_of_http_1_0_gets_an_answer_it_can_read(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        pipe.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"one") + chunk(b"two") + chunk(b""))
        _until_ended(pipe)

    stage.play(play)
    with stage.line() as line:
        line.send(request().replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = line.answer()
        assert not answer.values("transfer-encoding")
        assert answer.body == b"onetwo"
        assert line.ended()


def _until_ended(pipe: Pipe) -> None:
    for _ in each_until_ended(pipe.some):
        pass


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_a_body_that_ends_with_its_connection_arrives_whole(stage: Stage, version: bytes) -> None:
    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        pipe.send(version + b" 200 OK\r\nContent-Type: text/plain\r\n\r\n" + CONTENT)

    stage.play(play)
    with stage.line() as line:
        answer = line.ask()
        assert answer.complete
        assert answer.body == CONTENT


@pytest.mark.parametrize("end", [b"3\r\ntwo\r\n0\r\n\r\n", b""], ids=["whole", "cut short"])
def test_a_client_of_http_1_0_can_tell_a_whole_answer_from_one_cut_short(stage: Stage, end: bytes) -> None:
    """Such an answer ends with its connection, so how that ends says it."""

    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        pipe.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n" + end)

    stage.play(play)
    with stage.line() as line:
        line.send(request().replace(b"HTTP/1.1", b"HTTP/1.0"))
        answer = line.answer()
        assert (answer.body, answer.complete) == ((b"onetwo", True) if end else (b"one", False))


def test_a_body_that_ends_with_a_reset_is_visibly_incomplete(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        pipe.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhalf of it")
        time.sleep(QUIET)
        pipe.reset()

    stage.play(play)
    with stage.line() as line:
        assert not line.ask().complete


def test_an_answer_in_both_framings_is_read_in_one_way_or_not_at_all(stage: Stage) -> None:
    both = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"

    def play(pipe: Pipe, number: int) -> None:
        pipe.request()
        pipe.send(both + b"3\r\nabc\r\n0\r\n\r\n" + ok(b"split") if number == 0 else ok(b"next"))
        _then(pipe, number)

    stage.play(play)
    with stage.line() as line:
        answer = line.ask()
        assert not (answer.values("content-length") and answer.values("transfer-encoding"))
        assert (answer.status, answer.body) == (200, b"abc") or (answer.status, answer.refusal) == (
            502,
            "upstream_failed",
        )
    with stage.line() as line:
        assert line.ask().body == b"next"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1e1\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\0" * 2000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nraw",
    ],
)
def test_an_answer_that_is_not_http_is_told_as_such(stage: Stage, answer: bytes) -> None:
    def play(pipe: Pipe, number: int) -> None:
        pipe.request()
        pipe.send(answer if number == 0 else ok(b"next"))
        _then(pipe, number)

    stage.play(play)
    with stage.line() as line:
        found = line.ask()
        assert found.status == 502, found
        assert found.refusal in ("upstream_failed", "unreadable_response")
    with stage.line() as line:
        assert line.ask().body == b"next"


@pytest.mark.parametrize("value", [b"a\0b", b"a\rSet-Cookie: b", b"a\r\n\tb", b"a\x0bb"])
def test_no_octet_that_ends_a_line_or_a_string_arrives_in_a_header(stage: Stage, value: bytes) -> None:
    """RFC 9110, 5.5: refused, or replaced by a space."""
    stage.play(answering(lambda _: b"HTTP/1.1 200 OK\r\nX: " + value + b"\r\nContent-Length: 0\r\n\r\n"))
    with stage.line() as line:
        answer = line.ask()
        assert answer.status in (200, 502)
        assert not any(octet in text for octet in "\r\n\0" for _, text in answer.headers), answer
        assert not answer.values("set-cookie")
        assert all(name.strip() for name, _ in answer.headers)


def test_a_damaged_answer_is_the_origins_failure_and_not_ours(stage: Stage) -> None:
    stage.play(answering(lambda _: ok(gzip.compress(CONTENT) + b"\0no gzip", "Content-Encoding: gzip")))
    with stage.line() as line:
        assert not line.ask().complete
    assert soon(lambda: [use.decision for use in stage.uses] == ["upstream_failed"])


def test_a_head_without_end_is_not_read_for_ever(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        pipe.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(64 << 10):
            pipe.send(f"X-{number}: {'a' * 1000}\r\n".encode())

    stage.play(play)
    with stage.line() as line:
        assert (found := line.ask()).status == 502
        assert found.refusal == "upstream_failed"


# What is not the proxy's to change.


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/a%20b",
            "/a%2Fb",
            "/%E2%82%AC",
            "/a+b",
            "/a;b=c",
            "/a,b",
            "/~a/$b/!c",
            "/a:b@c",
            "/a?b=c&d=e%26f",
            "/a?b?c",
        ),
        *("/a?q=[1]|{2}", "/a?x=%zz", "/a?", "/a??", "/a?=&&=", "//a", "/a//b/", "/a?" + "x" * 6000),
    ],
)
def test_a_path_arrives_as_it_was_sent(stage: Stage, path: str) -> None:
    seen: list[Message] = []
    stage.play(_keeping(seen))
    with stage.line() as line:
        assert line.ask(path).status == 200
    assert [got.path for got in seen] == [path]


@pytest.mark.parametrize(
    "method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND", "M-SEARCH"]
)
@pytest.mark.parametrize("body", [b"", b"abc"])
def test_a_method_arrives_as_it_was_sent_with_a_body_or_without(stage: Stage, method: str, body: bytes) -> None:
    seen: list[Message] = []
    stage.play(_keeping(seen))
    with stage.line() as line:
        assert line.ask(method=method, body=body).body == b"ok"
        assert line.ask("/next").body == b"ok"
    assert [(got.method, got.body) for got in seen] == [(method, body), ("GET", b"")]


def test_an_empty_body_is_said_to_be_empty(stage: Stage) -> None:
    """Some servers answer 411 to a POST without a length."""
    seen: list[Message] = []
    stage.play(_keeping(seen))
    with stage.line() as line:
        assert line.ask("/", "Content-Length: 0", method="POST").body == b"ok"
    assert seen[0].values("content-length") == ["0"]


def test_headers_arrive_in_their_order_and_none_is_joined_to_another(stage: Stage) -> None:
    seen: list[Message] = []

    def answer(got: Message) -> bytes:
        seen.append(got)
        cookies = ("Set-Cookie: a=b; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "X-A: 1", "Set-Cookie: c=d", "X-A: 2")
        return ok(b"ok", *cookies, "X-Empty:")

    stage.play(answering(answer))
    with stage.line() as line:
        found = line.ask("/", "Accept: a/b", "X-A: 1", "Accept: c/d", "X-A: 2", "X-Empty:", "User-Agent: it")
    (got,) = seen
    assert (got.values("accept"), got.values("x-a"), got.values("x-empty")) == (["a/b", "c/d"], ["1", "2"], [""])
    assert got.values("user-agent") == ["it"]
    assert found.values("set-cookie") == ["a=b; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "c=d"]
    assert (found.values("x-a"), found.values("x-empty")) == (["1", "2"], [""])


def test_heads_of_twelve_kilobytes_pass_in_both_directions(stage: Stage) -> None:
    large = "a" * 12_000
    stage.play(answering(lambda got: ok(got.values("x-large")[0].encode(), f"X-Large: {large}")))
    with stage.line() as line:
        answer = line.ask("/", f"X-Large: {large}")
        assert (answer.body, answer.values("x-large")) == (large.encode(), [large])


@pytest.mark.parametrize(
    "first", ["200 OK", "200 ", "200", "201 Created", "206 Partial Content", "299 Odd", "302 Found", "404 Not Found"]
)
def test_a_status_arrives_as_it_was_sent(stage: Stage, first: str) -> None:
    head = f"HTTP/1.1 {first}\r\nContent-Length: 2\r\nLocation: https://other.example/\r\n\r\nok".encode()
    stage.play(answering(lambda _: head))
    with stage.line() as line:
        answer = line.ask()
        assert (answer.status, answer.body) == (int(first[:3]), b"ok")
        assert answer.values("location") == ["https://other.example/"]
        assert line.ask().status == int(first[:3])
    assert stage.connections == 1


@pytest.mark.parametrize("status", [405, 421, 429, 451, 500, 503, 511, 599])
def test_a_failure_of_the_origin_arrives_as_its_own(stage: Stage, status: int) -> None:
    stage.play(answering(lambda _: ok(b"no", "Retry-After: 1", status=f"{status} No")))
    with stage.line() as line:
        answer = line.ask()
        assert (answer.status, answer.body, answer.values("retry-after")) == (status, b"no", ["1"])
        assert not answer.values("x-authsome-error")


def test_ten_thousand_chunks_of_one_octet_pass(stage: Stage) -> None:
    stage.play(answering(lambda got: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _each(got.body)))
    with stage.line() as line:
        line.send(request("/", "Transfer-Encoding: chunked", method="POST") + _each(CONTENT[:10_000]))
        assert line.answer().body == CONTENT[:10_000]


def _each(body: bytes) -> bytes:
    return b"".join(chunk(bytes([octet])) for octet in body) + chunk(b"")


# Expect: 100-continue.


def test_a_client_that_waits_sends_its_body_when_the_origin_says_so(stage: Stage) -> None:
    bodies: list[bytes] = []

    def play(pipe: Pipe, _: int) -> None:
        head = pipe.head()
        pipe.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        pipe.body_of(head)
        bodies.append(head.body)
        pipe.send(ok(b"thanks"))
        _until_ended(pipe)

    stage.play(play)
    with stage.line() as line:
        line.send(request("/", "Expect: 100-continue", f"Content-Length: {len(CONTENT)}", method="POST"))
        assert line.head().status == 100
        line.send(CONTENT)
        answer = line.answer()
        assert (answer.body, answer.interim) == (b"thanks", [])
    assert bodies == [CONTENT]


@pytest.mark.parametrize("status", ["417 Expectation Failed", "413 Content Too Large", "401 Unauthorized"])
def test_a_client_that_waits_is_refused_before_it_sends(stage: Stage, status: str) -> None:
    received: list[bytes] = []

    def play(pipe: Pipe, _: int) -> None:
        pipe.head()
        pipe.send(ok(b"no", "Connection: close", status=status))
        received.append(pipe.rest()[0])

    stage.play(play)
    with stage.line() as line:
        line.send(request("/", "Expect: 100-continue", "Content-Length: 1000", method="POST"))
        answer = line.answer()
        # RFC 9110, 10.1.1: whether to go on is the origin's to say.
        assert (answer.interim, answer.status, answer.body) == ([], int(status[:3]), b"no")
    assert soon(lambda: received == [b""])


def test_a_client_that_waits_in_vain_sends_after_a_second(stage: Stage) -> None:
    bodies: list[bytes] = []

    def play(pipe: Pipe, _: int) -> None:
        found = pipe.request()
        bodies.append(found.body)
        pipe.send(ok(b"thanks"))
        _until_ended(pipe)

    stage.play(play)
    with stage.line() as line:
        line.send(request("/", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        time.sleep(1)
        line.send(b"hello")
        answer = line.answer()
        assert (answer.status, answer.body) == (200, b"thanks")
    assert bodies == [b"hello"]


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_an_interim_answer_that_nobody_asked_for_is_not_the_answer(stage: Stage, version: bytes) -> None:
    stage.play(answering(lambda _: b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ok(b"final")))
    with stage.line() as line:
        line.send(request().replace(b"HTTP/1.1", version))
        answer = line.answer()
        assert (answer.status, answer.body) == (200, b"final")
        # RFC 9110, 15.2: HTTP/1.0 knows none.
        assert not (answer.interim and version == b"HTTP/1.0")


# Both directions at once.


@pytest.mark.parametrize("length", [True, False], ids=["content-length", "chunked"])
def test_a_body_in_both_directions_arrives_whole(stage: Stage, length: bool) -> None:
    stage.play(answering(lambda got: ok(got.body[::-1])))
    with stage.line() as line:
        if length:
            line.send(request(method="PUT", body=CONTENT))
        else:
            pieces = b"".join(chunk(CONTENT[at : at + 70_001]) for at in range(0, len(CONTENT), 70_001))
            line.send(request("/", "Transfer-Encoding: chunked", method="PUT") + pieces + chunk(b""))
        assert line.answer().body == CONTENT[::-1]


@pytest.mark.parametrize("closes", [True, False], ids=["and closes", "and stays"])
def test_an_answer_during_an_upload_arrives_during_the_upload(stage: Stage, closes: bool) -> None:
    answered = threading.Event()

    def play(pipe: Pipe, _: int) -> None:
        pipe.head()
        pipe.send(ok(b"enough", *(["Connection: close"] if closes else []), status="413 Content Too Large"))
        if closes:
            pipe.half_close()
        answered.wait(10)
        pipe.opened.settimeout(1)
        _until_ended(pipe)

    stage.play(play)
    with stage.line() as line:
        line.send(request("/", f"Content-Length: {BIG}", method="POST"))
        sent = line.pour(bytes(BIG))
        answer = line.answer()
        answered.set()
        assert (answer.status, answer.body) == (413, b"enough")
        assert sent < BIG, "the proxy took in what nobody reads"


def test_an_upload_that_nobody_reads_waits_at_the_client(stage: Stage) -> None:
    """A proxy that took it all in would need as much memory as the body is long."""
    release = threading.Event()

    def play(pipe: Pipe, _: int) -> None:
        head = pipe.head()
        release.wait(10)
        pipe.body_of(head)
        pipe.send(ok(str(len(head.body)).encode()))

    stage.play(play)
    size = 64 << 20
    with stage.line() as line:
        line.send(request("/", f"Content-Length: {size}", method="POST"))
        line.opened.settimeout(1)
        block, sent = bytes(1 << 20), 0
        with contextlib.suppress(TimeoutError):
            while sent < size:
                line.opened.sendall(block)
                sent += len(block)
        assert sent < 40 << 20
    release.set()


def test_a_download_that_nobody_reads_waits_at_the_origin(stage: Stage) -> None:
    sent = [0]

    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        pipe.send(f"HTTP/1.1 200 OK\r\nContent-Length: {64 << 20}\r\n\r\n".encode())
        for _each in range(64):
            pipe.send(bytes(1 << 20))
            sent[0] += 1

    stage.play(play)
    with stage.line() as line:
        line.send(request())
        assert soon(lambda: sent[0] > 0)
        time.sleep(1.5)
        assert sent[0] < 40
        assert len(line.answer().body) == 64 << 20


def test_a_download_runs_while_its_upload_does(stage: Stage) -> None:
    """Each piece is answered before the next is sent."""

    def play(pipe: Pipe, _: int) -> None:
        pipe.head()
        pipe.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(pipe.until(b"\r\n"), 16):
            pipe.send(chunk(pipe.exactly(size).upper()))
            pipe.exactly(2)
        pipe.send(chunk(b""))

    stage.play(play)
    with stage.line() as line:
        line.send(request("/", "Transfer-Encoding: chunked", method="POST"))
        got = b""
        for number in range(5):
            line.send(chunk(b"piece %d;" % number))
            got += line.until(b"PIECE %d" % number)
            if number == 0:
                assert got.startswith(b"HTTP/1.1 200")
        line.send(chunk(b""))


def test_the_first_event_arrives_before_the_second_is_sent(stage: Stage) -> None:
    seen = threading.Event()

    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        pipe.send(head + chunk(b"data: first\n\n"))
        assert seen.wait(10)
        pipe.send(chunk(b"data: second\n\n") + chunk(b""))

    stage.play(play)
    with stage.line() as line:
        line.send(request("/", "Accept: text/event-stream"))
        line.until(b"data: first\n\n")
        seen.set()
        line.until(b"data: second\n\n")


# Slow ones, half-closed ones, gone ones.


def test_an_answer_that_expands_to_a_gigabyte_holds_up_no_other(stage: Stage) -> None:
    packer = brotli.Compressor(quality=3)
    bomb = b"".join(packer.process(bytes(1 << 24)) for _ in range(64)) + packer.finish()
    stage.play(answering(lambda it: ok(bomb, "Content-Encoding: br") if it.path == "/bomb" else ok()))
    with stage.line() as bombed, stage.line() as other:
        assert other.ask().body == b"ok"
        bombed.send(request("/bomb"))
        asked = [time.monotonic()]
        for _ in range(20):
            assert other.ask().body == b"ok"
            asked.append(time.monotonic())
        assert max(after - before for before, after in pairwise(asked)) < 1


def test_an_origin_may_answer_octet_by_octet(stage: Stage) -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n" + chunk(b"one") + chunk(b"two") + chunk(b"")
    )

    def play(pipe: Pipe, _: int) -> None:
        for _each in each_until_ended(pipe.request):
            pipe.trickle(answer)

    stage.play(play)
    with stage.line() as line:
        for _ in range(2):
            found = line.ask()
            assert (found.body, found.values("x-a"), found.complete) == (b"onetwo", ["b"], True)


def test_a_client_may_ask_octet_by_octet(stage: Stage) -> None:
    seen: list[Message] = []
    stage.play(_keeping(seen))
    with stage.line() as line:
        port = str(stage.port).encode()
        line.trickle(request("/slow", "X-A: b", method="POST", body=b"slow body").replace(b"PORT", port))
        assert line.answer().body == b"ok"
        chunks = request("/slower", "Transfer-Encoding: chunked", method="POST") + chunk(b"slow") + chunk(b"")
        line.trickle(chunks.replace(b"PORT", port))
        assert line.answer().body == b"ok"
    assert [(got.path, got.body) for got in seen] == [("/slow", b"slow body"), ("/slower", b"slow")]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_client_that_has_said_all_still_gets_a_slow_answer(stage: Stage, method: str) -> None:
    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        time.sleep(0.7)
        pipe.send(ok(b"slow"))
        _until_ended(pipe)

    stage.play(play)
    with stage.line() as line:
        line.send(request(method=method, body=b"abc" if method == "POST" else b""))
        line.half_close()
        answer = line.answer()
        assert (answer.status, answer.body) == (200, b"slow")
        assert line.ended()


def test_an_origin_that_has_said_all_is_not_asked_again(stage: Stage) -> None:
    def play(pipe: Pipe, number: int) -> None:
        pipe.request()
        pipe.send(ok(str(number).encode()))
        pipe.half_close()
        assert pipe.ended(), "a request came over a connection that was closed"

    stage.play(play)
    with stage.line() as line:
        for number in range(3):
            assert line.ask().body == str(number).encode()
            time.sleep(0.2)


def test_a_client_that_says_close_gets_its_answer_and_the_end(stage: Stage) -> None:
    stage.play(answering(lambda _: ok()))
    with stage.line() as line:
        assert line.ask("/", "Connection: close").body == b"ok"
        assert line.ended()


def test_an_origin_that_says_close_is_not_asked_again(stage: Stage) -> None:
    def play(pipe: Pipe, number: int) -> None:
        pipe.request()
        pipe.send(ok(str(number).encode(), "Connection: close"))
        assert pipe.ended(), "a request came over a connection that was to be closed"

    stage.play(play)
    with stage.line() as line:
        assert line.ask().body == b"0"
    with stage.line() as line:
        assert line.ask().body == b"1"


def test_a_client_that_leaves_ends_the_request_at_the_origin(stage: Stage) -> None:
    gone = threading.Event()

    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        pipe.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"first"))
        pipe.rest()
        gone.set()

    stage.play(play)
    line = stage.line()
    line.send(request())
    line.until(b"first")
    line.reset()
    assert gone.wait(5)


def test_a_client_that_leaves_while_nobody_reads_its_upload_ends_the_request(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_LOOK_AFTER_SECONDS", 0.2)
    gone, asked = threading.Event(), threading.Event()

    def play(pipe: Pipe, _: int) -> None:
        pipe.head()
        asked.set()
        time.sleep(1.5)
        _until_ended(pipe)
        gone.set()

    stage.play(play)
    line = stage.line()
    line.send(request("/", f"Content-Length: {64 << 20}", method="POST"))
    assert asked.wait(5)
    line.opened.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        while True:
            line.opened.sendall(bytes(1 << 20))
    line.reset()
    assert gone.wait(8)
    assert soon(lambda: [use.decision for use in stage.uses] == ["inject"])


def test_an_answer_to_who_waited_for_a_word_to_go_on_is_the_last_one(stage: Stage) -> None:
    """A 200 instead of a 100: whether a body follows, the client alone knows (RFC 9110, 10.1.1)."""

    def play(pipe: Pipe, _: int) -> None:
        pipe.head()
        pipe.send(ok(b"enough"))
        _until_ended(pipe)

    stage.play(play)
    with stage.line() as line:
        line.send(request("/", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        answer = line.answer()
        assert (answer.status, answer.body) == (200, b"enough")
        assert line.ended()


@pytest.mark.parametrize("silent", [True, False], ids=["to a silent answer", "to one that goes on"])
def test_a_client_that_says_no_more_is_waited_for_as_long_as_it_is_answered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, *, silent: bool
) -> None:
    """One that has closed its socket looks like one that still listens; so silence ends it, and nothing else does."""
    monkeypatch.setattr(engine, "_HALF_OPEN_SECONDS", 0.3)
    pieces, gone = 5, threading.Event()

    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        pipe.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _each in range(0 if silent else pieces):
            time.sleep(0.15)
            pipe.send(chunk(b"x"))
        if not silent:
            pipe.send(chunk(b""))
        pipe.rest()
        gone.set()

    stage.play(play)
    with stage.line() as line:
        line.send(request())
        line.half_close()
        if silent:
            assert gone.wait(5)
        else:
            assert line.answer().body == b"x" * pieces


def test_a_client_that_leaves_in_an_upload_leaves_an_incomplete_one(stage: Stage) -> None:
    ended: list[bool] = []

    def play(pipe: Pipe, _: int) -> None:
        head = pipe.head()
        pipe.body_of(head)
        ended.append(head.complete)

    stage.play(play)
    line = stage.line()
    line.send(request("/", "Transfer-Encoding: chunked", method="POST") + chunk(b"first"))
    time.sleep(QUIET)
    line.reset()
    assert soon(lambda: ended == [False])


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"abc"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"abc") + b"5\r\nde",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"abc") + b"0\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"abc") + b"zz\r\n",
    ],
    ids=["sized", "between chunks", "in a chunk", "before the trailers", "a bad chunk"],
)
def test_an_answer_that_breaks_off_is_visibly_incomplete(stage: Stage, begun: bytes, how: str) -> None:
    def play(pipe: Pipe, _: int) -> None:
        pipe.request()
        pipe.send(begun)
        time.sleep(QUIET)
        pipe.reset() if how == "reset" else pipe.close()

    stage.play(play)
    with stage.line() as line:
        answer = line.ask()
        assert answer.status == 502 or not answer.complete, answer


@pytest.mark.parametrize(
    "begun", [b"", b"HTT", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["reset", "close"])
def test_an_answer_that_does_not_begin_is_a_502_and_asked_for_once(
    stage: Stage, begun: bytes, how: str, method: str
) -> None:
    asked: list[str] = []

    def play(pipe: Pipe, _: int) -> None:
        asked.append(pipe.request().method)
        if begun:
            pipe.send(begun)
            time.sleep(0.1)
        pipe.reset() if how == "reset" else pipe.close()

    stage.play(play)
    with stage.line() as line:
        answer = line.ask(method=method, body=b"abc" if method == "POST" else b"")
        assert (answer.status, answer.refusal) == (502, "upstream_failed")
    assert asked == [method]


# Kept connections.


def test_a_kept_connection_is_used_again(stage: Stage) -> None:
    stage.play(answering(lambda got: ok(got.path.encode())))
    with stage.line() as line:
        for number in range(20):
            assert line.ask(f"/{number}").body == f"/{number}".encode()
    assert stage.connections == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_kept_connection_that_was_closed_while_idle_is_not_used(stage: Stage, method: str) -> None:
    asked: list[int] = []

    def play(pipe: Pipe, number: int) -> None:
        for _ in range(1 if number == 0 else 9):
            pipe.request()
            asked.append(number)
            pipe.send(ok(str(number).encode()) if method != "HEAD" or not number else ok(b"")[:-2] + b"\r\n")

    stage.play(play)
    with stage.line() as line:
        assert line.ask().body == b"0"
        time.sleep(QUIET)
        assert line.ask(method=method, body=b"abc" if method == "POST" else b"").status == 200
    assert asked == [0, 1]


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_question_that_met_a_dying_connection_is_asked_once_more(stage: Stage, how: str) -> None:
    asked: list[int] = []

    def play(pipe: Pipe, number: int) -> None:
        for turn in range(9):
            pipe.request()
            asked.append(number)
            if number == 0 and turn == 1:
                pipe.reset() if how == "reset" else pipe.close()
                return
            pipe.send(ok(str(number).encode()))

    stage.play(play)
    with stage.line() as line:
        assert line.ask().body == b"0"
        answer = line.ask()
        assert (answer.status, answer.body) == (200, b"1")
    assert asked == [0, 0, 1]


@pytest.mark.parametrize("how", ["reset", "close"])
def test_an_order_that_met_a_dying_connection_is_not_given_twice(stage: Stage, how: str) -> None:
    orders: list[int] = []

    def play(pipe: Pipe, number: int) -> None:
        for turn in range(9):
            if pipe.request().method == "POST":
                orders.append(number)
            if number == 0 and turn == 1:
                pipe.reset() if how == "reset" else pipe.close()
                return
            pipe.send(ok(str(number).encode()))

    stage.play(play)
    with stage.line() as line:
        assert line.ask().body == b"0"
        answer = line.ask(method="POST", body=b"one order")
        assert (answer.status, answer.refusal) == (502, "upstream_failed")
        assert line.ask().status == 200
    assert orders == [0]


def test_a_question_is_not_asked_a_third_time(stage: Stage) -> None:
    asked: list[int] = []

    def play(pipe: Pipe, number: int) -> None:
        pipe.request()
        asked.append(number)
        if number == 0:
            pipe.send(ok())
            pipe.request()
            asked.append(number)

    stage.play(play)
    with stage.line() as line:
        assert line.ask().body == b"ok"
        answer = line.ask()
        assert (answer.status, answer.refusal) == (502, "upstream_failed")
    assert asked in ([0, 0, 1], [0, 0])


@pytest.mark.parametrize("pause", [0.0, QUIET])
def test_what_an_origin_says_unasked_answers_nothing(stage: Stage, pause: float) -> None:
    """The next request on its connection would take it for its own answer."""

    def play(pipe: Pipe, number: int) -> None:
        pipe.request()
        if pause:
            pipe.send(ok(b"good"))
            time.sleep(pause / 2)
            pipe.send(ok(b"split"))
        else:
            pipe.send(ok(b"good") + ok(b"split"))
        _then(pipe, number)

    stage.play(play)
    with stage.line() as line:
        assert line.ask().body == b"good"
        time.sleep(pause)
        try:
            answer = line.ask()
        except EndedError:
            return
        assert b"split" not in answer.body
        assert answer.status in (200, 502)


def test_questions_asked_at_once_are_answered_in_order(stage: Stage) -> None:
    asked: list[str] = []

    def answer(got: Message) -> bytes:
        asked.append(got.path)
        time.sleep(0.02 if got.path == "/0" else 0)
        return ok(got.path.encode() + got.body)

    stage.play(answering(answer))
    with stage.line() as line:
        wanted = []
        for number in range(12):
            post = number % 3 == 1
            line.send(request(f"/{number}", method="POST" if post else "GET", body=b" abc" if post else b""))
            wanted.append(f"/{number}".encode() + (b" abc" if post else b""))
        assert [line.answer().body for _ in wanted] == wanted
    assert asked == [f"/{number}" for number in range(12)]


def test_hundreds_of_connections_are_served_at_once(stage: Stage) -> None:
    count = 300
    there = threading.Barrier(count, timeout=60)

    def play(pipe: Pipe, _: int) -> None:
        pipe.opened.settimeout(60)
        for got in each_until_ended(pipe.request):
            there.wait()
            pipe.send(ok(got.path.encode() * 100))

    def ask(number: int) -> bool:
        with stage.line() as line:
            line.opened.settimeout(60)
            return line.ask(f"/{number}").body == f"/{number}".encode() * 100

    stage.play(play)
    with ThreadPoolExecutor(count) as pool:
        assert all(pool.map(ask, range(count)))


# WebSocket.

KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def _upgraded(pipe: Pipe) -> Message:
    asked = pipe.request()
    assert asked.values("upgrade") == ["websocket"]
    assert asked.values("x-key") == [f"Bearer {SECRET}"]
    # The key is taken over or made anew: an answer that does not fit would be refused by the client.
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    pipe.send(f"{head}{_accept(asked.values('sec-websocket-key')[0])}\r\n\r\n".encode())
    return asked


def _accept(key: str) -> str:
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False).digest()
    return b64encode(digest).decode()


def _upgrade(line: Pipe) -> None:
    names = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"]
    answer = line.ask("/socket", *names)
    assert answer.status == 101
    assert answer.values("sec-websocket-accept") == [ACCEPT]


def _echo(pipe: Pipe, _: int) -> None:
    _upgraded(pipe)
    for opcode, payload in each_until_ended(lambda: read_message(pipe)):
        if opcode in (TEXT, BINARY, CLOSE):
            pipe.send(frame(opcode, payload))
        if opcode == CLOSE:
            return


def test_messages_of_a_websocket_pass_in_both_directions(stage: Stage) -> None:
    stage.play(_echo)
    with stage.line() as line:
        _upgrade(line)
        for opcode, payload in ((TEXT, "grüße".encode()), (BINARY, b"\0\xff"), (TEXT, b""), (BINARY, CONTENT[:70_000])):
            line.send(frame(opcode, payload, mask=True))
            assert read_message(line) == (opcode, payload)


def test_a_message_of_five_megabytes_arrives_whole(stage: Stage) -> None:
    stage.play(_echo)
    payload = CONTENT * 5
    with stage.line() as line:
        _upgrade(line)
        line.send(frame(BINARY, payload, mask=True))
        assert read_message(line) == (BINARY, payload)


def test_messages_that_came_with_the_answer_to_the_upgrade_arrive(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        asked = pipe.request()
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        accept = _accept(asked.values("sec-websocket-key")[0])
        pipe.send(f"{head}{accept}\r\n\r\n".encode() + frame(TEXT, b"hello") + frame(TEXT, b"again"))
        _until_ended(pipe)

    stage.play(play)
    with stage.line() as line:
        _upgrade(line)
        assert [read_message(line), read_message(line)] == [(TEXT, b"hello"), (TEXT, b"again")]


def test_a_message_from_the_origin_passes_before_it_is_complete(stage: Stage) -> None:
    seen = threading.Event()

    def play(pipe: Pipe, _: int) -> None:
        _upgraded(pipe)
        pipe.send(frame(TEXT, b"the beginning of it, ", end=False))
        assert seen.wait(10)
        pipe.send(frame(0, b"and its end"))
        _until_ended(pipe)

    stage.play(play)
    with stage.line() as line:
        _upgrade(line)
        _opcode, ends, first = read_frame(line)
        assert not ends
        assert first.startswith(b"the beginning")
        seen.set()
        payload = first
        while not ends:
            _opcode, ends, more = read_frame(line)
            payload += more
        assert payload == b"the beginning of it, and its end"


def test_a_message_from_the_client_passes_before_it_is_complete(stage: Stage) -> None:
    seen = threading.Event()
    got: list[bytes] = []

    def play(pipe: Pipe, _: int) -> None:
        _upgraded(pipe)
        _opcode, ends, first = read_frame(pipe)
        assert not ends
        seen.set()
        payload = first
        while not ends:
            _opcode, ends, more = read_frame(pipe)
            payload += more
        got.append(payload)
        _until_ended(pipe)

    stage.play(play)
    with stage.line() as line:
        _upgrade(line)
        line.send(frame(TEXT, b"the beginning of it, ", end=False, mask=True))
        assert seen.wait(5)
        line.send(frame(0, b"and its end", mask=True))
        assert soon(lambda: got == [b"the beginning of it, and its end"])


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4001])
def test_the_reason_of_a_close_passes_in_both_directions(stage: Stage, code: int) -> None:
    said = code.to_bytes(2) + b"enough said"
    heard: list[bytes] = []

    def play(pipe: Pipe, number: int) -> None:
        _upgraded(pipe)
        if number == 0:
            pipe.send(frame(CLOSE, said))
            heard.append(read_frame(pipe)[2][:2])
        else:
            heard.append(read_frame(pipe)[2])
            pipe.send(frame(CLOSE, said))

    stage.play(play)
    with stage.line() as line:
        _upgrade(line)
        assert read_frame(line) == (CLOSE, True, said)
        line.send(frame(CLOSE, said[:2], mask=True))
        assert line.ended()
    with stage.line() as line:
        _upgrade(line)
        line.send(frame(CLOSE, said, mask=True))
        assert read_frame(line)[2][:2] == said[:2]
    assert soon(lambda: heard == [said[:2], said])


def test_a_ping_is_answered_in_both_directions(stage: Stage) -> None:
    heard: list[bytes] = []

    def play(pipe: Pipe, _: int) -> None:
        _upgraded(pipe)
        pipe.send(frame(PING, b"origin asks"))
        for opcode, _ends, payload in each_until_ended(lambda: read_frame(pipe)):
            if opcode == PONG:
                heard.append(payload)
            if opcode == PING:
                pipe.send(frame(PONG, payload))

    stage.play(play)
    with stage.line() as line:
        _upgrade(line)
        assert read_frame(line) == (PING, True, b"origin asks")
        line.send(frame(PONG, b"origin asks", mask=True))
        line.send(frame(PING, b"client asks", mask=True))
        assert read_frame(line) == (PONG, True, b"client asks")
        assert soon(lambda: heard == [b"origin asks"])


def test_a_ping_between_the_parts_of_a_message_does_not_break_it(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        _upgraded(pipe)
        pipe.send(frame(TEXT, b"one ", end=False) + frame(PING, b"?") + frame(0, b"two", end=True))
        _until_ended(pipe)

    stage.play(play)
    with stage.line() as line:
        _upgrade(line)
        payload, ends = b"", False
        while not ends:
            opcode, last, more = read_frame(line)
            if opcode == PING:
                assert more == b"?"
                continue
            payload, ends = payload + more, last
        assert payload == b"one two"


@pytest.mark.parametrize("who", ["client", "origin"])
def test_a_side_that_leaves_a_websocket_ends_the_other(stage: Stage, who: str) -> None:
    gone = threading.Event()

    def play(pipe: Pipe, _: int) -> None:
        _upgraded(pipe)
        if who == "origin":
            pipe.reset()
            return
        pipe.rest()
        gone.set()

    stage.play(play)
    line = stage.line()
    _upgrade(line)
    if who == "client":
        line.reset()
        assert gone.wait(5)
    else:
        line.rest()
        line.close()


def _agree(peer: WSConnection, pipe: Pipe, answer: Callable[[Event], Event | None]) -> None:
    """Exchange events until the other side ends; an extension is agreed upon where it is offered."""
    for data in each_until_ended(pipe.some):
        peer.receive_data(data)
        for event in peer.events():
            if said := answer(event):
                pipe.send(peer.send(said))


def test_compressed_messages_arrive_and_the_key_in_them_does_not(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        def answer(event: Event) -> Event | None:
            if isinstance(event, Request):
                return AcceptConnection(extensions=[PerMessageDeflate()])
            if isinstance(event, MessageEvent):
                return TextMessage(data=f"{SECRET} {event.data!s}" * 50)
            return None

        _agree(WSConnection(ConnectionType.SERVER), pipe, answer)

    stage.play(play)
    heard: list[str] = []
    client = WSConnection(ConnectionType.CLIENT)
    with stage.line() as line:

        def answer(event: Event) -> Event | None:
            if isinstance(event, AcceptConnection):
                return TextMessage(data="hello " * 50)
            if isinstance(event, MessageEvent):
                heard.append(str(event.data))
                if event.message_finished:
                    raise EndedError
            return None

        host = f"localhost:{stage.port}"
        line.send(client.send(Request(host=host, target="/", extensions=[PerMessageDeflate()])))
        with contextlib.suppress(EndedError):
            _agree(client, line, answer)
    assert "".join(heard).count("hello ") == 2500
    assert SECRET not in "".join(heard)


def _fragments(payload: bytes, size: int, between: bytes = b"") -> bytes:
    """Return a message in frames of so many octets."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    frames = [frame(0 if at else TEXT, part, end=at == len(parts) - 1) for at, part in enumerate(parts)]
    return between.join(frames)


@pytest.mark.parametrize("size", [1000, 30, 7, 1])
@pytest.mark.parametrize("between", [b"", frame(PING, b"?")], ids=["", "with pings between"])
def test_the_key_in_a_message_does_not_arrive_however_it_is_cut(stage: Stage, size: int, between: bytes) -> None:
    payload = f"before {SECRET} between {SECRET} after".encode()

    def play(pipe: Pipe, _: int) -> None:
        _upgraded(pipe)
        pipe.send(_fragments(payload, size, between))
        _until_ended(pipe)

    stage.play(play)
    with stage.line() as line:
        _upgrade(line)
        heard, ends = b"", False
        while not ends:
            opcode, last, part = read_frame(line)
            if opcode != PING:
                heard, ends = heard + part, last
    assert SECRET.encode() not in heard
    assert heard.startswith(b"before ")
    assert heard.endswith(b" after")
    assert len(heard) == len(payload)


@pytest.mark.parametrize(
    "noise",
    [
        frame(TEXT, b"masked", mask=True),
        bytes([0xC1, 2]) + b"rs",
        bytes([0x83, 2]) + b"op",
        bytes([0x89, 126, 0, 200]) + bytes(200),
        bytes([0x09, 1]) + b"?",
        frame(0, b"of nothing"),
        frame(TEXT, b"a", end=False) + frame(TEXT, b"b"),
        bytes([0x81, 127]) + b"\xff" * 8,
    ],
    ids=["masked", "reserved bit", "unknown", "a long ping", "half a ping", "a part of none", "two begun", "endless"],
)
def test_no_key_arrives_among_frames_that_may_be_read_in_two_ways(stage: Stage, noise: bytes) -> None:
    hidden = frame(TEXT, SECRET.encode(), mask=True)

    def play(pipe: Pipe, _: int) -> None:
        _upgraded(pipe)
        pipe.send(frame(TEXT, b"before") + noise + hidden + frame(TEXT, SECRET.encode()))
        _until_ended(pipe)

    stage.play(play)
    heard = b""
    with stage.line() as line:
        _upgrade(line)
        line.opened.settimeout(1)
        with contextlib.suppress(TimeoutError, EndedError):
            while True:
                heard += line.some()
    assert SECRET.encode() not in heard
    assert hidden[6:] not in heard  # what follows the mask


def test_an_upgrade_that_is_refused_is_an_ordinary_answer(stage: Stage) -> None:
    stage.play(answering(lambda got: ok(b"no") if got.path == "/socket" else ok(b"next")))
    with stage.line() as line:
        names = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"]
        assert line.ask("/socket", *names).body == b"no"
        assert line.ask("/next").body == b"next"


# HTTP/2.


def _http2(pipe: Pipe) -> Http2:
    return Http2(pipe.opened, client=False)


def _grpc(content: bytes) -> bytes:
    return b"\0" + len(content).to_bytes(4) + content


def test_each_message_of_a_grpc_call_is_answered_before_the_next_is_sent(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            asked = wire.wait(h2.events.RequestReceived)
            stream = asked.stream_id or 0
            assert ("te", "trailers") in text(asked.headers)
            wire.protocol.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
            wire.flush()
            for _ in range(5):
                data = wire.wait(h2.events.DataReceived, stream).data or b""
                wire.send(stream, _grpc(data[5:].upper()))
            wire.wait(h2.events.StreamEnded, stream)
            wire.protocol.send_headers(stream, [("grpc-status", "0"), ("grpc-message", "fine")], end_stream=True)
            wire.flush()
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2() as wire:
        names = {"content-type": "application/grpc", "te": "trailers"}
        stream = wire.ask("/acme.Widgets/Talk", method="POST", end=False, **names)
        for number in range(5):
            wire.send(stream, _grpc(b"message %d" % number))
            got = b""
            while len(got) < 14:
                got += wire.wait(h2.events.DataReceived, stream).data or b""
            assert got == _grpc(b"MESSAGE %d" % number)
        wire.protocol.end_stream(stream)
        wire.flush()
        answer = wire.answer(stream)
        assert dict(answer.trailers) == {"grpc-status": "0", "grpc-message": "fine"}


def test_an_answer_of_trailers_alone_arrives(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            stream = wire.wait(h2.events.StreamEnded).stream_id or 0
            wire.protocol.send_headers(stream, [(":status", "200"), ("grpc-status", "12")], end_stream=True)
            wire.flush()
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2() as wire:
        answer = wire.answer(wire.ask("/acme.Widgets/None", method="POST"))
        assert answer.complete
        assert dict(answer.headers)["grpc-status"] == "12"


def test_the_trailers_of_a_request_over_http2_break_nothing(stage: Stage) -> None:
    seen: list[bytes] = []

    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            stream = wire.wait(h2.events.StreamEnded).stream_id or 0
            while data := wire.arrived(h2.events.DataReceived, stream):
                seen.append(data.data or b"")
            wire.protocol.send_headers(stream, [(":status", "204")], end_stream=True)
            wire.flush()
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2() as wire:
        stream = wire.ask("/", method="POST", end=False)
        wire.send(stream, b"abc")
        wire.protocol.send_headers(stream, [("x-sum", "3")], end_stream=True)
        wire.flush()
        assert wire.answer(stream).status == 204
    assert b"".join(seen) == b"abc"


def _mirror(pipe: Pipe, _: int) -> None:
    """Answer each request with its own body, or with its path."""
    with _http2(pipe) as wire:
        paths: dict[int, str] = {}
        bodies: dict[int, bytearray] = {}
        while True:
            wire.read()
            while asked := wire.arrived(h2.events.RequestReceived):
                paths[asked.stream_id or 0] = dict(text(asked.headers))[":path"]
                bodies[asked.stream_id or 0] = bytearray()
            while data := wire.arrived(h2.events.DataReceived):
                bodies[data.stream_id or 0] += data.data or b""
            while ended := wire.arrived(h2.events.StreamEnded):
                stream = ended.stream_id or 0
                wire.protocol.send_headers(stream, [(":status", "200")])
                wire.send(stream, bytes(bodies.pop(stream)) or paths[stream].encode(), end=True)


def test_a_hundred_streams_of_one_connection_are_answered(stage: Stage) -> None:
    stage.play(_mirror, "h2")
    with stage.http2() as wire:
        streams = [wire.ask(f"/{number}") for number in range(100)]
        for number, stream in enumerate(streams):
            assert wire.answer(stream).body == f"/{number}".encode()


def test_a_body_in_both_directions_arrives_whole_over_http2(stage: Stage) -> None:
    stage.play(_mirror, "h2")
    with stage.http2() as wire:
        stream = wire.ask("/", method="POST", end=False)
        wire.send(stream, CONTENT * 3, end=True)
        answer = wire.answer(stream)
        assert answer.complete
        assert answer.body == CONTENT * 3


def test_an_upload_that_nobody_reads_waits_at_the_client_over_http2(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        with Http2(pipe.opened, client=False, acknowledge=False) as wire:
            _until_gone(wire)

    stage.play(play, "h2")
    block, sent = bytes(1 << 18), 0
    with stage.http2() as wire:
        stream = wire.ask("/", method="POST", end=False)
        wire.opened.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while sent < 64 << 20:
                wire.send(stream, block)
                sent += len(block)
    assert sent < 16 << 20


def test_a_download_that_nobody_reads_waits_at_the_origin_over_http2(stage: Stage) -> None:
    block, sent = bytes(1 << 18), [0]

    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            stream = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(stream, [(":status", "200")])
            while sent[0] < 64 << 20:
                wire.send(stream, block)
                sent[0] += len(block)
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2(acknowledge=False) as wire:
        wire.wait(h2.events.DataReceived, wire.ask("/"))
        time.sleep(1.5)
        assert sent[0] < 16 << 20


def test_a_stream_that_nobody_reads_holds_up_no_other(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            first = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(first, [(":status", "200")])
            wire.flush()
            wire.send(first, CONTENT[: min(60_000, wire.protocol.local_flow_control_window(first))])
            second = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(second, [(":status", "200")])
            wire.send(second, b"not held up", end=True)
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2(acknowledge=False) as wire:
        # A small window for each stream, a big one for the connection.
        wire.protocol.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000})
        wire.protocol.increment_flow_control_window(1 << 20)
        wire.flush()
        wire.wait(h2.events.SettingsAcknowledged)
        slow = wire.ask("/slow")
        wire.wait(h2.events.DataReceived, slow)
        assert wire.answer(wire.ask("/quick")).body == b"not held up"


def test_a_stream_that_the_client_gives_up_is_given_up_at_the_origin(stage: Stage) -> None:
    gone = threading.Event()

    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            first = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(first, [(":status", "200")])
            wire.flush()
            wire.send(first, b"beginning")
            try:
                wire.wait(h2.events.StreamReset, first)
            finally:
                gone.set()
            second = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(second, [(":status", "200")], end_stream=True)
            wire.flush()
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2() as wire:
        first = wire.ask("/")
        wire.wait(h2.events.DataReceived, first)
        wire.protocol.reset_stream(first, h2.errors.ErrorCodes.CANCEL)
        wire.flush()
        assert gone.wait(5)


def test_a_stream_that_the_origin_breaks_off_is_broken_off_and_no_other(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            first = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(first, [(":status", "200")])
            wire.flush()
            wire.send(first, b"beginning")
            wire.protocol.reset_stream(first, h2.errors.ErrorCodes.INTERNAL_ERROR)
            wire.flush()
            second = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(second, [(":status", "200")])
            wire.send(second, b"whole", end=True)
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2() as wire:
        assert not wire.answer(wire.ask("/")).complete
        answer = wire.answer(wire.ask("/"))
        assert (answer.body, answer.complete) == (b"whole", True)


def test_an_answer_that_is_broken_off_without_an_error_is_broken_off_with_one(stage: Stage) -> None:
    """To Node a reset with NO_ERROR is the end of a body like any other."""

    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            stream = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(stream, [(":status", "200")])
            wire.send(stream, b"beginning")
            wire.protocol.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)
            wire.flush()
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2() as wire:
        reset = wire.wait(h2.events.StreamReset, wire.ask("/"))
        assert reset.error_code == h2.errors.ErrorCodes.INTERNAL_ERROR


def test_a_client_hears_that_the_rest_of_its_upload_is_not_wanted(stage: Stage) -> None:
    """RFC 9113, 8.1: an origin that has answered resets a stream on which more would come, without an error."""

    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            stream = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(stream, [(":status", "200")], end_stream=True)
            wire.flush()
            time.sleep(QUIET)
            wire.protocol.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)
            wire.flush()
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2() as wire:
        stream = wire.ask("/", method="POST", end=False)
        wire.send(stream, b"beginning")
        wire.wait(h2.events.StreamEnded, stream)
        assert wire.wait(h2.events.StreamReset, stream).error_code == h2.errors.ErrorCodes.NO_ERROR
    assert [use.decision for use in stage.uses] == ["inject"]


def test_an_answer_shorter_than_its_length_is_broken_off_over_http2(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            stream = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(stream, [(":status", "200"), ("content-length", "1000")])
            wire.send(stream, b"short", end=True)
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2() as wire:
        try:
            answer = wire.answer(wire.ask("/"))
        except h2.exceptions.ProtocolError:
            return  # the client noticed by itself: what arrived says so
        assert not answer.complete or answer.status == 502


def test_an_answer_during_an_upload_over_http2_arrives_during_the_upload(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        with Http2(pipe.opened, client=False, acknowledge=False) as wire:
            stream = wire.wait(h2.events.RequestReceived).stream_id or 0
            wire.protocol.send_headers(stream, [(":status", "413")])
            wire.send(stream, b"enough", end=True)
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2() as wire:
        stream = wire.ask("/", method="POST", end=False)
        wire.send(stream, CONTENT[:50_000])
        answer = wire.answer(stream)
        assert (answer.status, answer.body) == (413, b"enough")


def test_a_head_and_a_304_end_with_their_heads_over_http2(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            while True:
                asked = wire.wait(h2.events.RequestReceived)
                status = "200" if (":method", "HEAD") in text(asked.headers) else "304"
                head = [(":status", status), ("content-length", "1000")]
                wire.protocol.send_headers(asked.stream_id or 0, head, end_stream=True)
                wire.flush()

    stage.play(play, "h2")
    with stage.http2() as wire:
        for method, status in (("HEAD", 200), ("GET", 304)):
            answer = wire.answer(wire.ask("/", method=method))
            assert (answer.status, answer.body, answer.complete) == (status, b"", True)


def test_more_streams_than_the_origin_takes_at_once_are_answered_all_the_same(stage: Stage) -> None:
    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            wire.protocol.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2})
            wire.flush()
            while True:
                ended = wire.wait(h2.events.StreamEnded)
                time.sleep(0.02)
                wire.protocol.send_headers(ended.stream_id or 0, [(":status", "200")])
                wire.send(ended.stream_id or 0, b"ok", end=True)

    stage.play(play, "h2")
    with stage.http2() as wire:
        assert wire.answer(wire.ask("/first")).body == b"ok"
        streams = [wire.ask(f"/{number}") for number in range(10)]
        assert [wire.answer(stream).body for stream in streams] == [b"ok"] * 10


@pytest.mark.parametrize("when", ["after the answer", "instead of an answer"])
def test_an_origin_that_says_goodbye_is_asked_anew(stage: Stage, when: str) -> None:
    """RFC 9113, 6.8: what is beyond the last stream it names was not looked at."""
    asked: list[int] = []

    def play(pipe: Pipe, number: int) -> None:
        with _http2(pipe) as wire:
            first = wire.wait(h2.events.StreamEnded).stream_id or 0
            asked.append(number)
            wire.protocol.send_headers(first, [(":status", "200")], end_stream=True)
            wire.flush()
            if number == 0 and when == "instead of an answer":
                wire.wait(h2.events.StreamEnded)
            if number == 0:
                wire.protocol.close_connection(last_stream_id=first)
                wire.flush()
                time.sleep(1)
                return
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2() as wire:
        assert wire.answer(wire.ask("/")).status == 200
        time.sleep(QUIET if when == "after the answer" else 0)
        assert wire.answer(wire.ask("/")).status == 200
    assert asked == [0, 1]


def test_an_answer_that_was_begun_before_its_origin_said_goodbye_arrives_whole(stage: Stage) -> None:
    """RFC 9113, 6.8: so nginx and Envoy end every connection after a number of requests."""
    over = threading.Event()

    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            stream = wire.wait(h2.events.StreamEnded).stream_id or 0
            wire.protocol.send_headers(stream, [(":status", "200")])
            wire.send(stream, b"begun, ")
            goodbye = GoAwayFrame(0)
            goodbye.last_stream_id = stream
            wire.opened.sendall(goodbye.serialize())
            time.sleep(QUIET)
            wire.send(stream, b"ended", end=True)
            _until_gone(wire)
            over.set()

    stage.play(play, "h2")
    with stage.http2() as wire:
        answer = wire.answer(wire.ask("/"))
        assert (answer.body, answer.complete) == (b"begun, ended", True)
        assert over.wait(5), "nobody ends a connection on which nothing can be asked any more"


def test_uploads_that_are_refused_early_take_nothing_from_those_that_follow(stage: Stage) -> None:
    """What nobody reads of them counts against the window that all streams of a connection share."""

    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            while True:
                asked = wire.wait(h2.events.RequestReceived).stream_id or 0
                wire.protocol.send_headers(asked, [(":status", "401")], end_stream=True)
                wire.flush()

    stage.play(play, "h2")
    with stage.http2() as wire:
        wire.wait(h2.events.RemoteSettingsChanged)
        for _ in range(250):
            stream = wire.ask("/", method="POST", end=False)
            for _ in range(7):
                wire.protocol.send_data(stream, CONTENT[: 1 << 14])
            wire.protocol.end_stream(stream)
            wire.flush()
            assert wire.answer(stream).status == 401
        assert wire.protocol.outbound_flow_control_window > 6 << 20


def test_of_streams_that_are_given_up_at_once_nothing_is_kept(stage: Stage) -> None:
    stage.play(_mirror, "h2")
    with stage.http2() as wire:
        for _ in range(200):
            stream = wire.protocol.get_next_available_stream_id()
            pseudo = {":method": "GET", ":scheme": "https", ":authority": f"localhost:{stage.port}", ":path": "/"}
            wire.protocol.send_headers(stream, list(pseudo.items()), end_stream=True)
            wire.protocol.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
            wire.flush()
        assert wire.answer(wire.ask("/still")).body == b"/still"

        def kept() -> int:
            gc.collect()
            return sum(isinstance(each, Flow) for each in gc.get_objects())

        assert soon(lambda: kept() == 0)


def test_many_downloads_at_once_wait_for_a_client_that_reads_slowly(stage: Stage) -> None:
    """Its windows are as wide as those of gRPC and curl can be, so TCP alone says that it is slow."""
    streams, size = 40, 1 << 20

    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            for _ in range(streams):
                wire.protocol.send_headers(wire.wait(h2.events.RequestReceived).stream_id or 0, [(":status", "200")])
            while left := [stream for stream in range(1, 2 * streams, 2) if sent[stream] < size]:
                for stream in left:
                    room = min(wire.protocol.local_flow_control_window(stream), 1 << 14, size - sent[stream])
                    if room > 0:
                        sent[stream] += room
                        wire.protocol.send_data(stream, bytes(room), end_stream=sent[stream] == size)
                wire.flush()
                if not any(wire.protocol.local_flow_control_window(stream) for stream in left):
                    wire.read()
            _until_gone(wire)

    sent = dict.fromkeys(range(1, 2 * streams, 2), 0)
    stage.play(play, "h2")
    with stage.http2() as wire:
        wire.protocol.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 30})
        wire.protocol.increment_flow_control_window(1 << 30)
        asked = [wire.ask(f"/{number}") for number in range(streams)]
        time.sleep(2)
        assert all(wire.answer(stream).complete for stream in asked)


def test_connections_to_an_origin_that_takes_no_requests_are_not_collected(stage: Stage) -> None:
    opened: list[int] = []
    closed: list[int] = []

    def play(pipe: Pipe, number: int) -> None:
        opened.append(number)
        with _http2(pipe) as wire:
            wire.protocol.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 0})
            wire.flush()
            with contextlib.suppress(h2.exceptions.TooManyStreamsError):  # one asked before it had heard
                _until_gone(wire)
        closed.append(number)

    stage.play(play, "h2")
    with stage.http2() as wire:
        for _ in range(5):
            assert wire.answer(wire.ask("/")).status == 502
        assert opened
        assert soon(lambda: len(closed) == len(opened))


def test_cookies_and_repeated_headers_stay_apart_over_http2(stage: Stage) -> None:
    seen: list[list[tuple[str, str]]] = []

    def play(pipe: Pipe, _: int) -> None:
        with _http2(pipe) as wire:
            stream = wire.wait(h2.events.StreamEnded).stream_id or 0
            asked = wire.wait(h2.events.RequestReceived, stream)
            seen.append(text(asked.headers))
            head = [(":status", "200"), ("set-cookie", "a=b"), ("x-a", "1"), ("set-cookie", "c=d"), ("x-a", "2")]
            wire.protocol.send_headers(stream, head, end_stream=True)
            wire.flush()
            _until_gone(wire)

    stage.play(play, "h2")
    with stage.http2() as wire:
        answer = wire.answer(wire.ask("/a%2Fb?c=%26", end=True, method="GET", **{"x-b": "1", "accept": "a/b"}))
        assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=b", "c=d"]
        assert [value for name, value in answer.headers if name == "x-a"] == ["1", "2"]
    assert (":path", "/a%2Fb?c=%26") in seen[0]
    assert ("accept", "a/b") in seen[0]
