"""What every command shares: its options and the way out.

Promises that a mistake ends in `Error:` and `Hint:`, or in one line of JSON where JSON was asked for.

The only module that knows typer.
"""

import inspect
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

import authsome
from authsome.cli.voice import Settings, data, explain, interrupted, say, talk, unexpected
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
    "group",
    "main",
    "manual",
    "say",
    "talk",
    "tree",
]

Argument, Exit = typer.Argument, typer.Exit

_VALUES = {"file": "FILE", "identity": "FILE", "format": "FORMAT", "lines": "N", "run": "RUN", "method": "METHOD"}
"""What the value of an option is called in its help, if not NAME; typer would call it by its type in Python."""


def Option(*names: str, **more: Any) -> Any:  # noqa: N802  beside typer's own words
    """Return an option for a command's signature."""
    return typer.Option(*names, **({"metavar": _VALUES.get(names[0].lstrip("-"), "NAME")} | more))


_WIDEST, _NARROWEST, _TWO_COLUMNS = 80, 24, 60
_NARROW_COLUMN = 12


app = typer.Typer(
    name="authsome",
    help="Let AI agents use API keys and tokens without ever holding them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # NOTE: its tracebacks print local variables
    rich_markup_mode=None,
    suggest_commands=False,  # see `_unknown`
    context_settings={"help_option_names": []},  # see `_HELP`
    epilog="More: authsome help exit-codes, authsome help environment",
)

_SEEING_ALL = frozenset({"help", "__complete"})
"""Commands that are about all the others."""


_SHARED = {
    "profile": Annotated[str | None, Option("--profile", help="Whose secrets (also AUTHSOME_PROFILE).")],
    "file": Annotated[str | None, Option("--file", help="The manifest (also AUTHSOME_FILE).")],
    "identity": Annotated[str | None, Option("--identity", help="File of the identity that opens the vault.")],
    "json": Annotated[bool, Option("--json", help="Answer in JSON.")],
    "quiet": Annotated[bool, Option("--quiet", "-q", help="Say only data and errors.")],
    "no_input": Annotated[bool, Option("--no-input", help="Never ask; fail instead.")],
    "no_color": Annotated[bool, Option("--no-color", help="No colour (there is none yet).", hidden=True)],
    "verbose": Annotated[bool, Option("--verbose", help="Say more about what happens.")],
}


_CONTEXT = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)


def _help(context: typer.Context, value: bool) -> None:
    """Print the help as every answer is printed: typer's own way fails on a full disk and on a locale without `…`."""
    if value:
        data(help_text(context))
        raise typer.Exit


def _width() -> int:
    """Return how wide help is: as the terminal is, and no wider than lines are read well; click's own ends at 50."""
    return max(min(shutil.get_terminal_size().columns, _WIDEST) - 2, _NARROWEST)


def help_text(context: typer.Context) -> str:
    """Return the help of a command; on a narrow screen what an option means stands below it."""
    made = context.make_formatter()
    made.width = _width()
    if made.width < _TWO_COLUMNS:
        made.write_dl = partial(made.write_dl, col_max=_NARROW_COLUMN)  # type: ignore[method-assign]  # no option does
    context.command.format_help(context, made)
    return made.getvalue().rstrip("\n") + "\n"


_HELP = inspect.Parameter(
    "help",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool, typer.Option("-h", "--help", callback=_help, is_eager=True, help="Show this message and exit.")
    ],
)


def _parameters(*own: inspect.Parameter) -> list[inspect.Parameter]:
    """Return a command's parameters with the shared options and typer's context, all by keyword."""
    plain = {each.name: each.default for each in fields(Settings)}
    shared = (
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=plain[name], annotation=annotation)
        for name, annotation in _SHARED.items()
    )
    return [_CONTEXT, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own), *shared, _HELP]


