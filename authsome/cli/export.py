"""`authsome export`: credentials as variables."""

from dataclasses import replace
from functools import partial
from typing import Annotated

from authsome.cli.frame import Argument, Option, Settings, command, data, talk
from authsome.cli.named import Connection, declared
from authsome.cli.stations import (
    again,
    check_trust,
    human,
    intake,
    open_catalogue,
    open_project,
    open_vault,
    sealed,
    survey,
)
from authsome.errors import AuthsomeError, ExitCode, did_you_mean
from authsome.provider import DEFAULT_CONNECTION, check_name


@command("export")
def export(
    settings: Settings,
    provider: Annotated[str | None, Argument(metavar="[PROVIDER]", help="One provider; else all.")] = None,
    connection: Connection = DEFAULT_CONNECTION,
    form: Annotated[str, Option("--format", help="env, shell or json.")] = "env",
) -> None:
    """Print credentials as variables.

    For programs that cannot run behind the proxy.

    Example: eval "$(authsome export openai --format shell)"
    """
    from authsome import export as exporting, screens, session

    sealed("export")
    formats = [str(each) for each in exporting.Format]
    if form not in formats:
        hint = did_you_mean(form, formats, f"formats: {', '.join(formats)}")
        raise AuthsomeError(f"there is no format `{form}`", hint=hint, code=ExitCode.USAGE)
    if provider is None:
        _, position = survey(settings)
    else:
        catalogue = open_catalogue(settings)
        project = open_project(settings, catalogue)
        check_trust(settings, project)
        named = declared(project, catalogue.get(provider), check_name(connection, "connection"))
        position = session.survey(open_vault(settings, project), (replace(named, required=True),))
        position = replace(position, plan=position.plan.addressed(again(settings)))
    live = session.reconcile(position, partial(human, settings, position.vault), intake(settings))
    values = exporting.variables(position.declared, live)
    if settings.json:
        data(screens.as_json("export", variables=values))
    else:
        data(exporting.render(values, exporting.Format(form)))
    if not values:
        talk(settings, "Nothing is connected, so nothing was exported.")
