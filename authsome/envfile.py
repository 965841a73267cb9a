"""A file of `NAME=value` lines, as `.env`: what it says, and the same file with other values.

Promises that a replacement changes the named values and not one octet beside them, that the reader which most programs
use then reads the new values and all others as before, and that the file is the old one or the new one at any moment.
Refuses to write where that cannot be had, through a link that leads elsewhere and over what somebody changed meanwhile,
and to keep a copy: it would hold what the replacement is to remove.
"""

import io
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import parse_stream

from authsome.errors import AuthsomeError, ExitCode, file_errors
from authsome.vault.files import drafted, scanned

MAX_BYTES = 1 << 18
"""So much is read in a moment; a file of variables has a hundredth of it."""
_BLANK = 512
_BOM = "\ufeff"
_HEAD = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=\#\s]+)[^\S\r\n]*=[^\S\r\n]*")
_QUOTED = {"'": re.compile(r"'(?:\\.|[^'\\])*'", re.DOTALL), '"': re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)}
_NAMED = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")
_NEWLINE = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Line:
    """One binding of a text.

    Attributes:
        name: The variable; of a line that does not parse, the one it seems to be about.
        value: Secret; None where the line gives none.
        number: The line it begins on, from 1.
        span: Where the value stands in the text, without its quotes.
        broken: Whether it does not parse.
    """

    name: str | None
    value: str | None = field(repr=False)
    number: int
    span: tuple[int, int]
    broken: bool


def parse(text: str) -> tuple[Line, ...]:
    """Return the bindings of a text as python-dotenv reads them, without putting variables into values."""
    if blank := re.search(rf"[^\S\r\n]{{{_BLANK}}}", text):
        # NOTE: the reader's time grows with the square of a run of blanks.
        number = len(_NEWLINE.findall(text, 0, blank.start())) + 1
        raise AuthsomeError(
            f"line {number} has more than {_BLANK} blanks in a row", hint="remove them", code=ExitCode.USAGE
        )
    return tuple(_lines(text))


def _lines(text: str) -> Iterator[Line]:
    place = len(text) - len(text.removeprefix(_BOM))
    for each in parse_stream(io.StringIO(text[place:], newline="")):
        written = each.original.string
        blank = len(written) - len(written.lstrip())
        number = each.original.line + len(_NEWLINE.findall(written[:blank]))
        if each.error:
            named = _NAMED.match(written)
            yield Line(named[1] if named else None, None, number, (place, place), broken=True)
        elif each.key is not None:
            start, end = _span(written, each.value or "")
            yield Line(each.key, each.value, number, (place + start, place + end), broken=False)
        place += len(written)


def _span(written: str, value: str) -> tuple[int, int]:
    """Return where the value stands in a binding, without its quotes; what is doubtful shows when it is read again."""
    head = _HEAD.match(written)
    start = head.end() if head else 0
    if head and (quoted := _QUOTED.get(written[start : start + 1])) and (found := quoted.match(written, start)):
        return start + 1, found.end() - 1
    return start, start + len(value)


def replaced(text: str, lines: tuple[Line, ...], values: Mapping[int, str]) -> str:
    """Return a text with other values.

    Args:
        lines: What `parse` said of it.
        values: The new value by the line's place in `lines`; of letters, digits and `-`, so that it needs no quotes.

    Raises (exit code 1) where the reader would not read exactly that.
    """
    pieces, place = [], 0
    for index in sorted(values):
        start, end = lines[index].span
        pieces += [text[place:start], values[index]]
        place = end
    made = "".join([*pieces, text[place:]])
    wanted = [(each.name, values.get(index, each.value), each.broken) for index, each in enumerate(lines)]
    if [(each.name, each.value, each.broken) for each in parse(made)] != wanted:
        raise AuthsomeError("its values cannot be replaced without a change to others", hint="replace them by hand")
    return made


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was read.

    Attributes:
        path: As it was named.
        text: All of it, secret.
    """

    path: Path
    text: str = field(repr=False)
    _status: os.stat_result = field(repr=False)

    @property
    def real(self) -> Path:
        """Where it lies when links are followed."""
        return self.path.resolve()

    def write(self, text: str) -> None:
        """Put another text in its place, in one step, with the same owner and mode, or raise and leave it as it is."""
        real = self.real
        self._check_place(real)
        _sweep(real)
        hint = f"{self.path} is as it was"
        with drafted(real, text.encode(), hint) as draft:
            mine, whose = draft.stat(), self._status
            if (mine.st_uid, mine.st_gid) != (whose.st_uid, whose.st_gid):
                os.chown(draft, whose.st_uid, whose.st_gid)
            draft.chmod(stat.S_IMODE(whose.st_mode))
            now = read(real)
            if (now.text, now._identity()) != (self.text, self._identity()):  # noqa: SLF001  another one of this class
                raise AuthsomeError(
                    f"{self.path} was changed while this was at work", hint="call it again", code=ExitCode.MISSING
                )
            draft.replace(real)

    def _check_place(self, real: Path) -> None:
        if not real.is_relative_to(self.path.parent.resolve()):
            # NOTE: a link that a repository brings would have a file changed that nobody named.
            raise AuthsomeError(
                f"{self.path} is a link that leads out of its folder", hint=f"name {real}", code=ExitCode.MISSING
            )
        if self._status.st_nlink > 1:
            raise AuthsomeError(
                f"{self.path} has a second name (a hard link), which would keep the values",
                hint="replace them by hand, in all of its names",
                code=ExitCode.MISSING,
            )

    def _identity(self) -> tuple[int, ...]:
        it = self._status
        return it.st_dev, it.st_ino, it.st_mode, it.st_uid, it.st_gid, it.st_nlink


def _sweep(path: Path) -> None:
    """Remove what a writer of this file left that was killed: it holds the file's other secrets."""
    mine = re.compile(re.escape(f".{path.name}.") + r"[0-9]+\.[0-9a-f]{8}")
    for left in scanned(path.parent):
        if mine.fullmatch(left.name) and left.is_file(follow_symlinks=False):
            with file_errors("delete", Path(left.path)):
                Path(left.path).unlink(missing_ok=True)


def read(path: Path) -> File:
    """Return a small text file, or say (exit code 2) why it is none."""
    # A pipe in its place would be waited for, or give itself once.
    how = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        with file_errors("read", path), os.fdopen(os.open(path, how), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _unfit(f"{path} is not a regular file", "pipe it in instead: --stdin")
            raw = file.read(MAX_BYTES + 1)
    except AuthsomeError as error:
        error.code = ExitCode.USAGE
        raise
    return File(path, decoded(raw, str(path)), status)


def decoded(raw: bytes, name: str) -> str:
    """Return octets as text, or say (exit code 2) why they are none; a byte order mark stays."""
    if len(raw) > MAX_BYTES:
        raise _unfit(f"{name} is larger than {MAX_BYTES >> 10} KiB", "give the keys alone")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _unfit(f"{name} is not UTF-8 text (line {line})", "save it as UTF-8") from None
    if "\0" in text:
        raise _unfit(f"{name} is not text: line {text[: text.index(chr(0))].count(chr(10)) + 1} has a NUL", None)
    return text


def _unfit(message: str, hint: str | None) -> AuthsomeError:
    return AuthsomeError(message, hint=hint, code=ExitCode.USAGE)
