"""Git, asked about a folder that may be anybody's.

Promises to run nothing that the repository could name: it may be the attacker's. Refuses to take a secret as an
argument, which the list of processes would show; what is searched for stays in this process.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 5.0
# What a repository's own settings could have git run or fetch.
_HARMLESS = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false"),
    *("-c", "protocol.allow=never", "--no-optional-locks", "--no-pager"),
)


def _environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "AUTHSOME_"))}
    return kept | {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}


def _command(folder: Path, arguments: Sequence[str]) -> list[str | Path]:
    return ["git", *_HARMLESS, "-C", folder, *arguments]


def printed(folder: Path, *arguments: str, given: bytes = b"", seconds: float = _SECONDS) -> bytes | None:
    """Return what git prints, or None if it cannot say."""
    try:
        done = subprocess.run(
            _command(folder, arguments),
            env=_environ(),
            input=given,
            capture_output=True,
            timeout=seconds,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def started(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start git for a conversation: both ways are pipes, and what it complains about is nobody's concern."""
    return subprocess.Popen(
        _command(folder, arguments),
        env=_environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
