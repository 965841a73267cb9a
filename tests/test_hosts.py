"""Hosts of a definition: exact, below one, or with slots that settings fill."""

import re
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from authsome.provider import (
    Definition,
    DeriveDefinition,
    FieldDefinition,
    Host,
    InjectDefinition,
    Provider,
    SigV4Definition,
    covered,
    resolve,
)
from authsome.provider.mistakes import MistakeError

SETTING = FieldDefinition(secret=False)
PLACE = (InjectDefinition(value="Bearer {api_key}"),)


def _provider(*hosts: str, **fields: FieldDefinition) -> Provider:
    return resolve(Definition("acme", hosts, fields={**fields, "api_key": FieldDefinition()}, inject=PLACE))


@pytest.mark.parametrize(
    ("text", "shown", "given", "filled"),
    [
        ("api.acme.example", "api.acme.example", {}, "api.acme.example"),
        ("{shop}.acme.example", "{shop}.acme.example", {"shop": "Cats"}, "cats.acme.example"),
        ("https://{shop}.Acme.example/", "{shop}.acme.example", {"shop": "cats"}, "cats.acme.example"),
        ("{id}-1.acme.example:8443", "{id}-1.acme.example:8443", {"id": "7"}, "7-1.acme.example:8443"),
        ("{host}", "{host}", {"host": "db.acme.example"}, "db.acme.example"),
        ("*.acme.example", "*.acme.example", {}, "*.acme.example"),
        ("*.{region}.acme.example", "*.{region}.acme.example", {"region": "eu"}, "*.eu.acme.example"),
        ("{a}.{b}.acme.example", "{a}.{b}.acme.example", {"a": "x"}, "{a}.{b}.acme.example"),
    ],
)
def test_a_host_is_what_its_settings_make_of_it(text: str, shown: str, given: dict[str, str], filled: str) -> None:
    host = Host.declared(text)
    assert str(host) == shown
    assert str(host.filled(given)) == filled
    assert host.filled(given).is_open == ("{" in filled)


@pytest.mark.parametrize(
    "value",
    [
        *("", "a b", "evil.example/", "evil.example:443", "evil.example#", "evil.example?", "x@evil.example", "{shop}"),
        *("*", "evil.example\n", "-a", "a..b", ".", "évil", "a" * 64, "evil.example\\", "%2e", "https://evil.example"),
    ],
)
def test_what_makes_no_host_leaves_it_open(value: str) -> None:
    host = Host.declared("{shop}.acme.example")
    assert host.filled({"shop": value}) == host


TEMPLATES = ("{x}.acme.example", "{x}", "a-{x}.acme.example:8443", "*.{x}.acme.example", "127.0.0.{x}")


@given(st.text(max_size=30) | st.from_regex("[0-9a-z.-]{1,9}", fullmatch=True), st.sampled_from(TEMPLATES))
def test_a_filled_host_is_one_host_and_ends_as_it_was_declared(value: str, text: str) -> None:
    host = Host.declared(text)
    filled = host.filled({"x": value})
    assert filled == host or (
        re.fullmatch(r"(\*\.)?[a-z0-9_.-]+", filled.name)
        and filled.name.endswith(host.name.rpartition("}")[2])
        and filled.port == host.port
        and not filled.name.rpartition(".")[2].isdigit()
    )


@pytest.mark.parametrize(
    "text",
    [
        *("*", "*.", "*.com", "*.*.acme.example", "a.*.example", "*acme.example", "*.{zone}", "*.{a}.com", "regex:.*"),
        *("{", "}", "{}", "{A}.acme.example", "{a b}.acme.example", "{a}/x", "http://{a}.acme.example", "{a}:{b}"),
        *("{a}.acme.example:0", "{a}@acme.example", "x{a"),
    ],
)
def test_what_could_be_anybodys_host_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="."):
        Host.declared(text)


