"""`authsome check`: the manifest against the vault."""

from authsome.cli.frame import Exit, Settings, command, data
from authsome.cli.stations import survey
from authsome.errors import ExitCode


@command("check")
def check(settings: Settings) -> None:
    """Compare the manifest with the vault.

    Ends with 3 when a person is needed, with 5 when a credential is damaged.

    Example: authsome check
    """
    from authsome import screens
    from authsome.screens import project as screen

    project, position = survey(settings)
    if settings.json:
        data(screens.as_json("plan", **screen.plan_data(position.plan)))
    else:
        data(screen.plan(position.plan, project.egress))
    position.check()
    if not position.plan.ready:
        raise Exit(ExitCode.MISSING)
