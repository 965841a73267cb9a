"""The half of a definition that says where tokens come from: documented forms load, what could leak does not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from authsome import grants
from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import (
    ApiKey,
    AppInstallationDefinition,
    BasicDefinition,
    Catalogue,
    ClientCredentialsDefinition,
    ClientDefinition,
    Definition,
    Export,
    FieldDefinition,
    InjectDefinition,
    JwtBearerDefinition,
    OAuthDefinition,
    Provider,
    RevocationDefinition,
    resolve,
)
from authsome.provider.oauth import endpoints, filled
from authsome.provider.patterns import hosts_in
from canary import GITHUB_TOKEN
from conftest import CommandLine

ASKS = OAuthDefinition("https://acme.example/authorize", "https://acme.example/token")
ALONE = Definition("acme", "api.acme.example", auth_type="oauth2", flow="pkce", oauth=ASKS)
BESIDES = Definition("acme", "api.acme.example", api_key=ApiKey(header_name="X-Key", env_var="ACME_KEY"), oauth=ASKS)
SHOP = {"shop": FieldDefinition(secret=False)}


@pytest.fixture
def loads(tmp_path: Path) -> Callable[[str], Provider]:
    """Load a definition as a file of one's own."""

    def load(text: str) -> Provider:
        path = tmp_path / "providers" / f"{json.loads(text).get('name', 'acme')}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return Catalogue(tmp_path).get(path.stem)

    return load


# Forms that are documented.

WITH_ITSELF_REGISTERED = """{
  "schema_version": 1, "name": "acmecrm", "display_name": "Acme CRM", "auth_type": "oauth2", "flow": "dcr_pkce",
  "host_url": "https://api.acmecrm.example",
  "oauth": {
    "base_url": "https://acmecrm.example",
    "authorization_url": "{base_url}/oauth/authorize", "token_url": "{base_url}/oauth/token",
    "revocation_url": null, "device_authorization_url": null,
    "scopes": ["read", "write"], "pkce": true, "supports_device_flow": false, "supports_dcr": true,
    "registration_endpoint": "{base_url}/oauth/register"
  },
  "export": {"env": {"access_token": "ACMECRM_ACCESS_TOKEN", "refresh_token": "ACMECRM_REFRESH_TOKEN"}}
}"""
WITH_DEVICES = """{
  "schema_version": 1, "name": "hub", "display_name": "Hub", "auth_type": "oauth2", "flow": "device_code",
  "host_url": "api.hub.example",
  "oauth": {
    "authorization_url": "https://hub.example/authorize", "token_url": "https://hub.example/device/token",
    "device_authorization_url": "https://hub.example/device/code", "device_token_request": "json",
    "scopes": [], "pkce": true, "supports_device_flow": true, "supports_dcr": false
  },
  "export": {"env": {"access_token": "HUB_ACCESS_TOKEN"}}
}"""
WITH_VARIABLES = """{
  "schema_version": 1, "name": "hub", "display_name": "Hub", "auth_type": "oauth2", "flow": "pkce",
  "host_url": ["api.hub.example", "uploads.hub.example"],
  "oauth": {
    "authorization_url": "https://hub.example/authorize", "token_url": "https://hub.example/token",
    "revocation_url": "https://hub.example/revoke", "scopes": ["repo", "read:user"], "pkce": false
  },
  "api_key": null,
  "client": {"client_id_env": "HUB_CLIENT_ID", "client_secret_env": "HUB_CLIENT_SECRET"},
  "export": {"env": {"access_token": "HUB_TOKEN"}},
  "docs": "https://hub.example/docs"
}"""
FOUND_OUT = """{
  "name": "hub", "auth_type": "oauth2", "flow": "dcr_pkce", "host_url": "api.hub.example",
  "oauth": {
    "authorization_url": "https://mcp.hub.example/authorize", "token_url": "https://mcp.hub.example/token",
    "revocation_url": "https://mcp.hub.example/token", "device_authorization_url": null,
    "scopes": ["read"], "pkce": true, "supports_device_flow": false, "supports_dcr": true
  }
}"""


