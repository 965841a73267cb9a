"""What can go wrong, said so that the reader knows what to do next.

Promises that whatever a user can cause ends in one `AuthsomeError`: a line that names the thing, a hint that mends it,
and an exit code. Refuses to carry a secret: messages are built from names, paths and numbers only.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """Exit codes of every command but `run`, which gives the child's own (see `RunExit`)."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    MISSING = 3
    LOCKED = 4
    INTEGRITY = 5
    INVALID = 6
    UNTRUSTED = 7
    REFUSED = 8
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """What it says, in a line."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.UNEXPECTED: "unexpected: the system refused something, or a bug",
    ExitCode.USAGE: "the command line is wrong: an unknown command, option or name",
    ExitCode.MISSING: "something is missing, or a person is needed",
    ExitCode.LOCKED: "locked: there is no identity that opens the vault",
    ExitCode.INTEGRITY: "damaged: a file of the vault or of the log is not what was written",
    ExitCode.INVALID: "invalid: a manifest, a definition or another file has a mistake in it",
    ExitCode.UNTRUSTED: "not trusted: look at it and accept it with `authsome trust`, or it is sealed inside a run",
    ExitCode.REFUSED: "the provider, the network or a rule refused",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
}


class RunExit(IntEnum):
    """What `run` answers when the code is not the child's; the values are those of `env`, `nohup` and `timeout`."""

    FAILED = 125
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127
    SIGNALLED = 128

    @property
    def meaning(self) -> str:
        """What it says, in a line."""
        return _MEANINGS_OF_RUN[self]


_MEANINGS_OF_RUN = {
    RunExit.FAILED: "authsome failed before the agent was started; `authsome check` tells why",
    RunExit.NOT_EXECUTABLE: "the agent's program cannot be executed",
    RunExit.NOT_FOUND: "the agent's program was not found",
    RunExit.SIGNALLED: "plus N: signal N ended the agent",
}


class AuthsomeError(Exception):
    """An error with its remedy.

    Attributes:
        message: One line that names the thing, without the leading `Error:`.
        hint: A command or a `file:line` that mends it, or None.
        code: The exit code of the command that raised it.
    """

    def __init__(self, message: str, *, hint: str | None = None, code: ExitCode = ExitCode.UNEXPECTED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class Doubt(AuthsomeError):  # noqa: N818  to the person who is asked it is none
    """Something that only the person who gave it can decide; to whoever cannot ask, an error like any other.

    Attributes:
        word: What it is about, as an answer names it that has made up its mind.
        offer: What the person may choose to have done all the same.
    """

    def __init__(
        self, word: str, message: str, *, offer: str, hint: str | None = None, code: ExitCode = ExitCode.USAGE
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.word = word
        self.offer = offer


def clean(text: str, keep: str = "") -> str:
    """Return text without control characters: words of a manifest or a file name must not repaint the terminal."""
    return "".join(char if char.isprintable() or char in keep else "\ufffd" for char in text)


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that a typing error most likely meant, or None."""
    from difflib import get_close_matches  # noqa: PLC0415  only an error needs it

    return next(iter(get_close_matches(word, list(candidates), n=1, cutoff=0.6)), None)


def did_you_mean(word: str, candidates: Iterable[str], otherwise: str | None = None) -> str | None:
    """Return the hint for a wrong name: the nearest one, else `otherwise`."""
    near = nearest(word, candidates)
    return f"did you mean `{near}`?" if near else otherwise


@contextmanager
def file_errors(doing: str, path: Path, *, hint: str | None = None) -> Iterator[None]:
    """Turn an `OSError` on `path` into one sentence: `cannot <doing> <path>: <reason>`."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise AuthsomeError(f"cannot {doing} {path}: {reason}", hint=hint) from error
