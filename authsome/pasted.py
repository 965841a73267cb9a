"""What somebody gave as a key: whether it can be one, and if not, what it is instead.

Promises that a key which is stored can stand in the header it is meant for, and that a mistake is named: the
placeholder, another provider's key, quotes or a scheme that came along. Refuses to mend anything in silence but white
space at the end.
"""

import re
from collections.abc import Callable, Collection, Iterable

from authsome.errors import AuthsomeError, Doubt, ExitCode
from authsome.provider import PLACEHOLDER, Field, Provider

CUT, FOREIGN = "cut", "foreign"
"""What a person may decide: to cut what was pasted along, to store what looks like another provider's key."""

# Compiled where they are needed: a run that asks for nothing imports this module too.
_SPECIAL = r"[\\.^$*+?{}\[\]()|]"
_ALONG = r"""(?xs)
    (?:export\s+)? (?:[A-Z][A-Z0-9]*_[A-Z0-9_]+\s*=\s*)? (?i:(?:Authorization|x-api-key)\s*:\s*)?
    (?P<outer>["'`]?) (?i:(?:Authorization\s*:\s*)?(?:Bearer|Token|Basic)\s+)? (?P<inner>["'`]?)
    (?P<key>.*?) (?P=inner) (?P=outer) [\s;,]*"""


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
        field: Which of the provider's; its first one if left out.
        others: Finds all providers whose keys can be told by their looks; called only if that matters.
        accepted: What the person has decided, of `CUT` and `FOREIGN`.

    Raises `Doubt` for what a person may decide otherwise.
    """
    field = field or provider.fields[0]
    secret = given.rstrip()
    wrong = f"This does not look like a valid {provider.display_name} {field.label}."
    if not secret:
        raise AuthsomeError(f"the {field.label} is empty", hint="nothing was stored", code=ExitCode.USAGE)
    if PLACEHOLDER in secret:
        raise AuthsomeError(
            wrong, hint=f"`{PLACEHOLDER}` is what an agent holds instead of the key", code=ExitCode.USAGE
        )
    inner = _without(secret)
    if inner != secret and _fits(field, inner) and (field.pattern is None or not _fits(field, secret)):
        if CUT not in accepted:
            raise Doubt(
                CUT, wrong, hint="it has quotes or a word like `Bearer` around it", offer="Store it without them"
            )
        secret = inner
    if field.pattern and not field.pattern.fullmatch(secret):
        owner = _owner(provider, field, secret, others)
        raise AuthsomeError(wrong, hint=field.hint if owner is None else _named(owner, field.hint), code=ExitCode.USAGE)
    if not _can_travel(secret):
        # NOTE: it is going to stand in a header; a line break in it would start another one.
        raise AuthsomeError(
            wrong, hint="it contains white space, a line break or a character that no header takes", code=ExitCode.USAGE
        )
    if FOREIGN not in accepted and (owner := _owner(provider, field, secret, others)):
        raise Doubt(FOREIGN, wrong, hint=_named(owner), offer=f"It is a key of {provider.display_name}, store it")
    return secret


def _named(owner: Provider, hint: str | None = None) -> str:
    said = f"it looks like a key of {owner.display_name}, which goes elsewhere: authsome login {owner.name}"
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


def _owner(provider: Provider, field: Field, secret: str, others: Callable[[], Iterable[Provider]]) -> Provider | None:
    """Return whose key it looks like, if that says more than that it fits here.

    The pattern of one provider may fit the keys of another one (`sk-…` those that begin with `sk-ant-`); the longer
    beginning knows better.
    """
    here = beginning(field) if field.pattern and field.pattern.fullmatch(secret) else ""
    found = [
        (len(beginning(each.fields[0])), each)
        for each in others()
        if each.name != provider.name and (pattern := each.fields[0].pattern) and pattern.fullmatch(secret)
    ]
    if field.pattern and field.pattern.fullmatch(secret):
        found = [(length, each) for length, each in found if length > len(here)]
    return max(found, key=lambda one: one[0])[1] if found else None


def beginning(field: Field) -> str:
    """Return the letters that every key of a pattern begins with."""
    text = field.pattern.pattern.removeprefix("^") if field.pattern else ""
    special = re.search(_SPECIAL, text)
    if special is None:
        return text
    end = special.start()
    # A letter that may be missing or repeated is none that every key has.
    return text[: end - 1] if special[0] in "*?{" else text[:end]
