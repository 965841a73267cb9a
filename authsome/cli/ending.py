"""What ends tokens: whether their provider can do it, and asking it to; and what is known of them before they go.

Promises that no tokens are forgotten which a provider was to end and has not. Refuses to say that it has ended what it
cannot.
"""

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from authsome.cli.stations import again, outside_of, renewing
from authsome.cli.voice import Settings
from authsome.errors import AuthsomeError, ExitCode

if TYPE_CHECKING:
    from authsome.provider import Catalogue, OAuthDefinition, Provider
    from authsome.screens.removal import Ended
    from authsome.vault import Entry, Grant, Vault

_TURN_SECONDS = 120.0


def defined(catalogue: "Catalogue", provider: str) -> "Provider | None":
    """Return a provider, None if its definition is wrong or gone."""
    try:
        return catalogue.get(provider)
    except AuthsomeError:
        return None


def glance(vault: "Vault", provider: "Provider | None", connection: str, *, shared: bool) -> "Grant | bool | None":
    """Return what is known of a connection's tokens, None for a key.

    Where it does not open without a word: whether it is tokens, as far as the definition tells.
    """
    if shared or provider is None or provider.oauth is None:
        return None
    with suppress(AuthsomeError):
        if entry := vault.silent().own.read(provider.name, connection):
            return entry.grant
    return provider.auth_type == "oauth2"


def check_known(settings: Settings, vault: "Vault", provider: str, names: "list[str]") -> None:
    """Raise (exit code 8) if there are tokens among connections of which no definition says how they are ended."""
    folder, entry = vault.silent().own, None
    for name in names:
        with suppress(AuthsomeError):  # what does not open without a word is forgotten as a key is
            entry = folder.read(provider, name)
        if entry and entry.grant:
            raise AuthsomeError(
                f"there is no definition of {provider} any more that says how its tokens are ended",
                hint=f"end them at the provider, then: {_remove(settings, entry)}",
                code=ExitCode.REFUSED,
            )


def check(settings: Settings, provider: "Provider", entry: "Entry") -> None:
    """Raise (exit code 8) unless the provider can be asked to end a connection's tokens."""
    from authsome.oauth import SIGNED

    asks, grant = _asks(provider, entry), entry.grant
    if asks is None or grant is None:
        return
    if grant.flow in SIGNED:
        words = "gives new tokens to whoever has the key of this connection, and ends them after an hour at most"
        raise _cannot(settings, provider, entry, words)
    if not (asks.revocation or asks.revocation_url or asks.issuer or asks.resource):
        raise _cannot(settings, provider, entry, "has no way to end a token")


def end(settings: Settings, vault: "Vault", provider: "Provider", entry: "Entry") -> "Ended":
    """Have the provider end the tokens of a connection and forget them; return what that means for them.

    Raises (exit code 8) where it has not, so that they are kept.
    """
    from authsome.oauth import DeniedError, UnavailableError
    from authsome.screens.removal import Ended

    asks, grant = _asks(provider, entry), entry.grant
    if asks is None or grant is None:
        raise ValueError(f"{provider.name} has no tokens")
    try:
        _renew(settings, vault, provider, entry, asks)
        # NOTE: whoever renews them meanwhile would come back with tokens that nobody has ended.
        with vault.own.turn(entry.provider, entry.connection, _TURN_SECONDS):
            entry = vault.own.read(entry.provider, entry.connection) or entry
            _ask(settings, vault, entry.of(provider), entry)
            vault.own.delete(entry.provider, entry.connection)
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


def _renew(settings: Settings, vault: "Vault", provider: "Provider", entry: "Entry", asks: "OAuthDefinition") -> None:
    """Renew what has expired where it is ended by its access token: an expired one is none to a provider."""
    from authsome.manifest import undeclared
    from authsome.oauth import DeniedError

    if asks.revocation is not None:
        with suppress(DeniedError):  # it has ended already
            renewing(settings, vault)(undeclared(provider, entry.connection))


def _ask(settings: Settings, vault: "Vault", provider: "Provider", entry: "Entry") -> None:
    from authsome.oauth.conversation import Conversation
    from authsome.renewal import client_of

    oauth, grant, outside = provider.oauth, entry.grant, outside_of(settings, provider)
    if oauth is None or grant is None:
        raise ValueError(f"{provider.name} has no tokens")
    if strange := grant.beyond(oauth.token_hosts):
        words = f"would get the tokens at {', '.join(strange)}, which nobody agreed to"
        raise _cannot(settings, provider, entry, words)
    asks = oauth.asks
    if not asks.revocation:
        from authsome.oauth.discovery import known

        asks, _ = known(oauth, outside, "revocation_url")
    client = client_of(vault, provider, os.environ, grant.client_id)
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
