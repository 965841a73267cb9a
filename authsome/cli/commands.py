"""Every command but `run`."""

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from authsome.cli.frame import Argument, Exit, Option, Settings, command, data, talk
from authsome.cli.stations import (
    again,
    human,
    intake,
    open_catalogue,
    open_project,
    open_vault,
    sealed,
    survey,
    wanted,
)
from authsome.errors import AuthsomeError, ExitCode, did_you_mean
from authsome.provider import DEFAULT_CONNECTION, check_name

if TYPE_CHECKING:
    from authsome.manifest import Declared, Project
    from authsome.provider import Provider
    from authsome.vault import Folder, Vault

_Name = Annotated[str, Argument(metavar="PROVIDER", help="The provider, for example `openai`.")]
_Shared = Annotated[
    bool | None,
    Option("--shared/--no-shared", help="In the vault checked in with the project, or at home.", show_default=False),
]
_Connection = Annotated[str, Option("--connection", help="Which of several accounts.")]


@command("check")
def check(settings: Settings) -> None:
    """Compare the manifest with the vault.

    Ends with 3 when a person is needed, with 5 when a credential is damaged.

    Example: authsome check
    """
    from authsome import screens

    project, position = survey(settings)
    if settings.json:
        data(screens.as_json("plan", **screens.plan_data(position.plan)))
    else:
        data(screens.plan(position.plan, project.egress))
    position.check()
    if not position.plan.ready:
        raise Exit(ExitCode.MISSING)


