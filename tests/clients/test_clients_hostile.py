"""Agents that refuse to be surprised: what they see of a refusal and of a host that nobody answers for."""

import pytest

from canary import OPENAI_KEY
from world import Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world


def test_a_refused_head_leaves_the_connection_usable_and_names_are_written_as_the_upstream_knows_them(
    setup: Setup,
) -> None:
    setup.connect("openai")
    setup.declare("  openai:", '    allow: ["GET /v1/models"]')
    assert setup.agent("keep_alive").answer == {"head": "403", "get": "200"}
    received = setup.only()
    assert received.values("host") == ["api.openai.com"]
    assert received.values("authorization") == [f"Bearer {OPENAI_KEY}"]
    assert received.values("connection") == []
    assert received.values("proxy-connection") == []


def test_an_undeclared_host_that_cannot_be_reached_is_said_in_json(setup: Setup) -> None:
    setup.connect("openai")
    assert setup.agent("unreachable").answer == {"status": "502", "error": "upstream_failed", "ended": True}
