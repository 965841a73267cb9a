"""One profile's secrets: a folder of age files, and who can open it.

    <home>/profiles/<profile>/
      recipients.txt                     `age -R` syntax; a comment names each member
      keyring.age                        to the recipients: the profile's own identity and its roster
      connections/<provider>/<name>.age  to the profile's identity: a MAC line, then one JSON object

Promises that a write is whole or did not happen (also on `kill -9`), that two writers lose nothing, that what is
written can be read back, that folders are 0700 and files 0600 under any umask, and that every file opens with stock
`age`. Refuses an entry that was moved, swapped or written by somebody who could not open the keyring: age does not say
who wrote a file, so each entry carries its names and a MAC. Never creates anew what it failed to read.

This is the only module that knows pyrage.
"""

import errno
import fcntl
import hmac
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyrage

from authsome.errors import AuthsomeError, ExitCode, file_errors
from authsome.provider import Provider, check_name

MAX_ENTRY_BYTES = 4 << 20
LOCK_SECONDS = 30.0

_SECRET_KEY = re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+")
_KEYRING_MARK = "# authsome-keyring "
_MAC_MARK = "authsome-mac-v1 "
_READ_ONLY_HINT = "point AUTHSOME_HOME at a folder you can write to"


@dataclass(frozen=True, slots=True)
class Entry:
    """A credential as it is stored. Its `repr` hides the secrets.

    Attributes:
        generation: 1 for the first credential of this connection, one more for each that replaced it.
        hosts: The hosts the person agreed to when giving the secret, as `Provider.host_names`.
        created_at, updated_at: RFC 3339 in UTC, whole seconds.
    """

    provider: str
    connection: str
    generation: int
    hosts: tuple[str, ...]
    fields: Mapping[str, str] = field(repr=False)
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Holding:
    """Everything that can be said about a credential without saying it.

    Attributes:
        field_names: The secrets it consists of.
        off_pattern: Those that no longer match the pattern of the provider's definition.
    """

    provider: str
    connection: str
    generation: int
    hosts: tuple[str, ...]
    field_names: tuple[str, ...]
    off_pattern: tuple[str, ...]
    created_at: str
    updated_at: str


def holding(entry: Entry, provider: Provider) -> Holding:
    """Return what can be said about an entry, seen with its provider's definition."""
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
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )


class Identity:
    """An age X25519 identity. It hides its key from `repr` and `str`.

    Attributes:
        origin: Where it came from, for messages.
        recipient: The public half, `age1…`.
    """

    def __init__(self, key: str, origin: str) -> None:
        try:
            self._native = pyrage.x25519.Identity.from_str(key)
        except pyrage.IdentityError:
            raise AuthsomeError(
                f"{origin} holds no usable age identity", hint=_IDENTITY_HINT, code=ExitCode.LOCKED
            ) from None  # NOTE: the library's error may quote the key
        self._key = key
        self.origin = origin
        self.recipient = str(self._native.to_public())

    @classmethod
    def generate(cls, origin: str) -> "Identity":
        """Return a new identity."""
        return cls(str(pyrage.x25519.Identity.generate()), origin)

    @classmethod
    def parse(cls, text: str, origin: str) -> "Identity":
        """Return the identity of an age identity file, or raise (exit code 4)."""
        if text.startswith(("-----BEGIN AGE ENCRYPTED FILE-----", "age-encryption.org/v1")):
            raise AuthsomeError(
                f"{origin} is protected by a passphrase, which this version cannot ask for",
                hint=f"give the plain identity: AUTHSOME_IDENTITY=$(age -d {origin})",
                code=ExitCode.LOCKED,
            )
        keys = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if len(keys) != 1 or not _SECRET_KEY.fullmatch(keys[0].strip()):
            raise AuthsomeError(f"{origin} holds no usable age identity", hint=_IDENTITY_HINT, code=ExitCode.LOCKED)
        return cls(keys[0].strip(), origin)

    def file_text(self) -> str:
        """Return the identity as `age-keygen` would write it; secret."""
        return f"# public key: {self.recipient}\n{self._key}\n"

    def mac_key(self, vault_id: str) -> bytes:
        """Return the key that authenticates entries of one vault; only who opened the keyring can derive it."""
        return hmac.new(self._key.encode(), b"authsome entry mac v1\0" + vault_id.encode(), sha256).digest()

    def open(self, ciphertext: bytes) -> bytes:
        """Return the plaintext of an age file, or raise `pyrage.DecryptError`."""
        plaintext: bytes = pyrage.decrypt(ciphertext, [self._native])
        return plaintext


