"""Credentials as variables for programs that cannot run behind the proxy.

Promises that a line means the same bytes to every reader it is meant for, or is not written at all. Refuses a value
that the format cannot carry: a key that arrives changed is worse than an error.
"""

import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum

from authsome.errors import AuthsomeError, ExitCode
from authsome.manifest import Declared
from authsome.session import Session

_BARE = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")


class Format(StrEnum):
    """What is written for each variable."""

    ENV = "env"
    SHELL = "shell"
    JSON = "json"


def variables(declared: tuple[Declared, ...], session: Session) -> dict[str, str]:
    """Return environment variable → secret for the connections that are usable."""
    return {
        name: session.secrets(*each.key)[field]
        for each in declared
        if session.holds(each)
        for name, field in _named(each)
    }


def _named(declared: Declared) -> Iterator[tuple[str, str]]:
    """A connection without a variable of its own is exported under its provider's: it was asked for by name."""
    yield from (declared.env or declared.provider.env).items()


def render(values: Mapping[str, str], form: Format) -> str:
    """Return the text of a format, ending in a newline; raise (exit code 2) where it cannot carry a value."""
    match form:
        case Format.ENV:
            return "".join(f"{name}={_portable(name, value)}\n" for name, value in values.items())
        case Format.SHELL:
            return "".join(f"export {name}={_shell(name, value)}\n" for name, value in values.items())
        case Format.JSON:
            return json.dumps(dict(values), ensure_ascii=False, indent=2) + "\n"


def _shell(name: str, value: str) -> str:
    """Quote for a POSIX shell: between single quotes nothing has a meaning but the single quote."""
    if "\0" in value:
        raise _cannot(name, "a NUL byte, which no variable can hold")
    return "'" + value.replace("'", "'\\''") + "'"


def _portable(name: str, value: str) -> str:
    r"""Quote so that POSIX shells, python-dotenv, Node's dotenv and `node --env-file` read the same bytes.

    Single quotes are literal to all of them, but python-dotenv undoes `\\` and `\'` in them and fills in `${…}`
    everywhere, and Node's readers turn a carriage return into a newline. Double quotes are literal to all of them while
    nothing inside has a meaning to any. What is left over has no common spelling.
    """
    if _BARE.fullmatch(value):
        return value
    if not any(text in value for text in ("\0", "\r", "${")):
        if "'" not in value and "\\\\" not in value and not value.endswith("\\"):
            return f"'{value}'"
        if not any(char in value for char in '"$`\\'):
            return f'"{value}"'
    raise _cannot(name, "characters that shells and dotenv readers understand differently")


def _cannot(name: str, what: str) -> AuthsomeError:
    return AuthsomeError(
        f"the value of {name} contains {what}",
        hint="for a shell use `--format shell`, for a program `--format json`",
        code=ExitCode.USAGE,
    )
