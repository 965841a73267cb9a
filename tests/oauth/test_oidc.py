"""The protocol with a certified server: every flow from its first word to its last, and every way in which it ends."""

import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest

from authsome import outside
from authsome.errors import AuthsomeError
from authsome.oauth import AuthorizationRequest, Client, DeniedError, DeviceAuthorization, Tokens
from authsome.oauth.conversation import Conversation, renew
from authsome.oauth.discovery import known
from authsome.oauth.login import Login
from authsome.provider import Flow, OAuth, Provider
from authsome.proxy.upstream import Upstream
from authsome.vault import Grant
from canary import sings
from chromium import chromium
from oidc_server import BASIC, CALLBACK, POST, PUBLIC, Application, Certified, Visitor

pytest_plugins = ["oidc_fixtures"]

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
SCOPES = ("openid", "read", "write")
_METHOD = {PUBLIC: "none", BASIC: "client_secret_basic", POST: "client_secret_post"}


@dataclass
class Clock:
    """The time, which only a test moves."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Way:
    """A provider's definition, and what talks to it."""

    oidc: Certified
    provider: Provider
    application: Application
    clock: Clock = field(default_factory=Clock)

    @property
    def oauth(self) -> OAuth:
        assert self.provider.oauth
        return self.provider.oauth

    @property
    def client(self) -> Client:
        return Client(self.application.client_id, self.application.secret)

    def transport(self) -> httpx.BaseTransport:
        return outside.transport(self.provider, Upstream(self.oidc.roots.read_text()))

    def talks(self) -> Conversation:
        asks, _ = known(self.oauth, self.transport(), "revocation_url")
        return Conversation(asks, self.client, self.transport())

    def renewed(self, refresh_token: str | None, client: Client | None = None) -> Tokens:
        """Renew tokens as a run does."""
        grant = Grant("pkce", tuple(self.oauth.token_hosts), SCOPES, SCOPES, issued_at=self.clock())
        fields = {"refresh_token": refresh_token or ""}
        return renew(self.oauth, client or self.client, grant, fields, self.transport())

    def login(self, flow: Flow = "pkce", client: Client | None = None, scopes: tuple[str, ...] = SCOPES) -> Login:
        given = client or self.client
        return Login(self.oauth, flow, scopes, given, self.transport(), clock=self.clock, token=_secret)

    def sent(self, login: Login, redirect_uri: str = CALLBACK) -> AuthorizationRequest:
        """Begin, and see that nobody is asked anything over the network yet."""
        request = login.begin(redirect_uri)
        assert isinstance(request, AuthorizationRequest)
        assert request.redirect_uri == redirect_uri
        return request

    def device(self, login: Login) -> DeviceAuthorization:
        shown = login.begin(None)
        assert isinstance(shown, DeviceAuthorization)
        return shown

    def tokens(self, visitor: Visitor) -> Tokens:
        login = self.login()
        return login.returned(visitor.agrees(self.sent(login).url))

    def works(self, tokens: Tokens, path: str = "/api/me") -> bool:
        """Whether a token is taken where it is meant for."""
        with httpx.Client(verify=self.oidc.trust(), trust_env=False) as web:
            answer = web.get(self.oidc.issuer + path, headers={"authorization": f"Bearer {tokens.access_token}"})
        return answer.status_code == 200


def _secret(octets: int) -> str:
    return f"CANARY{secrets.token_urlsafe(octets)}"


def _without_secrets(error: AuthsomeError) -> str:
    """Return what is said of an error, which has no secret in it."""
    said = f"{error} {error.hint} {error!r}"
    assert not sings(said.encode()), said
    return said


@pytest.fixture(params=["endpoints", "issuer"])
def by(request: pytest.FixtureRequest) -> str:
    """Return how much a definition says of the server."""
    return str(request.param)


@pytest.fixture
def way(oidc: Certified, tmp_path: Path) -> "Ways":
    return Ways(oidc, tmp_path)


