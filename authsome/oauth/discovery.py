"""Where an authorization server keeps its endpoints, found out where a definition does not say (RFC 8414, 9728).

Promises that metadata can add a path and no place: every endpoint that is taken from it is https, and on a host that
the definition names. Refuses, with the reason and the line to write, metadata of somebody else (an `issuer` that is not
the one asked), and a server that does not bind a code to its login (S256). Nothing secret is sent.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import authsome
from authsome.errors import AuthsomeError, ExitCode, clean
from authsome.oauth import UnavailableError
from authsome.provider import Host, OAuth, OAuthDefinition
from authsome.web import OutsideError, httpx

_NAMES = {
    "authorization_endpoint": "authorization_url",
    "token_endpoint": "token_url",
    "revocation_endpoint": "revocation_url",
    "device_authorization_endpoint": "device_authorization_url",
    "registration_endpoint": "registration_endpoint",
}
"""Metadata and keys of a definition (RFC 8414, 2; RFC 8628, 4)."""

_METADATA = "oauth-authorization-server"
_OPENID = "openid-configuration"
_RESOURCE = "oauth-protected-resource"
_MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself besides its endpoints.

    Attributes:
        issuer_said: Whether it says who it is when it sends a person back (RFC 9207, 3).
        auth_methods: How applications may show who they are; empty if nothing is said.
    """

    issuer_said: bool = False
    auth_methods: tuple[str, ...] = ()


def known(oauth: OAuth, transport: httpx.BaseTransport, *needed: str) -> tuple[OAuthDefinition, Server]:
    """Return the addresses of a provider, those that its definition leaves out found at its issuer.

    Args:
        needed: Keys without which nothing goes, besides `token_url`.
    """
    asks = oauth.asks
    if (asks.issuer is None and asks.resource is None) or all(getattr(asks, each) for each in ("token_url", *needed)):
        return asks, Server()
    issuer = asks.issuer if asks.issuer is not None else _of_resource(asks, oauth, transport)
    found = _metadata(issuer, transport)
    if found.get("issuer") != issuer:
        said = _shown(found.get("issuer"))
        raise _refused(f"the server at {issuer} calls itself {said} (RFC 8414, 3.3)", f'"issuer": "{said}"')
    methods = found.get("code_challenge_methods_supported")
    if asks.pkce and "authorization_url" in needed and not (isinstance(methods, list) and "S256" in methods):
        raise _refused(f"{issuer} does not bind a code to its login with S256 (RFC 7636)", '"pkce": null')
    allowed = _allowed(asks, oauth)
    change: dict[str, Any] = {}
    for name, key in _NAMES.items():
        if getattr(asks, key) is None and found.get(name) is not None and not (asks.revocation and "revocation" in key):
            try:
                change[key] = _endpoint(name, found[name], key, allowed)
            except AuthsomeError:
                # What nobody needs now is left out: to make it usable is no reason to trust one more host.
                if key == "token_url" or key in needed:
                    raise
    shown = found.get("token_endpoint_auth_methods_supported")
    ways = tuple(each for each in shown if isinstance(each, str)) if isinstance(shown, list) else ()
    made = replace(asks, issuer=issuer, **change)
    if missing := next((each for each in ("token_url", *needed) if getattr(made, each) is None), None):
        raise _refused(f"{issuer} does not say its `{missing}`", f'"{missing}": "https://…"')
    return made, Server(found.get("authorization_response_iss_parameter_supported") is True, ways)


def _allowed(asks: OAuthDefinition, oauth: OAuth) -> frozenset[str]:
    """Return the hosts that a definition names for what is secret, as a person agrees to them.

    NOTE: the page on which a person agrees is none of them: it gets neither codes nor tokens.
    """
    return oauth.token_hosts | ({_host(asks.issuer)} if asks.issuer is not None else set())


