"""`authsome login` and `authsome logout`: a credential comes, a credential goes."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from authsome.cli.ending import defined, glance
from authsome.cli.frame import Option, Settings, command, data, talk
from authsome.cli.named import Connection, Name, declared as find_declared, forget_choice, not_connected
from authsome.cli.stations import (
    again,
    check_trust,
    human,
    intake,
    open_catalogue,
    open_project,
    open_vault,
    sealed,
    show_catalogue,
    wanted,
    ways,
)
from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import DEFAULT_CONNECTION, SCOPE, check_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authsome.manifest import Declared
    from authsome.provider import Flow
    from authsome.session import Intake
    from authsome.vault import Folder, Vault

_Shared = Annotated[
    bool | None,
    Option("--shared/--no-shared", help="In the vault checked in with the project, or at home.", show_default=False),
]

_Address = Annotated[
    str | None, Option("--base-url", metavar="URL", help="The address, where each customer has one of their own.")
]
_Flow = Annotated[
    str | None,
    Option("--flow", metavar="FLOW", help="How to come by tokens, for example device_code."),
]
_Scopes = Annotated[
    str | None,
    Option("--scopes", metavar="LIST", help="What to ask for, parted by commas; what is held is kept."),
]
_Check = Annotated[
    bool | None,
    Option(
        "--check/--no-check",
        help="Show the key to its provider first; with --stdin only on request.",
        show_default=False,
    ),
]


@command("login")
def login(
    settings: Settings,
    provider: Name,
    connection: Connection = DEFAULT_CONNECTION,
    force: Annotated[bool, Option("--force", help="Replace the credential that is held.")] = False,
    stdin: Annotated[bool, Option("--stdin", help="Read the key from standard input.")] = False,
    shared: _Shared = None,
    browser: Annotated[bool, Option("--browser", help="Ask on a page in the browser.")] = False,
    terminal: Annotated[bool, Option("--terminal", help="Ask at the terminal.")] = False,
    base_url: _Address = None,
    flow: _Flow = None,
    scopes: _Scopes = None,
    check: _Check = None,
) -> None:
    """Store a credential.

    A key that you paste, or tokens that you agree to at the provider (OAuth). With `--shared` all members of the
    project's vault have the key; tokens are personal.

    Example: authsome login openai
    """
    from authsome import session

    sealed("login")
    check_name(connection, "connection")
    catalogue = open_catalogue(settings)
    project = open_project(settings, catalogue)
    check_trust(settings, project)
    declared = _at(find_declared(project, catalogue.get(provider), connection), base_url)
    vault = open_vault(settings, project)
    asked = wanted(browser=browser, terminal=terminal)
    named = {"--base-url": base_url, "--flow": flow, "--scopes": scopes}
    same = _same(settings, declared.key, named, shared=shared, force=force)
    way = ways(settings, vault, asked, flow=_flow(flow), scopes=_listed(scopes), anew=force, command=same)
    taking = intake(settings, check=not stdin if check is None else check, shared=shared, ways=way)
    before = session.replaced(vault, declared.provider, connection, shared)
    tokens = session.by_tokens(declared.provider, before, taking)
    place = False if tokens and not shared else shared
    folder = vault.place(shared=place)
    _check_free(folder, declared, same, tokens=tokens, force=force, scopes=bool(scopes))
    if stdin:
        _store(settings, vault, declared, taking, said=bool(check))
    else:
        session.collect(vault, [replace(declared, required=True)], human(settings, vault, asked, shared=place), taking)
    _logged_in(settings, vault, folder, declared, chosen=project.choices.get(provider), unseen=stdin)


def _store(settings: Settings, vault: "Vault", declared: "Declared", taking: "Intake", *, said: bool) -> None:
    """Store what is piped in; say what its provider said to it if that was asked."""
    from authsome import session

    verdict = session.store(vault, declared.provider, declared.connection, _read_stdin(), taking)
    if said:
        talk(settings, f"{declared.name}: {verdict.stored}")


def _whither(settings: Settings, folder: "Folder", declared: "Declared") -> None:
    """Say where a credential may be sent."""
    entry = folder.read(*declared.key)
    talk(
        settings,
        f"The {'token' if entry and entry.grant else 'key'} may be sent to: {', '.join(entry.hosts if entry else ())}",
    )


def _flow(named: str | None) -> "Flow | None":
    """Return the flow that was named, or raise (exit code 2)."""
    from typing import get_args

    from authsome.errors import did_you_mean
    from authsome.provider import Flow

    flows: tuple[Flow, ...] = get_args(Flow)
    found = next((each for each in flows if each == named), None)
    if named is not None and found is None:
        hint = did_you_mean(named, flows, f"flows: {', '.join(flows)}")
        raise AuthsomeError(f"there is no flow {ascii(named)}", hint=hint, code=ExitCode.USAGE)
    return found


def _listed(scopes: str | None) -> tuple[str, ...]:
    """Return scopes that stand in one option, or raise (exit code 2)."""
    found = tuple(dict.fromkeys((scopes or "").replace(",", " ").split()))
    if scopes is not None and not found:
        raise AuthsomeError("--scopes names none", hint="name some, as in --scopes repo,read:user", code=ExitCode.USAGE)
    for each in found:
        if not SCOPE.fullmatch(each):
            raise AuthsomeError(
                f"{ascii(each)} is not a scope", hint="scopes are parted by commas", code=ExitCode.USAGE
            )
    return found


def _at(declared: "Declared", address: str | None) -> "Declared":
    """Return a connection for one address of its provider."""
    if address is None:
        return declared
    try:
        return replace(declared, provider=declared.provider.at(address))
    except ValueError as error:
        raise AuthsomeError(
            str(error), hint="authsome inspect " + declared.provider.name, code=ExitCode.USAGE
        ) from None


def _check_free(folder: "Folder", declared: "Declared", same: str, *, tokens: bool, force: bool, scopes: bool) -> None:
    """Raise (exit code 2) if something is held that was not to be replaced, and for scopes of a key."""
    if scopes and not tokens:
        raise _unscoped(declared)
    if folder.holds(*declared.key) and not (force or scopes):
        provider, connection = declared.key
        raise AuthsomeError(
            f"{provider} ({connection}) is already connected",
            hint=f"to replace it: {same} --force",
            code=ExitCode.USAGE,
        )


def _unscoped(declared: "Declared") -> AuthsomeError:
    """Return the error for scopes where a key is asked for: what a key may do is chosen where it is made."""
    provider = declared.provider
    flows = ", ".join(provider.oauth.asks.flows) if provider.oauth else None
    page = provider.keys_url or provider.docs or "the provider's site"
    return AuthsomeError(
        f"{provider.display_name} is logged in to with a key here, and --scopes is about tokens",
        hint=f"name a flow, too: {flows}" if flows else f"choose what the key may do where you make it: {page}",
        code=ExitCode.USAGE,
    )


def _same(
    settings: Settings, key: tuple[str, str], named: "Mapping[str, str | None]", *, shared: bool | None, force: bool
) -> str:
    """Return the command that was typed, to be printed; without what answers its questions."""
    import shlex

    from authsome.manifest import login_command

    options = "".join(f" {option} {shlex.quote(text)}" for option, text in named.items() if text)
    return login_command(*key) + options + again(settings, shared=shared) + (" --force" if force else "")


def _logged_in(
    settings: Settings, vault: "Vault", folder: "Folder", declared: "Declared", *, chosen: str | None, unseen: bool
) -> None:
    """Say that a credential is stored, and for whom.

    Args:
        chosen: What `set-default` has put in the default's place.
        unseen: Whether nobody has seen a page or a prompt that says where it goes.
    """
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
    if chosen and connection == DEFAULT_CONNECTION:
        talk(settings, f"{provider}/{chosen} is used all the same: authsome set-default {provider} default")
    if unseen:
        _whither(settings, folder, declared)


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
    provider: Name,
    connection: Connection = DEFAULT_CONNECTION,
    shared: Annotated[bool, Option("--shared", help="Out of the vault checked in with the project.")] = False,
) -> None:
    """Forget a credential on this machine.

    The provider is not contacted: a key stays valid there, and so do tokens; `authsome revoke` ends tokens first. The
    application that logs in is kept for the next login.

    Example: authsome logout openai
    """
    import time

    from authsome.manifest import full_name
    from authsome.screens import removal as screen
    from authsome.vault import Grant

    sealed("logout")
    check_name(connection, "connection")
    catalogue = show_catalogue(settings)
    vault = open_vault(settings, open_project(settings, catalogue))
    grant = glance(vault, defined(catalogue, provider), connection, shared=shared)
    if not vault.place(shared=shared).delete(provider, connection):
        holder = vault.holder(provider, connection)
        if holder is None:
            raise not_connected(settings, vault, provider, connection)
        account = "" if connection == DEFAULT_CONNECTION else f" --connection {connection}"
        raise AuthsomeError(
            f"{full_name(provider, connection)} is held in {holder.path}, which this would not change",
            hint=f"authsome logout {provider}{account}{again(settings)}{'' if shared else ' --shared'}",
            code=ExitCode.USAGE,
        )
    forget_choice(settings, vault, provider, (connection,))
    if settings.json:
        from authsome import screens

        data(screens.as_json("logout", provider=provider, connection=connection, status="not connected"))
    else:
        data(f"Logged out of {provider} ({connection}).\n")
    now = time.time()
    until = grant.end(now) if isinstance(grant, Grant) else None
    expired = isinstance(grant, Grant) and grant.has_ended(now)
    # Of tokens that do not open without a word it is not known how they were come by.
    flow = grant.flow if isinstance(grant, Grant) else "pkce" if grant else None
    talk(settings, screen.logged_out(provider, until, flow, expired=expired))
