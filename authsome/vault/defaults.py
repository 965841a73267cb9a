"""Which connection of a provider is meant where none is named: `<home>/defaults.json`, profile by profile.

Promises that the file holds names only, and that a choice belongs to this machine: it is in no profile's folder and in
no backup. Refuses to guess at choices that it cannot read.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from authsome.documents import parse_json
from authsome.errors import AuthsomeError, ExitCode, file_errors
from authsome.provider import DEFAULT_CONNECTION, check_name
from authsome.vault.files import READ_ONLY_HINT, locked, make_folder, read, replace

FILE_NAME = "defaults.json"


def chosen(home: Path, profile: str) -> Mapping[str, str]:
    """Return provider → connection, of the providers for which a connection was chosen in this profile."""
    return _read(home).get(profile, {})


def choose(home: Path, profile: str, provider: str, connection: str) -> bool:
    """Choose a connection; `default` takes a choice back. Return False if it was like that already."""
    make_folder(home)
    with locked(home):
        choices = _read(home)
        mine = choices.get(profile, {})
        if mine.get(provider, DEFAULT_CONNECTION) == connection:
            return False
        kept = {name: each for name, each in mine.items() if name != provider}
        _write(home, choices | {profile: kept | ({} if connection == DEFAULT_CONNECTION else {provider: connection})})
    return True


def forget(home: Path, profile: str, provider: str | None = None, connections: tuple[str, ...] = ()) -> bool:
    """Take back the choices of a profile, or the one of a provider if it is one of these connections."""
    choices = _read(home) if os.path.lexists(home / FILE_NAME) else {}
    if provider is None:
        if profile not in choices:
            return False
        with locked(home):
            _write(home, {name: each for name, each in _read(home).items() if name != profile})
        return True
    if choices.get(profile, {}).get(provider) not in connections:
        return False
    return choose(home, profile, provider, DEFAULT_CONNECTION)


def _read(home: Path) -> dict[str, dict[str, str]]:
    path = home / FILE_NAME
    try:
        text = read(path).decode(errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except AuthsomeError:
        if not home.is_dir():  # a home that is none has no choices
            return {}
        raise
    found = parse_json(path, text).data
    try:
        return {
            check_name(profile, "profile"): {
                check_name(provider, "provider"): check_name(connection, "connection")
                for provider, connection in choices.items()
            }
            for profile, choices in found.items()
        }
    except (AuthsomeError, AttributeError, TypeError):
        raise AuthsomeError(
            f"{path} does not hold the choices of `authsome set-default`",
            hint=f"rm {path}, then choose again",
            code=ExitCode.INVALID,
        ) from None


def _write(home: Path, choices: Mapping[str, Mapping[str, str]]) -> None:
    path = home / FILE_NAME
    kept = {profile: dict(sorted(each.items())) for profile, each in sorted(choices.items()) if each}
    if kept:
        replace(path, (json.dumps(kept, indent=2) + "\n").encode())
        return
    with file_errors("delete", path, hint=READ_ONLY_HINT):
        path.unlink(missing_ok=True)