def _of_resource(asks: OAuthDefinition, oauth: OAuth, transport: httpx.BaseTransport) -> str:
    """Return the authorization server that a resource names first (RFC 9728, 3)."""
    resource = asks.resource or ""
    found = next(filter(None, (_object(url, transport) for url in _well_known(resource, _RESOURCE))), None)
    if found is None:
        raise UnavailableError(f"{_host(resource)} says nothing of where its tokens come from (RFC 9728)")
    if found.get("resource") != resource:
        said = _shown(found.get("resource"))
        raise _refused(f"what {resource} says is about {said} (RFC 9728, 3.3)", f'"resource": "{said}"')
    servers = found.get("authorization_servers")
    if not isinstance(servers, list) or not servers:
        raise _refused(f"{resource} names no authorization server", '"issuer": "https://…"')
    return _endpoint("authorization_servers", servers[0], "issuer", _allowed(asks, oauth))


def _metadata(issuer: str, transport: httpx.BaseTransport) -> Mapping[str, Any]:
    """Return what a server says of itself: RFC 8414, 3.1, else where OpenID Connect keeps it."""
    places = [*_well_known(issuer, _METADATA), f"{issuer.rstrip('/')}/.well-known/{_OPENID}"]
    places += _well_known(issuer, _OPENID)
    found = next(filter(None, (_object(url, transport) for url in dict.fromkeys(places))), None)
    if found is None:
        raise UnavailableError(f"{_host(issuer)} says nothing of its endpoints (RFC 8414)")
    return found


def _well_known(url: str, name: str) -> Iterator[str]:
    """Yield where metadata of an address is: the name stands between host and path."""
    parts = urlsplit(url)
    yield f"https://{parts.netloc}/.well-known/{name}{parts.path.rstrip('/')}"


def _object(url: str, transport: httpx.BaseTransport) -> Mapping[str, Any] | None:
    """Return what is there, None if nothing is."""
    headers = {"Accept": "application/json", "User-Agent": f"authsome/{authsome.__version__}"}
    host = _host(url)
    try:
        request = httpx.Request("GET", url, headers={**headers, "Accept-Encoding": "identity"})
        response = transport.handle_request(request)
        try:
            body = b"".join(response.stream) if isinstance(response.stream, httpx.SyncByteStream) else b""
        finally:
            response.close()
    except OutsideError as error:
        raise UnavailableError(str(error)) from error
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise UnavailableError(f"{host} could not be reached") from error
    if response.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.METHOD_NOT_ALLOWED):
        return None
    if response.status_code != HTTPStatus.OK:
        more = ": a redirect, which is not followed" if 300 <= response.status_code < 400 else ""  # noqa: PLR2004
        raise UnavailableError(f"{host} answered {response.status_code} for its metadata{more}")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _endpoint(name: str, url: object, key: str, allowed: frozenset[str]) -> str:
    """Return an address that metadata names; raise where it is not one that the definition allows."""
    said = _shown(url)
    line = f'"{key}": "{said}"'
    if not isinstance(url, str) or not url.startswith("https://") or said != url or "#" in url or "\\" in url:
        raise _refused(f"`{name}` is {said}, and no address with https", line.replace("http://", "https://"))
    try:
        host = str(Host.parse(urlsplit(url).netloc))
    except ValueError as error:
        raise _refused(f"`{name}` is {said}, and its host is none", line) from error
    if host not in allowed:
        raise _refused(f"`{name}` is {said}, and the definition does not name {host}", line)
    return url


def _refused(what: str, line: str) -> AuthsomeError:
    return AuthsomeError(
        f"the provider's metadata is not followed: {what}",
        hint=f"if the provider's documentation says the same, write {line} into `oauth` of its definition",
        code=ExitCode.REFUSED,
    )


def _host(url: str) -> str:
    return urlsplit(url).netloc.lower()


def _shown(said: object) -> str:
    text = clean(said if isinstance(said, str) else "nothing")
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
