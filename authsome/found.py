"""Keys that are found somewhere: in a file, in the environment, in what a program prints; and whose they are.

Promises that a key goes to the provider that its variable's name or its own beginning names, and that what one says
against the other is left for a person to decide. Refuses to guess: what neither tells is nobody's, a value that only
stands for a key is none, and nothing is said of a value but the name of its variable.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from authsome import envfile, pasted
from authsome.errors import AuthsomeError, ExitCode, did_you_mean
from authsome.manifest import full_name
from authsome.provider import DEFAULT_CONNECTION, Provider, mentions

ENVIRONMENT = "the environment"
"""What the source of its variables is called."""

_PLAIN_NAME = re.compile(r"(?=.{1,64}$)([A-Z_][A-Z0-9_]*|[a-z_][a-z0-9_]*)")
_NO_WORD = re.compile(r"(?=.*[0-9])[A-Za-z0-9]{16,}")
_SHORTEST = 16
"""A shorter value is nobody's key by its looks."""
_DISTINCT = 4
"""So many letters of one provider alone outweigh a variable's name; `sk-` begins the keys of many."""
_REFERENCE = re.compile(r"\$\{?[A-Za-z_(].*|.*\$\{.*|op://.*", re.DOTALL)
# The `==` at the end of a value in base64 assigns nothing.
_ASSIGNS = re.compile(
    r"^\ufeff?[^\S\r\n]*(?:export\s+)?'?(?:[A-Za-z_]\w*'?[^\S\r\n]*=(?!=*\s*\Z)|[A-Z]+_[A-Z0-9_]+=\s*$)", re.MULTILINE
)
_EXAMPLE = re.compile(
    r"(?i)<.*>|[.x*]+|(?:your|insert|enter|replace|change|paste|put)(?:[-_ ].*|me)|.{0,12}?([.x*0])\1{7,}", re.DOTALL
)


class Form(StrEnum):
    """How keys are written."""

    AUTO = "auto"
    DOTENV = "dotenv"
    JSON = "json"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value that may be a key.

    Attributes:
        name: Its variable; None for a value that stands alone.
        value: Secret.
        source: Where it was found, in words.
        number: The line, where there are lines.
        index: Its place among the lines of a file whose values can be replaced.
        wrong: Why it cannot be a key, as the end of a sentence.
        later: The line that gives the same variable another value, which is the one that readers take.
    """

    name: str | None
    value: str = field(repr=False)
    source: str
    number: int | None = None
    index: int | None = None
    wrong: str | None = None
    later: int | None = None

    @property
    def shown(self) -> str:
        """What to call it. NOTE: what stands where a name should be may be a key that somebody pasted."""
        if self.name is None:
            return "the value"
        if _PLAIN_NAME.fullmatch(self.name) and not _NO_WORD.fullmatch(self.name):
            return self.name
        return "a name that is no variable's" if self.number is None else f"line {self.number}"


def read(text: str, form: Form, source: str, *, alone: bool = False) -> list[Candidate]:
    """Return what a text gives, or raise (exit code 2) if it does not have that form.

    Args:
        alone: Whether it may be one value without a name, where the form is to be found out.
    """
    if form is Form.AUTO:
        form = _form(text)
        form = Form.DOTENV if form is Form.VALUE and not alone else form
    if form is Form.JSON:
        return list(_from_json(text.removeprefix("\ufeff"), source))
    if form is Form.VALUE:
        return [Candidate(None, text.strip(), source, wrong="several lines" if "\n" in text.strip() else None)]
    return _from_dotenv(text, source)


def _form(text: str) -> Form:
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return Form.JSON
    assigns = _ASSIGNS.search(text)
    return Form.DOTENV if assigns else Form.VALUE


def _from_dotenv(text: str, source: str) -> list[Candidate]:
    lines = envfile.parse(text)
    last = {each.name: each for each in lines if each.value is not None}
    made = []
    for index, each in enumerate(lines):
        if each.broken:
            wrong = "the line does not parse: is a quote left open?"
            made.append(Candidate(each.name or "", "", source, each.number, wrong=wrong))
        elif each.value is not None:
            other = last[each.name]
            later = other.number if other.value != each.value else None
            made.append(Candidate(each.name, each.value, source, each.number, index, later=later))
    return made


def _from_json(text: str, source: str) -> Iterator[Candidate]:
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise AuthsomeError(
            f"{source}{line} is not JSON", hint='give an object: {"NAME": "value"}', code=ExitCode.USAGE
        ) from None
    if not isinstance(pairs, _Pairs):
        raise AuthsomeError(
            f"{source} is not a JSON object", hint='give an object: {"NAME": "value"}', code=ExitCode.USAGE
        )
    for name, value in pairs:
        if isinstance(value, str):
            yield Candidate(name, value, source)
        else:
            yield Candidate(name, "", source, wrong=f"{_KINDS.get(type(value), 'a number')}, not text")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with every name as often as it stands there."""


