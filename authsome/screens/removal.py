"""The screens of `authsome logout`, `authsome remove` and `authsome revoke`."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from authsome.screens import moment
from authsome.vault import RENEWED_ALONE


@dataclass(frozen=True, slots=True)
class Ended:
    """Tokens that their provider has ended.

    Attributes:
        provider: What the provider is called.
        expires_at: When the access token expires, in seconds since 1970; None if that is not known, or over.
        access_only: Whether the provider was told of the access token alone.
        renewable: Whether there was a refresh token.
    """

    provider: str
    flow: str
    expires_at: float | None
    access_only: bool
    renewable: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """What went.

    Attributes:
        kind: `remove` or `revoke`.
        vault: The folder that held it.
        keys_url: Where the provider ends keys, None if that is not known.
        definition: The user's own, which stays.
        ended: The tokens among them that the provider has ended, by connection.
        tokens: The connections among them that were tokens, as far as that is known, ended or not.
        application: Whether the stored application of the provider went as well.
    """

    kind: str
    provider: str
    connections: Sequence[str]
    vault: str
    keys_url: str | None
    definition: str | None
    ended: dict[str, Ended]
    tokens: Sequence[str] = ()
    application: bool = False

    @property
    def keys(self) -> Sequence[str]:
        """The connections whose keys are still valid."""
        return [name for name in self.connections if name not in self.ended and name not in self.tokens]

    @property
    def left(self) -> Sequence[str]:
        """The connections whose tokens are still valid."""
        return [name for name in self.tokens if name not in self.ended]


def removal(done: Removal) -> str:
    """Return the answer in a line."""
    if not done.connections:
        return f"Removed the application of {done.provider}.\n"
    verb = "Revoked and removed" if len(done.ended) == len(done.connections) else "Removed"
    return f"{verb} {done.provider} ({', '.join(done.connections)}).\n"


def removal_data(done: Removal) -> dict[str, Any]:
    """Return the answer for JSON."""
    return {
        "provider": done.provider,
        "connections": list(done.connections),
        "vault": done.vault,
        "valid_at_provider": len(done.ended) < len(done.connections),  # no API key can be ended from here
        "ended": list(done.ended),
        "application": done.application,
        "keys_url": done.keys_url,
        "definition": done.definition,
    }


def after(done: Removal, left: str | None) -> Iterator[str]:
    """Yield what the person should know afterwards; `left` is the vault that still holds something of it."""
    where = done.keys_url or "the provider"
    if done.keys:
        keys, them = ("key is", "it") if len(done.keys) == 1 else ("keys are", "them")
        if done.kind == "revoke":
            yield f"{done.provider} cannot be asked to end an API key: the {keys} still valid. Delete {them} at {where}"
        else:
            yield f"The {keys} still valid at the provider; to end {them}: {where}"
    if done.left:
        yield (
            "The tokens are still valid at the provider. `authsome revoke` ends tokens that are held; "
            f"these end there, in your account or at {where}"
        )
    yield from dict.fromkeys(ended(each) for each in done.ended.values())
    if done.application:
        yield f"The application that logs in to {done.provider} is forgotten here; the provider still knows it."
    if left:
        yield f"Still held: {done.provider} in {left}"
    if done.definition:
        yield f"Your own definition stays; to delete it: rm {shlex.quote(done.definition)}"


def ended(one: Ended) -> str:
    """Return what a provider has ended and what holds all the same."""
    if one.access_only:
        told = f"{one.provider} has ended the access token; that you agreed to the application stays noted there."
    elif one.renewable:
        told = f"{one.provider} has ended the refresh token and what came of it."
    else:
        told = f"{one.provider} has ended the access token."
    if one.flow == "client_credentials":
        return f"{told} Whoever has the application's secret gets new ones: delete that at the provider, too."
    if one.access_only or one.expires_at is None:
        return told
    # RFC 7009, 3: a token that says all about itself is not asked about.
    return f"{told} Where nobody asks {one.provider} about each token, it is taken until {moment(one.expires_at)}."


def logged_out(provider: str, until: float | None, flow: str | None, *, expired: bool = False) -> str:
    """Return what holds after a logout.

    Args:
        until: When the access token expires, in seconds since 1970, if that is known.
        flow: How the tokens were come by; None for a key.
        expired: Whether that is over.
    """
    if flow is None:
        return "The key itself is still valid; to end it, delete it at the provider."
    known = f" until {moment(until)}" if until is not None else ""
    holds = "the access token has expired" if expired else f"the access token is valid there{known}"
    if flow in RENEWED_ALONE:
        secret = "application's secret" if flow == "client_credentials" else "key that was signed with"
        return f"The provider was not asked: {holds}, and whoever has the {secret} gets new ones."
    return (
        f"The provider was not asked: {holds}, and what renews it {'is valid ' if expired else ''}until it is ended. "
        f"Before a logout, `authsome revoke {provider}` ends both."
    )
