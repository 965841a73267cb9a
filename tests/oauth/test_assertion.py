"""What is signed with a key gets a token: the server checks the signature, the claims and the time, and may refuse."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwk, jwt
from joserfc.errors import JoseError

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import Client, DeniedError, Tokens, UnavailableError
from authsome.oauth.asked import client_given
from authsome.oauth.assertion import AFTER, BEFORE, GRANT, SKEW, again
from authsome.oauth.conversation import renew
from authsome.oauth.login import Login
from authsome.outside import transport
from authsome.provider import (
    AppInstallationDefinition,
    Definition,
    Flow,
    JwtBearerDefinition,
    OAuth,
    OAuthDefinition,
    resolve,
)
from authsome.provider.oauth import filled
from authsome.proxy.upstream import Upstream
from authsome.vault import Grant
from canary import CANARY
from conftest import CommandLine
from octets import Arrived
from scripted import Origin, Reply

pytest_plugins = ["scripted_fixtures"]

NOW = 1_800_000_000.0
EMAIL = "robot@acme.iam.example"
TOKEN = f"ghs_123_{CANARY}-installation.token"
JSON = ((b"Content-Type", b"application/json"),)


@cache
def _key(which: str = "rsa") -> Any:
    if which == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048)


def _pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    text: bytes = key.private_bytes(Encoding.PEM, form, NoEncryption())
    return text.decode()


@dataclass
class Signing:
    """A provider that looks at what was signed.

    Attributes:
        now: Its own clock.
        known: The keys that count, by their names; taken out, they are revoked.
        signs: The claims that it has taken.
        instead: What it answers whatever is signed.
    """

    origin: Origin
    now: float = NOW
    known: dict[str, Any] = field(default_factory=dict)
    signs: list[dict[str, Any]] = field(default_factory=list)
    instead: Callable[[], Reply] | None = None
    suspended: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.origin.port}"

    def oauth(self, **how: Any) -> OAuth:
        asks = OAuthDefinition(
            token_url=f"{self.url}/token",
            jwt_bearer=JwtBearerDefinition(**how),
            app_installation=AppInstallationDefinition(f"{self.url}/app/installations/{{installation_id}}/tokens"),
        )
        made = Definition("acme", f"localhost:{self.origin.port}", auth_type="oauth2", flow="jwt_bearer", oauth=asks)
        found = resolve(made).oauth
        assert found
        return found

    def key_file(self, **change: Any) -> str:
        said = {
            "type": "service_account",
            "project_id": f"{CANARY}-project",
            "private_key_id": f"{CANARY}-key-1",
            "private_key": _pem(_key("ec")),
            "client_email": EMAIL,
            "token_uri": f"{self.url}/token",
        }
        return json.dumps({name: value for name, value in (said | change).items() if value is not None}, indent=2)

    def reached(self, oauth: OAuth) -> Any:
        provider = resolve(
            Definition("acme", f"localhost:{self.origin.port}", auth_type="oauth2", flow="jwt_bearer", oauth=oauth.asks)
        )
        return transport(provider, Upstream(self.origin.roots.read_text()), seconds=5)

    def login(self, oauth: OAuth, flow: Flow, fields: Mapping[str, str], *scopes: str, clock: float = NOW) -> Tokens:
        client = client_given(oauth, flow, fields, None, {})
        begun = Login(
            oauth, flow, scopes, client, self.reached(oauth), clock=lambda: clock, token=lambda _: "never asked for"
        )
        found = begun.begin(None)
        assert isinstance(found, Tokens)
        return found

    # The answers.

    def answer(self, arrived: Arrived) -> Reply:
        if self.instead is not None:
            return self.instead()
        if arrived.path == b"/token":
            return self._account(arrived)
        return self._installation(arrived)

    def says(self, said: Any, status: int = 200, *headers: tuple[bytes, bytes]) -> Reply:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        return Reply(
            (body,), (*JSON, (b"Date", formatdate(self.now, usegmt=True).encode()), *headers), status, sized=True
        )

    def _taken(self, text: str, audience: str | None) -> dict[str, Any] | None:
        """Return the claims of what a key that counts has signed now."""
        for name, key in self.known.items():
            kind = jwk.RSAKey if isinstance(key, rsa.RSAPublicKey) else jwk.ECKey
            try:
                token = jwt.decode(text, kind.import_key(key), algorithms=["RS256", "ES256"])
            except (JoseError, ValueError):
                continue
            claims: dict[str, Any] = token.claims
            holds = claims["iat"] <= self.now < claims["exp"] <= self.now + 600 and claims["exp"] - claims["iat"] <= 600
            if holds and claims.get("aud") == audience and token.header.get("kid", name) == name:
                self.signs.append(claims)
                return claims
        return None

    def _account(self, arrived: Arrived) -> Reply:
        form = dict(parse_qsl(arrived.body.decode()))
        claims = self._taken(form["assertion"], f"{self.url}/token") if form.get("grant_type") == GRANT else None
        if claims is None or claims["iss"] != EMAIL:
            wrong = f"Invalid JWT Signature. {form['assertion']}"
            return self.says({"error": "invalid_grant", "error_description": wrong}, 400)
        said: dict[str, Any] = {
            "access_token": f"ya29.{CANARY}-{len(self.signs)}",
            "expires_in": 3599,
            "token_type": "Bearer",
        }
        return self.says({**said, **self.more})

    def _installation(self, arrived: Arrived) -> Reply:
        (shown,) = arrived.values(b"authorization")
        claims = self._taken(shown.decode().removeprefix("Bearer "), None)
        if claims is None or claims["iss"] != "Iv1.app":
            return self.says({"message": "A JSON web token could not be decoded"}, 401)
        if self.suspended:
            return self.says({"message": "This installation has been suspended"}, 403)
        if arrived.path != b"/app/installations/4711/tokens":
            return self.says({"message": "Not Found"}, 404)
        wanted = json.loads(arrived.body)["permissions"] if arrived.body else {"contents": "write", "metadata": "read"}
        if "administration" in wanted:
            return self.says({"message": "The permissions requested are not granted to this installation."}, 422)
        ends = datetime.fromtimestamp(self.now + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.says(
            {"token": TOKEN, "expires_at": ends, "permissions": wanted, "repository_selection": "all"}, 201
        )


@pytest.fixture
def signing(origin: Origin) -> Signing:
    made = Signing(origin, known={f"{CANARY}-key-1": _key("ec").public_key(), "app": _key().public_key()})
    origin.script = made.answer
    return made


def _installation(**change: str) -> dict[str, str]:
    return {"app_id": "Iv1.app", "installation_id": "4711", "private_key": _pem(_key())} | change


def _kept(flow: str, oauth: OAuth, *asked: str) -> Grant:
    return Grant(flow, tuple(sorted(oauth.token_hosts)), asked, asked, NOW)


# Service accounts.


def test_a_service_account_signs_for_its_token(signing: Signing) -> None:
    oauth = signing.oauth()
    found = signing.login(oauth, "jwt_bearer", {"service_account": signing.key_file()}, "mail.read", "drive")
    assert (found.access_token, found.expires_in, found.refresh_token) == (f"ya29.{CANARY}-1", 3599, None)
    assert signing.signs == [
        {"iss": EMAIL, "aud": f"{signing.url}/token", "iat": int(NOW) - BEFORE, "exp": int(NOW) + AFTER}
    ]
    (arrived,) = signing.origin.arrived
    form = dict(parse_qsl(arrived.body.decode()))
    assert (arrived.method, set(form), form["scope"]) == (
        b"POST",
        {"grant_type", "assertion", "scope"},
        "mail.read drive",
    )
    assert not arrived.values(b"authorization")
    assert b"PRIVATE" not in signing.origin.octets()


def test_scopes_and_somebody_to_act_for_can_be_signed_as_well(signing: Signing) -> None:
    oauth = signing.oauth(scopes_in="assertion", subject=True)
    given = {"service_account": signing.key_file(), "subject": " me@acme.example "}
    signing.login(oauth, "jwt_bearer", given, "mail.read")
    assert (signing.signs[0]["scope"], signing.signs[0]["sub"]) == ("mail.read", "me@acme.example")
    assert b"scope" not in signing.origin.arrived[0].body
    signing.login(oauth, "jwt_bearer", {"service_account": signing.key_file()})
    assert not {"scope", "sub"} & set(signing.signs[1])


def test_nobody_is_acted_for_where_the_definition_does_not_say_so(signing: Signing) -> None:
    signing.login(signing.oauth(), "jwt_bearer", {"service_account": signing.key_file(), "subject": "me@acme.example"})
    assert "sub" not in signing.signs[0]


def test_a_key_of_rsa_signs_too(signing: Signing) -> None:
    signing.known[f"{CANARY}-key-2"] = _key().public_key()
    given = signing.key_file(private_key=_pem(_key()), private_key_id=f"{CANARY}-key-2")
    assert signing.login(signing.oauth(), "jwt_bearer", {"service_account": given}).access_token


def test_what_is_signed_may_be_for_somebody_else_than_the_endpoint(signing: Signing) -> None:
    oauth = signing.oauth(audience="https://acme.example/")
    with pytest.raises(DeniedError):
        signing.login(oauth, "jwt_bearer", {"service_account": signing.key_file()})
    form = dict(parse_qsl(signing.origin.arrived[0].body.decode()))
    claims = jwt.decode(form["assertion"], jwk.ECKey.import_key(_key("ec").public_key()), algorithms=["ES256"]).claims
    assert claims["aud"] == "https://acme.example/"


# Installations.


def test_an_application_signs_for_the_token_of_its_installation(signing: Signing) -> None:
    found = signing.login(signing.oauth(), "app_installation", _installation(), "repo", "read:user")
    assert found.access_token == TOKEN
    assert found.expires_in == 3600
    assert found.scopes == ("contents:write", "metadata:read")  # what was granted, whatever a manifest asks people for
    (claims,) = signing.signs
    assert claims == {"iss": "Iv1.app", "iat": int(NOW) - BEFORE, "exp": int(NOW) + AFTER}
    assert claims["exp"] - claims["iat"] <= 600
    (arrived,) = signing.origin.arrived
    assert (arrived.method, arrived.path, arrived.body) == (b"POST", b"/app/installations/4711/tokens", b"")
    assert b"PRIVATE" not in signing.origin.octets()


def test_a_token_of_an_installation_can_be_asked_for_less(signing: Signing) -> None:
    found = signing.login(signing.oauth(), "app_installation", _installation(), "contents:read", "issues:write", "repo")
    assert found.scopes == ("contents:read", "issues:write")
    assert json.loads(signing.origin.arrived[0].body) == {"permissions": {"contents": "read", "issues": "write"}}


def test_how_long_a_token_holds_is_told_by_the_provider_s_own_clock(signing: Signing) -> None:
    signing.now = NOW + 40  # no refusal: within what is signed
    assert signing.login(signing.oauth(), "app_installation", _installation()).expires_in == 3600


@pytest.mark.parametrize("ends", [None, 7, "tomorrow", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+23:59"])
def test_a_time_that_is_none_is_none_that_lasts_for_ever_in_the_past(signing: Signing, ends: object) -> None:
    signing.instead = lambda: signing.says({"token": TOKEN, "expires_at": ends}, 201)
    found = signing.login(signing.oauth(), "app_installation", _installation())
    assert found.expires_in == (1.0 if ends == "0001-01-01T00:00:00+23:59" else None)
    assert found.scopes is None


@pytest.mark.parametrize(
    ("change", "word", "said"),
    [
        ({"app_id": "Iv1.other"}, "bad_credentials", "says 401 (A JSON web token could not be decoded)"),
        ({"installation_id": "4712"}, "no_such_installation", "is not installed there"),
        ({"suspended": "yes"}, "forbidden", "says 403 (This installation has been suspended)"),
        ({"scopes": "administration:write"}, "permissions_not_granted", "may do less than is asked for"),
    ],
)
def test_a_refusal_has_a_word_and_a_meaning(signing: Signing, change: dict[str, str], word: str, said: str) -> None:
    signing.suspended = "suspended" in change
    given = {name: text for name, text in change.items() if name.endswith("_id")}
    with pytest.raises(DeniedError) as caught:
        signing.login(signing.oauth(), "app_installation", _installation(**given), change.get("scopes", "repo"))
    assert caught.value.error == word
    assert said in caught.value.message
    assert len(signing.origin.arrived) == 1


def test_too_many_requests_are_no_refusal(signing: Signing) -> None:
    for headers in (((b"x-ratelimit-remaining", b"0"),), ((b"Retry-After", b"7"),)):
        signing.instead = lambda headers=headers: signing.says({"message": "API rate limit exceeded"}, 403, *headers)
        with pytest.raises(UnavailableError):
            signing.login(signing.oauth(), "app_installation", _installation())


# Either.


def _both(signing: Signing) -> tuple[tuple[Flow, dict[str, str]], ...]:
    return ("jwt_bearer", {"service_account": signing.key_file()}), ("app_installation", _installation())


def test_a_wrong_or_revoked_key_is_a_definite_no_and_nothing_signed_is_repeated(signing: Signing) -> None:
    signing.known = {f"{CANARY}-key-1": ec.generate_private_key(ec.SECP256R1()).public_key()}
    for flow, given in _both(signing):
        signing.origin.forget()
        signing.origin.script = signing.answer
        with pytest.raises(DeniedError) as caught:
            signing.login(signing.oauth(), flow, given)
        said = f"{caught.value.message}{caught.value.hint}{caught.value!r}"
        assert "eyJ" not in said
        assert "PRIVATE" not in said
        assert CANARY not in said
        assert caught.value.code is ExitCode.REFUSED
        assert len(signing.origin.arrived) == 1  # the clocks agree, so a second signature would say the same


@pytest.mark.parametrize("off", [-601.0, 86400.0])
def test_a_clock_that_is_wrong_is_mended_with_the_provider_s(signing: Signing, off: float) -> None:
    for flow, given in _both(signing):
        signing.origin.forget()
        signing.origin.script = signing.answer
        found = signing.login(signing.oauth(), flow, given, clock=NOW + off)
        assert found.expires_in in (3599, 3600)
        assert len(signing.origin.arrived) == 2


def test_a_key_that_is_refused_twice_is_told_with_the_clock_that_may_be_why(signing: Signing) -> None:
    signing.known = {}
    for flow, given in _both(signing):
        with pytest.raises(DeniedError) as caught:
            signing.login(signing.oauth(), flow, given, clock=NOW - 600)
        assert caught.value.hint == "the clock of this machine is 10 min behind the provider's: see if that is why"
    assert len(signing.origin.arrived) == 4


@pytest.mark.parametrize(
    "date", [b"", b"yesterday", b"Mon, 99 Foo 2026 99:99:99 GMT", b"Fri, 15 Jan 9999 08:00:00 GMT"]
)
def test_a_date_that_is_none_asks_for_no_more_than_one_second_signature(signing: Signing, date: bytes) -> None:
    signing.instead = lambda: Reply((b'{"error": "invalid_grant"}',), (*JSON, (b"Date", date)), 400, sized=True)
    with pytest.raises(DeniedError):
        signing.login(signing.oauth(), "jwt_bearer", {"service_account": signing.key_file()})
    assert len(signing.origin.arrived) <= 2


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b'{"error": "invalid_grant"}', UnavailableError),
        (503, b"<html>later</html>", UnavailableError),
        (429, b"{}", UnavailableError),
        (200, b"<html>Sign in to the guest network</html>", UnavailableError),
        (401, b"<html>who are you?</html>", UnavailableError),
        (302, b"", UnavailableError),
        (200, b"[]", UnavailableError),
        (200, b"{}", UnavailableError),
        (201, b'{"token": 7, "expires_at": {}, "permissions": []}', UnavailableError),
        (200, b'{"access_token": "a\\r\\nb", "token": "a\\r\\nb"}', UnavailableError),
        (200, b"[" * 100_000, UnavailableError),
        (200, b'{"error": "invalid_scope"}', DeniedError),
    ],
)
def test_an_answer_that_is_no_token_is_told_from_a_no(
    signing: Signing, status: int, body: bytes, kind: type[AuthsomeError]
) -> None:
    signing.instead = lambda: signing.says(body, status, (b"Location", b"https://evil.example/"))
    for flow, given in _both(signing):
        with pytest.raises(kind) as caught:
            signing.login(signing.oauth(), flow, given)
        assert "eyJ" not in f"{caught.value.message}{caught.value.hint}"
        assert CANARY not in f"{caught.value.message}{caught.value.hint}"


def test_a_provider_that_ends_the_connection_may_be_there_later(signing: Signing) -> None:
    signing.instead = lambda: Reply(raw=())
    for flow, given in _both(signing):
        with pytest.raises(UnavailableError):
            signing.login(signing.oauth(), flow, given)


# Again, without a person.


def test_a_connection_that_keeps_its_key_gets_new_tokens_with_it(signing: Signing) -> None:
    signing.now = time.time()
    for flow, given in _both(signing):
        oauth = signing.oauth()
        fields = {**client_given(oauth, flow, given, None, {}).more, "access_token": f"{CANARY}-old"}
        kept = _kept(flow, oauth, "contents:read")
        assert renew(oauth, Client("whoever"), kept, fields, signing.reached(oauth)).access_token
    assert json.loads(signing.origin.arrived[1].body) == {"permissions": {"contents": "read"}}
    assert b"scope=contents" in signing.origin.arrived[0].body


def test_nothing_is_signed_for_a_host_that_nobody_has_agreed_to(signing: Signing) -> None:
    oauth = signing.oauth()
    kept = Grant("jwt_bearer", ("other.example",), (), (), NOW)
    with pytest.raises(AuthsomeError, match="nobody has agreed"):
        renew(oauth, Client(""), kept, {"service_account": signing.key_file()}, signing.reached(oauth))
    assert not signing.origin.arrived


def test_a_connection_without_its_key_needs_a_person(signing: Signing) -> None:
    oauth = signing.oauth()
    for fields in ({}, {"service_account": "{}"}, {"service_account": signing.key_file(token_uri="https://x.example")}):
        with pytest.raises(DeniedError) as caught:
            again(oauth, _kept("jwt_bearer", oauth), fields, signing.reached(oauth), clock=lambda: NOW)
        assert caught.value.error == "no_key"
    assert not signing.origin.arrived


def test_an_installation_s_settings_are_part_of_its_address_only_as_they_are(signing: Signing) -> None:
    asks = OAuthDefinition(app_installation=AppInstallationDefinition("https://{host}/{installation_id}/tokens"))
    assert filled(asks, {"host": "ghe.acme.example"}).app_installation == AppInstallationDefinition(
        "https://ghe.acme.example/{installation_id}/tokens"
    )
    for wrong in ("4711/../../user", "4711?x", "", "-1", "4711\n4712", "²"):
        with pytest.raises(AuthsomeError) as caught:
            client_given(signing.oauth(), "app_installation", _installation(installation_id=wrong), None, {})
        assert caught.value.code is ExitCode.USAGE


# As a person and a program do it.


@pytest.fixture
def line(authsome: CommandLine, signing: Signing) -> CommandLine:
    """Return a command line whose own provider signs for its tokens."""
    signing.now = time.time()
    authsome.env = {"SSL_CERT_FILE": str(signing.origin.roots)}
    made = {
        "name": "acme",
        "auth_type": "oauth2",
        "flow": "jwt_bearer",
        "host_url": f"localhost:{signing.origin.port}",
        "oauth": {
            "token_url": f"{signing.url}/token",
            "scopes": ["read"],
            "jwt_bearer": {"subject": True},
            "app_installation": {"url": f"{signing.url}/app/installations/{{installation_id}}/tokens"},
        },
        "export": {"env": {"access_token": "ACME_TOKEN"}},
    }
    own = authsome.home / "providers"
    own.mkdir(parents=True)
    (own / "acme.json").write_text(json.dumps(made))
    return authsome


def test_a_key_file_is_piped_in_and_renews_the_tokens_from_then_on(line: CommandLine, signing: Signing) -> None:
    signing.more = {"expires_in": 0.01}
    done = line("login", "acme", "--stdin", given=signing.key_file())
    assert done.code == 0, done.err
    assert CANARY not in done.out + done.err
    assert len(signing.signs) == 1
    again = line("get", "acme", "--field", "access_token", "--show-secret", reveals=True)
    assert again.out == f"ya29.{CANARY}-2\n", again.err
    signing.more = {}
    exported = line("export", "acme", "--format", "env", reveals=True)
    assert exported.out == f"ACME_TOKEN=ya29.{CANARY}-3\n", exported.err
    shown = line("get", "acme", "--json")
    assert CANARY not in shown.out
    assert "PRIVATE" not in shown.out + exported.out + again.out
    assert [each["iss"] for each in signing.signs] == [EMAIL] * 3


def test_an_installation_is_piped_in_as_what_it_needs(line: CommandLine, signing: Signing) -> None:
    login = ("login", "acme", "--flow", "app_installation", "--scopes", "contents:read", "--stdin")
    done = line(*login, given=json.dumps(_installation()))
    assert done.code == 0, done.err
    assert line("get", "acme", "--field", "access_token", "--show-secret", reveals=True).out == f"{TOKEN}\n"
    assert json.loads(signing.origin.arrived[0].body) == {"permissions": {"contents": "read"}}
    wrong = json.dumps(_installation(installation_id="4712"))
    refused = line("login", "acme", "--flow", "app_installation", "--stdin", "--force", given=wrong)
    assert signing.origin.arrived[-1].body == b""  # what was asked for before does not count: it was less
    assert (refused.code, refused.out) == (8, "")
    assert "is not installed there" in refused.err
    assert (
        line("get", "acme", "--field", "access_token", "--show-secret", reveals=True).out == f"{TOKEN}\n"
    )  # as it was


def test_a_file_that_is_no_key_is_refused_before_anything_is_sent(line: CommandLine, signing: Signing) -> None:
    for given, said in (
        (json.dumps({"type": "authorized_user", "refresh_token": CANARY}), "gcloud's own login"),
        (json.dumps({"service_account": signing.key_file(), "subjet": "x"}), "has no field 'subjet'"),
    ):
        done = line("login", "acme", "--stdin", given=given)
        assert (done.code, done.out) == (2, ""), done.err
        assert said in done.err
        assert CANARY not in done.err
    assert not signing.origin.arrived


def test_a_skew_that_is_forgiven_is_less_than_what_is_signed() -> None:
    assert SKEW < BEFORE
