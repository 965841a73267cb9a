"""What the kernel can withhold from the child.

Promises to say which level it reached, and no more than it reached. Refuses, with `isolation: require`, to start a
child that it cannot keep away from the vault.

So far it withholds this process: its memory, its environment and its open files (`/proc/<pid>/mem`, `environ`, `fd`,
ptrace) from other processes of the same user. It does not withhold files; SECURITY.md says what follows.
"""

import os
import sys
from enum import StrEnum
from functools import cache

from authsome.errors import AuthsomeError, ExitCode

_PR_SET_DUMPABLE = 4  # prctl(2)


class Level(StrEnum):
    """What is out of the child's reach."""

    NOTHING = "nothing"
    MEMORY = "this process's memory"


@cache
def withhold() -> Level:
    """Make this process unreadable for others of the same user; the child's own `exec` lifts it for the child."""
    if sys.platform != "linux":
        return Level.NOTHING
    import ctypes  # noqa: PLC0415  the standard library has no prctl

    done = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
    return Level.MEMORY if done and os.geteuid() != 0 else Level.NOTHING  # root may read every process


def require(wanted: str) -> None:
    """Refuse what the manifest's `isolation` asks for and cannot have."""
    if wanted == "require":
        raise AuthsomeError(
            "`isolation: require` cannot be met: this version does not keep the vault's files from the child",
            hint="use `isolation: auto`, or run the agent as another user",
            code=ExitCode.UNTRUSTED,
        )
