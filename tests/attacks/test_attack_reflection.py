"""An upstream that says the key back, in a body: the placeholder arrives in the same spelling, at the same length."""

import json
from pathlib import Path

import pytest

import reflections
from authsome.provider import PLACEHOLDER
from canary import OPENAI_KEY, sings
from reflections import SPELLINGS, decompress
from world import Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

STAND_IN = PLACEHOLDER.ljust(len(OPENAI_KEY), "*")
CODINGS = ("gzip", "deflate", "br", "zstd")


def _fetch(setup: Setup, query: str, *options: str) -> tuple[dict[str, str], bytes]:
    """Return the headers, names in lower case, and the body as it came."""
    body, head = (setup.line.project / name for name in ("body", "head"))
    ran = setup.curl("--output", str(body), "--dump-header", str(head), *options, f"https://api.openai.com{query}")
    assert ran.code == 0, ran
    lines = head.read_text().split("\n\n")[-2 if head.read_text().endswith("\n\n") else -1].splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return headers, body.read_bytes()


def _expected(spelling: str, lead: int = 0) -> bytes:
    return b"." * lead + b'{"key": "' + SPELLINGS[spelling](STAND_IN.encode()) + b'"}\n'


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_key_in_a_body_comes_back_as_the_placeholder_in_the_same_spelling(setup: Setup, spelling: str) -> None:
    setup.connect("openai")
    headers, body = _fetch(setup, f"/reflect?as={spelling}")
    assert headers["content-length"] == str(len(body))
    read = reflections.read(spelling, body[len(b'{"key": "') : -len(b'"}\n')])
    # In base64 a character at the edge belongs to the neighbour too, and stays.
    assert not sings(read)
    # Decimal entities have two digits or three, so not every character fits in the place of another.
    assert STAND_IN[1:].encode() in read or spelling == "entities"


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
@pytest.mark.parametrize("spelling", ["plain", "json", "base64-1"])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_key_cut_into_pieces_is_found(setup: Setup, spelling: str, steps: int, option: str) -> None:
    """The first three octets may have left before anything could be known; what follows is the placeholder's."""
    setup.connect("openai")
    _, body = _fetch(setup, f"/reflect?as={spelling}&steps={steps}", option)
    wanted = _expected(spelling)
    assert len(body) == len(wanted)
    assert not sings(body)
    assert PLACEHOLDER[4:].encode() in body or spelling != "plain"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("steps", ["", "&steps=5"])
def test_a_key_in_a_compressed_body_is_found(setup: Setup, coding: str, steps: str) -> None:
    setup.connect("openai")
    headers, body = _fetch(setup, f"/reflect?coding={coding}{steps}", "--header", f"Accept-Encoding: {coding}")
    assert headers["content-encoding"] == coding
    text = decompress(coding, body)
    assert not sings(text)
    assert len(text) == len(_expected("plain"))
    assert PLACEHOLDER[4:].encode() in text


def test_a_key_after_two_megabytes_of_an_unknown_type_is_found(setup: Setup) -> None:
    setup.connect("openai")
    _, body = _fetch(setup, "/reflect?lead=2000000&type=application/octet-stream")
    assert body == _expected("plain", lead=2_000_000)


def test_a_body_in_a_coding_nobody_can_read_is_refused(setup: Setup) -> None:
    setup.connect("openai")
    _, body = _fetch(setup, "/echo?coding=rot13", "--header", "Accept-Encoding: rot13")
    assert json.loads(body)["error"] == "unreadable_response"


def test_only_codings_that_can_be_read_are_asked_for(setup: Setup) -> None:
    setup.connect("openai")
    _fetch(setup, "/echo", "--header", "Accept-Encoding: rot13, br;q=0.5, gzip")
    asked = setup.only().values("accept-encoding")
    assert len(asked) == 1
    assert "rot13" not in asked[0]
    assert "gzip" in asked[0]


def test_no_transfer_coding_is_asked_for(setup: Setup) -> None:
    setup.connect("openai")
    _fetch(setup, "/echo", "--http1.1", "--header", "TE: gzip", "--header", "Connection: TE")
    assert setup.only().values("te") == []


def test_an_upgrade_to_frames_that_nobody_reads_is_not_passed_on(setup: Setup) -> None:
    setup.connect("openai")
    upgrade = ("--header", "Upgrade: websocket", "--header", "Connection: Upgrade")
    _fetch(setup, "/echo", "--http1.1", *upgrade, "--header", "Sec-WebSocket-Version: 8")
    assert setup.only().values("upgrade") == []


def test_a_part_of_a_body_is_asked_for_without_compression(setup: Setup) -> None:
    """Nobody can read a compressed body from its middle."""
    setup.connect("openai")
    _fetch(setup, "/echo", "--range", "0-3", "--header", "Accept-Encoding: gzip")
    assert setup.only().values("accept-encoding") == ["identity"]


def test_a_key_in_headers_comes_back_as_the_placeholder(setup: Setup) -> None:
    setup.connect("openai")
    headers, _ = _fetch(setup, "/reflect/header")
    assert headers["x-key"] == STAND_IN
    assert headers["x-request"] == f"Authorization: Bearer {STAND_IN}"
    assert headers["location"] == f"/next?key={STAND_IN}"
    assert "Path=/" in headers["set-cookie"]


def test_a_key_in_an_event_is_replaced_and_the_event_is_not_held_back(setup: Setup) -> None:
    setup.connect("openai")
    assert setup.agent("first_event").answer == {"first": f"data: {STAND_IN}", "rest": ["data: [DONE]"]}


def test_a_key_in_a_websocket_message_is_replaced(setup: Setup) -> None:
    setup.connect("openai")
    answer = setup.agent("websocket_echo", "plain", "the key is {key}", "again {key}").answer
    assert answer == {"echoed": ["plain", f"the key is {STAND_IN}", f"again {STAND_IN}"]}


def test_without_scrubbing_every_octet_arrives_and_the_run_says_so(setup: Setup) -> None:
    setup.connect("openai", "anthropic")
    setup.declare("  openai: {scrub: off}")
    # The search for canaries would find a key that the agent prints, so the agent only counts it.
    ran = setup.run("sh", "-c", "curl --silent https://api.openai.com/reflect | grep --count CANARY")
    assert ran.out == "1\n"
    assert "openai pass unread" in ran.err


def test_the_files_of_this_test_hold_no_key(setup: Setup) -> None:
    """The search of the whole suite would find one; this says which test it was."""
    setup.connect("openai")
    _fetch(setup, "/reflect")
    assert not [path for path in Path(setup.line.project).iterdir() if sings(path.read_bytes())]
