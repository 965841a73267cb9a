"""What the page shows: a line for each connection, and how far it has come.

Promises that one line's mistake costs no other line anything, nor its own settings. Refuses to show a secret that was
given: what waits for a person's decision is kept here, and the page has a button for it; so is the secret of an
application until its login is done.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import urlsplit

from authsome.bridge import Answer, Blank, Outcome, Question, Taken, returned
from authsome.bridge.device import Code
from authsome.errors import AuthsomeError, Doubt
from authsome.oauth import REDIRECTED, AuthorizationRequest, DeviceAuthorization, UnavailableError

HOSTS = "hosts"
"""The doubt about hosts that were not agreed to."""


class State(StrEnum):
    """How a line stands."""

    OPEN = "open"
    WRONG = "wrong"
    DOUBT = "doubt"
    AWAY = "away"
    DEVICE = "device"
    STORED = "stored"
    SKIPPED = "skipped"


@dataclass(slots=True, eq=False)
class Line:
    """One connection.

    Attributes:
        step: Counts what happens to it: who shows it sees by it whether to show it anew.
        words, hint: What is said about its state.
        checked: Whether the provider took what is stored.
        doubt: What the person has to decide about, and `offer` what the button for it says.
        request: Where the person is sent; `heard` is whether somebody has come back from there.
        code: What the person confirms on another device.
    """

    number: int
    question: Question
    state: State = State.OPEN
    step: int = 0
    words: str = ""
    hint: str = ""
    checked: bool = False
    doubt: str = ""
    offer: str = ""
    request: AuthorizationRequest | None = field(default=None, repr=False)
    heard: bool = False
    code: Code | None = field(default=None, repr=False)
    _pending: Answer = field(default_factory=Answer, repr=False)
    _settings: dict[str, str] = field(default_factory=dict, repr=False)
    _kept: dict[str, str] = field(default_factory=dict, repr=False)
    _agreed: frozenset[str] = frozenset()

    @property
    def settled(self) -> bool:
        """Whether nothing has to be done about it any more."""
        return self.state in (State.STORED, State.SKIPPED)

    @property
    def is_login(self) -> bool:
        """Whether the person logs in for it; else a key is given."""
        return self.question.flow is not None

    @property
    def leaves(self) -> bool:
        """Whether its login leads away from the page, and back."""
        return self.question.flow in REDIRECTED

    @property
    def waits(self) -> bool:
        """Whether the person does something elsewhere for it."""
        return self.state in (State.AWAY, State.DEVICE)

    @property
    def button(self) -> str:
        """What the button that begins its login says."""
        if self.leaves:
            return f"Log in with {self.question.display_name}"
        return "Get a code" if self.question.flow == "device_code" else "Connect"

    @property
    def asks_for_application(self) -> bool:
        """Whether the person has to have an application at the provider for it."""
        return self.is_login and any(blank.name == "client_id" for blank in self.question.blanks)

    @property
    def keys_url(self) -> str | None:
        """Where to get a key. NOTE: https only, so that no definition can make it a `javascript:` link."""
        url = self.question.keys_url or ""
        return url if url.startswith("https://") and urlsplit(url).hostname else None

    @property
    def keys_host(self) -> str:
        """The host of that link, for the eye."""
        return host_of(self.keys_url)

    @property
    def away_host(self) -> str:
        """Where the person is sent, for the eye."""
        return host_of(self.request.url if self.request else None)

    @property
    def device_host(self) -> str:
        """Where the code for another device is typed, for the eye."""
        return host_of(self.code.device.verification_uri if self.code else None)

    def read(self, form: Mapping[str, str]) -> Answer | None:
        """Return what a form gives for this line, None if it says nothing about it.

        What is typed for a login is kept until its button is pressed; what was pasted ends its wait.
        """
        if self.settled:
            return None
        reuse = next(
            (name for place, name in enumerate(self.question.held) if form.get(f"reuse-{self.number}-{place}")), None
        )
        fields = {each.name: form.get(self._field(each), "") for each in self.question.blanks}
        typed = {name: text for name, text in fields.items() if text.strip()}
        self._remember(form, typed)
        agreed = self._agrees(form)
        if self.waits or (self.is_login and reuse is None):
            return None
        own = {each.name: each.default for each in self.question.blanks}
        if reuse is None and all(text == own[name] for name, text in typed.items()):
            return None
        return Answer({} if self.is_login else typed, reuse, agreed)

    def _field(self, blank: Blank) -> str:
        return f"field-{self.number}-{blank.name}"

    def _agrees(self, form: Mapping[str, str]) -> frozenset[str]:
        return frozenset({HOSTS} if form.get(f"agree-{self.number}") else ())

    def _remember(self, form: Mapping[str, str], typed: Mapping[str, str]) -> None:
        """Keep what was typed in the open, and for a login also what was not, until its button is pressed."""
        for each in self.question.blanks:
            if self._field(each) not in form:  # each line may be sent by itself
                continue
            kept = self._kept if each.masked else self._settings
            if each.name in typed and (self.is_login or not each.masked):
                kept[each.name] = typed[each.name]
            elif not each.masked:
                kept.pop(each.name, None)

    def begins(self, form: Mapping[str, str], redirect_uri: str | None) -> Answer:
        """Return the answer that begins its login, with what was typed for it."""
        self._agreed = self._agrees(form)
        return Answer(self._settings | self._kept, accepted=self._agreed, redirect_uri=redirect_uri)

    def comes_back(self, query: str) -> Answer:
        """Return the answer that a person has come back, to the address that the provider was told."""
        address = self.request.redirect_uri if self.request else ""
        return Answer(accepted=self._agreed, returned=f"{address}?{query}")

    def asks_again(self) -> Answer:
        """Return the answer that only asks what has become of it."""
        return Answer(accepted=self._agreed, polls=True)

    def shown(self, blank: Blank) -> str:
        """Return what stands in a field: what was typed into it in the open, else its default; nothing of a secret.

        A default in the place of what a person typed before another field was wrong would be stored unnoticed.
        """
        return self._settings.get(blank.name, "" if blank.masked else blank.default or "")

    def keeps(self, blank: Blank) -> bool:
        """Whether a secret was typed into a field that is not shown there."""
        return blank.name in self._kept

    def decided(self) -> Answer:
        """Return the answer that waits, with the doubt about it put aside."""
        self._agreed |= {self.doubt}
        return replace(self._pending, accepted=self._pending.accepted | {self.doubt})

    def settle(self, taken: Taken, now: float) -> None:
        """Say what has become of an answer; raise `AuthsomeError` where the person must not be sent."""
        if isinstance(taken, Outcome):
            self._say(State.STORED, taken.words)
            self.checked = taken.checked
            self._settings, self._kept = {}, {}
        elif isinstance(taken, AuthorizationRequest):
            returned.safe(taken.url, self.question.display_name)
            self._say(State.AWAY, "")
            self.request = taken
        else:
            self._waits_for(taken, now)

    def _waits_for(self, device: DeviceAuthorization, now: float) -> None:
        if self.code and self.code.device.user_code == device.user_code:
            if self.words:
                self.words, self.hint, self.step = "", "", self.step + 1
            self.code.goes_on(device, now)
            return
        begun = Code.begun(device, now, self.question.display_name)
        self._say(State.DEVICE, "")
        self.code = begun

    def is_not_confirmed(self) -> None:
        """Say so to who believes that it is."""
        if not self.words:
            self.mistakes(
                AuthsomeError("It is not confirmed yet.", hint=f"type the code at {self.device_host}, and agree there")
            )

    def puts_off(self, error: AuthsomeError, now: float) -> bool:
        """Ask about a login on another device less often where nobody answers; False if it is over."""
        if self.code is None or not isinstance(error, UnavailableError):
            return False
        self.code.puts_off(error, now)
        if not self.words:
            self.mistakes(AuthsomeError(error.message, hint="it is asked again"))
        return True

    def expire(self) -> None:
        """Say that the code for another device holds no longer."""
        self._say(State.WRONG, "The code has expired before it was confirmed.", f"press `{self.button}` for a new one")

    def refuse(self, error: AuthsomeError, answer: Answer) -> None:
        """Say what is wrong, or what has to be decided; only then the answer is kept."""
        self._say(State.WRONG, error.message, error.hint or "")
        if isinstance(error, Doubt):
            self.state, self.doubt, self.offer, self._pending = State.DOUBT, error.word, error.offer, answer

    def mistakes(self, error: AuthsomeError) -> None:
        """Say what is wrong with what was pasted; the login still waits."""
        self.words, self.hint, self.step = error.message, error.hint or "", self.step + 1

    def require(self) -> None:
        """Say that it cannot be left out."""
        if self.is_login:
            self._say(State.OPEN, f"This one is needed, and nobody can do it for you: press `{self.button}`.")
        else:
            self._say(State.WRONG, "This one is needed.", "type its key, or leave with Cancel")

    def skip(self) -> None:
        """Leave out an optional one."""
        self._say(State.SKIPPED, "left out; `authsome login` adds it later")

    def again(self) -> None:
        """Start over."""
        self._say(State.OPEN, "")

    def _say(self, state: State, words: str, hint: str = "") -> None:
        self.state, self.words, self.hint, self.step = state, words, hint, self.step + 1
        self.doubt, self.offer, self._pending = "", "", Answer()
        self.request = self.code = None
        self.heard = False


def host_of(url: str | None) -> str:
    """Return the host of an address, for the eye."""
    return urlsplit(url or "").hostname or ""


def check_hosts(question: Question, answer: Answer) -> None:
    """Raise if hosts that nobody agreed to were not agreed to with this answer."""
    if question.new_hosts and HOSTS not in answer.accepted:
        named = ", ".join(question.new_hosts)
        raise Doubt(
            HOSTS,
            f"You have not agreed that it is sent to {named}.",
            hint=f"this is new since you last {'gave a key' if question.flow is None else 'logged in'}",
            offer=f"Send it to {named} too",
        )


class Sheet:
    """All lines of one page.

    Args:
        redirect_uri: Where a provider can send a person back to; None if that does not reach this page.
        taken_by: Who has the port of that address then.
    """

    def __init__(
        self,
        questions: Iterator[Question] | tuple[Question, ...],
        redirect_uri: str | None = None,
        taken_by: str = "",
    ) -> None:
        self.lines = tuple(Line(number, question) for number, question in enumerate(questions))
        self.redirect_uri, self.taken_by = redirect_uri, taken_by
        self.left = False
        self.closed = False
        self._lock = threading.Lock()

    @property
    def required(self) -> tuple[Line, ...]:
        """The lines without which nothing goes on."""
        return tuple(line for line in self.lines if line.question.required)

    @property
    def missing(self) -> tuple[Line, ...]:
        """The required lines that are not stored."""
        return tuple(line for line in self.required if line.state is not State.STORED)

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to do."""
        return all(line.settled for line in self.lines)

    @property
    def has_keys(self) -> bool:
        """Whether there are keys to be typed, for which the logins need not wait."""
        return any(not line.is_login and not line.settled for line in self.lines)

    @property
    def logins(self) -> tuple[Line, ...]:
        """The required lines that only their own button begins."""
        return tuple(line for line in self.missing if line.is_login)

    @property
    def title(self) -> str:
        """What is needed."""
        logins = sum(line.is_login for line in self.lines)
        if 0 < logins < len(self.lines):
            return "Keys and logins are needed"
        one, many = ("A login", "Logins") if logins else ("A key", "Keys")
        return f"{one} is needed" if len(self.lines) == 1 else f"{many} are needed"

    @property
    def codes(self) -> tuple[tuple[Line, Code], ...]:
        """The lines that wait for another device, and for what."""
        return tuple((line, line.code) for line in self.lines if line.code)

    def waits(self) -> bool:
        """Whether somebody may come back from a provider."""
        return any(line.request and not line.heard for line in self.lines)

    def claim(self, state: str) -> Line | None:
        """Return the line that a state belongs to, once: nobody comes back twice."""
        with self._lock:
            found = [line for line in self.lines if line.request and returned.belongs(state, line.request)]
            found = [line for line in found if not line.heard]
            for line in found:
                line.heard = True
            return found[0] if found else None

    def given(self, act: str, form: Mapping[str, str]) -> list[tuple[Line, Answer]]:
        """Return the answers of a form: those that are filled in, and the one that was decided about."""
        chosen = self.chosen(act)
        verb = act.partition("-")[0]
        if chosen and verb == "skip" and not chosen.question.required:
            chosen.skip()
        if chosen and verb == "again" and not chosen.settled:
            chosen.again()
        found = {line.number: (line, answer) for line in self.lines if (answer := line.read(form))}
        for line in self.lines:
            if answer := self._pasted(line, form, pressed=line is chosen and verb == "returned"):
                found[line.number] = line, answer
        if chosen and chosen.number not in found and (answer := self._pressed(chosen, verb, form)):
            found[chosen.number] = chosen, answer
        return list(found.values())

    def chosen(self, act: str) -> Line | None:
        """Return the line that a button belongs to."""
        _, _, number = act.partition("-")
        return next((line for line in self.lines if str(line.number) == number), None)

    def _pressed(self, line: Line, verb: str, form: Mapping[str, str]) -> Answer | None:
        """Return the answer that a button is by itself."""
        if verb == "accept" and line.state is State.DOUBT:
            return line.decided()
        if verb == "go" and line.is_login and not line.settled:
            return line.begins(form, self.redirect_uri)
        if verb == "poll" and line.state is State.DEVICE:
            return line.asks_again()
        if verb == "store" and not line.is_login and not line.settled:
            line.refuse(AuthsomeError("Nothing was typed here.", hint="paste the key into the field"), Answer())
        return None

    def _pasted(self, line: Line, form: Mapping[str, str], *, pressed: bool) -> Answer | None:
        """Return the answer that a pasted address is."""
        text, request = form.get(f"returned-{line.number}", ""), line.request
        if request is None or line.heard or not (pressed or text.strip()):
            return None
        try:
            query = returned.pasted(text, request)
        except AuthsomeError as error:
            line.mistakes(error)
            return None
        return line.comes_back(query) if self.claim(request.state) is line else None

    def finish(self, act: str = "") -> None:
        """Close the sheet if everything is settled, or the person says so and nothing required is left."""
        if act == "leave":
            self.left = self.closed = True
        elif self.settled:
            self.closed = True
        elif act == "continue":
            for line in self.missing:
                if line.state is State.OPEN:
                    line.require()
            unclear = any(line.state in (State.WRONG, State.DOUBT) for line in self.lines)
            self.closed = not self.missing and not unclear
