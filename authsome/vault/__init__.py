"""One profile's secrets, in the home and beside a project's manifest.

    <home>/profiles/<profile>/       this machine's
    .authsome/profiles/<profile>/    the project's, encrypted to its members and checked in with it

Promises that reading looks in both and the home's wins, that a write goes to the home unless the project is meant, and
that a project's vault is not opened before somebody on this machine has accepted it. See `folder` for what holds of
each.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import Provider
from authsome.vault.age import Identity
from authsome.vault.entry import Entry, Holding, holding
from authsome.vault.folder import Access, Folder
from authsome.vault.identity import Given, Search, find_home, find_identity
from authsome.vault.pins import Pins

__all__ = [
    "PROJECT_FOLDER",
    "Entry",
    "Folder",
    "Given",
    "Holding",
    "Identity",
    "Search",
    "Vault",
    "find_home",
    "find_identity",
    "holding",
]

PROJECT_FOLDER = ".authsome"


class Vault:
    """The folders of one profile.

    Attributes:
        own: The home's.
        shared: The project's, None without a project.
    """

    def __init__(
        self,
        home: Path,
        profile: str,
        environ: Mapping[str, str],
        given: Given | None = None,
        project: Path | None = None,
    ) -> None:
        self.home = home
        self.profile = profile
        self._access = Access(home, environ, given or Given(), Pins(home, environ))
        self.own = Folder(home, profile, self._access, own=True)
        root = project / PROJECT_FOLDER if project else None
        # Who keeps a manifest in their home folder has the home where a project's vault would be.
        beside = root is not None and root.absolute() != home.absolute()
        self.shared = Folder(root, profile, self._access, own=False) if root and beside else None

    def again(self) -> "Vault":
        """Return this vault as if new, for the identity that opened it: that may have come through a pipe, once.

        Nobody is asked for a passphrase: by now the terminal is somebody else's.
        """
        anew = Vault(self.home, self.profile, self._access.environ)
        anew._access = replace(self._access, given=self._access.given.unattended())
        anew.own = self.own.again(anew._access)
        anew.shared = self.shared.again(anew._access) if self.shared else None
        return anew

    @property
    def folders(self) -> tuple[Folder, ...]:
        """The folders there can be, the one that wins first."""
        return (self.own, self.shared) if self.shared else (self.own,)

    def names(self) -> list[tuple[str, str]]:
        """Return (provider, connection) of everything held, sorted; no decryption."""
        return sorted(set(chain.from_iterable(folder.names() for folder in self.folders)))

    def holder(self, provider: str, connection: str) -> Folder | None:
        """Return the folder that a connection is read from."""
        return next((folder for folder in self.folders if folder.holds(provider, connection)), None)

    def read(self, provider: str, connection: str) -> Entry | None:
        """Return an entry, or None if there is none; a damaged or foreign one is an error (exit code 5)."""
        folder = self.holder(provider, connection)
        return folder.read(provider, connection) if folder else None

    def write(
        self, provider: Provider, connection: str, fields: Mapping[str, str], now: float, *, shared: bool = False
    ) -> bool:
        """Store a credential and the hosts it may go to; return False if exactly that was held already.

        Args:
            now: Seconds since 1970.
            shared: Into the project's folder.
        """
        return self.place(shared=shared).write(provider, connection, fields, now)

    def delete(self, provider: str, connection: str, *, shared: bool = False) -> bool:
        """Forget a credential; return False if there was none. Needs no identity."""
        return self.place(shared=shared).delete(provider, connection)

    def place(self, *, shared: bool) -> Folder:
        """Return the folder to write to, or raise (exit code 2) if there is no project that could have one."""
        if not shared:
            return self.own
        if self.shared is None:
            raise AuthsomeError(
                "there is no authsome.yaml here, and a shared vault lies beside one",
                hint="write one (`version: 1`), or leave out --shared",
                code=ExitCode.USAGE,
            )
        return self.shared