_KINDS: dict[type, str] = {_Pairs: "an object", list: "a list", bool: "true or false", type(None): "null"}


def from_environ(environ: Mapping[str, str]) -> list[Candidate]:
    """Return what an environment gives; authsome's own variables are no provider's."""
    return [
        Candidate(name, value, ENVIRONMENT)
        for name, value in sorted(environ.items())
        if not name.startswith("AUTHSOME_")
    ]


class State(StrEnum):
    """How a value stands that was found."""

    KEY = "key"
    DOUBT = "doubt"
    LEFT = "left"
    NOBODYS = "nobody's"


@dataclass(frozen=True, slots=True)
class Finding:
    """A value and whose key it is.

    Attributes:
        named: Whether its variable's name says whose it is, not its looks alone.
        why: What is doubted, or why it is left out.
        waits: Whether a person has to do something about it.
    """

    candidate: Candidate
    state: State
    provider: Provider | None = None
    connection: str = DEFAULT_CONNECTION
    named: bool = False
    why: str = ""
    waits: bool = False

    @property
    def owner(self) -> Provider:
        """The provider of what is a key."""
        if self.provider is None:
            raise AssertionError("nobody's")
        return self.provider

    @property
    def key(self) -> tuple[str, str]:
        """Provider and connection, as the vault knows them."""
        return self.provider.name if self.provider else "", self.connection

    @property
    def target(self) -> str:
        """The connection as messages write it; nothing if it is nobody's."""
        return full_name(*self.key) if self.provider else ""

    def left(self, why: str) -> "Finding":
        """Return it as left out, for a person to decide."""
        return replace(self, state=State.LEFT, why=why, waits=True)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person says of the keys beforehand.

    Attributes:
        only: The variables to look at; all if empty.
        provider: Whose the one key is.
        connection: Which account all of them are of.
    """

    only: frozenset[str] = frozenset()
    provider: Provider | None = None
    connection: str | None = None


def recognise(
    candidates: Iterable[Candidate],
    known: Collection[Provider],
    declared: Mapping[str, tuple[str, str]],
    wish: Wish,
) -> list[Finding]:
    """Return whose keys they are, in the same order.

    Args:
        declared: The manifest's variables and the (provider, connection) that each is of.

    Raises (exit code 2) if the wish is about something that is not there, or a provider is named for several values.
    """
    every = tuple(candidates)
    chosen = [each for each in every if not wish.only or each.name in wish.only]
    if missing := sorted(wish.only - {each.name for each in chosen}):
        names = {each.shown for each in every if each.name is not None}
        raise AuthsomeError(
            f"there is no variable {', '.join(map(ascii, missing))} in what was read",
            hint=did_you_mean(missing[0], names, "see what there is: say --dry-run and leave out --only"),
            code=ExitCode.USAGE,
        )
    if wish.provider and len({each.name for each in chosen}) > 1:
        raise AuthsomeError(
            "--provider says whose one key is, and here are several",
            hint=f"name its variable: --only NAME --provider {wish.provider.name}",
            code=ExitCode.USAGE,
        )
    judge = _Judge(known, declared, wish)
    return _agreed([judge.of(each) for each in chosen])


class _Judge:
    """Says of each value whose it is."""

    def __init__(self, known: Collection[Provider], declared: Mapping[str, tuple[str, str]], wish: Wish) -> None:
        self._known = {each.name: each for each in known}
        self._named: dict[str, dict[str, str]] = {}
        """Variable → provider → connection."""
        for variable, (provider, connection) in declared.items():
            if provider in self._known:
                self._named.setdefault(variable, {})[provider] = connection
        for each in known:
            for variable in each.env:
                self._named.setdefault(variable, {}).setdefault(each.name, DEFAULT_CONNECTION)
        self._wish = wish

    def of(self, candidate: Candidate) -> Finding:
        """Return whose key it is."""
        finding = self._owned(candidate)
        if finding.provider is None or finding.state is State.LEFT:
            return finding
        if self._wish.connection:
            finding = replace(finding, connection=self._wish.connection)
        return _usable(finding)

    def _owned(self, candidate: Candidate) -> Finding:
        if self._wish.provider:
            return Finding(candidate, State.KEY, self._wish.provider)
        looks = _said(self._looks(candidate.value), candidate)
        named = self._named.get(candidate.name or "", {})
        if len(named) > 1:
            named = {name: named[name] for name in named if name in {each.name for each in looks}} or named
        if len(named) > 1 or (not named and len(looks) > 1):
            among = sorted(named) or sorted(each.name for each in looks)
            why = f"could be of {' or '.join(among)}: {_decide(candidate, among[0])}"
            return Finding(candidate, State.LEFT, why=why, waits=bool(candidate.value))
        if named:
            ((name, connection),) = named.items()
            return self._compared(Finding(candidate, State.KEY, self._known[name], connection, named=True), looks)
        return self._by_looks(candidate, looks[0]) if looks else Finding(candidate, State.NOBODYS)

    def _looks(self, value: str) -> list[Provider]:
        return pasted.owners(value, self._known.values()) if len(value) >= _SHORTEST else []

    def _compared(self, finding: Finding, looks: Sequence[Provider]) -> Finding:
        """Return it as a doubt if the key's looks say something else than the variable's name."""
        if not looks or finding.provider in looks or finding.provider is None:
            return finding
        other = looks[0]
        why = f"its name says {finding.provider.display_name}, its beginning {other.display_name}"
        return Finding(finding.candidate, State.DOUBT, other, why=why, waits=True)

    def _by_looks(self, candidate: Candidate, owner: Provider) -> Finding:
        finding = Finding(candidate, State.KEY, owner)
        said = owner.name.replace("-", "_") in (candidate.name or owner.name).lower()
        if said or pasted.beginning(owner.key, candidate.value) >= _DISTINCT:
            return finding
        why = f"it begins like a key of {owner.display_name}, its name does not say so"
        return replace(finding, state=State.DOUBT, why=why, waits=True)


def _said(looks: list[Provider], candidate: Candidate) -> list[Provider]:
    """Return the one of several that a key looks like which its variable's name mentions, if it does; else all."""
    mentioned = [each for each in looks if each.name.replace("-", "_") in (candidate.name or "").lower()]
    return mentioned if len(mentioned) == 1 else looks


