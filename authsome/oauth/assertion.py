"""Tokens for what is signed with a key: of a service account (RFC 7523, 2.1), of a GitHub App's installation.

Promises that the key itself is sent to nobody, that what is signed holds for minutes and for one endpoint, and that a
clock which is wrong by more than that is told from a key that is: what a provider refuses is signed once more with the
time of its own answer. Refuses redirects, and repeats nothing of what was sent.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import Client, DeniedError, Tokens, UnavailableError, keys
from authsome.oauth.answers import Answer, checked, described, tokens
from authsome.oauth.asked import client_given
from authsome.oauth.conversation import session
from authsome.provider import SLOT, OAuth, OAuthDefinition
from authsome.vault import Grant
from authsome.web import OutsideError, httpx

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
BEFORE, AFTER = 60, 540
"""For how many seconds before and after now something signed holds: together the ten minutes that GitHub allows."""
SKEW = 45.0
"""Seconds by which a clock may differ before a refusal is taken for its fault."""

LEVELS = ("read", "write", "admin")
"""What may stand behind the colon of a permission of an installation, as in `contents:read`."""

_WORDS = {
    HTTPStatus.UNAUTHORIZED: ("bad_credentials", "it does not take what the key has signed"),
    HTTPStatus.FORBIDDEN: ("forbidden", "the installation may be suspended"),
    HTTPStatus.NOT_FOUND: ("no_such_installation", "the application is not installed there"),
    HTTPStatus.UNPROCESSABLE_ENTITY: ("permissions_not_granted", "the installation may do less than is asked for"),
}
"""What a refusal is called and what it means, as GitHub's have no word."""


def fetched(
    asks: OAuthDefinition,
    flow: str,
    client: Client,
    scopes: Collection[str],
    transport: httpx.BaseTransport,
    *,
    clock: Callable[[], float] = time.time,
) -> Tokens:
    """Return a token for what is signed now with the key in `client.more`.

    Args:
        asks: With all settings in it.
        scopes: What is asked for; of an installation, its permissions (see `LEVELS`), others do not count.
        clock: Seconds since 1970.

    Raises `DeniedError` and `UnavailableError`, and `AuthsomeError` (exit code 2) for a key that is none.
    """
    ask, hear = (_of_installation, _of_this) if flow == "app_installation" else (_of_account, tokens)
    answer = ask(asks, client, scopes, transport, clock())
    try:
        return hear(answer)
    except DeniedError as error:
        off = _off(answer)
        if abs(off) <= SKEW:
            raise
        # NOTE: its time is believed no further than that a second signature, for the same endpoint, says it.
        answer = ask(asks, client, scopes, transport, clock() + off)
        try:
            return hear(answer)
        except DeniedError:
            minutes = max(1, round(abs(off) / 60))
            way = "behind" if off > 0 else "ahead of"
            hint = f"the clock of this machine is {minutes} min {way} the provider's: see if that is why"
            raise DeniedError(error.error, error.message, hint=hint) from error


def again(
    oauth: OAuth,
    grant: Grant,
    fields: Mapping[str, str],
    transport: httpx.BaseTransport,
    *,
    clock: Callable[[], float] = time.time,
) -> Tokens:
    """Return a new token for a connection that keeps the key that its tokens are signed for with.

    Args:
        fields: Those of the connection, secret.

    Raises as `fetched`; `DeniedError` also where the connection has no such key.
    """
    try:
        client = client_given(oauth, grant.flow, fields, None, {})
    except AuthsomeError as error:
        raise DeniedError("no_key", f"there is nothing to sign with any more: {error.message}") from error
    return fetched(oauth.asks, grant.flow, client, grant.asked, transport, clock=clock)


