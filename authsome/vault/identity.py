"""Where this user's identity is.

Promises that on failure every place that was looked at is named. Refuses a file that others can read.
"""

from collections.abc import Mapping
from pathlib import Path

from authsome.errors import AuthsomeError, ExitCode
from authsome.vault.age import Identity
from authsome.vault.files import make_folder, publish_new


def find_home(environ: Mapping[str, str]) -> Path:
    """Return the folder that holds profiles, identity and the user's own definitions."""
    given = environ.get("AUTHSOME_HOME")
    return Path(given).expanduser().absolute() if given else Path.home() / ".authsome"


def find_identity(home: Path, environ: Mapping[str, str], *, create: bool = False) -> Identity:
    """Return this user's identity: from the environment, a file it names, or `<home>/identity.txt`.

    With `create` a missing `identity.txt` is made. Raises (exit code 4) with every place that was tried.
    """
    if key := environ.get("AUTHSOME_IDENTITY"):
        return Identity.parse(key, "AUTHSOME_IDENTITY")
    if named := environ.get("AUTHSOME_IDENTITY_FILE"):
        return Identity.parse(_read_identity(Path(named).expanduser()), named)
    path = home / "identity.txt"
    if create and not path.exists():
        make_folder(home / "providers")  # where `inspect NAME > …` puts definitions of one's own
        publish_new(path, Identity.generate(str(path)).file_text().encode())
    if not path.exists():
        raise AuthsomeError(
            "no identity to open the vault with: AUTHSOME_IDENTITY and AUTHSOME_IDENTITY_FILE are not set, "
            f"{path} does not exist",
            hint="in CI set AUTHSOME_IDENTITY to the key; on your machine `authsome login PROVIDER` makes one",
            code=ExitCode.LOCKED,
        )
    text = _read_identity(path)
    if path.stat().st_mode & 0o077:
        raise AuthsomeError(f"others can read {path}", hint=f"chmod 600 {path}", code=ExitCode.LOCKED)
    return Identity.parse(text, str(path))


def _read_identity(path: Path) -> str:
    """Return an identity file's text. Unlike a vault's file it may be a link or a pipe, as secret stores mount it."""
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode(errors="replace")
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise AuthsomeError(f"cannot read the identity {path}: {reason}", code=ExitCode.LOCKED) from error
