"""What an upstream says in a WebSocket, frame by frame."""

import re

import pytest
from hypothesis import given, strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import FrameProtocol, Opcode

from authsome.proxy.codings import CodingError
from authsome.proxy.scrub import Scrubber
from authsome.proxy.websocket import Frames

KEY = "sk-CANARY-0123456789abcdef"
STAND_IN = "authsome-proxy-managed****"
SCRUBBER = Scrubber({KEY: "authsome-proxy-managed"})


def _said(*events: Event) -> bytes:
    upstream = Connection(ConnectionType.SERVER)
    return b"".join(upstream.send(event) for event in events)


def _heard(octets: bytes) -> list[Event]:
    child = Connection(ConnectionType.CLIENT)
    child.receive_data(octets)
    return list(child.events())


def _messages(said: bytes) -> list[str | bytes]:
    """Return the messages in some frames, their fragments put together."""
    whole: list[str | bytes] = []
    text, octets = "", b""
    for event in _heard(said):
        assert isinstance(event, TextMessage | BytesMessage)
        if isinstance(event, TextMessage):
            text += event.data
        else:
            octets += bytes(event.data)
        if event.message_finished:
            whole.append(text if isinstance(event, TextMessage) else octets)
            text, octets = "", b""
    assert not text + octets.decode()
    return whole


_TEXTS = st.lists(st.sampled_from([KEY, KEY[:9], KEY[9:], "é", "plain ", "€"]), min_size=1, max_size=5)


@given(
    messages=st.lists(st.tuples(_TEXTS, st.booleans()), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_messages_arrive_whole_and_without_the_key_however_they_are_cut(
    messages: list[tuple[list[str], bool]], cuts: list[int]
) -> None:
    said = b""
    for pieces, written in messages:
        last = len(pieces) - 1
        for at, piece in enumerate(pieces):
            whole = at == last
            event: Event = (
                TextMessage(data=piece, message_finished=whole)
                if written
                else BytesMessage(data=piece.encode(), message_finished=whole)
            )
            said += _said(event) if at == 0 else _continued(piece, whole=whole)
    frames, seen, start = Frames(SCRUBBER, asks=False), b"", 0
    for stop in [*sorted(cut for cut in cuts if cut < len(said)), len(said)]:
        seen += frames.feed(said[start:stop])
        start = stop
    arrived = _messages(seen)
    assert [isinstance(message, str) for message in arrived] == [written for _, written in messages]
    texts = [message if isinstance(message, str) else message.decode() for message in arrived]
    assert [_shown(text) for text in texts] == [
        _shown("".join(pieces).replace(KEY, STAND_IN)) for pieces, _ in messages
    ]


def _shown(text: str) -> str:
    """Return a message without the up to three characters of a key that may leave before it is known for one."""
    return re.sub(".{3}" + re.escape(STAND_IN[3:]), "<key>", text)


def _continued(piece: str, *, whole: bool) -> bytes:
    upstream = FrameProtocol(client=False, extensions=[])
    return bytes(upstream._serialize_frame(Opcode.CONTINUATION, piece.encode(), whole))  # noqa: SLF001  no public way


def test_a_piece_of_a_message_leaves_before_the_rest_has_come() -> None:
    said = _said(TextMessage(data="first, then more"))
    frames = Frames(SCRUBBER, asks=False)
    (event,) = _heard(frames.feed(said[:8]))
    assert isinstance(event, TextMessage)
    assert (event.data, event.message_finished) == ("first,", False)
    assert frames.feed(said[8:])


@pytest.mark.parametrize("kind", [Ping, Pong])
def test_the_payload_of_a_control_frame_is_looked_at(kind: type[Ping | Pong]) -> None:
    (event,) = _heard(Frames(SCRUBBER, asks=False).feed(_said(kind(payload=KEY.encode()))))
    assert isinstance(event, Ping | Pong)
    assert bytes(event.payload) == STAND_IN.encode()


def test_the_reason_of_a_close_is_looked_at_and_its_code_stays() -> None:
    (event,) = _heard(Frames(SCRUBBER, asks=False).feed(_said(CloseConnection(code=4001, reason=f"no {KEY}"))))
    assert event == CloseConnection(code=4001, reason=f"no {STAND_IN}")


def test_a_close_without_a_code_stays_one() -> None:
    assert Frames(SCRUBBER, asks=False).feed(b"\x88\x00") == b"\x88\x00"


def test_a_message_may_stand_between_the_fragments_of_none() -> None:
    """A ping between two fragments does not end the message, and a secret around it is found."""
    first = _said(TextMessage(data=KEY[:12], message_finished=False))
    said = first + _said(Ping(payload=b"x")) + _continued(KEY[12:], whole=True)
    events = _heard(Frames(SCRUBBER, asks=False).feed(said))
    assert "".join(str(event.data) for event in events if isinstance(event, TextMessage)) == STAND_IN


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"\xc1\x03abc", id="compressed, although nobody asked"),
        pytest.param(b"\x81\x83\0\0\0\0abc", id="masked by a server"),
        pytest.param(b"\x81\x02\xff\xff", id="a text that is not UTF-8"),
        pytest.param(b"\x83\x01a", id="an opcode that is none"),
        pytest.param(b"\x09\x01a", id="a ping in fragments"),
    ],
)
def test_what_is_no_websocket_ends_it_and_tells_nothing(octets: bytes) -> None:
    with pytest.raises(CodingError):
        Frames(SCRUBBER, asks=False).feed(octets)


def test_what_the_child_says_is_masked_anew_and_not_changed() -> None:
    child, upstream = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
    upstream.receive_data(Frames(Scrubber({}), asks=True).feed(child.send(TextMessage(data=f"my {KEY}"))))
    (event,) = upstream.events()
    assert isinstance(event, TextMessage)
    assert event.data == f"my {KEY}"


def test_what_the_child_says_and_is_no_frame_does_not_pass() -> None:
    with pytest.raises(CodingError):
        Frames(Scrubber({}), asks=True).feed(b"GET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n")
