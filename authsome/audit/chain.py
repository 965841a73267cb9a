"""The audit log's files: lines that hold each other, several writers, and a reader that sees where they do not.

Promises that several processes write one chain, that it goes on across rotation, and that `verify` names the file and
line of every edit, cut and swap. A line that a killed process left half written is no tampering, and the next writer
goes on. A writer that finds the log cut does not mend it: its own line then stands after a visible gap.

NOTE: there is no key. Who may write the files as this user may write all of them anew, lines, chain and head, and
nothing here would show it; a copy of `log.head` elsewhere would. Cutting the tail and the head back together is such a
rewriting. What is shown is every change by somebody who did not take that trouble, and every accident.

    log.jsonl, log.1.jsonl … log.4.jsonl   the newest lines first; each line is JSON with its number `n` and, as `prev`,
                                           the SHA-256 of the line before it (its bytes, without the line's end)
    log.head                               the number and hash of the last line, and the first number still kept
"""

import errno
import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

LIMIT_BYTES = 8 << 20
"""At about this size a file is rotated."""

KEPT_FILES = 5
"""How many files are kept, the current one included."""

LOCK_SECONDS = 5.0
NOTHING = "0" * 64
"""What the first line of all has as `prev`."""

_HEAD_BYTES = 256  # always this long and written in one go: a kill leaves the old one or the new one
_LONGEST_LINE = 1 << 15
_NUMBERED = re.compile(r"log(?:\.([1-9]\d*))?\.jsonl")


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain stands: `count` lines were written in all, those from `first` on are kept."""

    first: int = 1
    count: int = 0
    hash: str = NOTHING


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with the log, and where."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found.

    Attributes:
        lines: How many complete lines there are.
        unfinished: Whether the last line is half written, as a killed process leaves it.
    """

    lines: int
    problems: tuple[Problem, ...]
    unfinished: bool = False

    @property
    def sound(self) -> int:
        """How many lines nothing is wrong with."""
        return self.lines - len({(each.file, each.line) for each in self.problems if each.line})


def hashed(line: bytes) -> str:
    """Return what the next line calls this one."""
    return sha256(line).hexdigest()


