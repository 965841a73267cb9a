"""Bodies that are large, refused early, or never end."""

import json
import os

import pytest

from canary import OPENAI_KEY
from world import Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

SIZE = 200_000_000 if "AUTHSOME_SOAK" in os.environ else 100_000_000
GROWTH_KIB = 60 * 1024
RESTRICTED = ("  openai:", '    allow: ["GET /v1/models"]')


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", ["http1.1", "http2"])
@pytest.mark.parametrize("direction", ["download", "upload"])
def test_many_bytes_pass_in_constant_memory(setup: Setup, direction: str, version: str) -> None:
    setup.connect("openai")
    answer = setup.agent("weigh", direction, version, str(SIZE), timeout=240).answer
    assert answer["moved"] == SIZE
    assert answer["before"] > 0
    assert answer["peak"] - answer["before"] < GROWTH_KIB, answer
    moved = setup.received()[-1]
    assert moved.body == (SIZE if direction == "upload" else 0)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["http1.1", "http2"])
def test_a_client_that_reads_slowly_slows_the_upstream_and_fills_no_memory(setup: Setup, version: str) -> None:
    setup.connect("openai")
    answer = setup.agent("weigh", "slow-download", version, str(SIZE)).answer
    assert 0 < answer["moved"] < SIZE / 2, answer
    assert answer["peak"] - answer["before"] < GROWTH_KIB, answer


@pytest.mark.slow
def test_a_client_that_opens_no_window_slows_the_upstream_and_fills_no_memory(setup: Setup) -> None:
    """HTTP/2 has a brake of its own (RFC 9113, 5.2), which holds although the connection below is read."""
    setup.connect("openai")
    answer = setup.agent("closed_window", str(SIZE)).answer
    assert 0 < answer["moved"] < 1 << 16, answer
    assert answer["peak"] - answer["before"] < GROWTH_KIB, answer


def test_a_forbidden_upload_is_refused_before_it_is_sent(setup: Setup) -> None:
    setup.connect("openai")
    setup.declare(*RESTRICTED)
    answer = setup.agent("early_refusal").answer
    assert (answer["status"], answer["body"]["error"]) == ("403", "not_allowed")
    assert setup.received() == []


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
def test_curl_sees_why_its_large_upload_is_forbidden(setup: Setup, option: str) -> None:
    setup.connect("openai")
    setup.declare(*RESTRICTED)
    file = setup.line.project / "large"
    with file.open("wb") as opened:
        opened.truncate(50_000_000)
    upload = ("--request", "POST", "--data-binary", f"@{file}")
    ran = setup.curl("--write-out", r"\n%{http_code}", option, *upload, "https://api.openai.com/v1/files")
    body, _, status = ran.out.rpartition("\n")
    assert (status, json.loads(body)["error"]) == ("403", "not_allowed")
    assert setup.received() == []


def test_a_websocket_carries_messages_both_ways_after_an_authorized_handshake(setup: Setup) -> None:
    setup.connect("openai")
    assert setup.agent("websocket_echo", "one", "two", "three").answer == {"echoed": ["one", "two", "three"]}
    received = setup.only()
    assert received.path == "/v1/realtime"
    assert received.values("authorization") == [f"Bearer {OPENAI_KEY}"]
