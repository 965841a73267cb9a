"""What is said to an authorization server, in the words that this one wants.

Promises that a code, a token and the secret of an application go to the endpoints of the definition and nowhere else,
in the body or the header that the provider reads. Refuses what comes back from a login that was not begun here (RFC
6749, 10.12; RFC 9207), an endpoint with a setting missing, redirects, and answers that are compressed.

The protocol is Authlib's. Answers that are no tokens are read before it reads them (see `answers`), and the application
is shown by ways of our own: Basic in the form that RFC 6749, 2.3.1, asks for, and all of it in JSON where a provider
wants that.
"""

import base64
import hmac
import json
import time
from collections.abc import Callable, Collection, Generator, Mapping
from functools import partial
from typing import Any, override
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, urlencode, urlsplit

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc7636 import create_s256_code_challenge

import authsome
from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import (
    SIGNED,
    AuthorizationRequest,
    Client,
    DeniedError,
    DeviceAuthorization,
    Tokens,
    UnavailableError,
)
from authsome.oauth.answers import Answer, accepted, checked, refusal, seconds, tokens
from authsome.oauth.discovery import known
from authsome.provider import LATER, SLOT, OAuth, OAuthDefinition, RevocationDefinition, endpoints
from authsome.vault import Grant
from authsome.web import OutsideError, httpx

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL, MORE = 5.0, 5.0
"""Seconds between two polls where nothing is said, and those that `slow_down` adds (RFC 8628, 3.2 and 3.5)."""
MOST_INTERVAL = 60.0
CODE_SECONDS, MOST_CODE_SECONDS = 900.0, 3600.0
"""For how long a code for another device holds where nothing is said, and for how long at most anybody waits for it."""

_TOKENS = ("refresh_token", "access_token")
_MOST_RETURNED = 1 << 14
_MOST_FIELDS = 50
_MOST_SHOWN = 512
_MOST_USER_CODE = 64


