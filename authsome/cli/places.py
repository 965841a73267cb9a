"""Where `authsome import` finds keys: files, the environment, standard input, what a program prints."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from authsome.cli.stations import working_folder
from authsome.cli.voice import say
from authsome.errors import AuthsomeError, ExitCode, did_you_mean

if TYPE_CHECKING:
    from authsome.envfile import File
    from authsome.found import Candidate, Form

DEFAULT = ".env"


@dataclass(frozen=True, slots=True)
class Source:
    """One place where keys may be.

    Attributes:
        file: What can be rewritten, None if nothing can.
        path: The file itself, for git.
    """

    name: str
    candidates: "tuple[Candidate, ...]"
    file: "File | None" = None
    path: Path | None = None


def form_named(named: str) -> "Form":
    """Return a form by its name, or raise (exit code 2)."""
    from authsome.found import Form

    forms = [str(each) for each in Form]
    if named not in forms:
        hint = did_you_mean(named, forms, f"formats: {', '.join(forms)}")
        raise AuthsomeError(f"there is no format `{named}`", hint=hint, code=ExitCode.USAGE)
    return Form(named)


def sources(
    files: list[Path], form: "Form", *, env: bool = False, stdin: bool = False, program: str | None = None
) -> list[Source]:
    """Return what the command line names as the places where keys are, read."""
    from authsome import found

    if sum((bool(files), env, stdin, program is not None)) > 1:
        raise AuthsomeError(
            "files, --env, --stdin and --command exclude each other", hint="give one", code=ExitCode.USAGE
        )
    if env:
        return [Source(found.ENVIRONMENT, tuple(found.from_environ(os.environ)))]
    if stdin:
        return [Source("standard input", tuple(found.read(_piped(), form, "standard input", alone=True)))]
    if program is not None:
        return [Source("the command", tuple(found.read(_printed(program), form, "the command", alone=True)))]
    if not files and not (working_folder() / DEFAULT).exists():
        raise AuthsomeError(
            f"there is no {DEFAULT} here",
            hint="name a file, or say --env, --stdin or --command 'op read op://…'",
            code=ExitCode.USAGE,
        )
    return [_from_file(each, form) for each in dict.fromkeys(files or [Path(DEFAULT)])]


def _from_file(path: Path, form: "Form") -> Source:
    from authsome import envfile, found

    file = envfile.read(path)
    candidates = tuple(found.read(file.text, form, str(path)))
    rewritable = any(each.index is not None for each in candidates)
    return Source(str(path), candidates, file if rewritable else None, file.real)


def _piped() -> str:
    from authsome import envfile

    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise AuthsomeError(
            "nothing is piped in", hint="for example: authsome import --stdin < keys.json", code=ExitCode.MISSING
        )
    return envfile.decoded(sys.stdin.buffer.read(envfile.MAX_BYTES + 1), "standard input")


def _printed(program: str) -> str:
    from authsome import envfile
    from authsome.vault.program import Errand, run

    errand = Errand(
        "--command",
        "what is imported",
        "--command 'op read op://vault/item/field'",
        "see what it says by hand",
        envfile.MAX_BYTES,
        ExitCode.MISSING,
    )
    return envfile.decoded(run(program, os.environ, say, errand=errand), "what the command printed")
