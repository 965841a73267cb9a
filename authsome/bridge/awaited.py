"""Somebody who agrees in a browser, waited for at the terminal.

Promises that what comes first counts, the browser on this machine or the address that is pasted, and that afterwards
nobody listens and the terminal echoes as before. Refuses to show what is pasted, and to cut what is longer than a line
of a terminal.
"""

import os
import secrets
import select
import socket
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.wrappers import Request, Response

from authsome.bridge import returned, server
from authsome.bridge.guard import NOTHING, Link, Refused, came_back, misnamed
from authsome.bridge.web import RETURNED_HEADERS, Answers
from authsome.oauth import AuthorizationRequest

_HEARD = "authsome has heard of it. Go back to the terminal; you can close this window."
_PASTES = (b"\x1b[200~", b"\x1b[201~")
"""What a terminal may put around what is pasted."""
_ERASES, _KILLS, _ENDS = b"\x7f\x08", b"\x15", b"\x04"


class Ear(Answers):
    """Hears that a browser has come back.

    Attributes:
        query: What it came back with; secret.
        bell: Readable once it has.
    """

    def __init__(self, port: int) -> None:
        super().__init__()
        self._host = f"127.0.0.1:{port}"
        self.query: str | None = None
        self.bell, self._rope = socket.socketpair()
        self._request: AuthorizationRequest | None = None
        self._link = Link(self._host, secrets.token_urlsafe)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Hear nothing more."""
        self.bell.close()
        self._rope.close()

    def awaits(self, request: AuthorizationRequest) -> str:
        """Wait for one login and for no other; return a link that leads on to where the person agrees.

        NOTE: the address itself has the `state` in it, which is none of those who can read the arguments of a browser.
        """
        self._request, self.query = request, None
        self._link = Link(self._host, secrets.token_urlsafe)
        return self._link.url

    def waits(self) -> bool:
        """Whether it waits."""
        return self._request is not None

    def claim(self, state: str) -> AuthorizationRequest | None:
        """Return the login if the state is its own, once."""
        with self._lock:
            request = self._request
            if request is None or not returned.belongs(state, request):
                return None
            self._request = None
            return request

    def answer(self, request: Request) -> Response:
        """Return what a request gets."""
        if refused := misnamed(request, self._host):
            return self.refuse(refused)
        if request.path == returned.PATH:
            return self._comes_back(request)
        opening = self._link.opens(request)
        if opening is True and (awaited := self._request):
            return self.passes_on("Continue to the login", awaited.url)
        return self.refuse(opening if isinstance(opening, Refused) else NOTHING)

    def _comes_back(self, request: Request) -> Response:
        login = came_back(request, self)
        if isinstance(login, Refused):
            response = self.refuse(login)
        else:
            self.query = request.query_string.decode("ascii")  # as `state_of` has seen
            self._rope.send(b".")
            response = self.ends(_HEARD)
        response.headers.extend(RETURNED_HEADERS)
        return response


@contextmanager
def listening(port: int) -> Iterator[tuple[str, Ear | None]]:
    """Listen while the block lasts; give where a browser comes back to, and None if somebody else has that port."""
    listener = server.claim(port)
    if listener is None:
        yield returned.address(port), None
        return
    port = listener.getsockname()[1]
    ear = Ear(port)
    try:
        with server.serving(listener, ear):
            yield returned.address(port), ear
    finally:
        ear.close()


@contextmanager
def hidden(bell: socket.socket | None) -> Iterator["Lines"]:
    """Turn off the terminal's echo, and its line discipline that cuts a line at 4095 characters, for a block."""
    terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        before, mode = termios.tcgetattr(terminal), termios.tcgetattr(terminal)
        mode[3] &= ~(termios.ICANON | termios.ECHO)  # Ctrl-C stays what it is
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        try:
            termios.tcsetattr(terminal, termios.TCSADRAIN, mode)
            yield Lines(terminal, bell)
        finally:
            # What was pasted in excess is no command of the shell.
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
    finally:
        os.close(terminal)


class Lines:
    """Lines of any length from a terminal that does not show them."""

    def __init__(self, terminal: int, bell: socket.socket | None) -> None:
        self._terminal, self._bell = terminal, bell
        self._typed = bytearray()

    def next(self, prompt: str) -> str | None:
        """Return the next line, None if the bell rang before; raise `EOFError` at the end."""
        os.write(self._terminal, prompt.encode())
        bell = self._bell.fileno() if self._bell else self._terminal
        while b"\n" not in self._typed:
            ready = select.select([self._terminal, bell], [], [])[0]
            if self._bell and bell in ready:
                self._bell.recv(1)
                os.write(self._terminal, b"\n")
                return None
            self._take(os.read(self._terminal, 4096))
        os.write(self._terminal, b"\n")
        line, _, rest = bytes(self._typed).partition(b"\n")
        self._typed[:] = rest
        for mark in _PASTES:
            line = line.replace(mark, b"")
        return line.decode(errors="replace")

    def _take(self, octets: bytes) -> None:
        if not octets:  # the terminal is gone
            raise EOFError
        for each in octets.replace(b"\r", b"\n"):
            if each in _ERASES:
                del self._typed[-1:]
            elif each in _KILLS:
                self._typed.clear()
            elif each in _ENDS and not self._typed:
                raise EOFError
            elif each in b"\n" or len(self._typed) <= 2 * returned.LONGEST:
                self._typed.append(each)
