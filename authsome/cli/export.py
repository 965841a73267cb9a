"""`authsome export`: credentials as variables."""

import os
import shlex
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Argument, Option, Settings, command, data, talk
from authsome.cli.named import Connection, declared, not_connected
from authsome.cli.stations import (
    again,
    check_trust,
    human,
    open_catalogue,
    open_project,
    open_vault,
    reconciling,
    sealed,
    survey,
)
from authsome.errors import AuthsomeError, ExitCode, did_you_mean
from authsome.provider import DEFAULT_CONNECTION, check_name

if TYPE_CHECKING:
    from authsome.export import Format
    from authsome.manifest import Declared
    from authsome.session import Position

_FORMATS = "env, shell, fish, powershell, json, yaml, dotenv, docker, github, gitlab, k8s or direnv."

_REPORT = (
    "GitLab offers a report for download to whoever sees the pipeline, and hides none of it in logs: "
    "`artifacts: access: none` keeps it from people."
)


@command("export")
def export(
    settings: Settings,
    provider: Annotated[str | None, Argument(metavar="[PROVIDER]", help="One provider; else all.")] = None,
    connection: Connection = DEFAULT_CONNECTION,
    form: Annotated[str, Option("--format", help=_FORMATS)] = "env",
    force: Annotated[bool, Option("--force", help="Show the secrets on a terminal, too.")] = False,
    secret_name: Annotated[str | None, Option("--secret-name", help="What k8s calls it; else `authsome`.")] = None,
) -> None:
    """Print credentials as variables.

    For programs that cannot run behind the proxy. `github` appends them to $GITHUB_ENV and prints what hides them.

    Of tokens it is the access token, renewed where it ends soon: what takes it can use it until it expires.

    Example: eval "$(authsome export openai --format shell)"
    """
    from authsome import export as exporting, screens, session

    sealed("export")
    chosen = _format(form)
    _fit_together(settings, chosen, secret_name)
    if provider is None and connection != DEFAULT_CONNECTION:
        raise AuthsomeError(
            "--connection is one of a provider's",
            hint=f"name the provider: authsome export PROVIDER --connection {shlex.quote(connection)}",
            code=ExitCode.USAGE,
        )
    if not force:
        named = [provider] if provider else []
        further = [] if connection == DEFAULT_CONNECTION else ["--connection", connection]
        _spare_the_terminal(settings, [*named, *further], chosen)
    if chosen is exporting.Format.GITHUB:
        _expect_the_runner()  # before anybody is asked for anything
    position = _position(settings, provider, connection)
    taking = reconciling(settings, position.vault, early=True)
    live = session.reconcile(position, partial(human, settings, position.vault), taking)
    wanted = tuple(map(live.seen, position.wanted))
    values = exporting.variables(wanted, live)
    exporting.check(values)
    if settings.json:
        data(screens.as_json("export", variables=values))
    elif chosen is exporting.Format.GITHUB:
        _to_the_runner(settings, values, exporting.secret(wanted, live))
    else:
        data(exporting.render(values, chosen, secret_name=secret_name or exporting.SECRET_NAME))
        if chosen is exporting.Format.GITLAB and values:
            talk(settings, _REPORT)
    _say_what_is_left_out(settings, values, [each for each in wanted if live.holds(each)])


def _say_what_is_left_out(settings: Settings, values: Mapping[str, str], held: "list[Declared]") -> None:
    if not values:
        talk(settings, "Nothing is connected that could be exported.")
    for each in held:
        if not each.env:
            talk(settings, f"{each.name} has no variable and was left out; give it one in authsome.yaml (`env: …`).")


def _format(form: str) -> "Format":
    from authsome.export import Format

    formats = [str(each) for each in Format]
    if form not in formats:
        hint = did_you_mean(form, formats, f"formats: {', '.join(formats)}")
        raise AuthsomeError(f"there is no format `{form}`", hint=hint, code=ExitCode.USAGE)
    return Format(form)


