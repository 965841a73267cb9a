"""Every kind of placement, through the real proxy to a real origin, over HTTP/1.1 and HTTP/2."""

from collections.abc import Iterator
from typing import Any

import pytest

from authsome.manifest import Declared
from authsome.provider import (
    PLACEHOLDER,
    AlsoDefinition,
    BasicDefinition,
    Definition,
    FieldDefinition,
    InjectDefinition,
    resolve,
)
from authsome.rules import make
from authsome.session import Session
from canary import sings
from scripted import Reply
from stage import PROTOCOLS, Stage, stage

SECRETS = {"api_key": "CANARY-key/1+2=3", "app_key": "CANARY:app&key"}
SETTINGS = {"account": "AC7"}
FIELDS = {"account": FieldDefinition(secret=False), "api_key": FieldDefinition(), "app_key": FieldDefinition()}


@pytest.fixture(scope="module")
def open_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture
def acme(open_stage: Stage) -> Stage:
    open_stage.forget()
    return open_stage


def _furnish(acme: Stage, *inject: InjectDefinition, secrets: dict[str, str] | None = None) -> None:
    """Let the provider of the stage take its credential in another way."""
    urls = f"https://{acme.host}"
    provider = resolve(Definition("acme", urls, fields=FIELDS, inject=inject, private_addresses=True))
    key = ("acme", "default")
    acme.proxy.swap(make([Declared(provider)], lambda _: True), Session({key: secrets or SECRETS}, {key: SETTINGS}))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("inject", "sent", "path", "fields"),
    [
        ({"headers": {"X-A": "{api_key}", "X-B": "b {app_key}"}}, "/x", "/x", {"x-a": 0, "x-b": "b CANARY:app&key"}),
        (
            {"basic": BasicDefinition("{account}", "{api_key}")},
            "/x",
            "/x",
            {"authorization": "Basic QUM3OkNBTkFSWS1rZXkvMSsyPTM="},
        ),
        ({"query": {"key": "{api_key}"}}, f"/x?key={PLACEHOLDER}&a=1", "/x?a=1&key=CANARY-key%2F1%2B2%3D3", {}),
        (
            {"query": {"key": "{api_key}", "token": "{app_key}"}},
            "/x",
            "/x?key=CANARY-key%2F1%2B2%3D3&token=CANARY%3Aapp%26key",
            {},
        ),
        ({"path": "/bot{app_key}/**"}, f"/bot{PLACEHOLDER}/a?b", "/botCANARY:app&key/a?b", {}),
        ({"value": "{api_key}", "also": AlsoDefinition(query=("key",))}, f"/x?key={PLACEHOLDER}", "/x", {}),
    ],
)
def test_the_secrets_arrive_where_the_provider_takes_them(
    acme: Stage, protocol: str, inject: dict[str, Any], sent: str, path: str, fields: dict[str, Any]
) -> None:
    _furnish(acme, InjectDefinition(**inject))
    answer = acme.ask(protocol, path=sent, headers=((b"x-mine", b"1"), (b"x-a", b"mine")))
    assert answer.status == 200
    arrived = acme.only()
    assert arrived.path.decode() == path
    for name, value in fields.items():
        assert arrived.values(name.encode()) == [(SECRETS["api_key"] if value == 0 else value).encode()]
    assert PLACEHOLDER not in repr(arrived)
    assert not sings(repr(acme.uses).encode())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_key_goes_in_the_way_of_its_kind_and_in_no_other(acme: Stage, protocol: str) -> None:
    ways = (
        InjectDefinition(value="Bearer {api_key}", when="CANARY-oauth-.*"),
        InjectDefinition(header="X-Key", value="{api_key}", when="CANARY-pk-.*"),
    )
    for key, name, value in (
        ("CANARY-oauth-1", b"authorization", b"Bearer CANARY-oauth-1"),
        ("CANARY-pk-1", b"x-key", b"CANARY-pk-1"),
    ):
        acme.forget()
        _furnish(acme, *ways, secrets={"api_key": key, "app_key": "CANARY"})
        sent = ((b"authorization", b"Bearer mine"), (b"x-key", b"mine"))
        assert acme.ask(protocol, headers=sent).status == 200
        arrived = acme.only()
        assert arrived.values(name) == [value]
        assert "mine" not in repr(arrived)
    acme.forget()
    _furnish(acme, *ways, secrets={"api_key": "CANARY-other", "app_key": "CANARY"})
    refused = acme.ask(protocol)
    assert (refused.status, acme.origin.arrived) == (403, [])
    assert b"key_unfit" in refused.octets


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_answer_that_says_a_key_of_path_or_query_back_is_scrubbed(acme: Stage, protocol: str) -> None:
    _furnish(acme, InjectDefinition(query={"key": "{api_key}"}, path="/bot{app_key}/**"))
    acme.origin.script = lambda request: Reply((request.path, b" ", SECRETS["app_key"].encode()))
    answer = acme.ask(protocol, path="/botx/y")
    assert answer.status == 200
    assert b"/botauthsome-proxy/y?key=authsome-p" in answer.octets  # as long as the key; `ask` has looked for it
