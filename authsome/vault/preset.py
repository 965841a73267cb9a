"""How a profile is used: who may be asked, where its new credentials go, what opens it.

Promises that a preset is one of those that come with authsome: a profile folder names one and says nothing else, so
that a cloned repository cannot make up its own.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from authsome import documents
from authsome.errors import AuthsomeError, ExitCode, did_you_mean
from authsome.provider import bundled
from authsome.vault.files import read

FILE_NAME = "preset"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Preset(documents.Closed):
    """How a profile is used.

    Attributes:
        ask: Who may be asked, in order of preference.
        vault: Where a new credential goes.
        identity: Which identities count: one that is given, the home's `identity.txt`, ssh's.
    """

    description: str
    ask: tuple[Literal["browser", "terminal"], ...]
    vault: Literal["home", "project"]
    identity: tuple[Literal["given", "home", "ssh"], ...]


def names() -> list[str]:
    """Return the presets there are."""
    return sorted(path.stem for path in bundled("profiles").glob("*.yaml"))


def load(name: str) -> Preset:
    """Return a preset."""
    return documents.shape(Preset, documents.read_yaml(bundled("profiles") / f"{name}.yaml"))


def check(name: str) -> str:
    """Return the name of a preset, or raise (exit code 2)."""
    known = names()
    if name not in known:
        hint = did_you_mean(name, known, f"presets: {', '.join(known)}")
        raise AuthsomeError(f"there is no preset {ascii(name[:40])}", hint=hint, code=ExitCode.USAGE)
    return name


def chosen(profile: str, own: Path, shared: Path | None = None) -> str:
    """Return the preset that the home's folder names, else that of the profile's name, else the project's or `default`.

    NOTE: the project's comes last. A repository must not have a profile called `ci` take the keys of the machine.
    """
    if found := _named(own):
        return found
    if profile != DEFAULT and (bundled("profiles") / f"{profile}.yaml").is_file():
        return profile
    return (_named(shared) if shared else None) or DEFAULT


def _named(folder: Path) -> str | None:
    path = folder / FILE_NAME
    if not os.path.lexists(path):
        return None
    try:
        return check(read(path).decode(errors="replace").strip())
    except AuthsomeError as error:
        raise AuthsomeError(f"{path}: {error.message}", hint=error.hint, code=ExitCode.INVALID) from None