@dataclass
class Ways:
    """Makes a definition for an application."""

    oidc: Certified
    home: Path

    def __call__(self, application: Application = PUBLIC, **more: Any) -> Way:
        asked = {"token_endpoint_auth_method": _METHOD[application], **more}
        return Way(self.oidc, self.oidc.provider(self.home, **asked), application)


@pytest.fixture
def visitor(oidc: Certified) -> Iterator[Visitor]:
    with oidc.visitor() as made:
        yield made


def _query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))


def _changed(url: str, **to: str | None) -> str:
    """Return an address with other parameters; None leaves one out."""
    query = {name: value for name, value in (_query(url) | to).items() if value is not None}
    return f"{url.partition('?')[0]}?{urlencode(query)}"


# A code, and PKCE.


@pytest.mark.parametrize("application", [PUBLIC, BASIC, POST], ids=lambda each: each.auth_method)
def test_a_person_agrees_and_there_are_tokens(way: Ways, visitor: Visitor, by: str, application: Application) -> None:
    there = way(application, by=by)
    login = there.login()
    tokens = login.returned(visitor.agrees(there.sent(login).url))
    assert there.works(tokens)
    assert tokens.scopes == SCOPES
    assert tokens.expires_in == 3600
    assert there.oidc.knows(tokens.refresh_token or "")
    (call,) = there.oidc.calls()
    assert (call.grant, call.client, call.status) == ("authorization_code", application.client_id, 200)


def test_the_address_of_the_page_says_nothing_that_is_of_use_to_whoever_reads_it(way: Ways) -> None:
    there = way(BASIC)
    login = there.login()
    request = there.sent(login)
    said = _query(request.url)
    assert said.pop("state") == request.state
    challenge = said.pop("code_challenge")
    assert len(challenge) == 43
    assert said == {
        "response_type": "code",
        "client_id": BASIC.client_id,
        "redirect_uri": CALLBACK,
        "scope": " ".join(SCOPES),
        "code_challenge_method": "S256",
    }
    for value in (request, login):
        assert not sings(repr(value).encode())
    again = _query(there.sent(there.login()).url)
    assert (again["state"], again["code_challenge"]) != (request.state, challenge)


def test_a_person_allows_less_than_was_asked_for(way: Ways, visitor: Visitor) -> None:
    login = (there := way()).login()
    tokens = login.returned(visitor.agrees(there.sent(login).url, ["openid", "read"]))
    assert tokens.scopes == ("openid", "read")


def test_a_person_says_no(way: Ways, visitor: Visitor, oidc: Certified) -> None:
    login = (there := way()).login()
    with pytest.raises(DeniedError) as caught:
        login.returned(visitor.refuses(there.sent(login).url))
    assert caught.value.error == "access_denied"
    _without_secrets(caught.value)
    assert not oidc.calls()


@pytest.mark.parametrize(
    "change",
    [{"state": "CANARY-foreign"}, {"state": None}, {"iss": "https://evil.example"}, {"code": None}, {"code": ""}],
    ids=str,
)
def test_what_is_not_the_answer_to_this_login_is_not_taken(
    way: Ways, visitor: Visitor, oidc: Certified, change: dict[str, str | None]
) -> None:
    login = (there := way()).login()
    back = visitor.agrees(there.sent(login).url)
    with pytest.raises(AuthsomeError) as caught:
        login.returned(_changed(back, **change))
    _without_secrets(caught.value)
    assert not oidc.calls()


def test_a_server_that_names_itself_in_its_answers_has_to(way: Ways, visitor: Visitor, oidc: Certified) -> None:
    """Or else another one's answer, without a name, would do (RFC 9207, 2.4)."""
    login = (there := way(by="issuer")).login()
    back = visitor.agrees(there.sent(login).url)
    with pytest.raises(AuthsomeError) as caught:
        login.returned(_changed(back, iss=None))
    _without_secrets(caught.value)
    assert not oidc.calls()


