"""What somebody gave as a key: whether it can be one, and if not, what it is instead.

Promises that a key which is stored can stand in the header it is meant for, and that a mistake is named: the
placeholder, another provider's key, quotes or a scheme that came along. Refuses to mend anything in silence but white
space at the end.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence

from authsome.errors import AuthsomeError, Doubt, ExitCode
from authsome.provider import PLACEHOLDER, Field, Provider, mentions

CUT, FOREIGN, TWIN, REFUSED = "cut", "foreign", "twin", "refused"
"""What a person may decide: to cut what was pasted along, to store what looks like another provider's key, to hold one
key twice, to store what its provider refuses."""

LONGEST = 8192
"""Characters. Servers take lines of a head up to 8 KiB; and a pattern may need the square of it in steps."""

# Compiled where they are needed: a run that asks for nothing imports this module too.
_ALONG = r"""(?xs)
    (?:export\s+)? (?:[A-Z][A-Z0-9]*_[A-Z0-9_]+\s*=\s*)? (?i:(?:Authorization|x-api-key)\s*:\s*)?
    (?P<outer>["'`]?) (?i:(?:Authorization\s*:\s*)?(?:Bearer|Token|Basic|FlyV1)\s+)? (?P<inner>["'`]?)
    (?P<key>.*?) (?P=inner) (?P=outer) [\s;,]*"""
_LETTERS = "01yzQR"
"""Two of each kind that a key is made of: the letter itself is none that it could be changed to."""


def check(
    provider: Provider,
    given: str,
    field: Field | None = None,
    *,
    others: Callable[[], Iterable[Provider]] = tuple,
    accepted: Collection[str] = (),
) -> str:
    """Return the secret without the white space at its end, or raise (exit code 2) with what is wrong with it.

    Args:
        field: Which of the provider's; its key if left out.
        others: Finds all providers whose keys can be told by their looks; called only if that matters.
        accepted: What the person has decided, of `CUT` and `FOREIGN`.

    Raises `Doubt` for what a person may decide otherwise.
    """
    field = field or provider.key
    secret = given.rstrip()
    wrong = f"This does not look like a valid {provider.display_name} {field.label}."
    if not secret:
        raise AuthsomeError(f"the {field.label} is empty", hint="nothing was stored", code=ExitCode.USAGE)
    if len(secret) > LONGEST:
        raise AuthsomeError(
            wrong, hint=f"it has more than {LONGEST} characters, and no header takes so many", code=ExitCode.USAGE
        )
    if mentions(secret):
        raise AuthsomeError(
            wrong, hint=f"{_stand_in(secret)} is what an agent holds instead of the key", code=ExitCode.USAGE
        )
    if not field.secret:
        return _setting(field, provider.read(field.name, secret), wrong)
    inner = _without(secret)
    if inner != secret and _fits(field, inner) and (field.pattern is None or not _fits(field, secret)):
        if CUT not in accepted:
            raise Doubt(
                CUT, wrong, hint="it has quotes or a word like `Bearer` around it", offer="Store it without them"
            )
        secret = inner
    if field.pattern and not field.pattern.fullmatch(secret):
        found = _elsewhere(provider, field, secret, others)
        raise AuthsomeError(wrong, hint=_named(found, field.hint) if found else field.hint, code=ExitCode.USAGE)
    if not _can_travel(secret):
        # NOTE: it is going to stand in a header; a line break in it would start another one.
        raise AuthsomeError(
            wrong, hint="it contains white space, a line break or a character that no header takes", code=ExitCode.USAGE
        )
    if FOREIGN not in accepted and (found := _elsewhere(provider, field, secret, others)):
        raise Doubt(FOREIGN, wrong, hint=_named(found), offer=f"It is a key of {provider.display_name}, store it")
    return secret


def _stand_in(given: str) -> str:
    return f"`{PLACEHOLDER}`" if PLACEHOLDER in given else "this"


def _setting(field: Field, given: str, wrong: str) -> str:
    """Return a value that is no secret: an account's number, a region."""
    text = given.strip()
    if field.pattern and not field.pattern.fullmatch(text):
        raise AuthsomeError(wrong, hint=field.hint, code=ExitCode.USAGE)
    if not text.isprintable():
        raise AuthsomeError(wrong, hint="it contains a control character", code=ExitCode.USAGE)
    return text


def _named(found: Sequence[Provider], hint: str | None = None) -> str:
    *more, last = (each.display_name for each in found)
    names = f"{', '.join(more)} or {last}" if more else last
    command = "" if more else f": authsome login {found[0].name}"
    said = f"it looks like a key of {names}, which goes elsewhere{command}"
    return f"{hint}\n  {said}" if hint else said


def _can_travel(secret: str) -> bool:
    return secret.isascii() and all(char.isprintable() and not char.isspace() for char in secret)


def _fits(field: Field, secret: str) -> bool:
    return (
        bool(secret) and _can_travel(secret) and (field.pattern is None or field.pattern.fullmatch(secret) is not None)
    )


def _without(secret: str) -> str:
    """Return what is left without a variable, quotes or a scheme that were copied along."""
    found = re.fullmatch(_ALONG, secret)
    return found["key"] if found else secret


def _elsewhere(
    provider: Provider, field: Field, secret: str, others: Callable[[], Iterable[Provider]]
) -> list[Provider]:
    """Return whose key it looks like, if that says more than that it fits here."""
    here = beginning(field, secret) if field.pattern and field.pattern.fullmatch(secret) else 0
    found = owners(secret, (each for each in others() if each.name != provider.name))
    return found if found and beginning(found[0].key, secret) > here else []


TELLING = 3
"""So many letters that every key begins with say whose it is; a pattern of 32 hexadecimal digits says nobody's."""


def owners(secret: str, known: Iterable[Provider]) -> list[Provider]:
    """Return whose key it looks like: mostly one's, several's if they cannot be told apart.

    The pattern of one provider may fit the keys of another one (`sk-…` those that begin with `sk-ant-`); the longer
    beginning knows better.
    """
    fitting = [each for each in known if (pattern := each.key.pattern) and pattern.fullmatch(secret)]
    lengths = [beginning(each.key, secret) for each in fitting]
    longest = max(lengths, default=0)
    if longest < TELLING or secret.startswith("eyJ"):  # every JWT begins like this (RFC 7519), whoever made it
        return []
    return [each for each, length in zip(fitting, lengths, strict=True) if length == longest]


def beginning(field: Field, secret: str) -> int:
    """Return how many letters at the start of a secret that fits the field's pattern are the pattern's own.

    Found by changing them one by one: a letter that can be another one is the key's.
    """
    for place, letter in enumerate(secret):
        changed = (f"{secret[:place]}{other}{secret[place + 1 :]}" for other in _LETTERS if other != letter)
        if field.pattern is None or any(map(field.pattern.fullmatch, changed)):
            return place
    return len(secret)
