"""The smallest `allow` that permits what was used.

Promises that every request it was shown fits one of the lines it returns. Refuses to widen on a client's word: a path
in which the client wrote a `*` widens within that segment only, what was refused is not proposed, and what `allow`
could never permit is named instead.
"""

import re
from collections.abc import Callable, Iterable
from itertools import groupby

from authsome.manifest import Allowed
from authsome.provider import DEFAULT_CONNECTION, PLACEHOLDER, Host, Placement, matches
from authsome.rules import Inject, Request, Rule, Rules, Use

SIBLINGS = 5
"""As many different words in one place stay words; more become `*`."""

DEPTHS = 4
"""Lines that differ in as many depths below a `*` become one with `**`."""

_IDENTIFIERS = re.compile(
    r"\d+"
    r"|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"
    r"|(?=[a-f]*\d)[0-9a-f]{7,}"
    r"|[0-9a-f]{16,}"
    r"|[a-z]{1,16}[_-](?=[a-z]*\d)[0-9a-z]{16,}",  # `msg_01XFDUDYJgAACzvnptvVoYEL`
    re.IGNORECASE,
)

_METHOD = re.compile(r"[A-Z]+")
_HOST = Host("any.example")
_EVERYTHING = Rules(
    (
        Rule(
            "any",
            DEFAULT_CONNECTION,
            (Placement((), frozenset({_HOST})),),
            allow=(Allowed("*", "/**"),),
        ),
    )
)

type _Path = tuple[str, ...]


def suggest(uses: Iterable[Use]) -> dict[str, tuple[str, ...]]:
    """Return connection → lines for its `allow`, sorted."""
    used: dict[str, dict[str, set[_Path]]] = {}
    for connection, method, path in _permitted(uses, permissible):
        used.setdefault(connection, {}).setdefault(method, set()).add(_general(path))
    return {connection: tuple(map(str, _lines(methods))) for connection, methods in sorted(used.items())}


def _lines(methods: dict[str, set[_Path]]) -> Iterable[Allowed]:
    for method, paths in sorted(methods.items()):
        patterns = {"/".join(path) for path in _merged(paths)}
        yield from (Allowed(method, pattern) for pattern in sorted(patterns) if not _covered(pattern, patterns))


def beyond(uses: Iterable[Use]) -> dict[str, tuple[str, ...]]:
    """Return connection → requests that were let through and that no `allow` can permit, sorted."""
    found: dict[str, list[str]] = {}
    for connection, method, path in sorted(_permitted(uses, lambda use: not permissible(use))):
        found.setdefault(connection, []).append(f"{method} {path}")
    return {connection: tuple(requests) for connection, requests in found.items()}


def _permitted(uses: Iterable[Use], fits: Callable[[Use], bool]) -> set[tuple[str, str, str]]:
    """Return connection, method and path of what was let through and fits."""
    once = {
        (use.connection, use.method, use.path): use
        for use in uses
        if use.connection and use.decision in ("inject", "pass")
    }
    return {(connection, method, path) for (connection, method, path), use in once.items() if connection and fits(use)}


def permissible(use: Use) -> bool:
    """Whether an `allow` line can permit exactly this request.

    It cannot where the path could be read in two ways, was cut when it was logged, or the method is not a plain word:
    NOTE: `*` is one that HTTP permits and that would permit every other.
    """
    if not _METHOD.fullmatch(use.method) or use.path.endswith("…"):
        return False
    path = use.path.replace(PLACEHOLDER, "placeholder")
    asked = Request(_HOST, _HOST.name, (_HOST.name,), use.method, path, ())
    return isinstance(_EVERYTHING.decide(asked), Inject)


def _general(path: str) -> _Path:
    """Return a path with `*` where an identifier stands."""
    return tuple("*" if "*" in word or _IDENTIFIERS.fullmatch(word) else word for word in path.split("/"))


def _covered(path: str, others: set[str]) -> bool:
    """Whether another pattern permits all that this one does."""
    return any(matches(other, path) and ("**" not in path or "**" in other) for other in others - {path})


def _merged(paths: Iterable[_Path]) -> set[_Path]:
    """Return paths with `*` wherever more than a few words stand side by side, from the left to the right."""
    found: set[_Path] = set()
    ended = {path for path in paths if not path}
    rest = sorted(path for path in paths if path)
    words = {path[0] for path in rest}
    groups: dict[str, set[_Path]]
    if len(words) > SIBLINGS:
        groups = {"*": {path[1:] for path in rest}}
    else:
        groups = {word: {path[1:] for path in same} for word, same in groupby(rest, key=lambda path: path[0])}
    for word, tails in groups.items():
        below = _merged(tails)
        if word == "*" and len({len(path) for path in below if path}) >= DEPTHS:
            below = {("**",), *(path for path in below if not path)}
        found |= {(word, *path) for path in below}
    return found | ended
