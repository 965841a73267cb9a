"""Hosts below a wildcard, stand-ins of a shape and headers that are left to the client, through the real proxy."""

from collections.abc import Iterator
from typing import Any

import pytest

from authsome.manifest import Declared
from authsome.provider import (
    PLACEHOLDER,
    AlsoDefinition,
    Definition,
    FieldDefinition,
    Host,
    InjectDefinition,
    Provider,
    resolve,
)
from authsome.rules import make
from authsome.session import Session
from canary import sings
from stage import PROTOCOLS, Stage, stage

KEY, TEAM_KEY = "CANARY-key-0123456789", "CANARY-team-9876543210"
WILD = "*.tenants.example"
SHAPED = FieldDefinition(placeholder="{digit:10}:{hex:35}")


@pytest.fixture(scope="module")
def open_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("stage"), hosts=[WILD, "api.acme.example"]) as made:
        yield made


@pytest.fixture
def acme(open_stage: Stage) -> Stage:
    open_stage.forget()
    return open_stage


def _furnish(acme: Stage, provider: Provider, **keys: str) -> None:
    declared = [Declared(provider, connection) for connection in keys]
    secrets = {(provider.name, name): {"api_key": key} for name, key in keys.items()}
    stand_ins = {each.key: {"api_key": provider.stand_in(each.connection, "api_key")} for each in declared}
    acme.proxy.swap(make(declared, lambda _: True), Session(secrets, None, stand_ins))


def _provider(acme: Stage, *hosts: str, field: FieldDefinition = SHAPED, **inject: Any) -> Provider:
    urls = tuple(f"https://{host}:{acme.origin.port}" for host in hosts)
    made = InjectDefinition(**inject)
    return resolve(Definition("acme", urls, fields={"api_key": field}, inject=(made,), private_addresses=True))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_host_below_a_wildcard_gets_the_key_over_tls_that_its_client_verifies(acme: Stage, protocol: str) -> None:
    _furnish(acme, _provider(acme, WILD, value="Bearer {api_key}"), default=KEY)
    for name in ("cats.tenants.example", "a.b.tenants.example"):
        answer = acme.ask(protocol, host=f"{name}:{acme.origin.port}")
        assert (answer.status, acme.only().values(b"authorization")) == (200, [f"Bearer {KEY}".encode()])
        acme.origin.forget()


@pytest.mark.parametrize("name", ["tenants.example", "xtenants.example", "cats.tenants.example.evil.example"])
def test_no_host_beside_a_wildcard_does(acme: Stage, name: str) -> None:
    provider = _provider(acme, WILD, value="Bearer {api_key}")
    _furnish(acme, provider, default=KEY)
    assert not make([Declared(provider)], lambda _: True).decrypts(Host(name, acme.origin.port))
    answer = acme.ask(host=f"cats.tenants.example:{acme.origin.port}", authority=f"{name}:{acme.origin.port}")
    assert answer.status == 421
    assert acme.origin.arrived == []


def test_the_stand_in_of_a_shape_says_whose_key_is_meant_and_comes_back_in_its_place(acme: Stage) -> None:
    provider = _provider(acme, "api.acme.example", path="/bot{api_key}/**")
    _furnish(acme, provider, default=KEY, team=TEAM_KEY)
    for connection, key in (("default", KEY), ("team", TEAM_KEY)):
        held = provider.stand_in(connection, "api_key")
        acme.origin.forget()
        answer = acme.ask(path=f"/bot{held}/getMe", headers=())
        assert (answer.status, acme.only().path) == (200, f"/bot{key}/getMe".encode())
    assert not sings(repr(acme.uses).encode())
    assert PLACEHOLDER in acme.uses[-1].path


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/", ((b"X-Note", b"HELD"),)), ("/?a=HELD", ()), ("/x/HELD", ()), ("/", ((b"Cookie", b"a=HELD"),))],
)
def test_a_stand_in_of_a_shape_leaves_nowhere_else(acme: Stage, path: str, headers: Any) -> None:
    provider = _provider(acme, "api.acme.example", value="Bearer {api_key}")
    _furnish(acme, provider, default=KEY, team=TEAM_KEY)
    for connection in ("default", "team", "gone"):
        held = provider.stand_in(connection, "api_key")
        sent = tuple((name, value.replace(b"HELD", held.encode())) for name, value in headers)
        answer = acme.ask(path=path.replace("HELD", held), headers=sent)
        assert (answer.status, b"placeholder_misplaced" in answer.octets) == (403, True)
    assert acme.origin.arrived == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ((), f"Bearer {KEY}"),
        ((f"Bearer {PLACEHOLDER}",), f"Bearer {KEY}"),
        (("Bearer eyJ.user.x",), "Bearer eyJ.user.x"),
        (("",), f"Bearer {KEY}"),
        (("Bearer eyJ.user.x", "Bearer eyJ.other.x"), f"Bearer {KEY}"),
        ((f"Basic {'OmF1dGhzb21lLXByb3h5LW1hbmFnZWQ='}",), f"Bearer {KEY}"),
    ],
)
def test_a_header_that_yields_is_the_clients_if_it_is_its_own(
    acme: Stage, protocol: str, sent: tuple[str, ...], arrives: str
) -> None:
    headers = {"apikey": "{api_key}", "Authorization": "Bearer {api_key}"}
    also = AlsoDefinition(query=("apikey",))
    field = FieldDefinition()
    provider = _provider(acme, "api.acme.example", field=field, headers=headers, yields=("Authorization",), also=also)
    _furnish(acme, provider, default=KEY)
    said = tuple((b"authorization", text.encode()) for text in sent)
    assert acme.ask(protocol, headers=((b"apikey", b"mine"), *said)).status == 200
    arrived = acme.only()
    assert arrived.values(b"apikey") == [KEY.encode()]
    assert arrived.values(b"authorization") == [arrives.encode()]