def parse(line: bytes) -> dict[str, Any] | None:
    """Return a line's values, or None if it is no line of this log."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    shaped = isinstance(values, dict) and isinstance(values.get("n"), int) and isinstance(values.get("prev"), str)
    return values if shaped else None


def append(
    folder: Path, values: Iterable[Mapping[str, Any]], *, limit: int = LIMIT_BYTES, kept: int = KEPT_FILES
) -> None:
    """Write lines to the end of the chain; raise `OSError` if that cannot be done, and leave no half line then."""
    _make_folder(folder)
    with _locked(folder, fcntl.LOCK_EX):
        path = folder / "log.jsonl"
        head_file = _open(folder / "log.head", os.O_RDWR | os.O_CREAT)
        log = _open(path, os.O_RDWR | os.O_CREAT)
        try:
            size, head = _resume(log, head_file, folder)
            if size >= limit:
                head = _rotate(folder, head_file, head, kept)
                os.close(log)
                log = _open(path, os.O_RDWR | os.O_CREAT)
                size = 0
            text, head = _link(values, head)
            _write(log, text, size)
            _write_head(head_file, head)
        finally:
            os.close(log)
            os.close(head_file)


def _link(values: Iterable[Mapping[str, Any]], head: Head) -> tuple[bytes, Head]:
    """Return the lines that follow `head`, and the head after them."""
    lines = []
    number, last = head.count, head.hash
    for each in values:
        number += 1
        line = json.dumps({"n": number, "prev": last, **each}, ensure_ascii=False, separators=(",", ":")).encode()
        last = hashed(line)
        lines.append(line + b"\n")
    return b"".join(lines), Head(head.first, number, last)


def _resume(log: int, head_file: int, folder: Path) -> tuple[int, Head]:
    """Return where to write and what to follow, after a look at how the last writer left.

    Its last words may be half a line, which goes, or lines that the head does not count yet, which are followed. If
    lines are missing the head is followed, so that the gap stays in sight; if the head is, its line follows nothing.
    """
    head = _parse_head(os.pread(head_file, _HEAD_BYTES, 0))
    size = os.fstat(log).st_size
    start = max(0, size - _LONGEST_LINE)
    tail = os.pread(log, size - start, start)
    complete = tail.rfind(b"\n") + 1
    last = tail[:complete].rstrip(b"\n").rpartition(b"\n")[2]
    values = parse(last) if last else None
    number = values["n"] if values else 0
    if head is None:
        untouched = size == 0 and not _files(folder)[1:]
        head = Head() if untouched else Head(1, max(number, 1), NOTHING)
        _write_head(head_file, head)
    elif number > head.count:
        head = Head(head.first, number, hashed(last))
    if complete < len(tail) and number >= head.count:
        size = start + complete
        os.ftruncate(log, size)
    elif complete < len(tail):  # half a line that was counted as a whole one: somebody cut it
        _write(log, b"\n", size)
        size += 1
    return size, head


def _rotate(folder: Path, head_file: int, head: Head, kept: int) -> Head:
    """Make room for a new `log.jsonl`; killed anywhere in here, the files that are left still read in order."""
    _write_head(head_file, head)
    unused = (number for number in range(1, kept) if not (folder / f"log.{number}.jsonl").exists())
    free = next(unused, kept)
    if free == kept:
        free = kept - 1
        second = folder / (f"log.{free - 1}.jsonl" if free > 1 else "log.jsonl")
        with second.open("rb") as file:
            values = parse(file.readline().rstrip(b"\n"))
        # First the head says that those lines are no longer kept, then they go.
        head = Head(values["n"] if values else head.first, head.count, head.hash)
        _write_head(head_file, head)
    for number in range(free, 0, -1):
        earlier = folder / (f"log.{number - 1}.jsonl" if number > 1 else "log.jsonl")
        earlier.replace(folder / f"log.{number}.jsonl")
    return head


def _write(descriptor: int, text: bytes, position: int) -> None:
    """Write all or nothing, as far as an error goes; a kill may leave a part."""
    done = 0
    try:
        while done < len(text):
            done += os.pwrite(descriptor, text[done:], position + done)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, position)
        raise


def _write_head(descriptor: int, head: Head) -> None:
    text = json.dumps({"version": 1, **asdict(head)}).encode()
    os.pwrite(descriptor, text.ljust(_HEAD_BYTES - 1) + b"\n", 0)


def _parse_head(text: bytes) -> Head | None:
    try:
        values = json.loads(text)
        head = Head(int(values["first"]), int(values["count"]), str(values["hash"]))
    except (ValueError, KeyError, TypeError):
        return None
    return head if len(text) == _HEAD_BYTES else None


def _make_folder(folder: Path) -> None:
    """Make the folder, and the home around it, for this user alone whatever the umask."""
    for path in (folder.parent, folder):
        with suppress(FileExistsError):
            path.mkdir(mode=0o700, parents=True)
            path.chmod(0o700)


def _open(path: Path, flags: int) -> int:
    """Open a file that only this user can read; neither a link nor a pipe in its place is followed or waited for."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if regular and flags & os.O_CREAT:
            os.fchmod(descriptor, 0o600)
    except OSError:
        os.close(descriptor)
        raise
    if not regular:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    """Hold the log for one writer, or from all writers; a lock on the folder goes with the process."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, "in use by another process", str(folder)) from None
                time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)


def _files(folder: Path) -> list[Path]:
    """Return the log's files, the oldest lines first; `log.jsonl` comes last, whether it exists or not."""
    numbered = {int(found[1]): path for path in folder.glob("log.*.jsonl") if (found := _NUMBERED.fullmatch(path.name))}
    return [*(numbered[number] for number in sorted(numbered, reverse=True)), folder / "log.jsonl"]


@contextmanager
def _snapshot(folder: Path) -> Iterator[tuple[list[tuple[str, BinaryIO, int]], Head | None]]:
    """Open every file as it stands between two writers: (name, file, size), and the head."""
    found: list[tuple[str, BinaryIO, int]] = []
    head = None
    try:
        if folder.exists():
            with _locked(folder, fcntl.LOCK_SH):
                for path in _files(folder):
                    with suppress(FileNotFoundError):
                        file: BinaryIO = os.fdopen(_open(path, os.O_RDONLY), "rb")
                        found.append((path.name, file, os.fstat(file.fileno()).st_size))
                with suppress(FileNotFoundError):
                    descriptor = _open(folder / "log.head", os.O_RDONLY)
                    head = _parse_head(os.pread(descriptor, _HEAD_BYTES, 0))
                    os.close(descriptor)
        yield found, head
    finally:
        for _, file, _ in found:
            file.close()