def test_an_answer_of_an_earlier_login_is_not_taken(way: Ways, visitor: Visitor, oidc: Certified) -> None:
    earlier, login = (there := way()).login(), there.login()
    back = visitor.agrees(there.sent(earlier).url)
    there.sent(login)
    with pytest.raises(AuthsomeError):
        login.returned(back)
    assert not oidc.calls()


def test_a_code_without_its_verifier_is_worth_nothing(way: Ways, visitor: Visitor) -> None:
    request = (there := way()).sent(there.login())
    back = visitor.agrees(request.url)
    with pytest.raises(DeniedError) as caught:
        there.talks().code(back, request, _secret(48))
    assert caught.value.error == "invalid_grant"
    _without_secrets(caught.value)


def test_a_code_is_sent_once(way: Ways, visitor: Visitor, oidc: Certified) -> None:
    there = way()
    login = there.login()
    back = visitor.agrees(there.sent(login).url)
    tokens = login.returned(back)
    with pytest.raises(AuthsomeError) as caught:
        login.returned(back)
    _without_secrets(caught.value)
    assert len(oidc.calls()) == 1
    assert there.works(tokens)


def test_whoever_sends_a_code_twice_ends_what_it_gave(way: Ways, visitor: Visitor, oidc: Certified) -> None:
    there = way()
    spoken, state, verifier = there.talks(), _secret(32), _secret(48)
    request = AuthorizationRequest(spoken.url(SCOPES, CALLBACK, state, verifier), state, CALLBACK)
    back = visitor.agrees(request.url)
    tokens = spoken.code(back, request, verifier)
    assert there.works(tokens)
    with pytest.raises(DeniedError) as caught:
        spoken.code(back, request, verifier)
    assert caught.value.error == "invalid_grant"
    _without_secrets(caught.value)
    assert not there.works(tokens)
    assert not oidc.knows(tokens.refresh_token or "")


def test_a_code_that_came_too_late(way: Ways, visitor: Visitor, oidc: Certified) -> None:
    login = (there := way()).login()
    back = visitor.agrees(there.sent(login).url)
    oidc.expire("AuthorizationCode")
    with pytest.raises(DeniedError) as caught:
        login.returned(back)
    assert caught.value.error == "invalid_grant"


@pytest.mark.parametrize("application", [BASIC, POST], ids=lambda each: each.auth_method)
def test_a_wrong_secret_of_an_application(way: Ways, visitor: Visitor, application: Application) -> None:
    there = way(application)
    login = there.login(client=Client(application.client_id, "CANARY-wrong"))
    with pytest.raises(DeniedError) as caught:
        login.returned(visitor.agrees(there.sent(login).url))
    assert caught.value.error == "invalid_client"
    assert "CANARY" not in _without_secrets(caught.value)


@pytest.mark.browser
def test_a_person_agrees_in_chromium(way: Ways, oidc: Certified, tmp_path: Path) -> None:
    there = way(supports_dcr=True)
    login = there.login("dcr_pkce", Client(""))
    # Nobody listens there; the address is all there is to read.
    with socket.socket() as held, chromium(tmp_path / "outside", tmp_path / "shots", oidc.flag) as browser:
        held.bind(("127.0.0.1", 0))
        callback = f"http://127.0.0.1:{held.getsockname()[1]}/callback"
        browser.driver.get(there.sent(login, callback).url)
        assert browser.sees("Sign in to Certified")
        browser.presses("login")
        assert browser.sees("asks for")
        browser.presses("allow")
        browser.arrives(callback)
        tokens = login.returned(browser.driver.current_url)
    assert there.works(tokens)


# Another device.


