"""One profile's secrets: a folder of age files, and who can open it.

    <home>/profiles/<profile>/
      recipients.txt                     `age -R` syntax; a comment names each member
      keyring.age                        to the recipients: the profile's own identity and its roster
      connections/<provider>/<name>.age  to the profile's identity: a MAC line, then one JSON object

Promises that a write is whole or did not happen (also on `kill -9`), that two writers lose nothing, that what is
written can be read back, and that every file opens with stock `age`. Refuses what was not written by a member of the
profile. Never creates anew what it failed to read.
"""

import hmac
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode, file_errors
from authsome.provider import Provider, check_name
from authsome.vault.age import Identity, OpenError, encrypt
from authsome.vault.entry import Entry, Holding, holding, parse, render
from authsome.vault.files import (
    MAX_ENTRY_BYTES,
    READ_ONLY_HINT,
    locked,
    make_folder,
    read,
    replace,
    sync_folder,
    tampered,
)
from authsome.vault.identity import Given, Search, find_home, find_identity
from authsome.vault.keyring import Keyring, NotAMemberError, create_profile, members, open_keyring

__all__ = ["Entry", "Given", "Holding", "Identity", "Search", "Vault", "find_home", "find_identity", "holding"]


class Vault:
    """One profile: listing needs no key, reading and writing open the keyring, once."""

    def __init__(self, home: Path, profile: str, environ: Mapping[str, str], given: Given | None = None) -> None:
        self.home = home
        self.profile = check_name(profile, "profile")
        self.folder = home / "profiles" / profile
        self._environ = environ
        self._given = given or Given()
        self._identity: Identity | None = None
        self._keys: Keyring | None = None
        self._pinned: Keyring | None = None

    def again(self) -> "Vault":
        """Return this vault as if new, for the identity that opened it: that may have come through a pipe, once.

        Nobody is asked for a passphrase: by now the terminal is somebody else's.

        NOTE: a profile that somebody replaced meanwhile would hold somebody else's keys; the new vault refuses it.
        """
        anew = Vault(self.home, self.profile, self._environ, self._given.unattended())
        anew._identity, anew._pinned = self._identity, self._keys or self._pinned
        return anew

    def names(self) -> list[tuple[str, str]]:
        """Return (provider, connection) of everything held, sorted; no decryption."""
        with file_errors("read", self.folder):
            paths = list((self.folder / "connections").glob("*/*.age"))
        return sorted((path.parent.name, path.stem) for path in paths if not path.name.startswith("."))

    def read(self, provider: str, connection: str) -> Entry | None:
        """Return an entry, or None if there is none; a damaged or foreign one is an error (exit code 5)."""
        path = self._path(provider, connection)
        try:
            ciphertext = read(path)
        except FileNotFoundError:
            return None
        keys = self._open()
        try:
            plaintext = keys.identity.open(ciphertext)
        except OpenError:
            raise tampered(path, "was not encrypted to this profile, or is damaged") from None
        return parse(plaintext, path, keys, self.profile, provider, connection)

    def write(self, provider: Provider, connection: str, fields: Mapping[str, str], now: float) -> bool:
        """Store a credential and the hosts it may go to; return False if exactly that was held already.

        Args:
            now: Seconds since 1970.
        """
        path = self._path(provider.name, connection)
        keys = self._open(create=True)
        with locked(self.folder):
            before = self.read(provider.name, connection)
            if before and before.fields == fields and before.hosts == provider.host_names:
                return False
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
            entry = Entry(
                provider=provider.name,
                connection=connection,
                generation=before.generation + 1 if before else 1,
                hosts=provider.host_names,
                fields=dict(fields),
                created_at=before.created_at if before else stamp,
                updated_at=stamp,
            )
            plaintext = render(entry, keys, self.profile)
            if len(plaintext) > MAX_ENTRY_BYTES:
                raise AuthsomeError("the secret is too large to be one", code=ExitCode.USAGE)
            make_folder(path.parent)
            for left in path.parent.glob(f".{path.name}.*"):  # by a writer that was killed; ours is the lock
                left.unlink(missing_ok=True)
            replace(path, encrypt(plaintext, [keys.identity.recipient], keys.identity))
        return True

    def delete(self, provider: str, connection: str) -> bool:
        """Forget a credential; return False if there was none. Needs no identity."""
        path = self._path(provider, connection)
        if not path.exists():
            return False
        with locked(self.folder), file_errors("delete", path, hint=READ_ONLY_HINT):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
            with suppress(OSError):  # not empty: another connection of this provider
                path.parent.rmdir()
        return True

    def _path(self, provider: str, connection: str) -> Path:
        check_name(provider, "provider")
        return self.folder / "connections" / provider / f"{check_name(connection, 'connection')}.age"

    def _open(self, *, create: bool = False) -> "Keyring":
        if self._keys is None:
            if create and not self.folder.exists():
                owner = self._identity or find_identity(self.home, self._environ, self._given, create=True)
                create_profile(self.folder, self.profile, owner)
                self._identity = owner
            keys = self._open_keyring()
            if self._pinned and not hmac.compare_digest(keys.mac_key, self._pinned.mac_key):
                raise AuthsomeError(
                    f"the profile `{self.profile}` has other keys than before",
                    hint="if that was you, start again",
                    code=ExitCode.INTEGRITY,
                )
            self._keys = keys
        return self._keys

    def _open_keyring(self) -> Keyring:
        """Open the profile with the identity that did so before, else with the first of all places that does."""
        if self._identity:
            return open_keyring(self.folder, self.profile, self._identity)
        search = Search(self.home, self._environ, self._given, members(self.folder))
        for identity in search.identities():
            try:
                keys = open_keyring(self.folder, self.profile, identity)
            except NotAMemberError as error:
                search.refuse(error, identity)
            else:
                self._identity = identity
                return keys
        raise search.failure()