@pytest.mark.parametrize(
    ("text", "flows"),
    [
        (WITH_ITSELF_REGISTERED, ("pkce", "dcr_pkce")),
        (WITH_DEVICES, ("pkce", "device_code")),
        (WITH_VARIABLES, ("pkce",)),
        (FOUND_OUT, ("pkce", "dcr_pkce")),
    ],
)
def test_a_documented_form_loads_unchanged(loads: Callable[[str], Provider], text: str, flows: tuple[str, ...]) -> None:
    provider, written = loads(text), json.loads(text)
    assert provider.oauth
    assert provider.oauth.asks.flows == flows
    assert provider.flow in flows
    for name, value in written["oauth"].items():
        assert getattr(provider.oauth.asks, name) == (tuple(value) if isinstance(value, list) else value)
    exported = written.get("export", {}).get("env", {})
    assert dict(provider.env) == {name: field for field, name in exported.items() if field == "access_token"}
    assert [place.fields({"access_token": "t"}) for place in provider.placements] == [(("Authorization", "Bearer t"),)]


def test_a_refresh_token_is_never_in_the_environment(loads: Callable[[str], Provider]) -> None:
    provider = loads(WITH_ITSELF_REGISTERED)
    assert [field.name for field in provider.fields] == ["access_token"]
    assert "ACMECRM_REFRESH_TOKEN" not in provider.env


def test_an_application_without_a_word_on_its_secret_may_have_one_or_none() -> None:
    assert OAuthDefinition().auth_methods == ("client_secret_post", "none")
    assert OAuthDefinition(token_endpoint_auth_method="none").auth_methods == ("none",)


# A key and tokens.


def test_a_provider_with_both_logs_in_with_its_key() -> None:
    provider = resolve(BESIDES)
    assert (provider.auth_type, provider.flow) == ("api_key", "api_key")
    assert [each.name for each in provider.fields] == ["api_key"]
    assert provider.placements[0].fields({"api_key": "k"}) == (("X-Key", "Bearer k"),)


def test_its_token_is_a_bearer_in_the_variables_of_the_key_and_the_header_of_the_key_goes() -> None:
    tokens = resolve(BESIDES).oauth
    assert tokens
    assert [(each.name, each.env) for each in tokens.fields] == [("access_token", ("ACME_KEY",))]
    assert [place.fields({"access_token": "t"}) for place in tokens.placements] == [(("Authorization", "Bearer t"),)]
    assert tokens.placements[0].header_names == {"authorization", "x-key"}


def test_its_token_may_have_variables_of_its_own() -> None:
    tokens = resolve(replace(BESIDES, export=Export({"access_token": ("ACME_TOKEN", "ACME_BEARER")}))).oauth
    assert tokens
    assert tokens.fields[0].env == ("ACME_TOKEN", "ACME_BEARER")


def test_where_a_key_goes_to_some_paths_a_definition_says_where_the_token_goes() -> None:
    some = replace(BESIDES, inject=(InjectDefinition(value="{api_key}", paths=("/v1/**",)),))
    with pytest.raises(ValueError, match=r"`oauth\.inject` is missing"):
        resolve(some)
    placed = InjectDefinition(value="Bearer {access_token}", paths=("/v1/**",))
    tokens = resolve(replace(some, oauth=replace(ASKS, inject=(placed,)))).oauth
    assert tokens
    assert tokens.placements[0].paths == ("/v1/**",)


def test_tokens_come_with_the_settings_that_their_addresses_need() -> None:
    asks = replace(ASKS, token_url="https://{shop}.acme.example/token")
    fields = {"key": FieldDefinition(), "email": FieldDefinition(secret=False), **SHOP}
    inject = (InjectDefinition(basic=BasicDefinition("{email}", "{key}")),)
    placed = replace(asks, inject=(InjectDefinition(value="Bearer {access_token}"),))
    tokens = resolve(Definition("acme", "api.acme.example", fields=fields, inject=inject, oauth=placed)).oauth
    assert tokens
    assert [each.name for each in tokens.fields] == ["access_token", "shop"]
    alone = resolve(replace(ALONE, fields=SHOP, oauth=asks))
    assert [each.name for each in alone.fields] == ["access_token", "shop"]
    assert alone.key.name == "access_token"


def test_who_has_a_token_is_asked_for_a_setting_that_is_read_out_of_a_key() -> None:
    provider = Catalogue(None).get("mailchimp")
    (dc,) = (each for each in provider.fields if each.name == "dc")
    assert not dc.asked
    with_tokens = provider.with_tokens
    assert [(each.name, each.asked) for each in with_tokens.fields] == [("access_token", True), ("dc", True)]
    assert with_tokens.filled({"dc": "us21"}).host_names == ("us21.api.mailchimp.com",)


