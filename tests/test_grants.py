"""The sentences that people agree to say everything that a definition does."""

import json
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from syrupy.assertion import SnapshotAssertion

from authsome import documents, grants
from authsome.provider import (
    ApiKey,
    BasicDefinition,
    Catalogue,
    Definition,
    Export,
    Field,
    Host,
    InjectDefinition,
    Placement,
    Provider,
    TestRequest as Trial,
    bundled,
    resolve,
)
from authsome.rules import matches

HOSTS = ("a.example", "b.example", "c.example:8443")
PATHS = ("/", "/v1/x", "/v2/x", "/v1/x/y")
# Words that try to be two values, or a sentence of ours.
WORDS = ("", "x", "y", 'x", "y', "x, y", "x\ny", "{api_key}", "Bearer {api_key}", "the key may be sent to b.example")
HEADERS = ("Authorization", "authorization", "X-Key", "X-Other")

text = st.sampled_from(WORDS)
names = st.sampled_from(HEADERS)
variables = st.sampled_from(("A_KEY", "B_KEY", "C_KEY"))
some_hosts = st.lists(st.sampled_from((*HOSTS, "https://A.example")), max_size=3).map(tuple)
some_paths = st.lists(st.sampled_from(("/v1/*", "/v2/*", "/**", '/", "/v1/*')), max_size=2).map(tuple)
statuses = st.sampled_from((200, 204, 401))
several = st.one_of(variables, st.lists(variables, max_size=3).map(tuple))

KINDS: dict[type, dict[str, st.SearchStrategy[Any]]] = {
    ApiKey: {
        "header_name": names,
        "header_prefix": text,
        "env_var": st.none() | variables,
        "key_pattern": st.none() | st.sampled_from(("^x", "^y", "")),
        "key_pattern_hint": st.none() | text,
    },
    BasicDefinition: {"username": text, "password": text},
    Export: {"env": st.fixed_dictionaries({}, optional={"api_key": several, "access_token": several})},
    Trial: {
        "url": st.sampled_from(("https://a.example/v1", "https://a.example/v2", "https://b.example/v1")),
        "method": st.sampled_from(("GET", "HEAD", "POST")),
        "good_status": statuses,
        "bad_status": statuses,
    },
}
KINDS[InjectDefinition] = {
    "header": names,
    "value": st.none() | text,
    "basic": st.none() | st.builds(BasicDefinition, **KINDS[BasicDefinition]),
    "hosts": some_hosts,
    "paths": some_paths,
}
KINDS[Definition] = {
    "name": st.sampled_from(("acme", "acme-2")),
    "host_url": st.one_of(st.sampled_from(HOSTS), some_hosts),
    "display_name": text,
    "auth_type": st.sampled_from(("api_key", "oauth2")),
    "flow": st.sampled_from(("api_key", "pkce", "")),
    "oauth": st.none()
    | st.dictionaries(text, st.one_of(text, st.booleans(), st.sampled_from((0, 1, 1.0)), st.lists(text)), max_size=2),
    "api_key": st.none() | st.builds(ApiKey, **KINDS[ApiKey]),
    "inject": st.lists(
        st.fixed_dictionaries(KINDS[InjectDefinition])
        .filter(lambda one: (one["value"] is None) != (one["basic"] is None))
        .map(lambda one: InjectDefinition(**one)),
        max_size=3,
    ).map(tuple),
    "headers": st.dictionaries(names, st.sampled_from(("x", "y", 'x", then Y "y')), max_size=3),
    "export": st.none() | st.builds(Export, **KINDS[Export]),
    "keys_url": st.none() | text,
    "test": st.none() | st.builds(Trial, **KINDS[Trial]),
    "private_addresses": st.booleans(),
}
BASE = Definition(name="acme", host_url=HOSTS, api_key=ApiKey(env_var="A_KEY"))


@pytest.mark.parametrize(("kind", "known"), KINDS.items())
def test_the_property_is_about_every_field_of_a_definition(kind: Any, known: dict[str, st.SearchStrategy[Any]]) -> None:
    assert set(known) == {each.name for each in fields(kind)} - {"schema_version", "docs"}


def _behaviour(provider: Provider) -> Any:
    """Return what a provider does, found by asking it and not by its sentences."""
    # What is added to this list of fields has to be added to the sentences.
    assert {each.name for each in fields(Provider)} == {
        *("name", "display_name", "auth_type", "hosts", "fields", "placements", "constant_headers", "keys_url"),
        *("docs", "private_addresses", "test", "flow", "oauth"),
    }
    assert {each.name for each in fields(Field)} == {"name", "pattern", "hint", "env", "label", "masked"}
    assert {each.name for each in fields(Placement)} == {"header", "value", "basic", "hosts", "paths"}
    carried = {(host, path): _first(provider, Host.parse(host), path) for host in HOSTS for path in PATHS}
    asked = [(each.name, each.pattern, each.hint, set(each.env), each.label, each.masked) for each in provider.fields]
    constants: dict[str, list[tuple[str, str]]] = {}
    for name, value in provider.constant_headers:
        constants.setdefault(name.lower(), []).append((name, value))
    plain = (provider.name, provider.display_name, provider.auth_type, provider.flow, provider.keys_url)
    oauth = json.dumps(provider.oauth, sort_keys=True)
    return set(provider.hosts), carried, asked, constants, plain, oauth, provider.private_addresses, provider.test


