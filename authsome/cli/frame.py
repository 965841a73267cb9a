"""What every command shares: its options and the way out.

Promises that a mistake ends in `Error:` and `Hint:`.

The only module that knows typer.
"""

import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

import authsome
from authsome.cli.voice import Settings, data, explain, say, talk, unexpected
from authsome.errors import AuthsomeError, ExitCode, RunExit, clean, did_you_mean

if TYPE_CHECKING:
    from authsome import completion

__all__ = [
    "Argument",
    "Exit",
    "Option",
    "Settings",
    "command",
    "data",
    "explain",
    "group",
    "main",
    "manual",
    "say",
    "talk",
    "tree",
]

Argument, Option, Exit = typer.Argument, typer.Option, typer.Exit

app = typer.Typer(
    name="authsome",
    help="Let AI agents use API keys and tokens without ever holding them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # NOTE: its tracebacks print local variables
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="More: authsome help exit-codes, authsome help environment",
)

_SEEING_ALL = frozenset({"help", "__complete"})
"""Commands that are about all the others."""


_SHARED = {
    "profile": Annotated[str | None, typer.Option("--profile", help="Whose secrets (also AUTHSOME_PROFILE).")],
    "file": Annotated[str | None, typer.Option("--file", help="The manifest (also AUTHSOME_FILE).")],
    "identity": Annotated[str | None, typer.Option("--identity", help="File of the identity that opens the vault.")],
    "json": Annotated[bool, typer.Option("--json", help="Answer in JSON.")],
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="Say only data and errors.")],
    "no_input": Annotated[bool, typer.Option("--no-input", help="Never ask; fail instead.")],
    "no_color": Annotated[bool, typer.Option("--no-color", help="No colour (there is none yet).", hidden=True)],
    "verbose": Annotated[bool, typer.Option("--verbose", help="Say more about what happens.")],
}


def _parameters(*own: inspect.Parameter) -> list[inspect.Parameter]:
    """Return a command's parameters with the shared options and typer's context, all by keyword."""
    plain = {each.name: each.default for each in fields(Settings)}
    shared = (
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=plain[name], annotation=annotation)
        for name, annotation in _SHARED.items()
    )
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    return [context, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *shared]


def _sign(function: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    """Make typer see these parameters."""
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {each.name: each.annotation for each in parameters}
    return function


def group(name: str, summary: str) -> typer.Typer:
    """Return a group of commands of its own."""
    made = typer.Typer(help=summary, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(made, name=name)
    return made


def command(name: str, of: typer.Typer = app, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command that gets the shared options, from before and after its name, as its first argument."""

    def register(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(context: typer.Context, **given: Any) -> None:
            after = Settings(**{option: given.pop(option) for option in _SHARED})
            changed = {
                each.name: value for each in fields(after) if (value := getattr(after, each.name)) != each.default
            }
            command(replace(context.obj, **changed), **given)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        return of.command(name, **more)(_sign(called, _parameters(*own)))

    return register


def _version(value: bool) -> None:
    if value:
        data(f"authsome {authsome.__version__}\n")
        raise typer.Exit


def _root(context: typer.Context, version: bool, **given: Any) -> None:
    del version
    context.obj = Settings(**given)


_VERSION = inspect.Parameter(
    "version",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")],
)
app.callback()(_sign(_root, _parameters(_VERSION)))


def main() -> None:
    """Run the command line and exit."""
    called = [] if _SEEING_ALL.intersection(sys.argv[1:2]) else sys.argv[1:2]
    commands = [each for each in app.registered_commands if [each.name] == called]
    groups = [each for each in app.registered_groups if [each.name] == called]
    if commands or groups:  # typer would work out all of them to call one
        app.registered_commands, app.registered_groups = commands, groups
    try:
        code = app(standalone_mode=False)
    except AuthsomeError as error:
        explain(error)
        code = error.code
    except KeyboardInterrupt:
        say("\nInterrupted, nothing was left half done.")
        code = ExitCode.INTERRUPTED
    except typer.Abort:
        code = ExitCode.INTERRUPTED
    except typer.TyperException as error:
        code = _usage(error)
    except Exception as error:  # noqa: BLE001  the last resort, so that no value reaches the screen
        code = unexpected(error)
    sys.exit(code or 0)


def manual(words: Sequence[str]) -> str:
    """Return what `--help` says of a command, or raise (exit code 2) with the nearest one."""
    command: Any = typer.main.get_command(app)
    place = command.make_context("authsome", [], resilient_parsing=True)
    for number, word in enumerate(words):
        known = {name: each for name, each in getattr(command, "commands", {}).items() if not each.hidden}
        if word not in known:
            named = " ".join(("authsome", *words[:number]))
            raise AuthsomeError(
                f"`{named}` has no command `{clean(word)}`",
                hint=did_you_mean(word, known, f"{named} --help"),
                code=ExitCode.USAGE,
            )
        command = known[word]
        place = command.make_context(word, [], parent=place, resilient_parsing=True)
    return f"{command.get_help(place)}\n"


def tree() -> "completion.Command":
    """Return all commands with their options, as plain data."""
    return _plain(typer.main.get_command(app))


def _plain(command: Any) -> "completion.Command":
    """Return one of typer's commands as plain data."""
    from authsome import completion

    visible = [each for each in command.params if not getattr(each, "hidden", False)]
    options = [each for each in visible if each.param_type_name == "option"]
    arguments = [each for each in visible if each.param_type_name == "argument"]
    inner = {name: _plain(each) for name, each in getattr(command, "commands", {}).items() if not each.hidden}
    return completion.Command(
        command.name,
        command.get_short_help_str(80),
        inner,
        (
            *(
                completion.Option(
                    (*sorted(each.opts, key=len, reverse=True), *each.secondary_opts),
                    None if each.is_flag else _kind(each),
                    each.help or "",
                )
                for each in options
            ),
            completion.Option(("--help", "-h"), None, "Show this message and exit."),
        ),
        tuple(_kind(each) for each in arguments),
        endless=bool(arguments) and arguments[-1].nargs == -1,
        starts=not command.context_settings.get("allow_interspersed_args", True),
    )


def _kind(parameter: Any) -> str:
    """Return what the value of a parameter is: a file by its metavar, else what the parameter is called."""
    named = re.search("FILE|FOLDER|PATH", parameter.metavar or "")
    return "file" if named else str(parameter.name)


def _usage(error: Exception) -> int:
    """Explain a command line that does not parse; typer's own classes for it are private."""
    if type(error).__name__ == "NoArgsIsHelpError":
        say(str(error))
        return ExitCode.USAGE
    message = cast("Any", error).format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "authsome"
    say(f"Error: {message[:1].lower()}{message[1:]}")
    say(f"Hint: {path} --help")
    return RunExit.FAILED if path.endswith(" run") else ExitCode.USAGE