def test_a_login_on_another_device(way: Ways, visitor: Visitor, oidc: Certified, by: str) -> None:
    there = way(by=by, supports_device_flow=True)
    login = there.login("device_code")
    shown = there.device(login)
    assert shown.verification_uri == f"{oidc.issuer}/device"
    assert shown.verification_uri_complete == f"{oidc.issuer}/device?user_code={shown.user_code}"
    assert (shown.interval, shown.expires_in) == (5, 600)
    there.clock.now += 5
    assert isinstance(login.poll(), DeviceAuthorization)
    assert "Device connected" in visitor.connects(shown.verification_uri, shown.user_code)
    there.clock.now += 5
    tokens = login.poll()
    assert isinstance(tokens, Tokens)
    assert there.works(tokens)
    assert tokens.scopes == SCOPES
    assert [(call.grant, call.error) for call in oidc.calls()] == [(DEVICE, "authorization_pending"), (DEVICE, None)]


def test_a_device_that_asks_too_often_asks_less_often(way: Ways, oidc: Certified) -> None:
    there = way()
    login = there.login("device_code")
    there.device(login)
    oidc.settle(slow=2)
    for interval in (10, 15):  # RFC 8628, 3.5: five seconds more, from now on
        there.clock.now += 60
        again = login.poll()
        assert isinstance(again, DeviceAuthorization)
        assert again.interval == interval
    there.clock.now += 60
    again = login.poll()
    assert isinstance(again, DeviceAuthorization)
    assert again.interval == 15


def test_a_person_rejects_a_device(way: Ways, visitor: Visitor) -> None:
    there = way()
    login = there.login("device_code")
    shown = there.device(login)
    visitor.rejects(shown.verification_uri_complete or "", shown.user_code)
    there.clock.now += shown.interval
    with pytest.raises(DeniedError) as caught:
        login.poll()
    assert caught.value.error == "access_denied"
    _without_secrets(caught.value)


def test_a_code_for_a_device_that_has_expired(way: Ways, visitor: Visitor, oidc: Certified) -> None:
    there = way()
    login = there.login("device_code")
    shown = there.device(login)
    oidc.expire("DeviceCode")
    there.clock.now += shown.interval
    with pytest.raises(DeniedError) as caught:
        login.poll()
    assert caught.value.error == "expired_token"
    anew = there.device(login)
    assert anew.user_code != shown.user_code
    visitor.connects(anew.verification_uri, anew.user_code)
    there.clock.now += anew.interval
    assert isinstance(login.poll(), Tokens)


# Applications that register themselves, and those that act for themselves.


def test_an_application_registers_itself(way: Ways, visitor: Visitor, by: str) -> None:
    there = way(by=by, supports_dcr=True)
    login = there.login("dcr_pkce", Client(""))
    callback = "http://127.0.0.1:7999/callback"
    request = there.sent(login, callback)
    assert login.client is not None
    assert login.client.client_id
    assert login.client.redirect_uri == callback
    assert not sings(repr(login.client).encode())
    tokens = login.returned(visitor.agrees(request.url))
    assert there.works(tokens)
    assert [call.client for call in there.oidc.calls()] == [login.client.client_id]
    # It is the same one that renews.
    assert there.works(there.renewed(tokens.refresh_token, login.client))


def test_an_application_that_is_registered_is_not_registered_again(way: Ways, visitor: Visitor) -> None:
    there = way(supports_dcr=True)
    first = there.login("dcr_pkce", Client(""))
    there.sent(first)
    second = there.login("dcr_pkce", first.client)
    tokens = second.returned(visitor.agrees(there.sent(second).url))
    assert second.client == first.client
    assert there.works(tokens)


@pytest.mark.parametrize("application", [BASIC, POST], ids=lambda each: each.auth_method)
def test_an_application_gets_a_token_for_itself(way: Ways, application: Application, by: str) -> None:
    there = way(application, by=by, client_credentials={})
    tokens = there.login("client_credentials", scopes=("read",)).begin(None)
    assert isinstance(tokens, Tokens)
    assert there.works(tokens)
    assert (tokens.scopes, tokens.refresh_token) == (("read",), None)
    (call,) = there.oidc.calls()
    assert (call.grant, call.client) == ("client_credentials", application.client_id)