@pytest.mark.parametrize(
    ("text", "of", "found"),
    [
        ("https://cats.acme.example", "{shop}.acme.example", {"shop": "cats"}),
        ("HTTPS://Cats.Acme.Example/admin?x#y", "{shop}.acme.example", {"shop": "Cats"}),
        (" cats.acme.example \n", "{shop}.acme.example", {"shop": "cats"}),
        ("cats.acme.example:8443", "{shop}.acme.example:8443", {"shop": "cats"}),
        ("cats.acme.example:8443", "{shop}.acme.example", {}),
        ("http://cats.acme.example", "{shop}.acme.example", {}),
        ("cats", "{shop}.acme.example", {}),
        ("cats.acme.example.evil.example", "{shop}.acme.example", {}),
        ("https://x@cats.acme.example", "{shop}.acme.example", {}),
        ("db.acme.example", "{host}", {"host": "db.acme.example"}),
        ("a-b.acme.example", "{x}-{y}.acme.example", {"x": "a", "y": "b"}),
    ],
)
def test_an_address_that_somebody_copies_holds_the_settings(text: str, of: str, found: dict[str, str]) -> None:
    assert Host.declared(of).read(text) == found


def test_a_wildcard_covers_whole_labels_at_its_port_and_nothing_else() -> None:
    wild = Host.declared("*.acme.example")
    assert all(wild.covers(Host(name)) for name in ("a.acme.example", "a.b.acme.example"))
    for near in ("acme.example", "xacme.example", "a.acme.example.evil.example", "a.acme.example.", "*.example"):
        assert not wild.covers(Host(near))
    assert not wild.covers(Host("a.acme.example", 8443))
    assert covered(Host("a.acme.example"), frozenset({wild}))
    assert not covered(Host("acme.example"), frozenset({wild, Host("b.example")}))


@pytest.mark.parametrize(
    "suffix", ["com", "co.uk", "github.io", "web.app", "example", "s3.amazonaws.com", "vercel.app"]
)
def test_a_key_never_goes_to_all_hosts_below_a_name_below_which_anybody_has_one(suffix: str) -> None:
    with pytest.raises((MistakeError, ValueError), match="below|every host"):
        _provider(f"*.{suffix}")
    _provider(f"*.acme.{suffix}", suffix if "." in suffix else f"a.{suffix}")


@pytest.mark.parametrize(("suffix", "good"), [("github.io", False), ("co.uk", False), ("s3.amazonaws.com", True)])
def test_a_signature_never_goes_to_hosts_that_anybody_has_but_to_those_of_aws(suffix: str, *, good: bool) -> None:
    signed = (InjectDefinition(sigv4=SigV4Definition("{id}", "{key}")),)
    secrets = {"id": FieldDefinition(), "key": FieldDefinition()}
    with nullcontext() if good else pytest.raises(MistakeError, match="anybody can have a host"):
        resolve(Definition("acme", (f"*.{suffix}",), fields=secrets, inject=signed))


@pytest.mark.parametrize(
    ("hosts", "fields", "said"),
    [
        (("{shop}.acme.example",), {}, "no setting"),
        (("{api_key}.acme.example",), {}, "no setting"),
        (("{host}",), {"host": SETTING}, "whatever `host` says"),
        (("db-{host}:1",), {"host": SETTING}, "whatever `host` says"),
        (("{a}.acme.example",), {"a": FieldDefinition(secret=False, value="x")}, "made of others"),
        (("{a}.acme.example",), {"a": FieldDefinition(secret=False, default="x y")}, "no part of a host"),
        (("b.example",), {"a": FieldDefinition(secret=False, value="{api_key}")}, "no setting that is given"),
        (("b.example",), {"a": FieldDefinition(secret=False, value="{b}")}, "no setting that is given"),
        (("b.example",), {"a": FieldDefinition(placeholder="x-{a}")}, "no room to be known by"),
        (("b.example",), {"a": FieldDefinition(placeholder="{hex:21}")}, "no room to be known by"),
        (("b.example",), {"a": FieldDefinition(placeholder="{hex:40} x")}, "no key has"),
        (("b.example",), {"a": FieldDefinition(placeholder="{hex:400}")}, "1 to 64"),
        (("b.example",), {"a": FieldDefinition(placeholder="{hex:40}{b}")}, "no setting"),
    ],
)
def test_a_template_of_what_nobody_gives_does_not_load(
    hosts: tuple[str, ...], fields: dict[str, FieldDefinition], said: str
) -> None:
    with pytest.raises(MistakeError, match=re.escape(said)):
        _provider(*hosts, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"default": "a", "value": "b"},
        {"secret": True, "value": "b"},
        {"secret": True, "example": "b"},
        {"placeholder": "{hex:40}"},
        {"example": "a\tb"},
    ],
)
def test_a_field_is_a_secret_or_a_setting_and_comes_from_one_place(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="."):
        FieldDefinition(**{"secret": False, **fields})