def _first(provider: Provider, host: Host, path: str) -> tuple[str, str | None, tuple[str, str] | None] | None:
    """Return what a request with the key becomes."""
    fitting = (
        (place.header, place.value, place.basic)
        for place in provider.placements
        if host in place.hosts and (not place.paths or any(matches(pattern, path) for pattern in place.paths))
    )
    return next(fitting, None)


def _resolved(definition: dict[str, Any]) -> Provider | None:
    with suppress(ValueError):
        return resolve(Definition(**definition))
    return None


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[Provider, Provider] | None:
    """Draw two definitions that differ in one field, by a little or a lot."""
    some = draw(st.sets(st.sampled_from(sorted(KINDS[Definition])), max_size=5))
    plain = {each.name: getattr(BASE, each.name) for each in fields(Definition)}
    one = plain | {name: draw(KINDS[Definition][name]) for name in sorted(some)}
    changed = draw(st.sampled_from(sorted(KINDS[Definition])))
    two = one | {changed: draw(KINDS[Definition][changed])}
    if changed in KINDS_OF_PARTS and one[changed] is not None and draw(st.booleans()):
        part = draw(st.sampled_from(sorted(KINDS[KINDS_OF_PARTS[changed]])))
        two[changed] = replace(one[changed], **{part: draw(KINDS[KINDS_OF_PARTS[changed]][part])})
    first, second = _resolved(one), _resolved(two)
    return (first, second) if first and second else None


KINDS_OF_PARTS: dict[str, type] = {"api_key": ApiKey, "export": Export, "test": Trial}


@settings(max_examples=600, deadline=None)
@given(_pairs())
def test_definitions_that_behave_differently_never_give_the_same_sentences(
    pair: tuple[Provider, Provider] | None,
) -> None:
    if pair is None:  # no definitions: they do not load
        return
    one, two = pair
    said, also_said = grants.of(one), grants.of(two)
    if _behaviour(one) != _behaviour(two):
        assert set(said) != set(also_said)
    elif one == replace(two, docs=one.docs):
        assert said == also_said
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("field", sorted(KINDS[Definition]))
def test_a_change_of_each_field_changes_the_sentences(field: str) -> None:
    """The pairs above could all be equal in some field; here each one differs for certain."""
    other: dict[str, Any] = {
        "name": "other",
        "host_url": HOSTS[:2],
        "display_name": "x",
        "auth_type": "oauth2",
        "flow": "pkce",
        "oauth": {"token_url": "https://a.example/token"},
        "api_key": ApiKey(env_var="A_KEY", header_name="X-Key"),
        "inject": (InjectDefinition(value="{api_key}"),),
        "headers": {"X-Version": "1"},
        "export": Export({"api_key": "B_KEY"}),
        "keys_url": "https://a.example/keys",
        "test": Trial("https://a.example/"),
        "private_addresses": True,
    }
    assert set(grants.of(BASE)) != set(grants.of(replace(BASE, **{field: other[field]})))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"host_url": ("b.example", "a.example")}, {"host_url": ("https://A.example/", "b.example:443", "b.example")}),
        ({"docs": "https://a.example"}, {"docs": None}),
        (
            {"api_key": ApiKey(env_var="B_KEY")},
            {"api_key": ApiKey(), "export": Export({"api_key": ("B_KEY", "B_KEY")})},
        ),
        ({"api_key": ApiKey()}, {"inject": (InjectDefinition(value="Bearer {api_key}"),), "api_key": ApiKey()}),
        ({"oauth": {}}, {"oauth": None}),
        (
            {"inject": (InjectDefinition(value="{api_key}", paths=("/a", "/b")),)},
            {"inject": (InjectDefinition(value="{api_key}", paths=("/b", "/a"), hosts=HOSTS[::-1]),)},
        ),
        (
            {"inject": tuple(InjectDefinition(value="{api_key}", hosts=(host,)) for host in HOSTS)},
            {"inject": tuple(InjectDefinition(value="{api_key}", hosts=(host,)) for host in HOSTS[::-1])},
        ),
        ({"headers": {"X-A": "1", "X-B": "2"}}, {"headers": {"X-B": "2", "X-A": "1"}}),
    ],
)
def test_what_changes_nothing_changes_no_sentence(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert grants.of(replace(BASE, **one)) == grants.of(replace(BASE, **other))


def test_the_order_of_places_counts_where_they_share_a_host() -> None:
    wide, narrow = InjectDefinition(value="{api_key}"), InjectDefinition(value="x {api_key}", paths=("/v1/*",))
    one, other = (set(grants.of(replace(BASE, inject=places))) for places in ((wide, narrow), (narrow, wide)))
    assert one != other


def test_a_definition_and_its_provider_give_the_same_sentences() -> None:
    for path in bundled("providers").glob("*.json"):
        definition = documents.shape(Definition, documents.read_json(path))
        assert grants.of(definition) == grants.of(resolve(definition)) == grants.of(Catalogue(None).get(path.stem))


def test_no_text_of_an_author_can_lay_out_the_screen() -> None:
    name = "Acme\n\x1b[2Jthe key may be sent to \u202eelpmaxe.a \u0430"
    said = grants.of(replace(BASE, display_name=name, keys_url="https://\u0430.example"))
    assert all(sentence.isascii() and sentence.isprintable() for sentence in said)


def test_a_definition_that_is_wrong_has_no_sentences() -> None:
    with pytest.raises(ValueError, match="not a host name"):
        grants.of(replace(BASE, host_url="a b"))


@pytest.mark.parametrize("name", ["github", "anthropic"])
def test_the_sentences_read_well(name: str, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    assert "\n".join(grants.of(Catalogue(tmp_path).get(name))) == snapshot