# With a key that is signed with.


def test_an_installation_alone_is_a_way_to_a_token() -> None:
    installed = AppInstallationDefinition("https://{shop}.acme.example/in/{installation_id}/tokens")
    asks = OAuthDefinition(app_installation=installed)
    provider = resolve(replace(ALONE, flow="app_installation", fields=SHOP, oauth=asks))
    assert provider.oauth
    assert provider.oauth.asks.flows == ("app_installation",)
    assert provider.oauth.token_hosts == {"{shop}.acme.example"}
    made = filled(asks, {"shop": "tea"})
    assert made.app_installation
    assert made.app_installation.url == "https://tea.acme.example/in/{installation_id}/tokens"


def test_settings_are_filled_into_an_audience_and_into_what_an_application_asks_with_for_itself() -> None:
    own = ClientCredentialsDefinition(parameters={"audience": "https://{shop}.acme.example/", "account": "{account}"})
    made = filled(
        replace(ASKS, jwt_bearer=JwtBearerDefinition("https://{shop}.acme.example/t"), client_credentials=own),
        {"shop": "tea"},
    )
    assert made.jwt_bearer
    assert made.jwt_bearer.audience == "https://tea.acme.example/t"
    assert made.client_credentials
    assert made.client_credentials.parameters == {"audience": "https://tea.acme.example/", "account": "{account}"}


# What does not load.

