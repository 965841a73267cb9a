"""An application that registers itself (RFC 7591).

Promises that nothing secret is sent to register, and that what comes back is an application that can be used: an id of
printable characters, and a secret only where the provider says that it is shown.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import Client, UnavailableError
from authsome.oauth.answers import Answer, checked
from authsome.oauth.conversation import session, where
from authsome.provider import OAuthDefinition
from authsome.web import OutsideError, httpx

NAME = "authsome"
"""What a person reads on the provider's page."""

_METHODS = ("none", "client_secret_basic", "client_secret_post")
_MOST = 2048
_END_OF_TIME = 1e11


def register(
    asks: OAuthDefinition,
    redirect_uri: str,
    scopes: Collection[str],
    transport: httpx.BaseTransport,
    *,
    methods: Collection[str] = (),
    now: float,
) -> Client:
    """Return an application for this machine.

    Args:
        redirect_uri: Where people are sent back to; the application is known by it.
        methods: How the provider lets applications show who they are, where it says so.
        now: Seconds since 1970.

    Raises `DeniedError` where the provider registers nobody, `UnavailableError` where it may do so later.
    """
    if asks.registration_endpoint is None:
        raise AuthsomeError("the provider registers no applications by themselves", code=ExitCode.USAGE)
    wanted = {
        "client_name": NAME,
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": _method(asks, methods),
        **({"scope": asks.scope_separator.join(scopes)} if scopes else {}),
    }
    try:
        response = session(transport).post(
            asks.registration_endpoint,
            content=json.dumps(wanted),
            headers={"Accept": "application/json", "Content-Type": "application/json"},
        )
    except OutsideError as error:
        raise UnavailableError(str(error)) from error
    except httpx.RequestError as error:
        raise UnavailableError(f"{where(error.request.url)} could not be reached") from error
    headers = {name.lower(): text for name, text in response.headers.items()}
    answer = Answer(where(response.request.url), response.status_code, headers, response.content, (), now)
    return _client(checked(answer), str(wanted["token_endpoint_auth_method"]), redirect_uri, answer.host)


def _method(asks: OAuthDefinition, offered: Collection[str]) -> str:
    """Return how the application is to show who it is; a secret that lies on this machine's disk adds little."""
    liked = [way for way in _METHODS if way in asks.auth_methods] or list(_METHODS)
    return next((way for way in liked if way in offered), next((way for way in _METHODS if way in offered), liked[0]))


def _client(said: Mapping[str, Any], wanted: str, redirect_uri: str, host: str) -> Client:
    client_id, secret = said.get("client_id"), said.get("client_secret")
    if not _usable(client_id) or not (secret is None or _usable(secret)):
        raise UnavailableError(f"{host} registered an application without an id that can be used")
    # One that gives a secret and says nothing of it wants to see it, in the way of the definition.
    method = said.get("token_endpoint_auth_method", wanted if secret is None else None)
    if method not in (None, *_METHODS):
        raise UnavailableError(f"{host} registered an application that shows itself in a way authsome does not know")
    if secret is None or method == "none":
        return Client(str(client_id), None, redirect_uri, "none")
    until = said.get("client_secret_expires_at")
    ends = isinstance(until, int | float) and not isinstance(until, bool) and 0 < until < _END_OF_TIME
    return Client(str(client_id), secret, redirect_uri, method, float(until or 0) if ends else None)


def _usable(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= _MOST and text.isascii() and text.isprintable()
