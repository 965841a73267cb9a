"""What a format says of a value that it cannot carry. Promises to name the variable, refuses to hold the value."""


class UnfitError(Exception):
    """A value would arrive changed.

    Attributes:
        name: The variable.
        reason: The end of the sentence "the value of NAME …".
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason


_LONGEST = 128 * 1024
"""Octets of `NAME=value` and its NUL that Linux gives to a program (execve(2), MAX_ARG_STRLEN)."""


def startable(name: str, value: str) -> None:
    """Raise if a process cannot have the variable in its environment."""
    if "\0" in value:
        raise UnfitError(name, "contains a NUL byte, which no environment can hold")
    if len(name) + len(value.encode()) + 2 > _LONGEST:
        raise UnfitError(name, "is longer than 128 KiB: no program could be started with it in its environment")
