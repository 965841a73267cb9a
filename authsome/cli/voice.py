"""How every command speaks: what it was told to say, and where that goes.

Promises that data goes to standard output and all else to standard error, and that no traceback or value of a bug
reaches the screen. Imports nothing that a run would have to wait for.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import authsome
from authsome.errors import AuthsomeError, ExitCode, clean


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
    """Write the answer to standard output."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def talk(settings: Settings, text: str) -> None:
    """Write a line to standard error that `--quiet` may leave out."""
    if not settings.quiet:
        say(text)


def say(text: str) -> None:
    """Write a line to standard error."""
    encoding = sys.stderr.encoding or "ascii"
    print(clean(text, keep="\n").encode(encoding, "replace").decode(encoding), file=sys.stderr)


def explain(error: AuthsomeError) -> None:
    """Write an error and its remedy."""
    say(f"Error: {clean(error.message)}")  # NOTE: a file's name with a line break in it could say what to do next
    if error.hint:
        say(f"Hint: {error.hint}")


def unexpected(error: Exception) -> int:
    """Explain what the file system refused; report anything else as a bug, by where it happened.

    NOTE: a bug's message and locals may hold a secret, so neither is shown.
    """
    if isinstance(error, OSError) and error.filename is not None:
        say(f"Error: cannot use {os.fsdecode(error.filename)}: {(error.strerror or '').lower()}")
        say("Hint: check whose it is and who may use it (`ls -ld`)")
        return ExitCode.UNEXPECTED
    import traceback

    say(f"Error: unexpected {type(error).__name__}, this is a bug in authsome {authsome.__version__}")
    for frame in traceback.extract_tb(error.__traceback__):
        say(f"  {Path(frame.filename).name}:{frame.lineno} {frame.name}")
    say("Hint: report these lines; they hold no values")
    return ExitCode.UNEXPECTED
