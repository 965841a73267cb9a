"""A key is shown to its provider as a run would show it, and to nobody else."""

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from authsome import probe
from authsome.provider import (
    ApiKey,
    BasicDefinition,
    Definition,
    FieldDefinition,
    Host,
    InjectDefinition,
    Provider,
    SigV4Definition,
    TestRequest as Check,
    resolve,
)
from authsome.proxy.upstream import Upstream, read
from awssign import ACCESS_KEY, SECRET_KEY, TOKEN, wrong
from canary import sings
from octets import Arrived
from scripted import Origin, Reply

pytest_plugins = ["scripted_fixtures"]

KEY = {"api_key": "CANARY-probe-key-0123456789"}
NAME = "localhost"


@pytest.fixture
def outside(origin: Origin) -> Upstream:
    return Upstream(origin.roots.read_text())


def _provider(origin: Origin, name: str = NAME, path: str = "/v1/me?deep=1", **more: Any) -> Provider:
    definition = Definition("acme", f"https://{name}:{origin.port}", api_key=ApiKey(), display_name="Acme")
    test = Check(f"https://{name}:{origin.port}{path}")
    return resolve(replace(definition, **{"test": test, **more}))


def _answers(status: int) -> Callable[[Arrived], Reply]:
    return lambda _: Reply((b"x",), ((b"Location", b"https://evil.example/"),), status)


def test_a_key_that_is_accepted(origin: Origin, outside: Upstream) -> None:
    verdict = probe.ask(_provider(origin, headers={"x-version": "7"}), KEY, outside)
    assert (verdict.good, verdict.words) == (True, "Acme accepts it")
    (arrived,) = origin.arrived
    assert (arrived.method, arrived.path) == (b"GET", b"/v1/me?deep=1")
    assert arrived.values(b"authorization") == [b"Bearer " + KEY["api_key"].encode()]
    assert arrived.values(b"host") == [f"{NAME}:{origin.port}".encode()]
    assert arrived.values(b"x-version") == [b"7"]


def test_the_key_stands_where_the_definition_puts_it(origin: Origin, outside: Upstream) -> None:
    basic = InjectDefinition(basic=BasicDefinition("user", "{api_key}"), paths=("/v1/**",))
    probe.ask(_provider(origin, inject=(basic,)), KEY, outside)
    assert origin.arrived[0].values(b"authorization")[0].startswith(b"Basic ")
    origin.forget()
    verdict = probe.ask(_provider(origin, path="/v2/me", inject=(basic,)), KEY, outside)
    assert (verdict.good, verdict.words) == (None, f"not checked: {NAME}:{origin.port} would get no key at /v2/me")
    assert not origin.arrived


@pytest.mark.parametrize(
    ("status", "good"),
    [(204, True), (401, False), (403, None), (302, None), (404, None), (429, None), (500, None), (503, None)],
)
def test_only_what_the_provider_says_is_said(origin: Origin, outside: Upstream, status: int, good: bool | None) -> None:
    origin.script = _answers(status)
    verdict = probe.ask(_provider(origin), KEY, outside)
    assert verdict.good is good
    assert len(origin.arrived) == 1  # no redirect is followed, nothing is tried again
    if not good:
        assert verdict.words.endswith(f"{NAME}:{origin.port} answered {status}")


def test_a_provider_may_have_a_status_of_its_own(origin: Origin, outside: Upstream) -> None:
    origin.script = _answers(400)
    test = Check(f"https://{NAME}:{origin.port}/", bad_status=400)
    assert probe.ask(_provider(origin, test=test), KEY, outside).good is False


@pytest.mark.parametrize(("status", "good"), [(403, True), (204, True), (401, False), (422, False), (404, None)])
def test_a_provider_may_have_several_of_each(origin: Origin, outside: Upstream, status: int, good: bool | None) -> None:
    origin.script = _answers(status)
    test = Check(f"https://{NAME}:{origin.port}/", good_status=(200, 403), bad_status=(401, 422))
    assert probe.ask(_provider(origin, test=test), KEY, outside).good is good


