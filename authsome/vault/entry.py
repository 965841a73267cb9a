"""One credential: as it is stored, and what can be said of it.

Promises that an entry which was moved, swapped or written by somebody who could not open the keyring is refused: age
does not say who wrote a file, so each entry carries its names and a MAC.
"""

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import Provider
from authsome.vault.age import Identity, OpenError
from authsome.vault.armor import conflicted
from authsome.vault.files import TamperedError, unmerged
from authsome.vault.keyring import Keyring

_MAC_MARK = "authsome-mac-v1 "
_RESTORE = (
    "after a `git merge`: authsome vault resolve; else restore it from a backup or from git; "
    "a single credential can also be forgotten with `authsome logout`"
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What is known of tokens besides themselves. Nothing in it is a secret.

    Attributes:
        flow: How they were come by, as `Flow`.
        hosts: Where their refresh token and the application's secret may go, agreed to when they were given.
        scopes: What was granted.
        asked: What was asked for: what was not granted then is not asked for again.
        issued_at: Seconds since 1970, by the clock of this machine.
        expires_at: The same; None if the provider has not said.
        refused: The provider's word for why it gives no new ones; a person has to log in.
        client_id: Of the application that they were given to, no other one can renew them; None if there is none.
    """

    flow: str
    hosts: tuple[str, ...]
    scopes: tuple[str, ...]
    asked: tuple[str, ...]
    issued_at: float
    expires_at: float | None = None
    refused: str | None = None
    client_id: str | None = None

    def beyond(self, hosts: Iterable[str]) -> list[str]:
        """Return those of the hosts that nobody agreed to for what renews the tokens, sorted."""
        return sorted(set(hosts) - set(self.hosts))

    def end(self, now: float) -> float | None:
        """Return when the access token expires, None if that is not said, or not to be believed.

        A provider that means `never` says zero, and after the clock was set back every end is too far away.
        """
        ends = self.expires_at
        if ends is None or not isfinite(ends) or ends <= self.issued_at or now < self.issued_at:
            return None
        return ends

    def has_ended(self, now: float) -> bool:
        """Whether the access token has expired, as far as the clock tells."""
        end = self.end(now)
        return end is not None and end <= now


@dataclass(frozen=True, slots=True)
class Entry:
    """A credential as it is stored. Its `repr` hides the secrets.

    Attributes:
        generation: 1 for the first credential of this connection, one more for each that replaced it.
        hosts: The hosts the person agreed to when giving the secret, as `Provider.host_names`.
        created_at, updated_at: RFC 3339 in UTC, whole seconds.
        settings: The fields that were no secrets when they were given. No later definition makes one of a secret.
        grant: What is known of its tokens, None for a key.
    """

    provider: str
    connection: str
    generation: int
    hosts: tuple[str, ...]
    fields: Mapping[str, str] = field(repr=False)
    created_at: str
    updated_at: str
    settings: tuple[str, ...] = ()
    grant: Grant | None = None

    def of(self, provider: Provider) -> Provider:
        """Return the provider as this credential has it: with tokens, or with a key, and with its settings."""
        provider = provider.with_tokens if self.grant else provider
        return provider.filled(self.shown(provider))

    def shown(self, provider: Provider) -> Mapping[str, str]:
        """Return the fields that are no secrets, neither when they were given nor by the definition of now."""
        plain = {each.name for each in provider.fields if not each.secret and each.name in self.settings}
        return {name: text for name, text in self.fields.items() if name in plain}


@dataclass(frozen=True, slots=True)
class Holding:
    """Everything that can be said about a credential without saying it.

    Attributes:
        field_names: The secrets it consists of.
        off_pattern: Those that no longer match the pattern of the provider's definition.
        new_hosts: Where the definition of now would send them, and nobody agreed to.
        grant: What is known of its tokens, None for a key.
        renewable: Whether new tokens can be had without a person.
    """

    provider: str
    connection: str
    generation: int
    hosts: tuple[str, ...]
    field_names: tuple[str, ...]
    off_pattern: tuple[str, ...]
    new_hosts: tuple[str, ...]
    created_at: str
    updated_at: str
    grant: Grant | None = None
    renewable: bool = False


RENEWED_ALONE = frozenset({"client_credentials", "jwt_bearer", "app_installation"})
"""The flows in which new tokens are asked for as the first ones were, without a refresh token."""


def holding(entry: Entry, provider: Provider) -> Holding:
    """Return what can be said about an entry, seen with its provider's definition."""
    provider = entry.of(provider)
    return Holding(
        provider=entry.provider,
        connection=entry.connection,
        generation=entry.generation,
        hosts=entry.hosts,
        field_names=tuple(entry.fields),
        off_pattern=tuple(
            each.name
            for each in provider.fields
            if each.pattern and each.name in entry.fields and not each.pattern.fullmatch(entry.fields[each.name])
        ),
        new_hosts=_beyond(entry, provider),
        created_at=entry.created_at,
        updated_at=entry.updated_at,
        grant=entry.grant,
        renewable=entry.grant is not None
        and entry.grant.refused is None
        and ("refresh_token" in entry.fields or entry.grant.flow in RENEWED_ALONE),
    )


def _beyond(entry: Entry, provider: Provider) -> tuple[str, ...]:
    """Return the hosts that nobody agreed to: for the credential, and for what it is renewed with."""
    beyond = provider.beyond(entry.hosts)
    if entry.grant is None or provider.oauth is None:
        return beyond
    return tuple(sorted({*beyond, *entry.grant.beyond(provider.oauth.token_hosts)}))


def render(entry: Entry, keys: Keyring, profile: str) -> bytes:
    """Return the plaintext of an entry's file."""
    body = {"version": 1, "vault": keys.vault_id, "profile": profile, **asdict(entry)}
    for name in ("settings", "grant"):  # as it was written before there were any
        if not body[name]:
            del body[name]
    return signed(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), keys.mac_key)