def test_a_provider_is_filled_anew_and_what_is_made_of_settings_follows() -> None:
    url = FieldDefinition(secret=False, value="https://{shop}.acme.example", env="ACME_URL")
    provider = _provider("{shop}.acme.example", "api.acme.example", shop=SETTING, url=url)
    cats, dogs = provider.filled({"shop": "cats"}), provider.filled({"shop": "cats"}).filled({"shop": "dogs"})
    assert (provider.is_open, cats.is_open) == (True, False)
    assert cats.host_names == ("api.acme.example", "cats.acme.example")
    assert dogs.host_names == ("api.acme.example", "dogs.acme.example")
    assert dict(dogs.settings) == {"shop": "dogs", "url": "https://dogs.acme.example"}
    assert {str(host) for place in dogs.placements for host in place.hosts} == set(dogs.host_names)
    assert dogs.beyond(cats.host_names) == ("dogs.acme.example",)
    assert provider.filled({}).is_open
    assert provider.filled({"api_key": "cats", "url": "https://evil.example"}).is_open


@pytest.mark.parametrize("text", ["*.{x}o.uk", "*.{x}ithub.io", "*.a-{x}-b.acme.example"])
def test_no_setting_ends_the_name_below_which_a_key_goes_to_every_host(text: str) -> None:
    with pytest.raises(ValueError, match="of which hosts it is all has to stand in it"):
        Host.declared(text)


def test_a_wildcard_includes_the_narrower_one_and_not_the_other_way_round() -> None:
    wide, narrow = Host.declared("*.acme.example"), Host.declared("*.svc.acme.example")
    assert wide.includes(narrow)
    assert wide.includes(wide)
    assert wide.includes(Host("a.acme.example"))
    assert not narrow.includes(wide)
    assert not wide.includes(Host("acme.example"))
    assert not wide.includes(replace(narrow, port=8443))
    assert not wide.covers(narrow)  # which is the name of no host


def test_settings_that_are_read_out_of_a_key_show_no_more_of_it_together_than_one_may() -> None:
    parts = {
        f"part_{at}": FieldDefinition(secret=False, derive=DeriveDefinition("api_key", f"^.{{{at}}}(.{{6}})"))
        for at in (0, 6, 12)
    }
    two = {name: parts[name] for name in ("part_0", "part_6")}
    given = {"api_key": "CANARY0123456789abcdef"}
    assert _provider("acme.example", **two).derived(given) == {"part_0": "CANARY", "part_6": "012345"}
    with pytest.raises(ValueError, match="there is no .* in it"):
        _provider("acme.example", **parts).derived(given)


def test_an_address_settles_what_is_part_of_it() -> None:
    provider = _provider("{shop}.acme.example", shop=SETTING)
    there = provider.at("https://cats.acme.example/")
    assert there.host_names == ("cats.acme.example",)
    assert there.filled({"shop": "dogs"}).host_names == ("cats.acme.example",)
    assert [each.name for each in there.fields if each.asked] == ["api_key"]
    for wrong in ("https://evil.example", "cats", "http://cats.acme.example", "https://a.b.acme.example", ""):
        with pytest.raises(ValueError, match="no address of acme"):
            provider.at(wrong)
    with pytest.raises(ValueError, match="the same address for all: b\\.example"):
        _provider("b.example").at("https://b.example")
