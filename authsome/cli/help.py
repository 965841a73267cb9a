"""`authsome help`: the commands, and what is about all of them."""

from typing import Annotated

from authsome.cli.frame import Argument, Settings, command, data, manual


@command("help")
def help_(
    settings: Settings,
    topic: Annotated[
        list[str] | None,
        Argument(metavar="[TOPIC]...", help="A command, `exit-codes` or `environment`.", show_default=False),
    ] = None,
) -> None:
    """Explain a command or a topic.

    Example: authsome help exit-codes
    """
    from authsome import screens
    from authsome.screens import topics

    asked = topic or []
    if asked == ["exit-codes"]:
        data(screens.as_json("exit_codes", **topics.exit_codes_data()) if settings.json else topics.exit_codes())
    elif asked == ["environment"]:
        data(screens.as_json("environment", **topics.environment_data()) if settings.json else topics.environment())
    else:
        text = manual(asked)
        data(screens.as_json("help", topic=asked, text=text) if settings.json else text)
