"""`authsome whoami`: which identity, profile, home and manifest count here."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from authsome.cli.frame import Exit, Settings, command, data
from authsome.cli.stations import (
    given,
    home,
    manifest_name,
    open_project,
    open_vault,
    profile_name,
    show_catalogue,
    working_folder,
)
from authsome.errors import AuthsomeError, ExitCode

if TYPE_CHECKING:
    from authsome.screens.whoami import Opener
    from authsome.vault import Vault


@command("whoami")
def whoami(settings: Settings) -> None:
    """Show whose secrets are used here, and what opens them.

    Asks nobody: where a passphrase would be asked for, it says so and ends with 4. Inside a run, which has no vault, it
    says that.

    Example: authsome whoami
    """
    from authsome import manifest, screens
    from authsome.screens import whoami as screen

    silent = replace(settings, no_input=True)
    path = manifest.find(working_folder(), manifest_name(settings))
    project = open_project(silent, show_catalogue(settings)) if path else None
    profile = profile_name(silent, project)
    found = screen.Here(profile, str(home()), str(path) if path else None)
    if os.environ.get("AUTHSOME_RUN"):
        found = replace(found, inside_run=True)
    else:
        vault = open_vault(silent, project)
        folders = [folder for folder in vault.folders if folder.exists]
        found = replace(found, preset=vault.preset, vaults=tuple(str(folder.path) for folder in folders))
        try:
            found = replace(found, opener=_opener(silent, vault))
        except AuthsomeError as error:
            if error.code is not ExitCode.LOCKED:
                raise
            found = replace(found, locked=error.message)
    data(screens.as_json("whoami", **screen.whoami_data(found)) if settings.json else screen.whoami(found))
    if found.locked and found.vaults:
        raise Exit(ExitCode.LOCKED)


def _opener(settings: Settings, vault: "Vault") -> "Opener | None":
    """Return the identity that opens the profile, else the one that a first login would use."""
    from authsome.screens.whoami import Opener
    from authsome.vault import find_identity

    for folder in vault.folders:
        if folder.exists:
            roster = folder.unchecked().roster
            if opener := vault.identity:
                name = next((each.name for each in roster if each.recipient == opener.recipient), None)
                return Opener(opener.recipient, opener.origin, name)
    identity = find_identity(home(), os.environ, given(settings, vault.profile))
    return Opener(identity.recipient, identity.origin, None)
