"""Somebody in between shows another certificate (unknown root, other name, expired, its own): 502, and no secret."""

from collections.abc import Iterator

import pytest

import scripted
import stage as stages
from stage import Stage

pytest_plugins = ["stage_fixtures"]

BAD = {
    scripted.UNTRUSTED: "unable to get local issuer certificate",
    scripted.MISNAMED: "hostname mismatch",
    scripted.EXPIRED: "certificate has expired",
    scripted.ALONE: "self-signed certificate",
}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stages.stage(tmp_path_factory.mktemp("outside"), hosts=(stages.NAME, *BAD)) as made:
        yield made


@pytest.mark.parametrize("host", BAD)
def test_who_cannot_prove_to_be_the_provider_gets_nothing(stage: Stage, protocol: str, host: str) -> None:
    answer = stage.ask(protocol, "POST", body=b"a body", host=f"{host}:{stage.origin.port}")
    assert (answer.status, answer.error) == (502, "upstream_untrusted")
    assert host in answer.body.decode()
    assert BAD[host] in answer.body.decode().lower()
    assert stage.origin.arrived == []
    assert stage.origin.octets() == b""


def test_a_stranger_with_a_bad_certificate_is_the_clients_to_judge(stage: Stage) -> None:
    """What is not decrypted is not verified either: the client sees the certificate itself."""
    with pytest.raises(Exception, match="CERTIFICATE_VERIFY_FAILED"):
        stage.open(host=f"unknown.{scripted.UNTRUSTED}:{stage.origin.port}", sni=scripted.UNTRUSTED)


def test_who_can_prove_it_gets_the_request(stage: Stage, protocol: str) -> None:
    """The control."""
    assert stage.ask(protocol).status == 200
    stage.injected()
