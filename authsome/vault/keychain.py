"""The passphrase of `identity.txt`, kept by the operating system's keychain.

Promises that the keychain holds what a person typed and nothing else, so that stock age and that person need no
keychain; and that asking it ends: with nobody at the screen it is asked only if it needs no dialog. Refuses what only
looks like a keychain, such as a file in the clear. Nobody pays for it whose identity is not under a passphrase.

A passphrase is filed under the SHA-256 of the very file it opens (`sha256sum` prints it). So a file that replaces
another gets its passphrase filed before it is in place, and the former one is forgotten when it is gone: whatever is in
place at any moment finds its own. Two homes do not meet, a home that moves keeps its entry, and a file that somebody
puts in the place of ours is not tried with ours.
"""

import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import sha256
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from authsome.errors import AuthsomeError, ExitCode

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "authsome"
SECONDS = 10.0
"""How long a keychain may take that needs nobody; it takes 0.02 s, and longer where it is started for this."""
DIALOG_SECONDS = 60.0
"""How long a person may take to find the dialog and to unlock the keychain."""
QUIET_SECONDS = 1.0

_SECRET_SERVICE = ("keyring.backends.SecretService", "keyring.backends.libsecret")
_KEYCHAINS = (*_SECRET_SERVICE, "keyring.backends.macOS", "keyring.backends.kwallet")
_DESKTOP = "run it in a desktop session, or leave out the keychain: authsome identity protect"
_REASONS = {  # by the names of the errors of keyring and secretstorage
    "KeyringLocked": "it stayed locked",
    "LockedException": "it is locked",
    "PromptDismissedException": "its dialog was dismissed",
}


_declined: "list[NoAnswerError]" = []
"""Why nothing came when it was waited for: who dismissed a dialog is not shown another by the same process."""


class NoAnswerError(AuthsomeError):
    """The keychain did nothing; `reason` is why, in a few words that follow "the keychain: "."""

    def __init__(self, reason: str, *, hint: str | None = _DESKTOP, code: ExitCode = ExitCode.MISSING) -> None:
        super().__init__(f"the keychain cannot be used: {reason}", hint=hint, code=code)
        self.reason = reason


class _State(Enum):
    """What a keychain would do with a question."""

    OPEN = auto()
    LOCKED = auto()
    ABSENT = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Keychain:
    """The keychain of this session, not touched until something is asked of it.

    Attributes:
        environ: Of this process, which is where the bus is looked up.
        attended: Whether somebody sees a dialog that opens now, and may be asked.
        say: Writes one line of talk.
        patience: How long a dialog may be open, in seconds.
    """

    environ: Mapping[str, str]
    attended: Callable[[], bool]
    say: Callable[[str], None]
    patience: float = DIALOG_SECONDS

    def recall(self, content: bytes) -> str | None:
        """Return the passphrase of an identity file's content, None if there is none, or raise `NoAnswerError`."""
        backend, state = self._found()
        if state is _State.ABSENT:
            return None
        return self._asked(state, lambda: backend.get_password(SERVICE, _name(content)))

    def ready(self) -> None:
        """Raise `NoAnswerError` if nothing could be kept, before a person types anything."""
        backend, state = self._found()
        self._asked(state, lambda: backend.get_password(SERVICE, SERVICE))

    def remember(self, content: bytes, passphrase: str) -> None:
        """Keep the passphrase of an identity file's content, and see that it is kept, or raise `NoAnswerError`."""
        try:
            passphrase.encode()
        except UnicodeEncodeError:
            raise NoAnswerError(
                "this passphrase is no text in UTF-8",
                hint="type it on a terminal that uses UTF-8, or choose another; nothing was changed",
                code=ExitCode.USAGE,
            ) from None
        backend, state = self._found()

        def keep() -> bool:
            backend.set_password(SERVICE, _name(content), passphrase)
            return backend.get_password(SERVICE, _name(content)) == passphrase

        if not self._asked(state, keep):
            raise NoAnswerError("it does not give back what it was given", hint="nothing was changed")

    def drop(self, content: bytes) -> bool:
        """Forget the passphrase of a content that is gone; return whether there was one, say if that is not known."""
        if not _installed():
            return False
        try:
            return self._forget(content)
        except NoAnswerError as error:
            self.say(f"authsome: if the keychain holds the former passphrase, it still does: {error.reason}")
            return False

    def _forget(self, content: bytes) -> bool:
        backend, state = self._found()
        if state is _State.ABSENT:
            return False

        def forget() -> bool:
            if backend.get_password(SERVICE, _name(content)) is None:
                return False
            backend.delete_password(SERVICE, _name(content))
            return True

        return self._asked(state, forget)

    def _found(self) -> "tuple[KeyringBackend, _State]":
        if not _installed():
            raise NoAnswerError(
                "authsome was installed without it", hint="uv tool install 'authsome[keychain]'", code=ExitCode.USAGE
            )
        if self.environ.get("AUTHSOME_RUN"):
            # NOTE: a courtesy, not a wall: the agent is a program of the session, and the keychain answers to those.
            raise NoAnswerError("not asked inside a run", code=ExitCode.UNTRUSTED)
        if sys.platform != "darwin" and not self.environ.get("DBUS_SESSION_BUS_ADDRESS"):
            raise NoAnswerError("there is no session bus (DBUS_SESSION_BUS_ADDRESS is not set)")
        if _declined:
            raise _declined[0]
        return _within(SECONDS, _look)

    def _asked[T](self, state: _State, question: Callable[[], T]) -> T:
        """Return the answer to a question, if need be after a dialog that somebody is there to see."""
        if state is _State.OPEN:
            return _within(SECONDS, question)
        if not self.attended():
            reason = {
                _State.LOCKED: "it is locked, and nobody is here to unlock it",
                _State.ABSENT: "it was never set up, and nobody is here to do so",
            }.get(state, "not asked, it might open a dialog, and nobody is here to see it")
            raise NoAnswerError(reason, code=ExitCode.LOCKED)
        waiting = f"authsome: waiting for the keychain, up to {self.patience:g} s; is there a dialog? …"
        try:
            return _within(self.patience, question, lambda: self.say(waiting))
        except NoAnswerError as error:
            _declined.append(error)
            raise


