"""A person at the controlling terminal, whatever standard input and output are.

Promises to ask one connection after the other with the echo off, to ask again when the answer is wrong, and for no
secret before it is clear where it will go. Refuses to ask for what nothing waits for: an optional connection is left to
the page and to `authsome login`.
"""

import getpass
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from authsome.bridge import ATTEMPTS, Answer, Blank, Outcome, Question, Take, Taken, agreed, returned, typed
from authsome.bridge.device import Code
from authsome.errors import AuthsomeError, Doubt, ExitCode, clean
from authsome.oauth import REDIRECTED, AuthorizationRequest, DeviceAuthorization, UnavailableError
from authsome.provider import DEFAULT_CONNECTION

if TYPE_CHECKING:
    from authsome.bridge.awaited import Ear, Lines

TERMINAL_LINE = 4095
"""Longest line a terminal in canonical mode hands over (N_TTY_BUF_SIZE less the newline); it cuts the rest silently."""

_PASTE = "Or paste the address that the browser ends at (input is hidden): "


class Terminal:
    """Asks in lines.

    Args:
        show: Opens a link in a browser, None where there is none.
        sleep: Waits for seconds, by the same clock.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        show: Callable[[str], None] | None = None,
        *,
        port: int = returned.PORT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._say, self._show, self._port = say, show, port
        self._clock, self._sleep = clock, sleep

    def ask(self, questions: Sequence[Question], take: Take) -> None:
        """Ask for each required connection until it is stored, three times at most."""
        for question in questions:
            if question.required:
                with self._begun(question, take) as login:
                    self._say(f"{question.name}: {self._until_stored(login).words}")

    @contextmanager
    def _begun(self, question: Question, take: Take) -> "Iterator[_Login]":
        """Listen for a browser that comes back while a question is asked that sends one away."""
        if question.flow not in REDIRECTED:
            yield _Login(question, take)
            return
        from authsome.bridge.awaited import listening  # noqa: PLC0415  a key needs no web server

        with listening(self._port) as (address, ear):
            yield _Login(question, take, address, ear)

    def _until_stored(self, login: "_Login") -> Outcome:
        settings: dict[str, str] = {}
        for last in (*[False] * (ATTEMPTS - 1), True):
            try:
                self._settle(login.question, settings)
            except AuthsomeError as error:
                self._again(login.question, error, last=last)
                continue
            answer = Answer(settings | _secrets(login.question), redirect_uri=login.redirect_uri)
            try:
                return self._finished(login, self._decided(login, answer))
            except AuthsomeError as error:
                self._again(login.question, error, last=last)
        raise AssertionError("unreachable")

    def _again(self, question: Question, error: AuthsomeError, *, last: bool) -> None:
        """Explain what was wrong with an answer; raise what another answer would not mend."""
        if last or not (isinstance(error, Doubt) or error.code is ExitCode.USAGE):
            error.hint = error.hint or f"nothing was stored; to start again: {question.again}"
            raise error
        self._explain(error)

    def _decided(self, login: "_Login", answer: Answer) -> Taken:
        """Hand over an answer; what only the person can decide is asked in a word."""
        while True:
            answer = replace(answer, accepted=answer.accepted | login.accepted)
            try:
                return login.take(login.question, answer)
            except Doubt as doubt:
                self._explain(doubt)
                if not agreed(f"{doubt.offer}?"):
                    raise
                login.accepted |= {doubt.word}

    def _finished(self, login: "_Login", taken: Taken) -> Outcome:
        """Have the person agree elsewhere as long as that is what an answer leads to."""
        while not isinstance(taken, Outcome):
            if isinstance(taken, AuthorizationRequest):
                query = self._comes_back(login, taken)
                taken = self._decided(login, Answer(returned=f"{taken.redirect_uri}?{query}"))
            else:
                taken = self._confirmed(login, taken)
        return taken

    def _comes_back(self, login: "_Login", request: AuthorizationRequest) -> str:
        """Send the person away; return the query that they come back with, in the browser or pasted."""
        from authsome.bridge import awaited, server  # noqa: PLC0415  as above

        name = clean(login.question.display_name)
        self._say(f"Log in with {name} in a browser:\n  {returned.safe(request.url, name)}")
        ear = login.ear
        if ear is None:
            who = server.holder(self._port)
            self._say(f"Port {self._port} is taken by {who}, so the browser ends with an error; its address counts.")
        else:
            link = ear.awaits(request)
            if self._show:
                self._show(link)
            else:
                self._say("A browser on another machine ends with an error; its address counts.")
        with awaited.hidden(ear.bell if ear else None) as lines:
            try:
                return self._first(lines, request, ear)
            except EOFError:
                raise _nothing_given(login.question) from None

    def _first(self, lines: "Lines", request: AuthorizationRequest, ear: "Ear | None") -> str:
        """Return the query that comes first, the browser's or that of an address that is pasted; else `EOFError`."""
        wrong = 0
        while wrong < ATTEMPTS:
            text = lines.next(_PASTE)
            if text is None:
                return ear.query or "" if ear else ""
            try:
                query = returned.pasted(text, request) if text.strip() else ""
            except AuthsomeError as error:
                wrong += 1
                self._explain(error)
                continue
            if query and (ear is None or ear.claim(request.state)):
                return query
        raise EOFError

    def _confirmed(self, login: "_Login", device: DeviceAuthorization) -> Taken:
        """Show a code, and ask what has become of it until something has."""
        name = clean(login.question.display_name)
        code = Code.begun(device, self._clock(), name)
        self._say(f"Log in with {name} on this device or another one:\n  {device.verification_uri}")
        self._say(f"and type this code there: {clean(device.user_code)}")
        if device.verification_uri_complete:
            self._say(f"or open this, which has the code in it:\n  {device.verification_uri_complete}")
        self._say(f"It holds for {code.minutes} minute{'' if code.minutes == 1 else 's'}; waiting …")
        silent = False
        while (due := code.due) < code.expires:
            self._sleep(max(0.0, due - self._clock()))
            try:
                taken = self._decided(login, Answer(polls=True))
            except UnavailableError as error:
                code.puts_off(error, self._clock())
                if not silent:
                    self._say(f"{error.message}; it is asked again")
                silent = True
                continue
            if not isinstance(taken, DeviceAuthorization) or taken.user_code != device.user_code:
                return taken
            code.goes_on(taken, self._clock())
        raise AuthsomeError(
            f"the code of {name} has expired before it was confirmed",
            hint="start again for a new one; nothing was stored",
            code=ExitCode.MISSING,
        )

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
            who = "The login" if question.flow else "The manifest"
            self._say(f"{who} asks for the scopes: {', '.join(question.scopes)}")
        if question.flow is not None:
            self._say_application(question)
        elif question.keys_url:
            self._say(f"Get a key: {question.keys_url}")
        given, hosts = {}, question.hosts
        for each in (each for each in question.blanks if not each.masked):
            given[each.name] = _setting(question, each, settings)
            hosts = question.whither(given) if question.whither else hosts
            settings[each.name] = given[each.name]
        what = "It will be sent to" if question.flow is None else "Agents' requests get the token at"
        self._say(f"{what}: {', '.join(hosts)}")
        if question.new_hosts:
            self._confirm(question)

    def _say_application(self, question: Question) -> None:
        """Say which application the person has to have, where one is asked for."""
        if any(blank.name == "client_id" for blank in question.blanks):
            where = f": {question.keys_url}" if question.keys_url else ""
            self._say(f"{clean(question.display_name)} wants an application of your own, made there once{where}")
            if question.flow == "pkce":
                self._say(f"Its callback address has to be: {returned.address(returned.PORT)}")
            elif question.flow == "device_code":
                self._say("It has to allow logins with a code from another device (device flow)")

    def _confirm(self, question: Question) -> None:
        """Have hosts that nobody agreed to agreed to, in a word and not in passing."""
        self._say(f"NEW since you last agreed: {', '.join(question.new_hosts)}")
        if not agreed(f"Send {'keys' if question.flow is None else 'tokens'} there too?"):
            raise AuthsomeError(
                f"the new hosts of {question.provider} were not agreed to",
                hint=f"look at them with `authsome inspect {question.provider}`; nothing was stored",
                code=ExitCode.MISSING,
            )


@dataclass(slots=True)
class _Login:
    """What a question needs until it is answered.

    Attributes:
        ear: Who hears that a browser has come back; None where none is sent away, or somebody has the port.
        accepted: The doubts that were put aside.
    """

    question: Question
    take: Take
    redirect_uri: str | None = None
    ear: "Ear | None" = None
    accepted: frozenset[str] = field(default_factory=frozenset)


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
        raise _nothing_given(question)
    return typed


def _nothing_given(question: Question) -> AuthsomeError:
    what = "key was given for" if question.flow is None else "login was finished with"
    return AuthsomeError(f"no {what} {question.provider}", hint="nothing was stored", code=ExitCode.MISSING)