@command("login")
def login(
    settings: Settings,
    provider: _Name,
    connection: _Connection = DEFAULT_CONNECTION,
    force: Annotated[bool, Option("--force", help="Replace the credential that is held.")] = False,
    stdin: Annotated[bool, Option("--stdin", help="Read the key from standard input.")] = False,
    shared: _Shared = None,
    browser: Annotated[bool, Option("--browser", help="Ask on a page in the browser.")] = False,
    terminal: Annotated[bool, Option("--terminal", help="Ask at the terminal.")] = False,
    check: Annotated[
        bool | None,
        Option(
            "--check/--no-check",
            help="Show the key to its provider first; with --stdin only on request.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Store a credential.

    With `--shared` all members of the project's vault have it.

    Example: authsome login openai
    """
    from authsome import session

    sealed("login")
    check_name(connection, "connection")
    catalogue = open_catalogue()
    project = open_project(settings, catalogue)
    declared = _declared(project, catalogue.get(provider), connection)
    vault = open_vault(settings, project)
    folder = vault.place(shared=shared)
    if folder.holds(provider, connection) and not force:
        raise _connected(provider, connection, again(settings, shared=shared))
    taking = intake(check=not stdin if check is None else check, shared=shared)
    if stdin:
        verdict = session.store(vault, declared.provider, connection, _read_stdin(), taking)
        if check:
            talk(settings, f"{declared.name}: {verdict.stored}")
    else:
        asking = human(settings, vault, wanted(browser=browser, terminal=terminal), shared=shared)
        session.collect(vault, [replace(declared, required=True)], asking, taking)
    _logged_in(settings, vault, folder, declared)
    if stdin:
        talk(settings, f"The key may be sent to: {', '.join(declared.provider.host_names)}")


def _connected(provider: str, connection: str, options: str) -> AuthsomeError:
    from authsome.manifest import login_command

    return AuthsomeError(
        f"{provider} ({connection}) is already connected",
        hint=f"to replace it: {login_command(provider, connection)} --force{options}",
        code=ExitCode.USAGE,
    )


def _logged_in(settings: Settings, vault: "Vault", folder: "Folder", declared: "Declared") -> None:
    """Say that a credential is stored, and for whom."""
    provider, connection = declared.key
    if settings.json:
        from authsome import screens

        data(screens.as_json("login", provider=provider, connection=connection, status="connected"))
    else:
        data(f"Successfully logged in to {provider} ({connection}).\n")
    if not folder.own:
        talk(settings, f"All members of {folder.path} have it once it is checked in.")
        if vault.own.holds(provider, connection):
            talk(settings, "On this machine your own of the home still counts.")


def _declared(project: "Project", provider: "Provider", connection: str) -> "Declared":
    """Return the connection as the manifest declares it, or as if it had."""
    from authsome import manifest

    for each in project.connections:
        if each.key == (provider.name, connection):
            return each
    return manifest.undeclared(provider, connection)


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


@command("logout")
def logout(
    settings: Settings,
    provider: _Name,
    connection: _Connection = DEFAULT_CONNECTION,
    shared: Annotated[bool, Option("--shared", help="Out of the vault checked in with the project.")] = False,
) -> None:
    """Forget a credential on this machine.

    The provider is not contacted; the key stays valid there.

    Example: authsome logout openai
    """
    from authsome.manifest import full_name

    sealed("logout")
    vault = open_vault(settings, open_project(settings, open_catalogue()))
    if not vault.place(shared=shared).delete(provider, connection):
        holder = vault.holder(provider, connection)
        if holder is None:
            raise _not_connected(settings, vault, provider, connection)
        account = "" if connection == DEFAULT_CONNECTION else f" --connection {connection}"
        raise AuthsomeError(
            f"{full_name(provider, connection)} is held in {holder.path}, which this would not change",
            hint=f"authsome logout {provider}{account}{again(settings)}{'' if shared else ' --shared'}",
            code=ExitCode.USAGE,
        )
    if settings.json:
        from authsome import screens

        data(screens.as_json("logout", provider=provider, connection=connection, status="not connected"))
    else:
        data(f"Logged out of {provider} ({connection}).\n")
    talk(settings, "The key itself is still valid; to end it, delete it at the provider.")


def _not_connected(settings: Settings, vault: "Vault", provider: str, connection: str) -> AuthsomeError:
    from authsome.manifest import login_command

    open_catalogue().find(provider)
    others = [name for known, name in vault.names() if known == provider]
    hint = did_you_mean(connection, others, f"it has: {', '.join(others)}") if others else None
    return AuthsomeError(
        f"{provider} ({connection}) is not connected",
        hint=hint or login_command(provider, connection) + again(settings),
        code=ExitCode.MISSING,
    )


@command("list")
def list_(
    settings: Settings,
    exposed: Annotated[
        bool, Option("--exposed", help="Show what removed members could read and was not replaced since.")
    ] = False,
) -> None:
    """Show what is connected, and whose definition it uses.

    Example: authsome list
    """
    from authsome import screens
    from authsome.provider import Source

    if exposed:
        from authsome.cli import recipients

        recipients.show_exposed(settings)
        return
    catalogue = open_catalogue()
    project = open_project(settings, catalogue)
    held = open_vault(settings, project).states()
    known = catalogue.names()
    shown = {*held, *(each.key for each in project.connections)}
    named = {provider for provider, _ in shown}
    shown |= {
        (name, DEFAULT_CONNECTION) for name, source in known.items() if source is Source.CUSTOM and name not in named
    }
    rows = [
        {
            "provider": provider,
            "connection": connection,
            "source": str(known.get(provider, "no definition")),
            **_state(held.get((provider, connection))),
        }
        for provider, connection in sorted(shown)
    ]
    data(screens.as_json("list", connections=rows) if settings.json else screens.listing(rows))


def _state(held: "tuple[Folder, str | None] | None") -> dict[str, str | None]:
    """Return how a connection stands as far as its file shows without being opened, and which vault has it."""
    if held is None:
        return {"status": "not connected", "vault": None}
    folder, damage = held
    return {"status": "damaged" if damage else "connected", "vault": "home" if folder.own else "project"}


@command("get")
def get(
    settings: Settings,
    provider: _Name,
    connection: _Connection = DEFAULT_CONNECTION,
    field: Annotated[str | None, Option("--field", help="Show one value, for example `status`.")] = None,
    show_secret: Annotated[bool, Option("--show-secret", help="Show the secret itself.")] = False,
) -> None:
    """Show one connection, without its secret.

    Example: authsome get openai --field status
    """
    from authsome import screens
    from authsome.vault import holding

    if show_secret:
        sealed("get --show-secret")
    catalogue = open_catalogue()
    source, _ = catalogue.find(provider)
    vault = open_vault(settings, open_project(settings, catalogue))
    folder = vault.holder(provider, connection)
    entry = folder.read(provider, connection) if folder else None
    if folder is None or entry is None:
        raise _not_connected(settings, vault, provider, connection)
    known = catalogue.get(provider)
    details = screens.details(holding(entry, known), known, source, own=folder.own)
    if show_secret:
        details |= entry.fields
    if field is not None:
        if field not in details:
            hint = did_you_mean(field, details, f"fields: {', '.join(details)}")
            raise AuthsomeError(f"{provider} has no field `{field}`", hint=hint, code=ExitCode.USAGE)
        details = {field: details[field]}
    if settings.json:
        data(screens.as_json("connection", **details))
    else:
        data(screens.value(details[field]) + "\n" if field else screens.fields(details))


@command("inspect")
def inspect_(settings: Settings, provider: _Name) -> None:
    """Print the definition of a provider as JSON.

    Example: authsome inspect openai > ~/.authsome/providers/openai.json
    """
    from authsome.documents import read_text

    del settings  # the definition is JSON, and the whole answer
    catalogue = open_catalogue()
    catalogue.get(provider)
    data(read_text(catalogue.find(provider)[1]))


@command("export")
def export(
    settings: Settings,
    provider: Annotated[str | None, Argument(metavar="[PROVIDER]", help="One provider; else all.")] = None,
    connection: _Connection = DEFAULT_CONNECTION,
    form: Annotated[str, Option("--format", help="env, shell or json.")] = "env",
) -> None:
    """Print credentials as variables.

    For programs that cannot run behind the proxy.

    Example: eval "$(authsome export openai --format shell)"
    """
    from authsome import export as exporting, screens, session

    sealed("export")
    formats = [str(each) for each in exporting.Format]
    if form not in formats:
        hint = did_you_mean(form, formats, f"formats: {', '.join(formats)}")
        raise AuthsomeError(f"there is no format `{form}`", hint=hint, code=ExitCode.USAGE)
    if provider is None:
        _, position = survey(settings)
    else:
        catalogue = open_catalogue()
        project = open_project(settings, catalogue)
        named = _declared(project, catalogue.get(provider), check_name(connection, "connection"))
        position = session.survey(open_vault(settings, project), (replace(named, required=True),))
        position = replace(position, plan=position.plan.addressed(again(settings)))
    live = session.reconcile(position, partial(human, settings, position.vault), intake())
    values = exporting.variables(position.declared, live)
    if settings.json:
        data(screens.as_json("export", variables=values))
    else:
        data(exporting.render(values, exporting.Format(form)))
    if not values:
        talk(settings, "Nothing is connected, so nothing was exported.")


@command("demo")
def demo(settings: Settings) -> None:
    """See an agent use a key that it never had.

    Needs no account and no network.

    Example: authsome demo
    """
    from authsome import demo as playing, screens

    talk(settings, "A provider on loopback, a throw-away key, a small agent behind the proxy; a few seconds …")
    shown = playing.play()
    data(screens.as_json("demo", **screens.demo_data(shown)) if settings.json else screens.demo(shown))
    if not shown.proven:
        raise Exit(ExitCode.UNEXPECTED)
