"""`authsome why`: what a run would do with a request."""

from typing import Annotated

from authsome.cli.frame import Argument, Exit, Option, Settings, command, data
from authsome.cli.stations import open_catalogue, open_project, open_vault, survey
from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import check_name


@command("why")
def why(
    settings: Settings,
    url: Annotated[str, Argument(metavar="URL", help="The request's URL; its query is not shown.", show_default=False)],
    method: Annotated[str, Option("--method", help="The request's method.")] = "GET",
    connection: Annotated[str | None, Option("--connection", help="The one whose placeholder the agent sends.")] = None,
) -> None:
    """Explain what a run would do with a request.

    Nothing is sent. Ends with 0 when the request would be carried, with or without a credential, with 3 when its
    connection needs a login, and with 8 when it would be refused.

    Example: authsome why https://api.openai.com/v1/models
    """
    from authsome import rules, screens, why as asking
    from authsome.provider import Host
    from authsome.screens import project as screen

    asked = asking.parse(url, method, connection and check_name(connection, "connection"))
    try:
        project, position = survey(settings)
        position.check()
        steps = {step.name: step for step in position.plan.steps}
        waiting = position.plan.blocking
    except AuthsomeError as error:
        if error.code is not ExitCode.LOCKED:
            raise
        project, steps, waiting = open_project(settings, open_catalogue(settings), open_vault(settings)), None, ()
    made = rules.make(
        project.connections,
        lambda each: steps is None or steps[each.name].usable,
        open_egress=project.egress.default == "allow",
        egress=[Host.parse(host) for host in project.egress.allow],
    )
    answer = asking.explain(asked, made, steps)
    data(screens.as_json("why", **screen.why_data(answer, waiting)) if settings.json else screen.why(answer, waiting))
    if answer.code:
        raise Exit(answer.code)
