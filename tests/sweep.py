"""Where a command is cut short: after its first call, after its second, and so on."""

import os


def points(end: int, every: int = 3) -> range:
    """Return every third call up to the last; every single one with `AUTHSOME_SWEEP=all`, which takes a while."""
    return range(1, end, 1 if os.environ.get("AUTHSOME_SWEEP") == "all" else every)
