"""The upstream says the key where readers differ on what the answer is: whatever a client makes of it, no key."""

import pytest

from canary import sings
from reflections import compress, decompress
from scripted import Reply
from stage import HELD, STAND_IN, Stage

pytest_plugins = ["stage_fixtures"]


def _packed(key: bytes) -> bytes:
    return b"".join(compress("gzip", [b"key: " + key]))


def test_head_in_lower_case_is_another_method_and_its_body_is_read(stage: Stage) -> None:
    stage.says(lambda key: Reply((_packed(key),), ((b"Content-Encoding", b"gzip"),)))
    answer = stage.ask("h2", method="head")
    assert stage.injected().method == b"head"
    assert decompress("gzip", answer.body) == f"key: {STAND_IN}".encode()


def test_head_in_lower_case_over_http1_has_its_body_read_or_none(stage: Stage) -> None:
    stage.says(lambda key: Reply((_packed(key),), ((b"Content-Encoding", b"gzip"),)))
    with stage.open() as connection:
        connection.opened.settimeout(0.5)
        answer = connection.ask("head", headers=HELD)
    assert stage.injected().method == b"head"
    assert not answer.body or decompress("gzip", answer.body) == f"key: {STAND_IN}".encode()
    assert not sings(answer.octets)


@pytest.mark.parametrize("status", [200, 204, 304])
def test_a_body_where_there_is_none_does_not_pass(stage: Stage, protocol: str, status: int) -> None:
    method = "HEAD" if status == 200 else "GET"
    raw = (b"HTTP/1.1 %d OK\r\nContent-Encoding: gzip\r\n" % status,)

    def script(key: bytes) -> Reply:
        if protocol == "h2":
            return Reply((_packed(key),), ((b"Content-Encoding", b"gzip"),), status=status)
        body = _packed(key)
        return Reply(raw=(*raw, b"Content-Length: %d\r\n\r\n" % len(body), body))

    stage.says(script)
    with stage.open(protocol) as connection:
        first = connection.ask(method, headers=HELD)
        # What was not taken for the body would be taken for the next answer.
        second = connection.ask(headers=HELD) if protocol == "http/1.1" else first
    for answer in (first, second):
        assert not sings(answer.octets)
        assert b"key: " not in answer.octets
        assert answer.body == b"" or answer.error != "none"


@pytest.mark.parametrize(
    "head",
    [
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: x-private, chunked",
    ],
)
def test_a_body_in_a_transfer_coding_that_nobody_reads_is_refused(stage: Stage, head: bytes) -> None:
    def script(key: bytes) -> Reply:
        body = _packed(key)
        framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if b"chunked" in head else body
        return Reply(raw=(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + framed,))

    stage.says(script)
    answer = stage.ask()
    assert answer.status == 502
    assert answer.error in {"unreadable_response", "upstream_failed"}
    stage.injected()


@pytest.mark.parametrize("protocol_named", [b"websocket", b"h2c", b"anything"])
@pytest.mark.parametrize("asked", [True, False])
def test_another_protocol_that_nobody_can_read_is_not_begun(stage: Stage, protocol_named: bytes, asked: bool) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" % protocol_named
    stage.says(lambda key: Reply(raw=(head, b"key: " + key, key)))
    upgrade = ((b"Connection", b"Upgrade"), (b"Upgrade", b"anything")) if asked else ()
    answer = stage.ask(headers=(*HELD, *upgrade))
    assert answer.status == 502
    assert answer.error in {"unreadable_response", "upstream_failed"}
    assert stage.injected().values(b"upgrade") == []


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_an_old_answer_that_ends_with_its_connection_is_read(stage: Stage, coding: str) -> None:
    def script(key: bytes) -> Reply:
        encoding = b"Content-Encoding: gzip\r\n" if coding else b""
        pieces = compress(coding, [b"key: " + key[:9], key[9:]])
        return Reply(raw=(b"HTTP/1.0 200 OK\r\n" + encoding + b"\r\n", *pieces))

    stage.says(script)
    answer = stage.ask()
    text = decompress(coding, answer.body)
    assert not sings(text)
    assert text[8:] == f"key: {STAND_IN}".encode()[8:]
    stage.injected()


@pytest.mark.parametrize(
    "said",
    [
        b"%s\r\n\r\n",
        b"HTTP/1.1 2%s OK\r\n\r\n",
        b"HTTP/%s 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n%s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\0%s\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX %s: a\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: %s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
        b"HTTP/1.1 101 OK\r\nUpgrade: %s\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_http_is_not_quoted(stage: Stage, said: bytes) -> None:
    stage.says(lambda key: Reply(raw=(said % key,)))
    answer = stage.ask()
    assert answer.error in {"upstream_failed", "unreadable_response"} or not answer.complete or not answer.body
    assert b"CANARY" not in answer.octets
    stage.injected()


@pytest.mark.parametrize(
    "headers",
    [
        ((b"x-a", b"a\r\nx-key: %s"),),
        ((b"X-%s", b"upper case"),),
        ((b"%s", b"upper case"),),
        ((b"connection", b"%s"),),
        ((b":status", b"%s"),),
        ((b"content-encoding", b"%s"),),
    ],
)
def test_an_answer_over_http2_that_is_none_is_not_quoted(
    stage: Stage, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    def script(key: bytes) -> Reply:
        return Reply(
            (b"x",), tuple((name.replace(b"%s", key), value.replace(b"%s", key)) for name, value in headers), exact=True
        )

    stage.says(script)
    answer = stage.ask("h2")
    assert b"canary" not in answer.octets.lower()
    stage.injected()


def test_octets_after_the_end_of_an_answer_do_not_become_the_next_one(stage: Stage) -> None:
    """A response can be split as a request can (RFC 9112, 11.1)."""

    def script(key: bytes) -> Reply:
        other = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(key), key)
        return Reply(raw=(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + other,))

    stage.says(script)
    with stage.open() as connection:
        first = connection.ask(path="/first", headers=HELD)
        second = connection.ask(path="/second", headers=HELD)
    assert (first.status, first.body) == (200, b"ok")
    assert not sings(first.octets + second.octets)
    assert second.body != STAND_IN.encode()