def _installed() -> bool:
    return find_spec("keyring") is not None


def _name(content: bytes) -> str:
    return sha256(content).hexdigest()


def _look() -> "tuple[KeyringBackend, _State]":
    """Return the keychain that `keyring` chose or was told to use, and what it would do; opens no dialog."""
    import logging  # noqa: PLC0415  keyring imports it anyway

    import keyring  # noqa: PLC0415  it is an extra, and takes a while
    from keyring.backends import chainer, fail  # noqa: PLC0415  as above

    logging.getLogger("keyring").addHandler(logging.NullHandler())  # else a broken plug-in's traceback is shown
    chosen = keyring.get_keyring()
    offered = list(chosen.backends) if isinstance(chosen, chainer.ChainerBackend) else [chosen]
    if not offered or isinstance(offered[0], fail.Keyring):
        raise NoAnswerError("there is none on this machine")
    # NOTE: not the chain itself, which asks one after the other, also those that keep secrets in the clear.
    for each in offered:
        if type(each).__module__ in _KEYCHAINS:
            return each, _state() if type(each).__module__ in _SECRET_SERVICE else _State.UNKNOWN
    refused = f"{type(offered[0]).__module__}.{type(offered[0]).__name__}"
    raise NoAnswerError(
        f"`{refused}` is no keychain of an operating system",
        hint="`keyring diagnose` shows where it is set; a password store can print the identity: "
        "AUTHSOME_IDENTITY_COMMAND",
        code=ExitCode.USAGE,
    )


def _state() -> _State:
    """Return what the Secret Service would do: `keyring` itself finds out by opening a dialog."""
    import secretstorage  # noqa: PLC0415  as above

    with closing(secretstorage.dbus_init()) as bus:
        try:
            return _State.LOCKED if secretstorage.Collection(bus).is_locked() else _State.OPEN
        except secretstorage.ItemNotFoundException:
            return _State.ABSENT


def _within[T](seconds: float, call: Callable[[], T], waiting: Callable[[], None] | None = None) -> T:
    """Return what a call returns, or raise `NoAnswerError`, also if it does not return in time.

    It runs beside us, because what it talks to may never answer, and it has no time limit of its own.
    """
    answers: SimpleQueue[tuple[T] | Exception] = SimpleQueue()

    def work() -> None:
        try:
            answers.put((call(),))
        except Exception as error:  # noqa: BLE001  it is a keychain's own code, or a plug-in's, and raises anything
            answers.put(error)

    Thread(target=work, daemon=True).start()
    outcome = _first(answers, min(seconds, QUIET_SECONDS))
    if outcome is None:
        if waiting:
            waiting()
        outcome = _first(answers, seconds - QUIET_SECONDS)
    if outcome is None:
        _declined.append(NoAnswerError(f"it did not answer within {seconds:g} s"))
        raise _declined[0]
    if isinstance(outcome, NoAnswerError):
        raise outcome
    if isinstance(outcome, Exception):
        # NOTE: its words are not shown; they are a stranger's, and may quote what was to be kept.
        kind = type(outcome).__name__
        raise NoAnswerError(_REASONS.get(kind, f"it failed ({kind})")) from None
    return outcome[0]


def _first[T](answers: SimpleQueue[tuple[T] | Exception], seconds: float) -> tuple[T] | Exception | None:
    try:
        return answers.get(timeout=max(0.0, seconds))
    except Empty:
        return None
