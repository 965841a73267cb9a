"""The exact hosts that somebody meant who wrote an expression for them.

Promises to name hosts only where the expression leaves no choice: words, escaped dots, alternatives, optional parts and
sets of letters. Refuses to guess, and to run an expression.
"""

from authsome.provider.names import Host

_MOST = 64
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def hosts_in(expression: str) -> tuple[str, ...]:
    """Return the hosts of an expression, as of `(api|files)[.]example[.]com`; none if it has more than can be told."""
    reader = _Reader(expression)
    try:
        names = reader.alternatives()
        if reader.rest:
            return ()
        return tuple(dict.fromkeys(str(Host.parse(name)) for name in names))
    except ValueError:
        return ()


class _Reader:
    """Reads an expression from left to right; raises `ValueError` at what it cannot name the texts of."""

    def __init__(self, expression: str) -> None:
        self.rest = expression
        self.depth = 0

    def alternatives(self) -> list[str]:
        """Return the texts up to the end of a group or of all."""
        self.depth += 1
        found = self._sequence()
        while self._takes("|"):
            found += self._sequence()
        self.depth -= 1
        return _few(found)

    def _sequence(self) -> list[str]:
        made = [""]
        while self.rest and self.rest[0] not in "|)":
            options = self._atom()
            if self._takes("?"):
                options = [*options, ""]
            made = _few([before + after for before in made for after in options])
        return made

    def _atom(self) -> list[str]:
        if self._takes("("):
            if self.rest.startswith("?") and not self._takes("?:"):
                raise ValueError
            found = self.alternatives() if self.depth < _MOST else []
            if not found or not self._takes(")"):
                raise ValueError
            return found
        if self._takes("["):
            letters, end, self.rest = self.rest.partition("]")
            if not end:
                raise ValueError
            return _few([letter for letter in letters if _plain(letter) and letter != "-"], len(letters))
        if self._takes("^") or self._takes("$"):
            return [""]
        escaped = self._takes("\\")
        letter, self.rest = self.rest[:1], self.rest[1:]
        if not _plain(letter) or (escaped and letter not in ".-"):
            raise ValueError
        return [letter]

    def _takes(self, text: str) -> bool:
        if not self.rest.startswith(text):
            return False
        self.rest = self.rest[len(text) :]
        return True


def _plain(letter: str) -> bool:
    return letter in _PLAIN


def _few(found: list[str], least: int = 0) -> list[str]:
    if not least <= len(found) <= _MOST:
        raise ValueError
    return found
