"""Node's own fetch, which finds the proxy by the environment, and undici for a Node too old for that."""

import json
import shutil
from pathlib import Path

import pytest

from canary import OPENAI_KEY
from node import Install, node_version
from world import AGENTS, Setup

pytest_plugins = ["world_fixtures", "node_fixtures"]
pytestmark = pytest.mark.world

MODELS = "https://api.openai.com/v1/models"


@pytest.fixture(scope="session")
def node_with_undici(install: Install) -> tuple[str, Path]:
    """Return the machine's Node and the folder of modules in which it finds undici."""
    found = shutil.which("node")
    if not found or node_version(found) < (18, 17):
        pytest.skip("there is no Node on this machine that undici runs on")
    return found, install("undici@6") / "node_modules"


def test_the_fetch_built_into_node_uses_a_key_it_does_not_hold(setup: Setup, modern_node: str) -> None:
    setup.connect("openai")
    ran = setup.run(modern_node, str(AGENTS / "fetch.mjs"), MODELS)
    assert ran.code == 0, ran
    answer = json.loads(ran.out)
    assert (answer["status"], answer["body"]["data"][0]["id"]) == (200, "canned-1")
    assert setup.only().values("authorization") == [f"Bearer {OPENAI_KEY}"]


def test_the_fetch_built_into_node_reaches_undeclared_hosts_with_their_own_certificate(
    setup: Setup, modern_node: str
) -> None:
    setup.connect("openai")
    # Node trusts no file but this one beside its own roots, in a run as without it.
    trust = {"NODE_EXTRA_CA_CERTS": str(setup.world.roots)}
    ran = setup.run(modern_node, str(AGENTS / "fetch.mjs"), "https://undeclared.example/echo", env=trust)
    assert ran.code == 0, ran
    assert setup.only().values("authorization") == ["Bearer authsome-proxy-managed"]


def test_undici_of_an_older_node_uses_a_key_it_does_not_hold(setup: Setup, node_with_undici: tuple[str, Path]) -> None:
    setup.connect("openai")
    node, modules = node_with_undici
    ran = setup.run(node, str(AGENTS / "undici_fetch.cjs"), MODELS, env={"NODE_PATH": str(modules)})
    assert ran.code == 0, ran
    assert json.loads(ran.out)["status"] == 200
    assert setup.only().values("authorization") == [f"Bearer {OPENAI_KEY}"]
