"""GitHub Actions: what the runner must hide, and what the next steps of the job find in their environment.

Promises that the runner is told to hide a value, line by line and in the spellings that end up in logs, before the
value is in any file, and that `$GITHUB_ENV` has all variables or is as it was. Refuses names that the runner keeps for
itself, and whatever is not a plain file.
"""

import os
import re
import signal
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode, file_errors
from authsome.export.unfit import startable

_BREAK = re.compile(r"[\r\n]+")
_RESERVED = re.compile(r"NODE_OPTIONS|(?:GITHUB|RUNNER)_(?!(?:.*_)?(?:TOKEN|KEY|PAT|SECRET|PASSWORD)$).*")
"""What the runner does not take from a step, or sets again before each.

It sets its own `GITHUB_…` and `RUNNER_…` only, and none of them is called like a key: `GITHUB_TOKEN` is free.
"""

_SPECIFIC = 8
"""Characters of a spelling that is worth a mask; fewer stand in any log by chance."""

_ENDING = {signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
"""What would end the process on the spot; they wait for the end of a write."""


def masks(values: Mapping[str, str]) -> str:
    """Return the workflow commands that make the runner write `***` for every value."""
    _check(values)
    said = dict.fromkeys(each for value in values.values() for each in _spellings(value) if each.strip())
    return "".join(f"::add-mask::{_data(each)}\n" for each in said)


def _data(text: str) -> str:
    """Return text as the data of a workflow command: it ends at the line's end, and `%` starts an escape."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _spellings(value: str) -> Iterator[str]:
    """Yield a value and each of its lines, since a log is searched line by line, each with its encodings.

    NOTE: GitHub's own runner works these out itself and then some; the runners of Gitea and Forgejo, and `act`, hide
    what they are told and nothing else.
    """
    for text in dict.fromkeys((value, *_BREAK.split(value))):
        for part in dict.fromkeys((text, text.strip())):
            yield part
            yield from (each for each in _encodings(part) if len(each) >= _SPECIFIC)


def _encodings(text: str) -> Iterator[str]:
    r"""Yield how a secret looks inside other things.

    `Authorization: Basic` and data: URLs (base64, at each of the three places in which it can start), addresses and
    forms (percent-encoding, as different languages do it) and JSON, where a line break is `\n`.
    """
    import json  # noqa: PLC0415  for this format alone, as the next ones
    from base64 import b64encode  # noqa: PLC0415
    from urllib.parse import quote, quote_plus  # noqa: PLC0415

    octets = text.encode()
    for before in range(3):
        # Only the characters that the value alone decides: its neighbours are unknown.
        start, end = -(-8 * before // 6), 8 * (before + len(octets)) // 6
        encoded = b64encode(bytes(before) + octets + bytes(2)).decode()[start:end]
        yield encoded
        yield encoded.translate({ord("+"): "-", ord("/"): "_"})
    yield from (quote(text, safe="/"), quote(text, safe="!'()*"), quote(text, safe=""), quote_plus(text))
    yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])


def assignments(values: Mapping[str, str], randomness: Callable[[int], bytes]) -> str:
    """Return what is appended to `$GITHUB_ENV`.

    Args:
        randomness: Returns so many random octets: nobody who chose a value can have known where it ends.
    """
    _check(values)
    return "".join(_assignment(name, value, randomness) for name, value in values.items())


def _assignment(name: str, value: str, randomness: Callable[[int], bytes]) -> str:
    while (delimiter := f"authsome_{randomness(16).hex()}") in value:
        pass
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def _check(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if _RESERVED.fullmatch(name.upper()):
            raise AuthsomeError(
                f"{name} is a variable that the runner keeps for itself: a step cannot set it",
                hint="give the connection another variable in authsome.yaml, such as `env: TEAM_API_KEY`",
                code=ExitCode.USAGE,
            )
        startable(name, value)


def target(environ: Mapping[str, str]) -> Path:
    """Return the file that `$GITHUB_ENV` names, or raise (exit code 2)."""
    named = environ.get("GITHUB_ENV")
    if not named:
        raise AuthsomeError(
            "GITHUB_ENV is not set: this is no step of a GitHub Actions job",
            hint="elsewhere use `--format shell` or `--format dotenv`",
            code=ExitCode.USAGE,
        )
    path = Path(named)
    with file_errors("use", path, hint="GITHUB_ENV is the file that the runner made for this step"):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _no_file(path)
    return path


def _no_file(path: Path) -> AuthsomeError:
    return AuthsomeError(
        f"{path}, which GITHUB_ENV names, is not a plain file",
        hint="leave GITHUB_ENV as the runner set it: what a link or a pipe hands on could be read by anybody",
        code=ExitCode.USAGE,
    )


def append(path: Path, text: str) -> None:
    """Append all of a text to a file, or leave it as it was.

    One write is one step for the kernel. Where it is not, on a full disk or when somebody interrupts, the file gets its
    former length back; and a value that was cut short has no end that the runner would accept.
    """
    with file_errors("write", path, hint="nothing was exported; make room on the disk and start again"):
        opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode):
                raise _no_file(path)
            _write(opened, found.st_size, text.encode())
        finally:
            os.close(opened)


def _write(opened: int, length: int, octets: bytes) -> None:
    # A step may have left its last line open; the first name must not become a part of it.
    if length and os.pread(opened, 1, length - 1) != b"\n":
        octets = b"\n" + octets
    former = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        while octets:
            octets = octets[os.write(opened, octets) :]
    except BaseException:
        os.ftruncate(opened, length)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