class Conversation:
    """Requests to one authorization server on behalf of one application.

    Args:
        asks: The addresses and forms, with all settings in them.
        flow: By which the tokens come: in some, the application shows no secret although it has one.
        issuer_said: Whether the provider has promised to say who it is when it sends a person back (RFC 9207, 3).
    """

    def __init__(
        self,
        asks: OAuthDefinition,
        client: Client,
        transport: httpx.BaseTransport,
        *,
        flow: str = "pkce",
        issuer_said: bool = False,
    ) -> None:
        parameters = (*asks.authorization_parameters.values(), *asks.token_parameters.values())
        for name, url in (*endpoints(asks).items(), *(("", text) for text in parameters)):
            if slots := [slot for slot in SLOT.findall(url) if slot not in LATER.get(name, ())]:
                raise AuthsomeError(f"the way to the provider's tokens lacks `{slots[0]}`", code=ExitCode.USAGE)
        if not all(_sendable(text) for text in (client.client_id, client.client_secret or "", *client.more.values())):
            raise AuthsomeError("the id or the secret of the application holds what neither does", code=ExitCode.USAGE)
        self._asks = asks
        self._client = client
        self._transport = transport
        self._issuer_said = issuer_said
        self._method = shown_by(asks, client, flow)
        self._session = session(transport)
        self.interval = INTERVAL

    def url(self, scopes: Collection[str], redirect_uri: str, state: str, verifier: str) -> str:
        """Return the page on which a person agrees, for one login."""
        asks = self._asks
        if asks.authorization_url is None:
            raise AuthsomeError("the provider has no page to agree on", code=ExitCode.INVALID)
        spoken = OAuth2Client(self._session, self._client.client_id, code_challenge_method="S256")
        parameters: dict[str, Any] = {**asks.authorization_parameters}
        if asks.resource is not None:
            parameters["resource"] = asks.resource
        parameters |= {"redirect_uri": redirect_uri, "scope": self._joined(scopes) or None}
        if asks.pkce is not False:
            parameters |= {"code_challenge": create_s256_code_challenge(verifier), "code_challenge_method": "S256"}
        made, _ = spoken.create_authorization_url(asks.authorization_url, state=state, **parameters)
        return str(made)

    def code(self, url_or_query: str, request: AuthorizationRequest, verifier: str) -> Tokens:
        """Return the tokens for what the provider sent a person back with.

        Raises `AuthsomeError` (exit code 2) for what does not come from this login, which leaves it as it is.
        """
        given = self.returned(url_or_query, request)
        host = urlsplit(self._asks.authorization_url or "").hostname or "the provider"
        issuer = self._asks.issuer
        if issuer is not None and ("iss" in given or self._issuer_said) and given.get("iss") != issuer:
            raise DeniedError("issuer_mismatch", f"the answer does not come from {host} (RFC 9207)")
        if "error" in given:
            sent = (verifier, request.state, given.get("code", ""), self._client.client_secret or "")
            raise refusal(host, given["error"], given.get("error_description"), [each for each in sent if each])
        code = given["code"]
        parameters = {"code": code, "redirect_uri": request.redirect_uri}
        if self._asks.pkce is not False:
            parameters["code_verifier"] = verifier
        return self._fetched("authorization_code", parameters, (code, verifier, request.state))

    @staticmethod
    def returned(url_or_query: str, request: AuthorizationRequest) -> Mapping[str, str]:
        """Return what a redirect says, if it answers this request; nothing is sent."""
        given = _parameters(url_or_query, request.redirect_uri)
        if "state" not in given or not (given.get("code") or given.get("error")):
            raise AuthsomeError(_NOT_WHOLE, hint="paste the whole address", code=ExitCode.USAGE)
        if not _same(given["state"], request.state):
            raise AuthsomeError(
                "this is no answer to the login that was begun here",
                hint="use the page of this login, and the address that it leads to",
                code=ExitCode.USAGE,
            )
        return given

    def renew(self, refresh_token: str, scopes: Collection[str] = ()) -> Tokens:
        """Return new tokens for a refresh token.

        Args:
            scopes: Fewer than were granted; empty for the same (RFC 6749, 6).
        """
        url = self._asks.refresh_url or self._token_url()
        scope = {"scope": self._joined(scopes)} if scopes else {}
        return self._tokens(
            lambda spoken: spoken.refresh_token(
                url, refresh_token=refresh_token, body=self._extra(), auth=self._auth(), **scope
            ),
            (refresh_token,),
        )

    def own(self, scopes: Collection[str]) -> Tokens:
        """Return a token of the application itself (RFC 6749, 4.4)."""
        how = self._asks.client_credentials
        if how is None:
            raise AuthsomeError("the provider gives an application no token of its own", code=ExitCode.USAGE)
        more = {name: _filled(text, self._client.more) for name, text in how.parameters.items()}
        scope = {"scope": self._joined(scopes)} if scopes else {}
        return self._fetched(how.grant_type, scope, tuple(self._client.more.values()), more=more)

    def device(self, scopes: Collection[str]) -> tuple[DeviceAuthorization, str]:
        """Return what a person does on another device, and the code to ask with how it went, secret (RFC 8628, 3)."""
        asks = self._asks
        if asks.device_authorization_url is None:
            raise AuthsomeError("the provider has no login on another device", code=ExitCode.USAGE)
        form = {"client_id": self._client.client_id}
        if scopes:
            form["scope"] = self._joined(scopes)
        form |= {"resource": asks.resource} if asks.resource else {}
        request = self._session.build_request("POST", asks.device_authorization_url, data=form)
        response = self._sent(lambda: self._session.send(request, auth=self._auth(as_json=False)))
        answer = self._answer(response, ())
        found, device_code = _device(checked(answer), answer.host)
        self.interval = found.interval
        return found, device_code

    def poll(self, device_code: str) -> Tokens | None:
        """Return the tokens, None as long as the person has not agreed; `interval` then says how long to wait."""
        try:
            return self._fetched(
                DEVICE_GRANT,
                {"device_code": device_code, "client_id": self._client.client_id},
                (device_code,),
                as_json=self._asks.device_token_request == "json",  # noqa: S105  a form of body
            )
        except DeniedError as error:
            if error.error not in ("authorization_pending", "slow_down"):
                raise
            if error.error == "slow_down":
                self.interval = min(self.interval + MORE, MOST_INTERVAL)
            return None

    def revoke(self, fields: Mapping[str, str]) -> None:
        """End a connection's tokens at the provider.

        Args:
            fields: `access_token` and `refresh_token`, where there is one; secret.
        """
        if self._asks.revocation:
            self._revoke_so(self._asks.revocation, fields)
        elif self._asks.revocation_url:
            self._revoke(self._asks.revocation_url, fields)
        else:
            raise AuthsomeError("the provider has no way to end a token", code=ExitCode.USAGE)

    def _revoke(self, url: str, fields: Mapping[str, str]) -> None:
        """End the refresh token, which ends all that came of it where a provider can (RFC 7009, 2.1), and the other."""
        ended = False
        for kind in _TOKENS:
            if not (token := fields.get(kind)):
                continue
            spoken = OAuth2Client(self._session)
            response = self._sent(partial(spoken.revoke_token, url, token, kind, auth=self._auth(as_json=False)))
            try:
                accepted(self._answer(response, (token,)))
            except DeniedError as error:
                # A provider need not be able to end an access token by itself (RFC 7009, 2.2.1).
                if not (ended and error.error == "unsupported_token_type"):
                    raise
            ended = True
        if not ended:
            raise AuthsomeError("there is no token to end", code=ExitCode.USAGE)

    def _revoke_so(self, form: RevocationDefinition, fields: Mapping[str, str]) -> None:
        mine = {"client_id": self._client.client_id, "client_secret": self._client.client_secret or ""}
        given = {name: fields[name] for name in _TOKENS if name in fields} | mine
        headers = {"Accept": "application/json", **_PLAIN}
        if form.authorization is not None:
            headers["Authorization"] = _filled(form.authorization, given)
        if form.basic is not None:
            pair = (form.basic.username, form.basic.password)
            headers["Authorization"] = _basic(*(_filled(text, given) for text in pair))
        request = httpx.Request(
            form.method,
            _filled(form.url, {name: quote(text, safe="") for name, text in given.items()}),
            params={name: _filled(text, given) for name, text in form.query.items()} or None,
            data={name: _filled(text, given) for name, text in form.form.items()} or None,
            json={name: _filled(text, given) for name, text in form.json.items()} or None,
            headers=headers,
        )
        # NOTE: past the session: it writes addresses into Python's log, and here a token may be part of one.
        response = self._sent(lambda: _read(self._transport.handle_request(request), request))
        accepted(self._answer(response, [text for text in given.values() if text]))

    def _token_url(self) -> str:
        if self._asks.token_url is None:
            raise AuthsomeError("the provider has no address to get a token at", code=ExitCode.INVALID)
        return self._asks.token_url

    def _joined(self, scopes: Collection[str]) -> str:
        return self._asks.scope_separator.join(scopes)

    def _extra(self, more: Mapping[str, str] | None = None) -> str:
        """Return what a request for a token carries besides what the protocol says, as a form."""
        more = {**self._asks.token_parameters, **(more or {})}
        if self._asks.resource is not None:
            more["resource"] = self._asks.resource
        return urlencode(more)

    def _auth(self, *, as_json: bool | None = None) -> "_Shown":
        if as_json is None:
            as_json = self._asks.token_request == "json"  # noqa: S105  the same
        return _Shown(self._client.client_id, self._client.client_secret, self._method, as_json=as_json)

    def _fetched(
        self,
        grant: str,
        parameters: Mapping[str, str],
        hidden: Collection[str],
        *,
        more: Mapping[str, str] | None = None,
        as_json: bool | None = None,
    ) -> Tokens:
        """Ask for tokens.

        Args:
            parameters: What the protocol says.
            more: What the definition says.
        """
        url = self._token_url()
        return self._tokens(
            lambda spoken: spoken.fetch_token(
                url, body=self._extra(more), grant_type=grant, auth=self._auth(as_json=as_json), **parameters
            ),
            hidden,
        )

    def _tokens(self, speak: Callable[[OAuth2Client], object], hidden: Collection[str]) -> Tokens:
        heard: list[Tokens] = []

        def hear(response: httpx.Response) -> _Understood:
            heard.append(tokens(self._answer(response, hidden), separator=self._asks.scope_separator))
            return _Understood()

        spoken = OAuth2Client(self._session)
        for name in ("access_token_response", "refresh_token_response"):
            spoken.register_compliance_hook(name, hear)
        self._sent(lambda: speak(spoken))
        return heard[0]

    def _answer(self, response: httpx.Response, hidden: Collection[str]) -> Answer:
        sent = [each for each in (*hidden, self._client.client_secret) if each]
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(where(response.request.url), response.status_code, headers, response.content, sent, time.time())

    def _sent[T](self, send: Callable[[], T]) -> T:
        """Return what a request comes to; an error of the web client's is one of ours."""
        try:
            return send()
        except OutsideError as error:
            raise UnavailableError(str(error)) from error
        except httpx.RequestError as error:
            raise UnavailableError(f"{where(error.request.url)} could not be reached") from error


