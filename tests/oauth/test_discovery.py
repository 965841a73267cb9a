"""A provider's metadata adds paths, and no places."""

import json
import socket
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import UnavailableError
from authsome.oauth.discovery import Server as Said, known
from authsome.oauth.login import REDIRECT, Login
from authsome.outside import transport
from authsome.provider import ClientDefinition, OAuth, OAuthDefinition, Provider
from authsome.web import httpx
from quirks import CLIENT, Fault, Server

pytest_plugins = ["quirks_fixtures"]

METADATA = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
RESOURCE = "/.well-known/oauth-protected-resource/mcp"
NEEDED = ("authorization_url",)
NOTHING = dict.fromkeys(("authorization_url", "token_url", "revocation_url", "device_authorization_url"))


def _oauth(provider: Provider) -> OAuth:
    assert provider.oauth
    return provider.oauth


def _known(quirky: Server, **more: Any) -> tuple[OAuthDefinition, Said]:
    provider = quirky.provider(**{**NOTHING, "issuer": quirky.url, **more})
    return known(_oauth(provider), transport(provider, quirky.outside), *NEEDED)


def test_what_a_definition_leaves_out_is_found_at_its_issuer(quirky: Server) -> None:
    quirky.metadata["authorization_response_iss_parameter_supported"] = True
    asks, said = _known(quirky)
    assert (asks.authorization_url, asks.token_url) == (f"{quirky.url}/authorize", f"{quirky.url}/token")
    assert (asks.revocation_url, asks.registration_endpoint) == (f"{quirky.url}/revoke", f"{quirky.url}/register")
    assert said == Said(True, ("client_secret_basic", "client_secret_post", "none"))
    seen = quirky.seen[-1]
    assert not {"authorization", "cookie"} & set(seen.headers)


def test_what_a_definition_says_is_not_asked_for(quirky: Server) -> None:
    provider = quirky.provider(issuer=quirky.url)
    assert known(_oauth(provider), transport(provider, quirky.outside), *NEEDED) == (_oauth(provider).asks, Said())
    assert not quirky.calls
    asks, _ = _known(quirky, token_url=f"{quirky.url}/refresh")
    assert asks.token_url == f"{quirky.url}/refresh"


def test_metadata_may_stand_where_openid_connect_keeps_it(quirky: Server) -> None:
    issuer = f"{quirky.url}/tenant"
    body = json.dumps(
        {
            "issuer": issuer,
            "authorization_endpoint": f"{quirky.url}/authorize",
            "token_endpoint": f"{quirky.url}/token",
            "code_challenge_methods_supported": ["plain", "S256"],
        }
    ).encode()
    quirky.fail(f"/tenant{OPENID}", Fault(200, body))
    assert _known(quirky, issuer=issuer)[0].token_url == f"{quirky.url}/token"
    assert list(quirky.calls) == [f"{METADATA}/tenant", f"/tenant{OPENID}"]


def test_a_resource_names_its_authorization_server(quirky: Server) -> None:
    asks, _ = _known(quirky, issuer=None, resource=f"{quirky.url}/mcp")
    assert (asks.issuer, asks.token_url) == (quirky.url, f"{quirky.url}/token")
    assert list(quirky.calls) == [RESOURCE, METADATA]


def test_a_server_of_the_model_context_protocol_is_logged_in_to(quirky: Server) -> None:
    quirky.quirks.auth_methods = ("none",)
    provider = quirky.provider(flow="dcr_pkce", supports_dcr=True, **NOTHING, resource=f"{quirky.url}/mcp")
    way = transport(provider, quirky.outside)
    login = Login(
        _oauth(provider), "dcr_pkce", (), None, way, clock=lambda: 0.0, token=lambda octets: "CANARY".ljust(octets, "x")
    )
    asked = login.begin(REDIRECT)
    tokens = login.returned(quirky.agree(getattr(asked, "url", "")))
    assert quirky.good(tokens.access_token)
    assert f"resource=https%3A%2F%2Flocalhost%3A{quirky.port}%2Fmcp" in getattr(asked, "url", "")
    assert quirky.seen[-1].form["resource"] == f"{quirky.url}/mcp"


