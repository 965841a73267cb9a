"""A key is rotated, or a connection logged out, while an agent is connected: the next request knows.

That the files of the vault and the manifest lead here is `tests/test_reload.py`'s.
"""

import threading
from collections.abc import Iterator

import pytest

from canary import sings
from scripted import Reply
from stage import HELD, KEY, OTHER_KEY, STAND_IN, Stage

pytest_plugins = ["stage_fixtures"]

PATIENCE = 10


@pytest.fixture(autouse=True)
def _as_it_was(stage: Stage) -> Iterator[None]:
    yield
    stage.swap(stage.rules(), default=KEY)


def _keys(stage: Stage) -> list[bytes]:
    return [value for arrived in stage.origin.arrived for value in arrived.values(b"authorization")]


def test_a_rotated_key_is_used_by_the_next_request_of_an_open_connection(stage: Stage, protocol: str) -> None:
    with stage.open(protocol) as connection:
        assert connection.ask(headers=HELD).status == 200
        stage.swap(stage.rules(), default=OTHER_KEY)
        assert connection.ask(headers=HELD).status == 200
    assert _keys(stage) == [f"Bearer {key}".encode() for key in (KEY, OTHER_KEY)]


def test_after_a_logout_the_next_request_of_an_open_connection_is_refused(stage: Stage, protocol: str) -> None:
    with stage.open(protocol) as connection:
        assert connection.ask(headers=HELD).status == 200
        stage.swap(stage.rules(holds=False))
        answer = connection.ask(headers=HELD)
        assert (answer.status, answer.error) == (403, "not_connected")
        stage.swap(stage.rules(), default=OTHER_KEY)
        assert connection.ask(headers=HELD).status == 200
    assert _keys(stage) == [f"Bearer {key}".encode() for key in (KEY, OTHER_KEY)]


def test_a_narrower_allow_holds_for_the_next_request_of_an_open_connection(stage: Stage, protocol: str) -> None:
    with stage.open(protocol) as connection:
        assert connection.ask(path="/b", headers=HELD).status == 200
        stage.swap(stage.rules("GET /a"), default=KEY)
        answer = connection.ask(path="/b", headers=HELD)
        assert (answer.status, answer.error) == (403, "not_allowed")
        assert connection.ask(path="/a", headers=HELD).status == 200
    assert [arrived.path for arrived in stage.origin.arrived] == [b"/b", b"/a"]


def test_a_key_that_was_rotated_away_is_still_looked_for(stage: Stage, protocol: str) -> None:
    """The old key may work for a while, and a provider may remember it."""
    stage.swap(stage.rules(), default=OTHER_KEY)
    stage.origin.script = lambda _: Reply((b"old: " + KEY.encode(), b" new: " + OTHER_KEY.encode()))
    answer = stage.ask(protocol)
    assert answer.body == f"old: {STAND_IN} new: {STAND_IN}".encode()


def test_an_answer_that_has_begun_before_a_rotation_is_read_to_its_end(stage: Stage, protocol: str) -> None:
    rotated = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b"data: first\n\n"
        if rotated.wait(PATIENCE):
            yield b"data: " + KEY.encode() + b"\n\n"

    stage.origin.script = lambda _: Reply(pieces())
    text = b""
    with stage.open(protocol) as connection:
        connection.send("GET", "/", HELD, b"")
        for piece in connection.pieces():
            text += piece
            if not rotated.is_set():
                stage.swap(stage.rules(), default=OTHER_KEY)
                rotated.set()
    assert not sings(text)
    assert text == f"data: first\n\ndata: {STAND_IN}\n\n".encode()
