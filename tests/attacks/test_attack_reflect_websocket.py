"""The upstream says the key over a WebSocket, in messages, control frames or the handshake: the placeholder comes."""

import base64
import hashlib
import re
import ssl
import time
import zlib
from collections.abc import Callable

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

from byhand import Answer
from canary import sings
from octets import Arrived
from scripted import Reply
from stage import HELD, KEY, STAND_IN, Stage

pytest_plugins = ["stage_fixtures"]

TEXT, BINARY, CLOSE, PING = 0x81, 0x82, 0x88, 0x89
SECRET, SHOWN = KEY.encode(), STAND_IN.encode()


def _frame(first: int, payload: bytes) -> bytes:
    """Return a server's frame (RFC 6455, 5.2); its first octet is given whole."""
    return bytes([first, len(payload)]) + payload


def _serve(stage: Stage, *frames: bytes, extra: bytes = b"") -> None:
    """Let the origin accept, wait for a word, and send frames, each by itself."""

    def then(opened: ssl.SSLSocket) -> None:
        opened.recv(1 << 16)
        for frame in (*frames, _frame(CLOSE, (1000).to_bytes(2))):
            opened.sendall(frame)
            time.sleep(0.01)
        opened.recv(1 << 16)

    def script(request: Arrived) -> Reply:
        (asked,) = request.values(b"sec-websocket-key")
        accepted = base64.b64encode(hashlib.sha1(asked + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324  RFC 6455
        head = b"HTTP/1.1 101 Said\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accepted
        return Reply(raw=(head + b"\r\n" + extra + b"\r\n",), then=then)

    stage.origin.script = script


def _talk(stage: Stage, *headers: tuple[bytes, bytes], deflate: bool = False) -> tuple[Answer, list[Event]]:
    """Return the answer to the handshake, and what was said until the close."""
    asked = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13"))
    packed = PerMessageDeflate()
    if deflate:
        packed.finalize("permessage-deflate")
    with stage.open() as connection:
        answer = connection.ask(headers=(*HELD, *asked, (b"Sec-WebSocket-Key", base64.b64encode(bytes(16))), *headers))
        assert answer.status == 101, answer
        spoken = Connection(ConnectionType.CLIENT, [packed] if deflate else [])
        connection.opened.sendall(spoken.send(TextMessage("go")))
        said: list[Event] = []
        while not (said and isinstance(said[-1], CloseConnection)):
            block = connection.opened.recv(1 << 16)
            assert not sings(block)
            spoken.receive_data(block or None)
            said += spoken.events()
    assert not sings(repr(said).encode() + answer.octets)
    return answer, said


def _text(said: list[Event]) -> str:
    return "".join(event.data for event in said if isinstance(event, TextMessage))


def test_a_key_in_text_and_binary_messages_is_replaced(stage: Stage) -> None:
    _serve(stage, _frame(TEXT, b"key: " + SECRET), _frame(BINARY, b"\0" + SECRET + b"\0"))
    _, said = _talk(stage)
    assert _text(said) == f"key: {STAND_IN}"
    assert [bytes(event.data) for event in said if isinstance(event, BytesMessage)] == [b"\0" + SHOWN + b"\0"]
    stage.injected()


@pytest.mark.parametrize("step", [1, 3, 10])
def test_a_key_in_the_fragments_of_a_message_is_replaced(stage: Stage, step: int) -> None:
    parts = [SECRET[at : at + step] for at in range(0, len(SECRET), step)]
    fragments = [_frame(0x01 if index == 0 else 0x00, part) for index, part in enumerate(parts)]
    # A ping may come in between (RFC 6455, 5.4).
    _serve(stage, *fragments[:1], _frame(PING, b"p"), *fragments[1:], _frame(0x80, b"!"))
    _, said = _talk(stage)
    shown = _text(said)
    assert len(shown) == len(STAND_IN) + 1
    assert shown[4:] == f"{STAND_IN}!"[4:]
    stage.injected()


def test_a_key_in_a_ping_and_in_the_reason_of_a_close_is_replaced(stage: Stage) -> None:
    _serve(stage, _frame(PING, SECRET), _frame(CLOSE, (1008).to_bytes(2) + SECRET + b" is not known"))
    _, said = _talk(stage)
    assert [bytes(event.payload) for event in said if isinstance(event, Ping)] in ([SHOWN], [])
    closed = said[-1]
    assert isinstance(closed, CloseConnection)
    assert (closed.code, closed.reason) == (1008, f"{STAND_IN} is not known")
    stage.injected()


def test_a_compression_that_nobody_asked_for_is_refused(stage: Stage) -> None:
    """What cannot be looked at does not pass; so it is not asked for either, although the client would take it."""
    packer = zlib.compressobj(wbits=-15)
    packed = (packer.compress(b"key: " + SECRET) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")
    _serve(stage, _frame(0xC1, packed), extra=b"Sec-WebSocket-Extensions: permessage-deflate\r\n")
    asked = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13"))
    key = (b"Sec-WebSocket-Key", base64.b64encode(bytes(16)))
    answer = stage.ask(headers=(*HELD, *asked, key, (b"Sec-WebSocket-Extensions", b"permessage-deflate")))
    assert answer.error == "unreadable_response"
    assert stage.injected().values(b"sec-websocket-extensions") == []


@pytest.mark.parametrize("name", [b"Sec-WebSocket-Protocol", b"Set-Cookie", b"X-Key"])
def test_a_key_in_the_answer_to_the_handshake_is_replaced(stage: Stage, name: bytes) -> None:
    _serve(stage, extra=name + b": " + SECRET + b"\r\n")
    answer, _ = _talk(stage, (b"Sec-WebSocket-Protocol", b"chat"))
    assert answer.values(name.lower()) == [SHOWN]
    stage.injected()


def test_a_version_whose_frames_nobody_reads_is_not_asked_for(stage: Stage) -> None:
    asked = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"8"))
    stage.ask(headers=(*HELD, *asked, (b"Sec-WebSocket-Key", b"x")))
    assert stage.injected().values(b"upgrade") == []


_BROKEN: dict[str, Callable[[], bytes]] = {
    "an opcode that means nothing": lambda: _frame(0x83, SECRET),
    "a control frame in fragments": lambda: _frame(0x09, SECRET),
    "a bit that nobody agreed on": lambda: _frame(0xA1, SECRET),
    "a continuation of nothing": lambda: _frame(0x80, SECRET),
    "text that is no UTF-8": lambda: _frame(TEXT, b"\xff" + SECRET),
    "a close with an odd code": lambda: _frame(CLOSE, (5).to_bytes(2) + SECRET),
}


@pytest.mark.parametrize("name", _BROKEN)
def test_a_frame_that_is_none_does_not_pass(stage: Stage, name: str) -> None:
    _serve(stage, _BROKEN[name]())
    asked = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13"))
    with stage.open() as connection:
        key = (b"Sec-WebSocket-Key", base64.b64encode(bytes(16)))
        assert connection.ask(headers=(*HELD, *asked, key)).status == 101
        connection.opened.sendall(Connection(ConnectionType.CLIENT).send(TextMessage("go")))
        octets = b""
        while block := connection.opened.recv(1 << 16):
            octets += block
    assert not re.search(rb"CANARY", octets)
