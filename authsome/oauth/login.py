"""One login, from the first question to the tokens.

Promises that what comes back counts once, for this login alone, and only as long as it can: a code of another login
leaves this one as it is, and the code of this one is never sent twice. Refuses a way back that the provider would not
take, before a person has typed anything.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from authsome.errors import AuthsomeError, ExitCode
from authsome.oauth import (
    REDIRECTED,
    SIGNED,
    AuthorizationRequest,
    Client,
    DeniedError,
    DeviceAuthorization,
    Tokens,
    UnavailableError,
)
from authsome.oauth.conversation import MOST_INTERVAL, Conversation
from authsome.oauth.discovery import known
from authsome.oauth.registration import register
from authsome.provider import Flow, OAuth
from authsome.web import httpx

REDIRECT = "http://127.0.0.1:7998/callback"
"""Where a provider sends people back to whose application a person has registered: it has to be registered with it."""

_STATE, _VERIFIER = 32, 64
"""Octets of randomness; the verifier's make 86 characters (RFC 7636, 4.1: 43 to 128)."""


@dataclass(slots=True)
class _Waiting:
    """What is waited for.

    Attributes:
        until: When the code ends, by the clock.
        ask_at: Before when the provider is not asked again.
    """

    shown: DeviceAuthorization
    device_code: str = field(repr=False)
    until: float
    ask_at: float


class Login:
    """The state of one login.

    Args:
        oauth: How the provider's tokens are come by, with its settings.
        client: The application, None for one that registers itself.
        clock: Seconds since 1970.
        token: Returns a random text from so many octets, fit for an address.

    Attributes:
        client: The application; another one than was given once it has registered itself.
    """

    def __init__(
        self,
        oauth: OAuth,
        flow: Flow,
        scopes: Collection[str],
        client: Client | None,
        transport: httpx.BaseTransport,
        *,
        clock: Callable[[], float],
        token: Callable[[int], str],
    ) -> None:
        self.client = client
        self._oauth = oauth
        self._flow = flow
        self._scopes = tuple(scopes)
        self._transport = transport
        self._clock = clock
        self._token = token
        self._spoken: Conversation | None = None
        self._asked: AuthorizationRequest | None = None
        self._verifier = ""
        self._waiting: _Waiting | None = None

    def begin(self, redirect_uri: str | None = None) -> AuthorizationRequest | DeviceAuthorization | Tokens:
        """Begin, or begin anew: what was waited for before counts no longer.

        Args:
            redirect_uri: Where the provider can send a person back to; None if nobody would hear of it.
        """
        self._asked = self._waiting = None
        if self._flow in REDIRECTED:
            return self._sent_away(redirect_uri)
        if self._flow == "device_code":
            return self._elsewhere()
        if self._flow == "client_credentials":
            asks, _ = known(self._oauth, self._transport)
            return Conversation(asks, self._known(), self._transport, flow=self._flow).own(self._scopes)
        if self._flow in SIGNED:
            from authsome.oauth import assertion  # noqa: PLC0415  few logins sign anything

            return assertion.fetched(
                self._oauth.asks, self._flow, self._known(), self._scopes, self._transport, clock=self._clock
            )
        raise AuthsomeError(f"the flow `{self._flow}` is none of a login", code=ExitCode.USAGE)

    def returned(self, url: str) -> Tokens:
        """Return the tokens for what the provider sent the person back with.

        Raises `AuthsomeError` (exit code 2) for what belongs to another login, and this one goes on; `DeniedError` for
        the provider's no, and for a code that was used already.
        """
        if self._asked is None or self._spoken is None:
            raise DeniedError("used_already", "this login is over: its answer was used already")
        self._spoken.returned(url, self._asked)
        asked, self._asked = self._asked, None  # RFC 6749, 4.1.2: a code is used once, whatever comes of it
        return self._spoken.code(url, asked, self._verifier)

    def poll(self) -> Tokens | DeviceAuthorization:
        """Return the tokens, or what the person still has to do; early questions are answered without the provider."""
        waiting = self._waiting
        if waiting is None or self._spoken is None:
            raise DeniedError("used_already", "this login is over")
        now = self._clock()
        if now >= waiting.until:
            self._waiting = None
            raise DeniedError("expired_token", "the code was not used in time")
        if now >= waiting.ask_at:
            try:
                tokens = self._spoken.poll(waiting.device_code)
            except DeniedError:
                self._waiting = None
                raise
            except UnavailableError:  # RFC 8628, 3.5: ask less often
                tokens = None
                self._spoken.interval = min(2 * self._spoken.interval, MOST_INTERVAL)
            if tokens is not None:
                self._waiting = None
                return tokens
            waiting.ask_at = now + self._spoken.interval
        return replace(waiting.shown, interval=self._spoken.interval, expires_in=waiting.until - now)

    def _sent_away(self, redirect_uri: str | None) -> AuthorizationRequest:
        if self._oauth.asks.https_redirect:
            raise AuthsomeError(
                "the provider sends people back to an https address only, and this machine has none",
                hint="make a token on the provider's own page: `authsome login` without `--flow` asks for it",
                code=ExitCode.USAGE,
            )
        registers = self._flow == "dcr_pkce"
        fixed = None if registers else ((self.client and self.client.redirect_uri) or REDIRECT)
        if redirect_uri is None or fixed not in (None, redirect_uri):
            goal = fixed or REDIRECT
            raise AuthsomeError(
                f"the provider sends people back to {goal}, and port {urlsplit(goal).port} is not this program's now",
                hint=f"end what listens on port {urlsplit(goal).port} and try again",
                code=ExitCode.USAGE,
            )
        needed = ("authorization_url", *(("registration_endpoint",) if registers else ()))
        asks, server = known(self._oauth, self._transport, *needed)
        now = self._clock()
        if registers and not _registered(self.client, redirect_uri, now):
            self.client = register(
                asks, redirect_uri, self._scopes, self._transport, methods=server.auth_methods, now=now
            )
        client = self._known()
        self._spoken = Conversation(asks, client, self._transport, flow=self._flow, issuer_said=server.issuer_said)
        state, self._verifier = self._token(_STATE), self._token(_VERIFIER)
        url = self._spoken.url(self._scopes, redirect_uri, state, self._verifier)
        self._asked = AuthorizationRequest(url, state, redirect_uri)
        return self._asked

    def _elsewhere(self) -> DeviceAuthorization:
        asks, _ = known(self._oauth, self._transport, "device_authorization_url")
        self._spoken = Conversation(asks, self._known(), self._transport, flow=self._flow)
        shown, device_code = self._spoken.device(self._scopes)
        now = self._clock()
        self._waiting = _Waiting(shown, device_code, now + shown.expires_in, now + shown.interval)
        return shown

    def _known(self) -> Client:
        if self.client is None:
            raise AuthsomeError("the id of the application is missing", code=ExitCode.USAGE)
        return self.client


def _registered(client: Client | None, redirect_uri: str, now: float) -> bool:
    """Whether an application has registered itself with this way back, and its secret still holds."""
    if client is None or client.redirect_uri != redirect_uri:
        return False
    return client.expires_at is None or client.expires_at > now
