"""The home's vault in one file that age opens, and back.

Promises that a backup is whole: all profiles as they are at one moment, sound as far as that shows without a key, read
back before it has a name. Nothing of it reaches the disk in plain. Restoring puts back what is not there, a profile in
one step each, and can be done again when it was cut short. Refuses to change what is there.

What is in the file is `archive`'s; `age -d FILE | tar x -C ~/.authsome` restores it, too.
"""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode, clean, did_you_mean, file_errors
from authsome.provider import check_name
from authsome.vault import archive, keyring
from authsome.vault.age import Identity, OpenError, check_recipient, encrypt
from authsome.vault.armor import TAG, FormError, binary, is_age, look_at
from authsome.vault.files import locked, make_folder, read, sync_folder
from authsome.vault.identity import ATTEMPTS, FILE_NAME, Given, Search, read_identity
from authsome.vault.sound import Problem, verify

_MAX_FILE = 3 * archive.MAX_BYTES // 2
"""Most that is read of a file: armor makes a third more of it."""

_SAY_EVERY = 1.0
_SHOWN = 10
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_DRAFT = re.compile(r"\.restore\.[0-9]+\.[0-9a-f]{8}")


class Status(StrEnum):
    """What became of something that a backup holds."""

    RESTORED = "restored"
    SAME = "already there"
    KEPT = "another one is there"
    BESIDE = "kept beside"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What goes into a backup, and what does not.

    Attributes:
        identity: The recipient of `identity.txt`, None if there is none or a passphrase protects it.
        locked_out: The profiles that `identity.txt` does not open, as far as that shows.
        left_out: Definitions that no provider can have, by their file's name.
    """

    contents: archive.Contents
    identity: str | None
    locked_out: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def protected(self) -> bool:
        """Whether the identity is under a passphrase of its own."""
        return self.contents.identity is not None and self.identity is None


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of one thing in a backup.

    Attributes:
        members: Of a profile, who opens it.
    """

    name: str
    path: Path
    status: Status
    connections: int = 0
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a backup."""

    profiles: tuple[Placed, ...]
    definitions: tuple[Placed, ...]
    identity: Placed | None


# Out.


def target(name: str, home: Path, *, force: bool) -> Path:
    """Return where a backup goes, or raise (exit code 2) if that is taken or no place for one."""
    path = Path(os.path.realpath(Path(name).expanduser()))
    if path.is_relative_to(os.path.realpath(home)):
        raise AuthsomeError(
            f"{path} lies in the folder that the backup is of",
            hint=f"choose another place, for example --to ~/{path.name}",
            code=ExitCode.USAGE,
        )
    if path.is_dir():
        raise AuthsomeError(f"{path} is a folder", hint=f"--to {path / 'authsome.age'}", code=ExitCode.USAGE)
    if not path.parent.is_dir():
        raise AuthsomeError(f"there is no folder {path.parent}", hint="make it first", code=ExitCode.USAGE)
    if path.exists() and not path.is_file():
        raise AuthsomeError(f"{path} is no file", hint="write to standard output: --to - | …", code=ExitCode.USAGE)
    if path.exists() and not force:
        raise _taken(path)
    if not os.access(path.parent, os.W_OK):
        raise AuthsomeError(f"cannot write to {path.parent}", hint="choose another place with --to")
    return path


def _taken(path: Path) -> AuthsomeError:
    return AuthsomeError(
        f"there is a file {path} already", hint="choose another name, or replace it with --force", code=ExitCode.USAGE
    )


def check_recipients(recipients: Sequence[str]) -> None:
    """Raise (exit code 2) if one is none that can be encrypted to."""
    for each in recipients:
        if "SECRET-KEY" in each.upper() or "PRIVATE KEY" in each.upper():
            raise AuthsomeError(  # NOTE: it is not quoted
                "--recipient was given a secret key, and now it stands in the list of processes",
                hint="give the public half, `age1…`: age-keygen -y FILE; if others use this machine, make a new key",
                code=ExitCode.USAGE,
            )
        try:
            check_recipient(each)
        except AuthsomeError:
            raise AuthsomeError(
                f"this version cannot encrypt to the recipient `{clean(each[:200])}`",
                hint="a recipient is `age1…` (X25519), or what an ssh-ed25519 or ssh-rsa key's .pub file holds: "
                '--recipient "$(cat ~/.ssh/id_ed25519.pub)"',
                code=ExitCode.USAGE,
            ) from None


def gather(home: Path, say: Callable[[str], None]) -> Gathered:
    """Return all that a backup of the home holds, as it is at one moment, or raise (exit code 5) if it is unsound."""
    if not home.is_dir():
        raise _nothing(home)
    with _held(home) as names:
        if problems := verify(home, private=True).problems:
            raise _unsound(problems)
        paths = {name: _paths(home / "profiles" / name) for name in names}
        pace = _Pace("read", sum(map(len, paths.values())), say)
        profiles = {name: _read(home / "profiles" / name, found, pace) for name, found in paths.items()}
        definitions, left_out = _definitions(home)
        content = read_identity(home / FILE_NAME) if os.path.lexists(home / FILE_NAME) else None
        identity = _public(content, home / FILE_NAME)
        opened = [identity is None or identity in keyring.members(home / "profiles" / name) for name in names]
    if not (profiles or definitions or content):
        raise _nothing(home)
    strange = tuple(name for name, opens in zip(names, opened, strict=True) if not opens)
    return Gathered(archive.Contents(profiles, definitions, content), identity, strange, left_out)


@contextmanager
def _held(home: Path) -> Iterator[list[str]]:
    """Hold all profiles against writers, in the order in which a rotation takes them, and yield their names."""
    with ExitStack() as held:
        held.enter_context(locked(home))
        folders = [path for path in (home / "profiles").glob("*/") if not path.is_symlink()]
        names = sorted(path.name for path in folders if not path.name.startswith("."))
        for name in names:
            held.enter_context(locked(home / "profiles" / name))
        yield names


def _nothing(home: Path) -> AuthsomeError:
    return AuthsomeError(
        f"there is nothing in {home} to back up",
        hint="log in first, for example `authsome login openai`; AUTHSOME_HOME names another home",
        code=ExitCode.MISSING,
    )


def _unsound(problems: Sequence[Problem]) -> AuthsomeError:
    first, more = problems[0], len(problems) - 1
    listed = "".join(f"\n  {clean(str(each.path))} {clean(each.what)}" for each in problems[1:_SHOWN])
    return AuthsomeError(
        f"{clean(str(first.path))} {clean(first.what)}{f', and {more} more' if more else ''}; nothing was written",
        hint="a backup of this would not be one; mend it, then start again: authsome vault verify" + listed,
        code=ExitCode.INTEGRITY,
    )


def _paths(folder: Path) -> list[str]:
    """Return the files of a profile by their path inside it; those with a dot are git's, or left by killed writers."""
    found: list[str] = []
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(top).relative_to(folder)
        found += [str(inside / name) for name in files if not name.startswith(".")]
    return sorted(found)


