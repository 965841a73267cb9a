"""`authsome remove` and `authsome revoke`: everything of a provider goes, from here and where possible from there."""

from typing import TYPE_CHECKING, Annotated

from authsome.cli.ending import check, check_known, defined, end, glance
from authsome.cli.frame import Option, Settings, command, data, talk
from authsome.cli.named import Name, forget_choice, not_connected
from authsome.cli.stations import again, confirm, open_catalogue, open_project, open_vault, sealed, show_catalogue
from authsome.errors import AuthsomeError, ExitCode
from authsome.provider import CLIENT, Source, check_name

if TYPE_CHECKING:
    from authsome.provider import Catalogue, Provider
    from authsome.vault import Entry, Folder, Vault

_Connection = Annotated[
    str | None, Option("--connection", help="One of several accounts; else all of them.", show_default=False)
]
_Shared = Annotated[bool, Option("--shared", help="Out of the vault checked in with the project.")]
_Yes = Annotated[bool, Option("--yes", help="Do not ask.")]


@command("remove")
def remove(
    settings: Settings, provider: Name, connection: _Connection = None, shared: _Shared = False, yes: _Yes = False
) -> None:
    """Forget every credential of a provider, and the application that logs in there.

    The provider is not contacted; keys and tokens stay valid there. A definition of your own stays, too.

    Example: authsome remove openai
    """
    _go(settings, "remove", provider, connection, shared=shared, yes=yes)


@command("revoke")
def revoke(
    settings: Settings, provider: Name, connection: _Connection = None, shared: _Shared = False, yes: _Yes = False
) -> None:
    """End credentials at their provider where that is possible, then forget them.

    Tokens are ended first, and kept if the provider does not answer. No provider can be asked to end an API key: for
    these this is the same as `remove`, and says where to end it.

    Example: authsome revoke openai
    """
    _go(settings, "revoke", provider, connection, shared=shared, yes=yes)


def _go(settings: Settings, doing: str, provider: str, connection: str | None, *, shared: bool, yes: bool) -> None:
    from authsome import screens
    from authsome.screens import removal as screen

    sealed(doing)
    check_name(provider, "provider")
    if connection is not None:
        check_name(connection, "connection")
    catalogue = show_catalogue(settings)
    vault = open_vault(settings, open_project(settings, catalogue))
    folder = vault.place(shared=shared)
    going = _going(settings, doing, vault, folder, provider, connection)
    known = defined(catalogue, provider)
    account = f" --connection {connection}" if connection else ""
    same = f"authsome {doing} {provider}{account}{again(settings)}{' --shared' if shared else ''} --yes"
    if len(going) > 1 and not yes:
        confirm(settings, vault.profile, f"Forget {len(going)} connections of {provider}: {', '.join(going)}?", same)
    tokens = [name for name in going if glance(vault, known, name, shared=shared)]
    # Tokens are personal: in a project's folder there are none.
    ending = _to_end(settings, vault, provider, known, going) if doing == "revoke" and folder.own else {}
    gone, ended = [], {}
    for name in going:
        if name in ending:
            ended[name] = end(settings, vault, *ending[name])
        if folder.delete(provider, name) or name in ended:
            gone.append(name)
    left = _holds(vault, provider)
    application = left is None and vault.own.delete(provider, CLIENT)
    forget_choice(settings, vault, provider, tuple(gone))
    own = _own_definition(catalogue, provider)
    page = known.keys_url if known else None
    answer = screen.Removal(doing, provider, gone, str(folder.path), page, own, ended, tokens, application)
    data(screens.as_json(doing, **screen.removal_data(answer)) if settings.json else screen.removal(answer))
    for line in screen.after(answer, str(left.path) if left else None):
        talk(settings, line)


def _to_end(
    settings: Settings, vault: "Vault", provider: str, known: "Provider | None", going: list[str]
) -> "dict[str, tuple[Provider, Entry]]":
    """Return the connections of tokens, or raise before anything is done if the provider cannot end one of them."""
    if known is None or known.oauth is None:
        check_known(settings, vault, provider, going)
        return {}
    entries = {name: entry for name in going if (entry := vault.own.read(provider, name)) and entry.grant}
    if not entries:
        return {}
    # NOTE: tokens are sent to be ended. What may only be shown, as a project's that nobody trusts, gets none.
    trusted = open_catalogue(settings).get(provider)
    for entry in entries.values():
        check(settings, trusted, entry)
    return {name: (trusted, entry) for name, entry in entries.items()}


def _going(
    settings: Settings, doing: str, vault: "Vault", folder: "Folder", provider: str, connection: str | None
) -> list[str]:
    """Return the connections that go, or raise (exit code 3) if there is none; code 2: only another folder has them."""
    found = [name for known, name in folder.names() if known == provider and connection in (None, name)]
    if found:
        return found
    holder = _holds(vault, provider) if connection is None else vault.holder(provider, connection)
    if holder is None:
        if connection is not None:
            raise not_connected(settings, vault, provider, connection)
        if doing == "remove" and vault.own.holds(provider, CLIENT):
            return []
        show_catalogue(settings).find(provider)
        raise AuthsomeError(
            f"{provider} is not connected", hint=f"authsome login {provider}{again(settings)}", code=ExitCode.MISSING
        )
    account = f" --connection {connection}" if connection else ""
    raise AuthsomeError(
        f"{provider} is held in {holder.path}, which this would not change",
        hint=f"authsome {doing} {provider}{account}{again(settings)}{' --shared' if not holder.own else ''}",
        code=ExitCode.USAGE,
    )


def _holds(vault: "Vault", provider: str) -> "Folder | None":
    """Return a folder that holds anything of a provider."""
    return next((each for each in vault.folders if any(known == provider for known, _ in each.names())), None)


def _own_definition(catalogue: "Catalogue", provider: str) -> str | None:
    """Return the definition if it is the user's own; it may be wrong, or gone."""
    try:
        source, path = catalogue.find(provider)
    except AuthsomeError:
        return None
    return str(path) if source is Source.CUSTOM else None
