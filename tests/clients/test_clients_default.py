"""A run whose default connection is filled by another one of the vault."""

import json

import pytest

from canary import OPENAI_KEY, OTHER_OPENAI_KEY
from world import Setup

pytest_plugins = ["world_fixtures"]
pytestmark = pytest.mark.world

REFLECT = "https://api.openai.com/reflect"
HELD = "authsome-proxy-managed"


def _two_accounts(setup: Setup) -> None:
    setup.line.login("openai", OPENAI_KEY)
    setup.line.login("openai", OTHER_OPENAI_KEY, "--connection", "team")
    assert setup.line("set-default", "openai", "team").code == 0


@pytest.mark.parametrize("declared", ["  openai:", None])
def test_the_chosen_key_goes_out_and_the_default_placeholder_comes_back(setup: Setup, declared: str | None) -> None:
    _two_accounts(setup)
    if declared:
        setup.declare(declared)
    ran = setup.run("sh", "-c", f'echo $OPENAI_API_KEY; curl --silent -H "Authorization: Bearer {HELD}" {REFLECT}')
    assert ran.out.splitlines()[0] == HELD
    assert ran.answer["key"].rstrip("*") == HELD  # an answer keeps its length
    assert setup.only().values("authorization") == [f"Bearer {OTHER_OPENAI_KEY}"]


def test_two_declared_connections_can_share_one_credential(setup: Setup) -> None:
    _two_accounts(setup)
    setup.declare("  openai: {connections: {default: , team: {env: TEAM_API_KEY}}}")
    ask = f'curl --silent -H "Authorization: Bearer $1" {REFLECT}'
    ran = setup.run("sh", "-c", f"set -- $OPENAI_API_KEY; {ask}; set -- $TEAM_API_KEY; {ask}")
    # One secret has one stand-in on its way back: the default's.
    assert [json.loads(line)["key"].rstrip("*") for line in ran.out.splitlines()] == [HELD, HELD]
    assert [each.values("authorization") for each in setup.received()] == [[f"Bearer {OTHER_OPENAI_KEY}"]] * 2


def test_a_further_connection_is_not_touched_by_the_choice(setup: Setup) -> None:
    _two_accounts(setup)
    setup.line.login("openai", OPENAI_KEY.replace("sk-", "sk-third-"), "--connection", "third")
    setup.declare("  openai: {connections: {default: , third: {env: THIRD_API_KEY}}}")
    ran = setup.curl("--header", f"Authorization: Bearer {HELD}-third", REFLECT)
    assert ran.answer["key"].rstrip("*") == f"{HELD}-third"
    assert setup.only().values("authorization") == [f"Bearer {OPENAI_KEY.replace('sk-', 'sk-third-')}"]
