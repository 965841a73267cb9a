"""What stands in for a secret whose form clients check."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from authsome.provider import (
    DEFAULT_CONNECTION,
    PLACEHOLDER,
    ClientCredentialsDefinition,
    Definition,
    DeriveDefinition,
    FieldDefinition,
    InjectDefinition,
    OAuthDefinition,
    Provider,
    mentions,
    resolve,
)
from authsome.provider.mistakes import MistakeError

SHAPES = {
    "e2b_{hex:40}": r"e2b_[0-9a-f]{40}",
    "{digit:10}:{hex:35}": r"[1-9][0-9]{9}:[0-9a-f]{35}",
    "AKIA{base32:16}": r"AKIA[A-Z2-7]{16}",
    "{hex:8}-{hex:32}": r"[0-9a-f]{8}-[0-9a-f]{32}",
}


def _provider(shape: str, name: str = "acme", **fields: FieldDefinition) -> Provider:
    fields = {**fields, "key": FieldDefinition(placeholder=shape)}
    return resolve(Definition(name, "acme.example", fields=fields, inject=(InjectDefinition(value="{key}"),)))


@pytest.mark.parametrize(("shape", "form"), SHAPES.items())
def test_a_stand_in_has_its_form_is_the_same_every_time_and_nobody_elses(shape: str, form: str) -> None:
    provider = _provider(shape)
    made = provider.stand_in("team", "key")
    assert re.fullmatch(form, made)
    assert made == _provider(shape).stand_in("team", "key")
    others = {provider.stand_in(DEFAULT_CONNECTION, "key"), _provider(shape, "other").stand_in("team", "key")}
    assert len({made, *others}) == 3
    assert all(map(mentions, (made, *others)))


@given(
    st.sampled_from(list(SHAPES)), st.text(max_size=8), st.text(max_size=8), st.sampled_from(("team", "a", "default"))
)
def test_a_stand_in_is_seen_wherever_it_is(shape: str, before: str, after: str, connection: str) -> None:
    assert mentions(before + _provider(shape).stand_in(connection, "key") + after)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "authsome",
            "AUTHSOME",
            "AUTHSOME-1",
            "Authsome2345",
            b"authsome".hex(),
            "61757468736f6d6",
            "AUTHSOME" * 2,
        ),
        *("e2b_0123456789abcdef0123456789abcdef01234567", "AKIAIOSFODNN7EXAMPLE", "ghp_0123456789"),
    ],
)
def test_what_only_looks_a_little_like_one_is_none(text: str) -> None:
    assert not mentions(text) or text == "AUTHSOME" * 2


def test_the_ordinary_one_stands_in_where_no_shape_is_asked_for_or_a_setting_is_missing() -> None:
    region = FieldDefinition(secret=False, derive=DeriveDefinition("key", "-([a-z]{2}[0-9])$"))
    provider = _provider("{hex:32}-{dc}", dc=region)
    assert provider.stand_in("default", "key") == PLACEHOLDER
    assert provider.stand_in("team", "other") == f"{PLACEHOLDER}-team"
    filled = provider.filled(provider.derived({"key": "CANARY-us7"}))
    assert re.fullmatch("[0-9a-f]{32}-us7", filled.stand_in("default", "key"))


@pytest.mark.parametrize("key", ["CANARY", "CANARY-", "CANARY-us", f"CANARY-{'u' * 20}7", "-us7x"])
def test_a_key_without_the_part_that_a_setting_is_read_from_is_refused(key: str) -> None:
    region = FieldDefinition(secret=False, derive=DeriveDefinition("key", "-([a-z]+[0-9])$"))
    with pytest.raises(ValueError, match="there is no dc in it"):
        _provider("{hex:32}", dc=region).derived({"key": key})


def _oauth(**derive: str) -> Provider:
    host = FieldDefinition(secret=False, pattern="^[a-z.]+$", derive=DeriveDefinition(**derive))
    asks = OAuthDefinition(authorization_url="https://x.example/a", token_url="https://x.example/t")
    return resolve(Definition("acme", "{host}", auth_type="oauth2", flow="pkce", fields={"host": host}, oauth=asks))


def test_a_host_can_come_with_the_token() -> None:
    provider = _oauth(response="instance_url", pattern="^https://([^/:]+)/?$")
    assert (provider.is_open, [each.name for each in provider.fields if each.asked]) == (True, ["access_token"])
    told = {"access_token": "CANARY", "instance_url": "https://acme.tenants.example.test/"}
    settings = provider.derived(told, response=True)
    assert provider.filled(settings).host_names == ("acme.tenants.example.test",)
    assert provider.derived(told) == {}
    for wrong in (
        "http://acme.example",
        "https://acme.example:8443/",
        "https://u@acme.example",
        "https://Acme.example",
    ):
        with pytest.raises(ValueError, match="there is no host in it"):
            provider.derived({"instance_url": wrong}, response=True)


def test_a_setting_can_come_with_the_person_who_is_sent_back() -> None:
    provider = _oauth(redirect="realmId", pattern="^([a-z]+)$")
    back = {"code": "CANARY", "state": "CANARY", "realmId": "acme"}
    assert provider.derived(back, redirect=True) == {"host": "acme"}
    assert provider.derived(back) == provider.derived(back, response=True) == {}
    for wrong in ({"code": "CANARY"}, {"realmId": ""}, {"realmId": "ACME"}):
        with pytest.raises(ValueError, match="there is no host in it"):
            provider.derived(wrong, redirect=True)


@pytest.mark.parametrize("name", ["refresh_token", "authed_user.refresh_token", "app.client_secret"])
def test_a_setting_is_no_secret_of_a_token_response(name: str) -> None:
    with pytest.raises(ValueError, match="is a secret, and a setting is shown"):
        DeriveDefinition(response=name, pattern="(.*)")


def test_a_setting_is_no_token_by_another_name_either() -> None:
    provider = _oauth(response="copy", pattern="(.*)")
    token = "token-CANARY-0123456789"
    with pytest.raises(ValueError, match="there is no host in it"):
        provider.derived({"refresh_token": token, "copy": token[:-1]}, response=True)


def test_only_a_login_in_the_browser_sends_anybody_back() -> None:
    realm = FieldDefinition(secret=False, derive=DeriveDefinition(redirect="realmId", pattern="(x)"))
    asks = OAuthDefinition(token_url="https://x.example/t", client_credentials=ClientCredentialsDefinition())
    made = Definition("acme", "a.example", auth_type="oauth2", flow="client_credentials", oauth=asks)
    with pytest.raises(ValueError, match="ends a login in the browser, of which there is none"):
        resolve(replace(made, fields={"realm": realm}))


@pytest.mark.parametrize("name", ["code", "state", "access_token"])
def test_no_setting_is_read_out_of_what_a_redirect_keeps_secret(name: str) -> None:
    with pytest.raises(ValueError, match="is a secret"):
        DeriveDefinition(redirect=name, pattern="(x)")


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "id_token"])
def test_no_setting_is_part_of_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="is a secret"):
        DeriveDefinition(response=name, pattern="(x)")


def test_a_key_comes_without_a_token_response() -> None:
    region = FieldDefinition(secret=False, derive=DeriveDefinition(response="region", pattern="(x)"))
    with pytest.raises(MistakeError, match="nobody sends for a key"):
        _provider("{hex:32}", dc=region)


@pytest.mark.parametrize(
    ("derive", "said"),
    [
        (DeriveDefinition("other", "(x)"), "no field that is given"),
        (DeriveDefinition("key", "x"), "has one group"),
        (DeriveDefinition("key", "(x)(y)"), "has one group"),
        (DeriveDefinition("key", "(a+)+"), "for ever"),
        (DeriveDefinition("key", "("), "not a regular expression"),
    ],
)
def test_a_setting_that_could_not_be_read_out_of_a_key_does_not_load(derive: DeriveDefinition, said: str) -> None:
    with pytest.raises(MistakeError, match=re.escape(said)):
        _provider("{hex:32}", dc=FieldDefinition(secret=False, derive=derive))
