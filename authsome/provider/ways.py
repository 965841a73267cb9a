"""In how many ways a regular expression can read one text, where that decides how long a refusal takes.

Promises an upper bound: with `n` repetitions of a letter that can all be shared between `k` of its parts, Python's
`re` needs some `n ** k` steps to find out that nothing fits. Reads the expression by its letters alone, and takes a
group that is repeated for one letter that can be any of those inside; so it may see more ways than there are.
"""

import re
from dataclasses import dataclass, replace
from warnings import catch_warnings

_OPENING = re.compile(r"\((?:\?(?:P<\w+>|<?[=!]|[aiLmsux-]*:|[aiLmsux]+(?=\))))?")
_BACK = re.compile(r"\(\?P=\w+\)|\\[1-9][0-9]?")
_ATOM = re.compile(
    r"""(?xs)
    \\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|0[0-7]{0,2}|N\{[^}]*\}|.)
    |\[\^?\]?(?:\\.|[^\]\\])*\]
    |[^()|]"""
)
_QUANTIFIER = re.compile(r"([*+?]|\{[0-9]*(?:,[0-9]*)?\})[?+]?")
_FEW = 64
"""So much more or less is no repetition to speak of."""
_LONG = 2048
_LETTERS = frozenset(map(chr, range(32, 127)))


@dataclass(frozen=True, slots=True)
class _Part:
    """How a part reads a row of one letter.

    Attributes:
        best: The most repetitions that can share the row anywhere inside.
        first: The most that can from its beginning on.
        last: The most that can up to its end.
        through: How many there are if the row goes through all of it; None if it cannot.
        inside: Whether the letter is accepted anywhere inside.
    """

    best: int = 0
    first: int = 0
    last: int = 0
    through: int | None = 0
    inside: bool = False

    def then(self, other: "_Part") -> "_Part":
        """Return this part with another one after it."""
        goes_on = self.through is not None
        return _Part(
            max(self.best, other.best, self.last + other.first),
            max(self.first, (self.through or 0) + other.first) if goes_on else self.first,
            max(other.last, other.through + self.last) if other.through is not None else other.last,
            (self.through or 0) + other.through if goes_on and other.through is not None else None,
            self.inside or other.inside,
        )

    def either(self, other: "_Part") -> "_Part":
        """Return the choice between this part and another one."""
        through = max((each for each in (self.through, other.through) if each is not None), default=None)
        first, last = max(self.first, other.first), max(self.last, other.last)
        return _Part(max(self.best, other.best), first, last, through, self.inside or other.inside)

    def repeated(self, quantifier: str) -> "_Part":
        """Return this part with what stands behind it."""
        least, most = _bounds(quantifier)
        found = self
        if self.inside and most - least > _FEW:
            found = _Part(max(self.best, 1), max(self.first, 1), max(self.last, 1), max(self.through or 0, 1), True)
        return replace(found, through=found.through or 0) if least == 0 else found


_SHARED = 2
"""So many repetitions that can share letters take a second for the longest key; with one more it is hours."""


def pattern(text: str | None, where: str, *, ours: bool = False) -> re.Pattern[str] | None:
    """Return the expression of a definition's key; raise `ValueError` for one that may take for ever.

    Args:
        ours: Whether it comes with the program, whose tests have counted its ways.
    """
    if text is None:
        return None
    try:
        with catch_warnings(action="ignore"):  # Python's, about what it may read in another way one day
            found = re.compile(text)
            shared = 0 if ours else most(text)
    except re.error as error:
        raise ValueError(f"`{where}` is not a regular expression: {error.msg}") from error
    except (OverflowError, RecursionError):
        raise ValueError(f"`{where}` is too large a regular expression") from None
    if not ours and _repeats_repetition(text):
        raise ValueError(
            f"`{where}` repeats a group that repeats something or has alternatives: "
            "to find out that a key does not match could take for ever"
        )
    if shared > _SHARED:
        raise ValueError(
            f"`{where}` can divide the same letters between {shared} repetitions: "
            "to find out that a key does not match could take for ever"
        )
    return found


def _repeats_repetition(text: str) -> bool:
    """Whether a regular expression has the form whose steps double with every letter: `(a+)+`, `(a|a)*`.

    A number of times that is always the same, as in `(-[0-9]+){3}`, is none.
    """
    varied = [False]  # for each group that is open, whether its inside can match in several ways
    closed = False  # whether the part before was a group of which that holds
    before = ""
    for part in _PART.findall(text):
        repeats = part in "*+" or ("," in part and part[0] == "{")
        optional = part == "?" and before[:1] not in ("(", "*", "+", "?", "{")
        if repeats and closed:
            return True
        closed = False
        if part == "(":
            varied.append(False)
        elif part == ")" and len(varied) > 1:
            closed = varied.pop()
            varied[-1] |= closed
        elif repeats or optional or part == "|":
            varied[-1] = True
        before = part
    return False


_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{[0-9]*(?:,[0-9]*)?\}|.", re.DOTALL)


def most(text: str) -> int:
    """Return how many repetitions of an expression, which compiles, can share a row of one letter; 2 if so few."""
    repetitions = sum(_bounds(each[1])[1] > _FEW for each in _QUANTIFIER.finditer(text))
    if repetitions <= 2 or len(text) > _LONG or re.search(r"\(\?[a-zA-Z]*x", text):  # noqa: PLR2004  as it says
        return max(repetitions, 2)
    flags = re.DOTALL | (re.IGNORECASE if re.search(r"\(\?[a-zA-Z]*i", text) else re.NOFLAG)
    return max(2, *(_read(text, 0, letter, flags)[0].best for letter in {*_LETTERS, *text}))


def _read(text: str, place: int, letter: str, flags: re.RegexFlag) -> tuple[_Part, int]:
    """Return how a row of a letter is read from a place on, up to the end of the group, and where that is."""
    choices, found = None, _Part()
    while place < len(text) and text[place] != ")":
        if text[place] == "|":
            choices, found, place = (choices.either(found) if choices else found), _Part(), place + 1
            continue
        if back := _BACK.match(text, place):
            part, place = _Part(1, 1, 1, 1, inside=True), back.end()
        elif opening := _OPENING.match(text, place):
            part, place = _read(text, opening.end(), letter, flags)
            part, place = (part.repeated("?") if opening[0][-1] in "=!" else part), place + 1
        elif atom := _ATOM.match(text, place):
            part, place = _single(atom[0], letter, flags), atom.end()
        else:  # as `re` has compiled it, there is none
            return _Part(best=len(text)), len(text)
        if quantifier := _QUANTIFIER.match(text, place):
            part, place = part.repeated(quantifier[1]), quantifier.end()
        found = found.then(part)
    return (choices.either(found) if choices else found), place


def _single(atom: str, letter: str, flags: re.RegexFlag) -> _Part:
    if atom in ("^", "$") or atom in (r"\A", r"\b", r"\B", r"\Z"):
        return _Part()
    plain = len(atom) == 1 and atom not in ".{" and not flags & re.IGNORECASE
    accepted = atom == letter if plain else re.fullmatch(atom, letter, flags) is not None
    return _Part(inside=True) if accepted else _Part(through=None)


def _bounds(quantifier: str) -> tuple[int, int]:
    """Return how often at least and at most."""
    without_end = 1 << 16
    if quantifier in "*+?":
        return int(quantifier == "+"), 1 if quantifier == "?" else without_end
    least, comma, highest = quantifier.strip("{}").partition(",")
    return int(least or 0), int(highest or without_end) if comma else int(least or 0)
