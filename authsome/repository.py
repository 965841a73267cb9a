"""Where a repository begins and which files are its own.

Promises that what git says of a place is believed only where the place says so itself, and that whoever asks does not
wait for long.
"""

import os
from pathlib import Path

from authsome import git

LISTING_SECONDS = 10.0
"""Enough for a million files; a repository with a pipe in the place of `.gitignore` takes all of it."""


def top(folder: Path) -> Path | None:
    """Return the top folder of the repository that a folder, without links in its name, lies in.

    NOTE: `core.worktree` in a repository's settings may name any folder; that would then be looked through, and
    written to.
    """
    found = next((each for each in (folder, *folder.parents) if os.path.lexists(each / ".git")), None)
    if found is None:
        return None
    told = git.printed(found, "rev-parse", "--show-toplevel")
    return found if told is not None and os.fsdecode(told.removesuffix(b"\n")) == str(found) else None


def files(folder: Path) -> list[str] | None:
    """Return the files below a folder that git has or would take, relative to it; None if git cannot say."""
    listed = git.printed(folder, "ls-files", "-co", "--exclude-standard", "-z", "--", ".", seconds=LISTING_SECONDS)
    # A file in conflict is listed once for each side.
    return None if listed is None else list(dict.fromkeys(os.fsdecode(listed).split("\0")[:-1]))
