"""A real certified authorization server on loopback, and a visitor who signs in to it and agrees.

The server is panva's oidc-provider, as `tests/oidc/package-lock.json` pins it. What a person does on its pages, a
visitor does by following their forms; Chromium may do it as well.
"""

import contextlib
import json
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

import httpx
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authsome.provider import Catalogue, Provider

HERE = Path(__file__).parent / "oidc"
CALLBACK = "http://127.0.0.1:7998/callback"
CANARY_SECRET = "CANARY-basic+/%:&=secret-0123456789"
"""Has what only the encoding of RFC 6749, 2.3.1, carries through a header."""
_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_GRANTS = ("authorization_code", "refresh_token", _DEVICE)
_KEEPS_UP = "process.exit(URL.parse && require('node:crypto').hash ? 0 : 1)"


@dataclass(frozen=True)
class Application:
    """What the server knows beforehand."""

    client_id: str
    auth_method: str
    secret: str | None = field(default=None, repr=False)

    def metadata(self) -> dict[str, Any]:
        """Return it as RFC 7591 has it; one without a secret is native, which may use every port of loopback."""
        public = self.secret is None
        said: dict[str, Any] = {
            "client_id": self.client_id,
            "client_name": "Acme agents",
            "token_endpoint_auth_method": self.auth_method,
            "application_type": "native" if public else "web",
            "redirect_uris": ["http://127.0.0.1/callback" if public else CALLBACK],
            "grant_types": [*_GRANTS, *(() if public else ("client_credentials",))],
        }
        return said | ({} if public else {"client_secret": self.secret})


PUBLIC = Application("acme-public", "none")
BASIC = Application("acme-basic", "client_secret_basic", CANARY_SECRET)
POST = Application("acme-post", "client_secret_post", "CANARY-post+/%:&=secret-0123456789")


@dataclass(frozen=True)
class Call:
    """One request for a token, as it ended."""

    grant: str | None
    client: str | None
    status: int
    error: str | None


class Certified:
    """The server while it runs."""

    def __init__(self, node: str, folder: Path) -> None:
        self.roots, certificate, key = folder / "roots.pem", folder / "server.pem", folder / "key.pem"
        authority = trustme.CA()
        shown = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(str(self.roots))
        shown.private_key_pem.write_to_path(str(key))
        for part in shown.cert_chain_pems:
            part.write_to_path(str(certificate), append=True)
        self.flag = f"ignore-certificate-errors-spki-list={_spki(shown.cert_chain_pems[0].bytes())}"
        """With which Chromium takes this one certificate."""
        clients = folder / "clients.json"
        clients.write_text(json.dumps([each.metadata() for each in (PUBLIC, BASIC, POST)]))
        files = [f"--certificate={certificate}", f"--key={key}", f"--clients={clients}"]
        self._log = folder / "stderr"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [node, HERE / "server.mjs", *files],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._lock = threading.Lock()
        self.issuer: str = self._read()["issuer"]
        self.port = int(self.issuer.rpartition(":")[2])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the server has ended, and {self._log} says why"
        said: dict[str, Any] = json.loads(line)
        return said

    def _ask(self, act: str, **more: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(json.dumps({"act": act, **more}) + "\n")
            self._process.stdin.flush()
            return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    # What a test asks of it.

    def forget(self) -> None:
        """Be as new: no tokens, grants, sessions or registered applications, and nothing counted."""
        self._ask("reset")

    def settle(self, **to: Any) -> None:
        """Change `access`, `refresh`, `code`, `device` (seconds that each holds), `interval`, `rotates` or `slow`."""
        self._ask("set", to=to)

    def expire(self, model: str = "AccessToken") -> None:
        """Let all `AccessToken`s, `RefreshToken`s or `DeviceCode`s have ended a minute ago."""
        self._ask("expire", model=model)

    def withdraw(self) -> None:
        """Take back what all persons have agreed to, with all tokens."""
        self._ask("revoke")

    def knows(self, token: str) -> bool:
        """Whether a token, of either kind, would still be taken."""
        return bool(self._ask("alive", value=token)["alive"])

    def calls(self, grant: str | None = None) -> list[Call]:
        """Return the requests for tokens, those of one grant type if asked for."""
        calls = [Call(**each) for each in self._ask("calls")["token"]]
        return [each for each in calls if grant in (None, each.grant)]

    def uses(self) -> list[tuple[str, str, int]]:
        """Return method, path and status of each request to `/api/...` and `/mcp`."""
        return [(each["method"], each["path"], each["status"]) for each in self._ask("calls")["api"]]

    # What others know of it.

    def definition(self, name: str = "certified", *, by: str = "endpoints", **more: Any) -> dict[str, Any]:
        """Return a provider's definition for it.

        Args:
            by: `endpoints` for every address, or `issuer` for what leads to them.
            more: Further keys of `oauth`; `flow`, `host_url`, `client` and `fields` are of the definition itself.
        """
        top: dict[str, Any] = {key: more.pop(key) for key in ("flow", "host_url", "client", "fields") if key in more}
        found = {
            "authorization_url": f"{self.issuer}/auth",
            "token_url": f"{self.issuer}/token",
            "revocation_url": f"{self.issuer}/token/revocation",
            "device_authorization_url": f"{self.issuer}/device/auth",
            "registration_endpoint": f"{self.issuer}/reg",
        }
        asks = {"issuer": self.issuer, "scopes": ["openid", "read"], **(found if by == "endpoints" else {}), **more}
        return {
            "name": name,
            "display_name": name.title(),
            "auth_type": "oauth2",
            "flow": "pkce",
            "host_url": self.issuer,
            "private_addresses": True,
            "test": {"url": f"{self.issuer}/api/me", "identity": "/login"},
            "export": {"env": {"access_token": f"{name.upper()}_TOKEN"}},
            "oauth": asks,
            **top,
        }

    def provider(self, home: Path, name: str = "certified", **more: Any) -> Provider:
        """Return it as the catalogue of a home that has this definition; see `definition`."""
        folder = home / "providers"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(self.definition(name, **more)))
        return Catalogue(home).get(name).filled({})

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.roots))

    @contextlib.contextmanager
    def visitor(self, name: str = "ada") -> "Iterator[Visitor]":
        with httpx.Client(verify=self.trust(), trust_env=False, timeout=20) as web:
            yield Visitor(web, name)