def _read(folder: Path, paths: Sequence[str], pace: "_Pace | None" = None) -> dict[str, bytes]:
    files = {}
    for path in paths:
        with file_errors("read", folder / path):
            files[path] = read(folder / path)
        if pace:
            pace.step()
    return files


def _definitions(home: Path) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the user's own definitions, and the names of files that are none because of their name."""
    found, left_out = {}, []
    for path in sorted((home / "providers").glob("*.json")):
        try:
            check_name(path.stem, "provider")
        except AuthsomeError:
            left_out.append(path.name)
            continue
        with file_errors("read", path):
            found[path.stem] = path.read_bytes()
    return found, tuple(left_out)


def _public(content: bytes | None, path: Path) -> str | None:
    """Return the recipient of an identity that no passphrase protects, or raise if it is damaged."""
    if content is None:
        return None
    if not is_age(content):
        return Identity.parse(content.decode(errors="replace"), str(path)).recipient
    from authsome.vault import passphrase as sealing  # noqa: PLC0415  cryptography takes a while to import

    try:
        sealing.check(content)
    except FormError as error:
        raise AuthsomeError(
            f"{path} {error}; nothing was written", hint=f"age -d {path}", code=ExitCode.INTEGRITY
        ) from None
    return None


def packed(contents: archive.Contents, home: Path, now: float) -> bytes:
    """Return the archive to seal, after it has been read as a restore would.

    More than fits into memory is an error (exit code 2) with the way by hand.
    """
    try:
        content = archive.pack(contents, now)
        back = archive.unpack(content)
    except FormError as error:
        hint = f"by hand: tar c -C {home} profiles providers identity.txt | age -p > FILE"
        raise AuthsomeError(f"the vault {error}; nothing was written", hint=hint, code=ExitCode.USAGE) from None
    if back != contents:
        raise AuthsomeError("what was packed does not come back, nothing was written", code=ExitCode.INTEGRITY)
    return content


