"""`authsome demo`: the main job, shown on this machine."""

from authsome.cli.frame import Exit, Settings, command, data, talk
from authsome.errors import ExitCode


@command("demo")
def demo(settings: Settings) -> None:
    """See an agent use a key that it never had.

    Needs no account and no network.

    Example: authsome demo
    """
    from authsome import demo as playing, screens
    from authsome.screens import run as screen

    talk(settings, "A provider on loopback, a throw-away key, a small agent behind the proxy; a few seconds …")
    shown = playing.play()
    data(screens.as_json("demo", **screen.demo_data(shown)) if settings.json else screen.demo(shown))
    if not shown.proven:
        raise Exit(ExitCode.UNEXPECTED)
