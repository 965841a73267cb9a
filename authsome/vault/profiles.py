"""Which profiles there are, and which one is meant when nobody says.

Promises that removing one leaves the whole of it or nothing. Refuses to guess at a choice that it cannot read.
"""

import os
import re
import shutil
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode, file_errors
from authsome.provider import check_name
from authsome.vault.files import READ_ONLY_HINT, locked, make_folder, read, refuse_links, replace, sync_folder

_CHOICE = "profile"
_LEAVING = re.compile(r"\.[a-z0-9][a-z0-9_-]*\.leaving\.[0-9a-f]{8}")


def used(home: Path) -> str | None:
    """Return the profile that `profile use` chose for this machine, if it did."""
    path = home / _CHOICE
    if not os.path.lexists(path):
        return None
    try:
        return check_name(read(path).decode(errors="replace").strip(), "profile")
    except AuthsomeError as error:
        raise AuthsomeError(
            f"{path}: {error.message}", hint="authsome profile use NAME", code=ExitCode.INVALID
        ) from None


def use(home: Path, profile: str) -> None:
    """Choose a profile for this machine."""
    make_folder(home)
    replace(home / _CHOICE, f"{check_name(profile, 'profile')}\n".encode())


def use_no_more(home: Path, profile: str) -> bool:
    """Withdraw the choice of a profile; return False if it was not chosen."""
    if used(home) != profile:
        return False
    with file_errors("delete", home / _CHOICE, hint=READ_ONLY_HINT):
        (home / _CHOICE).unlink(missing_ok=True)
    return True


def listed(root: Path | None) -> list[str]:
    """Return the profiles of a home or of a project's `.authsome`, sorted; a folder of another name is none."""
    if root is None:
        return []
    with file_errors("read", root / "profiles"):
        folders = list((root / "profiles").glob("*/"))
    return sorted(folder.name for folder in folders if _is_name(folder.name))


def _is_name(name: str) -> bool:
    try:
        check_name(name, "profile")
    except AuthsomeError:
        return False
    return True


def remove(folder: Path) -> None:
    """Delete a profile's folder.

    It is renamed first: killed in between, what is left is no profile any more, and the next removal deletes it.
    """
    refuse_links(folder)
    with locked(folder), file_errors("delete", folder, hint=READ_ONLY_HINT):
        leaving = folder.with_name(f".{folder.name}.leaving.{os.urandom(4).hex()}")
        folder.rename(leaving)
        sync_folder(folder.parent)
        for each in folder.parent.iterdir():
            if _LEAVING.fullmatch(each.name) and not each.is_symlink():
                shutil.rmtree(each)
