"""A declared host that leads to a loopback, private, link-local or metadata address: refused, nothing is sent."""

import json

import pytest

import origin
from world import Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

KEY = "CANARY-of-a-private-host"


def _connect(setup: Setup, host: str, **more: object) -> None:
    folder = setup.line.home / "providers"
    folder.mkdir(parents=True)
    definition = {"name": "local", "host_url": f"https://{host}", "api_key": {"env_var": "LOCAL_KEY"}, **more}
    (folder / "local.json").write_text(json.dumps(definition))
    setup.line.login("local", KEY)
    setup.declare("  local:")


@pytest.mark.parametrize("host", origin.PRIVATE)
def test_no_credential_goes_to_an_address_that_is_not_public(setup: Setup, host: str) -> None:
    _connect(setup, host)
    answer = json.loads(setup.curl(f"https://{host}/echo").out)
    assert answer["error"] == "address_not_public"
    assert origin.PRIVATE[host] in answer["reason"]
    assert "private_addresses" in answer["hint"]
    assert setup.received() == []


def test_a_name_in_another_case_is_the_same_name(setup: Setup) -> None:
    _connect(setup, "loopback.example")
    answer = json.loads(setup.curl("https://LoopBack.Example/echo").out)
    assert answer["error"] == "address_not_public"
    assert setup.received() == []


def test_a_definition_can_say_that_its_host_is_in_a_private_network(setup: Setup) -> None:
    _connect(setup, "loopback.example", private_addresses=True)
    assert "authorization" in json.loads(setup.curl("https://loopback.example/echo").out)
    assert setup.only().values("authorization") == [f"Bearer {KEY}"]


def test_an_undeclared_host_gets_no_credential_and_may_be_anywhere(setup: Setup) -> None:
    setup.connect("openai")
    assert "authorization" not in json.loads(setup.curl("https://loopback.example/echo").out)
