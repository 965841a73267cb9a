"""One folder of a profile, in the home or in a project.

    preset                             the name of one, where it was chosen
    recipients.txt                     `age -R` syntax; a comment names each member
    keyring.age                        to the recipients: the profile's own identity and its roster
    connections/<provider>/<name>.age  to the profile's identity: a MAC line, then one JSON object

Promises that a write is whole or did not happen (also on `kill -9`), that two writers lose nothing, that what is
written can be read back, and that every file opens with stock `age`. Refuses what was not written by a member of the
profile, a profile that is not the one this machine knows, and a link in the place of a folder: a repository can bring
one, and what is stored or deleted would be somewhere else. Never creates anew what it failed to read.
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode, file_errors
from authsome.provider import CLIENT, DEFAULT_CONNECTION, Provider, check_entry, check_name
from authsome.vault import rekey
from authsome.vault.age import Identity, encrypt
from authsome.vault.armor import FormError, look
from authsome.vault.entry import Entry, Grant, render, unseal
from authsome.vault.files import (
    MAX_ENTRY_BYTES,
    READ_ONLY_HINT,
    TamperedError,
    drafted,
    in_turn,
    locked,
    make_folder,
    read,
    refuse_links,
    replace,
    scanned,
    sync_folder,
)
from authsome.vault.gitfiles import DIFF, FILE_NAME, write_attributes
from authsome.vault.identity import Given, Search, find_identity
from authsome.vault.keyring import Keyring, NotAMemberError, create_profile, edition, members, open_keyring
from authsome.vault.pins import Pins
from authsome.vault.preset import FILE_NAME as PRESET

_TRIES = 5


@dataclass(slots=True)
class Access:
    """Who opens a profile's folders; shared by them, so that nobody is asked twice."""

    home: Path
    environ: Mapping[str, str]
    given: Given
    pins: Pins
    identity: Identity | None = field(default=None, repr=False)

    def open(self, folder: Path, profile: str) -> Keyring:
        """Open a profile with the identity that opened another folder of it, else with the first place's that does.

        An identity that was replaced after it was read is read again.
        """
        for _ in range(_TRIES):
            before = edition(folder)
            try:
                return self._open(folder, profile)
            except AuthsomeError:
                if edition(folder) == before:
                    raise
        return self._open(folder, profile)

    def _open(self, folder: Path, profile: str) -> Keyring:
        if self.identity:
            with suppress(NotAMemberError):
                return open_keyring(folder, profile, self.identity)
        search = Search(self.home, self.environ, self.given, members(folder))
        for identity in search.identities():
            try:
                keys = open_keyring(folder, profile, identity)
            except NotAMemberError as error:
                search.refuse(error, identity)
            else:
                self.identity = identity
                return keys
        raise search.failure()

    def create(self, folder: Path, profile: str) -> None:
        """Make a profile of which this user is the only member."""
        self.identity = self.identity or find_identity(self.home, self.environ, self.given, create=True)
        create_profile(folder, profile, self.identity)


