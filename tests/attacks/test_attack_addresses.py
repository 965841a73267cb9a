"""A declared host leads to a loopback, private, link-local or metadata address, at once or later: nothing is sent."""

import json
from collections.abc import Iterator

import pytest

import stage as stages
from stage import NAME, Stage
from world import ADDRESS, Setup

pytest_plugins = ["stage_fixtures", "world_fixtures"]

_REBIND = """
import sys
if sys.argv[0].endswith("authsome"):
    import socket
    real, answers = socket.getaddrinfo, {answers!r}
    def look_up(host, *more, **named):
        if host != "api.openai.com":
            return real(host, *more, **named)
        with open({log!r}, "a") as log:
            log.write("looked up\\n")
        return real(answers.pop(0), *more, **named)
    socket.getaddrinfo = look_up
"""


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stages.stage(tmp_path_factory.mktemp("outside"), private=False) as made:
        yield made


@pytest.mark.parametrize(
    "addresses",
    [
        *(["127.0.0.1"], ["10.1.2.3"], ["172.16.0.1"], ["192.168.1.1"], ["169.254.169.254"], ["100.64.0.1"]),
        *(["0.0.0.0"], ["168.63.129.16"], ["::1"], ["fe80::1"], ["fd00:ec2::254"]),  # noqa: S104
        *(["::ffff:127.0.0.1"], ["::ffff:169.254.169.254"], ["64:ff9b::7f00:1"], ["2002:7f00:1::"]),
        *(["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"]),
    ],
)
def test_no_credential_goes_to_an_address_that_is_not_public(stage: Stage, protocol: str, addresses: list[str]) -> None:
    stage.leads = addresses
    answer = stage.ask(protocol, "POST", body=b"a body")
    assert (answer.status, answer.error) == (403, "address_not_public")
    refused = json.loads(answer.body)
    assert any(address in refused["reason"] for address in addresses)
    assert "private_addresses" in refused["hint"]
    assert stage.origin.carried == []


def test_a_name_in_another_case_is_the_same_name(stage: Stage, protocol: str) -> None:
    answer = stage.ask(protocol, host=stage.host.upper())
    assert (answer.status, answer.error) == (403, "address_not_public")
    assert stage.origin.carried == []


def test_an_undeclared_host_gets_no_credential_and_may_be_anywhere(stage: Stage, protocol: str) -> None:
    assert stage.ask(protocol, host=f"other.{NAME}:{stage.origin.port}").status == 200
    assert b"CANARY" not in stage.origin.octets()


def test_a_definition_can_say_that_its_host_is_in_a_private_network(
    tmp_path_factory: pytest.TempPathFactory, protocol: str
) -> None:
    """The control."""
    with stages.stage(tmp_path_factory.mktemp("outside")) as made:
        assert made.ask(protocol).status == 200
        made.injected()


def _run(setup: Setup, *answers: str) -> tuple[str, int]:
    """Return what a client got while the name led to one address after the other, and how often it was looked up."""
    log = setup.line.root / "lookups"
    log.touch()
    (setup.line.root / "resolver").mkdir()
    resolver = setup.line.root / "resolver" / "sitecustomize.py"
    resolver.write_text(_REBIND.format(answers=list(answers), log=str(log)))
    setup.line.env["PYTHONPATH"] = str(resolver.parent)
    ran = setup.curl("https://api.openai.com/v1/models")
    return ran.out, len(log.read_text().splitlines())


@pytest.mark.world
def test_the_address_that_was_checked_is_the_one_that_is_connected(setup: Setup) -> None:
    """A name that leads to a public address when it is checked, and into the machine when it is connected."""
    setup.connect("openai")
    said, lookups = _run(setup, ADDRESS, "127.0.0.1", "127.0.0.1")
    assert (json.loads(said)["object"], lookups) == ("list", 1)
    assert len(setup.received()) == 1


@pytest.mark.world
def test_a_name_that_leads_inside_first_is_not_asked_again(setup: Setup) -> None:
    setup.connect("openai")
    said, lookups = _run(setup, "127.0.0.1", ADDRESS, ADDRESS)
    assert (json.loads(said)["error"], lookups) == ("address_not_public", 1)
    assert setup.received() == []
