"""Whether git still holds a value that a file had.

Promises to look through every version of the file that a branch, a tag or a stash leads to, and to say so where that
could not be done. Refuses to hand a value to git, where it would be in the list of processes or on the disk: the
versions are read, and searched in this process.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

from authsome import git

if TYPE_CHECKING:
    import subprocess

SECONDS = 60.0
"""How long somebody waits for it."""
_QUIET_VERSIONS = 2000
MAX_VERSIONS = 20_000
_MAX_BYTES = 8 << 20
_LOG = (
    *("--literal-pathspecs", "log", "--all", "--full-history", "--date-order", "-m"),
    *("--no-renames", "--raw", "-z", "--no-abbrev", "--no-show-signature", "--format=%H%x09%as%x09%an"),
)


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit, by what a person finds it with. Not its subject: that could hold anything, also a key."""

    name: str
    day: str
    author: str


@dataclass(frozen=True, slots=True)
class Past:
    """What git has of a file.

    Attributes:
        tracked: Whether the next commit would have it.
        whole: Whether all of the history could be looked through.
        since: The commit that first brought each of the values, by the value's place; only those that are in it.
        staged: The places of the values that the next commit would have.
    """

    tracked: bool
    whole: bool
    since: dict[int, Commit] = field(default_factory=dict)
    staged: frozenset[int] = frozenset()


def search(path: Path, values: Sequence[bytes], say: Callable[[str], None], *, seconds: float = SECONDS) -> Past | None:
    """Return what git has of a file; None where there is no repository.

    Args:
        path: The file itself, not a link to it.
        values: Secret.
        say: Says that it takes a while.
    """
    folder, name = path.parent, path.name
    if git.printed(folder, "rev-parse", "--is-inside-work-tree") != b"true\n":
        return None
    staged = _staged(folder, name)
    log = git.printed(folder, *_LOG, "--", name, seconds=seconds)
    versions = list(_versions(log or b""))
    blobs = list(dict.fromkeys([*staged, *(blob for _, blob in versions)]))
    if len(blobs) > _QUIET_VERSIONS:
        say(f"authsome: looking through {len(blobs)} versions of {name} in git …")
    holds, read = _searched(folder, blobs[:MAX_VERSIONS], values, seconds)
    since = {place: commit for commit, blob in versions for place in holds.get(blob, ())}  # the last one is the first
    shallow = git.printed(folder, "rev-parse", "--is-shallow-repository") != b"false\n"
    return Past(
        tracked=bool(staged),
        whole=log is not None and read == len(blobs) and not shallow,
        since=since,
        staged=frozenset(place for blob in staged for place in holds.get(blob, ())),
    )


def _staged(folder: Path, name: str) -> list[str]:
    """Return the versions that the index has; several in the middle of a merge."""
    listed = git.printed(folder, "--literal-pathspecs", "ls-files", "-s", "-z", "--", name) or b""
    return [row.split()[1].decode() for row in listed.split(b"\0")[:-1]]


def _versions(log: bytes) -> Iterator[tuple[Commit, str]]:
    """Yield commit and version, the newest first; what a commit only deletes is none."""
    commit = Commit("", "", "")
    pieces = iter(log.split(b"\0"))
    for piece in pieces:
        row = piece.strip(b"\n")
        if row.startswith(b":"):
            blob = row.split()[3].decode()
            next(pieces, None)  # the path
            if blob.strip("0"):
                yield commit, blob
        elif row:
            name, day, author = row.decode(errors="replace").split("\t", 2)
            commit = Commit(name, day, author)


def _searched(
    folder: Path, blobs: Sequence[str], values: Sequence[bytes], seconds: float
) -> tuple[dict[str, Collection[int]], int]:
    """Return the places of the values in each version, and how many versions could be read."""
    found: dict[str, Collection[int]] = {}
    read = 0
    if not blobs:
        return found, read
    with suppress(OSError, EOFError), git.started(folder, "cat-file", "--batch") as process:
        limit = Timer(seconds, process.kill)
        limit.start()
        try:
            for blob in blobs:
                content = _content(process, blob)
                if content is not None:
                    read += 1
                    found[blob] = [place for place, value in enumerate(values) if value in content]
        finally:
            limit.cancel()
            process.kill()
    return found, read


def _content(process: "subprocess.Popen[bytes]", blob: str) -> bytes | None:
    """Return a version, None for one that is not there or too large; raise `EOFError` when git says no more."""
    if process.stdin is None or process.stdout is None:
        raise EOFError
    process.stdin.write(f"{blob}\n".encode())
    process.stdin.flush()
    told = process.stdout.readline().split()
    if len(told) != 3:  # noqa: PLR2004  name, type and size; else `missing`, or nothing
        if told:
            return None
        raise EOFError
    size = int(told[2])
    content = bytearray()
    left = size + 1
    while left:
        piece = process.stdout.read(min(left, 1 << 20))
        if not piece:
            raise EOFError
        left -= len(piece)
        content += piece if size <= _MAX_BYTES else b""
    return bytes(content[:-1]) if size <= _MAX_BYTES else None