def _spki(certificate: bytes) -> str:
    """Return what Chromium knows a single certificate by."""
    key = x509.load_pem_x509_certificate(certificate).public_key()
    return b64encode(sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()).decode()


def keeps_up(node: str) -> bool:
    """Whether a Node has what the server uses (20.19, 22.1 and later do)."""
    return subprocess.run([node, "-e", _KEEPS_UP], check=False, capture_output=True, timeout=30).returncode == 0


class _Forms(HTMLParser):
    """The forms of a page: where each goes, its fields as they stand, and the text besides."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fields: list[tuple[str, str]] = []
        self.action: str | None = None
        self.there = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.there, self.action = True, given.get("action")
        elif tag == "input" and (name := given.get("name")) and (given.get("type") != "checkbox" or "checked" in given):
            self.fields.append((name, given.get("value") or ""))


class Visitor:
    """A person with a browser of few words: no scripts, and cookies for as long as a test lasts."""

    def __init__(self, web: httpx.Client, name: str) -> None:
        self._web, self.name = web, name
        self.shown = ""

    def agrees(self, url: str, scopes: Iterable[str] | None = None) -> str:
        """Sign in and allow what is asked for, or these scopes of it; return where the server leads back to."""
        return self._goes(url, lambda fields: self._allows(fields, scopes))

    def refuses(self, url: str) -> str:
        """Sign in and deny; return where the server leads back to."""
        return self._goes(url, lambda _: [("act", "deny")])

    def connects(self, url: str, user_code: str, scopes: Iterable[str] | None = None) -> str:
        """Type a device's code, say that it is one's own, and allow; return the last page's text."""
        return self._goes(url, lambda fields: self._types(fields, user_code) or self._allows(fields, scopes))

    def rejects(self, url: str, user_code: str) -> str:
        """Type a device's code, and say that it is none of one's own."""

        def answer(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
            typed = self._types(fields, user_code) or fields
            return [*typed, ("abort", "yes")] if ("confirm", "yes") in typed else typed

        return self._goes(url, answer)

    def _types(self, fields: list[tuple[str, str]], user_code: str) -> list[tuple[str, str]]:
        names = dict(fields)
        if "xsrf" not in names:
            return []
        return [(name, user_code if name == "user_code" else value) for name, value in fields]

    def _allows(self, fields: list[tuple[str, str]], scopes: Iterable[str] | None) -> list[tuple[str, str]]:
        if "login" in dict(fields):
            return [("login", self.name), ("act", "login")]
        wanted = None if scopes is None else set(scopes)
        kept = [pair for pair in fields if wanted is None or pair[0] != "scope" or pair[1] in wanted]
        return [*kept, ("act", "allow")]

    def _goes(self, url: str, answer: Callable[[list[tuple[str, str]]], list[tuple[str, str]]]) -> str:
        reply = self._web.get(url)
        for _ in range(20):
            self.shown = reply.text
            if reply.is_redirect:
                to = urljoin(str(reply.url), reply.headers["location"])
                if not to.startswith("https://"):
                    return to
                reply = self._web.get(to)
                continue
            page = _Forms(reply.text)
            if not page.there or 'id="wrong"' in reply.text:
                return reply.text
            to = urljoin(str(reply.url), page.action or "")
            body = urlencode(answer(page.fields)).encode()
            reply = self._web.post(to, content=body, headers={"content-type": "application/x-www-form-urlencoded"})
        raise AssertionError(f"the pages lead nowhere:\n{self.shown}")
