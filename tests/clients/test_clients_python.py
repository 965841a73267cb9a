"""Python's clients, as programs that have nothing but the environment."""

import pytest

from canary import OPENAI_KEY
from world import Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

MODELS = "https://api.openai.com/v1/models"


def test_the_openai_sdk_lists_models_and_sees_the_first_chunk_before_the_last_is_sent(setup: Setup) -> None:
    setup.connect("openai")
    assert setup.agent("openai_sdk").answer == {
        "models": ["canned-1"],
        "chunks": ["first", "last"],
        "key": "authsome-proxy-managed",
    }
    requests = setup.received()
    paths = [each.path.partition("?")[0] for each in requests]
    assert paths == ["/v1/models", "/v1/chat/completions", "/v1/release"]
    assert {value for each in requests for value in each.values("authorization")} == {f"Bearer {OPENAI_KEY}"}


@pytest.mark.parametrize("client", ["requests", "httpx", "urllib", "urllib3", "aiohttp"])
def test_a_python_client_uses_a_key_it_does_not_hold(setup: Setup, client: str) -> None:
    setup.connect("openai")
    answer = setup.agent("python_get", client, MODELS).answer
    assert (answer["status"], answer["body"]["data"][0]["id"]) == (200, "canned-1")
    assert setup.only().values("authorization") == [f"Bearer {OPENAI_KEY}"]


def test_responses_of_every_shape_arrive_unchanged_over_one_connection(setup: Setup) -> None:
    setup.connect("openai")
    answer = setup.agent("http_shapes").answer
    assert answer["404"] == [404, "status 404\n", "here"]
    assert answer["500"] == [500, "status 500\n", "here"]
    assert answer["204"] == [204, "", "here"]
    assert answer["head"] == [200, "", "1000"]
    assert answer["chunked"] == [200, 60, "60", "chunked"]
    assert answer["fifty"] == [200] * 50
    requests = setup.received()
    assert len(requests) == 55
    assert len({each.peer for each in requests}) == 1
    assert next(each for each in requests if each.path == "/chunked").body == 60


def test_a_client_that_speaks_http2_alone_gets_it_on_both_sides(setup: Setup) -> None:
    setup.connect("openai")
    setup.declare("  openai:", '    allow: ["GET /**"]')
    answer = setup.agent("http2_only").answer
    assert answer == {"statuses": [200, 403], "error": "not_allowed", "size": 3_000_000}
    assert [(each.version, each.path.partition("?")[0]) for each in setup.received()] == [
        *(("2", "/v1/models"), ("2", "/big")),
    ]
