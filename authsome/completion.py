"""What a shell may offer for the next word of a command line.

Promises to be pure and to have no opinion on mistakes: a command line that makes no sense gets no offers. Names that
are not the program's own (providers, connections, profiles) come from whoever asks. Refuses to offer a name that a
shell could read as anything but a word.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

_PLAIN = re.compile(r"[A-Za-z0-9_=./-]+")


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        names: As they are typed, the long one first.
        kind: What its value is, by the parameter's name; None for one without a value.
    """

    names: tuple[str, ...]
    kind: str | None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A command, or a group of them.

    Attributes:
        arguments: What each is, by the parameter's name.
        endless: The last argument can be repeated.
        starts: What follows is another program's command line.
    """

    name: str
    summary: str = ""
    commands: Mapping[str, "Command"] = field(default_factory=dict)
    options: tuple[Option, ...] = ()
    arguments: tuple[str, ...] = ()
    endless: bool = False
    starts: bool = False


class How(StrEnum):
    """What kind of word comes next."""

    NAMES = "names"
    FILES = "files"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Offer:
    """What can come next.

    Attributes:
        names: Name and summary of each.
        start: Where the other program's command line starts, as the number of a word.
    """

    how: How = How.NAMES
    names: tuple[tuple[str, str], ...] = ()
    start: int = 0

    def __str__(self) -> str:
        head = f"{self.how} {self.start}" if self.how is How.COMMAND else str(self.how)
        return "".join(f"{line}\n" for line in (head, *(f"{name}\t{text}".rstrip() for name, text in self.names)))


@dataclass(slots=True)
class Typed:
    """What was typed before the word.

    Attributes:
        path: The commands, outermost first.
        values: Arguments and options by the parameter's name.
    """

    path: list[str] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)


type Known = Callable[[str, Typed], Iterable[tuple[str, str]] | None]
"""Returns the names there are of a kind, with a summary each; None where a file is meant or anything."""


def split_by_bash(words: Sequence[str], place: int) -> tuple[list[str], int]:
    """Return words and place as the other shells give them: bash takes `--option=value` for three words."""
    joined: list[str] = []
    moved = place
    for number, word in enumerate(words[: place + 1]):
        glued = joined and ((word == "=" and joined[-1].startswith("--")) or joined[-1].endswith("="))
        if glued and number <= place:
            joined[-1] += word
            moved -= 1
        else:
            joined.append(word)
    return joined, moved


@dataclass(slots=True)
class _Reading:
    """How far a command line was read.

    Attributes:
        waiting: The option whose value comes next.
        options: No `--` has come yet.
        started: Where another program's command line has started.
        lost: What was typed makes no sense.
    """

    root: Command
    command: Command
    typed: Typed = field(default_factory=Typed)
    waiting: Option | None = None
    options: bool = True
    started: int | None = None
    lost: bool = False

    def read(self, number: int, word: str) -> None:
        """Take the next word."""
        if self.waiting and self.waiting.kind:
            self.typed.values[self.waiting.kind] = [word]
            self.waiting = None
        elif self.options and word == "--":
            self.options = False
        elif self.options and word.startswith("-"):
            self._option(word)
        elif self.command.starts:
            self.started = number
        elif self.command.commands:
            self.lost = word not in self.command.commands
            self.command = self.command.commands.get(word, self.command)
            self.typed.path.append(word)
        elif argument := _argument(self.command, self.typed):
            self.typed.values.setdefault(argument, []).append(word)
        else:
            self.lost = True

    def _option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        found = _option(self.root, self.command, name)
        if found and found.kind and equals:
            self.typed.values[found.kind] = [value]
        elif found and found.kind:
            self.waiting = found


def offer(root: Command, words: Sequence[str], place: int, known: Known) -> Offer:
    """Return what can stand at a place of a command line, whose first word is the program."""
    if not 0 < place <= len(words):
        return Offer()
    so_far = _Reading(root, root)
    for number, each in enumerate(words[1:place], 1):
        so_far.read(number, each)
        if so_far.lost:
            return Offer()
        if so_far.started is not None:
            return Offer(How.COMMAND, start=so_far.started)
    return _next(so_far, words[place] if place < len(words) else "", place, known)


def _next(so_far: _Reading, word: str, place: int, known: Known) -> Offer:
    """Return what fits the word at a place, after what was read."""
    command, typed = so_far.command, so_far.typed
    if so_far.waiting:
        return _named(so_far.waiting.kind or "", word, typed, known)
    if so_far.options and word.startswith("-"):
        return _of_options(so_far.root, command, word, typed, known)
    if command.starts:
        return Offer(How.COMMAND, start=place)
    if command.commands:
        return _fitting(((each.name, each.summary) for each in command.commands.values()), word)
    following = _argument(command, typed)
    return _named(following, word, typed, known) if following else Offer()


def _option(root: Command, command: Command, name: str) -> Option | None:
    return next((each for each in (*command.options, *root.options) if name in each.names), None)


def _argument(command: Command, typed: Typed) -> str | None:
    """Return which argument comes next."""
    for name in command.arguments:
        if name not in typed.values:
            return name
    return command.arguments[-1] if command.endless else None


def _of_options(root: Command, command: Command, word: str, typed: Typed, known: Known) -> Offer:
    name, equals, value = word.partition("=")
    if equals:
        found = _option(root, command, name)
        inside = _named(found.kind, value, typed, known) if found and found.kind else Offer()
        return Offer(inside.how, tuple((f"{name}={each}", text) for each, text in inside.names))
    return _fitting(((name, each.summary) for each in command.options for name in each.names), word)


def _named(kind: str, word: str, typed: Typed, known: Known) -> Offer:
    names = known(kind, typed)
    return Offer(How.FILES) if names is None else _fitting(names, word)


def _fitting(names: Iterable[tuple[str, str]], word: str) -> Offer:
    fitting = ((name, text) for name, text in names if name.startswith(word) and _PLAIN.fullmatch(name))
    return Offer(How.NAMES, tuple((name, " ".join(text.split())) for name, text in fitting))