def sealed_under(content: bytes, passphrase: str) -> bytes:
    """Return an age file that a passphrase opens, after it has been read back."""
    from authsome.vault import passphrase as sealing  # noqa: PLC0415  cryptography takes a while to import

    try:
        sealed = sealing.seal(content, passphrase, os.urandom)
        if sealing.unprotect(sealed, passphrase, most=archive.MAX_BYTES) == content:
            return sealed
    except FormError as error:
        raise AuthsomeError(f"a backup under a passphrase {error}", hint="close other programs") from None
    raise AuthsomeError("what was encrypted does not decrypt, nothing was written", code=ExitCode.INTEGRITY)


def sealed_to(content: bytes, recipients: Sequence[str]) -> bytes:
    """Return an age file to keys, after it has been read back.

    The keys to open it may be in a safe, so it is sealed to one more that nobody has: made here, used once, forgotten.
    That is who reads it back. It costs one stanza, and no copy of the machine's own identity opens the file.
    """
    reader = Identity.generate("a key to read back with")
    return encrypt(content, [*dict.fromkeys(recipients), reader.recipient], reader, armored=False)


def put(path: Path, content: bytes, home: Path, *, force: bool) -> None:
    """Write a backup in one step; without `force` not over a file that appeared meanwhile."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    mine = re.compile(re.escape(f".{path.name}.") + r"[0-9]+\.[0-9a-f]{8}")
    with locked(home), file_errors("write", path, hint="choose another place with --to"):
        for left in path.parent.iterdir():  # by an export that was killed; ours is the lock
            if mine.fullmatch(left.name):
                with suppress(PermissionError):  # somebody else's, in a folder of everybody
                    left.unlink(missing_ok=True)
        try:
            _write(draft, content)
            _sync(draft)
            _name(draft, path, force=force)
        finally:
            draft.unlink(missing_ok=True)
        with suppress(OSError):  # the file is there; not every file system can do this
            sync_folder(path.parent)


def _name(draft: Path, path: Path, *, force: bool) -> None:
    if force:
        draft.replace(path)
        return
    try:
        path.hardlink_to(draft)  # which, unlike a rename, takes the place of nothing
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):  # FAT, as on a stick, gives a file one name only
            raise _taken(path) from None
        draft.rename(path)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with suppress(PermissionError):  # FAT has no modes, and what is written is encrypted
            os.fchmod(descriptor, 0o600)
        file.write(content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Back.


def read_backup(path: Path) -> bytes:
    """Return a backup's file, which may be a pipe."""
    with file_errors("read", path), path.open("rb") as file:
        content = file.read(_MAX_FILE + 1)
    if len(content) > _MAX_FILE:
        raise AuthsomeError(f"{path} is too large to be a backup", code=ExitCode.INTEGRITY)
    return content


def opened(
    content: bytes, name: str, home: Path, environ: Mapping[str, str], given: Given, ask: Callable[[str], str]
) -> archive.Contents:
    """Return what a backup holds, or raise: nobody can open it (exit code 4), damaged or none (5).

    Args:
        name: Of the file, for messages.
        given: What finding an identity takes.
        ask: Returns the passphrase of the backup.
    """
    try:
        raw, stanzas = _outside(content)
        if "scrypt" in stanzas:
            return archive.unpack(_by_passphrase(raw, name, ask))
        search = Search(
            home,
            environ,
            given,
            None if any(kind.startswith("ssh-") for kind in stanzas) else (),
            what="this backup",
            mend=f"name one of the keys it was sealed to: authsome vault import {name} --identity KEY_FILE",
        )
        return archive.unpack(_by_identity(raw, name, search))
    except FormError as error:
        raise AuthsomeError(
            f"{name} {error}; nothing was restored",
            hint=f"take another backup; see whether stock age opens this one: age -d {name} | tar t",
            code=ExitCode.INTEGRITY,
        ) from None