def _lines(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the lines up to `size`, the last one possibly without its end."""
    while size > 0 and (line := file.readline(size)):
        size -= len(line)
        yield line


def each(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the values of every line that can be read, oldest first."""
    with _snapshot(folder) as (files, _):
        for _, file, size in files:
            for line in _lines(file, size):
                if line.endswith(b"\n") and (values := parse(line[:-1])):
                    yield values


def follow(folder: Path, after: int, wait: Iterable[None]) -> Iterator[dict[str, Any]]:
    """Yield the lines with a number above `after` as they come, until `wait` ends; rotation loses none.

    Args:
        wait: Is asked for its next item whenever there is nothing more to read.
    """
    current: BinaryIO | None = None
    try:
        for _ in wait:
            fresh = _grown(current)
            if current is None or not _is_current(folder, current):
                current = _open_current(folder, current)
                # The old file may have grown between our last look at it and its renaming, and others may have gone by.
                fresh += [line for path in _files(folder)[:-1] for line in _whole(path)]
                fresh += _grown(current)
            for values in sorted(filter(None, map(parse, fresh)), key=lambda values: values["n"]):
                if values["n"] > after:
                    after = values["n"]
                    yield values
    finally:
        if current:
            current.close()


def _is_current(folder: Path, file: BinaryIO) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat((folder / "log.jsonl").stat(), os.fstat(file.fileno()))
    return False


def _open_current(folder: Path, before: BinaryIO | None) -> BinaryIO | None:
    if before:
        before.close()
    with suppress(FileNotFoundError):
        current: BinaryIO = os.fdopen(_open(folder / "log.jsonl", os.O_RDONLY), "rb")
        return current
    return None


def _grown(file: BinaryIO | None) -> list[bytes]:
    """Return the complete lines that were added since the last look."""
    if file is None:
        return []
    start = file.tell()
    text = file.read()
    complete = text.rfind(b"\n") + 1
    file.seek(start + complete)
    return text[:complete].split(b"\n")[:-1]


def _whole(path: Path) -> list[bytes]:
    with suppress(FileNotFoundError):
        return path.read_bytes().split(b"\n")[:-1]
    return []


def verify(folder: Path) -> Verdict:
    """Return what is wrong with the log; reads every line."""
    problems: list[Problem] = []
    lines, unfinished = 0, False
    with _snapshot(folder) as (files, known):
        if known is None and any(size for _, _, size in files):
            problems.append(Problem("log.head", 0, "missing or unreadable, so lines may be missing at the end"))
        walk = _Walk(known or Head(), problems)
        for name, file, size in files:
            for number, line in enumerate(_lines(file, size), 1):
                if line.endswith(b"\n"):
                    lines += 1
                    walk.step(name, number, line[:-1])
                elif name == "log.jsonl":
                    unfinished = True
                else:
                    problems.append(Problem(name, number, "half a line in a file that was finished"))
        walk.end()
    return Verdict(lines, tuple(problems), unfinished)


class _Walk:
    """A walk along the chain, line by line."""

    def __init__(self, head: Head, problems: list[Problem]) -> None:
        self._head, self._problems = head, problems
        self._where = ("log.jsonl", 0)
        self._number: int | None = None
        self._hash = NOTHING

    def step(self, file: str, line: int, text: bytes) -> None:
        """Look at one line after those before it."""
        values = parse(text)
        if values is None:
            self._problems.append(Problem(file, line, "not a line of this log: damaged or written by somebody else"))
        else:
            self._compare(file, line, values["n"], values["prev"])
        self._number = values["n"] if values else (self._number or self._head.first - 1) + 1
        self._where, self._hash = (file, line), hashed(text)
        if self._number == self._head.count and self._hash != self._head.hash and self._head.count:
            self._problems.append(Problem(file, line, "changed, or `log.head` was: the head has another hash for it"))

    def _compare(self, file: str, line: int, number: int, prev: str) -> None:
        if self._number is None:
            if number > self._head.first:
                missing = _count(number - self._head.first)
                self._problems.append(Problem(file, line, f"{missing} missing before this one, at the beginning"))
            elif number == 1 and prev != NOTHING:
                self._problems.append(Problem(file, line, "changed: the first line of all follows none"))
            return
        expected = self._number + 1
        if number > expected:
            self._problems.append(Problem(file, line, f"{_count(number - expected)} missing before this one"))
        elif number < expected:
            self._problems.append(Problem(file, line, f"out of order: number {number} after {self._number}"))
        elif prev != self._hash:
            self._problems.append(Problem(*self._where, "changed: the next line has another hash for it"))

    def end(self) -> None:
        """Look at what the head says should have followed."""
        last = self._number if self._number is not None else self._head.first - 1
        if last < self._head.count:
            missing = _count(self._head.count - last)
            what = f"{missing} missing at the end: cut off, or lost when the machine lost power"
            self._problems.append(Problem(*self._where, what))


def _count(number: int) -> str:
    return "1 line" if number == 1 else f"{number} lines"