def _off(answer: Answer) -> float:
    """Return by how many seconds the provider's clock is ahead; 0 where it does not say."""
    try:
        at = parsedate_to_datetime(answer.headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - answer.now


def _of_account(
    asks: OAuthDefinition, client: Client, scopes: Collection[str], transport: httpx.BaseTransport, now: float
) -> Answer:
    how, url = asks.jwt_bearer, asks.token_url
    if how is None or url is None:
        raise AuthsomeError("the provider gives a service account no token for its key", code=ExitCode.USAGE)
    account = keys.service_account(client.more.get("service_account", ""), url)
    said = {"iss": account.email, "aud": how.audience or url}
    if how.subject and (subject := client.more.get("subject")):
        said["sub"] = subject
    form = {"grant_type": GRANT, **asks.token_parameters}
    if scopes:
        (said if how.scopes_in == "assertion" else form)["scope"] = asks.scope_separator.join(scopes)
    form["assertion"] = keys.signed(_held(said, now), account.key, key_id=account.key_id)
    return _asked(transport, url, (form["assertion"], account.key), now, form=form)


def _of_installation(
    asks: OAuthDefinition, client: Client, scopes: Collection[str], transport: httpx.BaseTransport, now: float
) -> Answer:
    how = asks.app_installation
    if how is None:
        raise AuthsomeError("the provider gives the installation of an application no token", code=ExitCode.USAGE)
    given = {"app_id": "", "installation_id": "", "private_key": "", **client.more}
    shown = keys.signed(_held({"iss": given["app_id"]}, now), given["private_key"])
    url = SLOT.sub(lambda slot: given["installation_id"] if slot[1] == "installation_id" else slot[0], how.url)
    wanted = {name: level for name, _, level in (each.partition(":") for each in scopes) if level in LEVELS}
    said = {"permissions": wanted} if wanted else None
    hidden = (shown, given["private_key"])
    return _asked(transport, url, hidden, now, said=said, authorization=f"Bearer {shown}")


def _held(said: Mapping[str, str], now: float) -> dict[str, Any]:
    """Return what is signed, with for how long it holds (RFC 7519, 4.1.4 and 4.1.6)."""
    return {**said, "iat": int(now) - BEFORE, "exp": int(now) + AFTER}


def _asked(
    transport: httpx.BaseTransport,
    url: str,
    hidden: Collection[str],
    now: float,
    *,
    form: Mapping[str, str] | None = None,
    said: Mapping[str, Any] | None = None,
    authorization: str | None = None,
) -> Answer:
    spoken = session(transport)
    headers = {"Accept": "application/json", **({"Authorization": authorization} if authorization else {})}
    host = urlsplit(url).netloc
    try:
        response = spoken.send(spoken.build_request("POST", url, data=form, json=said, headers=headers))
    except OutsideError as error:
        raise UnavailableError(str(error)) from error
    except (httpx.RequestError, httpx.InvalidURL) as error:
        raise UnavailableError(f"{host} could not be reached") from error
    given = {name.lower(): value for name, value in response.headers.items()}
    return Answer(host, response.status_code, given, response.content, tuple(hidden), now)


def _of_this(answer: Answer) -> Tokens:
    """Return the token of an answer that is GitHub's own: no standard says how it looks."""
    _check(answer)
    said = checked(answer)
    permissions = said.get("permissions")
    granted = (
        tuple(f"{name}:{level}" for name, level in permissions.items() if isinstance(level, str))
        if isinstance(permissions, Mapping)
        else None
    )
    made = {
        "access_token": said.get("token"),
        "expires_in": _left(said.get("expires_at"), answer),
        "scope": " ".join(granted) if granted is not None else None,
    }
    return tokens(replace(answer, body=json.dumps(made).encode()))


def _check(answer: Answer) -> None:
    """Raise for a refusal; it has a status and a message, and no word that a program could know."""
    if answer.status not in _WORDS or "retry-after" in answer.headers:
        return
    if answer.headers.get("x-ratelimit-remaining") == "0":
        raise UnavailableError(f"{answer.host} answered {answer.status}: too many requests")
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return
    if isinstance(said, dict) and isinstance(said.get("message"), str):
        word, meaning = _WORDS[HTTPStatus(answer.status)]
        theirs = described(said["message"], answer.hidden)
        raise DeniedError(word, f"{answer.host} says {answer.status} ({theirs or 'no reason'}): {meaning}")


def _left(expires_at: object, answer: Answer) -> float | None:
    """Return for how many seconds a token holds that ends at a time (RFC 3339), by the provider's clock."""
    try:
        at = datetime.fromisoformat(expires_at) if isinstance(expires_at, str) else None
    except ValueError:
        at = None
    if at is None:
        return None
    left = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - answer.now - _off(answer)
    return max(left, 1.0)  # one that has ended is none that never ends
