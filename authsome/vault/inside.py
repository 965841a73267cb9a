"""What an encrypted file of a vault says of itself to a member, without a value: for diffs.

Promises to ask nobody and to start nothing: an identity counts that can be read as it lies there. Refuses to repeat
what an entry says if no member wrote it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authsome.errors import AuthsomeError
from authsome.vault.age import Identity, OpenError
from authsome.vault.entry import authentic
from authsome.vault.identity import Given, Search
from authsome.vault.keyring import Keyring, members, open_keyring, parse_keyring
from authsome.vault.pins import Pins

_TOLD = ("provider", "connection", "generation", "hosts", "created_at", "updated_at")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, and which profiles it can be.

    Attributes:
        roots: The folders that hold `profiles/`, a project's and the home.
    """

    home: Path
    environ: Mapping[str, str]
    file: str | None
    roots: tuple[Path, ...]

    def describe(self, content: bytes, path: Path) -> dict[str, Any]:
        """Return what a file says, by name; nothing if it cannot be opened here."""
        folders = list(self._folders())
        identities = list(self._identities(folders))
        for identity in identities:
            with suppress(OpenError, AuthsomeError):
                return _keyring(parse_keyring(content, path, identity))
        for folder, identity in ((folder, identity) for folder in folders for identity in identities):
            with suppress(AuthsomeError):
                keys = open_keyring(folder, folder.name, identity)
                known = Pins(self.home, self.environ).knows(folder, keys, own=False)
                if shown := _entry(content, path, keys, known=known):
                    return shown
        return {}

    def _folders(self) -> Iterator[Path]:
        for root in self.roots:
            with suppress(OSError):
                yield from sorted(path for path in (root / "profiles").iterdir() if path.is_dir())

    def _identities(self, folders: Iterable[Path]) -> Iterator[Identity]:
        named = self.file or self.environ.get("AUTHSOME_IDENTITY_FILE")
        if named and not Path(named).expanduser().is_file():  # a pipe would wait, and is there once
            return
        everybody: set[str] = set()
        for folder in folders:
            with suppress(AuthsomeError):
                everybody |= members(folder)
        search = Search(self.home, self.environ, Given(self.file), everybody)
        if search.named != "AUTHSOME_IDENTITY_COMMAND":  # it may ask, and would run for each file of a diff
            yield from search.identities()


def _keyring(keys: Keyring) -> dict[str, Any]:
    return {
        "file": "keyring",
        "profile": keys.profile,
        "epoch": keys.epoch,
        "keys": keys.fingerprint,
        "members": sorted(f"{each.name} {each.recipient}" for each in keys.roster),
    }


def _entry(content: bytes, path: Path, keys: Keyring, *, known: bool) -> dict[str, Any]:
    shown = {"file": "entry", "profile": keys.profile, "keys": keys.fingerprint, "accepted": known}
    try:
        found = authentic(content, path, keys)
    except AuthsomeError:
        return {**shown, "mac": "does not hold, no member of this profile wrote it"}
    if found is None:
        return {}
    try:
        body = json.loads(found[0])
        sizes = {name: len(value.encode()) for name, value in body["fields"].items()}
        told = {name: body[name] for name in _TOLD}
    except (ValueError, KeyError, TypeError, AttributeError):  # whoever made the whole profile can write anything
        return {**shown, "mac": "holds", "state": "not as authsome writes it"}
    return {**shown, "mac": "holds", **told, "fields": sizes}