def _fit_together(settings: Settings, form: "Format", secret_name: str | None) -> None:
    from authsome.export import Format, structured

    if settings.json and form is Format.GITHUB:
        raise AuthsomeError("--json and `--format github` exclude each other", hint="give one", code=ExitCode.USAGE)
    if secret_name is not None:
        structured.check_name(secret_name)
        if form is not Format.K8S:
            raise AuthsomeError("--secret-name is for `--format k8s`", hint="leave it out", code=ExitCode.USAGE)


def _position(settings: Settings, provider: str | None, connection: str) -> "Position":
    """Return how everything declared stands, or one connection, which is required then."""
    from authsome import session

    if provider is None:
        return survey(settings)[1]
    catalogue = open_catalogue(settings)
    project = open_project(settings, catalogue)
    check_trust(settings, project)
    named = declared(project, catalogue.get(provider), check_name(connection, "connection"))
    vault = open_vault(settings, project)
    if connection != DEFAULT_CONNECTION and named not in project.connections and not vault.holder(*named.key):
        raise not_connected(settings, vault, *named.key)  # misspelt, most likely: nobody is asked for its key
    # One without a variable of its own gets its provider's: it was asked for by name.
    wanted = replace(named, required=True, env=named.env or named.provider.env)
    position = session.survey(vault, (wanted,))
    return replace(position, plan=position.plan.addressed(again(settings)))


_USES = {
    "shell": 'eval "$({})"',
    "direnv": 'write into .envrc: eval "$({})"',
    "fish": "{} | source",
    "powershell": "{} | Out-String | Invoke-Expression",
    "docker": "docker run --env-file <({}) IMAGE",
    "k8s": "{} | kubectl apply -f -",
    "gitlab": "{} > authsome.env",
    "github": "a step of a job: {}",
    "json": "{} | jq",
    "yaml": "{} | yq",
}


def _spare_the_terminal(settings: Settings, named: list[str], form: "Format") -> None:
    """Refuse (exit code 2) to show secrets where somebody may look on, or a scroll-back keeps them."""
    if not sys.stdout.isatty():
        return
    use = "{} | jq" if settings.json else _USES.get(form, "{} > .env")
    words = shlex.join(["authsome", "export", *named, *(["--json"] if settings.json else ["--format", form])])
    raise AuthsomeError(
        "this would show secrets on the terminal",
        hint=f"{use.format(words + again(settings))}, or `--force` to see them",
        code=ExitCode.USAGE,
    )


def _expect_the_runner() -> None:
    """Refuse (exit code 2) where nothing would be hidden, or nobody would read the values."""
    from authsome.export import github

    github.target(os.environ)
    if os.path.samestat(os.fstat(sys.stdout.fileno()), os.stat(os.devnull)):  # noqa: PTH116  beside an open file
        raise AuthsomeError(
            "standard output tells the runner what to hide, and is thrown away here",
            hint="leave out `> /dev/null`: the runner shows nothing of it",
            code=ExitCode.USAGE,
        )


def _to_the_runner(settings: Settings, values: Mapping[str, str], secret: Collection[str]) -> None:
    """Have the runner of GitHub Actions hide the values, then give them to the steps that follow."""
    from authsome.export import Format, github, render

    path = github.target(os.environ)
    # A region that is hidden would blank the whole log.
    hidden = {name: value for name, value in values.items() if name in secret}
    masks, assignments = render(hidden, Format.GITHUB), github.assignments(values, os.urandom)
    try:
        sys.stdout.buffer.write(masks.encode())
        sys.stdout.buffer.flush()
    except OSError:
        # Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise AuthsomeError(
            "nobody reads the standard output that tells the runner what to hide, so nothing was exported",
            hint="let the step's standard output reach the runner: no `>`, no pipe",
        ) from None
    github.append(path, assignments)
    if values:
        talk(settings, f"{', '.join(values)}: in the environment of the steps that follow.")
