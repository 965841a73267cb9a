"""`authsome check`: the manifest against the vault, or against the code."""

from typing import Annotated

from authsome.cli.frame import Exit, Option, Settings, command, data
from authsome.cli.looking import look, warn
from authsome.cli.stations import manifest_name, show_catalogue, survey, working_folder
from authsome.errors import AuthsomeError, ExitCode


@command("check")
def check(
    settings: Settings,
    drift: Annotated[
        bool, Option("--drift", help="Compare the manifest with the code instead; needs no vault.")
    ] = False,
) -> None:
    """Compare the manifest with the vault.

    Ends with 3 when a person is needed, with 5 when a credential is damaged.

    With --drift no vault is opened, so that it needs neither identity nor keys: ends with 3 when the code names a
    variable of a known provider, or imports its SDK, and the manifest does not declare it. A line that says
    `authsome: ignore` does not count.

    Example: authsome check
    """
    from authsome import screens
    from authsome.screens import project as screen

    if drift:
        _drift(settings)
        return
    project, position = survey(settings)
    if settings.json:
        data(screens.as_json("plan", **screen.plan_data(position.plan)))
    else:
        data(screen.plan(position.plan, project.egress))
    position.check()
    if not position.plan.ready:
        raise Exit(ExitCode.MISSING)


def _drift(settings: Settings) -> None:
    from authsome import evidence, manifest, screens
    from authsome.screens import evidence as screen

    catalogue = show_catalogue(settings)
    path = manifest.find(working_folder(), manifest_name(settings))
    if path is None:
        raise AuthsomeError(
            f"there is no {manifest.FILE_NAME} here to compare the code with",
            hint="authsome init",
            code=ExitCode.INVALID,
        )
    connections = manifest.load(path, catalogue).connections
    seen = look(settings, path, catalogue.usable())
    lacking = evidence.undeclared(seen, connections)
    warn(settings, seen)
    if settings.json:
        data(screens.as_json("drift", drift=screen.drift_data(lacking, connections), **screen.looked_data(seen)))
    else:
        data(screen.drift(lacking, connections, path.name, seen.files))
    if lacking:
        raise Exit(ExitCode.MISSING)
