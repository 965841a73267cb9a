"""Files of `NAME=value` lines: one look, and a reader for each.

Promises that every reader a format is meant for gets the same bytes. Refuses what they read differently, or not at all.
"""

import re
from collections.abc import Mapping

from authsome.export.unfit import UnfitError, startable

# zsh takes `=name`, first or after a colon, for the path of a program.
_BARE = re.compile(r"(?!=|.*:=)[A-Za-z0-9_./:@%+,=-]+")
_UNQUOTED = re.compile(r"""[!$-&(-_a-~](?:[\t -"$-~]*[!"$-~])?""")
_ESCAPE = re.compile(r"\\(?:[\\'abfnrtv]|\Z)")

_DOCKER_LINE = 64 * 1024
"""Octets of a line and its end (docker/cli, pkg/kvfile: `bufio.MaxScanTokenSize`)."""

_GITLAB_FILE = 5 * 1024
"""Octets that the file stays below (GitLab, instance limits: `dotenv_size`)."""
_GITLAB_VARIABLES = 150
"""As many as the largest plan has (GitLab.com, settings: CI/CD)."""
_SUBSTITUTED = re.compile(r"\$|%%|%[A-Za-z_][A-Za-z0-9_]*%")


def env(values: Mapping[str, str]) -> str:
    """Return what POSIX shells and all dotenv readers read alike."""
    return "".join(f"{name}={_portable(name, value)}\n" for name, value in values.items())


def _portable(name: str, value: str) -> str:
    r"""Quote so that POSIX shells, python-dotenv, Node's dotenv and `node --env-file` read the same bytes.

    Single quotes are literal to all of them, but python-dotenv undoes `\\` and `\'` in them and fills in `${…}`
    everywhere, and Node's readers turn a carriage return into a newline. Double quotes are literal to all of them while
    nothing inside has a meaning to any. What is left over has no common spelling.
    """
    startable(name, value)
    if _BARE.fullmatch(value):
        return value
    if not any(text in value for text in ("\r", "${")):
        if _literal(value):
            return f"'{value}'"
        if not any(char in value for char in '"$`\\'):
            return f'"{value}"'
    raise UnfitError(name, "contains characters that shells and dotenv readers understand differently")


def _literal(value: str) -> bool:
    """Whether single quotes around it are all that it needs."""
    return "'" not in value and "\\\\" not in value and not value.endswith("\\")


def dotenv(values: Mapping[str, str]) -> str:
    """Return what python-dotenv, Node's dotenv and `node --env-file` read alike, whatever a shell makes of it."""
    return "".join(f"{name}={_dotenv(name, value)}\n" for name, value in values.items())


def _dotenv(name: str, value: str) -> str:
    r"""Quote for dotenv readers alone, which can carry more than `env`.

    They leave a `$` between double quotes alone. python-dotenv reads escapes there, so a backslash may stand before
    nothing that makes one; none takes `\"` as the others do. Without quotes all take printable ASCII up to a `#`.
    """
    if _BARE.fullmatch(value):
        return value
    if not any(text in value for text in ("\0", "\r", "${")):
        if _literal(value):
            return f"'{value}'"
        if '"' not in value and not _ESCAPE.search(value):
            return f'"{value}"'
        if _UNQUOTED.fullmatch(value):
            return value
    raise UnfitError(name, "contains characters that dotenv readers understand differently")


def docker(values: Mapping[str, str]) -> str:
    """Return what `docker run --env-file` reads: the rest of a line is the value, quotes, spaces and all."""
    return "".join(f"{name}={_docker(name, value)}\n" for name, value in values.items())


def _docker(name: str, value: str) -> str:
    if "\0" in value:
        raise UnfitError(name, "contains a NUL byte, which no environment can hold")
    if "\n" in value or value.endswith("\r"):
        raise UnfitError(name, "contains a line break, and docker knows no quotes around one")
    if len(name) + len(value.encode()) + 2 > _DOCKER_LINE:
        raise UnfitError(name, "is longer than the 64 KiB that docker reads of a line")
    return value


def gitlab(values: Mapping[str, str]) -> str:
    """Return a report for `artifacts: reports: dotenv`, whose variables later jobs of a GitLab pipeline have."""
    text = "".join(f"{name}={_gitlab(name, value)}\n" for name, value in values.items())
    if len(text.encode()) >= _GITLAB_FILE:
        longest = max(values, key=lambda name: len(values[name].encode()))
        raise UnfitError(longest, "makes the report 5 KiB or more, and GitLab takes less")
    if len(values) > _GITLAB_VARIABLES:
        raise UnfitError([*values][_GITLAB_VARIABLES], f"is one too many: GitLab takes {_GITLAB_VARIABLES} variables")
    return text


def _gitlab(name: str, value: str) -> str:
    """Return the value as it is: GitLab knows neither quotes nor escapes, and a later job fills in what looks like one.

    Its documentation rules out spaces; its reader cuts them off at both ends, with NUL.
    """
    if any(char <= " " or char == "\x7f" for char in value):
        raise UnfitError(name, "contains a space or a control character, which GitLab does not take in a report")
    if _SUBSTITUTED.search(value):
        raise UnfitError(name, "contains `$` or `%`, which a later job of GitLab would take for a variable's name")
    return value
