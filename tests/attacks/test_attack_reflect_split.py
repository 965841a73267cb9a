"""The upstream cuts the key in pieces (chunks, frames, events) or says it late and as binary: no reader can join it."""

import json
import threading
from collections.abc import Iterator

import pytest

from canary import sings
from reflections import SPELLINGS
from scripted import Reply
from stage import HELD, STAND_IN, Stage

pytest_plugins = ["stage_fixtures"]

PATIENCE = 10


@pytest.mark.parametrize("spelling", ["plain", "json", "base64-1", "percent-twice"])
@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_key_cut_into_chunks_or_frames_is_found(stage: Stage, protocol: str, spelling: str, step: int) -> None:
    """The first three octets may have left before anything could be known; what follows is the placeholder's."""

    def script(key: bytes) -> Reply:
        text = b'{"key": "%s"}' % SPELLINGS[spelling](key)
        return Reply([text[at : at + step] for at in range(0, len(text), step)])

    stage.says(script)
    answer = stage.ask(protocol)
    assert answer.complete
    assert len(answer.body) == len(b'{"key": "%s"}' % SPELLINGS[spelling](STAND_IN.encode()))
    assert SPELLINGS[spelling](STAND_IN.encode())[32:] in answer.body or spelling == "base64-1"
    stage.injected()


@pytest.mark.parametrize("cut", range(1, 27, 5))
def test_a_key_over_two_chunks_is_found_wherever_it_is_cut(stage: Stage, protocol: str, cut: int) -> None:
    stage.says(lambda key: Reply((b"data: " + key[:cut], key[cut:] + b"\n\n")))
    answer = stage.ask(protocol)
    assert answer.body[9:] == f"data: {STAND_IN}\n\n".encode()[9:]


def test_a_key_in_an_event_is_replaced_and_the_event_is_not_held_back(stage: Stage, protocol: str) -> None:
    seen = threading.Event()

    def pieces(key: bytes) -> Iterator[bytes]:
        yield b"data: " + key + b"\n\n"
        if seen.wait(PATIENCE):
            yield b"data: [DONE]\n\n"

    stage.says(lambda key: Reply(pieces(key), ((b"Content-Type", b"text/event-stream"),)))
    text = b""
    with stage.open(protocol) as connection:
        connection.send("GET", "/", HELD, b"")
        for piece in connection.pieces():
            text += piece
            if text.endswith(b"\n\n"):
                seen.set()
    assert text == f"data: {STAND_IN}\n\ndata: [DONE]\n\n".encode()


@pytest.mark.xfail(strict=True, reason="what several events say one after the other is not put together")
def test_a_key_dealt_out_over_events_cannot_be_put_together(stage: Stage, protocol: str) -> None:
    """As a model streams its answer, a few characters in each event."""

    def script(key: bytes) -> Reply:
        deltas = (key[at : at + 4].decode() for at in range(0, len(key), 4))
        return Reply([b"data: " + json.dumps({"delta": delta}).encode() + b"\n\n" for delta in deltas])

    stage.says(script)
    answer = stage.ask(protocol)
    events = [json.loads(line[len(b"data: ") :]) for line in answer.body.splitlines() if line]
    assert not sings("".join(event["delta"] for event in events).encode())


@pytest.mark.parametrize("sized", [True, False])
def test_a_key_after_two_megabytes_of_an_unknown_type_is_found(stage: Stage, protocol: str, sized: bool) -> None:
    kind = ((b"Content-Type", b"application/octet-stream"),)
    stage.says(lambda key: Reply((b"\0" * 2_000_000, key), kind, sized=sized))
    answer = stage.ask(protocol)
    assert answer.body == b"\0" * 2_000_000 + STAND_IN.encode()
    stage.injected()
