"""How every command speaks: what it was told to say, and where that goes.

Promises that data goes to standard output and all else to standard error, that with `--json` an error is one line of
JSON there, and that no traceback or value of a bug reaches the screen. Imports nothing that a run would have to wait
for.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import authsome
from authsome.errors import AuthsomeError, ExitCode, as_utf8, clean


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that every command takes, before or after its name."""

    profile: str | None = None
    file: str | None = None
    identity: str | None = None
    json: bool = False
    quiet: bool = False
    no_input: bool = False
    no_color: bool = False
    verbose: bool = False


# Data goes out as UTF-8 whatever the locale: a key must not depend on LANG.


def data(text: str) -> None:
    """Write the answer to standard output; a reader who has seen enough is no error, a full disk is one."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(_octets(text))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        reason = (error.strerror or type(error).__name__).lower()
        raise AuthsomeError(
            f"cannot write standard output: {reason}", hint="the answer is not whole, write it somewhere else"
        ) from None


def _octets(text: str) -> bytes:
    """Return text as UTF-8, and octets that were none as they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a surrogate pair, as JSON and YAML can spell it
        return as_utf8(text).encode()


def _discard(stream: TextIO) -> None:
    """Let what is still to come go nowhere; Python would complain again when it closes the stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def talk(settings: Settings, text: str) -> None:
    """Write a line to standard error that `--quiet` may leave out."""
    if not settings.quiet:
        say(text)


def say(text: str) -> None:
    """Write a line to standard error."""
    encoding = sys.stderr.encoding or "ascii"
    try:
        print(clean(text, keep="\n").encode(encoding, "replace").decode(encoding), file=sys.stderr)
    except OSError:  # nobody reads it, or its disk is full: there is nobody left to tell, and the exit code says it
        _discard(sys.stderr)


def explain(error: AuthsomeError, *, as_json: bool = False) -> None:
    """Write an error and its remedy: two lines for people, or one object on one line for programs."""
    message = clean(error.message)  # NOTE: a file's name with a line break in it could say what to do next
    if as_json:
        from authsome import screens

        say(screens.as_line("error", error=message, hint=error.hint, exit_code=int(error.code)))
        return
    say(f"Error: {message}")
    if error.hint:
        say(f"Hint: {error.hint}")


def interrupted(*, as_json: bool = False) -> ExitCode:
    """Say that Ctrl-C was heard; return the exit code."""
    words = "nterrupted, nothing was left half done"
    if as_json:
        explain(AuthsomeError(f"i{words}", code=ExitCode.INTERRUPTED), as_json=True)
    else:
        say(f"\nI{words}.")
    return ExitCode.INTERRUPTED


def unexpected(error: Exception, *, as_json: bool = False) -> ExitCode:
    """Explain what the file system refused; report anything else as a bug, by where it happened.

    NOTE: a bug's message and locals may hold a secret, so neither is shown.
    """
    if isinstance(error, OSError) and error.filename is not None:
        message = f"cannot use {os.fsdecode(error.filename)}: {(error.strerror or '').lower()}"
        explain(AuthsomeError(message, hint="check whose it is and who may use it (`ls -ld`)"), as_json=as_json)
        return ExitCode.UNEXPECTED
    import traceback

    bug = f"unexpected {type(error).__name__}, this is a bug in authsome {authsome.__version__}"
    hint = "report these lines; they hold no values"
    if not as_json:
        say(f"Error: {bug}")
    for frame in traceback.extract_tb(error.__traceback__):
        say(f"  {Path(frame.filename).name}:{frame.lineno} {frame.name}")
    if as_json:  # as the last line, like every error
        explain(AuthsomeError(bug, hint=hint), as_json=True)
    else:
        say(f"Hint: {hint}")
    return ExitCode.UNEXPECTED
