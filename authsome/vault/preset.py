"""How a profile is used: who may be asked, where its new credentials go, what opens it.

Promises that a preset is one of those that come with authsome: a profile folder names one and says nothing else, so
that a cloned repository cannot make up its own.
"""

import os
from collections.abc import Iterable
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


def chosen(profile: str, folders: Iterable[Path]) -> str:
    """Return the preset that the first of a profile's folders names, else the one of its own name, else `default`."""
    for path in (folder / FILE_NAME for folder in folders):
        if not os.path.lexists(path):
            continue
        try:
            return check(read(path).decode(errors="replace").strip())
        except AuthsomeError as error:
            raise AuthsomeError(f"{path}: {error.message}", hint=error.hint, code=ExitCode.INVALID) from None
    return profile if (bundled("profiles") / f"{profile}.yaml").is_file() else DEFAULT
