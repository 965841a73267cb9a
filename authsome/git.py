"""Git, asked about a repository that may be the attacker's.

Promises to run nothing that the repository could name, to wait for it no longer than told, and that what git says of a
place is believed only where the place says so itself. Says nothing where there is no git.
"""

import os
import subprocess
from pathlib import Path

SECONDS = 5.0
MANY_SECONDS = 60.0
LISTING_SECONDS = 10.0
"""For a repository of a million files; one with a pipe in the place of `.gitignore` takes all of it."""

# What a repository's own settings could have git run or fetch.
_HARMLESS = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false"),
    *("-c", "protocol.allow=never", "--no-optional-locks", "--no-pager"),
)


def printed(folder: Path, *arguments: str, given: bytes = b"", seconds: float = SECONDS) -> bytes | None:
    """Return what git prints in a folder, or None if it cannot say."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "AUTHSOME_"))}
    try:
        done = subprocess.run(
            ["git", *_HARMLESS, "-C", folder, *arguments],
            env=environ | {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"},
            input=given,
            capture_output=True,
            timeout=seconds,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def top(folder: Path) -> Path | None:
    """Return the top folder of the repository that a folder, without links in its name, lies in.

    NOTE: `core.worktree` in a repository's settings may name any folder; that would then be looked through, and
    written to.
    """
    found = next((each for each in (folder, *folder.parents) if os.path.lexists(each / ".git")), None)
    if found is None:
        return None
    told = printed(found, "rev-parse", "--show-toplevel")
    return found if told is not None and os.fsdecode(told.removesuffix(b"\n")) == str(found) else None


def files(folder: Path) -> list[str] | None:
    """Return the files below a folder that git has or would take, relative to it; None if git cannot say."""
    listed = printed(folder, "ls-files", "-co", "--exclude-standard", "-z", "--", ".", seconds=LISTING_SECONDS)
    # A file in conflict is listed once for each side.
    return None if listed is None else list(dict.fromkeys(os.fsdecode(listed).split("\0")[:-1]))