def renew(
    oauth: OAuth, client: Client, grant: Grant, fields: Mapping[str, str], transport: httpx.BaseTransport
) -> Tokens:
    """Return new tokens for those of a connection.

    Args:
        oauth: How its provider's tokens are come by, with its settings.
        grant: What is known of the tokens: only where a person agreed to is anything sent.
        fields: `refresh_token`, where the flow has one; secret.

    Raises `DeniedError` where a person has to log in again, `UnavailableError` where it may work later.
    """
    if strange := grant.beyond(oauth.token_hosts):
        raise AuthsomeError(f"nobody has agreed that tokens are renewed at {strange[0]}", code=ExitCode.USAGE)
    if grant.flow in SIGNED:
        from authsome.oauth import assertion  # noqa: PLC0415  few connections sign anything

        return assertion.again(oauth, grant, fields, transport)
    asks, _ = known(oauth, transport)
    spoken = Conversation(asks, client, transport, flow=grant.flow)
    if grant.flow == "client_credentials":
        return spoken.own(grant.asked)
    if not fields.get("refresh_token"):
        raise DeniedError("no_refresh_token", "there is no refresh token to renew the access token with")
    return spoken.renew(fields["refresh_token"])


def shown_by(asks: OAuthDefinition, client: Client, flow: str) -> str:
    """Return how an application shows who it is (RFC 7591, 2: `token_endpoint_auth_method`)."""
    if client.auth_method is not None:
        return client.auth_method
    if flow in asks.public_flows:
        return "none"
    if client.client_secret:
        return next((way for way in asks.auth_methods if way != "none"), "none")
    if "none" in asks.auth_methods:
        return "none"
    raise AuthsomeError("the secret of the application is missing: the provider wants one", code=ExitCode.USAGE)


