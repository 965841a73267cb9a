"""The command line of `run`, read without the library that reads all others: to import that takes a third of a start.

Promises to read what `frame` would read, in the same way, or nothing at all. Refuses to judge: a mistake, an option it
does not know and a call for help are left to `frame`, which explains them.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from authsome.cli.voice import Settings

_SETTINGS = {f"--{each.name.replace('_', '-')}": each.name for each in fields(Settings)} | {"-q": "quiet"}
_OF_RUN = {"--summary": "summary", "--fake": "fake", "--fake-from": "fake_from"} | {
    "--browser": "browser",
    "--terminal": "terminal",
}
OPTIONS = {**_SETTINGS, **_OF_RUN}
"""Everything that `run` can be told: option → argument."""

TAKES_TEXT = frozenset({"--profile", "--file", "--identity", "--fake-from"})
"""Those that take the next word."""


type Asked = tuple[Settings, list[str], dict[str, Any]]
"""The arguments of `agent.run`: settings, command, and by name what else was said."""


def read(words: list[str]) -> Asked | None:
    """Return what the words after the program's name ask for; None unless that is a `run` without a mistake."""
    before = _options(words, _SETTINGS)
    if before is None or before[1][:1] != ["run"]:
        return None
    after = _options(before[1][1:], OPTIONS)
    if after is None:
        return None
    found, rest = after
    command = rest[1:] if rest[:1] == ["--"] else rest
    if not command:
        return None
    own = {name: value for name, value in found.items() if name in _OF_RUN.values()}
    shared = before[0] | {name: value for name, value in found.items() if name not in own}
    return replace(Settings(), **shared), command, own


def _options(words: list[str], known: Mapping[str, str]) -> tuple[dict[str, Any], list[str]] | None:
    """Return the options that words begin with, and the words from the first that is none; None if one is unknown."""
    found: dict[str, Any] = {}
    place = 0
    while place < len(words) and words[place].startswith("-") and words[place] != "--":
        option, equals, text = words[place].partition("=")
        if option not in known or (equals and option not in TAKES_TEXT):
            return None
        place += 1
        if option not in TAKES_TEXT:
            found[known[option]] = True
            continue
        if not equals:
            text = words[place] if place < len(words) else "-"
            place += 1
        if text.startswith("-"):  # left out, as it seems
            return None
        found[known[option]] = text
    return found, words[place:]
