"""The one door to a person: a page in the browser, the terminal, or nobody.

Promises that a secret given by a person is never echoed, never an argument, and never waits for somebody who cannot
answer. Refuses to read a secret from a prompt that would show it, and to ask anybody inside a run.
"""

import getpass
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from authsome.errors import AuthsomeError, ExitCode, clean
from authsome.manifest import full_name, login_command
from authsome.oauth import BY_PERSON, AuthorizationRequest, DeviceAuthorization

ATTEMPTS = 3
"""How often a person may mistype before the command ends."""


@dataclass(frozen=True, slots=True)
class Blank:
    """One value to fill in.

    Attributes:
        masked: Whether it is hidden while it is typed.
        default: What holds if nothing is typed.
        optional: Whether it may stay empty.
    """

    name: str
    label: str = "API key"
    masked: bool = True
    default: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """One connection to ask for.

    Attributes:
        why, scopes: The manifest's words.
        hosts: Where the secret may be sent; giving it is agreeing to them.
        new_hosts: Those that were not agreed to when an earlier secret was given.
        keys_url: The catalogue's, https.
        hint: What a key looks like.
        held: Credentials that could be used again, by what they are called.
        flow: How tokens are come by, None where a key is asked for: `Take` may then send the person elsewhere.
        command: What was typed to be asked for it alone, None where more was.
        whither: Takes the settings so far, returns the hosts that they make; raises `AuthsomeError` if one is wrong.
    """

    provider: str
    display_name: str
    connection: str
    required: bool = True
    why: str | None = None
    scopes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    new_hosts: tuple[str, ...] = ()
    keys_url: str | None = None
    hint: str | None = None
    blanks: tuple[Blank, ...] = (Blank("api_key"),)
    held: tuple[str, ...] = ()
    flow: str | None = None
    command: str | None = None
    whither: Callable[[Mapping[str, str]], tuple[str, ...]] | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The connection as messages write it."""
        return full_name(self.provider, self.connection)

    @property
    def again(self) -> str:
        """The command that asks for it once more."""
        return self.command or login_command(self.provider, self.connection)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person gave for one question.

    Attributes:
        fields: The values, secret.
        reuse: The held credential to use instead of them.
        accepted: The doubts that the person has put aside, by their words.
        redirect_uri: Where a provider can send the person back to; None if nobody would hear of it.
        returned: The address that the provider has sent the person back to, or the person has pasted; secret.
        polls: Whether this asks no more than what has become of a login on another device.
    """

    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    reuse: str | None = None
    accepted: frozenset[str] = frozenset()
    redirect_uri: str | None = None
    returned: str | None = field(default=None, repr=False)
    polls: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an answer that was stored.

    Attributes:
        checked: Whether the provider said that it takes the credential.
    """

    words: str
    checked: bool = False


type Taken = Outcome | AuthorizationRequest | DeviceAuthorization
"""What became of an answer: it was stored, or the person has to agree elsewhere. The next answer to the same question
is then what came back from there, or asks once more (`Answer.returned`, `Answer.polls`)."""

type Take = Callable[[Question, Answer], Taken]
"""Checks and stores an answer; raises `AuthsomeError` (exit code 2) with what is wrong with it, `Doubt` for what the
person may decide otherwise."""


class Human(Protocol):
    """Who answers."""

    def ask(self, questions: Sequence[Question], take: Take) -> None:
        """Have every required question answered and hand each answer to `take`; raise where that does not happen."""


class Nobody:
    """There is no person: every question is the error that `reconcile` turns into commands to run elsewhere."""

    def ask(self, questions: Sequence[Question], take: Take) -> None:
        """Refuse."""
        del take
        first = questions[0]
        raise AuthsomeError(
            f"nobody to ask for {first.name}: no terminal and no display, CI, --no-input or a profile that asks nobody",
            hint=f"run where a person can answer: {first.again}"
            if any(question.flow in BY_PERSON for question in questions)
            else f"{first.again} --stdin < FILE",
            code=ExitCode.MISSING,
        )


@dataclass(frozen=True, slots=True)
class Around:
    """What decides whether somebody can be asked, and how.

    Attributes:
        allowed: Finds out who may be, by the profile's preset, the first one that can answer.
        no_input: The command line says nobody.
        wanted: Whom the command line names, `browser` or `terminal`.
    """

    environ: Mapping[str, str]
    allowed: Callable[[], Sequence[str]]
    no_input: bool
    wanted: str | None = None

    @property
    def alone(self) -> bool:
        """Whether there is nobody at the terminal to ask, or nobody who may be asked."""
        return self._silenced or not _has_terminal() or not self.allowed()

    @property
    def sees_dialogs(self) -> bool:
        """Whether a dialog that another program opens now would be seen by somebody who may be asked."""
        # Over ssh it would open where nobody sits, or at somebody else's screen.
        screen = sys.platform == "darwin" or self.environ.get("DISPLAY") or self.environ.get("WAYLAND_DISPLAY")
        here = bool(screen) and not self.environ.get("SSH_CONNECTION")
        return here and not self._silenced and "browser" in self.allowed()

    @property
    def _silenced(self) -> bool:
        return self.no_input or self._in_ci()

    def answering(self) -> str | None:
        """Return who answers: `browser`, `terminal`, None for nobody."""
        allowed = () if self.no_input else self.allowed()
        if self.wanted:
            able = self.wanted == "browser" or _has_terminal()
            return self.wanted if self.wanted in allowed and able else None
        if self._in_ci():
            return None
        able_by_itself = {"browser": self.has_browser, "terminal": _has_terminal}
        return next((each for each in allowed if each in able_by_itself and able_by_itself[each]()), None)

    def has_browser(self) -> bool:
        """Whether a browser can be shown to whoever started this: there is a display, and it is not far away."""
        if any(self.environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY")):
            return False
        if sys.platform != "darwin" and not any(self.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
            return False
        from authsome.bridge import browser  # noqa: PLC0415  only where there is a display

        return browser.found(self.environ)

    def _in_ci(self) -> bool:
        return self.environ.get("CI", "").lower() not in ("", "0", "false")


def door(around: Around, say: Callable[[str], None], about: str = "") -> Human:
    """Return who answers here.

    Args:
        say: Writes one line of talk.
        about: Where what is given will be kept.
    """
    if around.environ.get("AUTHSOME_RUN"):
        # NOTE: an agent must not put up a page that a person would take for the real one's.
        raise AuthsomeError(
            "nobody is asked for a credential inside a run",
            hint="call it from a terminal that `authsome run` did not start",
            code=ExitCode.UNTRUSTED,
        )
    answering = around.answering()
    if answering == "browser":
        from authsome.bridge import page  # noqa: PLC0415  what opens no page has no web server

        return page.Page(say, _shown_by(around), about)
    if answering == "terminal":
        from authsome.bridge.terminal import Terminal  # noqa: PLC0415  as above

        return Terminal(say, _shown_by(around))
    return Nobody()


def _shown_by(around: Around) -> Callable[[str], None] | None:
    """Return what opens a link, None where there is no browser."""
    if not around.has_browser():
        return None
    from authsome.bridge import browser  # noqa: PLC0415  only where there is a display

    return lambda link: browser.show(link, around.environ)


def agrees(question: str, around: Around) -> bool | None:
    """Return whether a person types `yes`, None if there is nobody to ask."""
    return None if around.alone else agreed(question)


def agreed(question: str) -> bool:
    """Have something agreed to in a word, not in passing, at the terminal."""
    with open("/dev/tty", "r+b", buffering=0) as terminal:  # noqa: PTH123  unbuffered, whatever stdin is
        terminal.write(f"{clean(question)} Type yes: ".encode())
        return terminal.readline().strip().lower() == b"yes"


def typed(prompt: str) -> str:
    """Return a line that is typed at the terminal for everybody to see."""
    with open("/dev/tty", "r+b", buffering=0) as terminal:  # noqa: PTH123  unbuffered, whatever stdin is
        terminal.write(clean(prompt).encode())
        return terminal.readline().decode(errors="replace").strip()


def passphrase(origin: str, around: Around, *, new: bool = False, otherwise: str | None = None) -> str:
    """Return the passphrase of an identity or of a backup, typed at the terminal, or raise (exit code 4).

    NOTE: there is no variable for it. A machine that could be given one can be given the identity itself, and a
    variable reaches every child, `/proc` and the logs of many a runner.

    Args:
        origin: Which identity, in words.
        new: It is to be one, so it is typed twice.
        otherwise: What to do where there is nobody to ask, if that is not what it is for identities.
    """
    if around.alone:
        if new:
            raise AuthsomeError(
                "there is nobody to ask for a new passphrase",
                hint=otherwise or "call it from a terminal",
                code=ExitCode.LOCKED,
            )
        raise AuthsomeError(
            f"{origin} is protected by a passphrase, and there is nobody to ask",
            hint=otherwise
            or "run where a person can answer, or give the identity another way:\n"
            "  AUTHSOME_IDENTITY_COMMAND='pass show authsome' authsome …\n"
            "  AUTHSOME_IDENTITY_FILE=/run/secrets/identity authsome …",
            code=ExitCode.LOCKED,
        )
    typed = _typed(f"{'New passphrase' if new else 'Passphrase'} of {clean(origin)} (input is hidden): ")
    if new and _typed("The same again: ") != typed:
        raise AuthsomeError("these were two passphrases", hint="nothing was changed; start again", code=ExitCode.USAGE)
    return typed


def _typed(prompt: str) -> str:
    try:
        typed = getpass.getpass(prompt)
    except EOFError:
        typed = ""
    if not typed:
        raise AuthsomeError("no passphrase was given", hint="nothing was changed", code=ExitCode.LOCKED)
    return typed


def _has_terminal() -> bool:
    """Whether a prompt with the echo off is possible; getpass would else read standard input in the clear."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    os.close(descriptor)
    return True