_IDENTITY_HINT = "an identity is one line `AGE-SECRET-KEY-1…`, as `age-keygen` writes it"


def find_home(environ: Mapping[str, str]) -> Path:
    """Return the folder that holds profiles, identity and the user's own definitions."""
    given = environ.get("AUTHSOME_HOME")
    return Path(given).expanduser().absolute() if given else Path.home() / ".authsome"


def find_identity(home: Path, environ: Mapping[str, str], *, create: bool = False) -> Identity:
    """Return this user's identity: from the environment, a file it names, or `<home>/identity.txt`.

    With `create` a missing `identity.txt` is made. Raises (exit code 4) with every place that was tried.
    """
    if key := environ.get("AUTHSOME_IDENTITY"):
        return Identity.parse(key, "AUTHSOME_IDENTITY")
    if named := environ.get("AUTHSOME_IDENTITY_FILE"):
        return Identity.parse(_read_identity(Path(named).expanduser()), named)
    path = home / "identity.txt"
    if create and not path.exists():
        _make_folder(home / "providers")  # where `inspect NAME > …` puts definitions of one's own
        _publish_new(path, Identity.generate(str(path)).file_text().encode())
    if not path.exists():
        raise AuthsomeError(
            "no identity to open the vault with: AUTHSOME_IDENTITY and AUTHSOME_IDENTITY_FILE are not set, "
            f"{path} does not exist",
            hint="in CI set AUTHSOME_IDENTITY to the key; on your machine `authsome login PROVIDER` makes one",
            code=ExitCode.LOCKED,
        )
    text = _read_identity(path)
    if path.stat().st_mode & 0o077:
        raise AuthsomeError(f"others can read {path}", hint=f"chmod 600 {path}", code=ExitCode.LOCKED)
    return Identity.parse(text, str(path))


def _read_identity(path: Path) -> str:
    """Return an identity file's text. Unlike a vault's file it may be a link or a pipe, as secret stores mount it."""
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode(errors="replace")
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise AuthsomeError(f"cannot read the identity {path}: {reason}", code=ExitCode.LOCKED) from error


class Vault:
    """One profile: listing needs no key, reading and writing open the keyring, once."""

    def __init__(self, home: Path, profile: str, environ: Mapping[str, str]) -> None:
        self.home = home
        self.profile = check_name(profile, "profile")
        self.folder = home / "profiles" / profile
        self._environ = environ
        self._identity: Identity | None = None
        self._keys: _Keyring | None = None
        self._pinned: _Keyring | None = None

    def again(self) -> "Vault":
        """Return this vault as if new, for the identity that opened it: that may have come through a pipe, once.

        NOTE: a profile that somebody replaced meanwhile would hold somebody else's keys; the new vault refuses it.
        """
        anew = Vault(self.home, self.profile, self._environ)
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
            ciphertext = _read(path)
        except FileNotFoundError:
            return None
        keys = self._open()
        try:
            plaintext = keys.identity.open(ciphertext)
        except pyrage.DecryptError:
            raise _tampered(path, "was not encrypted to this profile, or is damaged") from None
        return _parse_entry(plaintext, path, keys, self.profile, provider, connection)

    def write(self, provider: Provider, connection: str, fields: Mapping[str, str], now: float) -> bool:
        """Store a credential and the hosts it may go to; return False if exactly that was held already.

        Args:
            now: Seconds since 1970.
        """
        path = self._path(provider.name, connection)
        keys = self._open(create=True)
        with _locked(self.folder):
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
            plaintext = _render_entry(entry, keys, self.profile)
            if len(plaintext) > MAX_ENTRY_BYTES:
                raise AuthsomeError("the secret is too large to be one", code=ExitCode.USAGE)
            _make_folder(path.parent)
            for left in path.parent.glob(f".{path.name}.*"):  # by a writer that was killed; ours is the lock
                left.unlink(missing_ok=True)
            _replace(path, _encrypt(plaintext, keys.identity.recipient, keys.identity))
        return True

    def delete(self, provider: str, connection: str) -> bool:
        """Forget a credential; return False if there was none. Needs no identity."""
        path = self._path(provider, connection)
        if not path.exists():
            return False
        with _locked(self.folder), file_errors("delete", path, hint=_READ_ONLY_HINT):
            path.unlink(missing_ok=True)
            _sync_folder(path.parent)
            with suppress(OSError):  # not empty: another connection of this provider
                path.parent.rmdir()
        return True

    def _path(self, provider: str, connection: str) -> Path:
        check_name(provider, "provider")
        return self.folder / "connections" / provider / f"{check_name(connection, 'connection')}.age"

    def _open(self, *, create: bool = False) -> "_Keyring":
        if self._keys is None:
            create_both = create and not self.folder.exists()
            identity = self._identity or find_identity(self.home, self._environ, create=create_both)
            self._identity = identity
            if create and not self.folder.exists():
                _create_profile(self.folder, self.profile, identity)
            keys = _open_keyring(self.folder, self.profile, identity)
            if self._pinned and not hmac.compare_digest(keys.mac_key, self._pinned.mac_key):
                raise AuthsomeError(
                    f"the profile `{self.profile}` has other keys than before",
                    hint="if that was you, start again",
                    code=ExitCode.INTEGRITY,
                )
            self._keys = keys
        return self._keys