class Folder:
    """`<root>/profiles/<profile>`: listing needs no key, reading and writing open the keyring, once.

    Attributes:
        own: It lies in the home, so the first profile that is seen there is this user's.
    """

    def __init__(self, root: Path, profile: str, access: Access, *, own: bool) -> None:
        self.path = root / "profiles" / check_name(profile, "profile")
        refuse_links(self.path / "connections", *(() if own else (root, root / "profiles", self.path)))
        self.profile = profile
        self.own = own
        self._access = access
        self._keys: Keyring | None = None
        self._edition: tuple[int, int] | None = None
        self._expected: str | None = None

    def again(self, access: Access) -> "Folder":
        """Return this folder as if new.

        NOTE: a profile that somebody replaced meanwhile would hold somebody else's keys; the new folder refuses it.
        """
        anew = Folder(self.path.parents[1], self.profile, access, own=self.own)
        anew._expected = self._keys.fingerprint if self._keys else self._expected
        return anew

    @property
    def exists(self) -> bool:
        """Whether there is such a profile."""
        return self.path.exists()

    def names(self) -> list[tuple[str, str]]:
        """Return (provider, connection) of every connection held, sorted; no decryption."""
        return sorted((provider, name) for provider, name, _ in self._listed() if name != CLIENT)

    def states(self) -> dict[tuple[str, str], str | None]:
        """Return what is wrong with each file as far as it shows without a key, None if nothing; no decryption."""
        return {(provider, name): _damage(path) for provider, name, path in self._listed() if name != CLIENT}

    def _listed(self) -> Iterator[tuple[str, str, str]]:
        """Yield provider, connection and path of every entry. NOTE: ten thousand take a fifth of the time of a glob."""
        with file_errors("read", self.path):
            for provider in scanned(self.path / "connections"):
                if provider.name.startswith(".") or not provider.is_dir(follow_symlinks=False):
                    continue
                for each in scanned(provider.path):
                    if each.name.endswith(".age") and not each.name.startswith("."):
                        yield provider.name, each.name.removesuffix(".age"), each.path

    def holds(self, provider: str, connection: str) -> bool:
        """Whether there is a file for a connection, whatever is in it."""
        return self._file(provider, connection).exists()

    def read(self, provider: str, connection: str) -> Entry | None:
        """Return an entry, or None if there is none; a damaged or foreign one is an error (exit code 5)."""
        entry = self.peek(provider, connection)
        if entry:
            self._compare(self.keys(), entry, self._file(provider, connection))
        return entry

    def peek(self, provider: str, connection: str) -> Entry | None:
        """Return an entry as `read` does, without remembering it as the newest that was seen here."""
        path = self._file(provider, connection)
        for turn in range(_TRIES):
            with self._told():
                try:
                    ciphertext = read(path)
                except FileNotFoundError:
                    return None
            keys = self.keys()
            try:
                return unseal(ciphertext, path, keys, provider, connection).entry
            except TamperedError as error:
                # Reading takes no lock: somebody may be giving the profile new keys, and each entry with them.
                if turn < _TRIES - 1 and (self._outdated() or _changed(path, ciphertext)):
                    continue
                error.add(_history(path))
                raise
        return None

    def write(
        self, provider: Provider, connection: str, fields: Mapping[str, str], now: float, grant: Grant | None = None
    ) -> bool:
        """Store a credential and the hosts it may go to; return False if exactly that was held already.

        Args:
            now: Seconds since 1970.
            grant: What is known of tokens besides themselves.
        """
        path = self._file(provider.name, connection)
        self.keys(create=True)
        with self.changing() as keys:
            before = self.read(provider.name, connection)
            settings = tuple(each.name for each in provider.fields if not each.secret and each.name in fields)
            held = (fields, provider.host_names, settings, grant)
            if before and (before.fields, before.hosts, before.settings, before.grant) == held:
                return False
            stamp = _stamp(now)
            entry = Entry(
                provider=provider.name,
                connection=connection,
                generation=self._next(keys, provider.name, connection, before),
                hosts=provider.host_names,
                fields=dict(fields),
                created_at=before.created_at if before else stamp,
                updated_at=stamp,
                settings=settings,
                grant=grant,
            )
            self._put(keys, path, entry)
        self._access.pins.saw(keys, provider.name, connection, entry.generation)
        return True

    def renew(self, before: Entry, fields: Mapping[str, str], now: float, grant: Grant | None) -> Entry | None:
        """Store what took the place of an entry's tokens; return it, or None if somebody else has changed it meanwhile.

        NOTE: its hosts and settings stay those that a person agreed to, whatever the definition says by now. And a
        login or a logout that came in between is not undone.

        Args:
            now: Seconds since 1970.
        """
        name = before.provider, before.connection
        path = self._file(*name)
        with self.changing() as keys:
            held = self.read(*name)
            if held is None or held.generation != before.generation:
                return None
            generation = self._next(keys, *name, held)
            entry = dataclasses.replace(
                held, generation=generation, fields=dict(fields), updated_at=_stamp(now), grant=grant
            )
            self._put(keys, path, entry)
        self._access.pins.saw(keys, *name, entry.generation)
        return entry

    @contextmanager
    def turn(self, provider: str, connection: str, seconds: float) -> Iterator[None]:
        """Hold an entry for who is about to renew it; who only reads or replaces it does not wait.

        Args:
            seconds: How long to wait for whoever does so already.
        """
        with in_turn(self._file(provider, connection), seconds):
            yield

    def check_room(self, entry: Entry) -> None:
        """Raise unless something of an entry's size can be written in its place."""
        path = self._file(entry.provider, entry.connection)
        with file_errors("read", path):
            size = 2 * path.stat().st_size
        with drafted(path, bytes(size)):
            pass

    def _next(self, keys: Keyring, provider: str, connection: str, before: Entry | None) -> int:
        """Return the number of the credential that follows."""
        newest = self._access.pins.newest(keys, provider, connection)
        if exposure := keys.exposed.get(f"{provider}/{connection}"):
            newest = max(newest, exposure.generation)
        return max(newest, before.generation if before else 0) + 1

    def _put(self, keys: Keyring, path: Path, entry: Entry) -> None:
        """Write an entry, by who holds the folder."""
        plaintext = render(entry, keys, self.profile)
        if len(plaintext) > MAX_ENTRY_BYTES:
            raise AuthsomeError("the secret is too large to be one", code=ExitCode.USAGE)
        make_folder(path.parent)
        for left in path.parent.glob(f".{path.name}.*"):  # by a writer that was killed; ours is the lock
            left.unlink(missing_ok=True)
        replace(path, encrypt(plaintext, [keys.identity.recipient], keys.identity))

    def delete(self, provider: str, connection: str) -> bool:
        """Forget a credential; return False if there was none. Needs no identity."""
        path = self._file(provider, connection)
        if not path.exists():
            return False
        with locked(self.path), file_errors("delete", path, hint=READ_ONLY_HINT):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
            with suppress(OSError):  # not empty: another connection of this provider
                path.parent.rmdir()
        return True

    def keys(self, *, create: bool = False) -> Keyring:
        """Return the profile's keyring, opened once and compared with what this machine knows of it."""
        if self._keys is None:
            if create and not self.exists:
                self.create()
            keys = self._checked()
            if self._expected not in (None, keys.fingerprint):
                raise AuthsomeError(
                    f"the profile `{self.profile}` has other keys than before",
                    hint="if that was you, start again",
                    code=ExitCode.INTEGRITY,
                )
            self._keys = keys
        return self._keys

    def _checked(self) -> Keyring:
        """Return the keyring once it is the one that this machine knows.

        Reading takes no lock: one that was replaced while it was compared, by a removal at work, is read again.
        """
        for turn in range(_TRIES):
            self._edition = edition(self.path)
            keys = self.unchecked()
            try:
                self._access.pins.check(self.path, keys, own=self.own)
            except TamperedError as error:
                if turn < _TRIES - 1 and edition(self.path) != self._edition:
                    continue
                error.add(_history(error.path))
                raise
            break
        return keys

    @contextmanager
    def changing(self, *, force: bool | None = None) -> Iterator[Keyring]:
        """Hold the folder for a change, with its keys as they are now; a removal that was cut short is ended first.

        Args:
            force: See `rekey.finish`.
        """
        with locked(self.path):
            self._outdated()
            keys = self.keys()
            if keys.former:
                keys = self.replaced(rekey.finish(self.work, keys, force=force).keys)
            yield keys

    @property
    def work(self) -> rekey.Work:
        """What it takes to give the folder new keys."""
        return rekey.Work(self.path, self._access.pins, self._access.given.say, self._access.given.warn)

    def replaced(self, keys: Keyring) -> Keyring:
        """Take note of a keyring that was written by who holds the folder, and return it."""
        self._keys, self._edition = keys, edition(self.path)
        return keys

    def _outdated(self) -> bool:
        """Whether the keyring is another file than the one that was opened, which is forgotten then."""
        if self._edition == edition(self.path):
            return False
        self._keys = None
        return True

    def unchecked(self) -> Keyring:
        """Return the keyring as it is, for whoever asks whether it is the right one."""
        try:
            with self._told():
                return self._access.open(self.path, self.profile)
        except AuthsomeError as error:
            if error.code is ExitCode.LOCKED and not self.own:
                error.hint = f"to become a member: authsome recipients join --shared; else {error.hint}"
            raise

    def accepted(self, keys: Keyring) -> bool:
        """Whether a keyring of this folder is the one that this machine knows."""
        return self._access.pins.knows(self.path, keys, own=self.own)

    def accept(self, keys: Keyring) -> None:
        """Take the profile that is here now for the right one."""
        self._access.pins.accept(self.path, keys)

    def create(self, preset: str | None = None) -> None:
        """Make the profile, with this user as its only member.

        Args:
            preset: The name of one, to be kept in it.
        """
        self._access.create(self.path, self.profile)
        self._access.pins.accept(self.path, self.unchecked())
        self._tell_git()
        if preset:
            replace(self.path / PRESET, f"{preset}\n".encode())

    def files(self) -> list[Path]:
        """Return the files whose change is a change of the vault."""
        entries = (Path(path) for _, _, path in self._listed())
        return [self.path / "keyring.age", self.path / "recipients.txt", *entries]

    def folders(self) -> list[Path]:
        """Return the folders in which one of them can appear."""
        connections = self.path / "connections"
        return [self.path.parent, self.path, connections, *connections.glob("*/")]

    def _file(self, provider: str, connection: str) -> Path:
        name = check_entry(connection, "connection")
        path = self.path / "connections" / check_name(provider, "provider") / f"{name}.age"
        refuse_links(path.parent)
        return path

    def _compare(self, keys: Keyring, entry: Entry, path: Path) -> None:
        """Say of an entry that it is older than one seen here, and remember a newer one."""
        newest = self._access.pins.newest(keys, entry.provider, entry.connection)
        if entry.generation > newest:
            self._access.pins.saw(keys, entry.provider, entry.connection, entry.generation)
        elif entry.generation < newest:
            account = "" if entry.connection == DEFAULT_CONNECTION else f" --connection {entry.connection}"
            same = f"{account} --profile {self.profile} {'--no-shared' if self.own else '--shared'}"
            self._access.given.warn(
                f"authsome: {path} was rolled back: its credential is number {entry.generation} of this connection, "
                f"this machine has seen number {newest}{_history(path)}; "
                f"if the older one is right, store it again: authsome login {entry.provider} --force{same}"
            )

    def _tell_git(self) -> None:
        """Have git treat a project's vault as what it is."""
        if self.own:
            return
        root = self.path.parents[1]
        try:
            written = write_attributes(root)
        except AuthsomeError as error:  # somebody's link, for example: the vault is made, git is theirs
            self._access.given.warn(f"authsome: git was not told how to treat the vault: {error.message}")
            return
        if written:
            self._access.given.say(f"{root / FILE_NAME} tells git how to treat the vault. For diffs to read: {DIFF}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Add to what is wrong with a file which commit brought it."""
        try:
            yield
        except TamperedError as error:
            error.add(_history(error.path))
            raise


def _stamp(now: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


def _damage(path: str) -> str | None:
    try:
        look(read(Path(path)))
    except (AuthsomeError, FormError) as error:
        return str(error)
    except FileNotFoundError:
        return "was deleted meanwhile"
    return None


def _changed(path: Path, content: bytes) -> bool:
    """Whether there is something else in a file by now."""
    try:
        return read(path) != content
    except (AuthsomeError, FileNotFoundError):
        return True


def _history(path: Path) -> str:
    from authsome.vault import history  # noqa: PLC0415  only what is wrong needs it

    return history.told(path)
