"""The sentences that people agree to say everything that a definition does."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from syrupy.assertion import SnapshotAssertion

from authsome import documents, grants
from authsome.provider import (
    AlsoDefinition,
    ApiKey,
    AppInstallationDefinition,
    BasicDefinition,
    Catalogue,
    ClientCredentialsDefinition,
    ClientDefinition,
    Definition,
    DeriveDefinition,
    Export,
    Field,
    FieldDefinition,
    Host,
    InjectDefinition,
    JwtBearerDefinition,
    OAuth,
    OAuthDefinition,
    Placement,
    Provider,
    RevocationDefinition,
    SigV4Definition,
    TestRequest as Trial,
    bundled,
    resolve,
)
from sweep import examples

HOSTS = ("a.example", "b.example", "c.example:8443")
PATHS = ("/", "/v1/x", "/v2/x", "/v1/x/y")
# Words that try to be two values, or a sentence of ours.
WORDS = ("", "x", "y", 'x", "y', "x, y", "x\ny", "{api_key}", "Bearer {api_key}", "the key may be sent to b.example")
HEADERS = ("Authorization", "authorization", "X-Key", "X-Other")

VARIABLES = ("A_KEY", "B_KEY", "C_KEY")
SEVERAL = (*VARIABLES, (), ("B_KEY", "A_KEY"), ("A_KEY", "B_KEY", "C_KEY"))
HOST_LISTS = (
    (),
    ("*.a.example",),
    ("{site}.a.example",),
    ("{tenant}.a.example", "a.example"),
    ("a.example",),
    ("https://A.example", "b.example"),
    ("b.example", "a.example"),
    HOSTS,
)
PATH_LISTS = ((), ("/v1/*",), ("/v2/*",), ("/v1/*", "/v2/*"), ("/**",), ('/", "/v1/*',))
STATUSES = (200, 204, 401, (401,), (403, 401), (401, 403), (200, 403), ())
TRIAL = Trial("https://a.example/v1")
PLACE = InjectDefinition(value="{api_key}")
NARROW = InjectDefinition(header="X-Key", basic=BasicDefinition("x", "{api_key}"), paths=("/v1/*",))

SHAPES = (None, "a_{hex:40}", "b_{hex:40}", "A{base32:16}")
SETTING = FieldDefinition(secret=False, default="x", env="B_KEY")
SECRETS = {name: FieldDefinition() for name in ("api_key", "secret", "token", "more")}
SIGNING = SigV4Definition("{api_key}", "{secret}", "{token}")

ADDRESSES = (None, "https://x.example/a", "https://y.example/a", "https://x.example/b", "{base_url}/a")
PARAMETERS: tuple[dict[str, str], ...] = ({}, {"a": "x"}, {"a": "y"}, {"b": "x"}, {"b": "x", "a": "y"})
TEMPLATES: tuple[dict[str, str], ...] = ({}, {"a": "{access_token}"}, {"b": "{access_token}"}, {"a": "x{access_token}"})
METHODS = ("client_secret_post", "client_secret_basic", "none")
ENDS = RevocationDefinition("https://x.example/end", query={"t": "{access_token}"})
INSTALLED = AppInstallationDefinition("https://x.example/in/{installation_id}")
PLACE_OF_TOKEN = InjectDefinition(value="{access_token}")
ASKS = OAuthDefinition("https://x.example/page", "https://x.example/token")
FULL = replace(
    ASKS,
    device_authorization_url="{base_url}/device",
    base_url="https://z.example",
    registration_endpoint="https://x.example/register",
    client_credentials=ClientCredentialsDefinition(),
    jwt_bearer=JwtBearerDefinition(),
    app_installation=INSTALLED,
    revocation=ENDS,
)

# Every field, and values of it that a careless sentence would not tell apart.
KINDS: dict[type, dict[str, tuple[Any, ...]]] = {
    ApiKey: {
        "header_name": HEADERS,
        "header_prefix": WORDS,
        "env_var": (None, *VARIABLES),
        "key_pattern": (None, "", "^x", "^y", '^x"'),
        "key_pattern_hint": (None, *WORDS),
        "placeholder": SHAPES,
    },
    Export: {"env": ({}, *({"api_key": each} for each in SEVERAL), *({"access_token": each} for each in SEVERAL))},
    Trial: {
        "url": (
            "https://a.example/v1",
            "https://a.example/v1?x",
            "https://a.example/v1/{api_key}",
            "https://b.example/v1",
        ),
        "method": ("GET", "HEAD", "POST"),
        "good_status": STATUSES,
        "bad_status": STATUSES,
        "ok": (None, "/ok", '/ok", else at "/x', "/x"),
        "identity": ((), "/x", "/y", ("/x",), ("/x", "/y"), ("/y", "/x"), '/x", else at "/y'),
    },
    BasicDefinition: {"username": WORDS, "password": WORDS},
    InjectDefinition: {
        "header": HEADERS,
        "value": (None, *WORDS),
        "basic": (None, *(BasicDefinition(one, f"{other}{{api_key}}") for one in WORDS[:4] for other in WORDS[:4])),
        "headers": ({}, {"X-Key": "{api_key}"}, {"X-Key": "y {api_key}"}, {"X-Other": "{api_key}", "X-Key": "x"}),
        "query": ({}, {"key": "{api_key}"}, {"key": "x", "token": "{api_key}"}, {"key": "x {api_key}"}),
        "path": (None, "/v1/{api_key}", "/v2/{api_key}", "/**/{api_key}"),
        "also": (AlsoDefinition(), AlsoDefinition(headers=("X-Other",)), AlsoDefinition(query=("key", "k"))),
        "sigv4": (None, SIGNING, SigV4Definition("{api_key}", "{secret}"), SigV4Definition("{secret}", "{api_key}")),
        "when": (None, "x.*", "y.*"),
        "yields": ((), ("Authorization",), ("X-Key",), ("authorization", "X-Other")),
        "hosts": HOST_LISTS,
        "paths": PATH_LISTS,
    },
    AlsoDefinition: {
        "headers": ((), ("X-Other",), ("X-Key", "X-Other"), ("x-other",)),
        "query": ((), ("a",), ("b", "a"), ("a", "b")),
    },
    SigV4Definition: {
        "access_key": ("{api_key}", "{more}"),
        "secret_key": ("{secret}", "{more}"),
        "session_token": (None, "{token}", "{more}"),
    },
    FieldDefinition: {
        "label": WORDS,
        "secret": (True, False),
        "pattern": (None, "", "^x", "^y"),
        "hint": (None, *WORDS),
        "env": SEVERAL,
        "default": (None, "", "x", "y"),
        "optional": (False, True),
        "example": (None, "", "x", "y", 'x"'),
        "value": (None, "", "x", "{tenant}", "x{tenant}"),
        "derive": (None, *(DeriveDefinition(name, text) for name in ("api_key", "tenant") for text in ("(x)", "(y)"))),
        "placeholder": SHAPES,
    },
    DeriveDefinition: {
        "field": ("api_key", "tenant"),
        "pattern": ("x", "(x)", "(y)$"),
        **dict.fromkeys(("response", "redirect"), (None, "region", "instance_url")),
    },
    ClientDefinition: {"client_id_env": (None, *VARIABLES), "client_secret_env": (None, *VARIABLES)},
    RevocationDefinition: {
        "url": ("https://x.example/end", "https://y.example/end", "https://x.example/{client_id}"),
        "method": ("POST", "DELETE"),
        "authorization": (None, "Bearer {access_token}", "Client {client_secret}", "{access_token}"),
        "basic": (None, BasicDefinition("{client_id}", "{access_token}"), BasicDefinition("", "{access_token}")),
        "query": TEMPLATES,
        "form": TEMPLATES,
        "json": TEMPLATES,
    },
    ClientCredentialsDefinition: {
        "grant_type": ("client_credentials", "account_credentials"),
        "parameters": (*PARAMETERS, {"a": "{a}"}),
    },
    JwtBearerDefinition: {
        "audience": (None, "https://x.example/token", "https://y.example", 'x", "y'),
        "scopes_in": ("request", "assertion"),
        "subject": (False, True),
    },
    AppInstallationDefinition: {
        "url": (INSTALLED.url, "https://y.example/in/{installation_id}", "{base_url}/{installation_id}"),
    },
    OAuthDefinition: {
        **dict.fromkeys(
            ("authorization_url", "token_url", "refresh_url", "revocation_url", "device_authorization_url"), ADDRESSES
        ),
        **dict.fromkeys(("registration_endpoint", "issuer", "resource"), ADDRESSES),
        "base_url": (None, "https://x.example", "https://y.example", "https://y.example/z"),
        "revocation": (None, ENDS, replace(ENDS, method="DELETE"), replace(ENDS, form={"y": "{access_token}"})),
        "device_token_request": ("oauth2_form", "json"),
        "scopes": ((), ("x",), ("y",), ("x", "y"), ("y", "x"), ("x y",), ('x",', "y")),
        "scope_separator": (" ", ","),
        "pkce": (None, True, False),
        "supports_device_flow": (None, True, False),
        "supports_dcr": (None, True, False),
        "token_endpoint_auth_method": (
            "none",
            "client_secret_post",
            ("none",),
            ("client_secret_basic", "none"),
            METHODS,
        ),
        "token_request": ("form", "json"),
        "public_flows": ((), ("pkce",), ("device_code",)),
        "authorization_parameters": PARAMETERS,
        "token_parameters": PARAMETERS,
        "client_credentials": (
            *(None, ClientCredentialsDefinition(), ClientCredentialsDefinition("account_credentials")),
            *(ClientCredentialsDefinition(parameters=each) for each in PARAMETERS),
        ),
        "jwt_bearer": (None, JwtBearerDefinition(), JwtBearerDefinition("x"), JwtBearerDefinition(subject=True)),
        "app_installation": (None, INSTALLED, AppInstallationDefinition("{base_url}/{installation_id}")),
        "https_redirect": (False, True),
        "inject": ((), (PLACE_OF_TOKEN,), (replace(PLACE_OF_TOKEN, paths=("/v1/*",)),)),
    },
    Definition: {
        "name": ("acme", "acme-2"),
        "host_url": (*HOSTS, *HOST_LISTS),
        "display_name": WORDS,
        "auth_type": ("api_key", "oauth2"),
        "flow": (
            *("api_key", "pkce", "device_code", "dcr_pkce", "client_credentials"),
            *("jwt_bearer", "app_installation"),
        ),
        "oauth": (None, ASKS, replace(ASKS, scopes=("read",)), replace(FULL, inject=(PLACE_OF_TOKEN,))),
        "client": (None, ClientDefinition("A_ID", "A_SECRET"), ClientDefinition("A_SECRET", "A_ID")),
        "fields": ({}, {"api_key": FieldDefinition()}, {"api_key": FieldDefinition(), "site": SETTING}),
        "api_key": (None, ApiKey(), ApiKey("X-Key"), ApiKey(env_var="B_KEY")),
        "inject": ((), (PLACE,), (NARROW,), (PLACE, NARROW), (NARROW, PLACE)),
        "headers": ({}, *({a: x, b: y} for a in HEADERS for b in HEADERS for x in WORDS[1:3] for y in WORDS[1:3])),
        "export": (None, Export({"api_key": "B_KEY"}), Export({"access_token": "B_KEY"})),
        "keys_url": (None, *WORDS),
        "test": (None, TRIAL),
        "private_addresses": (False, True),
    },
}
PARTS_OF_OAUTH = {
    RevocationDefinition: "revocation",
    ClientCredentialsDefinition: "client_credentials",
    JwtBearerDefinition: "jwt_bearer",
    AppInstallationDefinition: "app_installation",
}
OF_OAUTH = (OAuthDefinition, ClientDefinition, *PARTS_OF_OAUTH)
BASE = Definition(name="acme", host_url=HOSTS, api_key=ApiKey(env_var="A_KEY"))
KEYLESS = replace(BASE, auth_type="oauth2", flow="pkce", api_key=None, oauth=FULL)
RICH = replace(BASE, inject=(NARROW, PLACE), headers={"X-Other": "x"}, test=TRIAL, export=Export({"api_key": "C_KEY"}))


@pytest.mark.parametrize(("kind", "known"), KINDS.items())
def test_the_property_is_about_every_field_of_a_definition(kind: Any, known: dict[str, st.SearchStrategy[Any]]) -> None:
    assert set(known) == {each.name for each in fields(kind)} - {"schema_version", "docs", "packages", "category"}


def _behaviour(provider: Provider) -> Any:
    """Return what a provider does, found by asking it and not by its sentences."""
    # What is added to this list of fields has to be added to the sentences.
    assert {each.name for each in fields(Provider)} == {
        *("name", "display_name", "auth_type", "hosts", "fields", "placements", "constant_headers", "keys_url"),
        *("docs", "private_addresses", "test", "flow", "oauth", "packages", "category"),
        *("template", "settings"),  # of one that is filled, which nobody is asked to trust
    }
    assert {each.name for each in fields(Field)} == {
        *(
            "name",
            "pattern",
            "hint",
            "env",
            "label",
            "secret",
            "default",
            "example",
            "value",
            "derive",
            "shape",
            "optional",
        )
    }
    assert {each.name for each in fields(OAuth)} == {"asks", "client", "fields", "placements"}
    assert {each.name for each in fields(Placement)} == {
        *("headers", "hosts", "paths", "query", "path", "also_headers", "also_query", "when", "yields", "sigv4")
    }
    carried = _carried(provider.placements)
    asked = _asked(provider.fields)
    constants: dict[str, list[tuple[str, str]]] = {}
    for name, value in provider.constant_headers:
        constants.setdefault(name.lower(), []).append((name, value))
    plain = (provider.name, provider.display_name, provider.auth_type, provider.flow, provider.keys_url)
    oauth = provider.oauth and _tokens(provider.oauth)
    asks = provider.test
    test = asks and (asks.method, asks.url, asks.good, asks.bad, asks.ok, asks.identities)
    return set(provider.hosts), carried, asked, constants, plain, oauth, provider.private_addresses, test


def _asked(known: Iterable[Field]) -> Any:
    known = tuple(known)
    asked = [
        (
            *(each.name, each.pattern, each.hint, set(each.env), each.label),
            *(each.secret, each.default, each.example, each.shape, each.optional),
        )
        for each in known
        if each.asked
    ]
    made = (each for each in known if not each.asked)
    return asked, {(each.name, each.pattern, each.hint, each.env, each.label, each.value, each.derive) for each in made}


def _tokens(tokens: OAuth) -> Any:
    """Return what a login with OAuth and its token do."""
    plain = asdict(tokens.asks)
    for said in ("supports_device_flow", "supports_dcr", "token_endpoint_auth_method", "inject"):
        del plain[said]
    ways = tokens.asks.flows, tokens.asks.auth_methods
    return plain, ways, tokens.client, _asked(tokens.fields), _carried(tokens.placements)


def _carried(places: tuple[Placement, ...]) -> Any:
    return {(host, path): _first(places, Host.parse(host), path) for host in HOSTS for path in PATHS}


def _first(places: tuple[Placement, ...], host: Host, path: str) -> Any:
    """Return what a request with the key becomes, for each kind of key."""
    found: list[Any] = []
    for place in places:
        if host in place.hosts and place.serves(path):
            out = place.header_names, place.parameters
            found.append((set(place.headers), set(place.query), place.path, out, place.when, place.yields, place.sigv4))
            if place.when is None:
                break
    return found


def _loads(definition: Definition) -> Provider | None:
    with suppress(ValueError):
        return resolve(definition)
    return None


def _changed(definition: Definition, kind: type, field: str, value: Any) -> Definition | None:
    """Return a definition with another value in a field of its own or of a part; None without that part."""
    with suppress(ValueError):
        if kind is OAuthDefinition or kind in PARTS_OF_OAUTH:
            return replace(definition, oauth=_changed_oauth(definition.oauth or FULL, kind, field, value))
        if kind is SigV4Definition or field in ("optional", "sigv4"):
            return _signing(definition, kind, field, value)
        return _changed_part(definition, kind, field, value)
    return None


def _changed_part(definition: Definition, kind: type, field: str, value: Any) -> Definition | None:
    basic = NARROW.basic
    if kind is Definition and field == "auth_type":
        return replace(KEYLESS, name=definition.name) if value == "oauth2" else definition
    if kind is Definition:
        return replace(definition, **{field: value})
    if kind in (InjectDefinition, BasicDefinition, AlsoDefinition):
        first = definition.inject[0] if definition.inject else None
        part: Any = None
        if kind is InjectDefinition and first:
            part = replace(first, **{field: value})
        elif kind is BasicDefinition and basic:
            part = replace(NARROW, basic=replace(basic, **{field: value}))
        elif kind is AlsoDefinition:
            part = replace(PLACE, also=replace(PLACE.also, **{field: value}))
        return replace(definition, inject=(part, *definition.inject[1:])) if part else None
    if kind in (FieldDefinition, DeriveDefinition):
        return _changed_setting(definition, kind, field, value)
    name = {ApiKey: "api_key", Export: "export", Trial: "test", ClientDefinition: "client"}.get(kind)
    if name and (part := getattr(definition, name)):
        return replace(definition, **{name: replace(part, **{field: value})})
    return None


def _changed_setting(definition: Definition, kind: type, field: str, value: Any) -> Definition:
    made_otherwise = field in ("secret", "value", "derive", "placeholder") or kind is DeriveDefinition
    setting = replace(SETTING, default=None) if made_otherwise else SETTING
    if kind is DeriveDefinition and field in ("response", "redirect"):
        derive = value and DeriveDefinition(**{field: value}, pattern="(x)")
        return replace(KEYLESS, fields={"site": FieldDefinition(secret=False, derive=derive)})
    if kind is DeriveDefinition:
        field, value = "derive", replace(DeriveDefinition("api_key", "(x)"), **{field: value})
    if field == "placeholder":
        setting = replace(setting, secret=True)
    part = {
        "api_key": FieldDefinition(),
        "site": replace(setting, **{field: value}),
        "tenant": FieldDefinition(secret=False, env="T_KEY"),
    }
    return replace(definition, api_key=None, export=None, inject=(PLACE,), fields=part)


def _changed_oauth(asks: OAuthDefinition, kind: type, field: str, value: Any) -> OAuthDefinition:
    if part := PARTS_OF_OAUTH.get(kind):
        own: Any = getattr(asks, part) or getattr(FULL, part)
        return replace(asks, **{part: replace(own, **{field: value})})
    return replace(asks, **({"revocation": None} if field == "revocation_url" else {}) | {field: value})


def _signing(definition: Definition, kind: type, field: str, value: Any) -> Definition:
    """Return a definition that signs, with another value in one of the parts for that."""
    signing = replace(SIGNING, **{field: value}) if kind is SigV4Definition else SIGNING
    place = InjectDefinition(sigv4=value if kind is InjectDefinition else signing)
    secrets = {**SECRETS, "token": FieldDefinition(optional=value)} if kind is FieldDefinition else SECRETS
    return replace(definition, api_key=None, export=None, fields=secrets, inject=(place,))


def _compare(one: Provider, other: Provider) -> bool:
    """Check two definitions against each other; return whether they behave differently."""
    said, also_said = grants.of(one), grants.of(other)
    assert len(set(said)) == len(said)
    different: bool = _behaviour(one) != _behaviour(other)
    if different:
        assert set(said) != set(also_said), (one, other)
    return different


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, known in KINDS.items() for field in known])
def test_every_two_values_of_a_field_that_behave_differently_give_other_sentences(kind: Any, field: str) -> None:
    base = RICH
    if (kind, field) == (InjectDefinition, "value") or (field in ("headers", "path") and kind is InjectDefinition):
        base = replace(RICH, inject=(PLACE, NARROW))
    elif (kind, field) == (InjectDefinition, "yields"):
        base = replace(BASE, inject=(replace(PLACE, headers={"X-Key": "{api_key}"}),))
    elif kind is ApiKey:
        base = replace(RICH, inject=())  # they are where the short form counts
    elif field == "flow":
        base = KEYLESS
    elif field in ("auth_type", "export"):
        base = BASE
    elif (kind, field) == (Definition, "fields"):
        base = replace(RICH, api_key=None, export=None, fields={"api_key": FieldDefinition(env="C_KEY")})
    elif kind in OF_OAUTH or field in ("oauth", "client"):
        base = replace(BASE, oauth=FULL, client=ClientDefinition())
    definitions = [_changed(base, kind, field, value) for value in KINDS[kind][field]]
    providers = [provider for each in definitions if each and (provider := _loads(each))]
    assert sum(_compare(one, other) for one in providers for other in providers)


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[Definition, Definition]:
    """Draw two definitions of which one has a few more changes than the other."""
    one = draw(st.sampled_from((BASE, RICH, KEYLESS)))
    made = [one]
    for _ in range(draw(st.integers(2, 6))):
        kind = draw(st.sampled_from(list(KINDS)))
        field = draw(st.sampled_from(list(KINDS[kind])))
        made.append(_changed(made[-1], kind, field, draw(st.sampled_from(KINDS[kind][field]))) or made[-1])
    return made[-1], draw(st.sampled_from(made))


@settings(max_examples=examples(400), deadline=None)
@given(_pairs())
def test_definitions_that_behave_differently_never_give_the_same_sentences(pair: tuple[Definition, Definition]) -> None:
    one, other = map(_loads, pair)
    if one and other and not _compare(one, other) and one == replace(other, docs=one.docs):
        assert grants.of(one) == grants.of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"host_url": ("b.example", "a.example")}, {"host_url": ("https://A.example/", "b.example:443", "b.example")}),
        ({"docs": "https://a.example"}, {"docs": None}),
        ({"category": "ai"}, {"category": None}),
        ({"test": replace(TRIAL, bad_status=(401,))}, {"test": TRIAL}),
        ({"test": replace(TRIAL, good_status=(403, 200))}, {"test": replace(TRIAL, good_status=(200, 403, 200))}),
        (
            {"api_key": ApiKey(env_var="B_KEY")},
            {"api_key": ApiKey(), "export": Export({"api_key": ("B_KEY", "B_KEY")})},
        ),
        ({"api_key": ApiKey()}, {"inject": (InjectDefinition(value="Bearer {api_key}"),), "api_key": ApiKey()}),
        (
            {"oauth": replace(ASKS, supports_dcr=False, token_endpoint_auth_method="none")},
            {"oauth": replace(ASKS, token_endpoint_auth_method=("none",), registration_endpoint=None)},
        ),
        ({"oauth": replace(FULL, supports_device_flow=True)}, {"oauth": FULL}),
        ({"oauth": ASKS}, {"oauth": replace(ASKS, inject=(InjectDefinition(value="Bearer {access_token}"),))}),
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


@pytest.mark.parametrize("name", ["github", "anthropic", "zoom"])
def test_the_sentences_read_well(name: str, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    assert "\n".join(grants.of(Catalogue(tmp_path).get(name))) == snapshot
