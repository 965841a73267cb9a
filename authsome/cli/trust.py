"""`authsome trust`: a person looks at what a project brings along, and accepts it or not."""

from typing import TYPE_CHECKING, Annotated, Any

from authsome.cli.frame import Option, Settings, command, data, say
from authsome.cli.profile import opened, unknown, vault_of
from authsome.cli.stations import again, confirm, open_trust, sealed

if TYPE_CHECKING:
    from authsome.provider import Provider
    from authsome.trust import Trust, Wishes
    from authsome.vault import Vault


@command("trust")
def trust(settings: Settings, yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False) -> None:
    """Accept what a project brings along.

    That is definitions of providers of its own in `.authsome/providers`, a vault in `.authsome/profiles`, and what its
    authsome.yaml takes away of your protection. Each is shown as the difference to what was accepted before. Read
    where the keys would go; compare a vault's fingerprint with a member's (`authsome profile show`), for whoever knows
    your public key can make a vault that opens for you. What is accepted is kept in your home, not in the project, for
    all worktrees of the repository; any change of it asks again.

    Example: authsome trust
    """
    from authsome import screens

    sealed("trust")
    vault, known = vault_of(settings, None), open_trust(settings)
    if settings.profile is not None and not any(folder.exists for folder in vault.folders):
        raise unknown(vault)
    wishes = known.wishes() if known else None
    said = _wishes(settings, vault, known, wishes, yes=yes) if known and wishes else []
    folders = _folders(settings, vault, yes=yes)
    said += [f"Accepted: {each['path']} ({each['fingerprint']})" for each in folders]
    digest = wishes.digest if wishes else None
    if settings.json:
        permits = wishes.plain() if wishes else None
        data(screens.as_json("trust", profile=vault.profile, folders=folders, permits=permits, digest=digest))
    else:
        nothing = "Nothing here needs to be trusted" + (f" ({digest})" if digest else "")
        data("".join(f"{line}\n" for line in said or [f"{nothing}."]))


def _wishes(settings: Settings, vault: "Vault", known: "Trust", wishes: "Wishes", *, yes: bool) -> list[str]:
    """Have what the manifest and the definitions want accepted, if it is not; return what there is to say of it."""
    from authsome.screens import trust as screen

    new = list(known.differences(wishes, _bundled))
    if new:
        shown = screen.differences(known.place, new)
        if not settings.json:
            data(shown)
        elif not yes:
            say(shown.rstrip("\n"))  # it is what the question is about
        if not yes:
            unattended = f"authsome trust{again(settings)} --yes"
            confirm(settings, vault.profile, "Permit this project all of it?", unattended)
    if new or known.damaged:
        known.accept(wishes)
    if not (wishes.definitions or wishes.manifest):
        return []
    return [f"Accepted: {', '.join(wishes.subjects)} ({wishes.digest})"]


def _bundled(name: str) -> "Provider | None":
    """Return what comes with the program, if there is such a provider."""
    from authsome.provider import Catalogue

    catalogue = Catalogue(None)
    return catalogue.get(name) if name in catalogue.names() else None


def _folders(settings: Settings, vault: "Vault", *, yes: bool) -> list[dict[str, Any]]:
    """Have the vault's folders accepted that are not, and return what there is to say of each."""
    from authsome.screens import vault as screen

    shown = []
    for folder in vault.folders:
        if not folder.exists:
            continue
        keys = folder.unchecked()
        each = opened(folder, keys)
        if not each["trusted"]:
            if not settings.json:
                data(screen.profile_folder(each))
            elif not yes:
                say(screen.profile_folder(each).rstrip("\n"))
            if not yes:
                confirm(settings, vault.profile, "Accept this vault?", f"authsome trust{again(settings)} --yes")
            folder.accept(keys)
        shown.append(each | {"trusted": True})
    return shown
