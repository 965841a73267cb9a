"""The upstream says the key outside the body (headers, reason, interim answers, trailers): the placeholder comes."""

from base64 import b64decode, b64encode
from dataclasses import replace
from pathlib import Path

import pytest

import stage as stages
from authsome.provider import BasicDefinition, InjectDefinition
from canary import sings
from octets import Fields
from reflections import compress, decompress
from scripted import Reply
from stage import HELD, KEY, STAND_IN, Stage

pytest_plugins = ["stage_fixtures"]

SHOWN = STAND_IN.encode()


def test_a_key_in_headers_comes_back_as_the_placeholder(stage: Stage, protocol: str) -> None:
    def script(key: bytes) -> Reply:
        return Reply(
            status=302,
            headers=(
                (b"X-Key", key),
                (b"X-Request", b"Authorization: Bearer " + key),
                (b"Set-Cookie", b"session=%s; Path=/; HttpOnly" % b64encode(key)),
                (b"Set-Cookie", b"second=" + key),
                (b"Location", b"/next?key=" + key),
                (b"WWW-Authenticate", b'Bearer error_description="%s is not known"' % key[::-1]),
            ),
            sized=True,
        )

    stage.says(script)
    answer = stage.ask(protocol)
    assert (answer.status, answer.complete) == (302, True)
    assert answer.values(b"x-key") == [SHOWN]
    assert answer.values(b"x-request") == [b"Authorization: Bearer " + SHOWN]
    assert answer.values(b"location") == [b"/next?key=" + SHOWN]
    session, second = answer.values(b"set-cookie")
    assert session.endswith(b"; Path=/; HttpOnly")
    assert second == b"second=" + SHOWN
    assert answer.values(b"www-authenticate") == [b'Bearer error_description="%s is not known"' % SHOWN[::-1]]
    stage.injected()


def test_a_key_in_the_name_of_a_header_does_not_pass(stage: Stage) -> None:
    """Names have no case, so a client may show it in another one."""
    stage.says(lambda key: Reply(headers=((key, b"1"), (b"X-" + key, b"2")), sized=True))
    answer = stage.ask()
    assert (answer.status, answer.complete) == (200, True)
    assert b"canary" not in answer.octets.lower()
    stage.injected()


def test_a_key_in_the_reason_of_a_status_comes_back_as_the_placeholder(stage: Stage) -> None:
    stage.says(lambda key: Reply(raw=(b"HTTP/1.1 403 %s is not known\r\nContent-Length: 0\r\n\r\n" % key,)))
    answer = stage.ask()
    assert (answer.status, answer.reason) == (403, SHOWN + b" is not known")
    stage.injected()


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_a_key_in_trailers_comes_back_as_the_placeholder(stage: Stage, protocol: str, coding: str) -> None:
    def script(key: bytes) -> Reply:
        encoding = ((b"Content-Encoding", coding.encode()),) if coding else ()
        headers = ((b"Trailer", b"X-Key"), *encoding)
        return Reply(
            compress(coding, [b"body"]), headers, trailers=((b"X-Checksum", b"1"), (b"X-Key", b"Bearer " + key))
        )

    stage.says(script)
    answer = stage.ask(protocol)
    assert (answer.status, answer.complete) == (200, True)
    assert decompress(coding, answer.body) == b"body"
    ended = {name.lower(): value for name, value in answer.trailers}
    assert ended == {b"x-checksum": b"1", b"x-key": b"Bearer " + SHOWN}
    stage.injected()


def test_a_key_within_basic_comes_back_as_the_placeholder(tmp_path: Path, protocol: str) -> None:
    """As an upstream says the whole header back: the key stands in base64, behind a name."""
    basic = (InjectDefinition(basic=BasicDefinition("name", "{api_key}")),)
    (tmp_path / "outside").mkdir()
    with stages.stage(tmp_path / "outside", definition=lambda it: replace(it, inject=basic)) as made:
        made.origin.script = lambda arrived: Reply(
            (b"you sent: " + arrived.values(b"authorization")[0],),
            ((b"X-Sent", arrived.values(b"authorization")[0]),),
        )
        answer = made.ask(protocol)
        assert made.only().values(b"authorization") == [b"Basic " + b64encode(f"name:{KEY}".encode())]
    shown = b64decode(answer.body.removeprefix(b"you sent: Basic "))
    assert shown.startswith(b"name:")
    assert STAND_IN[1:-1].encode() in shown
    assert not sings(shown + b64decode(answer.values(b"x-sent")[0].removeprefix(b"Basic ")))


@pytest.mark.parametrize("count", [1, 3])
def test_a_key_in_an_interim_answer_comes_back_as_the_placeholder(stage: Stage, protocol: str, count: int) -> None:
    def hint(key: bytes) -> Fields:
        return ((b"Link", b"</style.css?%s>; rel=preload" % key),)

    stage.says(lambda key: Reply((b"body",), sized=True, interim=(hint(key),) * count))
    answer = stage.ask(protocol)
    assert (answer.status, answer.body) == (200, b"body")
    links = [value for fields in answer.interim for name, value in fields if name.lower() == b"link"]
    assert links == [b"</style.css?%s>; rel=preload" % SHOWN] * count
    stage.injected()


def test_a_continue_with_a_key_says_nothing_of_it(stage: Stage) -> None:
    """An answer that every client skips is no hiding place."""

    def script(key: bytes) -> Reply:
        interim = b"HTTP/1.1 100 %s\r\nX-Key: %s\r\n\r\n" % (key, key)
        return Reply(raw=(interim, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))

    stage.says(script)
    answer = stage.ask(method="POST", headers=(*HELD, (b"Expect", b"100-continue")), body=b"hello")
    assert (answer.status, answer.body) == (200, b"ok")
    stage.injected()
