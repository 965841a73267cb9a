"""What the page shows: a line for each connection, and how far it has come.

Promises that one line's mistake costs no other line anything, nor its own settings. Refuses to show a secret that was
given: what waits for a person's decision is kept here, and the page has a button for it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from authsome.bridge import Answer, Blank, Outcome, Question
from authsome.errors import AuthsomeError, Doubt

HOSTS = "hosts"
"""The doubt about hosts that were not agreed to."""


class State(StrEnum):
    """How a line stands."""

    OPEN = "open"
    WRONG = "wrong"
    DOUBT = "doubt"
    STORED = "stored"
    SKIPPED = "skipped"


@dataclass(slots=True)
class Line:
    """One connection.

    Attributes:
        words, hint: What is said about its state.
        checked: Whether the provider took what is stored.
        doubt: What the person has to decide about, and `offer` what the button for it says.
    """

    number: int
    question: Question
    state: State = State.OPEN
    words: str = ""
    hint: str = ""
    checked: bool = False
    doubt: str = ""
    offer: str = ""
    _pending: Answer = field(default_factory=Answer, repr=False)
    _settings: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def settled(self) -> bool:
        """Whether nothing has to be done about it any more."""
        return self.state in (State.STORED, State.SKIPPED)

    @property
    def keys_url(self) -> str | None:
        """Where to get a key. NOTE: https only, so that no definition can make it a `javascript:` link."""
        url = self.question.keys_url or ""
        return url if url.startswith("https://") and urlsplit(url).hostname else None

    @property
    def keys_host(self) -> str:
        """The host of that link, for the eye."""
        return urlsplit(self.keys_url or "").hostname or ""

    def read(self, form: Mapping[str, str]) -> Answer | None:
        """Return what a form gives for this line, None if it says nothing about it."""
        if self.settled:
            return None
        reuse = next(
            (name for place, name in enumerate(self.question.held) if form.get(f"reuse-{self.number}-{place}")), None
        )
        fields = {each.name: form.get(f"field-{self.number}-{each.name}", "") for each in self.question.blanks}
        typed = {name: text for name, text in fields.items() if text.strip()}
        own = {each.name: each.default for each in self.question.blanks}
        self._settings = {
            each.name: typed[each.name] for each in self.question.blanks if each.name in typed and not each.masked
        }
        if reuse is None and all(text == own[name] for name, text in typed.items()):
            return None
        agreed = frozenset({HOSTS} if form.get(f"agree-{self.number}") else ())
        return Answer(typed, reuse, agreed)

    def shown(self, blank: Blank) -> str:
        """Return what stands in a field: what was typed into it in the open, else its default; nothing of a secret.

        A default in the place of what a person typed before another field was wrong would be stored unnoticed.
        """
        return self._settings.get(blank.name, "" if blank.masked else blank.default or "")

    def decided(self) -> Answer:
        """Return the answer that waits, with the doubt about it put aside."""
        return Answer(self._pending.fields, self._pending.reuse, self._pending.accepted | {self.doubt})

    def refuse(self, error: AuthsomeError, answer: Answer) -> None:
        """Say what is wrong, or what has to be decided; only then the answer is kept."""
        self._say(State.WRONG, error.message, error.hint or "")
        if isinstance(error, Doubt):
            self.state, self.doubt, self.offer, self._pending = State.DOUBT, error.word, error.offer, answer

    def store(self, outcome: Outcome) -> None:
        """Say what became of it, and forget the answer."""
        self._say(State.STORED, outcome.words)
        self.checked = outcome.checked

    def require(self) -> None:
        """Say that it cannot be left out."""
        self._say(State.WRONG, "This one is needed.", "type its key, or leave with Cancel")

    def skip(self) -> None:
        """Leave out an optional one."""
        self._say(State.SKIPPED, "left out; `authsome login` adds it later")

    def again(self) -> None:
        """Start over."""
        self._say(State.OPEN, "")

    def _say(self, state: State, words: str, hint: str = "") -> None:
        self.state, self.words, self.hint = state, words, hint
        self.doubt, self.offer, self._pending = "", "", Answer()


def check_hosts(question: Question, answer: Answer) -> None:
    """Raise if hosts that nobody agreed to were not agreed to with this answer."""
    if question.new_hosts and HOSTS not in answer.accepted:
        named = ", ".join(question.new_hosts)
        raise Doubt(
            HOSTS,
            f"You have not agreed that it is sent to {named}.",
            hint="this is new since you last gave a key",
            offer=f"Send it to {named} too",
        )


class Sheet:
    """All lines of one page."""

    def __init__(self, questions: Iterator[Question] | tuple[Question, ...]) -> None:
        self.lines = tuple(Line(number, question) for number, question in enumerate(questions))
        self.left = False
        self.closed = False

    @property
    def required(self) -> tuple[Line, ...]:
        """The lines without which nothing goes on."""
        return tuple(line for line in self.lines if line.question.required)

    @property
    def missing(self) -> tuple[Line, ...]:
        """The required lines that are not stored."""
        return tuple(line for line in self.required if line.state is not State.STORED)

    def given(self, act: str, form: Mapping[str, str]) -> list[tuple[Line, Answer]]:
        """Return the answers of a form: those that are filled in, and the one that was decided about."""
        verb, _, number = act.partition("-")
        chosen = next((line for line in self.lines if str(line.number) == number), None)
        if chosen and verb == "skip" and not chosen.question.required:
            chosen.skip()
        if chosen and verb == "again" and not chosen.settled:
            chosen.again()
        found = {line.number: (line, answer) for line in self.lines if (answer := line.read(form))}
        if chosen and verb == "accept" and chosen.state is State.DOUBT:
            found[chosen.number] = chosen, chosen.decided()
        if chosen and verb == "store" and chosen.number not in found and not chosen.settled:
            chosen.refuse(AuthsomeError("Nothing was typed here.", hint="paste the key into the field"), Answer())
        return list(found.values())

    def finish(self, act: str) -> None:
        """Close the sheet if everything is settled, or the person says so and nothing required is left."""
        if act == "leave":
            self.left = self.closed = True
        elif all(line.settled for line in self.lines):
            self.closed = True
        elif act == "continue":
            for line in self.missing:
                if line.state is State.OPEN:
                    line.require()
            unclear = any(line.state in (State.WRONG, State.DOUBT) for line in self.lines)
            self.closed = not self.missing and not unclear
