"""What ends tokens: whether their provider can do it, and asking it to; and what is known of them before they go.

Promises that no tokens are forgotten which a provider was to end and has not. Refuses to say that it has ended what it
cannot.
"""

import os
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from authsome.cli.stations import again, outside_of, renewing
from authsome.cli.voice import Settings
from authsome.errors import AuthsomeError, ExitCode

if TYPE_CHECKING:
    from authsome.provider import Catalogue, OAuthDefinition, Provider
    from authsome.screens.removal import Ended
    from authsome.vault import Entry, Grant, Vault

_SIGNED = frozenset({"jwt_bearer", "app_installation"})


def defined(catalogue: "Catalogue", provider: str) -> "Provider | None":
    """Return a provider, None if its definition is wrong or gone."""
    try:
        return catalogue.get(provider)
    except AuthsomeError:
        return None


def glance(vault: "Vault", provider: "Provider | None", connection: str, *, shared: bool) -> "Grant | None":
    """Return what is known of a connection's tokens; None for a key, and where only a person could open it."""
    if provider is None or provider.oauth is None or shared:
        return None
    with suppress(AuthsomeError):
        if entry := vault.again().own.read(provider.name, connection):
            return entry.grant
    return None


def check(settings: Settings, provider: "Provider", entry: "Entry") -> None:
    """Raise (exit code 8) unless the provider can be asked to end a connection's tokens."""
    asks, grant = _asks(provider, entry), entry.grant
    if asks is None or grant is None:
        return
    if grant.flow in _SIGNED:
        words = "gives new tokens to whoever has the key of this connection, and ends them after an hour at most"
        raise _cannot(settings, provider, entry, words)
    if not (asks.revocation or asks.revocation_url or asks.issuer or asks.resource):
        raise _cannot(settings, provider, entry, "has no way to end a token")


def end(settings: Settings, vault: "Vault", provider: "Provider", entry: "Entry") -> "Ended":
    """Have the provider end the tokens of a connection; return what that means for them.

    Raises (exit code 8) where it has not, so that they are kept.
    """
    from authsome.oauth import DeniedError, UnavailableError
    from authsome.screens.removal import Ended

    asks, grant = _asks(provider, entry), entry.grant
    if asks is None or grant is None:
        raise ValueError(f"{provider.name} has no tokens")
    try:
        entry = _usable(settings, vault, provider, entry, asks)
        grant = entry.grant or grant
        _ask(settings, vault, entry.of(provider), entry)
    except (DeniedError, UnavailableError) as error:
        error.message = f"{error.message}; nothing was forgotten"
        error.hint = f"try again, or forget it here alone: {_remove(settings, entry)}"
        raise
    form = asks.revocation
    named = f"{form.authorization}{form.basic}{form.query}{form.form}{form.json}" if form else None
    return Ended(
        provider.display_name,
        grant.flow,
        None if grant.has_ended(now := time.time()) else grant.end(now),
        access_only=named is not None and "{refresh_token}" not in named,
        renewable="refresh_token" in entry.fields,
    )


def _usable(
    settings: Settings, vault: "Vault", provider: "Provider", entry: "Entry", asks: "OAuthDefinition"
) -> "Entry":
    """Return the connection as the provider knows it: one that ends access tokens only ends none that has expired."""
    from authsome.manifest import undeclared
    from authsome.oauth import DeniedError

    if asks.revocation is None:
        return entry
    with suppress(DeniedError):  # it has ended already
        return renewing(settings, vault)(undeclared(provider, entry.connection))
    return entry


def _ask(settings: Settings, vault: "Vault", provider: "Provider", entry: "Entry") -> None:
    from authsome.oauth.conversation import Conversation
    from authsome.renewal import client_of

    oauth, grant, outside = provider.oauth, entry.grant, outside_of(provider)
    if oauth is None or grant is None:
        raise ValueError(f"{provider.name} has no tokens")
    asks = oauth.asks
    if not (asks.revocation or asks.revocation_url):
        from authsome.oauth.discovery import known

        # What the definition leaves out is found where the rest is, whether a login needs it or not.
        asks = known(replace(oauth, asks=replace(asks, token_url=None)), outside)[0]
    if not (asks.revocation or asks.revocation_url):
        raise _cannot(settings, provider, entry, "has no way to end a token")
    client = client_of(vault, provider, os.environ)
    if client is None:
        words = "ends tokens for the application only that they were given to, which is not known here any more"
        raise _cannot(settings, provider, entry, words)
    Conversation(asks, client, outside, flow=grant.flow).revoke(entry.fields)


def _asks(provider: "Provider", entry: "Entry") -> "OAuthDefinition | None":
    oauth = entry.of(provider).oauth
    return oauth.asks if oauth else None


def _cannot(settings: Settings, provider: "Provider", entry: "Entry", words: str) -> AuthsomeError:
    return AuthsomeError(
        f"{provider.display_name} {words}",
        hint=f"end it at {_page(provider)}, then: {_remove(settings, entry)}",
        code=ExitCode.REFUSED,
    )


def _remove(settings: Settings, entry: "Entry") -> str:
    account = "" if entry.connection == "default" else f" --connection {entry.connection}"
    return f"authsome remove {entry.provider}{account}{again(settings)}"


def _page(provider: "Provider") -> str:
    return provider.docs or provider.keys_url or "the provider's site"