def session(transport: httpx.BaseTransport) -> httpx.Client:
    """Return what requests are sent with: nothing of the environment, no redirects, no compressed answers."""
    return httpx.Client(
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        headers=_PLAIN,
        event_hooks={"response": [_not_packed]},
    )


def _not_packed(response: httpx.Response) -> None:
    # Nobody asked for it; and a bound on what arrives is none on what it unfolds to.
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise OutsideError(f"{where(response.request.url)} answered compressed, which was not asked for")


def _read(response: httpx.Response, request: httpx.Request) -> httpx.Response:
    response.request = request
    try:
        _not_packed(response)
        response.read()
    finally:
        response.close()
    return response


class _Understood:
    """What Authlib gets in place of an answer that was read already."""

    status_code = 200

    @staticmethod
    def json() -> dict[str, Any]:
        return {}


class _Shown(httpx.Auth, ClientAuth):  # type: ignore[misc]  # Authlib has no types
    """Who the application is, in each request; all of it in JSON where a provider wants that."""

    requires_request_body = True

    def __init__(self, client_id: str, secret: str | None, method: str, *, as_json: bool) -> None:
        super().__init__(client_id, secret, _rfc_basic if method == "client_secret_basic" else method)
        self._as_json = as_json

    @override
    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        url, headers, body = self.prepare(request.method, str(request.url), {}, request.content.decode())
        said = dict(parse_qsl(body, keep_blank_values=True))
        if self._as_json:
            content, kind = json.dumps(said).encode(), "application/json"
        else:
            content, kind = urlencode(said).encode(), "application/x-www-form-urlencoded"
        kept = {name: request.headers[name] for name in ("user-agent", "accept-encoding")}
        headers = {**kept, **headers, "Accept": "application/json", "Content-Type": kind}
        yield httpx.Request(request.method, url, content=content, headers=headers, extensions=request.extensions)