def _outside(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return an age file without its armor, and the kinds of keys that open it."""
    if not is_age(content):
        raise FormError("is no backup: it is not an age file")
    raw = binary(content)
    return raw, look_at(raw).stanzas


def _by_passphrase(raw: bytes, name: str, ask: Callable[[str], str]) -> bytes:
    from authsome.vault import passphrase as sealing  # noqa: PLC0415  cryptography takes a while to import

    sealing.check(raw, most=archive.MAX_BYTES)
    for attempt in range(1, ATTEMPTS + 1):
        given = ask(name if attempt == 1 else f"{name}, once more: that was not it")
        with suppress(sealing.WrongPassphraseError):
            return sealing.unprotect(raw, given, most=archive.MAX_BYTES)
    raise AuthsomeError(
        f"the passphrase of {name} was wrong {ATTEMPTS} times",
        hint=f"try it with `age -d {name} | tar t`; without it, nothing opens this backup",
        code=ExitCode.LOCKED,
    )


def _by_identity(raw: bytes, name: str, search: Search) -> bytes:
    if len(raw) > archive.MAX_BYTES + (archive.MAX_BYTES >> 12) * TAG:
        raise FormError("is too large to be a backup")
    for identity in search.identities():
        try:
            return identity.open(raw)
        except OpenError as error:
            if not error.foreign:
                raise FormError("is damaged") from None
        search.refuse(
            AuthsomeError(f"{name} is locked: {identity.origin} ({identity.recipient}) does not open it"), identity
        )
    raise search.failure()


def restore(home: Path, contents: archive.Contents, only: str | None, say: Callable[[str], None]) -> Restored:
    """Put back what is not there, all of it or only one profile, or raise before anything is changed.

    Killed at any moment, it leaves profiles that are whole, and the next one goes on.
    """
    if only is not None:
        if only not in contents.profiles:
            known = ", ".join(contents.profiles) or "none"
            hint = did_you_mean(only, contents.profiles, f"profiles in it: {known}")
            raise AuthsomeError(f"the backup holds no profile `{only}`", hint=hint, code=ExitCode.USAGE)
        contents = archive.Contents({only: contents.profiles[only]}, contents.definitions, contents.identity)
    make_folder(home / "profiles")
    make_folder(home / "providers")
    with locked(home):
        with file_errors("clean up in", home):
            for left in home.iterdir():  # by one that was killed; ours is the lock
                if _DRAFT.fullmatch(left.name):
                    shutil.rmtree(left)
        missing = _missing(home, contents)
        with _drafted(home, missing, say) as draft:
            identity = _place_identity(home, draft, contents.identity)
            definitions = tuple(_place_definition(home, draft, *each) for each in contents.definitions.items())
            profiles = tuple(_place_profile(home, draft, name, missing) for name in contents.profiles)
            for folder in (home / "providers", home / "profiles", home):
                sync_folder(folder)
    return Restored(profiles, definitions, identity)


def _missing(home: Path, contents: archive.Contents) -> archive.Contents:
    """Return what is to be written, or raise (exit code 2) if a profile is there that is another one."""
    profiles, differing = {}, []
    for name, files in contents.profiles.items():
        folder = home / "profiles" / name
        if not os.path.lexists(folder):
            profiles[name] = files
        elif not _holds(folder, files):
            differing.append(name)
    if differing:
        raise _differing(home, differing, list(contents.profiles))
    definitions = {
        name: content
        for name, content in contents.definitions.items()
        if not os.path.lexists(home / "providers" / f"{name}.json")
    }
    path = home / FILE_NAME
    known = contents.identity is None or (os.path.lexists(path) and read_identity(path) == contents.identity)
    return archive.Contents(profiles, definitions, None if known else contents.identity)


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Whether a profile is exactly this."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    with locked(folder):
        paths = _paths(folder)
        return paths == sorted(files) and _read(folder, paths) == files


def _differing(home: Path, names: list[str], held: list[str]) -> AuthsomeError:
    several = len(names) > 1
    ways = [f"to have the backup's, first: authsome profile remove {names[0]}"]
    if others := [name for name in held if name not in names]:
        ways.append(f"to restore another one alone: --profile {others[0]}")
    return AuthsomeError(
        f"the profile{'s' * several} {', '.join(names)} in {home} {'are' if several else 'is'} not what the backup "
        "holds; nothing was changed",
        hint="; ".join(ways),
        code=ExitCode.USAGE,
    )


@contextmanager
def _drafted(home: Path, missing: archive.Contents, say: Callable[[str], None]) -> Iterator[Path]:
    """Write what is missing beside its place, look at it and yield where; afterwards no draft is left."""
    draft = home / f".restore.{os.getpid()}.{os.urandom(4).hex()}"
    with file_errors("restore to", home, hint="nothing is half restored; start again when that is mended"):
        try:
            make_folder(draft / "profiles")
            files = missing.files()
            pace = _Pace("wrote", len(files), say)
            for path, content in files.items():
                make_folder((draft / path).parent)
                _write(draft / path, content)
                pace.step()
            if files:  # all at once, then one by one for what that does not tell: a fifth of the time
                os.sync()
            for written in draft.rglob("*"):
                _sync(written)
            if problems := verify(draft, private=True).problems:
                first = problems[0]
                raise AuthsomeError(
                    f"the backup is unsound: {clean(str(first.path.relative_to(draft)))} in it {clean(first.what)}; "
                    "nothing was restored",
                    hint="take another backup; to restore another profile alone: --profile NAME",
                    code=ExitCode.INTEGRITY,
                )
            yield draft
        finally:
            if draft.exists():
                shutil.rmtree(draft)


def _place_identity(home: Path, draft: Path, content: bytes | None) -> Placed | None:
    if content is None:
        return None
    path = home / FILE_NAME
    if not (draft / FILE_NAME).exists():
        return Placed(FILE_NAME, path, Status.SAME)
    if _appears(draft / FILE_NAME, path):
        return Placed(FILE_NAME, path, Status.RESTORED)
    beside = home / f"identity.restored-{sha256(content).hexdigest()[:8]}.txt"
    _appears(draft / FILE_NAME, beside)  # or it does already, by the restore before
    return Placed(FILE_NAME, beside, Status.BESIDE)


def _place_definition(home: Path, draft: Path, name: str, content: bytes) -> Placed:
    inside = f"providers/{name}.json"
    path = home / inside
    if (draft / inside).exists() and _appears(draft / inside, path):
        return Placed(name, path, Status.RESTORED)
    return Placed(name, path, Status.SAME if path.read_bytes() == content else Status.KEPT)


def _appears(draft: Path, path: Path) -> bool:
    """Give a draft its name; False if something has it."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return False
    return True


def _place_profile(home: Path, draft: Path, name: str, missing: archive.Contents) -> Placed:
    folder = home / "profiles" / name
    if name in missing.profiles:
        try:
            (draft / "profiles" / name).rename(folder)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            raise AuthsomeError(
                f"another authsome made the profile `{name}` meanwhile", hint="start again", code=ExitCode.USAGE
            ) from None
    held = sum(path.startswith("connections/") for path in _paths(folder))
    status = Status.RESTORED if name in missing.profiles else Status.SAME
    return Placed(name, folder, status, held, tuple(sorted(keyring.members(folder))))


class _Pace:
    """Says how far something is that takes more than a second."""

    def __init__(self, done: str, of: int, say: Callable[[str], None]) -> None:
        self._done, self._of, self._say = done, of, say
        self._count, self._next = 0, time.monotonic() + _SAY_EVERY

    def step(self) -> None:
        """Count one."""
        self._count += 1
        if time.monotonic() >= self._next:
            self._say(f"authsome: {self._done} {self._count} of {self._of} files …")
            self._next += _SAY_EVERY
