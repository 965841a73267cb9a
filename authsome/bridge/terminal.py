"""A person at the controlling terminal, whatever standard input and output are.

Promises to ask one connection after the other with the echo off, to ask again when the answer is wrong, and for no
secret before it is clear where it will go. Refuses to ask for what nothing waits for: an optional connection is left to
the page and to `authsome login`.
"""

import getpass
from collections.abc import Callable, Mapping, Sequence

from authsome.bridge import ATTEMPTS, Answer, Blank, Outcome, Question, Take, agreed, typed
from authsome.errors import AuthsomeError, Doubt, ExitCode, clean
from authsome.provider import DEFAULT_CONNECTION

TERMINAL_LINE = 4095
"""Longest line a terminal in canonical mode hands over (N_TTY_BUF_SIZE less the newline); it cuts the rest silently."""


class Terminal:
    """Asks in lines."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def ask(self, questions: Sequence[Question], take: Take) -> None:
        """Ask for each required connection until it is stored, three times at most."""
        for question in questions:
            if question.required:
                self._say(f"{question.name}: {self._until_stored(question, take).words}")

    def _until_stored(self, question: Question, take: Take) -> Outcome:
        settings: dict[str, str] = {}
        for last in (*[False] * (ATTEMPTS - 1), True):
            try:
                self._settle(question, settings)
            except AuthsomeError as error:
                self._again(error, last=last)
                continue
            answer = Answer(settings | _secrets(question))
            try:
                return self._decided(question, answer, take)
            except AuthsomeError as error:
                self._again(error, last=last)
        raise AssertionError("unreachable")

    def _again(self, error: AuthsomeError, *, last: bool) -> None:
        """Explain what was wrong with an answer; raise what another answer would not mend."""
        if last or not (isinstance(error, Doubt) or error.code is ExitCode.USAGE):
            raise error
        self._explain(error)

    def _decided(self, question: Question, answer: Answer, take: Take) -> Outcome:
        """Hand over an answer; what only the person can decide is asked in a word."""
        while True:
            try:
                taken = take(question, answer)
                if not isinstance(taken, Outcome):
                    raise AssertionError("not yet")  # noqa: TRY004  until there are such answers
                return taken  # noqa: TRY300  the same
            except Doubt as doubt:
                self._explain(doubt)
                if not agreed(f"{doubt.offer}?"):
                    raise
                answer = Answer(answer.fields, accepted=answer.accepted | {doubt.word})

    def _explain(self, error: AuthsomeError) -> None:
        self._say(f"Error: {error.message}")
        self._say(f"Hint: {error.hint}")

    def _settle(self, question: Question, settings: dict[str, str]) -> None:
        """Say what is asked for, read the settings, and say where the secrets will go.

        Args:
            settings: What was typed the time before, and now; what is wrong is not among it.
        """
        if question.why:
            self._say(f'The manifest says why: "{question.why}"')
        if question.scopes:
            self._say(f"The manifest asks for the scopes: {', '.join(question.scopes)}")
        if question.keys_url:
            self._say(f"Get a key: {question.keys_url}")
        given, hosts = {}, question.hosts
        for each in (each for each in question.blanks if not each.masked):
            given[each.name] = _setting(question, each, settings)
            hosts = question.whither(given) if question.whither else hosts
            settings[each.name] = given[each.name]
        self._say(f"It will be sent to: {', '.join(hosts)}")
        if question.new_hosts:
            self._confirm(question)

    def _confirm(self, question: Question) -> None:
        """Have hosts that nobody agreed to agreed to, in a word and not in passing."""
        self._say(f"NEW since you last agreed: {', '.join(question.new_hosts)}")
        if not agreed("Send keys there too?"):
            raise AuthsomeError(
                f"the new hosts of {question.provider} were not agreed to",
                hint=f"look at them with `authsome inspect {question.provider}`; nothing was stored",
                code=ExitCode.MISSING,
            )


def _named(question: Question, blank: Blank) -> str:
    account = "" if question.connection == DEFAULT_CONNECTION else f" ({question.connection})"
    return f"{clean(question.display_name)} {blank.label}{account}"


def _setting(question: Question, blank: Blank, before: Mapping[str, str]) -> str:
    otherwise = before.get(blank.name) or blank.default or ""
    offered = f" [{clean(otherwise)}]" if otherwise else ""
    return typed(f"{_named(question, blank)}{offered}: ") or otherwise


def _secrets(question: Question) -> dict[str, str]:
    """Read the secrets with the echo off; an empty one ends it."""
    return {each.name: _secret(question, each) for each in question.blanks if each.masked}


def _secret(question: Question, blank: Blank) -> str:
    empty = ", nothing for none" if blank.optional else ""
    return _read(question, f"{_named(question, blank)} (input is hidden{empty}): ", optional=blank.optional)


def _read(question: Question, prompt: str, *, optional: bool) -> str:
    try:
        typed = getpass.getpass(prompt)
    except EOFError:
        typed = ""
    if len(typed.encode()) >= TERMINAL_LINE:
        raise AuthsomeError(
            "the key is longer than a terminal takes in one line",
            hint=f"authsome login {question.provider} --stdin < FILE",
            code=ExitCode.USAGE,
        )
    if not typed.strip() and not optional:
        raise AuthsomeError(
            f"no key was given for {question.provider}", hint="nothing was stored", code=ExitCode.MISSING
        )
    return typed
