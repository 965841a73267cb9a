"""What git tells of a vault's files: who brought one, and what both sides of a merge have.

Says nothing where there is no git.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from authsome.git import printed

_MANY_SECONDS = 60.0
_VERSIONS = 50
_HEADS = ("HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REBASE_HEAD")
_COMMIT = "--format=%h of %as by %an: %s"


def told(path: Path) -> str:
    """Return `, brought by commit …` for a file under version control, for a profile's folder that of its keyring."""
    file = path / "keyring.age" if path.is_dir() else path
    now = _blob(file)
    if now is None or _git(file, "rev-parse", "--is-inside-work-tree") != "true":
        return ""
    if now != _git(file, "rev-parse", "--verify", "--quiet", f"HEAD:./{file.name}"):
        return ", changed since the last commit"
    commit = _git(file, "log", "-1", _COMMIT, "--no-show-signature", "--", file.name)
    return f", brought by commit {commit.splitlines()[0]}" if commit else ""


def _blob(file: Path) -> str | None:
    """Return how git would name what is there, None if it cannot say.

    NOTE: `git status` would put a changed file through whatever filter the repository names.
    """
    if file.is_symlink():
        named = printed(file.parent, "hash-object", "--stdin", given=os.fsencode(file.readlink()))
        return None if named is None else named.decode().strip()
    # A pipe in its place would never be read to its end.
    return _git(file, "hash-object", "--no-filters", "--", file.name) if file.is_file() else None


def _git(path: Path, *arguments: str) -> str | None:
    """Return what git prints of a file, or None if it cannot say."""
    output = printed(path.parent, *arguments)
    return None if output is None else output.decode(errors="replace").strip()


class Repository:
    """The repository that a folder lies in; names are relative to the folder."""

    OURS, THEIRS, BASE = 2, 3, 1
    """Git's numbers for the sides of a merge. In a rebase `ours` is what one's own commits are put on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.known = printed(folder, "rev-parse", "--is-inside-work-tree") == b"true\n"

    def unmerged(self) -> dict[str, dict[int, bytes]]:
        """Return the files in conflict: what each side has of them."""
        rows: list[tuple[str, int, str]] = []
        for line in (printed(self._folder, "ls-files", "-u", "-z", "--", ".") or b"").split(b"\0")[:-1]:
            facts, _, name = line.partition(b"\t")
            _, blob, stage = facts.decode().split()
            rows.append((os.fsdecode(name), int(stage), blob))
        contents = self._blobs([blob for _, _, blob in rows])
        found: dict[str, dict[int, bytes]] = {}
        for (path, number, _), content in zip(rows, contents, strict=True):
            found.setdefault(path, {})[number] = content
        return found

    def versions(self, name: str) -> Iterator[bytes]:
        """Yield what a file was, each version once, the newest first, on every side that was merged or is being."""
        commits = self._log("--full-history", f"--max-count={_VERSIONS}", "--format=%H", name=name).split()
        yield from dict.fromkeys(self._blobs([f"{commit}:./{name}" for commit in commits]))

    def brought(self, name: str, content: bytes) -> str:
        """Return `, by commit …` for the commit that brought this version of a file, else nothing."""
        blob = printed(self._folder, "hash-object", "--no-filters", "--stdin", given=content)
        if blob is None:
            return ""
        commit = self._log("-1", "--full-history", f"--find-object={blob.decode().strip()}", _COMMIT, name=name)
        return f", by commit {commit.splitlines()[0]}" if commit else ""

    def _log(self, *options: str, name: str) -> str:
        """Return what the log says of a file on every side."""
        heads = [each for each in _HEADS if printed(self._folder, "rev-parse", "--verify", "--quiet", each)]
        return (printed(self._folder, "log", *options, *heads, "--", name) or b"").decode(errors="replace")

    def _blobs(self, names: Sequence[str]) -> list[bytes]:
        """Return what git holds under names of its own; nothing where there is no such thing."""
        asked = "".join(f"{name}\n" for name in names).encode()
        left = printed(self._folder, "cat-file", "--batch", given=asked, seconds=_MANY_SECONDS) or b""
        found = []
        for _ in names:
            told, _, left = left.partition(b"\n")
            size = int(told.split()[2]) if told.split()[1:2] == [b"blob"] else -1
            found.append(left[: max(size, 0)])
            left = left[size + 1 :]
        return found