def _rfc_basic(shown: ClientAuth, method: str, url: str, headers: dict[str, str], body: str) -> tuple[Any, ...]:
    del method
    # RFC 6749, 2.3.1: each encoded as in a form before they are joined.
    headers["Authorization"] = _basic(quote_plus(shown.client_id), quote_plus(shown.client_secret or ""))
    return url, headers, body


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


_PLAIN = {"User-Agent": f"authsome/{authsome.__version__}", "Accept-Encoding": "identity"}
_NOT_WHOLE = "this is not the whole address that the provider's page led to"


def where(url: httpx.URL) -> str:
    """Return the host that an address is at."""
    return url.host if url.port is None else f"{url.host}:{url.port}"


def _sendable(text: str) -> bool:
    return text.isascii() and (text.isprintable() or not text)


def _filled(template: str, given: Mapping[str, str]) -> str:
    """Return a template with texts in its slots; an empty one is missing, too."""
    for name in SLOT.findall(template):
        if not given.get(name):
            words = name.replace("_", " ")
            raise AuthsomeError(f"the provider asks for the {words}, and there is none", code=ExitCode.USAGE)
    return SLOT.sub(lambda slot: given[slot[1]], template)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _parameters(url_or_query: str, redirect_uri: str) -> dict[str, str]:
    """Return what a redirect says; raise where it leads elsewhere, is too long, or says something twice."""
    text = url_or_query.strip()
    try:
        parts = urlsplit(text if "?" in text else f"?{text}")
        goal = urlsplit(redirect_uri)
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="replace")
        elsewhere = bool(parts.scheme or parts.netloc) and _place(parts) != _place(goal)
        elsewhere = elsewhere or (bool(parts.path) and parts.path != goal.path)
    except ValueError:  # a port that is no number, more fields than any provider sends
        pairs, elsewhere = [], True
    if elsewhere or len(text) > _MOST_RETURNED:
        raise AuthsomeError(
            f"the address does not begin with {redirect_uri}",
            hint="paste the address that the provider's page led to",
            code=ExitCode.USAGE,
        )
    if len(dict(pairs)) != len(pairs):  # RFC 6749, 3.1
        raise AuthsomeError("the answer says something twice", code=ExitCode.USAGE)
    return dict(pairs)


def _place(parts: SplitResult) -> tuple[object, ...]:
    return parts.scheme, parts.hostname, parts.port, parts.username, parts.password


def _device(said: Mapping[str, Any], host: str) -> tuple[DeviceAuthorization, str]:
    """Return what a person does, as far as it can be shown (RFC 8628, 3.2)."""
    device_code, user_code = said.get("device_code"), said.get("user_code")
    page = _page(said.get("verification_uri", said.get("verification_url")))  # the second is Google's
    shown = isinstance(user_code, str) and 0 < len(user_code) <= _MOST_USER_CODE and _sendable(user_code)
    if not (isinstance(device_code, str) and device_code and _sendable(device_code) and shown and page):
        raise UnavailableError(f"{host} gave no code for another device")
    whole = _page(said.get("verification_uri_complete", said.get("verification_url_complete")))
    interval = seconds(said.get("interval")) or INTERVAL
    until = min(seconds(said.get("expires_in")) or CODE_SECONDS, MOST_CODE_SECONDS)
    return (
        DeviceAuthorization(str(user_code), page, whole, min(max(interval, 1.0), MOST_INTERVAL), until),
        device_code,
    )


def _page(given: object) -> str | None:
    """Return an address that a person may be shown: https, and nothing that could be another than it looks."""
    if not isinstance(given, str) or not given.startswith("https://") or len(given) > _MOST_SHOWN:
        return None
    try:
        parts = urlsplit(given)
        bad = not parts.hostname or parts.username is not None or (parts.port or 1) < 1
    except ValueError:
        return None
    return None if bad or not _sendable(given) or any(char in given for char in ' <>"\\') else given