ONLY_DEVICES = OAuthDefinition(token_url="https://a.example/t", device_authorization_url="https://a.example/d")
JUST_ISSUED = OAuthDefinition(issuer="https://acme.example", jwt_bearer=JwtBearerDefinition())
END = RevocationDefinition("https://acme.example/end", authorization="Bearer {access_token}")
WRONG: list[tuple[dict[str, Any], str]] = [
    *(
        ({"token_url": url}, "not an address|not a host|is a pattern|https only|not a port|no setting|the beginning")
        for url in (
            *(
                "http://acme.example/token",
                "acme.example/token",
                "https:/acme.example",
                "https://",
                "",
                "ftp://a.example",
            ),
            *("https://u:p@acme.example/token", "https://acme.example@evil.example/", "https://acme.example/#token"),
            *("https://10.0.0.1/token", "https://[::1]/token", "https://2130706433/", "https://*.acme.example/token"),
            *(
                "https://acme.example:0/",
                "https://acme.example:99999/",
                "https://acme..example/",
                "https://-a.example/",
            ),
            *(
                "https://acme.example\\@evil.example/",
                "https://acme.example/a b",
                "https://acme.example/\n",
                "HTTPS://X/",
            ),
            *(
                "https://аcme.example/token",
                "https://\u212aacme.example/",
                "https://acme.example./token",
                "javascript:1",
            ),
            *("https://{shop}.acme.example/token", "https://{access_token}.acme.example/", "https://x/{base_url}"),
            *("https://{client_id}.example/", "https://acme.example/{client_id}", "{base_url}"[:-1]),
            *("{base_url}.evil.example/token", "{base_url}@evil.example/token", "https://acme.example?x"),
        )
    ),
    ({"issuer": "https://acme.example/?x"}, "not an address"),
    ({"base_url": "http://acme.example"}, "not an address"),
    ({"authorization_url": None}, "leads to no token"),
    ({"supports_device_flow": True}, "`supports_device_flow` needs `device_authorization_url`"),
    ({"revocation_url": "https://acme.example/end", "revocation": END}, "give either `revocation_url`"),
    ({"revocation": replace(END, basic=BasicDefinition("x", "y"))}, "give either `authorization`"),
    ({"revocation": replace(END, form={"a": "x"}, json={"a": "x"})}, "give either `form`"),
    ({"revocation": replace(END, authorization="Client {client_secret}")}, "names no token"),
    ({"revocation": replace(END, query={"x": "{api_key}"})}, "neither a token nor of the application"),
    ({"revocation": replace(END, authorization="Bearer {access_token}\r\nX: y")}, "holds what no parameter does"),
    ({"revocation": replace(END, url="https://{client_secret}.example/")}, "is no setting"),
    ({"revocation": replace(END, url="https://{client_id}.example/")}, "not a host"),
    ({"scopes": ("a b",)}, "not a scope"),
    ({"scopes": ("",)}, "not a scope"),
    ({"scopes": ("a,b",), "scope_separator": ","}, "not a scope"),
    ({"token_endpoint_auth_method": "private_key_jwt"}, "`token_endpoint_auth_method` is"),
    ({"token_endpoint_auth_method": ()}, "`token_endpoint_auth_method` is"),
    ({"token_endpoint_auth_method": ("none", "none")}, "`token_endpoint_auth_method` is"),
    ({"public_flows": ("device_code",)}, "there is no flow"),
    *(
        ({key: {name: "x"}}, "a parameter of OAuth itself")
        for key in ("authorization_parameters", "token_parameters")
        for name in ("state", "redirect_uri", "response_type", "code_challenge", "client_id", "scope", "grant_type")
    ),
    *(
        ({key: f"https://acme.example/a?audience=x&{name}=https://evil.example"}, f"`{name}` is a parameter of OAuth")
        for key in ("authorization_url", "token_url", "refresh_url", "device_authorization_url")
        for name in ("state", "redirect_uri", "code_challenge", "client_id", "scope")
    ),
    (
        {"authorization_url": "https://acme.example/a?%72edirect_uri=https://evil.example"},
        "`redirect_uri` is a parameter of OAuth",
    ),
    ({"authorization_parameters": {"a b": "x"}}, "not the name of a parameter"),
    ({"authorization_parameters": {"a": "x\ny"}}, "holds what no parameter does"),
    ({"token_parameters": {"a": "{nothing}"}}, "is no setting"),
    ({"client_credentials": ClientCredentialsDefinition(parameters={"client_secret": "x"})}, "of OAuth itself"),
    ({"jwt_bearer": JwtBearerDefinition(audience="")}, "`audience` is empty"),
    ({"jwt_bearer": JwtBearerDefinition(audience="https://{nobody}.example")}, "is no setting"),
    ({"jwt_bearer": JwtBearerDefinition(audience="x\ny")}, "holds what no parameter does"),
    *(
        ({"app_installation": AppInstallationDefinition(url)}, message)
        for url, message in (
            ("http://acme.example/{installation_id}", "not an address"),
            ("https://acme.example/installations", "names no installation"),
            ("https://{installation_id}.example/x", "not a host"),
            ("https://acme.example/{installation_id}/{app_id}", "is no setting"),
            ("https://acme.example/{installation_id}#", "not an address"),
        )
    ),
    ({"inject": (InjectDefinition(value="Bearer {refresh_token}"),)}, "is not a field"),
    ({"inject": (InjectDefinition(value="{access_token}", hosts=("evil.example",)),)}, "that `host_url` does not"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_an_oauth_that_could_leak_or_lead_nowhere_does_not_load(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(replace(ALONE, oauth=replace(ASKS, **change)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"oauth": None}, "`oauth` is missing"),
        ({"api_key": ApiKey()}, "`auth_type` is `api_key`"),
        *(({"flow": flow}, f"the flow `{flow}` needs") for flow in ("api_key", "device_code", "client_credentials")),
        ({"flow": "dcr_pkce", "oauth": replace(ASKS, supports_dcr=False)}, "needs `supports_dcr` to be no `false`$"),
        ({"flow": "dcr_pkce"}, "the flow `dcr_pkce` needs `supports_dcr`$"),
        ({"flow": "pkce", "oauth": ONLY_DEVICES}, "the flow `pkce` needs `authorization_url`$"),
        ({"fields": {"key": FieldDefinition()}}, "the secrets of OAuth are its tokens"),
        *(
            ({"fields": {name: FieldDefinition(secret=False)}}, f"`{name}` is what a login with OAuth asks for")
            for name in ("client_id", "client_secret", "service_account", "private_key", "former_refresh_token")
        ),
        ({"flow": "jwt_bearer", "oauth": replace(ASKS, jwt_bearer=None)}, "the flow `jwt_bearer` needs"),
        ({"flow": "jwt_bearer", "oauth": JUST_ISSUED}, "the flow `jwt_bearer` needs `token_url`$"),
        ({"flow": "app_installation"}, "the flow `app_installation` needs `app_installation`"),
        ({"export": Export({"api_key": "ACME_KEY"})}, "a field that does not exist: api_key"),
        ({"client": ClientDefinition("ACME-ID")}, "not an environment variable"),
        ({"client": ClientDefinition(client_secret_env="LD_PRELOAD")}, "leads other programs"),
        ({"inject": (InjectDefinition(value="{api_key}"),)}, "is not a field"),
        (
            {
                "inject": (InjectDefinition(value="{access_token}"),),
                "oauth": replace(ASKS, inject=(InjectDefinition(value="{access_token}"),)),
            },
            "give `inject` alone",
        ),
    ],
)
def test_halves_that_contradict_each_other_do_not_load(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(replace(ALONE, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flow": "pkce"}, "the `flow` is `api_key`"),
        ({"client": ClientDefinition("ACME_ID"), "oauth": None}, "`client` is the application of `oauth`"),
        ({"export": Export({"access_token": "ACME_TOKEN"}), "oauth": None}, "a field that does not exist"),
    ],
)
def test_a_key_has_nothing_of_oauth_without_oauth(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(replace(BESIDES, **change))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"oauth": {"token_url": "https://a.example/t", "authorization_url": "http://a.example"}}, 8),
        ({"oauth": {"token_url": "https://a.example/t", "authorization_url": "https://a.example", "scope": "x"}}, 9),
        ({"oauth": {"token_url": "https://a.example/t", "scopes": "read write"}}, 8),
        ({"flow": "device_code", "oauth": {"token_url": "https://a.example/t"}}, 6),
    ],
)
def test_a_mistake_has_its_line(tmp_path: Path, change: dict[str, Any], line: int) -> None:
    path = tmp_path / "providers" / "acme.json"
    path.parent.mkdir()
    plain = {"name": "acme", "auth_type": "oauth2", "host_url": "a.example", "flow": "pkce"}
    path.write_text(json.dumps(plain | change, indent=1))
    with pytest.raises(AuthsomeError) as caught:
        Catalogue(tmp_path).get("acme")
    assert caught.value.message.startswith(f"{path}:{line}: "), caught.value.message
    assert caught.value.code is ExitCode.INVALID


