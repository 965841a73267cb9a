"""A secret that a program prints: a password store, a smart card, a cloud's secret.

Promises that the program is run once, through no shell, with the terminal for its own messages. Refuses to wait for
ever, to read more than was asked for, and to show the program an identity.
"""

import os
import selectors
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from authsome.errors import AuthsomeError, ExitCode, clean

VARIABLE = "AUTHSOME_IDENTITY_COMMAND"
SECONDS = 60.0
"""How long the program may take; it may have to wait for a finger on a reader."""
QUIET_SECONDS = 1.0
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Errand:
    """What a program is run for, and how that is spoken of.

    Attributes:
        name: Where the command was written.
        what: What it should print, as `an identity`.
        example: How it could be written.
        by_hand: How to see what the program says; NOTE: the command itself is not quoted, somebody may have written a
            key or a token into it.
        most: How many octets it may be.
        code: The exit code when it fails.
    """

    name: str
    what: str
    example: str
    by_hand: str
    most: int
    code: ExitCode


_IDENTITY = Errand(
    VARIABLE,
    "an identity",
    f"{VARIABLE}='pass show authsome'",
    f'see what it says by hand: eval "${VARIABLE}"',
    1 << 16,
    ExitCode.LOCKED,
)

_answers: dict[str, bytes | AuthsomeError] = {}


def answer(command: str, environ: Mapping[str, str], say: Callable[[str], None]) -> bytes:
    """Return what the program printed, the first time by running it, or raise (exit code 4)."""
    if command not in _answers:
        try:
            _answers[command] = run(command, environ, say)
        except AuthsomeError as error:
            _answers[command] = error
    found = _answers[command]
    if isinstance(found, AuthsomeError):
        raise found
    return found


def run(
    command: str,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    *,
    seconds: float = SECONDS,
    errand: Errand = _IDENTITY,
) -> bytes:
    """Run a program and return its output, or raise with the errand's exit code."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise _failed(errand, f"does not parse: {str(error).lower()}", "quote its words as for a shell") from None
    if not words:
        raise _failed(errand, "names no program", f"for example {errand.example}")
    # NOTE: without these a command that calls authsome would call itself for ever, and see a key it did not ask for.
    env = {name: value for name, value in environ.items() if not name.startswith("AUTHSOME_IDENTITY")}
    try:
        # Standard input may be the key that `login --stdin` stores; a program that asks uses the terminal.
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=env)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise _failed(errand, f"cannot run `{words[0]}`: {reason}", f"give its full path in {errand.name}") from None
    try:
        output = _read(process, words[0], seconds, say, errand)
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise _failed(errand, f"`{words[0]}` took longer than {seconds:g} s", errand.by_hand) from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
    if code:
        how = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
        raise _failed(errand, f"`{words[0]}` {how}", errand.by_hand)
    if not output.strip():
        raise _failed(errand, f"`{words[0]}` printed nothing", errand.by_hand)
    return output


def _read(
    process: subprocess.Popen[bytes], name: str, seconds: float, say: Callable[[str], None], errand: Errand
) -> bytes:
    """Return the output until it ends, or the program does: what it left running may hold the pipe open."""
    if process.stdout is None:
        return b""
    started, said, output = time.monotonic(), False, b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(0.05):
                chunk = os.read(process.stdout.fileno(), _CHUNK)
                output += chunk
                if not chunk:
                    return output
                if len(output) > errand.most:
                    much = f"`{name}` printed more than {errand.what} can be"
                    raise _failed(errand, much, "have it print that alone")
            elif process.poll() is not None:
                return output
            waited = time.monotonic() - started
            if waited > seconds:
                raise subprocess.TimeoutExpired(name, seconds)
            if waited > QUIET_SECONDS and not said:
                say(f"authsome: waiting for {errand.name} ({clean(name)}), up to {seconds:g} s …")
                said = True


def _failed(errand: Errand, what: str, hint: str) -> AuthsomeError:
    return AuthsomeError(f"{errand.name}: {what}", hint=hint, code=errand.code)