def test_an_application_with_a_wrong_secret_gets_no_token(way: Ways) -> None:
    there = way(BASIC, client_credentials={})
    with pytest.raises(DeniedError) as caught:
        there.login("client_credentials", Client(BASIC.client_id, "CANARY-wrong")).begin(None)
    assert caught.value.error == "invalid_client"
    _without_secrets(caught.value)


# Afterwards.


@pytest.mark.parametrize("application", [PUBLIC, BASIC, POST], ids=lambda each: each.auth_method)
def test_a_refresh_token_is_good_for_one_time(way: Ways, visitor: Visitor, application: Application) -> None:
    there = way(application)
    tokens = there.tokens(visitor)
    first = tokens.refresh_token
    renewed = there.renewed(first)
    assert renewed.refresh_token not in (None, first)
    assert there.works(renewed)
    with pytest.raises(DeniedError) as caught:
        there.renewed(first)
    assert caught.value.error == "invalid_grant"
    _without_secrets(caught.value)
    # Whoever replays one ends all that came of it: this is why there is one renewal at a time.
    assert not there.works(renewed)
    with pytest.raises(DeniedError):
        there.renewed(renewed.refresh_token)


def test_a_refresh_token_that_is_not_rotated_goes_on(way: Ways, visitor: Visitor, oidc: Certified) -> None:
    there = way()
    tokens = there.tokens(visitor)
    oidc.settle(rotates=False)
    for _ in range(2):
        renewed = there.renewed(tokens.refresh_token)
        assert there.works(renewed)
        assert renewed.refresh_token in (None, tokens.refresh_token)


@pytest.mark.parametrize("ended", ["expired", "withdrawn"])
def test_a_refresh_token_that_has_ended(way: Ways, visitor: Visitor, oidc: Certified, ended: str) -> None:
    there = way()
    tokens = there.tokens(visitor)
    if ended == "expired":
        oidc.expire("RefreshToken")
    else:
        oidc.withdraw()
    with pytest.raises(DeniedError) as caught:
        there.renewed(tokens.refresh_token)
    assert caught.value.error == "invalid_grant"
    _without_secrets(caught.value)


@pytest.mark.parametrize("application", [PUBLIC, BASIC, POST], ids=lambda each: each.auth_method)
def test_both_tokens_are_revoked(way: Ways, visitor: Visitor, application: Application, by: str) -> None:
    there = way(application, by=by)
    tokens = there.tokens(visitor)
    both = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token or ""}
    assert all(there.oidc.knows(token) for token in both.values())
    there.talks().revoke(both)
    assert not any(there.oidc.knows(token) for token in both.values())
    there.talks().revoke(both)  # RFC 7009, 2.2: what is no token is no error


# Discovery.


def test_a_server_that_calls_itself_otherwise_is_not_believed(way: Ways, oidc: Certified) -> None:
    there = way(by="issuer", issuer=f"{oidc.issuer}/")
    with pytest.raises(AuthsomeError) as caught:
        there.login().begin(CALLBACK)
    assert f"calls itself {oidc.issuer} (RFC 8414" in _without_secrets(caught.value)


def test_a_token_for_one_resource_is_asked_for_by_its_address(way: Ways, visitor: Visitor, oidc: Certified) -> None:
    resource = f"{oidc.issuer}/mcp"
    there = way(by="issuer", resource=resource, issuer=None, supports_dcr=True)
    login = there.login("dcr_pkce", Client(""), ("openid", "read"))
    request = there.sent(login)
    assert parse_qs(urlsplit(request.url).query)["resource"] == [resource]
    tokens = login.returned(visitor.agrees(request.url))
    assert there.works(tokens, "/mcp")
    assert there.works(there.renewed(tokens.refresh_token, login.client), "/mcp")
