"""A token endpoint over TLS that does what it is told, what asks it, and a provider of the two.

It is as strict as the strictest there are: a refresh token is good once, and the second use of one ends them all, but
for the time of grace that a test grants. What the program itself speaks with is `tests/test_oauth_*.py`'s.
"""

import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import trustme

from authsome.manifest import Declared
from authsome.oauth import Client, DeniedError, Tokens, UnavailableError
from authsome.oauth.kept import client_fields, kept
from authsome.provider import CLIENT, Host, Provider, resolve
from authsome.provider.definition import Definition, OAuthDefinition
from authsome.renewal import Renewal
from authsome.vault import Grant, Vault

ACCESS, REFRESH = "CANARY-access-0", "CANARY-refresh-0"
SECRET = "CANARY-client-secret"
LIFE = 3600.0

type Answer = tuple[int, Mapping[str, Any] | bytes]


class Endpoint(ThreadingHTTPServer):
    """Gives new tokens for old ones; `answers` come first, one a request.

    Attributes:
        asked: The refresh token of each request.
        grace: How often the token before the newest may be used.
        ended: Whether a token was used twice.
        held: Every request waits for it before its answer leaves.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        authority = trustme.CA()
        self.roots = folder / "roots.pem"
        authority.cert_pem.write_to_path(str(self.roots))
        settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(settings)
        self.socket = settings.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.asked: list[str] = []
        self.good = [REFRESH]
        self.grace, self.ended = 0, False
        self.held = threading.Event()
        self.held.set()
        self.answers: list[Answer] = []
        self.expires_in: object = LIFE
        self._turn = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def answer(self, form: Mapping[str, str]) -> Answer:
        with self._turn:
            token = form["refresh_token"]
            self.asked.append(token)
            if form.get("client_secret") != SECRET:
                return 401, {"error": "invalid_client"}
            if self.answers:
                return self.answers.pop(0)
            if token == self.good[-1] and not self.ended:
                self.good.append(f"CANARY-refresh-{len(self.good)}")
            elif token in self.good[-2:] and self.grace > 0:
                self.grace -= 1
            else:
                self.ended = True  # RFC 9700, 4.14.2
            return self._granted() if not self.ended else (400, {"error": "invalid_grant"})

    def _granted(self) -> Answer:
        said: dict[str, object] = {
            "access_token": f"CANARY-access-{len(self.good) - 1}",
            "refresh_token": self.good[-1],
            "token_type": "bearer",
        }
        return 200, said if self.expires_in is None else {**said, "expires_in": self.expires_in}


class _Asked(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        octets = self.rfile.read(int(self.headers["Content-Length"]))
        status, said = self.server.answer({name: texts[0] for name, texts in parse_qs(octets.decode()).items()})
        self.server.held.wait(30)
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def speak(roots: Path) -> Callable[[Provider, Client, Grant, Mapping[str, str]], Tokens]:
    """Return what asks the endpoint, in few words."""

    def talk(provider: Provider, client: Client, grant: Grant, fields: Mapping[str, str]) -> Tokens:
        del grant
        assert provider.oauth is not None
        form = {"grant_type": "refresh_token", "refresh_token": fields["refresh_token"], "client_id": client.client_id}
        form |= {"client_secret": client.client_secret} if client.client_secret else {}
        settings = ssl.create_default_context(cafile=str(roots))
        try:
            url = provider.oauth.asks.token_url or ""
            with urllib.request.urlopen(url, urlencode(form).encode(), 20, context=settings) as answer:  # noqa: S310
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise UnavailableError("the provider is not there") from None
            raise DeniedError(str(json.load(error)["error"]), "the provider says no") from None
        return Tokens(said["access_token"], said.get("refresh_token"), said.get("expires_in"))

    return talk


DEFINITION = {
    "name": "acme",
    "host_url": "https://api.acme.example",
    "auth_type": "oauth2",
    "flow": "pkce",
    "oauth": {"authorization_url": "https://page.acme.example/authorize", "token_url": "https://localhost:1/token"},
}
"""The provider of `provider_at(1)`."""


def provider_at(port: int, api: str = "api.acme.example", endpoint: str = "localhost") -> Provider:
    """Return `acme`, whose tokens come from an endpoint and go to an API."""
    asks = OAuthDefinition(
        authorization_url="https://page.acme.example/authorize", token_url=f"https://{endpoint}:{port}/token"
    )
    return resolve(
        Definition("acme", f"https://{api}", auth_type="oauth2", flow="pkce", oauth=asks, private_addresses=True)
    )


@dataclass
class Clock:
    """Time that stands still."""

    now: float = field(default_factory=lambda: float(int(time.time())))
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


APPLICATION = Client("acme-cli", SECRET)


def hold(
    vault: Vault,
    provider: Provider,
    now: float,
    tokens: Tokens | None = None,
    client: Client = APPLICATION,
    **grant: Any,
) -> Declared:
    """Store an application and tokens, as a login does."""
    assert provider.oauth is not None
    hosts = sorted(provider.oauth.token_hosts)
    of_application = replace(provider, hosts=tuple(Host.parse(name) for name in hosts), fields=())
    vault.own.write(of_application, CLIENT, client_fields(client), now)
    made = tokens or Tokens(ACCESS, REFRESH, LIFE)
    fields, known = kept(made, None, flow="pkce", hosts=hosts, asked=("read",), now=now)
    vault.write(provider, "default", fields, now, grant=replace(known, client_id=client.client_id, **grant))
    return Declared(provider)


def renew_beside(home: str, port: int, roots: str, at: float, ready: str, out: str) -> None:
    """Renew as one of several processes, which begin together."""
    renewal = Renewal(Vault(Path(home), "default", {}), speak(Path(roots)), clock=lambda: at)
    Path(f"{out}.ready").touch()
    while not Path(ready).exists():
        time.sleep(0.005)
    entry = renewal.fresh(Declared(provider_at(port)))
    Path(out).write_text(entry.fields["access_token"].removeprefix("CANARY-"))
