"""How this machine reaches the outside: the roots its user trusts, and the proxy its user must go through.

Promises that the system's roots, every root that a variable of the parent names, and the parent's proxy hold for what
leaves. Refuses to trust more because an agent is running: the run's own authority is never among these roots.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from authsome.errors import AuthsomeError

TRUST_FILE_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "DENO_CERT",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "HTTPLIB2_CA_CERTS",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "NIX_SSL_CERT_FILE",
    "CODEX_CA_CERTIFICATE",
    "BUNDLE_SSL_CA_CERT",
    "COMPOSER_CAFILE",
    "HEX_CACERTS_PATH",
    "PERL_LWP_SSL_CA_FILE",
    "npm_config_cafile",
    "NPM_CONFIG_CAFILE",
    "YARN_HTTPS_CA_FILE_PATH",
)
"""Every variable that names a file of roots for some runtime; all of them are the user's word on whom to trust."""

_SYSTEM_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ParentProxy:
    """The HTTP proxy that the user's environment names; `userinfo` is `user:password` or empty."""

    scheme: str
    address: tuple[str, int]
    userinfo: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Roots (PEM) and the parent's proxy with the hosts that go around it.

    Attributes:
        everything_at: The one address that is connected, whatever host is asked for, in a run that uses no network;
            None where a host's name says.
    """

    roots: str = field(repr=False)
    proxy: ParentProxy | None = None
    no_proxy: tuple[str, ...] = ()
    everything_at: tuple[str, int] | None = None

    def proxy_for(self, host: str) -> ParentProxy | None:
        """Return the proxy towards a host, None for straight."""
        return None if self.proxy is None or bypasses(self.no_proxy, host) else self.proxy


def read(environ: Mapping[str, str]) -> Upstream:
    """Return what the parent's environment says; a proxy that cannot be used is an error before anything starts."""
    chosen = next((environ[name] for name in _PROXY_VARIABLES if environ.get(name)), "")
    return Upstream(trusted(environ), _parse_proxy(chosen) if chosen else None, no_proxy_list(environ))


_PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def no_proxy_list(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the entries of `NO_PROXY`, lower case."""
    given = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    return tuple(given.replace(",", " ").lower().split())


def bypasses(entries: tuple[str, ...], host: str) -> bool:
    """Return whether a host is exempt, as curl decides it: a name exempts itself and everything below it."""
    host = host.lower()
    names = [entry.removeprefix("*").lstrip(".") for entry in entries]
    return "*" in entries or any(host == name or host.endswith("." + name) for name in names if name)


def _parse_proxy(text: str) -> ParentProxy:
    url = urlsplit(text if "://" in text else f"http://{text}")
    try:
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        port = 0
    if url.scheme not in ("http", "https") or not url.hostname or not port:
        raise AuthsomeError(
            "the proxy that HTTPS_PROXY names cannot be used",
            hint="authsome speaks to proxies of the form http://[user:password@]host:port",
        )
    userinfo = f"{unquote(url.username or '')}:{unquote(url.password or '')}" if url.username else ""
    return ParentProxy(url.scheme, (url.hostname, port), userinfo)


def trusted(environ: Mapping[str, str]) -> str:
    """Return every root the parent trusts once, in the order found (PEM)."""
    files = [path for name in TRUST_FILE_VARIABLES if (path := environ.get(name))]
    system = _system_roots()
    # The system's own folder holds the system's roots once more, a file and a link for each.
    known = {Path(path).parent for path in system}
    folders = [Path(folder) for folder in environ.get("SSL_CERT_DIR", "").split(":") if folder]
    listed = (str(path) for folder in folders if folder not in known for path in sorted(folder.glob("*")))
    texts = {path: _read(path) for path in dict.fromkeys([*system, *files, *listed])}
    seen = dict.fromkeys(found for text in texts.values() for found in _CERTIFICATE.findall(text))
    return "\n".join(seen) + "\n"


def _system_roots() -> list[str]:
    found = next((path for path in _SYSTEM_ROOTS if Path(path).is_file()), None)
    if found:
        return [found]
    import certifi  # noqa: PLC0415  only where the system keeps its roots elsewhere

    return [certifi.where()]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="latin-1")
    except OSError:
        return ""  # a variable that names no file trusts nobody, as in OpenSSL
