"""OAuth 2: how tokens are come by, renewed and ended.

Promises that a code, a token or the secret of an application goes to no host but those that a person agreed to, that
an answer is believed only as far as it says something, and that no error quotes one. Refuses redirects, plain http, and
endpoints that a provider's metadata names on hosts that its definition does not.

RFC 6749, 6750, 7009, 7523, 7591, 7636, 8252, 8414, 8628, 8707, 9207, 9728.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from authsome.errors import AuthsomeError, ExitCode

REDIRECTED = frozenset({"pkce", "dcr_pkce"})
"""The flows that send a person to the provider's page and back."""

BY_PERSON = REDIRECTED | {"device_code"}
"""The flows in which a person agrees at the provider."""

SIGNED = frozenset({"jwt_bearer", "app_installation"})
"""The flows in which a key is signed with. What they ask for belongs to the connection, not to the provider: two
service accounts are two connections."""

OF_APPLICATION = frozenset({"invalid_client", "unauthorized_client"})
"""What a provider says of the application, not of what it has shown (RFC 6749, 5.2)."""


@dataclass(frozen=True, slots=True)
class Client:
    """An application, as a provider knows it.

    Attributes:
        redirect_uri: With which it has registered itself; None for one that a person has registered.
        auth_method: How it shows who it is (RFC 7591, 2), where its registration has settled that.
        expires_at: When its secret ends, in seconds since 1970; None for never.
        more: What else a token for itself is asked for with, by the names in `client_credentials.parameters`.
    """

    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    redirect_uri: str | None = None
    auth_method: str | None = None
    expires_at: float | None = None
    more: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token endpoint has answered.

    Attributes:
        expires_in: Seconds; None if nothing is said.
        scopes: What was granted; None if nothing is said, which means: what was asked for (RFC 6749, 5.1).
        said: All texts of the answer by their names, secret.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_in: float | None = None
    scopes: tuple[str, ...] | None = None
    said: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """Where a person agrees, and how what comes back is known.

    Attributes:
        url: The page at the provider.
        state: What the redirect has to say again; a secret until then.
        redirect_uri: Where the provider sends the person.
    """

    url: str = field(repr=False)
    state: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """What a person does on another device (RFC 8628, 3.2).

    Attributes:
        user_code: What the person types there.
        verification_uri: Where.
        verification_uri_complete: Where it is typed in already, if there is such an address.
        interval: Seconds from one question whether it is done to the next.
        expires_in: Seconds for which the code holds.
    """

    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    interval: float
    expires_in: float


class DeniedError(AuthsomeError):
    """A provider's no: to ask the same again is of no use (RFC 6749, 4.1.2.1 and 5.2).

    Attributes:
        error: The provider's word for it, as in `invalid_grant`.
    """

    def __init__(self, error: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, code=ExitCode.REFUSED)
        self.error = error


class UnavailableError(AuthsomeError):
    """No answer, or none that says anything: the same may work later.

    Attributes:
        retry_after: Seconds, where the provider says so.
    """

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint, code=ExitCode.REFUSED)
        self.retry_after = retry_after
