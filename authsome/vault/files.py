"""Files of a vault on disk.

Promises that a write is whole or did not happen (also on `kill -9`), that writers take turns, and that folders are
0700 and files 0600 under any umask. Refuses a symbolic link, a pipe or something huge where a file of the vault
should be.
"""

import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from authsome.errors import AuthsomeError, ExitCode, file_errors

MAX_ENTRY_BYTES = 4 << 20
LOCK_SECONDS = 30.0
READ_ONLY_HINT = "point AUTHSOME_HOME at a folder you can write to"


class TamperedError(AuthsomeError):
    """A file is not what a member of the profile wrote (exit code 5).

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, what: str, *, hint: str | None = None) -> None:
        restore = (
            "restore it from a backup or from git; a single credential can also be forgotten with `authsome logout`"
        )
        super().__init__(f"{path} {what}", hint=hint or restore, code=ExitCode.INTEGRITY)
        self.path = path

    @property
    def of_entry(self) -> bool:
        """Whether it is one credential's file, so that the others of the profile may be sound."""
        return self.path.parents[1].name == "connections"

    def add(self, more: str) -> None:
        """Say more of the same file."""
        self.message += more
        self.args = (self.message,)


def unmerged(path: Path, mend: str) -> AuthsomeError:
    """Return the error of a file that holds two versions, as git leaves it."""
    return AuthsomeError(f"{path} has a conflict that git left", hint=mend, code=ExitCode.INTEGRITY)


def refuse_links(*folders: Path) -> None:
    """Raise (exit code 5) if a folder of a vault is a symbolic link: what is written or deleted lies elsewhere then."""
    for each in folders:
        if each.is_symlink():
            raise TamperedError(each, "is a symbolic link", hint=f"look where it leads, then: rm {each}")


def scanned(folder: str | Path) -> "list[os.DirEntry[str]]":
    """Return what lies in a folder; nothing if it is not there."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, links left out; none if it is not there.

    NOTE: not by `glob`, which follows links and takes a folder that cannot be read for an empty one.
    """
    with file_errors("read", folder):
        try:
            with os.scandir(folder) as found:
                return [Path(each.path) for each in found if each.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []


def read(path: Path) -> bytes:
    """Return a small regular file; a symbolic link or anything else in its place is an error."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        if path.is_symlink():
            raise TamperedError(path, "is a symbolic link") from error
        raise AuthsomeError(f"cannot read {path}: {(error.strerror or '').lower()}", code=ExitCode.LOCKED) from error
    try:
        with file_errors("read", path):
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise TamperedError(path, "is not a regular file")
            if status.st_size > 2 * MAX_ENTRY_BYTES:
                raise TamperedError(path, "is too large to be what it should be")
            return os.read(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, each 0700 whatever the umask."""
    with file_errors("create", path, hint=READ_ONLY_HINT):
        if path.is_dir():
            return
        if path.parent != path:
            make_folder(path.parent)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            path.chmod(0o700)


def _write_new(path: Path, content: bytes, *, sync: bool = True) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
        file.flush()
        if sync:
            os.fsync(descriptor)


DRAFT = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}")
"""The name of what a writer leaves that is at work, or was killed."""


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")


@contextmanager
def drafted(path: Path, content: bytes, hint: str = READ_ONLY_HINT) -> Iterator[Path]:
    """Write `content` beside `path` for the body to put in place; afterwards no draft is left, and a rename is safe."""
    draft = _draft_of(path)
    with file_errors("write", path, hint=hint):
        try:
            _write_new(draft, content)
            yield draft
            sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)


def replace(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step."""
    with drafted(path, content) as draft:
        draft.replace(path)


def publish_new(path: Path, content: bytes) -> None:
    """Put `content` at `path` unless something is there already."""
    with drafted(path, content) as draft, suppress(FileExistsError):
        path.hardlink_to(draft)


def publish_project(path: Path, content: bytes, hint: str) -> bool:
    """Put `content` of a project, for everybody to read, at `path`; return False if something is there already."""
    with drafted(path, content, hint) as draft:
        draft.chmod(0o644)
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return False
    return True


class Batch:
    """Files that are replaced one after the other, once all of what replaces them is on disk.

    Ten thousand files are written ten times faster like this than one by one: the disk is waited for at the end.
    """

    def __init__(self) -> None:
        self._drafts: dict[Path, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for draft in self._drafts.values():
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._drafts)

    def add(self, path: Path, content: bytes) -> None:
        """Write what is to be at `path`, beside it."""
        draft = self._drafts[path] = _draft_of(path)
        with file_errors("write", path, hint=READ_ONLY_HINT):
            _write_new(draft, content, sync=False)

    def sync(self) -> None:
        """Wait for the disk to hold all of it."""
        for path, draft in self._drafts.items():
            with file_errors("write", path, hint=READ_ONLY_HINT):
                _sync(draft, 0)

    def place(self) -> None:
        """Put each file in place, in one step each, and wait for the disk to hold that."""
        for path, draft in self._drafts.items():
            with file_errors("write", path, hint=READ_ONLY_HINT):
                draft.replace(path)
        folders = {path.parent for path in self._drafts}
        self._drafts.clear()
        for folder in sorted(folders):
            with file_errors("write", folder, hint=READ_ONLY_HINT):
                sync_folder(folder)


def sync_folder(path: Path) -> None:
    """Make a rename inside `path` survive a power cut."""
    _sync(path, os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the profile for one writer; a lock on the folder itself leaves no file behind, also not in git."""
    with _held(folder, os.O_DIRECTORY, LOCK_SECONDS):
        yield


@contextmanager
def in_turn(path: Path, seconds: float) -> Iterator[None]:
    """Hold one file, which nobody who reads or replaces it waits for; afterwards its path may lead to another one.

    Args:
        seconds: How long to wait for whoever holds it.
    """
    with _held(path, os.O_NOFOLLOW | os.O_NONBLOCK, seconds):
        yield


@contextmanager
def _held(path: Path, flags: int, seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    descriptor = _locked(path, flags, seconds, deadline)
    while not _is_at(path, descriptor):  # somebody put another one there while we waited
        os.close(descriptor)
        descriptor = _locked(path, flags, seconds, deadline)
    try:
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path, flags: int, seconds: float, deadline: float) -> int:
    """Return the descriptor of what nobody else holds."""
    with file_errors("lock", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise AuthsomeError(f"{path} has been in use by another authsome for {seconds:.0f} s") from None
                time.sleep(0.02)
            except OSError as error:
                raise AuthsomeError(
                    f"cannot lock {path}: {(error.strerror or '').lower()}",
                    hint="point AUTHSOME_HOME at a local file system",
                ) from error
            else:
                return descriptor
    except BaseException:
        os.close(descriptor)
        raise


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether a path leads to what was opened; that it is gone is for whoever looks there to tell."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return True
