"""The agent brings a key of its own (data would go to the attacker's account): it is replaced by the user's."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace

import pytest

import stage as stages
from authsome.provider import ApiKey
from octets import Fields
from stage import KEY, Stage

pytest_plugins = ["stage_fixtures"]

THEIRS = b"sk-the-attackers-own-key"


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Furnish a stage whose provider has a header of its own."""
    own = ApiKey(header_name="X-Api-Key", header_prefix="")
    with stages.stage(tmp_path_factory.mktemp("outside"), definition=lambda it: replace(it, api_key=own)) as made:
        yield made


@pytest.mark.parametrize(
    "headers",
    [
        ((b"Authorization", b"Bearer " + THEIRS),),
        ((b"authorization", b"bearer " + THEIRS),),
        ((b"Authorization", b"Basic " + b64encode(b"user:" + THEIRS)),),
        ((b"Authorization", THEIRS),),
        ((b"Authorization", b"Bearer " + THEIRS), (b"Authorization", b"Bearer authsome-proxy-managed")),
        ((b"Authorization", b"Bearer authsome-proxy-managed"), (b"AUTHORIZATION", b"Bearer " + THEIRS)),
        ((b"Authorization", b"Bearer authsome-proxy-managed, Bearer " + THEIRS),),
        ((b"Authorization", b""), (b"Authorization", b"Bearer " + THEIRS)),
    ],
)
def test_a_key_of_somebody_else_is_replaced(stage: Stage, protocol: str, headers: Fields) -> None:
    assert stage.ask(protocol, headers=headers).status == 200
    arrived = stage.injected()
    assert THEIRS not in repr(arrived).encode()
    assert b64encode(THEIRS) not in stage.origin.octets()


@pytest.mark.parametrize(
    "headers",
    [
        ((b"X-Api-Key", THEIRS),),
        ((b"x-api-key", THEIRS), (b"X-API-KEY", THEIRS)),
        ((b"X_Api_Key", THEIRS),),
        ((b"Authorization", b"Bearer " + THEIRS),),
        ((b"Authorization", b"Bearer " + THEIRS), (b"X-Api-Key", b"authsome-proxy-managed")),
    ],
)
def test_every_header_that_could_be_the_credential_is_replaced_or_dropped(
    named: Stage, protocol: str, headers: Fields
) -> None:
    named.forget()
    assert named.ask(protocol, headers=headers).status == 200
    arrived = named.only()
    assert arrived.values(b"x-api-key") == [KEY.encode()]
    assert arrived.values(b"authorization") == arrived.values(b"x_api_key") == []
    assert THEIRS not in repr(arrived).encode()
