"""Who brought a file, as git tells it.

Promises to run nothing that the repository could name: it may be the attacker's. Says nothing where there is no git.
"""

import os
import subprocess
from pathlib import Path

_SECONDS = 5.0
# What a repository's own settings could have git run or fetch.
_HARMLESS = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false"),
    *("-c", "protocol.allow=never", "--no-optional-locks", "--no-pager"),
)


def told(path: Path) -> str:
    """Return `, brought by commit …` for a file under version control, for a profile's folder that of its keyring."""
    file = path / "keyring.age" if path.is_dir() else path
    # NOTE: `git status` would put a changed file through whatever filter the repository names.
    now = _git(file, "hash-object", "--no-filters", "--", file.name)
    if now is None or _git(file, "rev-parse", "--is-inside-work-tree") != "true":
        return ""
    if now != _git(file, "rev-parse", "--verify", "--quiet", f"HEAD:./{file.name}"):
        return ", changed since the last commit"
    commit = _git(file, "log", "-1", "--format=%h of %as by %an: %s", "--no-show-signature", "--", file.name)
    return f", brought by commit {commit.splitlines()[0]}" if commit else ""


def _git(path: Path, *arguments: str) -> str | None:
    """Return what git prints, or None if it cannot say."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "AUTHSOME_"))}
    try:
        done = subprocess.run(
            ["git", *_HARMLESS, "-C", path.parent, *arguments],
            env=environ | {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()
