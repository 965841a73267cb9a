"""Credentials as variables for programs that cannot run behind the proxy.

Promises that what is written means the same bytes to the program it is meant for, or is not written at all, with the
name of the variable and of a format that can carry it. Refuses a value that a format would change: a key that arrives
changed is worse than an error. Refuses to hand out what a connection renews itself with: keys and access tokens only.

Values in, text out; only `github.append` touches a file.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

from authsome.errors import AuthsomeError, ExitCode
from authsome.export import github, lines, shells, structured
from authsome.export.unfit import UnfitError
from authsome.manifest import Declared
from authsome.provider import VARIABLE
from authsome.session import Session


class Format(StrEnum):
    """What is written for each variable."""

    ENV = "env"
    SHELL = "shell"
    FISH = "fish"
    POWERSHELL = "powershell"
    JSON = "json"
    YAML = "yaml"
    DOTENV = "dotenv"
    DOCKER = "docker"
    GITHUB = "github"
    GITLAB = "gitlab"
    K8S = "k8s"
    DIRENV = "direnv"


SECRET_NAME = "authsome"  # noqa: S105  what Kubernetes calls it, not a secret
"""The name of a Kubernetes Secret that was given none."""

_RENEWING = frozenset({"refresh_token", "former_refresh_token"})
_LONGEST_NAME = 255
"""As many characters as GitLab takes; YAML ends at 1024."""

_WRITERS: Mapping[Format, Callable[[Mapping[str, str]], str]] = {
    Format.ENV: lines.env,
    Format.SHELL: shells.posix,
    Format.FISH: shells.fish,
    Format.POWERSHELL: shells.powershell,
    Format.JSON: structured.as_json,
    Format.YAML: structured.yaml,
    Format.DOTENV: lines.dotenv,
    Format.DOCKER: lines.docker,
    Format.GITHUB: github.masks,
    Format.GITLAB: lines.gitlab,
    # direnv runs an `.envrc` with bash and takes over what that exported: the lines of a shell, quoted as for one.
    Format.DIRENV: shells.posix,
}
_OTHERWISE = {
    Format.SHELL: "`--format shell` for a shell",
    Format.DOTENV: "`--format dotenv` for a dotenv reader",
    Format.JSON: "`--format json` for a program",
}


def variables(declared: tuple[Declared, ...], session: Session) -> dict[str, str]:
    """Return environment variable → secret for the connections that are usable.

    Raises (exit code 6) if two of them set one variable: whose key the reader gets would be chance.
    """
    found: dict[str, str] = {}
    owners: dict[str, Declared] = {}
    for each in declared:
        if not session.holds(each):
            continue
        for name, field in each.env.items():
            if not _goes_out(each, field, session):
                continue
            if (owner := owners.setdefault(name, each)) is not each:
                raise _claimed(name, owner, each)
            found[name] = session.secrets(*each.key)[field]
    return found


def secret(declared: tuple[Declared, ...], session: Session) -> frozenset[str]:
    """Return the variables whose values are secrets; the others hold settings, such as a region."""
    return frozenset(
        name
        for each in declared
        if session.holds(each)
        for name, field in each.env.items()
        if field not in session.settings(each) and _goes_out(each, field, session)
    )


def _goes_out(declared: Declared, field: str, session: Session) -> bool:
    """Whether a field is handed out. NOTE: whoever can renew a login has it for good."""
    return field not in _RENEWING and field in session.secrets(*declared.key)


def _claimed(name: str, one: Declared, other: Declared) -> AuthsomeError:
    line = f"providers: {{{one.provider.name}: , {other.provider.name}: {{env: {name}_2}}}}"
    return AuthsomeError(
        f"`{one.name}` and `{other.name}` both set {name}",
        hint=f"export one of them (`authsome export {one.provider.name}`), or write into authsome.yaml: `{line}`",
        code=ExitCode.INVALID,
    )


def check(values: Mapping[str, str]) -> None:
    """Raise (exit code 2) for what no format carries."""
    for name, value in values.items():
        if not VARIABLE.fullmatch(name) or len(name) > _LONGEST_NAME:
            raise AuthsomeError(
                f"{ascii(name[:40])} is not an environment variable",
                hint=f"use up to {_LONGEST_NAME} letters, digits and `_`, a letter first",
                code=ExitCode.USAGE,
            )
        try:
            value.encode()
        except UnicodeEncodeError:
            raise AuthsomeError(
                f"the value of {name} contains half a character (a lone surrogate), which no format carries",
                hint="log in again with the key as its provider shows it: authsome login --force",
                code=ExitCode.USAGE,
            ) from None


def render(values: Mapping[str, str], form: Format, *, secret_name: str = SECRET_NAME) -> str:
    """Return the text of a format, ending in a newline; raise (exit code 2) where it cannot carry a value.

    For `github` it is what the runner is told to hide; the values themselves are `github.assignments`.
    """
    check(values)
    try:
        if form is Format.K8S:
            return structured.secret(values, secret_name)
        return _WRITERS[form](values)
    except UnfitError as error:
        fit = ", ".join(hint for other, hint in _OTHERWISE.items() if _carries(values, other, error))
        raise AuthsomeError(
            f"the value of {error.name} {error.reason}", hint=f"use {fit}", code=ExitCode.USAGE
        ) from None


def _carries(values: Mapping[str, str], form: Format, error: UnfitError) -> bool:
    """Whether another format has room for the value that one has not."""
    try:
        _WRITERS[form]({error.name: values[error.name]})
    except UnfitError:
        return False
    return True
