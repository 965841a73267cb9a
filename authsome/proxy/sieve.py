"""Which of many patterns may occur in some octets, told in one pass over them.

Promises that a pattern which occurs is named, whatever surrounds it; that it takes about as long for a hundred patterns
as for one; and that a pattern is named once, however often it occurs, so that nobody can make it slow. Says nothing of
where: whoever asks looks again, for the few that were named.
"""

from collections.abc import Iterable

import hyperscan

_LAST = 8
"""Octets of a word that are looked for: of a key they are random, unlike its first. More takes longer."""


class Sieve:
    """Patterns made ready to be looked for. One thread at a time may ask."""

    __slots__ = ("_database",)

    def __init__(self, patterns: Iterable[bytes]) -> None:
        expressions = list(patterns)
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=expressions,
            ids=list(range(len(expressions))),
            flags=[hyperscan.HS_FLAG_SINGLEMATCH] * len(expressions),
        )

    @classmethod
    def of(cls, words: Iterable[bytes]) -> "Sieve":
        """Look for words. One is also named where no more of it occurs than its last eight octets."""
        return cls(b"".join(b"\\x%02x" % octet for octet in word[-_LAST:]) for word in words)

    def named(self, data: bytes) -> list[int]:
        """Return the patterns that occur, each by its place among those that were given."""
        seen: list[int] = []
        self._database.scan(data, lambda pattern, *_: seen.append(pattern))
        return seen