# Settings in addresses.


def test_addresses_are_filled_with_settings_and_with_another_base() -> None:
    asks = OAuthDefinition(
        authorization_url="{base_url}/authorize",
        token_url="https://{shop}.acme.example/token",
        base_url="https://acme.example/x/",
        revocation=replace(END, url="{base_url}/apps/{client_id}"),
        authorization_parameters={"audience": "https://{shop}.acme.example/api/"},
    )
    made = filled(asks, {"shop": "tea"})
    assert dict(endpoints(made)) == {
        "authorization_url": "https://acme.example/x/authorize",
        "token_url": "https://tea.acme.example/token",
        "revocation": "https://acme.example/x/apps/{client_id}",
    }
    assert made.authorization_parameters == {"audience": "https://tea.acme.example/api/"}
    other = filled(asks, {"shop": "tea", "base_url": "https://own.example"})
    assert other.authorization_url == "https://own.example/authorize"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        *(
            {"shop": text}
            for text in ("evil.example/", "a@b", "a:443", "a#", "a?", "", "a\nb", "ä", "-a", "a.", "\u212a")
        ),
        {"shop": "tea", "base_url": "http://own.example"},
        {"shop": "tea", "base_url": "https://own.example#"},
    ],
)
def test_a_setting_that_makes_another_address_is_refused(settings: dict[str, str]) -> None:
    asks = replace(ASKS, token_url="https://{shop}.acme.example/token")
    with pytest.raises(ValueError, match="."):
        filled(asks, settings)


# Expressions for hosts.


@pytest.mark.parametrize(
    ("expression", "hosts"),
    [
        (r"^api\.acme\.example$", ("api.acme.example",)),
        ("api.acme.example", ("api.acme.example",)),
        (r"^(api|files)\.acme\.example$", ("api.acme.example", "files.acme.example")),
        (r"(?:www\.)?acme\.example|b.example", ("www.acme.example", "acme.example", "b.example")),
        (r"api[12]\.acme\.example", ("api1.acme.example", "api2.acme.example")),
        *(
            (text, ())
            for text in (
                *(
                    r"^api[0-9]+\.acme\.example$",
                    ".*acme.*",
                    r"[a-c]\.example",
                    "[^a].example",
                    r"\w.example",
                    "a+",
                    "",
                ),
                *(
                    "(?i)acme.example",
                    "(a",
                    "a)",
                    "[a",
                    "a\\",
                    "a{2}",
                    "*",
                    "(a|b)" * 9,
                    "(" * 5000,
                    "a?" * 5000,
                    "a..b",
                ),
            )
        ),
    ],
)
def test_an_expression_says_its_hosts_only_where_it_leaves_no_choice(expression: str, hosts: tuple[str, ...]) -> None:
    assert hosts_in(expression) == hosts


