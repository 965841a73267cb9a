"""Whether a vault's files are what they should be, as far as that shows without a key.

Promises that whatever lies in a profile is an age file, a list of recipients or a request to become one, under a name
that authsome gives, and that nothing lies beside them. Says nothing of what is inside: who wrote an entry and whether
it was moved only shows with an identity.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from authsome.errors import AuthsomeError
from authsome.provider import check_entry
from authsome.vault import joining, preset
from authsome.vault.age import check_recipient
from authsome.vault.armor import FormError, conflicted, look
from authsome.vault.files import DRAFT, TamperedError, read, scanned
from authsome.vault.keyring import listed

_SECRET_MARK = b"AGE-SECRET-KEY-"
_OF_GIT = (".gitattributes", ".gitignore", ".gitkeep")
_JOIN = "; join both sides: authsome vault resolve"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that should not be; `what` starts with a verb."""

    path: Path
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and what is wrong with it."""

    profiles: int
    files: int
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class _Count:
    profiles: int = 0
    files: int = 0


def verify(folder: Path, *, private: bool) -> Report:
    """Look at all profiles below a folder.

    Args:
        folder: It holds `profiles/`, as the home and a project's `.authsome` do.
        private: It is the home: modes count, and the identity lies in it. Git keeps no modes.
    """
    counted = _Count()
    problems = list(_root(folder, counted, private=private))
    return Report(counted.profiles, counted.files, tuple(sorted(problems, key=lambda each: str(each.path))))


def _root(folder: Path, counted: _Count, *, private: bool) -> Iterator[Problem]:
    if not private:
        for each in scanned(folder):
            if each.is_file(follow_symlinks=False) and _SECRET_MARK in _start(Path(each.path)):
                yield Problem(Path(each.path), "holds a secret key in the clear")
    for each in scanned(folder):
        if each.name == "profiles" and each.is_symlink():
            yield Problem(Path(each.path), "is a symbolic link")
    for each in scanned(folder / "profiles"):
        if each.name in _OF_GIT or DRAFT.fullmatch(each.name):
            continue
        counted.profiles += 1
        yield from _entry_of_folder(each, "profile", private=private)
        if each.is_dir(follow_symlinks=False):
            yield from _profile(Path(each.path), counted, private=private)


def _profile(folder: Path, counted: _Count, *, private: bool) -> Iterator[Problem]:
    recipients, keyring = folder / "recipients.txt", folder / "keyring.age"
    for path in (recipients, keyring):
        if not os.path.lexists(path):
            yield Problem(path, "is missing")
    for each in scanned(folder):
        yield from _part(each, counted, private=private)
    if os.path.lexists(recipients) and os.path.lexists(keyring):
        yield from _members(recipients, keyring)


def _part(found: "os.DirEntry[str]", counted: _Count, *, private: bool) -> Iterator[Problem]:
    """Look at what lies directly in a profile."""
    path, is_folder = Path(found.path), found.is_dir(follow_symlinks=False)
    if found.name == "connections" and is_folder:
        for provider in scanned(path):
            yield from _provider(provider, counted, private=private)
    elif found.name == joining.FOLDER and is_folder:
        for request in scanned(path):
            yield from _request(request, counted)
    elif found.name in ("recipients.txt", "keyring.age"):
        counted.files += 1
        yield from _modes(found, private=private)
    elif found.name == preset.FILE_NAME:
        yield from _preset(path)
    else:
        yield from _stranger(found)


def _preset(path: Path) -> Iterator[Problem]:
    content, problem = _content(path)
    if problem:
        yield problem
    elif content.decode(errors="replace").strip() not in preset.names():
        yield Problem(path, "names no preset")


def _request(found: "os.DirEntry[str]", counted: _Count) -> Iterator[Problem]:
    if found.name in _OF_GIT or (found.name.startswith(".") and DRAFT.fullmatch(found.name)):
        return
    counted.files += 1
    path = Path(found.path)
    if found.is_file(follow_symlinks=False) and _SECRET_MARK in _start(path):
        yield Problem(path, "holds a secret key in the clear")
        return
    try:
        joining.read_request(path)
    except TamperedError as error:
        yield Problem(path, error.message.removeprefix(f"{path} "))


def _members(recipients: Path, keyring: Path) -> Iterator[Problem]:
    """Look at the list and at the keyring, which is to be for as many."""
    content, problem = _content(recipients)
    if problem:
        yield problem
        return
    if _SECRET_MARK in content:
        yield Problem(recipients, "holds a secret key in the clear")
    stanzas, problem = _age_file(keyring, _JOIN)
    if conflicted(content):
        yield Problem(recipients, f"has a conflict that git left{_JOIN}")
        if problem:
            yield problem
        return
    named = listed(content)
    for each in sorted(named):
        try:
            check_recipient(each)
        except AuthsomeError:
            yield Problem(recipients, "has a line that is no recipient this version can encrypt to")
    if not named:
        yield Problem(recipients, "lists nobody")
    if problem:
        yield problem
    elif len(stanzas) != len(named):
        yield Problem(
            keyring,
            f"is for {len(stanzas)} recipient{'s' * (len(stanzas) != 1)}, {recipients.name} lists {len(named)}",
        )


def _provider(found: "os.DirEntry[str]", counted: _Count, *, private: bool) -> Iterator[Problem]:
    if found.name in _OF_GIT:
        return
    yield from _entry_of_folder(found, "provider", private=private)
    if not found.is_dir(follow_symlinks=False):
        return
    for each in scanned(Path(found.path)):
        if not each.name.endswith(".age") or each.name.startswith("."):
            yield from _stranger(each)
            continue
        counted.files += 1
        yield from _legal(Path(each.path), each.name.removesuffix(".age"), "connection")
        yield from _modes(each, private=private)
        keep = f"; keep one side: git checkout --ours -- {each.path} (or --theirs)"
        stanzas, problem = _age_file(Path(each.path), keep)
        if problem:
            yield problem
        elif stanzas != ("X25519",):
            yield Problem(Path(each.path), f"is for {', '.join(stanzas)}, not for the profile alone")


def _entry_of_folder(found: "os.DirEntry[str]", what: str, *, private: bool) -> Iterator[Problem]:
    """Look at what should be a folder named after a profile or a provider."""
    if not found.is_dir(follow_symlinks=False):
        yield from _stranger(found)
        return
    yield from _legal(Path(found.path), found.name, what)
    yield from _modes(found, private=private)


def _legal(path: Path, name: str, what: str) -> Iterator[Problem]:
    try:
        check_entry(name, what)
    except AuthsomeError:
        yield Problem(path, f"is not named as a {what} can be")


def _modes(found: "os.DirEntry[str]", *, private: bool) -> Iterator[Problem]:
    mode = stat.S_IMODE(found.stat(follow_symlinks=False).st_mode)
    if private and mode & 0o077 and not found.is_symlink():
        yield Problem(Path(found.path), f"can be used by others (mode {mode:04o})")


def _stranger(found: "os.DirEntry[str]") -> Iterator[Problem]:
    """Say what is wrong with something that authsome did not put there."""
    path = Path(found.path)
    if found.name in _OF_GIT:
        return
    if found.is_symlink():
        yield Problem(path, "is a symbolic link")
        return
    start = _start(path) if found.is_file(follow_symlinks=False) else b""
    if _SECRET_MARK in start:
        yield Problem(path, "holds a secret key in the clear")
    elif not (DRAFT.fullmatch(found.name) and (not start or start.startswith(b"-----BEGIN AGE "))):
        # A draft is what a writer leaves that is at work, or was killed; it is encrypted, too.
        yield Problem(path, "does not belong in a vault, and is not encrypted")


def _age_file(path: Path, mend: str) -> tuple[tuple[str, ...], Problem | None]:
    content, problem = _content(path)
    if problem:
        return (), problem
    try:
        return look(content).stanzas, None
    except FormError as error:
        how = mend if conflicted(content) else ""
        leaking = ", and holds a secret key in the clear" if _SECRET_MARK in content else ""
        return (), Problem(path, f"{error}{how}{leaking}")


def _content(path: Path) -> tuple[bytes, Problem | None]:
    try:
        return read(path), None
    except AuthsomeError as error:
        return b"", Problem(path, error.message.replace(f"cannot read {path}: ", "").replace(f"{path} ", ""))


def _start(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(1 << 16)