def signed(text: bytes, mac_key: bytes) -> bytes:
    """Return the plaintext of an entry's file from the text of the entry."""
    return _mac_line(text, mac_key) + text + b"\n"


def _mac_line(text: bytes, mac_key: bytes) -> bytes:
    return f"{_MAC_MARK}{hmac.new(mac_key, text, sha256).hexdigest()}\n".encode()


@dataclass(frozen=True, slots=True)
class Opened:
    """What was in an entry's file.

    Attributes:
        text: The entry as it was written, without the MAC.
        by: The identity it was encrypted to.
    """

    entry: Entry
    text: bytes = field(repr=False)
    by: Identity


def authentic(ciphertext: bytes, path: Path, keys: Keyring) -> tuple[bytes, Identity] | None:
    """Return the text of an entry and the identity it was encrypted to, None if that is none of the profile's.

    While a member is being removed, it may be to either identity. Raises (exit code 5) unless its MAC holds.
    """
    for identity in keys.identities:
        try:
            plaintext = identity.open(ciphertext)
        except OpenError:
            continue
        mac, _, text = plaintext.partition(b"\n")
        text = text.removesuffix(b"\n")
        # NOTE: by the key of the identity that opened it. A removed member knows the former one.
        if not hmac.compare_digest(mac + b"\n", _mac_line(text, identity.mac_key(keys.vault_id))):
            raise TamperedError(path, "was not written by a member of this profile")
        return text, identity
    return None


def unseal(ciphertext: bytes, path: Path, keys: Keyring, provider: str, connection: str) -> Opened:
    """Return what is in an entry's file.

    Raises (exit code 5) unless its MAC holds and it says it is the one that was looked for.
    """
    found = authentic(ciphertext, path, keys)
    if found is None:
        if conflicted(ciphertext):
            raise unmerged(path, f"keep one side: git checkout --ours -- {path} (or --theirs), then: git add {path}")
        raise TamperedError(path, "was not encrypted to this profile, or is damaged", hint=_RESTORE)
    text, identity = found
    if identity is keys.former and not keys.renews(f"{provider}/{connection}", ciphertext):
        raise TamperedError(path, "was written under keys that a removed member knows, after the removal began")
    return Opened(_parse(text, path, keys, provider, connection), text, identity)


def _parse(text: bytes, path: Path, keys: Keyring, provider: str, connection: str) -> Entry:
    try:
        body: dict[str, Any] = json.loads(text)
        version, vault, profile = body.pop("version"), body.pop("vault"), body.pop("profile")
        found = (vault, profile, body["provider"], body["connection"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise TamperedError(path, "is not an entry of authsome") from None
    if version != 1:
        raise AuthsomeError(f"{path} was written by a newer authsome", hint="use it", code=ExitCode.INTEGRITY)
    if found != (keys.vault_id, keys.profile, provider, connection):
        raise TamperedError(path, f"is the entry of {found[2]}/{found[3]} in the profile `{found[1]}`, moved here")
    body |= {"hosts": tuple(body["hosts"]), "settings": tuple(body.get("settings", ()))}
    if grant := body.get("grant"):
        lists = {name: tuple(each) for name, each in grant.items() if isinstance(each, list)}
        body["grant"] = Grant(**{**grant, **lists})
    return Entry(**body)
