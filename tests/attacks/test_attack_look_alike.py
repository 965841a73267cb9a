"""A host that only looks like a declared one: the exact name gets the secret, and nobody else."""

import contextlib
from collections.abc import Iterator

import pytest

import stage as stages
from stage import HELD, KEY, NAME, Stage

pytest_plugins = ["stage_fixtures"]

LOOK_ALIKES = (
    *(f"evil-{NAME}", f"evil.{NAME}", f"{NAME}.evil.example", f"{NAME}.", "acme.example", "api.acme.example.example"),
    *("api-acme.example", "xn--pi-7kc.acme.example", "apі.acme.example".encode("idna").decode(), "api.acme.exampl"),
)
ODD = (
    *(b"\xd0\xb0pi.acme.example", f"{NAME}\0.evil.example".encode(), f"evil.example#{NAME}".encode()),
    *(
        f"user@{NAME}".encode(),
        f"{NAME}%2eevil.example".encode(),
        f"{NAME}\\.evil.example".encode(),
        f" {NAME}".encode(),
    ),
    *(f"evil.example?{NAME}".encode(), f"https://{NAME}".encode(), f"{NAME},evil.example".encode()),
)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stages.stage(tmp_path_factory.mktemp("outside"), open_egress=False) as made:
        yield made


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_look_alike_is_a_stranger(stage: Stage, protocol: str, name: str) -> None:
    answer = stage.ask(protocol, host=f"{name}:{stage.origin.port}", authority=stage.host)
    assert answer.status == 200
    assert stage.only().values(b"authorization") == [HELD[0][1]]
    assert KEY.encode() not in stage.origin.octets()
    assert stage.uses.decisions() == ["tunnel"]


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_where_strangers_are_refused_a_look_alike_is_too(closed: Stage, name: str) -> None:
    closed.forget()
    opened, answer = closed.client.tunnel(f"{name}:{closed.origin.port}")
    opened.close()
    assert (answer.status, answer.error) == (403, "egress_denied")
    assert closed.origin.carried == []


@pytest.mark.parametrize("name", ODD)
def test_a_target_that_is_no_name_leads_to_no_secret(stage: Stage, name: bytes) -> None:
    with stage.client.dial() as opened:
        target = name + b":%d" % stage.origin.port
        password = b"\r\nProxy-Authorization: Basic " + stage.client.password
        opened.sendall(b"CONNECT " + target + b" HTTP/1.1\r\nHost: x" + password + b"\r\n\r\n")
        opened.settimeout(0.3)
        octets = b""
        with contextlib.suppress(OSError):
            octets = opened.recv(1 << 16)
    assert b"CANARY" not in octets
    assert KEY.encode() not in stage.origin.octets()
    assert stage.origin.arrived == []
    assert not {"inject", "pass"} & {use.decision for use in stage.uses}


def test_a_port_in_other_digits_is_the_same_or_none(stage: Stage) -> None:
    for port in (f"0{stage.origin.port}", f"+{stage.origin.port}", f"{stage.origin.port:_}", f"{stage.origin.port} "):
        opened, answer = stage.client.tunnel(f"{NAME}:{port}")
        opened.close()
        assert answer.status in {200, 400, 502, None}
    assert stage.origin.octets() == b""


@pytest.mark.parametrize("name", [NAME.upper(), "Api.Acme.Example"])
def test_case_makes_no_other_host(stage: Stage, protocol: str, name: str) -> None:
    answer = stage.ask(protocol, host=f"{name}:{stage.origin.port}", authority=stage.host.upper())
    assert answer.status == 200
    arrived = stage.injected()
    assert (arrived.values(b"host") or arrived.values(b":authority")) == [stage.host.encode()]