def test_what_is_secret_does_not_go_to_the_page_on_which_a_person_agrees(quirky: Server) -> None:
    quirky.metadata = {"token_endpoint": "https://page.example/token"}
    with pytest.raises(AuthsomeError, match="does not name page.example") as refused:
        _known(quirky, authorization_url="https://page.example/agree")
    assert refused.value.code is ExitCode.REFUSED


@pytest.mark.parametrize(
    ("change", "words", "line"),
    [
        ({"issuer": "https://evil.example"}, "calls itself https://evil.example", '"issuer": "https://evil.example"'),
        ({"issuer": "{u}/"}, "calls itself {u}/", '"issuer": "{u}/"'),
        ({"issuer": None}, "calls itself nothing", ""),
        ({"issuer": ["{u}"]}, "calls itself nothing", ""),
        (
            {"token_endpoint": "https://evil.example/t"},
            "does not name evil.example",
            '"token_url": "https://evil.example/t"',
        ),
        ({"token_endpoint": "https://evil.example\\@{h}/t"}, "no address with https", ""),
        ({"token_endpoint": "https://{h}@evil.example/t"}, "its host is none", ""),
        ({"token_endpoint": "https://sub.{h}/t"}, "does not name sub.{h}", ""),
        ({"token_endpoint": "https://localhost/t"}, "does not name localhost", ""),
        ({"token_endpoint": "http://{h}/token"}, "no address with https", '"token_url": "https://{h}/token"'),
        ({"token_endpoint": "http://169.254.169.254/x"}, "no address with https", ""),
        ({"token_endpoint": "https://169.254.169.254/x"}, "169.254.169.254", ""),
        ({"token_endpoint": "https://[::1]/x"}, "its host is none", ""),
        ({"token_endpoint": "javascript:alert(1)"}, "no address with https", ""),
        ({"token_endpoint": "/token"}, "no address with https", ""),
        ({"token_endpoint": "https://{h}/t#x"}, "no address with https", ""),
        ({"token_endpoint": "https://{h}/\x1b[2J"}, "no address with https", ""),
        ({"token_endpoint": ["https://{h}/token"]}, "no address with https", ""),
        ({"token_endpoint": None}, "does not say its `token_url`", ""),
        ({"authorization_endpoint": "https://login.evil.example/"}, "does not name login.evil.example", ""),
        ({"code_challenge_methods_supported": ["plain"]}, "with S256", '"pkce": null'),
        ({"code_challenge_methods_supported": None}, "with S256", '"pkce": null'),
        ({"code_challenge_methods_supported": "S256"}, "with S256", '"pkce": null'),
    ],
)
def test_metadata_that_leads_elsewhere_is_refused_with_the_line_to_write(
    quirky: Server, change: dict[str, Any], words: str, line: str
) -> None:
    def here(text: str) -> str:
        return text.replace("{u}", quirky.url).replace("{h}", quirky.host)

    quirky.metadata = json.loads(here(json.dumps(change)))
    with pytest.raises(AuthsomeError) as refused:
        _known(quirky)
    assert here(words) in refused.value.message
    assert here(line) in (refused.value.hint or "")
    assert refused.value.code is ExitCode.REFUSED
    assert refused.value.message.isprintable()
    assert not isinstance(refused.value, UnavailableError)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("registration_endpoint", "registration_endpoint"),
        ("revocation_endpoint", "revocation_url"),
        ("device_authorization_endpoint", "device_authorization_url"),
    ],
)
def test_an_endpoint_elsewhere_is_no_reason_to_trust_its_host_while_nobody_needs_it(
    quirky: Server, name: str, key: str
) -> None:
    quirky.metadata[name] = "https://evil.example/r"
    asks, _ = _known(quirky)
    assert getattr(asks, key) is None
    provider = quirky.provider(**NOTHING, issuer=quirky.url)
    with pytest.raises(AuthsomeError, match=r"does not name evil\.example") as refused:
        known(_oauth(provider), transport(provider, quirky.outside), key)
    assert f'"{key}": "https://evil.example/r"' in (refused.value.hint or "")


