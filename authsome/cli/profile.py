"""`authsome profile`: whose secrets."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from authsome.cli.frame import Argument, Option, Settings, command, data, group, say, talk
from authsome.cli.stations import again, confirm, home, open_project, open_vault, profile_name, sealed, show_catalogue
from authsome.errors import AuthsomeError, ExitCode, clean, did_you_mean

if TYPE_CHECKING:
    from authsome.vault import Folder, Vault
    from authsome.vault.keyring import Keyring

_of = partial(command, of=group("profile", "List, make, choose and remove profiles."))
_Name = Annotated[str, Argument(metavar="NAME", help="The profile, for example `work`.")]
_MaybeName = Annotated[str | None, Argument(metavar="[NAME]", help="The profile; else the current one.")]
_Shared = Annotated[bool, Option("--shared", help="The one that is checked in beside authsome.yaml.")]
_Yes = Annotated[bool, Option("--yes", help="Do not ask.")]


@_of("list")
def list_(settings: Settings) -> None:
    """Show the profiles of this machine and of the project.

    Example: authsome profile list
    """
    from authsome import screens
    from authsome.screens import vault as screen
    from authsome.vault import profiles

    vault = vault_of(settings, None)
    project = vault.shared.path.parents[1] if vault.shared else None
    own, shared = profiles.listed(home()), profiles.listed(project)
    rows: list[dict[str, Any]] = []
    for name in sorted({*own, *shared, vault.profile}):
        row = {
            "profile": name,
            "current": name == vault.profile,
            "home": name in own,
            "project": name in shared,
            "connections": None,
            "preset": None,
        }
        try:
            each = vault_of(settings, name)
            row |= {"connections": len(each.names()), "preset": each.preset}
        except AuthsomeError as error:  # it must not hide the others
            say(f"authsome: {clean(error.message)}")
        rows.append(row)
    data(screens.as_json("profiles", profiles=rows) if settings.json else screen.profiles(rows))


@_of("create")
def create(
    settings: Settings,
    name: _Name,
    preset: Annotated[str | None, Option("--preset", help="default, headless, ci or team.")] = None,
    shared: _Shared = False,
) -> None:
    """Make a profile of which you are the only member.

    The first login makes one, too. A shared one lies in `.authsome/` beside authsome.yaml and is checked in; its
    members are chosen with `authsome recipients`.

    Example: authsome profile create work
    """
    from authsome.vault import preset as presets

    sealed("profile create")
    if preset is not None:
        presets.check(preset)
    vault = vault_of(settings, name)
    folder = vault.place(shared=shared or preset == "team")
    if folder.exists:
        raise AuthsomeError(
            f"there is a profile `{name}` already: {folder.path}",
            hint=f"authsome profile show {name}",
            code=ExitCode.USAGE,
        )
    folder.create(preset)
    _answer(settings, vault_of(settings, name), "created")


@_of("show")
def show(settings: Settings, name: _MaybeName = None) -> None:
    """Show a profile's folders, members and fingerprint.

    The fingerprint is what AUTHSOME_VAULT_PIN takes, and what two members compare.

    Example: authsome profile show
    """
    vault = vault_of(settings, name)
    if not any(folder.exists for folder in vault.folders):
        raise unknown(vault)
    _answer(settings, vault, "found")


@_of("use")
def use(settings: Settings, name: _Name) -> None:
    """Choose the profile of this machine.

    It holds where no option, variable or manifest names one.

    Example: authsome profile use work
    """
    from authsome import screens
    from authsome.vault import profiles

    sealed("profile use")
    vault = vault_of(settings, name)
    if name != "default" and not any(folder.exists for folder in vault.folders):
        raise unknown(vault)
    profiles.use(home(), name)
    data(screens.as_json("profile_choice", profile=name) if settings.json else f"The profile is now {name}.\n")
    current = profile_name(settings, open_project(settings, show_catalogue(settings)))
    if current != name:
        talk(settings, f"Here it is {current}, though: an option, AUTHSOME_PROFILE or authsome.yaml says so.")


@_of("remove")
def remove(settings: Settings, name: _Name, shared: _Shared = False, yes: _Yes = False) -> None:
    """Delete a profile with all it holds.

    The keys stay valid at their providers.

    Example: authsome profile remove old-client
    """
    from authsome import screens
    from authsome.vault import defaults, profiles

    sealed("profile remove")
    vault = vault_of(settings, name)
    folder = vault.place(shared=shared)
    if not folder.exists:
        raise unknown(vault)
    held = [f"{provider}/{connection}" for provider, connection in folder.names()]
    what = f"{folder.path} with {', '.join(held) if held else 'no connection'}"
    if not yes:
        same = f"authsome profile remove {name}{again(settings, shared=shared or None)} --yes"
        confirm(settings, vault.profile, f"Delete {what}?", same)
    profiles.remove(folder.path)
    if not any(each.exists for each in vault.folders) and profiles.use_no_more(home(), name):
        talk(settings, "It was the profile of this machine; now that is default.")
    if not any(each.exists for each in vault.folders):
        defaults.forget(home(), name)
    data(
        screens.as_json("profile_removed", profile=name, path=str(folder.path), connections=held)
        if settings.json
        else f"Deleted {what}.\n"
    )


def vault_of(settings: Settings, name: str | None) -> "Vault":
    """Return the vault of a profile that is named, else of the current one."""
    from dataclasses import replace

    # NOTE: an empty name is a wrong one (a variable of a script that is not set), and not the current profile's.
    chosen = settings if name is None else replace(settings, profile=name)
    return open_vault(chosen, open_project(settings, show_catalogue(settings)))


def unknown(vault: "Vault") -> AuthsomeError:
    """Return the error that there is no such profile, with the nearest that is there."""
    from authsome.vault import profiles

    known = {name for folder in vault.folders for name in profiles.listed(folder.path.parents[1])}
    make = f"authsome profile create {vault.profile}"
    return AuthsomeError(
        f"there is no profile `{vault.profile}`", hint=did_you_mean(vault.profile, known, make), code=ExitCode.MISSING
    )


def _answer(settings: Settings, vault: "Vault", status: str) -> None:
    from authsome import screens
    from authsome.screens import vault as screen

    folders = [_folder(folder) for folder in vault.folders if folder.exists]
    if settings.json:
        data(screens.as_json("profile", profile=vault.profile, status=status, preset=vault.preset, folders=folders))
        return
    data(f"Profile {vault.profile} (preset {vault.preset})\n")
    for each in folders:
        data("\n" + screen.profile_folder(each))


def _folder(folder: "Folder") -> dict[str, Any]:
    """Return what can be shown of a profile's folder; what only an identity opens is None without one."""
    try:
        return opened(folder, folder.unchecked())
    except AuthsomeError as error:
        if error.code is not ExitCode.LOCKED:
            raise
        unknown = dict.fromkeys(("fingerprint", "epoch", "members", "trusted"))
        return _outside(folder) | unknown | {"locked": error.message}


def opened(folder: "Folder", keys: "Keyring") -> dict[str, Any]:
    """Return what can be shown of a profile's folder whose keyring is open."""
    return _outside(folder) | {
        "fingerprint": keys.fingerprint,
        "epoch": keys.epoch,
        "members": [{"name": each.name, "recipient": each.recipient} for each in keys.roster],
        "trusted": folder.accepted(keys),
        "locked": None,
    }


def _outside(folder: "Folder") -> dict[str, Any]:
    return {
        "path": str(folder.path),
        "shared": not folder.own,
        "connections": [f"{provider}/{connection}" for provider, connection in folder.names()],
    }