@pytest.mark.parametrize(
    ("name", "host_url", "line"),
    [
        ("acme", r"regex:^(api|files)\.acme\.example$", '["api.acme.example", "files.acme.example"]'),
        ("acme", ["a.example", r"regex:b\.example"], '["a.example", "b.example"]'),
        ("openai", "regex:.*openai.*", '["api.openai.com"]'),
        ("google", "regex:.*googleapis.*", json.dumps([str(host) for host in Catalogue(None).get("google").hosts])),
    ],
)
def test_an_expression_for_hosts_is_refused_with_the_line_to_write(
    loads: Callable[[str], Provider], name: str, host_url: Any, line: str
) -> None:
    with pytest.raises(AuthsomeError, match="is a pattern") as caught:
        loads(json.dumps({"name": name, "host_url": host_url, "api_key": {}}))
    assert caught.value.code is ExitCode.INVALID
    assert caught.value.hint == f'write: "host_url": {line}'
    made = loads(
        json.dumps({"name": name, "api_key": {}} | json.loads("{" + caught.value.hint[len("write: ") :] + "}"))
    )
    assert [str(host) for host in made.hosts] == json.loads(line)


def test_an_expression_that_could_be_anything_is_refused_with_the_form_to_write(
    loads: Callable[[str], Provider],
) -> None:
    with pytest.raises(AuthsomeError) as caught:
        loads(json.dumps({"name": "acme", "host_url": r"regex:^api[0-9]+\.acme\.example$", "api_key": {}}))
    assert caught.value.hint == 'write each host exactly: "host_url": ["api1.example.com", "api2.example.com"]'


# What a person agrees to, and what commands say.


def test_the_hosts_that_get_the_applications_secret_are_said() -> None:
    asks = replace(
        ASKS, token_url="https://{shop}.acme.example/t", refresh_url="{base_url}/r", base_url="https://b.example/x"
    )
    said = grants.of(replace(ALONE, fields=SHOP, oauth=asks, client=ClientDefinition("ACME_ID", "ACME_SECRET")))
    sent = "OAuth may send the application's secret, codes and tokens to "
    assert [text.removeprefix(sent) for text in said if text.startswith(sent)] == ["b.example", "{shop}.acme.example"]
    assert "the application's secret is read from the variable ACME_SECRET" in said
    assert 'a login asks for shop, called "shop", shown while it is typed' in said
    assert not [text for text in said if "a login asks for access_token" in text]


def test_a_consent_is_not_piped_in_and_not_waited_for(authsome: CommandLine) -> None:
    piped = authsome("login", "dropbox", "--stdin", given="CANARY-token")
    assert (piped.code, piped.out) == (2, "")
    assert piped.err == (
        "Error: a person agrees to the login with Dropbox, which no input can replace\nHint: authsome login dropbox\n"
    )
    alone = authsome("login", "dropbox")
    assert (alone.code, alone.out) == (3, "")
    assert alone.err.startswith("Error: nobody to ask for dropbox")
    assert not (authsome.home / "profiles" / "default" / "connections" / "dropbox").exists()


def test_a_definition_with_both_logs_in_by_key_and_round_trips(authsome: CommandLine) -> None:
    assert authsome("login", "github", "--stdin", given=GITHUB_TOKEN).code == 0
    assert authsome("get", "github", "--field", "status").out == "connected\n"
    own = authsome.home / "providers"
    own.mkdir(exist_ok=True)
    before = {name: Catalogue(None).get(name) for name in ("github", "google", "zoom")}
    for name, provider in before.items():
        (own / f"{name}.json").write_text(authsome("inspect", name).out)
        assert Catalogue(authsome.home).get(name) == provider
    assert authsome("get", "github", "--field", "status").out == "connected\n"
