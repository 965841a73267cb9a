"""`authsome doctor`: what works on this machine, found out by trying it."""

from typing import Annotated

from authsome.cli.frame import Exit, Option, Settings, command, data, talk
from authsome.cli.stations import sealed
from authsome.errors import AuthsomeError, ExitCode


@command("doctor")
def doctor(
    settings: Settings,
    clients: Annotated[bool, Option("--clients", help="Try each client that is on PATH.")] = False,
) -> None:
    """Try what a run needs of this machine.

    Needs no account and no network. Ends with 8 when a client does not work.

    Example: authsome doctor --clients
    """
    from authsome import clients as trying, screens
    from authsome.screens import run as screen

    sealed("doctor")
    if not clients:
        raise AuthsomeError(
            "say what to try: `--clients` is all there is", hint="authsome doctor --clients", code=ExitCode.USAGE
        )
    results = trying.examine(lambda name: talk(settings, f"trying {name} …"))
    data(screens.as_json("clients", **screen.clients_data(results)) if settings.json else screen.clients(results))
    if any(each.verdict is not trying.Verdict.WORKS for each in results):
        raise Exit(ExitCode.REFUSED)