def _decide(candidate: Candidate, provider: str) -> str:
    """Return the options with which a person says whose one key is."""
    only = f"--only {candidate.name} " if candidate.name and candidate.shown == candidate.name else ""
    return f"{only}--provider {provider}"


def command(finding: Finding) -> str:
    """Return the options with which a person puts a doubt aside."""
    return _decide(finding.candidate, finding.key[0])


def _usable(finding: Finding) -> Finding:
    """Return it as left out if the value is no key, or none that can be stored."""
    candidate, provider = finding.candidate, finding.provider
    value = candidate.value
    if candidate.wrong:
        return finding.left(candidate.wrong)
    nothing = {
        f"line {candidate.later} gives another value, which counts": candidate.later is not None,
        "empty": not value.strip(),
        "already imported, this is the placeholder": mentions(value),
        "an example, not a key": bool(_EXAMPLE.fullmatch(value)),
    }
    if why := next((why for why, holds in nothing.items() if holds), None):
        return replace(finding, state=State.LEFT, why=why, waits=False)
    if _REFERENCE.fullmatch(value):
        return finding.left("a reference to a value elsewhere: give that, for example with --command 'op read …'")
    needed = [each.name for each in provider.fields if each.needed] if provider else []
    if provider and (provider.auth_type != "api_key" or len(needed) > 1):
        together = ", ".join(needed)
        more = "logs in with OAuth" if provider.auth_type != "api_key" else f"needs several values at once ({together})"
        return finding.left(f"{provider.display_name} {more}: authsome login {provider.name}")
    return finding


def _agreed(findings: list[Finding]) -> list[Finding]:
    """Return them with what contradicts each other left out: one connection has one key.

    What a name says counts more than what the value looks like, and what has the value of a key that is sure is one.
    """
    sure = _values(each for each in findings if each.state is State.KEY)
    said = _values(each for each in findings if each.state is State.KEY and each.named)
    each_one = _values(each for each in findings if each.state in (State.KEY, State.DOUBT))
    return [_one(each, sure.get(each.key, {}), said.get(each.key, {}), each_one.get(each.key, {})) for each in findings]


def _values(findings: Iterable[Finding]) -> dict[tuple[str, str], dict[str, str]]:
    """Return the values that are there for each connection, and what to call each."""
    values: dict[tuple[str, str], dict[str, str]] = {}
    for each in findings:
        values.setdefault(each.key, {}).setdefault(each.candidate.value, each.candidate.shown)
    return values


def _one(each: Finding, sure: Mapping[str, str], said: Mapping[str, str], every: Mapping[str, str]) -> Finding:
    value = each.candidate.value
    if each.state is State.DOUBT and value in sure:
        each = replace(each, state=State.KEY, why="", waits=False)
    if each.state is State.KEY:
        rivals = {} if list(said) == [value] else sure
    elif each.state is State.DOUBT:
        rivals = every
    else:
        return each
    others = " and ".join(name for other, name in rivals.items() if other != value)
    if not others:
        return each
    doubt = each.state is State.DOUBT
    decide = f"{command(each)} " if doubt else f"--only {each.candidate.shown} "
    why = f"{each.why}, and {others}" if doubt else others
    return each.left(f"{why} holds another key of {each.target}: {decide}--connection NAME")
