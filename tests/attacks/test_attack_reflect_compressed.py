"""The upstream says the key back in a compressed body: the placeholder comes back, piece by piece as it was sent."""

import threading
from collections.abc import Iterator

import pytest

from canary import sings
from reflections import compress, decompress, reader
from scripted import Reply
from stage import HELD, STAND_IN, Stage

pytest_plugins = ["stage_fixtures"]

CODINGS = ("gzip", "deflate", "br", "zstd")
PATIENCE = 10


def _said(coding: str, text: bytes, step: int) -> Reply:
    pieces = compress(coding, [text[at : at + step] for at in range(0, len(text), step)])
    return Reply(pieces, ((b"Content-Encoding", coding.encode()),))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("step", [1000, 7])
def test_a_key_in_a_compressed_body_is_found(stage: Stage, protocol: str, coding: str, step: int) -> None:
    stage.says(lambda key: _said(coding, b'{"key": "%s"}' % key, step))
    answer = stage.ask(protocol, headers=(*HELD, (b"Accept-Encoding", coding.encode())))
    assert answer.complete
    assert answer.values(b"content-encoding") == [coding.encode()]
    text = decompress(coding, answer.body)
    assert not sings(text)
    assert len(text) == len(f'{{"key": "{STAND_IN}"}}')
    assert STAND_IN[4:].encode() in text
    stage.injected()


def test_a_key_under_two_codings_is_found(stage: Stage, protocol: str) -> None:
    def script(key: bytes) -> Reply:
        inner = b"".join(compress("br", [key]))
        return Reply(compress("gzip", [inner]), ((b"Content-Encoding", b"br, gzip"),))

    stage.says(script)
    answer = stage.ask(protocol)
    assert decompress("br", decompress("gzip", answer.body)) == STAND_IN.encode()


def test_a_key_over_two_members_of_a_gzip_is_found(stage: Stage, protocol: str) -> None:
    """RFC 1952, 2.2: what each of them holds is read as one."""

    def script(key: bytes) -> Reply:
        members = (b"".join(compress("gzip", [part])) for part in (b"key: " + key[:10], key[10:]))
        return Reply(tuple(members), ((b"Content-Encoding", b"gzip"),))

    stage.says(script)
    answer = stage.ask(protocol)
    assert decompress("gzip", answer.body)[9:] == f"key: {STAND_IN}".encode()[9:]
    stage.injected()


@pytest.mark.parametrize("coding", CODINGS)
def test_a_compressed_event_arrives_before_the_next_one_is_sent(stage: Stage, protocol: str, coding: str) -> None:
    seen = threading.Event()

    def pieces(key: bytes) -> Iterator[bytes]:
        first, *rest = compress(coding, [b"data: %s\n\n" % key, b"data: last\n\n"])
        yield first
        if seen.wait(PATIENCE):
            yield from rest

    encoding = ((b"Content-Encoding", coding.encode()), (b"Content-Type", b"text/event-stream"))
    stage.says(lambda key: Reply(pieces(key), encoding))
    read, text = reader(coding), b""
    with stage.open(protocol) as connection:
        connection.send("GET", "/", HELD, b"")
        for piece in connection.pieces():
            text += read(piece) if piece else b""
            if text.endswith(b"\n\n"):
                seen.set()
    assert text == f"data: {STAND_IN}\n\ndata: last\n\n".encode()


@pytest.mark.parametrize("coding", ["rot13", "gzip, rot13", "compress", "gzip, gzip, gzip, gzip"])
def test_a_body_in_a_coding_nobody_can_read_is_refused(stage: Stage, protocol: str, coding: str) -> None:
    stage.says(lambda key: Reply((key,), ((b"Content-Encoding", coding.encode()),)))
    answer = stage.ask(protocol)
    assert (answer.status, answer.error) == (502, "unreadable_response")
    stage.injected()


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_that_is_not_in_the_coding_it_claims_does_not_pass(stage: Stage, protocol: str, coding: str) -> None:
    stage.says(lambda key: Reply((key,), ((b"Content-Encoding", coding.encode()),)))
    answer = stage.ask(protocol)
    assert answer.body == b"" or answer.error == "unreadable_response"
    assert answer.error != "none" or not answer.complete
    stage.injected()


def test_a_part_of_a_compressed_body_is_neither_asked_for_nor_passed(stage: Stage, protocol: str) -> None:
    """Nobody can read a compressed body from its middle."""
    stage.says(lambda key: Reply((b"".join(compress("gzip", [key])),), ((b"Content-Encoding", b"gzip"),), status=206))
    answer = stage.ask(protocol, headers=(*HELD, (b"Range", b"bytes=0-3"), (b"Accept-Encoding", b"gzip")))
    assert answer.error == "unreadable_response"
    assert stage.injected().values(b"accept-encoding") == [b"identity"]


def test_only_codings_that_can_be_read_are_asked_for(stage: Stage, protocol: str) -> None:
    stage.ask(protocol, headers=(*HELD, (b"Accept-Encoding", b"rot13, br;q=0.5, gzip, *")))
    assert stage.injected().values(b"accept-encoding") == [b"br;q=0.5, gzip"]


def test_no_transfer_coding_is_asked_for(stage: Stage) -> None:
    stage.ask(headers=(*HELD, (b"TE", b"trailers, gzip"), (b"Connection", b"TE")))
    assert stage.injected().values(b"te") in ([b"trailers"], [])