@pytest.mark.parametrize("statuses", [{"good_status": ()}, {"bad_status": ()}, {"good_status": (200, 401)}])
def test_a_status_says_one_thing_and_there_is_one(origin: Origin, statuses: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not empty and have none in common"):
        _provider(origin, test=Check(f"https://{NAME}:{origin.port}/", **statuses))


def test_settings_stand_in_the_address_and_secrets_where_they_belong(origin: Origin, outside: Upstream) -> None:
    url = f"https://{NAME}:{origin.port}"
    fields = {"account": FieldDefinition(secret=False), "api_key": FieldDefinition()}
    definition = Definition("acme", url, fields=fields, inject=(InjectDefinition(path="/bot{api_key}/**"),))
    test = Check(f"{url}/bot{{api_key}}/accounts/{{account}}.json?of={{account}}")
    given = KEY | {"account": "me:{api_key}&"}
    assert probe.ask(resolve(replace(definition, test=test)), given, outside).good
    said = b"me%3A%7Bapi_key%7D%26"
    assert origin.arrived[0].path == b"/bot" + KEY["api_key"].encode() + b"/accounts/" + said + b".json?of=" + said
    with pytest.raises(ValueError, match="`{other}` is not a field"):
        resolve(replace(definition, test=Check(f"{url}/{{other}}")))


def test_a_setting_that_nobody_has_said_yet_has_its_default(origin: Origin, outside: Upstream) -> None:
    url = f"https://{NAME}:{origin.port}"
    fields = {"api_key": FieldDefinition(), "region": FieldDefinition(secret=False, default="Łódź")}
    place = InjectDefinition(headers={"X-Key": "{api_key}", "X-Region": "{region}"})
    definition = Definition("acme", url, fields=fields, inject=(place,), test=Check(f"{url}/{{region}}"))
    assert probe.ask(resolve(definition), KEY, outside).good
    assert (origin.arrived[0].path, origin.arrived[0].values(b"x-region")) == (
        quote("/Łódź").encode(),
        ["Łódź".encode()],
    )


def test_without_a_test_nothing_is_sent(origin: Origin, outside: Upstream) -> None:
    verdict = probe.ask(_provider(origin, test=None), KEY, outside)
    assert (verdict.good, verdict.words) == (None, "not checked: nothing is known to check it with")
    assert not origin.arrived


def test_a_certificate_nobody_trusts_gets_no_key(origin: Origin) -> None:
    verdict = probe.ask(_provider(origin), KEY, read({}))
    assert (verdict.good, verdict.words) == (
        None,
        f"not checked: the certificate of {NAME}:{origin.port} cannot be verified",
    )
    assert not origin.arrived


def test_a_name_that_leads_into_a_private_network_gets_no_key(
    origin: Origin, outside: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, port, *more, **named: real("127.0.0.1", port, *more, **named))
    verdict = probe.ask(_provider(origin, "api.acme.example"), KEY, outside)
    assert (verdict.good, verdict.words) == (
        None,
        f"not checked: api.acme.example:{origin.port} leads to an address that is not public",
    )
    assert not origin.arrived
    assert probe.ask(_provider(origin, "api.acme.example", private_addresses=True), KEY, outside).good
    assert origin.carried[-1].name == "api.acme.example"


def test_who_is_away_or_silent_is_not_waited_for(outside: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"{NAME}:{silent.getsockname()[1]}"
        provider = resolve(Definition("acme", f"https://{where}", api_key=ApiKey(), test=Check(f"https://{where}/")))
        assert probe.ask(provider, KEY, outside, seconds=0.3).words == f"not checked: {where} did not answer in time"
    assert probe.ask(provider, KEY, outside).words == f"not checked: {where} could not be reached"


def test_the_users_proxy_is_the_way_out(origin: Origin, outside: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as parent:
        parent.settimeout(5)
        way = read({"HTTPS_PROXY": f"http://user:CANARY-proxy@127.0.0.1:{parent.getsockname()[1]}"})

        seen: list[bytes] = []

        def refuse() -> None:
            client, _ = parent.accept()
            with client:
                seen.append(client.recv(4096))
                client.sendall(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        verdict = probe.ask(_provider(origin), KEY, replace(way, roots=outside.roots))
        thread.join()
    assert verdict.good is None
    assert seen[0].startswith(f"CONNECT {NAME}:{origin.port} ".encode())
    assert b"proxy-authorization: basic " in seen[0].lower()
    assert not sings(seen[0].partition(b"roxy-")[0])
    assert not origin.arrived
    around = replace(way, roots=outside.roots, no_proxy=(NAME,))
    assert probe.ask(_provider(origin), KEY, around).good


@pytest.mark.parametrize(
    "url", ["http://localhost/x", "https://localhost", "localhost/x", "https://evil.example/x", "https://localhost/#x"]
)
def test_a_test_that_would_take_the_key_elsewhere_is_no_definition(url: str) -> None:
    with pytest.raises(ValueError, match=r"`test`|is not the address|not a host"):
        resolve(Definition("acme", "https://localhost", api_key=ApiKey(), test=Check(url)))


def test_a_request_that_tries_a_key_is_signed_where_the_provider_wants_it(
    origin: Origin, outside: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "sts.eu-west-1.amazonaws.com"
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *more, **named: look_up("127.0.0.1", *more, **named))
    found: list[str | None] = []

    def judge(arrived: Arrived) -> Reply:
        headers = [(name.decode(), value.decode()) for name, value in arrived.headers]
        found.append(wrong("GET", arrived.path.decode(), headers, b"", TOKEN if len(found) == 1 else None))
        return Reply(status=403 if found[-1] else 200)

    origin.script = judge
    fields = {"id": FieldDefinition(), "key": FieldDefinition(), "token": FieldDefinition(optional=True)}
    inject = InjectDefinition(sigv4=SigV4Definition("{id}", "{key}", "{token}"))
    provider = _provider(
        origin,
        name,
        "/?Action=GetCallerIdentity&Version=2011-06-15",
        api_key=None,
        fields=fields,
        inject=(inject,),
        private_addresses=True,
    )
    provider = replace(provider, test=replace(provider.test or Check(""), bad_status=403))
    keys = {"id": ACCESS_KEY, "key": SECRET_KEY}
    assert probe.ask(provider, keys, outside).good is True
    assert probe.ask(provider, keys | {"token": TOKEN}, outside).good is True
    assert probe.ask(provider, keys | {"key": "CANARY-other"}, outside).good is False
    assert [bool(each) for each in found] == [False, False, True]
    assert SECRET_KEY.encode() not in origin.octets()
    elsewhere = replace(provider, test=Check(f"https://{NAME}:{origin.port}/"), hosts=(Host(NAME, origin.port),))
    placements = tuple(replace(each, hosts=frozenset(elsewhere.hosts)) for each in provider.placements)
    verdict = probe.ask(replace(elsewhere, placements=placements), keys, outside)
    assert verdict.words.startswith("not checked: it is not signed, and `localhost")
