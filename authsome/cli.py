"""The command line: arguments in, text and exit codes out.

Promises that data goes to standard output and everything else to standard error, that a user's mistake ends in
`Error:` and `Hint:` and never in a traceback, and that no secret is taken as an argument. Every command is a prefix of
`run`; what is expensive is imported by the command that needs it.

The only module that prints, exits, or knows typer.
"""

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

import authsome
from authsome.errors import AuthsomeError, ExitCode, RunExit, clean, did_you_mean
from authsome.provider import DEFAULT_CONNECTION, Catalogue, check_name, placeholder

if TYPE_CHECKING:
    from authsome.bridge import Human
    from authsome.manifest import Declared, Project
    from authsome.session import Position, Session
    from authsome.vault import Vault

app = typer.Typer(
    name="authsome",
    help="Let AI agents use API keys and tokens without ever holding them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # NOTE: its tracebacks print local variables
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that every command takes, before or after its name."""

    profile: str | None = None
    file: str | None = None
    json: bool = False
    quiet: bool = False
    no_input: bool = False
    no_color: bool = False
    verbose: bool = False


_SHARED = {
    "profile": Annotated[str | None, typer.Option("--profile", help="Whose secrets (also AUTHSOME_PROFILE).")],
    "file": Annotated[str | None, typer.Option("--file", help="The manifest (also AUTHSOME_FILE).")],
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


def _command(name: str, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
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
        return app.command(name, **more)(_sign(called, _parameters(*own)))

    return register


def _version(value: bool) -> None:
    if value:
        _data(f"authsome {authsome.__version__}\n")
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


# What commands say. Data goes out as UTF-8 whatever the locale: a key must not depend on LANG.


def _data(text: str) -> None:
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _talk(settings: Settings, text: str) -> None:
    if not settings.quiet:
        _say(text)


def _say(text: str) -> None:
    encoding = sys.stderr.encoding or "ascii"
    print(clean(text, keep="\n").encode(encoding, "replace").decode(encoding), file=sys.stderr)


# The stations of the one way through.


def _home() -> Path:
    from authsome.vault import find_home

    return find_home(os.environ)


def _catalogue() -> Catalogue:
    return Catalogue(_home())


def _project(settings: Settings, catalogue: Catalogue, vault: "Vault | None" = None) -> "Project":
    """Return the manifest's project; without a manifest the default connections that `vault` holds."""
    from authsome import manifest

    path = manifest.find(Path.cwd(), settings.file or os.environ.get("AUTHSOME_FILE"))
    if path is not None:
        return manifest.load(path, catalogue)
    return manifest.default_project(catalogue, vault.names() if vault else ())


def _vault(settings: Settings, project: "Project | None" = None) -> "Vault":
    from authsome.vault import Vault

    declared = project.manifest.profile if project and project.manifest else None
    profile = settings.profile or os.environ.get("AUTHSOME_PROFILE") or declared or "default"
    return Vault(_home(), profile, os.environ)


def _survey(settings: Settings) -> "tuple[Project, Position]":
    from authsome.session import survey

    catalogue = _catalogue()
    project = _project(settings, catalogue, _vault(settings))
    vault = _vault(settings, project)
    return project, survey(vault, project.connections)


def _human(settings: Settings, vault: "Vault") -> "Human":
    from authsome import bridge

    return bridge.door(os.environ, vault.profile, no_input=settings.no_input, say=_say)


def _sealed(doing: str) -> None:
    """Refuse what an agent has no business with. NOTE: a courtesy, not a wall; see SECURITY.md."""
    if os.environ.get("AUTHSOME_RUN"):
        raise AuthsomeError(
            f"`authsome {doing}` is sealed inside a run",
            hint="call it from a terminal that `authsome run` did not start",
            code=ExitCode.UNTRUSTED,
        )


# Commands.

_Name = Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider, for example `openai`.")]
_Connection = Annotated[str, typer.Option("--connection", help="Which of several accounts.")]


@_command("run", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False})
def run(
    settings: Settings,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND [ARG]...", help="The agent.", show_default=False)],
) -> None:
    """Run an agent that uses credentials without holding them.

    Example: authsome run -- python my_agent.py
    """
    try:
        _sealed("run")
        code = _run(settings, command)
    except AuthsomeError as error:
        _explain(error)
        code = getattr(error, "run_exit", RunExit.FAILED)
    except Exception as error:  # noqa: BLE001  as in `main`, with the code that says it was not the agent's
        _unexpected(error)
        code = RunExit.FAILED
    _leave(code)


