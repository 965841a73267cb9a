"""The upstream sends the client on to another host: nobody follows for it, and the next request stands on its own."""

import pytest

from scripted import Reply
from stage import HELD, KEY, Stage

pytest_plugins = ["stage_fixtures"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target", ["https://evil.example:{}/take", "http://evil.example:{}/take", "//evil.example:{}/take"]
)
def test_a_redirect_is_passed_on_and_not_followed(stage: Stage, protocol: str, status: int, target: str) -> None:
    location = target.format(stage.origin.port).encode()
    stage.says(lambda _: Reply(status=status, headers=((b"Location", location),), sized=True))
    answer = stage.ask(protocol, "POST", body=b"x")
    assert (answer.status, answer.values(b"location")) == (status, [location])
    stage.injected()
    assert len(stage.origin.arrived) == 1


@pytest.mark.parametrize("name", [b"Refresh", b"Content-Location", b"Alt-Svc", b"Link"])
def test_no_header_leads_the_proxy_elsewhere(stage: Stage, protocol: str, name: bytes) -> None:
    """RFC 7838: an alternative service would be another host under the same name."""
    value = b'h2="evil.example:443"; ma=1, 0; url=https://evil.example/'
    stage.says(lambda _: Reply((b"x",), ((name, value),)))
    for _ in range(2):
        assert stage.ask(protocol).status == 200
    assert {carried.name for carried in stage.origin.carried} <= {stage.host.partition(":")[0]}
    assert len(stage.origin.arrived) == 2


def test_what_a_client_takes_along_to_the_other_host_is_no_secret(stage: Stage, protocol: str) -> None:
    stage.says(lambda key: Reply(status=302, headers=((b"Location", b"https://evil.example/?" + key),), sized=True))
    answer = stage.ask(protocol)
    (location,) = answer.values(b"location")
    stage.origin.forget()
    followed = stage.ask(
        protocol, path="/?" + location.decode().partition("?")[2], host=f"evil.example:{stage.origin.port}"
    )
    assert followed.status == 200
    assert stage.only().values(b"authorization") == [HELD[0][1]]
    assert KEY.encode() not in stage.origin.octets()
