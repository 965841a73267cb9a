"""The one door to a person: a page in the browser, the terminal, or nobody.

Promises that a secret typed by a person is never echoed, never an argument, and never waits for somebody who cannot
answer. Refuses to read a secret from a prompt that would show it.

The browser page is not built yet; until it is, a machine with a display answers on its terminal.
"""

import getpass
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from authsome.errors import AuthsomeError, ExitCode, clean
from authsome.provider import DEFAULT_CONNECTION

TERMINAL_LINE = 4095
"""Longest line a terminal in canonical mode hands over (N_TTY_BUF_SIZE less the newline); it cuts the rest silently."""


@dataclass(frozen=True, slots=True)
class Question:
    """One secret to ask for.

    Attributes:
        why, scopes: The manifest's words.
        hosts: Where the secret may be sent; giving it is agreeing to them.
        new_hosts: Those that were not agreed to when an earlier secret was given.
        keys_url: The catalogue's.
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


class Human(Protocol):
    """Who answers."""

    def ask(self, question: Question) -> str | None:
        """Return what the person gave, None for "skip this one", or raise if there is nobody (exit code 3)."""


class Terminal:
    """A person at the controlling terminal, whatever standard input and output are."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def ask(self, question: Question) -> str | None:
        """Ask with the echo off; an empty answer skips an optional connection and ends a required one."""
        account = "" if question.connection == DEFAULT_CONNECTION else f" ({question.connection})"
        if question.why:
            self._say(f'The manifest says why: "{question.why}"')
        if question.scopes:
            self._say(f"The manifest asks for the scopes: {', '.join(question.scopes)}")
        if question.keys_url:
            self._say(f"Get a key: {question.keys_url}")
        self._say(f"It will be sent to: {', '.join(question.hosts)}")
        if question.new_hosts:
            self._confirm(question)
        skip = "" if question.required else ", Enter to skip"
        try:
            answer = getpass.getpass(f"{clean(question.display_name)} API key{account} (input is hidden{skip}): ")
        except EOFError:
            answer = ""
        if len(answer.encode()) >= TERMINAL_LINE:
            raise AuthsomeError(
                "the key is longer than a terminal takes in one line",
                hint=f"authsome login {question.provider} --stdin < FILE",
                code=ExitCode.USAGE,
            )
        if not answer.strip() and question.required:
            raise AuthsomeError(
                f"no key was given for {question.provider}", hint="nothing was stored", code=ExitCode.MISSING
            )
        return answer if answer.strip() else None

    def _confirm(self, question: Question) -> None:
        """Have hosts that nobody agreed to agreed to, in a word and not in passing."""
        self._say(f"NEW since you last agreed: {', '.join(question.new_hosts)}")
        if not _agreed("Send keys there too?"):
            raise AuthsomeError(
                f"the new hosts of {question.provider} were not agreed to",
                hint=f"look at them with `authsome inspect {question.provider}`; nothing was stored",
                code=ExitCode.MISSING,
            )


class Nobody:
    """There is no person: every question is the error that `reconcile` turns into commands to run elsewhere."""

    def ask(self, question: Question) -> str | None:
        """Refuse."""
        raise AuthsomeError(
            f"nobody to ask for {question.provider}: no terminal, CI, --no-input or a profile that asks nobody",
            hint=f"authsome login {question.provider} --stdin < FILE",
            code=ExitCode.MISSING,
        )


@dataclass(frozen=True, slots=True)
class Around:
    """What decides whether somebody can be asked.

    Attributes:
        allowed: Finds out who may be, by the profile's preset.
        no_input: The command line says nobody.
    """

    environ: Mapping[str, str]
    allowed: Callable[[], Sequence[str]]
    no_input: bool

    @property
    def alone(self) -> bool:
        """Whether there is nobody to ask, or nobody who may be asked."""
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
        return self.no_input or self.environ.get("CI", "").lower() not in ("", "0", "false")


def door(around: Around, say: Callable[[str], None]) -> Human:
    """Return who answers here. `say` writes one line of talk."""
    return Nobody() if around.alone else Terminal(say)


def agrees(question: str, around: Around) -> bool | None:
    """Return whether a person types `yes`, None if there is nobody to ask."""
    return None if around.alone else _agreed(question)


def _agreed(question: str) -> bool:
    with open("/dev/tty", "r+b", buffering=0) as terminal:  # noqa: PTH123  unbuffered, whatever stdin is
        terminal.write(f"{clean(question)} Type yes: ".encode())
        return terminal.readline().strip().lower() == b"yes"


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