def _run(settings: Settings, command: list[str]) -> int:
    from authsome import isolation, rules, session
    from authsome.provider import Host

    project, position = _survey(settings)
    live = session.reconcile(position, partial(_human, settings, position.vault), _say)
    level = isolation.enforce(project.manifest.isolation if project.manifest else "auto")
    made = rules.make(
        project.connections,
        live.holds,
        open_egress=project.egress.default == "allow",
        egress=[Host.parse(host) for host in project.egress.allow],
    )
    if settings.verbose:
        from authsome import screens

        _talk(settings, screens.started([each.name for each in project.connections if live.holds(each)], level))
    return _serve(made, live, project.connections, command)


def _serve(made: Any, live: "Session", connections: "tuple[Declared, ...]", command: list[str]) -> int:
    """Start proxy and child, in an order that lets the child start at once, and wait for the child."""
    import datetime
    import shutil

    from authsome import child, proxy
    from authsome.proxy import upstream
    from authsome.proxy.authority import Authority

    outside = upstream.read(os.environ)
    hosts = frozenset(host.name for host in made.hosts)
    authority = Authority(hosts, datetime.datetime.now(datetime.UTC))
    gate = proxy.Proxy(made, live, authority, outside)
    folder = _run_folder()
    try:
        access = child.Access(
            proxy_url=gate.url,
            authority=_write(folder / "ca.pem", authority.pem),
            bundle=_write(folder / "bundle.pem", outside.roots + authority.pem),
            placeholders=_placeholders(connections, live),
            withheld=frozenset(name for each in connections if not live.holds(each) for name in each.env),
            hosts=hosts,
        )
        started = child.Child(command, child.environment(os.environ, access))
        broken: list[BaseException] = []
        gate.start(partial(_proxy_failed, broken, started))
        code = started.wait()
        if broken:
            raise AuthsomeError(f"the proxy stopped: {type(broken[0]).__name__}", hint="the agent was ended") from None
        return code
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _proxy_failed(broken: list[BaseException], started: Any, error: BaseException) -> None:
    import signal

    broken.append(error)
    started.send(signal.SIGTERM)


def _placeholders(connections: "tuple[Declared, ...]", live: "Session") -> Mapping[str, str]:
    return {name: placeholder(each.connection) for each in connections if live.holds(each) for name in each.env}


def _run_folder() -> Path:
    """Make a private folder for certificates; it goes with the run."""
    parent = next(
        (
            path
            for path in (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("TMPDIR"))
            if path and Path(path).is_dir()
        ),
        "/tmp",  # noqa: S108  the folder below is private and its name random
    )
    folder = Path(parent) / f"authsome-{os.getpid()}-{os.urandom(8).hex()}"
    from authsome.errors import file_errors

    with file_errors("create", folder, hint="set TMPDIR to a folder you can write to"):
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)
    return folder


def _write(path: Path, text: str) -> Path:
    from authsome.errors import file_errors

    with file_errors("write", path, hint="set TMPDIR to a folder you can write to"):
        path.write_text(text)
        path.chmod(0o600)
    return path