def test_a_line_that_was_written_is_followed(quirky: Server) -> None:
    quirky.metadata["code_challenge_methods_supported"] = ["plain"]
    assert _known(quirky, pkce=None)[0].token_url
    quirky.metadata["authorization_endpoint"] = "https://login.acme.example/authorize"
    with pytest.raises(AuthsomeError, match=r"does not name login\.acme\.example"):
        _known(quirky, pkce=None)
    page = "https://login.acme.example/authorize"
    assert _known(quirky, pkce=None, authorization_url=page)[0].authorization_url == page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resource": "https://evil.example/mcp"}, "is about https://evil.example/mcp"),
        ({"authorization_servers": ["https://evil.example"]}, "does not name evil.example"),
        ({"authorization_servers": ["http://{h}"]}, "no address with https"),
        ({"authorization_servers": [7]}, "no address with https"),
        ({"authorization_servers": []}, "names no authorization server"),
        ({"authorization_servers": "https://{h}"}, "names no authorization server"),
    ],
)
def test_a_resource_that_leads_elsewhere_is_refused(quirky: Server, change: dict[str, Any], words: str) -> None:
    quirky.resource_metadata = json.loads(json.dumps(change).replace("{h}", quirky.host))
    with pytest.raises(AuthsomeError, match=words):
        _known(quirky, issuer=None, resource=f"{quirky.url}/mcp")
    assert not quirky.calls[METADATA]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(500), "answered 500"),
        (Fault(302, b"", {"Location": "https://evil.example/"}), "a redirect, which is not followed"),
        (Fault(200, b"x" * (10 << 20)), "more than 1,048,576 octets"),
        (Fault(404), "says nothing of its endpoints"),
        (Fault(200, b"<html>"), "says nothing of its endpoints"),
        (Fault(200, b"[" * 100_000), "says nothing of its endpoints"),
        (Fault(200, b"[]"), "says nothing of its endpoints"),
    ],
)
def test_an_issuer_that_says_nothing_may_do_so_later(quirky: Server, fault: Fault, words: str) -> None:
    quirky.fail(METADATA, fault)
    with pytest.raises(UnavailableError, match=words):
        _known(quirky)


def test_a_name_that_leads_into_a_private_network_is_not_asked(quirky: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, port, *more, **named: real("127.0.0.1", port, *more, **named))
    issuer = f"https://auth.acme.example:{quirky.port}"
    provider = quirky.provider(**{**NOTHING, "issuer": issuer})
    with pytest.raises(AuthsomeError, match="calls itself"):  # reached: the definition says that it is private
        known(_oauth(provider), transport(provider, quirky.outside), *NEEDED)
    public = replace(provider, private_addresses=False)
    calls = quirky.calls.total()
    with pytest.raises(UnavailableError, match="leads to an address that is not public"):
        known(_oauth(public), transport(public, quirky.outside), *NEEDED)
    assert quirky.calls.total() == calls


def test_an_application_is_not_shown_while_an_endpoint_is_looked_for(quirky: Server) -> None:
    provider = quirky.provider(**NOTHING, issuer=quirky.url)
    way = transport(provider, quirky.outside)
    quirky.metadata["token_endpoint"] = "https://evil.example/token"
    login = Login(_oauth(provider), "pkce", (), CLIENT, way, clock=lambda: 0.0, token=lambda octets: "x" * octets)
    with pytest.raises(AuthsomeError):
        login.begin(REDIRECT)
    assert all(not seen.body and not seen.query for seen in quirky.seen)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["https://auth.acme.example", "https://["]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
_KEYS = ("issuer", "token_endpoint", "authorization_endpoint", "code_challenge_methods_supported", "resource")
_MORE = ("authorization_servers", "token_endpoint_auth_methods_supported", "revocation_endpoint")


@given(
    st.sampled_from([None, "https://auth.acme.example", "https://auth.acme.example/x"]),
    st.dictionaries(st.sampled_from([*_KEYS, *_MORE]), _ANY).map(lambda said: json.dumps(said).encode())
    | st.binary(max_size=50),
    st.sampled_from([200, 201, 301, 404, 500]),
)
def test_whatever_metadata_says_ends_as_endpoints_or_as_an_error(issuer: str | None, body: bytes, status: int) -> None:
    asks = OAuthDefinition(issuer=issuer, resource="https://auth.acme.example/mcp")
    oauth = OAuth(asks, ClientDefinition(), (), ())
    way = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    try:
        found, _ = known(oauth, way, *NEEDED)
    except AuthsomeError as error:
        assert f"{error.message} {error.hint}".isprintable()
    else:
        assert str(found.token_url).startswith("https://auth.acme.example")
