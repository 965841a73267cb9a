"""A declared host by another port or by its address: whoever answers there gets no secret."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from byhand import Client
from scripted import Origin
from stage import HELD, KEY, NAME, Stage

pytest_plugins = ["stage_fixtures"]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Origin]:
    (tmp_path / "outside").mkdir()
    origin = Origin(tmp_path / "outside")
    yield origin
    origin.close()


def test_another_port_of_a_declared_host_gets_no_secret(stage: Stage, other: Origin, protocol: str) -> None:
    client = Client(stage.proxy.url, [other.roots.read_text()])
    with client.open(f"{NAME}:{other.port}", protocol) as connection:
        assert connection.ask(headers=HELD).status == 200
    (arrived,) = other.arrived
    assert arrived.values(b"authorization") == [HELD[0][1]]
    assert KEY.encode() not in other.octets()
    assert stage.origin.carried == []


def test_another_port_in_the_host_of_a_request_does_not_lead_there(stage: Stage, other: Origin, protocol: str) -> None:
    answer = stage.ask(protocol, authority=f"{NAME}:{other.port}")
    assert (answer.status, answer.error) == (421, "host_mismatch")
    assert other.carried == stage.origin.carried == []


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1", "0x7f000001", "2130706433"])
def test_the_address_of_a_declared_host_gets_no_secret(stage: Stage, protocol: str, address: str) -> None:
    answer = stage.ask(protocol, host=f"{address}:{stage.origin.port}", sni=NAME, authority=stage.host)
    assert answer.status == 200
    assert stage.only().values(b"authorization") == [HELD[0][1]]
    assert KEY.encode() not in stage.origin.octets()
    assert stage.uses.decisions() == ["tunnel"]