@dataclass(frozen=True, slots=True)
class _Keyring:
    identity: Identity
    vault_id: str
    mac_key: bytes = field(repr=False)


def _create_profile(folder: Path, profile: str, owner: Identity) -> None:
    """Make a profile of which `owner` is the only member; if somebody else made it meanwhile, theirs stays."""
    identity = Identity.generate("the profile")
    member = {"name": _member_name(), "recipient": owner.recipient}
    head = {"version": 1, "vault": os.urandom(16).hex(), "profile": profile, "epoch": 1, "roster": [member]}
    keyring = f"{_KEYRING_MARK}{json.dumps(head, ensure_ascii=False)}\n{identity.file_text()}"
    recipients = f'# who can open the profile "{profile}"\n# {member["name"]}\n{member["recipient"]}\n'
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.{os.urandom(4).hex()}")
    _make_folder(draft)
    try:
        _replace(draft / "recipients.txt", recipients.encode())
        _replace(draft / "keyring.age", _encrypt(keyring.encode(), owner.recipient, owner))
        try:
            draft.rename(folder)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # another process was first
                raise
        _sync_folder(folder.parent)
    finally:
        if draft.exists():
            for path in draft.iterdir():
                path.unlink()
            draft.rmdir()


def _member_name() -> str:
    """Return `user@machine`, the way ssh-keygen names a key."""
    user = os.environ.get("USER") or str(os.getuid())
    return re.sub(r"[^\w@.-]", "-", f"{user}@{os.uname().nodename}")


def _open_keyring(folder: Path, profile: str, identity: Identity) -> _Keyring:
    path = folder / "keyring.age"
    try:
        ciphertext = _read(path)
    except FileNotFoundError:
        raise AuthsomeError(
            f"{path} is missing, without it nothing in this profile opens",
            hint=f"restore it from a backup or from git; to start over, delete {folder}",
            code=ExitCode.INTEGRITY,
        ) from None
    try:
        plaintext = identity.open(ciphertext).decode()
    except (pyrage.DecryptError, UnicodeDecodeError) as error:
        if "matching" not in str(error):
            raise _tampered(path, "is damaged") from None
        raise AuthsomeError(
            f"the profile `{profile}` is locked: {identity.origin} ({identity.recipient}) does not open it",
            hint=f"use the identity of a member; {folder / 'recipients.txt'} lists them",
            code=ExitCode.LOCKED,
        ) from None
    return _parse_keyring(plaintext, path, profile)


def _parse_keyring(plaintext: str, path: Path, profile: str) -> _Keyring:
    mark = next((line for line in plaintext.splitlines() if line.startswith(_KEYRING_MARK)), None)
    try:
        head = json.loads((mark or "").removeprefix(_KEYRING_MARK))
        version, vault_id, named = head["version"], head["vault"], head["profile"]
        roster = {member["recipient"] for member in head["roster"]}
    except (ValueError, TypeError, KeyError):
        raise _tampered(path, "is not a keyring of authsome") from None
    if version != 1:
        raise AuthsomeError(
            f"{path} has format {version}, this version of authsome knows 1",
            hint="use a newer authsome",
            code=ExitCode.INTEGRITY,
        )
    if named != profile:
        raise _tampered(path, f"belongs to the profile `{named}`")
    listed = _read_recipients(path.with_name("recipients.txt"))
    if listed != roster:
        strange = ", ".join(sorted(listed ^ roster))
        raise _tampered(path.with_name("recipients.txt"), f"does not list the members the keyring names ({strange})")
    identity = Identity.parse(plaintext, str(path))
    return _Keyring(identity, vault_id, identity.mac_key(vault_id))


