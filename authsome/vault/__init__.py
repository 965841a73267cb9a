"""One profile's secrets, in the home and beside a project's manifest.

    <home>/profiles/<profile>/       this machine's
    .authsome/profiles/<profile>/    the project's, encrypted to its members and checked in with it

Promises that reading looks in both and the home's wins, that a write goes to the home unless the project is meant, and
that a project's vault is not opened before somebody on this machine has accepted it. See `folder` for what holds of
each.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import Provider, check_name
from authsome.vault import preset
from authsome.vault.age import Identity
from authsome.vault.entry import RENEWED_ALONE, Entry, Grant, Holding, holding
from authsome.vault.files import TamperedError
from authsome.vault.folder import Access, Folder
from authsome.vault.identity import Given, Search, find_home, find_identity
from authsome.vault.pins import Pins
from authsome.vault.profiles import listed, used

__all__ = [
    "PROJECT_FOLDER",
    "RENEWED_ALONE",
    "Entry",
    "Folder",
    "Given",
    "Grant",
    "Holding",
    "Identity",
    "Search",
    "TamperedError",
    "Vault",
    "find_home",
    "find_identity",
    "holding",
    "used",
]

PROJECT_FOLDER = ".authsome"
_NOT_SILENT = frozenset({"AUTHSOME_IDENTITY_COMMAND", "AUTHSOME_IDENTITY_FILE"})


class Vault:
    """The folders of one profile.

    Attributes:
        own: The home's.
        shared: The project's, None without a project.
        preset: How the profile is used, by the name of a preset.
    """

    def __init__(
        self,
        home: Path,
        profile: str,
        environ: Mapping[str, str],
        given: Given | None = None,
        project: Path | None = None,
    ) -> None:
        self.home, self._project = home, project
        self.profile = check_name(profile, "profile")
        beside = _beside(project, home)
        place = Path("profiles") / profile
        self.preset = preset.chosen(profile, home / place, beside / place if beside else None)
        found = given or Given()
        if self.preset != preset.DEFAULT:  # which leaves out nothing, and to read it takes longer than to open a vault
            found = replace(found, files=preset.load(self.preset).identity)
        self._access = Access(home, environ, found, Pins(home, environ))
        self.own = Folder(home, profile, self._access, own=True)
        self.shared = Folder(beside, profile, self._access, own=False) if beside else None

    def again(self) -> "Vault":
        """Return this vault as if new, for the identity that opened it: that may have come through a pipe, once.

        Nobody is asked for a passphrase: by now the terminal is somebody else's.
        """
        anew = Vault(self.home, self.profile, self._access.environ, project=self._project)
        anew._access = replace(self._access, given=self._access.given.unattended())
        anew.own = self.own.again(anew._access)
        anew.shared = self.shared.again(anew._access) if self.shared else None
        return anew

    def others(self) -> Iterator["Vault"]:
        """Yield the home's other profiles, for the identity that opened this one or another that opens without a word.

        No program is run for it, and no file is read that a variable names: it may be a pipe, which gives itself once.
        """
        for name in listed(self.home):
            if name != self.profile:
                with suppress(AuthsomeError):  # a folder that is no profile
                    silent = self._silent()
                    other = Vault(self.home, name, silent.environ)
                    other._access = silent
                    other.own = other.own.again(other._access)
                    yield other

    def silent(self) -> "Vault":
        """Return this vault as if new, for an identity that opens it without a word, as `others` has it."""
        anew = Vault(self.home, self.profile, self._access.environ, project=self._project)
        anew._access = self._silent()
        anew.own = self.own.again(anew._access)
        anew.shared = self.shared.again(anew._access) if self.shared else None
        return anew

    def _silent(self) -> Access:
        environ = {name: text for name, text in self._access.environ.items() if name not in _NOT_SILENT}
        return replace(self._access, environ=environ, given=replace(self._access.given.unattended(), file=None))

    @property
    def identity(self) -> Identity | None:
        """The identity that has opened a folder of it, None before one has."""
        return self._access.identity

    @property
    def folders(self) -> tuple[Folder, ...]:
        """The folders there can be, the one that wins first."""
        return (self.own, self.shared) if self.shared else (self.own,)

    def names(self) -> list[tuple[str, str]]:
        """Return (provider, connection) of everything held, sorted; no decryption."""
        return sorted(set(chain.from_iterable(folder.names() for folder in self.folders)))

    def states(self) -> dict[tuple[str, str], tuple[Folder, str | None]]:
        """Return the folder that each connection is read from, and what is wrong with its file; no decryption."""
        return {name: (folder, damage) for folder in reversed(self.folders) for name, damage in folder.states().items()}

    def holder(self, provider: str, connection: str) -> Folder | None:
        """Return the folder that a connection is read from."""
        return next((folder for folder in self.folders if folder.holds(provider, connection)), None)

    def read(self, provider: str, connection: str) -> Entry | None:
        """Return an entry, or None if there is none; a damaged or foreign one is an error (exit code 5)."""
        folder = self.holder(provider, connection)
        return folder.read(provider, connection) if folder else None

    def write(
        self,
        provider: Provider,
        connection: str,
        fields: Mapping[str, str],
        now: float,
        *,
        shared: bool | None = None,
        grant: Grant | None = None,
    ) -> bool:
        """Store a credential and the hosts it may go to; return False if exactly that was held already.

        Args:
            now: Seconds since 1970.
            grant: What is known of tokens besides themselves.
            shared: Into the project's folder; None for where the preset says. Tokens that change by themselves are
                personal: two machines that refresh one would take it away from each other.
        """
        if provider.auth_type == "oauth2":
            if shared:
                raise AuthsomeError(
                    f"{provider.name} logs in with tokens that change by themselves, which no two machines can share",
                    hint="leave out --shared: each member logs in",
                    code=ExitCode.USAGE,
                )
            shared = False
        return self.place(shared=shared).write(provider, connection, fields, now, grant)

    def place(self, *, shared: bool | None) -> Folder:
        """Return the folder to write to, or raise (exit code 2) if there is no project that could have one.

        Args:
            shared: The project's; None for where the preset says.
        """
        if shared is None:
            shared = self.preset != preset.DEFAULT and preset.load(self.preset).vault == "project"
        if not shared:
            return self.own
        if self.shared is None:
            raise AuthsomeError(
                "there is no authsome.yaml here, and a shared vault lies beside one",
                hint="write one (`version: 1`), or say --no-shared",
                code=ExitCode.USAGE,
            )
        return self.shared


def _beside(project: Path | None, home: Path) -> Path | None:
    """Return the folder beside a manifest that holds `profiles/`; in one's home folder that would be the home."""
    if project is None or project.resolve() / PROJECT_FOLDER == home.parent.resolve() / home.name:
        return None
    return project / PROJECT_FOLDER