def _leave(code: int) -> NoReturn:
    """End now: taking the engine's thread apart would cost more than the whole run did."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            continue
    os._exit(code)


@_command("check")
def check(settings: Settings) -> None:
    """Compare the manifest with the vault.

    Ends with 3 when a person is needed.

    Example: authsome check
    """
    from authsome import screens

    project, position = _survey(settings)
    if settings.json:
        _data(screens.as_json("plan", **screens.plan_data(position.plan)))
    else:
        _data(screens.plan(position.plan, project.egress))
    if not position.plan.ready:
        raise typer.Exit(ExitCode.MISSING)


@_command("login")
def login(
    settings: Settings,
    provider: _Name,
    connection: _Connection = DEFAULT_CONNECTION,
    force: Annotated[bool, typer.Option("--force", help="Replace the credential that is held.")] = False,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the key from standard input.")] = False,
) -> None:
    """Store a credential.

    Example: authsome login openai
    """
    from authsome import session

    _sealed("login")
    check_name(connection, "connection")
    catalogue = _catalogue()
    declared = _declared(settings, catalogue, provider, connection)
    vault = _vault(settings, _project(settings, catalogue))
    if (provider, connection) in vault.names() and not force:
        raise AuthsomeError(
            f"{provider} ({connection}) is already connected",
            hint=f"to replace it: {_login_command(provider, connection)} --force",
            code=ExitCode.USAGE,
        )
    if stdin:
        session.store(vault, declared.provider, connection, _read_stdin())
    else:
        session.login(vault, declared, _human(settings, vault), _say)
    if settings.json:
        from authsome import screens

        _data(screens.as_json("login", provider=provider, connection=connection, status="connected"))
    else:
        _data(f"Successfully logged in to {provider} ({connection}).\n")


def _declared(settings: Settings, catalogue: Catalogue, provider: str, connection: str) -> "Declared":
    """Return the connection as the manifest declares it, or as if it had."""
    from authsome import manifest

    known = catalogue.get(provider)
    for each in _project(settings, catalogue).connections:
        if (each.provider.name, each.connection) == (provider, connection):
            return each
    return manifest.undeclared(known, connection)


def _login_command(provider: str, connection: str) -> str:
    return f"authsome login {provider}" + ("" if connection == DEFAULT_CONNECTION else f" --connection {connection}")


def _read_stdin() -> str:
    """Return what is piped in, as text; a key is small."""
    if sys.stdin is None or sys.stdin.closed:
        raise AuthsomeError("standard input is closed", hint="pipe the key in", code=ExitCode.MISSING)
    raw = sys.stdin.buffer.read((1 << 20) + 1)
    if len(raw) > 1 << 20:
        raise AuthsomeError("standard input is larger than 1 MiB", hint="pipe in the key alone", code=ExitCode.USAGE)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise AuthsomeError(
            "standard input is not UTF-8 text", hint="pipe in the key alone", code=ExitCode.USAGE
        ) from None
    if not text.strip():
        raise AuthsomeError("no key came on standard input", hint="nothing was stored", code=ExitCode.MISSING)
    return text


@_command("logout")
def logout(settings: Settings, provider: _Name, connection: _Connection = DEFAULT_CONNECTION) -> None:
    """Forget a credential on this machine.

    The provider is not contacted; the key stays valid there.

    Example: authsome logout openai
    """
    _sealed("logout")
    vault = _vault(settings, _project(settings, _catalogue()))
    if not vault.delete(provider, connection):
        raise _not_connected(vault, provider, connection)
    if settings.json:
        from authsome import screens

        _data(screens.as_json("logout", provider=provider, connection=connection, status="not connected"))
    else:
        _data(f"Logged out of {provider} ({connection}).\n")
    _talk(settings, "The key itself is still valid; to end it, delete it at the provider.")


def _not_connected(vault: "Vault", provider: str, connection: str) -> AuthsomeError:
    _catalogue().find(provider)
    others = [name for known, name in vault.names() if known == provider]
    hint = did_you_mean(connection, others, f"it has: {', '.join(others)}") if others else None
    return AuthsomeError(
        f"{provider} ({connection}) is not connected",
        hint=hint or _login_command(provider, connection),
        code=ExitCode.MISSING,
    )


@_command("list")
def list_(settings: Settings) -> None:
    """Show what is connected, and whose definition it uses.

    Example: authsome list
    """
    from authsome import screens
    from authsome.provider import Source

    catalogue = _catalogue()
    project = _project(settings, catalogue)
    held = _vault(settings, project).names()
    known = catalogue.names()
    shown = {*held, *((each.provider.name, each.connection) for each in project.connections)}
    named = {provider for provider, _ in shown}
    shown |= {
        (name, DEFAULT_CONNECTION) for name, source in known.items() if source is Source.CUSTOM and name not in named
    }
    rows = [
        {
            "provider": provider,
            "connection": connection,
            "status": "connected" if (provider, connection) in held else "not connected",
            "source": str(known.get(provider, "no definition")),
        }
        for provider, connection in sorted(shown)
    ]
    _data(screens.as_json("list", connections=rows) if settings.json else screens.listing(rows))


@_command("get")
def get(
    settings: Settings,
    provider: _Name,
    connection: _Connection = DEFAULT_CONNECTION,
    field: Annotated[str | None, typer.Option("--field", help="Show one value, for example `status`.")] = None,
    show_secret: Annotated[bool, typer.Option("--show-secret", help="Show the secret itself.")] = False,
) -> None:
    """Show one connection, without its secret.

    Example: authsome get openai --field status
    """
    from authsome import screens
    from authsome.vault import holding

    if show_secret:
        _sealed("get --show-secret")
    catalogue = _catalogue()
    source, _ = catalogue.find(provider)
    vault = _vault(settings, _project(settings, catalogue))
    entry = vault.read(provider, connection)
    if entry is None:
        raise _not_connected(vault, provider, connection)
    known = catalogue.get(provider)
    details = screens.details(holding(entry, known), known, source)
    if show_secret:
        details |= entry.fields
    if field is not None:
        if field not in details:
            hint = did_you_mean(field, details, f"fields: {', '.join(details)}")
            raise AuthsomeError(f"{provider} has no field `{field}`", hint=hint, code=ExitCode.USAGE)
        details = {field: details[field]}
    if settings.json:
        _data(screens.as_json("connection", **details))
    else:
        _data(screens.value(details[field]) + "\n" if field else screens.fields(details))


@_command("inspect")
def inspect_(settings: Settings, provider: _Name) -> None:
    """Print the definition of a provider as JSON.

    Example: authsome inspect openai > ~/.authsome/providers/openai.json
    """
    from authsome.documents import read_text

    del settings  # the definition is JSON, and the whole answer
    catalogue = _catalogue()
    catalogue.get(provider)
    _data(read_text(catalogue.find(provider)[1]))


@_command("export")
def export(
    settings: Settings,
    provider: Annotated[str | None, typer.Argument(metavar="[PROVIDER]", help="One provider; else all.")] = None,
    connection: _Connection = DEFAULT_CONNECTION,
    form: Annotated[str, typer.Option("--format", help="env, shell or json.")] = "env",
) -> None:
    """Print credentials as variables.

    For programs that cannot run behind the proxy.

    Example: eval "$(authsome export openai --format shell)"
    """
    from authsome import export as exporting, screens, session

    _sealed("export")
    formats = [str(each) for each in exporting.Format]
    if form not in formats:
        hint = did_you_mean(form, formats, f"formats: {', '.join(formats)}")
        raise AuthsomeError(f"there is no format `{form}`", hint=hint, code=ExitCode.USAGE)
    if provider is None:
        _, position = _survey(settings)
    else:
        catalogue = _catalogue()
        wanted = _declared(settings, catalogue, provider, check_name(connection, "connection"))
        position = session.survey(_vault(settings, _project(settings, catalogue)), (replace(wanted, required=True),))
    live = session.reconcile(position, partial(_human, settings, position.vault), _say)
    values = exporting.variables(position.declared, live)
    if settings.json:
        _data(screens.as_json("export", variables=values))
    else:
        _data(exporting.render(values, exporting.Format(form)))
    if not values:
        _talk(settings, "Nothing is connected, so nothing was exported.")


@_command("demo")
def demo(settings: Settings) -> None:
    """See an agent use a key that it never had.

    Needs no account and no network.

    Example: authsome demo
    """
    from authsome import demo as playing, screens

    _talk(settings, "A provider on loopback, a throw-away key, a small agent behind the proxy; a few seconds …")
    shown = playing.play()
    _data(screens.as_json("demo", **screens.demo_data(shown)) if settings.json else screens.demo(shown))
    if not shown.proven:
        raise typer.Exit(ExitCode.UNEXPECTED)


# The way out.


def _explain(error: AuthsomeError) -> None:
    _say(f"Error: {error.message}")
    if error.hint:
        _say(f"Hint: {error.hint}")


def main() -> None:
    """Run the command line and exit."""
    try:
        code = app(standalone_mode=False)
    except AuthsomeError as error:
        _explain(error)
        code = error.code
    except KeyboardInterrupt:
        _say("\nInterrupted, nothing was left half done.")
        code = ExitCode.INTERRUPTED
    except typer.Abort:
        code = ExitCode.INTERRUPTED
    except typer.TyperException as error:
        code = _usage(error)
    except Exception as error:  # noqa: BLE001  the last resort, so that no value reaches the screen
        code = _unexpected(error)
    sys.exit(code or 0)


def _usage(error: Exception) -> int:
    """Explain a command line that does not parse; typer's own classes for it are private."""
    if type(error).__name__ == "NoArgsIsHelpError":
        _say(str(error))
        return ExitCode.USAGE
    message = cast("Any", error).format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "authsome"
    _say(f"Error: {message[:1].lower()}{message[1:]}")
    _say(f"Hint: {path} --help")
    return RunExit.FAILED if path.endswith(" run") else ExitCode.USAGE


def _unexpected(error: Exception) -> int:
    """Explain what the file system refused; report anything else as a bug, by where it happened.

    NOTE: a bug's message and locals may hold a secret, so neither is shown.
    """
    if isinstance(error, OSError) and error.filename is not None:
        _say(f"Error: cannot use {os.fsdecode(error.filename)}: {(error.strerror or '').lower()}")
        _say("Hint: check whose it is and who may use it (`ls -ld`)")
        return ExitCode.UNEXPECTED
    _say(f"Error: unexpected {type(error).__name__}, this is a bug in authsome {authsome.__version__}")
    for frame in traceback.extract_tb(error.__traceback__):
        _say(f"  {Path(frame.filename).name}:{frame.lineno} {frame.name}")
    _say("Hint: report these lines; they hold no values")
    return ExitCode.UNEXPECTED
