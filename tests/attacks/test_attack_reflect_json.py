"""The upstream says the key back in a JSON body, as an echo or a debug page does: the placeholder comes back."""

import json

import pytest

from canary import sings
from scripted import Reply
from stage import STAND_IN, Stage
from world import Setup

pytest_plugins = ["stage_fixtures", "world_fixtures"]


@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_key_in_json_comes_back_as_the_placeholder_at_the_same_length(
    stage: Stage, protocol: str, status: int
) -> None:
    stage.says(lambda key: Reply((b'{"authorization": "Bearer %s"}' % key,), status=status, sized=True))
    answer = stage.ask(protocol)
    assert answer.status == status
    assert json.loads(answer.body) == {"authorization": f"Bearer {STAND_IN}"}
    if protocol == "http/1.1":
        assert answer.values(b"content-length") == [b"%d" % len(answer.body)]
    stage.injected()


@pytest.mark.world
@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
def test_a_real_client_of_a_real_run_reads_the_placeholder(setup: Setup, option: str) -> None:
    setup.connect("openai")
    ran = setup.curl("--fail", "--compressed", option, "https://api.openai.com/reflect?coding=gzip")
    assert json.loads(ran.out)["key"].startswith("authsome-proxy-managed*")
    assert sings(repr(setup.only()).encode())


@pytest.mark.world
def test_without_scrubbing_every_octet_arrives_and_the_run_says_so(setup: Setup) -> None:
    setup.connect("openai", "anthropic")
    setup.declare("  openai: {scrub: off}")
    assert setup.line("trust", "--yes").code == 0
    # The search for canaries would find a key that the agent prints, so the agent only counts it.
    ran = setup.run("sh", "-c", "curl --silent https://api.openai.com/reflect | grep --count CANARY")
    assert ran.out == "1\n"
    assert "openai pass unread" in ran.err