def _read_recipients(path: Path) -> set[str]:
    try:
        lines = _read(path).decode(errors="replace").splitlines()
    except FileNotFoundError:
        raise _tampered(path, "is missing") from None
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def _render_entry(entry: Entry, keys: _Keyring, profile: str) -> bytes:
    body = {"version": 1, "vault": keys.vault_id, "profile": profile, **asdict(entry)}
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return _mac_line(keys, text) + text + b"\n"


def _mac_line(keys: _Keyring, text: bytes) -> bytes:
    return f"{_MAC_MARK}{hmac.new(keys.mac_key, text, sha256).hexdigest()}\n".encode()


def _parse_entry(plaintext: bytes, path: Path, keys: _Keyring, profile: str, provider: str, connection: str) -> Entry:
    """Return the entry if its MAC holds and it says it is the one that was looked for."""
    mac, _, text = plaintext.partition(b"\n")
    text = text.removesuffix(b"\n")
    if not hmac.compare_digest(mac + b"\n", _mac_line(keys, text)):
        raise _tampered(path, "was not written by a member of this profile")
    body: dict[str, Any] = json.loads(text)
    if body.pop("version") != 1:
        raise AuthsomeError(f"{path} was written by a newer authsome", hint="use it", code=ExitCode.INTEGRITY)
    expected = (keys.vault_id, profile, provider, connection)
    found = (body.pop("vault"), body.pop("profile"), body["provider"], body["connection"])
    if found != expected:
        raise _tampered(path, f"is the entry of {found[2]}/{found[3]} in the profile `{found[1]}`, moved here")
    return Entry(**{**body, "hosts": tuple(body["hosts"])})


def _tampered(path: Path, what: str) -> AuthsomeError:
    return AuthsomeError(
        f"{path} {what}",
        hint="restore it from a backup or from git; a single credential can also be forgotten with `authsome logout`",
        code=ExitCode.INTEGRITY,
    )


def _encrypt(plaintext: bytes, recipient: str, reader: Identity) -> bytes:
    """Return an armored age file to one recipient, after having read it back."""
    ciphertext: bytes = pyrage.encrypt(plaintext, [pyrage.x25519.Recipient.from_str(recipient)], armored=True)
    if reader.open(ciphertext) != plaintext:
        raise AuthsomeError("what was encrypted does not decrypt, nothing was written", code=ExitCode.INTEGRITY)
    return ciphertext


# Files. Every write below is a new file, flushed, that takes the old one's place.


def _read(path: Path) -> bytes:
    """Return a small regular file; a symbolic link or anything else in its place is an error."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = "is a symbolic link" if path.is_symlink() else (error.strerror or "").lower()
        raise AuthsomeError(f"cannot read {path}: {reason}", code=ExitCode.LOCKED) from error
    with os.fdopen(descriptor, "rb") as file, file_errors("read", path):
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _tampered(path, "is not a regular file")
        content = file.read(2 * MAX_ENTRY_BYTES + 1)
    if len(content) > 2 * MAX_ENTRY_BYTES:
        raise _tampered(path, "is too large to be what it should be")
    return content


def _make_folder(path: Path) -> None:
    """Make a folder and its missing parents, each 0700 whatever the umask."""
    with file_errors("create", path, hint=_READ_ONLY_HINT):
        if path.is_dir():
            return
        if path.parent != path:
            _make_folder(path.parent)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            path.chmod(0o700)


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


@contextmanager
def _drafted(path: Path, content: bytes) -> Iterator[Path]:
    """Write `content` beside `path` for the body to put in place; afterwards no draft is left, and a rename is safe."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with file_errors("write", path, hint=_READ_ONLY_HINT):
        try:
            _write_new(draft, content)
            yield draft
            _sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step."""
    with _drafted(path, content) as draft:
        draft.replace(path)


def _publish_new(path: Path, content: bytes) -> None:
    """Put `content` at `path` unless something is there already."""
    with _drafted(path, content) as draft, suppress(FileExistsError):
        path.hardlink_to(draft)


def _sync_folder(path: Path) -> None:
    """Make a rename inside `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the profile for one writer; a lock on the folder itself leaves no file behind, also not in git."""
    with file_errors("lock", folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise AuthsomeError(
                        f"{folder} has been in use by another authsome for {LOCK_SECONDS:.0f} s"
                    ) from None
                time.sleep(0.02)
            except OSError as error:
                raise AuthsomeError(
                    f"cannot lock {folder}: {(error.strerror or '').lower()}",
                    hint="point AUTHSOME_HOME at a local file system",
                ) from error
        yield
    finally:
        os.close(descriptor)
