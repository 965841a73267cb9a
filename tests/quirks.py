"""An authorization server with the quirks of many: Authlib's own, on Flask, over TLS on loopback.

It agrees to everything at once, counts what it is asked, and can be told to answer wrongly, late, or not at all. All of
its secrets carry the canary. The same address also serves an API that takes its tokens.
"""

import base64
import itertools
import json
import ssl
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, override
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

import trustme
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7591 import ClientRegistrationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant
from authlib.oauth2.rfc9207 import IssuerParameter
from flask import Flask, Response, request
from werkzeug.serving import WSGIRequestHandler, make_server

from authsome.oauth import Client
from authsome.provider import Definition, OAuthDefinition, Provider, TestRequest as Check, resolve
from authsome.proxy.upstream import Upstream
from canary import CANARY

CLIENT_ID = "acme-app"
CLIENT_SECRET = f"{CANARY}-client secret+/:%=&0123456789"
CLIENT = Client(CLIENT_ID, CLIENT_SECRET)
REDIRECT = "http://127.0.0.1:7998/callback"
PATIENCE = 20.0

_ALL_GRANTS = (
    *("authorization_code", "refresh_token", "client_credentials", "account_credentials"),
    "urn:ietf:params:oauth:grant-type:device_code",
)


@dataclass
class Quirks:
    """What this provider does in its own way.

    Attributes:
        auth_methods: How it lets applications show who they are.
        json_bodies: Whether its token endpoint reads JSON and nothing else.
        separator: What it puts between scopes, and reads between them.
        rotates: Whether each renewal ends the refresh token that it was made with.
        grace: Whether it does so only once the next one has been used.
        reuse_ends_all: Whether an ended refresh token ends all that came of the same login (RFC 9700, 4.14.2).
        expires_in: What it says of a token's lifetime, in seconds; None for nothing.
        says_scopes: Whether it says what was granted; `grants_scopes` alone is granted, if that is not None.
        token_type: None for nothing.
        iss: What it calls itself in redirects (RFC 9207), None for nothing.
        slow_downs: How many polls are answered with `slow_down`.
        interval: What it says of polls, in seconds.
        ends_access: Whether it can end an access token by itself.
        more: What its token answers say besides.
        extra: Parameters that a token request must have.
    """

    auth_methods: tuple[str, ...] = ("client_secret_basic", "client_secret_post", "none")
    json_bodies: bool = False
    separator: str = " "
    rotates: bool = True
    grace: bool = False
    reuse_ends_all: bool = False
    expires_in: object = 3600
    says_scopes: bool = True
    grants_scopes: tuple[str, ...] | None = None
    token_type: str | None = "Bearer"
    iss: str | None = None
    slow_downs: int = 0
    interval: int = 5
    ends_access: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """One wrong answer.

    Attributes:
        body: All at once, or piece by piece.
        after: Whether what was asked is done all the same, and only its answer lost.
    """

    status: int = 500
    body: bytes | Callable[[], Iterable[bytes]] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    after: bool = False


@dataclass
class Hold:
    """An answer that waits; what was asked is done."""

    arrived: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass
class _Application(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    client_id: str
    secret: str
    server: "Server" = field(repr=False)
    redirect_uris: tuple[str, ...] = (REDIRECT,)

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uris[0]

    def get_allowed_scope(self, scope: str) -> str:
        granted = self.server.quirks.grants_scopes
        return scope or "" if granted is None else " ".join(granted)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        del endpoint
        return method in self.server.quirks.auth_methods

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in _ALL_GRANTS


@dataclass
class _Code(AuthorizationCodeMixin):  # type: ignore[misc]  # the same
    code: str
    client_id: str
    redirect_uri: str
    scope: str
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


@dataclass
class Issued(TokenMixin):  # type: ignore[misc]  # the same
    """Tokens that were given out; `before` are those that they renewed."""

    access_token: str
    refresh_token: str | None
    client_id: str
    scope: str
    before: "Issued | None" = None
    access_ended: bool = False
    refresh_ended: bool = False

    def check_client(self, client: _Application) -> bool:
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        return self.scope

    def family(self) -> Iterator["Issued"]:
        found: Issued | None = self
        while found is not None:
            yield found
            found = found.before


@dataclass
class _Device:
    """A login on another device."""

    client_id: str
    scope: str
    user_code: str
    agreed: bool | None = None
    expired: bool = False

    def get_client_id(self) -> str:
        return self.client_id

    def get_scope(self) -> str:
        return self.scope

    def get_user_code(self) -> str:
        return self.user_code

    def is_expired(self) -> bool:
        return self.expired


class Server:
    """Serves; `quirks` may be changed at any time, and `faults` are answered first."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.roots = folder / "roots.pem"
        authority.cert_pem.write_to_path(str(self.roots))
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1", "*.acme.example", "acme.example").configure_cert(settings)
        self.app = Flask("quirks")
        self.app.wsgi_app = _Front(self, self.app.wsgi_app)  # type: ignore[assignment]  # as Flask's documentation does
        _serve(self)
        self._served = make_server("localhost", 0, self.app, True, request_handler=_Quiet, ssl_context=settings)
        self.port = self._served.server_port
        self._thread = threading.Thread(target=self._served.serve_forever, daemon=True)
        self._thread.start()
        self.forget()

    def forget(self) -> None:
        """Be as new."""
        self.quirks = Quirks()
        self.calls: Counter[str] = Counter()
        self.seen: list[Seen] = []
        self.issued: list[Issued] = []
        self.codes: dict[str, _Code] = {}
        self.devices: dict[str, _Device] = {}
        self.clients = {CLIENT_ID: _Application(CLIENT_ID, CLIENT_SECRET, self)}
        self.faults: dict[str, deque[Fault]] = {}
        self.holds: dict[str, Hold] = {}
        self.metadata: dict[str, Any] = {}
        self.resource_metadata: dict[str, Any] = {}
        self.numbers = itertools.count(1)
        self.lock = threading.RLock()

    def close(self) -> None:
        for hold in self.holds.values():
            hold.go.set()
        self._served.shutdown()
        self._thread.join()
        self._served.server_close()

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    @property
    def outside(self) -> Upstream:
        """How it is reached."""
        return Upstream(self.roots.read_text())

    def fail(self, path: str, fault: Fault | None = None, times: int = 1) -> None:
        """Answer the next requests wrongly."""
        self.faults.setdefault(path, deque()).extend([fault or Fault()] * times)

    def hold(self, path: str) -> Hold:
        """Keep the next answer back until it is let go."""
        self.holds[path] = Hold()
        return self.holds[path]

    def asks(self, **more: Any) -> OAuthDefinition:
        """Return what a definition says of this server."""
        usual = OAuthDefinition(
            authorization_url=f"{self.url}/authorize",
            token_url=f"{self.url}/token",
            revocation_url=f"{self.url}/revoke",
            device_authorization_url=f"{self.url}/device",
            scopes=("read", "write"),
            token_endpoint_auth_method=("client_secret_post", "none"),
        )
        return replace(usual, **more)

    def provider(self, **more: Any) -> Provider:
        """Return the provider whose tokens come from here, and whose API is here.

        Args:
            more: Its `name` and `flow`, and what its `oauth` says.
        """
        definition = Definition(
            more.pop("name", "acme"),
            self.url,
            display_name="Acme",
            auth_type="oauth2",
            flow=more.pop("flow", "pkce"),
            oauth=self.asks(**more),
            test=Check(f"{self.url}/api/me", identity="/login"),
            private_addresses=True,
        )
        return resolve(definition)

    def agree(self, url: str) -> str:
        """Open the page on which a person agrees, and return where it leads back to."""
        parts = urlsplit(url)
        answer = self.app.test_client().get(f"{parts.path}?{parts.query}", base_url=self.url)
        assert answer.status_code == 302, answer.text
        return str(answer.headers["Location"])

    def confirm(self, user_code: str, *, agreed: bool = True) -> None:
        """Agree on another device, or refuse there."""
        next(each for each in self.devices.values() if each.user_code == user_code).agreed = agreed

    def issue(self, scope: str = "read write", *, refresh: bool = True) -> Issued:
        """Give out tokens without a login."""
        with self.lock:
            refresh_token = self.secret("refresh") if refresh else None
            self.issued.append(Issued(self.secret("access"), refresh_token, CLIENT_ID, scope))
            return self.issued[-1]

    def end_access(self) -> None:
        """Let all access tokens be over, as time does."""
        for each in self.issued:
            each.access_ended = True

    def secret(self, kind: str) -> str:
        return f"{CANARY}-{kind}-{next(self.numbers):04}-0123456789abcdef"

    def good(self, access_token: str) -> bool:
        return any(each.access_token == access_token and not each.access_ended for each in self.issued)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    @override
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing."""


class _Front:
    """What happens before Authlib sees a request, and after it has answered."""

    def __init__(self, server: Server, app: Callable[..., Iterable[bytes]]) -> None:
        self._server = server
        self._app = app

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        server, path = self._server, environ["PATH_INFO"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = {name.removeprefix("HTTP_").lower(): text for name, text in environ.items() if isinstance(text, str)}
        with server.lock:
            server.calls[path] += 1
            server.seen.append(Seen(environ["REQUEST_METHOD"], path, environ["QUERY_STRING"], headers, body))
            faults = server.faults.get(path)
            fault = faults.popleft() if faults else None
            hold = server.holds.pop(path, None)
            if fault is not None and not fault.after:
                return _wrong(fault)(environ, start)
            _translate(server.quirks, environ, body)
            answer = Response.from_app(self._app, environ, buffered=True)
        if hold is not None:
            hold.arrived.set()
            hold.go.wait(PATIENCE)
        return (answer if fault is None else _wrong(fault))(environ, start)


def _wrong(fault: Fault) -> Response:
    body = fault.body if isinstance(fault.body, bytes) else fault.body()
    return Response(body, fault.status, dict(fault.headers))


def _translate(quirks: Quirks, environ: dict[str, Any], body: bytes) -> None:
    """Turn what this provider wants into what Authlib reads; what it does not want into nothing."""
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0]
    said: dict[str, str] = {}
    if environ["PATH_INFO"] in ("/token", "/refresh") and quirks.json_bodies:
        said = json.loads(body) if kind == "application/json" else {}
    elif kind == "application/x-www-form-urlencoded":
        said = dict(parse_qsl(body.decode(), keep_blank_values=True))
    if said or (quirks.json_bodies and environ["PATH_INFO"] == "/token"):
        if "scope" in said:
            said["scope"] = said["scope"].replace(quirks.separator, " ")
        body = urlencode(said).encode()
        environ["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = BytesIO(body)
    query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
    if "scope" in query:
        environ["QUERY_STRING"] = urlencode({**query, "scope": query["scope"].replace(quirks.separator, " ")})
    scheme, _, shown = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme == "Basic" and not environ["PATH_INFO"].startswith(
        "/applications/"
    ):  # RFC 6749, 2.3.1: both are encoded as in a form, which Authlib does not undo
        user, _, password = base64.b64decode(shown).decode().partition(":")
        plain = f"{unquote_plus(user)}:{unquote_plus(password)}"
        environ["HTTP_AUTHORIZATION"] = "Basic " + base64.b64encode(plain.encode()).decode()


def _serve(server: Server) -> None:
    app = server.app
    spoken = _authlib(server)

    @app.get("/authorize")
    def authorize() -> Any:
        found = spoken.get_consent_grant(end_user="a person")
        return spoken.create_authorization_response(grant_user="a person", grant=found)

    @app.post("/token")
    @app.post("/refresh")
    def token() -> Any:
        given = {**request.form}
        if any(given.get(name) != text for name, text in server.quirks.extra.items()):
            return Response(json.dumps({"error": "invalid_request"}), 400, content_type="application/json")
        answer = spoken.create_token_response()
        return _said(server, answer) if answer.status_code == 200 else answer

    @app.post("/device")
    def device() -> Any:
        return spoken.create_endpoint_response("device_authorization")

    @app.post("/revoke")
    def revoke() -> Any:
        if request.form.get("token_type_hint") == "access_token" and not server.quirks.ends_access:
            body = json.dumps({"error": "unsupported_token_type"})
            return Response(body, 400, content_type="application/json")
        return spoken.create_endpoint_response("revocation")

    @app.delete("/applications/<client_id>/token")
    def end_in_another_way(client_id: str) -> Any:
        shown = request.authorization
        good = shown and (shown.username, shown.password) == (client_id, CLIENT_SECRET) and client_id == CLIENT_ID
        return Response(status=204 if good and _ended(server, (request.json or {}).get("access_token")) else 404)

    @app.post("/auth.revoke")
    def end_with_itself() -> Any:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        said = {"ok": True, "revoked": True} if _ended(server, bearer) else {"ok": False, "error": "invalid_auth"}
        return Response(json.dumps(said), content_type="application/json")

    _serve_the_rest(server, spoken)


def _serve_the_rest(server: Server, spoken: AuthorizationServer) -> None:
    app = server.app

    @app.post("/register")
    def register() -> Any:
        return spoken.create_endpoint_response("client_registration")

    @app.get("/.well-known/oauth-authorization-server")
    def metadata() -> Any:
        return {
            "issuer": server.url,
            "authorization_endpoint": f"{server.url}/authorize",
            "token_endpoint": f"{server.url}/token",
            "revocation_endpoint": f"{server.url}/revoke",
            "registration_endpoint": f"{server.url}/register",
            "device_authorization_endpoint": f"{server.url}/device",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": list(server.quirks.auth_methods),
            **server.metadata,
        }

    @app.get("/.well-known/oauth-protected-resource/mcp")
    def resource() -> Any:
        said = {"resource": f"{server.url}/mcp", "authorization_servers": [server.url]}
        return {**said, **server.resource_metadata}

    @app.route("/api/<path:rest>", methods=["GET", "POST", "PUT"])
    def api(rest: str) -> Any:
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not server.good(bearer):
            return {"error": "invalid_token"}, 401
        return {"login": "a-person", "path": rest, "length": len(request.get_data())}


def _said(server: Server, answer: Response) -> Response:
    """Return a token answer as this provider words it."""
    quirks = server.quirks
    said = {name: text for name, text in answer.get_json().items() if name not in ("token_type", "expires_in")}
    scope = said.pop("scope", "")
    if quirks.says_scopes:
        said["scope"] = scope.replace(" ", quirks.separator)
    said |= {"token_type": quirks.token_type} if quirks.token_type is not None else {}
    said |= {"expires_in": quirks.expires_in} if quirks.expires_in is not None else {}
    return Response(json.dumps(said | dict(quirks.more)), 200, content_type="application/json")


def _ended(server: Server, access_token: str | None) -> bool:
    found = next((each for each in server.issued if each.access_token == access_token and not each.access_ended), None)
    if found is not None:
        found.access_ended = found.refresh_ended = True
    return found is not None


def _application(server: Server, client_id: str) -> _Application | None:
    return server.clients.get(client_id)


def _authlib(server: Server) -> AuthorizationServer:
    def save(token: Mapping[str, Any], asked: Any) -> None:
        before = getattr(asked, "refresh_token", None)
        issued = Issued(
            token["access_token"], token.get("refresh_token"), asked.client.client_id, token.get("scope") or "", before
        )
        if before is not None and issued.refresh_token is None:
            issued.refresh_token = before.refresh_token
        server.issued.append(issued)

    def generate(grant_type: str, client: Any, user: Any = None, scope: Any = None, **more: Any) -> dict[str, Any]:
        del client, user
        made: dict[str, Any] = {"token_type": "Bearer", "access_token": server.secret("access"), "scope": scope or ""}
        renewed = grant_type == "refresh_token" and not server.quirks.rotates
        if more.get("include_refresh_token") is not False and not renewed and "credentials" not in grant_type:
            made["refresh_token"] = server.secret("refresh")
        return made

    class Issuer(IssuerParameter):  # type: ignore[misc]  # Authlib has no types
        @override
        def get_issuer(self) -> str | None:
            return server.quirks.iss

    spoken = AuthorizationServer(server.app, partial(_application, server), save)
    spoken.register_token_generator("default", generate)
    spoken.register_extension(Issuer())
    spoken.register_grant(_coded(server), [CodeChallenge(required=False)])
    for grant in (_renewed(server), _device_grant(server), *_own()):
        spoken.register_grant(grant)
    for endpoint in (_revocation(server), _registration(server), _device_endpoint(server)):
        spoken.register_endpoint(endpoint)
    return spoken


_WAYS = ["client_secret_basic", "client_secret_post", "none"]


def _coded(server: Server) -> type:
    class Coded(grants.AuthorizationCodeGrant):  # type: ignore[misc]  # the same
        TOKEN_ENDPOINT_AUTH_METHODS = _WAYS

        def generate_authorization_code(self) -> str:
            return server.secret("code")

        def save_authorization_code(self, code: str, asked: Any) -> None:
            said = asked.payload.data
            server.codes[code] = _Code(
                code,
                asked.client.client_id,
                asked.payload.redirect_uri,
                asked.scope or "",
                said.get("code_challenge"),
                said.get("code_challenge_method"),
            )

        def query_authorization_code(self, code: str, client: _Application) -> _Code | None:
            found = server.codes.get(code)
            return found if found and found.client_id == client.client_id else None

        def delete_authorization_code(self, authorization_code: _Code) -> None:
            del server.codes[authorization_code.code]

        def authenticate_user(self, authorization_code: _Code) -> str:
            del authorization_code
            return "a person"

    return Coded


def _renewed(server: Server) -> type:
    class Renewed(grants.RefreshTokenGrant):  # type: ignore[misc]  # the same
        TOKEN_ENDPOINT_AUTH_METHODS = _WAYS
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token: str) -> Issued | None:
            found = next((each for each in reversed(server.issued) if each.refresh_token == refresh_token), None)
            if found is not None and found.refresh_ended and server.quirks.reuse_ends_all:
                for each in server.issued:
                    each.access_ended = each.refresh_ended = True
            return found if found and not found.refresh_ended else None

        def authenticate_user(self, refresh_token: Issued) -> str:
            del refresh_token
            return "a person"

        def revoke_old_credential(self, refresh_token: Issued) -> None:
            if not server.quirks.rotates:
                return
            refresh_token.refresh_ended = not server.quirks.grace
            for each in list(refresh_token.family())[1:]:
                each.refresh_ended = True

    return Renewed


def _own() -> Iterator[type]:
    class Own(grants.ClientCredentialsGrant):  # type: ignore[misc]  # the same
        TOKEN_ENDPOINT_AUTH_METHODS = _WAYS

    class OfAccount(Own):
        GRANT_TYPE = "account_credentials"

    yield from (Own, OfAccount)


def _device_grant(server: Server) -> type:
    class Elsewhere(DeviceCodeGrant):  # type: ignore[misc]  # the same
        def query_device_credential(self, device_code: str) -> _Device | None:
            return server.devices.get(device_code)

        def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
            agreed = next((each.agreed for each in server.devices.values() if each.user_code == user_code), None)
            return None if agreed is None else ("a person", agreed)

        def should_slow_down(self, credential: _Device) -> bool:
            del credential
            server.quirks.slow_downs -= 1
            return server.quirks.slow_downs >= 0

    return Elsewhere


def _device_endpoint(server: Server) -> type:
    class Elsewhere(DeviceAuthorizationEndpoint):  # type: ignore[misc]  # the same
        CLIENT_AUTH_METHODS = _WAYS

        @property
        def INTERVAL(self) -> int:  # noqa: N802  Authlib's name
            return server.quirks.interval

        def generate_device_code(self) -> str:
            return server.secret("device")

        def get_verification_uri(self) -> str:
            return f"{server.url}/activate"

        def save_device_credential(self, client_id: str, scope: str, data: Mapping[str, str]) -> None:
            server.devices[data["device_code"]] = _Device(client_id, scope or "", data["user_code"])

    return Elsewhere


def _revocation(server: Server) -> type:
    class Ending(RevocationEndpoint):  # type: ignore[misc]  # the same
        CLIENT_AUTH_METHODS = _WAYS

        def query_token(self, token_string: str, token_type_hint: str | None) -> Issued | None:
            del token_type_hint
            return next((e for e in server.issued if token_string in (e.access_token, e.refresh_token)), None)

        def revoke_token(self, token: Issued, asked: Any) -> None:
            token.access_ended = True
            if asked.form["token"] == token.refresh_token:
                token.refresh_ended = True

    return Ending


def _registration(server: Server) -> type:
    class Registering(ClientRegistrationEndpoint):  # type: ignore[misc]  # the same
        def authenticate_token(self, asked: Any) -> str:
            del asked
            return "anybody"

        def get_server_metadata(self) -> dict[str, Any]:
            return {}

        def generate_client_id(self, asked: Any) -> str:
            del asked
            return f"registered-{next(server.numbers)}"

        def generate_client_secret(self, asked: Any) -> str:
            del asked
            return server.secret("registered")

        def save_client(self, info: Mapping[str, Any], metadata: Mapping[str, Any], asked: Any) -> _Application:
            del asked
            uris = tuple(metadata["redirect_uris"])
            server.clients[info["client_id"]] = _Application(info["client_id"], info["client_secret"], server, uris)
            return server.clients[info["client_id"]]

    return Registering
