"""`authsome run`, as it is explained and as a mistake in it is; `quick` reads what is right."""

from typing import Annotated

from authsome.cli import agent
from authsome.cli.frame import Argument, Option, Settings, command


@command("run", context_settings={"allow_interspersed_args": False})
def run(
    settings: Settings,
    command: Annotated[list[str], Argument(metavar="-- COMMAND [ARG]...", help="The agent.", show_default=False)],
    summary: Annotated[bool, Option("--summary", help="Say afterwards what was used, on standard error.")] = False,
    fake: Annotated[bool, Option("--fake", help="Use no vault and no network: declared hosts echo requests.")] = False,
    fake_from: Annotated[
        str | None, Option("--fake-from", metavar="FILE", help="The same, with the answers of a YAML file.")
    ] = None,
    browser: Annotated[bool, Option("--browser", help="Ask for what is missing on a page in the browser.")] = False,
    terminal: Annotated[bool, Option("--terminal", help="Ask for it at the terminal.")] = False,
) -> None:
    """Run an agent that uses credentials without holding them.

    Example: authsome run -- python my_agent.py

    Example: authsome run --fake-from tests/answers.yaml -- pytest
    """
    agent.run(settings, command, summary=summary, fake=fake, fake_from=fake_from, browser=browser, terminal=terminal)