def _sign(function: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    """Make typer see these parameters."""
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {each.name: each.annotation for each in parameters}
    return function


def group(name: str, summary: str) -> typer.Typer:
    """Return a group of commands of its own."""
    made = typer.Typer(help=summary, no_args_is_help=True, rich_markup_mode=None, suggest_commands=False)

    def begin(context: typer.Context, **_: Any) -> None:
        del context

    made.callback()(_sign(begin, [_CONTEXT, _HELP]))
    app.add_typer(made, name=name, short_help=summary)
    return made


def command(name: str, of: typer.Typer = app, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command that gets the shared options, from before and after its name, as its first argument."""

    def register(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(context: typer.Context, *, help: bool, **given: Any) -> None:  # noqa: A002  the option's name
            del help
            after = Settings(**{option: given.pop(option) for option in _SHARED})
            changed = {
                each.name: value for each in fields(after) if (value := getattr(after, each.name)) != each.default
            }
            settings = replace(context.obj, **changed)
            try:
                command(settings, **given)
            except KeyboardInterrupt:  # of which typer would say nothing
                raise typer.Exit(interrupted(as_json=settings.json)) from None

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        summary = (command.__doc__ or "").partition("\n")[0]  # said to be the short one, it is wrapped and never cut
        return of.command(name, short_help=summary, **more)(_sign(called, _parameters(*own)))

    return register


def _version(value: bool) -> None:
    if value:
        data(f"authsome {authsome.__version__}\n")
        raise typer.Exit


def _root(context: typer.Context, version: bool, help: bool, **given: Any) -> None:  # noqa: A002  the option's name
    del version, help
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
    as_json = _asks_for_json(sys.argv[1:])
    try:
        code = app(standalone_mode=False)
    except AuthsomeError as error:
        explain(error, as_json=as_json)
        code = error.code
    except KeyboardInterrupt:
        code = interrupted(as_json=as_json)
    except typer.Abort:
        code = ExitCode.INTERRUPTED
    except typer.TyperException as error:
        code = _usage(error, called if commands or groups else [], as_json=as_json)
    except Exception as error:  # noqa: BLE001  the last resort, so that no value reaches the screen
        code = unexpected(error, as_json=as_json)
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
    return help_text(place)


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
        ),
        tuple(_kind(each) for each in arguments),
        endless=bool(arguments) and arguments[-1].nargs == -1,
        starts=not command.context_settings.get("allow_interspersed_args", True),
    )


def _kind(parameter: Any) -> str:
    """Return what the value of a parameter is: a file by its metavar, else what the parameter is called."""
    named = re.search("FILE|FOLDER|PATH", parameter.metavar or "")
    return "file" if named else str(parameter.name)


def _asks_for_json(words: list[str]) -> bool:
    """Whether a program waits for the answer; read from the words, as they need not parse."""
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def _usage(error: Exception, called: Sequence[str], *, as_json: bool) -> int:
    """Explain a command line that does not parse; typer's own classes for it are private.

    Args:
        called: The command, if there is one; an option without its value does not say whose it is.
    """
    found = getattr(error, "ctx", None)
    path = found.command_path if found else " ".join(("authsome", *called))
    of_run = path.endswith(" run")  # whose screen is the agent's: a program that reads it expects no JSON of ours
    if type(error).__name__ == "NoArgsIsHelpError":
        if not as_json:
            say(help_text(cast("Any", error).ctx).rstrip("\n"))
            return ExitCode.USAGE
        message = "missing command"
    else:
        message = cast("Any", error).format_message().rstrip(".")
    refused = _unknown(error, path) or AuthsomeError(
        f"{message[:1].lower()}{message[1:]}", hint=f"{path} --help", code=ExitCode.USAGE
    )
    explain(refused, as_json=as_json and not of_run)
    return RunExit.FAILED if of_run else ExitCode.USAGE


def _unknown(error: Any, path: str) -> AuthsomeError | None:
    """Return a misspelt command or option as every other wrong name is said, with the nearest one as the hint."""
    option = getattr(error, "option_name", None) if type(error).__name__ == "NoSuchOption" else None
    called = re.fullmatch("No such command ['\"](.*)['\"]\\.", error.message, re.DOTALL)
    if option is None and called is None:
        return None
    if called:
        what, word = "command", called[1]
        near = [name for name, each in error.ctx.command.commands.items() if not each.hidden]
    else:
        what, word, near = "option", str(option), list(error.possibilities or ())
    return AuthsomeError(
        f"`{path}` has no {what} `{clean(word)}`",
        hint=did_you_mean(word, near, f"{path} --help"),
        code=ExitCode.USAGE,
    )
