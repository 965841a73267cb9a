"""How many of many cases are tried: some of them every time, and all when it is asked for, which takes a while."""

import os


def points(end: int, every: int = 3) -> range:
    """Return where a command is cut short: after every third call up to the last; `AUTHSOME_SWEEP=all` takes each."""
    return range(1, end, 1 if os.environ.get("AUTHSOME_SWEEP") == "all" else every)


def examples(most: int, usually: int = 100) -> int:
    """Return how many examples of a property are made; `AUTHSOME_EXAMPLES=all` makes the most."""
    return most if os.environ.get("AUTHSOME_EXAMPLES") == "all" else usually
